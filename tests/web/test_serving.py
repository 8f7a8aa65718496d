"""Views under load and over time: waiting, fences, growing old, two tenants; in process and on memcached."""

import itertools
import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from freezegun import freeze_time

from memocache import Cache, MemcachedCache, cached
from memocache.web._calls import UrlMemory
from memocache.web._responses import StoredResponse
from tests.support.servers import MemcachedServer, wait_until
from tests.support.threads import PATIENCE, Held, Joins, start
from tests.web.flask_site import FlaskSite
from tests.web.matrix import Reply
from tests.web.sites import Asked, Site
from tests.web.tenants import TASKS, requests

Count = Callable[[], int]
blocking = pytest.mark.sites(lambda make: not make.keywords["is_async"])


@pytest.fixture
def decorate(cache: Cache) -> Callable[..., Any]:
    """Decorates views of this test's own cache."""
    return lambda **options: cached(cache=cache, namespace="view", **options)


Decorate = Callable[..., Any]


# ---- fences ------------------------------------------------------------------------------------------------------


def varying(body: Callable[[], str]) -> Callable[[Asked], Reply]:
    return lambda asked: Reply(headers=(("Vary", "X-One"),), body=body())


def test_a_fence_while_a_response_is_computed(site: Site, decorate: Decorate) -> None:
    truth = ["old"]
    held = Held(lambda: truth[0])
    view = site.mount(varying(held), decorate())
    first = start(site.text)
    held.wait()
    truth[0] = "new"
    view.uncache()
    held.go()
    assert first.result(PATIENCE) == "old"
    assert site.texts("/", "/", "/") == ["new"] * 3
    assert held.computed == 2


@blocking
@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("moment", ["claim", "fill", "peek"])
def test_a_fence_while_a_variant_is_stored(
    site: Site, cache: Cache, decorate: Decorate, moment: str, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever between the verbs the forgetting comes, what was computed before is not served after it."""
    truth = ["old"]
    view = site.mount(varying(lambda: truth[0]), decorate())
    real = getattr(cache, moment)

    def forget() -> None:
        truth[0] = "new"
        view.uncache()

    def interrupted(*args: Any) -> Any:
        monkeypatch.undo()
        if before:
            forget()
        answer = real(*args)
        if not before:
            forget()
        return answer

    monkeypatch.setattr(cache, moment, interrupted)
    assert site.text() == "old"
    assert (truth, site.texts("/", "/")) == (["new"], ["new", "new"])


def test_the_first_response_of_a_variant_is_stored_at_once(site: Site, decorate: Decorate, count: Count) -> None:
    view = site.mount(lambda asked: Reply(headers=(("Vary", asked.query),), body=f"{count()}"), decorate())
    assert [site.text("/?X-One", X_One=one) for one in "aaabbba"] == [*"111", *"222", "1"]
    assert view.info().misses == 2
    view.forget_known_variants()
    assert site.text("/?X-One", X_One="a") == "1"
    learned = view.function._self_memoizer.binding().views.notes[UrlMemory].learned
    assert list(learned.values()) == [("x-one",)]


def test_vary_that_grows(site: Site, decorate: Decorate, count: Count) -> None:
    vary = ["X-One"]
    view = site.mount(lambda asked: Reply(headers=(("Vary", vary[0]),), body=f"{count()}"), decorate())
    get = site.text
    assert [get(X_One="a"), get(X_One="a")] == ["1", "1"]
    vary[0] = "X-Two"
    assert [get(X_One="b"), get(X_One="b"), get(X_One="b", X_Two="c")] == ["2", "2", "3"]
    assert [get(X_One="b"), get(X_One="b", X_Two="c")] == ["2", "3"]
    view.forget_known_variants()
    assert [get(X_One="b"), get(X_One="b", X_Two="c")] == ["2", "3"]
    vary[0] = ",".join(f"X-{number}" for number in range(8))  # ten with those before
    assert [get(X_One="d"), get(X_One="d")] == ["4", "5"]


# ---- waiting -----------------------------------------------------------------------------------------------------


def test_one_computes_and_all_are_served(site: Site, decorate: Decorate) -> None:
    held = Held(lambda: "page")
    site.mount(lambda asked: held(), decorate(wait=60))
    first = start(site.text)
    held.wait()
    others = [start(site.get) for _ in range(8)]
    held.go()
    assert first.result(PATIENCE) == "page"
    answers = [other.result(PATIENCE) for other in others]
    assert {answer.text for answer in answers} == {"page"}
    assert len({answer.headers["ETag"] for answer in answers}) == 1
    assert held.computed == 1


def test_what_cannot_be_stored_frees_all_at_once_and_is_given_to_nobody_else(
    site: Site, decorate: Decorate, joins: Joins
) -> None:
    """All of them are inside the view together: were they let in one by one, this would wait for ever."""
    everybody = threading.Barrier(9)
    held = Held(lambda: None)
    numbers = itertools.count(1)

    def body(asked: Asked) -> Reply:
        number = next(numbers)
        if number == 1:
            held()
        else:
            everybody.wait(PATIENCE)
        return Reply(headers=(("Set-Cookie", f"user={number}"),), body=f"{number}")

    site.mount(body, decorate(wait=60))
    first = start(site.get)
    held.wait()
    others = [start(site.get) for _ in range(8)]
    joins.wait(8)
    held.go()
    one = first.result(PATIENCE)
    everybody.wait(PATIENCE)
    answers = [one, *(other.result(PATIENCE) for other in others)]
    assert sorted(answer.text for answer in answers) == [str(number) for number in range(1, 10)]
    assert len({answer.headers["Set-Cookie"] for answer in answers}) == 9


def test_an_uncacheable_url_is_not_serialised_and_becomes_cacheable_again(site: Site, decorate: Decorate) -> None:
    together = threading.Barrier(4)
    status, is_together = 500, False

    def body(asked: Asked) -> Reply:
        if status == 500 and is_together:
            together.wait(PATIENCE)
        return Reply(status, body="page")

    view = site.mount(body, decorate(wait=60))
    assert site.get().status == 500
    is_together = True
    others = [start(site.get) for _ in range(4)]
    assert [other.result(PATIENCE).status for other in others] == [500] * 4
    status = 200
    assert [site.get().status for _ in range(4)] == [200] * 4
    assert view.info().hits == 3


def test_a_variant_that_cannot_be_stored_leaves_the_others_alone(site: Site, decorate: Decorate, count: Count) -> None:
    def body(asked: Asked) -> Reply:
        one = asked.headers["X-One"]
        return Reply(406 if one == "odd" else 200, (("Vary", "X-One"),), body=f"{one} {count()}")

    site.mount(body, decorate())
    assert [site.text(X_One=one) for one in ("odd", "a", "a", "odd", "a", "b", "b", "odd", "b", "a")] == [
        *("odd 1", "a 2", "a 2", "odd 3", "a 2", "b 4", "b 4", "odd 5", "b 4", "a 2")
    ]


def test_after_a_variant_that_cannot_be_stored_one_computes_and_all_are_served(site: Site, decorate: Decorate) -> None:
    held = Held(lambda: "page")

    def body(asked: Asked) -> Reply:
        is_odd = asked.headers["X-One"] == "odd"
        return Reply(406 if is_odd else 200, (("Vary", "X-One"),), body="" if is_odd else held())

    site.mount(body, decorate(wait=60))
    assert site.get(X_One="odd").status == 406
    leader = start(lambda: site.text(X_One="a"))
    held.wait()
    assert site.get(X_One="odd").status == 406
    others = [start(lambda: site.text(X_One="a")) for _ in range(8)]
    held.go()
    assert {each.result(PATIENCE) for each in (leader, *others)} == {"page"}
    assert held.computed == 1


def test_a_fresh_response_is_served_whatever_could_not_be_stored_since(
    site: Site, decorate: Decorate, count: Count
) -> None:
    def body(asked: Asked) -> Reply:
        wants_a_cookie = asked.headers["X-One"] == "cookie"
        cookie = (("Set-Cookie", "a=b"),) if wants_a_cookie else ()
        return Reply(headers=(*cookie, ("Vary", "X-One")), body=f"{count()}")

    site.mount(body, decorate())
    ones = ("page", "page", "cookie", "page", "cookie", "page")
    assert [site.text(X_One=one) for one in ones] == ["1", "1", "2", "1", "3", "1"]


FORGED: list[Any] = [
    *(None, "x", [2, 3], [], {}),
    [1, "nothing", None, 0.0, 9e9, 0.0, []],
    [1, "response", None, 0.0, 9e9, 0.0, []],
    [1, "response", [200, [["X", "a\r\nSet-Cookie: x=1"]], "b"], 0.0, 9e9, 0.0, []],
    [1, "response", [200, [["X Y", "a"]], "b"], 0.0, 9e9, 0.0, []],
    [1, "response", [200, [["X", "\u20ac"]], "b"], 0.0, 9e9, 0.0, []],
    [1, "response", [200, [["X"]], "b"], 0.0, 9e9, 0.0, []],
    [1, "response", [200, [7], "b"], 0.0, 9e9, 0.0, []],
    [1, "response", [200, 5, "b"], 0.0, 9e9, 0.0, []],
    [1, "response", [200, [], 5], 0.0, 9e9, 0.0, []],
    [1, "response", ["200 OK", [], "b"], 0.0, 9e9, 0.0, []],
    [1, "response", [999, [], "b"], 0.0, 9e9, 0.0, []],
    [1, "response", [404, [], "b"], 0.0, 9e9, 0.0, []],
    [1, "response", [200, [], "b"], "then", 9e9, 0.0, []],
    [1, "response", [200, [], "b"], 0.0, float("nan"), 0.0, []],
    [1, "response", [200, [], "b"], 0.0, 9e9, None, []],
    [1, "vary", None, 0.0, 0.0, 0.0, []],
    [1, "vary", None, 0.0, 0.0, 0.0, [5]],
    [1, "vary", None, 0.0, 0.0, 0.0, ["a b"]],
    [1, "vary", None, 0.0, 0.0, 0.0, 5],
    [1, "vary", None, 0.0, 0.0, 0.0, [f"x-{number}" for number in range(9)]],
    [1, "data", "x", "then", "a", None, []],
]


@pytest.mark.parametrize("forged", FORGED, ids=[f"{number}" for number in range(len(FORGED))])
def test_what_nobody_can_have_stored_is_computed_again(
    site: Site, memcached: MemcachedServer, prefix: str, count: Count, forged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix, timeout=5)
    view = site.mount(lambda asked: f"{count()}", cached(cache=cache, namespace="view"))
    with monkeypatch.context() as patch:
        patch.setattr(StoredResponse, "pack", lambda self: forged)
        assert site.text() == "1"
    assert site.get("/", "HEAD").status == 200
    answers = [site.get() for _ in range(3)]
    assert [answer.status for answer in answers] == [200] * 3
    assert [answer.text for answer in answers] == ["3"] * 3
    assert view.info().failures == 1


def test_data_that_no_view_of_flask_returns_is_computed_again(count: Count, monkeypatch: pytest.MonkeyPatch) -> None:
    for forged in (5, None, (), ("x", "y", "z", 1), ("x", "no status"), ("x", 200, 5), (5, 200)):
        site = FlaskSite(is_async=False)
        site.app.add_url_rule("/", "page", cached(lambda: f"{count()}"))
        with monkeypatch.context() as patch:
            patch.setattr(StoredResponse, "pack", lambda self, forged=forged: [1, "data", forged, 0.0, 9e9, 0.0, []])
            first = int(site.text())
        assert site.texts("/", "/") == [f"{first + 1}"] * 2


def test_what_a_view_raises_is_its_own_caller_s(site: Site, decorate: Decorate) -> None:
    held = Held(lambda: None)
    numbers = itertools.count(1)

    def body(asked: Asked) -> str:
        number = next(numbers)
        if number == 1:
            held()
            raise ValueError("the first's")
        return f"{number}"

    site.mount(body, decorate())
    first = start(site.get)
    held.wait()
    second = start(site.text)
    held.go()
    assert first.result(PATIENCE).status == 500
    assert second.result(PATIENCE) == "2"


@pytest.mark.parametrize("status", [404, 500])
def test_a_view_that_raises_is_called_once_for_each_request(
    site: Site, decorate: Decorate, count: Count, status: int
) -> None:
    def body(asked: Asked) -> str:
        count()
        raise site.error(404) if status == 404 else RuntimeError

    site.mount(body, decorate())
    assert [site.get().status for _ in range(3)] == [status] * 3
    assert count() == 4


@blocking
def test_head_is_not_stored_and_takes_no_lease(site: Site, cache: Cache, decorate: Decorate, monkeypatch: Any) -> None:
    looks = []
    look = cache.look
    monkeypatch.setattr(cache, "look", lambda *args: looks.append(args) or look(*args))
    numbers = itertools.count(1)
    site.mount(lambda asked: f"{next(numbers)}", decorate())
    tag = site.get("/", "HEAD").headers["ETag"]
    assert looks == []
    assert site.text() == "2"
    assert site.get("/", "HEAD").headers["ETag"] == site.get().headers["ETag"] != tag


# ---- growing old -------------------------------------------------------------------------------------------------


def frozen() -> Any:
    return freeze_time("2030-01-01", real_asyncio=True)


def test_age_max_age_and_expiry(site: Site, decorate: Decorate, count: Count) -> None:
    def body(asked: Asked) -> Reply:
        return Reply(headers=(("Cache-Control", asked.query),) if asked.query else (), body=f"{count()}")

    site.mount(body, decorate(timeout=60))
    with frozen() as clock:
        first = site.get()
        assert (first.headers["Cache-Control"], "Age" in first.headers) == ("private, max-age=60", False)
        assert site.text("/?max-age=10") == "2"
        clock.tick(9)
        second = site.get()
        assert (second.headers["Age"], second.headers["Cache-Control"]) == ("9", "private, max-age=60")
        assert site.get("/?max-age=10").headers["Age"] == "9"
        clock.tick(2)
        assert site.texts("/", "/?max-age=10") == ["1", "3"]
        clock.tick(50)
        assert site.text() == "4"


def test_stale_is_served_while_one_refreshes(site: Site, decorate: Decorate, count: Count) -> None:
    site.mount(lambda asked: f"{asked.path} {asked.query} {count()}", decorate(timeout=60, stale=30), "/page")
    get = site.get
    with frozen() as clock:
        control = get("/page?a").headers["Cache-Control"]
        assert control == "private, max-age=60, stale-while-revalidate=30, stale-if-error=30"
        clock.tick(50)
        assert get("/page?a").headers["Age"] == "50"
        clock.tick(20)
        if site.loop_ends_with_request:  # so that nobody else could refresh it
            assert site.texts("/page?a", "/page?a") == ["/page a 2"] * 2
        else:
            old = get("/page?a")
            assert (old.text, old.headers["Age"]) == ("/page a 1", "70")
            assert wait_until(lambda: site.text("/page?a") == "/page a 2")
        clock.tick(100)
        assert site.text("/page?a") == "/page a 3"


def test_must_revalidate_and_stale_while_revalidate_of_the_response(
    site: Site, decorate: Decorate, count: Count
) -> None:
    site.mount(
        lambda asked: Reply(headers=(("Cache-Control", asked.query),), body=f"{count()}"),
        decorate(timeout=60, stale=30),
    )
    with frozen() as clock:
        assert site.text("/?must-revalidate") == "1"
        clock.tick(61)
        assert site.texts("/?must-revalidate", "/?stale-while-revalidate=5") == ["2", "3"]
        clock.tick(66)
        assert site.text("/?stale-while-revalidate=5") == "4"


@pytest.mark.parametrize("trouble", ["status", "raised"])
def test_instead_of_an_error_the_old_answer_is_served(
    site: Site, decorate: Decorate, count: Count, trouble: str
) -> None:
    is_broken = False

    def body(asked: Asked) -> Reply:
        number = count()
        if is_broken and trouble == "raised":
            raise RuntimeError
        return Reply(503 if is_broken else 200, body=f"{number}")

    view = site.mount(body, decorate(timeout=60, stale=60))
    with frozen() as clock:
        assert site.text() == "1"
        clock.tick(61)
        is_broken = True
        old = site.get()
        assert (old.text, old.status, old.headers["Age"]) == ("1", 200, "61")
        assert wait_until(lambda: view.info().failures == 1)
        assert site.texts("/", "/", "/") == ["1"] * 3
        # Whoever wants no old answer gets none, and takes it from nobody.
        assert site.get(Cache_Control="no-cache").status in (500, 503)
        assert site.text() == "1"
        clock.tick(60)
        assert site.get().status in (500, 503)


def test_a_fresh_answer_outlives_an_error(site: Site, decorate: Decorate, count: Count) -> None:
    site.mount(lambda asked: Reply(int(asked.headers.get("X-Status", 200)), body=f"{count()}"), decorate())
    assert site.text() == "1"
    assert site.get(Cache_Control="no-cache", X_Status="502").status == 502
    assert site.text() == "1"
    assert site.get(Cache_Control="no-cache", X_Status="404").status == 404  # which says what there is now
    assert site.text() == "4"


# ---- two tenants -------------------------------------------------------------------------------------------------


@pytest.mark.sites(lambda make: make.func.has_arguments and make.func.is_served_by_loop is make.keywords["is_async"])
def test_two_tenants_never_meet(site: Site, memcached: MemcachedServer, prefix: str) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix, timeout=5)
    numbers = itertools.count(1)

    def named(asked: Asked) -> str:
        return asked.headers.get("X-Tenant", "nobody")

    def page(tell: Callable[[Asked], str], *headers: tuple[str, str]) -> Callable[..., Reply]:
        def body(asked: Asked, i: int) -> Reply:
            return Reply(headers=headers, body=json.dumps({"tenant": tell(asked), "i": i, "n": next(numbers)}))

        return body

    bodies = {
        "key": (page(named), {"key": site.key(lambda asked, i: named(asked))}),
        "vary": (page(named), {"vary": ("X-Tenant",)}),
        "learned": (page(named, ("Vary", "X-Tenant")), {}),
        "cookie": (page(lambda asked: asked.cookies.get("tenant", "nobody")), {}),
        "host": (page(lambda asked: asked.host.partition(".")[0]), {}),
    }
    views = {
        name: site.mount(body, cached(cache=cache, namespace=name, **options), f"/{name}/{{i}}")
        for name, (body, options) in bodies.items()
    }

    def wrong(seed: int) -> int:
        count = 0
        for each in requests(seed):
            count += each.is_wrong(site.ask(each.ask).json)
            if each.forgets:
                views["learned"].uncache(each.i)
        return count

    with ThreadPoolExecutor(TASKS) as pool:
        assert sum(pool.map(wrong, range(TASKS))) == 0
    hits = {name: view.info().hits for name, view in views.items()}
    assert hits.pop("cookie") == 0  # with cookies, of which nobody has said what matters
    assert all(each > 1000 for each in hits.values()), hits
