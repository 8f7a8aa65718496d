"""Views under load and over time: forgetting, waiting, growing old; in process and on memcached."""

import asyncio
import itertools
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask, Response, abort, make_response, request
from freezegun import freeze_time

from memocache import Cache, MemcachedCache, cached, uncache_tag, uncaches
from memocache.backends.base import Lease
from memocache.web._calls import UrlMemory
from tests.support.servers import MemcachedServer, wait_until
from tests.support.threads import PATIENCE, Held, start
from tests.web.tenants import TASKS, requests


@pytest.fixture
def app() -> Flask:
    return Flask(__name__)


def get(app: Flask, target: str = "/", **headers: str) -> str:
    return ask(app, target, **headers).text


def ask(app: Flask, target: str = "/", **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return app.test_client(use_cookies=False).get(target, headers=named)


# ---- forgetting --------------------------------------------------------------------------------------------------


def test_uncache_forgets_every_variant_of_the_call_and_no_other(
    app: Flask, cache: Cache, count: Callable[[], int]
) -> None:
    @app.route("/<int:i>")
    @cached(cache=cache, namespace="view", tags=("i:{i}",))
    def view(i: int) -> Response:
        response = make_response(f"{count()}")
        if i == 1:
            response.headers["Vary"] = "X-One"
        return response

    def all_of(i: int) -> list[str]:
        return [get(app, f"/{i}{query}", X_One=one) for query in ("", "?a", "?b") for one in ("x", "y")]

    def check(forgotten: bool) -> None:
        nonlocal before
        now = all_of(1)
        assert all_of(1) == now
        assert all(a != b for a, b in zip(before, now, strict=True)) is forgotten
        before = now

    before, other = all_of(1), all_of(2)
    assert len(set(before)) == 6
    assert len(set(other)) == 3
    check(False)
    assert view.uncache(i=1) is True
    check(True)
    with app.test_request_context("/other"):
        assert view.uncache(1) is True
    check(True)
    view.uncache(2)
    check(False)
    assert all_of(2) != other
    view.uncache_where(i=1)
    check(True)
    uncache_tag("i:1", cache)
    check(True)
    uncaches(view)(lambda i: None)(1)
    check(True)
    view.uncache_all()
    check(True)


def test_a_fence_while_a_response_is_computed(app: Flask, cache: Cache) -> None:
    truth = ["old"]
    held = Held(lambda: truth[0])

    @app.route("/")
    @cached(cache=cache, namespace="view")
    def view() -> Response:
        response = make_response(held())
        response.headers["Vary"] = "X-One"
        return response

    first = start(get, app)
    held.wait()
    truth[0] = "new"
    view.uncache()
    held.go()
    assert first.result(PATIENCE) == "old"
    assert [get(app), get(app), get(app)] == ["new"] * 3
    assert held.computed == 2


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("moment", ["claim", "fill", "peek"])
def test_a_fence_while_a_variant_is_stored(
    app: Flask, cache: Cache, moment: str, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wherever between the verbs the forgetting comes, what was computed before is not served after it."""
    truth = ["old"]

    @app.route("/")
    @cached(cache=cache, namespace="view")
    def view() -> Response:
        response = make_response(truth[0])
        response.headers["Vary"] = "X-One"
        return response

    real = getattr(cache, moment)

    def interrupted(*args: Any) -> Any:
        monkeypatch.undo()
        if before:
            truth[0] = "new"
            view.uncache()
        answer = real(*args)
        if not before:
            truth[0] = "new"
            view.uncache()
        return answer

    monkeypatch.setattr(cache, moment, interrupted)
    assert get(app) == "old"
    assert (truth, get(app), get(app)) == (["new"], "new", "new")


def test_the_first_response_of_a_variant_is_stored_at_once(app: Flask, cache: Cache, count: Callable[[], int]) -> None:
    @app.route("/")
    @cached(cache=cache, namespace="view")
    def view() -> Response:
        response = make_response(f"{count()}")
        response.headers["Vary"] = request.args["vary"]
        return response

    assert [get(app, "/?vary=X-One", X_One="a") for _ in range(3)] == ["1"] * 3
    assert [get(app, "/?vary=X-One", X_One="b") for _ in range(3)] == ["2"] * 3
    assert get(app, "/?vary=X-One", X_One="a") == "1"
    assert view.info().misses == 2
    place = view._self_memoizer.binding()
    place.views = None  # as in another process
    assert get(app, "/?vary=X-One", X_One="a") == "1"
    assert list(place.views.notes[UrlMemory].learned.values()) == [("x-one",)]


def test_vary_that_grows(app: Flask, cache: Cache, count: Callable[[], int]) -> None:
    vary = ["X-One"]

    @app.route("/")
    @cached(cache=cache, namespace="view")
    def view() -> Response:
        response = make_response(f"{count()}")
        response.headers["Vary"] = vary[0]
        return response

    assert [get(app, X_One="a"), get(app, X_One="a")] == ["1", "1"]
    vary[0] = "X-Two"
    assert [get(app, X_One="b"), get(app, X_One="b"), get(app, X_One="b", X_Two="c")] == ["2", "2", "3"]
    assert [get(app, X_One="b"), get(app, X_One="b", X_Two="c")] == ["2", "3"]
    view._self_memoizer.binding().views = None
    assert [get(app, X_One="b"), get(app, X_One="b", X_Two="c")] == ["2", "3"]
    vary[0] = ",".join(f"X-{number}" for number in range(8))  # ten with those before
    assert [get(app, X_One="d"), get(app, X_One="d")] == ["4", "5"]


# ---- waiting -----------------------------------------------------------------------------------------------------


def test_one_computes_and_all_are_served(app: Flask, cache: Cache) -> None:
    held = Held(lambda: "page")

    @app.route("/")
    @cached(cache=cache, namespace="view")
    def view() -> str:
        return held()

    first = start(get, app)
    held.wait()
    others = [start(ask, app) for _ in range(8)]
    held.go()
    assert first.result(PATIENCE) == "page"
    answers = [other.result(PATIENCE) for other in others]
    assert {answer.text for answer in answers} == {"page"}
    assert len({answer.headers["ETag"] for answer in answers}) == 1
    assert held.computed == 1


def test_async_views_wait_for_each_other_though_each_has_a_loop_of_its_own(app: Flask, cache: Cache) -> None:
    held = Held(lambda: "page")

    @app.route("/")
    @cached(cache=cache, namespace="view")
    async def view() -> str:
        return await asyncio.to_thread(held)

    first = start(get, app)
    held.wait()
    others = [start(get, app) for _ in range(4)]
    held.go()
    assert [call.result(PATIENCE) for call in (first, *others)] == ["page"] * 5
    assert held.computed == 1


def test_what_cannot_be_stored_frees_all_at_once_and_is_given_to_nobody_else(app: Flask, cache: Cache) -> None:
    """All of them are inside the view together: were they let in one by one, this would wait for ever."""
    everybody = threading.Barrier(9)
    held = Held(lambda: None)
    numbers = itertools.count(1)
    joined = threading.Semaphore(0)

    @app.route("/")
    @cached(cache=cache, namespace="view", wait=60)
    def view() -> Response:
        number = next(numbers)
        if number == 1:
            held()
        else:
            everybody.wait(PATIENCE)
        response = make_response(f"{number}")
        response.set_cookie("user", f"{number}")
        return response

    first = start(ask, app)
    held.wait()
    from memocache._flight import Flight

    subscribe = Flight.subscribe

    def subscribed(self: Flight, wake: Any) -> bool:
        joined.release()
        return subscribe(self, wake)

    Flight.subscribe = subscribed  # type: ignore[method-assign]
    try:
        others = [start(ask, app) for _ in range(8)]
        for _ in others:
            assert joined.acquire(timeout=PATIENCE)
    finally:
        Flight.subscribe = subscribe  # type: ignore[method-assign]
    held.go()
    one = first.result(PATIENCE)
    everybody.wait(PATIENCE)
    answers = [one, *(other.result(PATIENCE) for other in others)]
    assert sorted(answer.text for answer in answers) == [str(number) for number in range(1, 10)]
    assert len({answer.headers["Set-Cookie"] for answer in answers}) == 9


def test_an_uncacheable_url_is_not_serialised_and_becomes_cacheable_again(app: Flask, cache: Cache) -> None:
    together = threading.Barrier(4)
    status = [500]

    @app.route("/")
    @cached(cache=cache, namespace="view", wait=60)
    def view() -> tuple[str, int]:
        if status[0] == 500 and together_now:
            together.wait(PATIENCE)
        return "page", status[0]

    together_now = False
    assert ask(app).status_code == 500
    together_now = True
    others = [start(ask, app) for _ in range(4)]
    assert [other.result(PATIENCE).status_code for other in others] == [500] * 4
    status[0] = 200
    assert [ask(app).status_code for _ in range(4)] == [200] * 4
    assert view.info().hits == 2  # the first was alone, the second was stored


def test_what_a_view_raises_is_its_own_caller_s(app: Flask, cache: Cache) -> None:
    held = Held(lambda: None)
    numbers = itertools.count(1)

    @app.route("/")
    @cached(cache=cache, namespace="view")
    def view() -> str:
        number = next(numbers)
        if number == 1:
            held()
            raise ValueError("the first's")
        return f"{number}"

    app.config["PROPAGATE_EXCEPTIONS"] = False
    first = start(ask, app)
    held.wait()
    second = start(get, app)
    held.go()
    assert first.result(PATIENCE).status_code == 500
    assert second.result(PATIENCE) == "2"


def test_head_is_not_stored_and_takes_no_lease(app: Flask, cache: Cache, monkeypatch: Any) -> None:
    leases = []
    look = cache.look

    def looked(*args: Any) -> Any:
        seen = look(*args)
        leases.append(type(seen) is Lease)
        return seen

    monkeypatch.setattr(cache, "look", looked)

    @app.route("/")
    @cached(cache=cache, namespace="view")
    def view() -> str:
        return request.method

    client = app.test_client()
    assert client.head("/").headers["Content-Length"] == "4"
    assert leases == []
    assert get(app) == "GET"
    assert client.head("/").headers["Content-Length"] == "3"


@pytest.mark.parametrize("broken", ["abort", "error"])
def test_an_async_view_that_raises_is_called_once_for_each_request(app: Flask, cache: Cache, broken: str) -> None:
    calls = 0

    @app.route("/")
    @cached(cache=cache, namespace="view")
    async def view() -> str:
        nonlocal calls
        calls += 1
        if broken == "abort":
            abort(410)
        raise RuntimeError(broken)

    assert [ask(app).status_code for _ in range(3)] == [410 if broken == "abort" else 500] * 3
    assert calls == 3


@pytest.mark.parametrize("is_async", [False, True])
def test_a_request_that_changes_something_forgets_what_is_stored_for_its_call(
    app: Flask, cache: Cache, count: Callable[[], int], is_async: bool
) -> None:
    def answer(i: int) -> tuple[str, int]:
        return f"{count()}", int(request.headers.get("X-Status", 200))

    def view(i: int) -> tuple[str, int]:
        return answer(i)

    async def async_view(i: int) -> tuple[str, int]:
        return answer(i)

    decorated = cached(cache=cache, namespace="view")(async_view if is_async else view)
    app.add_url_rule("/<int:i>", "view", decorated, methods=["GET", "POST", "DELETE", "OPTIONS"])
    client = app.test_client()
    assert [get(app, "/1"), get(app, "/1?a=1"), get(app, "/2")] == ["1", "2", "3"]
    for method in ("OPTIONS", "HEAD"):
        client.open("/1", method=method)
    for status in ("400", "500"):
        client.post("/1", headers={"X-Status": status})
    assert [get(app, "/1"), get(app, "/1?a=1")] == ["1", "2"]
    n = count()
    for method, status in (("POST", "200"), ("DELETE", "204"), ("POST", "303")):
        client.open("/1", method=method, headers={"X-Status": status})
        assert [get(app, "/1"), get(app, "/1?a=1"), get(app, "/2")] == [f"{n + 2}", f"{n + 3}", "3"]
        n += 3


def test_a_change_is_answered_though_the_cache_is_not_there(
    app: Flask, own_memcached: MemcachedServer, caplog: pytest.LogCaptureFixture
) -> None:
    @app.route("/", methods=["POST"])
    @cached(cache=MemcachedCache([own_memcached.address]), namespace="view")
    def view() -> str:
        return "changed"

    own_memcached.kill()
    assert app.test_client().post("/").text == "changed"
    assert view.info().failures == 1
    assert "after a request that may have changed something, old results may be served" in caplog.text


# ---- growing old -------------------------------------------------------------------------------------------------


def test_age_max_age_and_expiry(app: Flask, cache: Cache, count: Callable[[], int]) -> None:
    @app.route("/")
    @cached(cache=cache, namespace="view", timeout=60)
    def view() -> tuple[str, dict[str, str]]:
        own = {"Cache-Control": f"max-age={request.args['max']}"} if "max" in request.args else {}
        return f"{count()}", own

    with freeze_time("2030-01-01") as clock:
        first = ask(app)
        assert (first.headers["Cache-Control"], "Age" in first.headers) == ("private, max-age=60", False)
        assert get(app, "/?max=10") == "2"
        clock.tick(9)
        assert [ask(app).headers["Age"], ask(app).headers["Cache-Control"]] == ["9", "private, max-age=60"]
        assert ask(app, "/?max=10").headers["Age"] == "9"
        clock.tick(2)
        assert [get(app), get(app, "/?max=10")] == ["1", "3"]
        clock.tick(50)
        assert get(app) == "4"


def test_stale_is_served_while_one_refreshes_in_the_request_s_context(
    app: Flask, cache: Cache, count: Callable[[], int]
) -> None:
    refreshed = threading.Event()

    @app.route("/<name>")
    @cached(cache=cache, namespace="view", timeout=60, stale=30)
    def view(name: str) -> str:
        number = count()
        if number == 2:
            refreshed.set()
        return f"{request.path} {request.args['a']} {number}"

    with freeze_time("2030-01-01") as clock:
        first = ask(app, "/x?a=1")
        assert first.headers["Cache-Control"] == ("private, max-age=60, stale-while-revalidate=30, stale-if-error=30")
        clock.tick(70)
        old = ask(app, "/x?a=1")
        assert (old.text, old.headers["Age"]) == ("/x 1 1", "70")
        assert refreshed.wait(PATIENCE)
        assert wait_until(lambda: get(app, "/x?a=1") == "/x 1 2")


def test_must_revalidate_and_stale_while_revalidate_of_the_response(
    app: Flask, cache: Cache, count: Callable[[], int]
) -> None:
    @app.route("/")
    @cached(cache=cache, namespace="view", timeout=60, stale=30)
    def view() -> tuple[str, dict[str, str]]:
        return f"{count()}", {"Cache-Control": request.args["control"]}

    with freeze_time("2030-01-01") as clock:
        assert get(app, "/?control=must-revalidate") == "1"
        clock.tick(61)
        assert get(app, "/?control=must-revalidate") == "2"
        assert get(app, "/?control=stale-while-revalidate=5") == "3"
        clock.tick(66)
        assert get(app, "/?control=stale-while-revalidate=5") == "4"


def test_an_async_view_grows_old(app: Flask, cache: Cache, count: Callable[[], int]) -> None:
    @app.route("/")
    @cached(cache=cache, namespace="view", timeout=60, stale=30)
    async def view() -> str:
        return f"{request.path} {count()}"

    with freeze_time("2030-01-01", ignore=["asyncio"]) as clock:
        assert [get(app), get(app)] == ["/ 1", "/ 1"]
        clock.tick(70)
        assert get(app) == "/ 2"  # its event loop ends with the request, so that nobody else could
        assert get(app) == "/ 2"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("trouble", ["status", "raised"])
def test_instead_of_an_error_the_old_answer_is_served(
    app: Flask, cache: Cache, count: Callable[[], int], is_async: bool, trouble: str
) -> None:
    broken = False

    def answer() -> Any:
        number = count()
        if not broken:
            return f"{number}"
        if trouble == "raised":
            raise RuntimeError
        return "down", 503

    async def answered() -> Any:
        return answer()

    view = app.route("/")(cached(cache=cache, namespace="view", timeout=60, stale=60)(answered if is_async else answer))

    with freeze_time("2030-01-01", real_asyncio=True) as clock:
        assert get(app) == "1"
        clock.tick(61)
        broken = True
        assert get(app) == "1"
        assert wait_until(lambda: view.info().failures == 1)
        assert [get(app), get(app), get(app)] == ["1"] * 3
        # Whoever wants no old answer gets none, and takes it from nobody.
        assert ask(app, Cache_Control="no-cache").status_code in (500, 503)
        assert get(app) == "1"
        clock.tick(60)
        assert ask(app).status_code in (500, 503)


def test_a_fresh_answer_outlives_an_error(app: Flask, cache: Cache, count: Callable[[], int]) -> None:
    @app.route("/")
    @cached(cache=cache, namespace="view")
    def view() -> tuple[str, int]:
        return f"{count()}", int(request.headers.get("X-Status", 200))

    assert get(app) == "1"
    assert ask(app, Cache_Control="no-cache", X_Status="502").status_code == 502
    assert get(app) == "1"
    assert ask(app, Cache_Control="no-cache", X_Status="404").status_code == 404  # which says what there is now
    assert get(app) == "4"


def test_errors_are_remembered_where_that_is_asked_for(app: Flask, cache: Cache, count: Callable[[], int]) -> None:
    from werkzeug.exceptions import NotFound

    @app.route("/")
    @cached(cache=cache, namespace="view", errors={NotFound: 30})
    def view() -> str:
        count()
        raise NotFound

    assert [ask(app).status_code for _ in range(3)] == [404] * 3
    assert count() == 2


# ---- two tenants -------------------------------------------------------------------------------------------------


def test_two_tenants_never_meet(app: Flask, memcached: MemcachedServer, prefix: str) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix)
    computed = itertools.count(1)

    def tenant() -> str:
        return request.headers.get("X-Tenant", "nobody")

    @app.route("/key/<int:i>")
    @cached(cache=cache, namespace="by key", key=lambda i: tenant())
    def by_key(i: int) -> dict[str, Any]:
        return {"tenant": tenant(), "i": i, "n": next(computed)}

    @app.route("/vary/<int:i>")
    @cached(cache=cache, namespace="by vary", vary=("X-Tenant",))
    def by_vary(i: int) -> dict[str, Any]:
        return {"tenant": tenant(), "i": i, "n": next(computed)}

    @app.route("/learned/<int:i>")
    @cached(cache=cache, namespace="by learned")
    def by_learned(i: int) -> Response:
        response = make_response({"tenant": tenant(), "i": i, "n": next(computed)})
        response.headers["Vary"] = "X-Tenant"
        return response

    @app.route("/cookie/<int:i>")
    @cached(cache=cache, namespace="by cookie")
    def by_cookie(i: int) -> dict[str, Any]:
        return {"tenant": request.cookies.get("tenant", "nobody"), "i": i, "n": next(computed)}

    @app.route("/host/<int:i>")
    @cached(cache=cache, namespace="by host")
    def by_host(i: int) -> dict[str, Any]:
        return {"tenant": request.host.partition(".")[0], "i": i, "n": next(computed)}

    def wrong(seed: int) -> int:
        client, count = app.test_client(use_cookies=False), 0
        for each in requests(seed):
            base = f"http://{each.ask.host}"
            answer = client.get(each.ask.target, headers=list(each.ask.headers), base_url=base).json
            count += each.is_wrong(answer)
            if each.forgets:
                by_learned.uncache(each.i)
        return count

    with ThreadPoolExecutor(TASKS) as pool:
        assert sum(pool.map(wrong, range(TASKS))) == 0
    hits = [view.info().hits for view in (by_key, by_vary, by_learned, by_cookie, by_host)]
    assert all(each > 1000 for each in (*hits[:3], hits[4])), hits
    assert hits[3] == 0  # with cookies, of which nobody has said what matters
