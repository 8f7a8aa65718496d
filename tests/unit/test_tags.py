"""Tags: what they may name, what they cost, and what becomes of them when a server forgets one."""

import asyncio
import datetime
import decimal
import enum
import gc
import itertools
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from freezegun import freeze_time

from memocache import (
    MISSING,
    Cache,
    ConfigurationError,
    ForeignCache,
    MemcachedCache,
    SimpleCache,
    UncacheFailed,
    UnkeyableArgument,
    auncache_tag,
    cached,
    configure,
    default_cache,
    uncache_tag,
)
from memocache._tags import tag_name
from memocache.errors import with_article
from memocache.testing._harness import wait_for
from tests.support.faults import FaultProxy
from tests.support.servers import MemcachedServer
from tests.unit.test_options_key import refusal

pytestmark = pytest.mark.usefixtures("only_own_functions")


async def later(a: int) -> str:
    return ""


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ("a:{a}", "f: tags='a:{a}'; wanted: a tuple of templates, such as tags=('tenant:{tenant_id}',)"),
        (5, "f: tags=5; wanted: a tuple of templates, such as tags=('tenant:{tenant_id}',)"),
        ((5,), "f: tags= has 5; wanted: templates such as 'tenant:{tenant_id}', or functions of the arguments"),
        (("",), "f: tags= has ''; wanted: templates such as 'tenant:{tenant_id}', or functions of the arguments"),
        (("a:{",), "f: tags='a:{' is no template: Single '{' encountered in format string"),
        *(
            (
                (f"a:{{{field}}}",),
                f"f: tags='a:{{{field}}}' has {{{field}}}, which is no parameter; there are: 'a', 'b', 'args', 'c'. "
                "A template names parameters, and attributes of them as in {user.id}, without indices or formats"
                "; for more, give a function",
            )
            for field in ("x", "a.", "a.5", "a..b", "x.id", "a[0]", "a.id[0]", "a.id()", "a:5", "a!r", "")
        ),
        *(
            (
                (f"a:{{{field}}}",),
                f"f: tags='a:{{{field}}}' has {{{field}}}, and {private!r} is a private attribute; wanted: public "
                "ones, as in {user.id}; for more, give a function",
            )
            for field, private in (("a._id", "_id"), ("a.__class__", "__class__"), ("a.b.__dict__.c", "__dict__"))
        ),
        (
            (lambda x: "x",),
            "f: the function <lambda> in tags= cannot be called: too many positional arguments; wanted: one with "
            "some of the parameters by their names, 'a', 'b', 'args', 'c', or one that takes the call's arguments",
        ),
        ((later,), "f: the function later in tags= is a coroutine function; wanted: an ordinary one"),
        ((dict,), "f: the function dict in tags= does not tell its parameters; wrap it in a lambda that names them"),
    ],
)
def test_what_cannot_be_a_tag_is_refused(tags: Any, message: str) -> None:
    assert refusal(tags=tags) == message


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("x", "x"),
        (7, "7"),
        (True, "True"),
        (None, "None"),
        (1.5, "1.5"),
        (decimal.Decimal("1.50"), "1.50"),
        (uuid.UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        (datetime.date(2030, 1, 2), "2030-01-02"),
        (datetime.datetime(2030, 1, 2, 3), "2030-01-02 03:00:00"),
        ("schlüssel\udc80 {a}", "schlüssel\udc80 {a}"),
    ],
)
def test_plain_values_stand_as_they_are_written(value: object, text: str) -> None:
    f = cached(tags=("{{x}}:{a}",))(lambda a: [a])
    f(value)
    uncache_tag(f"{{x}}:{text}")
    assert f.peek(value) is MISSING


class Colour(enum.IntEnum):
    RED = 1


@pytest.mark.parametrize("value", [Colour.RED, (1,), b"x"])
def test_other_values_are_refused_at_the_call(value: object) -> None:
    @cached(tags=("a:{a}",))
    def f(a: object) -> object:
        return a

    for call in (f, f.peek, f.refresh, lambda a: f.uncache_where(a=a)):
        with pytest.raises(UnkeyableArgument) as refused:
            call(value)
        assert str(refused.value) == (
            f"test_other_values_are_refused_at_the_call.<locals>.f: parameter 'a' cannot be part of a tag, since it is "
            f"{with_article(type(value))}; tags= names parameters that are text, numbers, dates, UUIDs or None"
        )
    assert f.uncache(value) is False  # for which the tag does not matter


@pytest.mark.parametrize(
    ("tags", "some", "there"),
    [((), {"a": 1}, "none"), (("a:{a}",), {"a": 1, "b": 2}, "'a:{a}'"), (("all",), {}, "'all'")],
)
def test_uncache_where_needs_a_template_that_names_just_that(tags: Any, some: dict[str, int], there: str) -> None:
    def f(a: int, b: int = 2) -> int:
        return a

    f.__qualname__ = "f"
    wanted = ":".join(f"{{{name}}}" for name in some) or "{parameter}"
    with pytest.raises(ConfigurationError) as refused:
        cached(tags=tags)(f).uncache_where(**some)
    assert str(refused.value) == (
        f"f: uncache_where({', '.join(some)}) needs a template in tags= that names just these parameters, "
        f"such as tags=('f:{wanted}',); there are: {there}"
    )


def test_uncache_where_asks_for_an_attribute_of_what_is_no_text() -> None:
    class Author:
        id = 7

        def posts(self) -> int:
            return 3

    plain = cached(namespace="plain")(Author.posts)
    with pytest.raises(ConfigurationError, match=r"such as tags=\('.*Author\.posts:\{self\.id\}',\); there are: none$"):
        plain.uncache_where(self=Author())
    Author.posts = cached(tags=("Author.posts:{self.id}",))(Author.posts)  # type: ignore[method-assign]
    author = Author()
    author.posts()
    Author.posts.uncache_where(self=author)  # type: ignore[attr-defined]
    assert Author.posts.peek(author) is MISSING  # type: ignore[attr-defined]


def test_methods_and_keys_have_tags_too() -> None:
    class Shop:
        @cached(tags=("article:{article}",), key="{article}")
        def price(self, article: int, *, currency: str = "EUR") -> tuple[int, str]:
            return article, currency

        @cached(tags=("c:{currency}",))
        @classmethod
        def rate(cls, currency: str) -> object:
            return object()

    shop = Shop()
    assert shop.price(1) == shop.price(1, currency="USD")
    shop.price.uncache_where(article=1)
    assert shop.price(1, currency="USD") == (1, "USD")
    assert shop.price.many([(1,), (2,)]) == [(1, "USD"), (2, "EUR")]
    rate = Shop.rate("EUR")
    assert Shop.rate("EUR") is rate
    uncache_tag("c:EUR")
    assert Shop.rate("EUR") is not rate


class Tenant:
    """Somebody with reports, in a class of the module, that is known everywhere."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __cache_key__(self) -> int:
        return self.number


@pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine function"])
@pytest.mark.parametrize("is_method", [False, True], ids=["alone", "method"])
def test_uncache_where_takes_a_parameter_that_is_called_self(cache: Cache, *, is_async: bool, is_method: bool) -> None:
    numbers = itertools.count()

    async def later(self: Tenant, some: int) -> int:
        return next(numbers)

    def at_once(self: Tenant, some: int) -> int:
        return next(numbers)

    tags = ("tenant:{self.number}", "some:{some}")
    made: Any = cached(cache=cache, namespace="reports", tags=tags)(later if is_async else at_once)
    tenant = Tenant(7)
    f, call = (made.__get__(tenant), (5,)) if is_method else (made, (tenant, 5))

    async def ask(what: Callable[..., Any], *args: Any, **named: Any) -> Any:
        return await what(*args, **named) if is_async else what(*args, **named)

    async def main() -> None:
        where: dict[str, object]
        for where in ({"self": tenant}, {"some": 5}):
            first = await ask(f, *call)
            await ask(f.uncache_where, **where)
            assert await ask(f, *call) == first + 1

    asyncio.run(main())


def test_tags_that_can_be_read_once_only_are_those_of_every_function_and_method(cache: Cache) -> None:
    decorate = cached(cache=cache, namespace="shop", key="{tenant}", tags=(each for each in ("tenant:{tenant}",)))
    numbers = itertools.count()

    def price(tenant: int) -> int:
        return next(numbers)

    def method(shop: object, tenant: int) -> int:
        return next(numbers)

    class Shop:
        price = decorate(method)

    for function in (decorate(price), decorate(price), Shop().price):
        first = function(7)
        uncache_tag("tenant:7", cache)
        assert function(7) > first


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ((5,), "5; wanted: a tag as text, such as 'tenant:7'"),
        (("",), "''; wanted: a tag as text, such as 'tenant:7'"),
        (
            ("a", 5),
            "cache=5; wanted: a cache object, its name or URL, or None for the caches of all functions with this tag",
        ),
    ],
)
@pytest.mark.parametrize("forget", [uncache_tag, lambda *given: asyncio.run(auncache_tag(*given))], ids=["", "awaited"])
def test_uncache_tag_says_what_it_wants(forget: Any, given: Any, wanted: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        forget(*given)
    assert str(refused.value).removeprefix("a") == f"uncache_tag() got {wanted}"


def test_a_forgetting_by_tag_that_was_not_acknowledged_raises(own_memcached: MemcachedServer) -> None:
    cache = MemcachedCache([own_memcached.address], timeout=5)
    f = cached(cache=cache, namespace="f", tags=("a:{a}",))(lambda a: a)
    f(1)
    own_memcached.kill()
    with pytest.raises(
        UncacheFailed, match=r"the calls with this tag were forgotten, so that old results may still be served: "
    ):
        uncache_tag("a:1", cache)
    with pytest.raises(UncacheFailed, match=r"its calls were forgotten, so that old results may still be served: "):
        f.uncache_where(a=1)


def test_many_scopes_do_not_grow_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memocache._binding.MOST_SCOPES", 10)
    f = cached(tags=("a:{a}",))(lambda a: [a])
    results = [f(a) for a in range(25)]
    assert len(f._self_memoizer.binding()._scopes) <= 10
    assert all(f(a) is result for a, result in enumerate(results))
    uncache_tag("a:3")
    assert f(3) is not results[3]
    assert f(4) is results[4]


# ---- on a server -----------------------------------------------------------------------------------------------------


Asked = Callable[[Callable[[], object]], str]


@pytest.fixture
def remote(proxy: FaultProxy, prefix: str) -> Cache:
    """A cache on memcached, through the proxy."""
    return MemcachedCache([proxy.address], key_prefix=prefix, timeout=5)


@pytest.fixture
def asked(proxy: FaultProxy) -> Asked:
    """Does something and returns the commands that it took."""

    def commands(do: Callable[[], object]) -> str:
        before = len(proxy.requests)
        do()
        return " ".join(line.split()[0].decode() for line in proxy.requests[before:])

    return commands


def test_a_hit_with_generations_is_one_round_trip(remote: Cache, asked: Asked) -> None:
    f = cached(cache=remote, namespace="f", tags=("a:{a}", "b:{b}", "all"))(lambda a, b: a)
    f(1, 1)
    assert asked(lambda: f(1, 1)) == "get"
    assert asked(lambda: f.peek(1, 1)) == "get"
    assert asked(lambda: f.many([(1, 1)])) == "get"
    assert asked(lambda: f.uncache_where(a=1)) == "set"
    assert asked(lambda: f(1, 1)) == "get gets cas gets cas"
    assert asked(lambda: f(1, 1)) == "get"


def test_many_hits_are_one_round_trip(remote: Cache, asked: Asked) -> None:
    f = cached(cache=remote, namespace="f", tags=("a:{a}",))(lambda a: a)
    calls = [(a,) for a in range(50)]
    assert f.many(calls) == list(range(50))
    assert asked(lambda: f.many(calls)) == "get"
    assert f.info().hits == 50


def test_what_is_stale_costs_one_caller_three_round_trips(remote: Cache, asked: Asked) -> None:
    with freeze_time("2030-01-01") as clock:
        f = cached(cache=remote, namespace="f", timeout=60, stale=60)(lambda a: f.info().misses)
        assert f(1) == 1
        clock.tick(timedelta(seconds=61))
        old: list[int] = []
        commands = asked(lambda: (old.append(f(1)), wait_for(f, lambda info: info.stored == 2)))
        assert commands == "get gets cas gets cas"  # the last two are the refresh itself, in the background
        assert old == [1]
        assert asked(lambda: f(1)) == "get"
        assert f(1) == 2


def test_a_generation_that_was_evicted_brings_nothing_back(memcached: MemcachedServer, prefix: str) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix, timeout=5)
    f = cached(cache=cache, namespace="f", tags=("a:{a}",))(lambda a: f.info().misses)
    assert f(1) == 1
    cache.delete(tag_name("a:1"))
    assert f.peek(1) is MISSING
    assert f(1) == 2
    uncache_tag("a:1", cache)
    cache.delete(tag_name("a:1"))
    assert f(1) == 3
    assert f(1) == 3


class User:
    def __init__(self, id: object, tenant: int) -> None:
        self.id, self.tenant = id, tenant

    def __cache_key__(self) -> object:
        return self.id


def test_a_tag_may_be_of_an_attribute() -> None:
    @cached(tags=("tenant:{user.tenant}", "month:{month}"))
    def report(user: User, month: str) -> object:
        return object()

    ann, eve = User("ann", 1), User("eve", 2)
    first, second = report(ann, "May"), report(eve, "May")
    uncache_tag("tenant:1")
    assert report(ann, "May") is not first
    assert report(eve, "May") is second
    report.uncache_where(user=User("somebody", 2))
    assert report(eve, "May") is not second
    third = report(ann, "May")
    assert report(ann, "May") is third
    ann.tenant = 3  # with another tag it is another group's
    assert report(ann, "May") is not third


def test_an_attribute_in_a_tag_must_be_plain() -> None:
    @cached(tags=("tenant:{user.tenant}",))
    def report(user: User) -> None: ...

    with pytest.raises(UnkeyableArgument, match=r"attribute 'user.tenant' cannot be part of a tag, since it is a list"):
        report(User("ann", []))  # type: ignore[arg-type]


def test_an_attribute_that_is_not_there_says_in_which_template() -> None:
    @cached(tags=("tenant:{user.boss.tenant}",))
    def report(user: Any) -> None: ...

    with pytest.raises(AttributeError, match="'User' object has no attribute 'boss'") as missing:
        report(User("ann", 1))
    assert [note.partition("report: ")[2] for note in missing.value.__notes__] == [
        "tags='tenant:{user.boss.tenant}' names {user.boss.tenant}"
    ]


# ---- functions -------------------------------------------------------------------------------------------------------


def tenant_of(user: User, suffix: str = "") -> str:
    return f"tenant:{user.tenant}{suffix}"


@pytest.mark.parametrize(
    "function",
    [
        tenant_of,
        lambda user: f"tenant:{user.tenant}",
        lambda month, user: f"tenant:{user.tenant}",
        lambda somebody, month: f"tenant:{somebody.tenant}",
        lambda user, /, *others: f"tenant:{user.tenant}",
        lambda *call: f"tenant:{call[0].tenant}",
    ],
)
def test_a_tag_may_be_what_a_function_returns(function: Any) -> None:
    @cached(tags=(function, "month:{month}"))
    def report(user: User, month: str = "May") -> object:
        return object()

    ann, eve = User("ann", 1), User("eve", 2)
    first, second = report(ann), report(eve)
    assert report(ann) is first
    uncache_tag("tenant:1")
    assert report(ann) is not first
    assert report(eve) is second
    uncache_tag("month:May")
    assert report(eve) is not second
    third = report(ann)
    ann.tenant = 3
    assert report(ann) is not third


def test_the_calls_of_a_function_that_names_them_are_forgotten_by_their_arguments() -> None:
    @cached(tags=("all", tenant_of))
    def report(user: User, suffix: str, month: str = "May") -> object:
        return object()

    ann = User("ann", 1)
    first = report(ann, "x")
    report.uncache_where(user=ann, suffix="y")
    assert report(ann, "x") is first
    report.uncache_where(user=ann, suffix="x")
    assert report(ann, "x") is not first
    with pytest.raises(ConfigurationError, match=r"there are: 'all', 'tenant_of'$"):
        report.uncache_where(user=ann)


@pytest.mark.parametrize(("tag", "what"), [(7, "an int"), (None, "a NoneType"), ("", "''"), (["a"], "a list")])
def test_what_a_function_returns_must_be_a_text(tag: object, what: str) -> None:
    f = cached(tags=(lambda a: tag,))(lambda a: a)
    with pytest.raises(
        UnkeyableArgument, match=rf"the function <lambda> in tags= returned {what}; wanted: the text of"
    ):
        f(1)


def test_an_error_of_a_function_for_a_tag_comes_through() -> None:
    f = cached(tags=(lambda a: 1 // a,))(lambda a: a)
    with pytest.raises(ZeroDivisionError):
        f(0)


def test_a_method_has_tags_of_functions_too() -> None:
    class Shop:
        name = "a"

        @cached(tags=(lambda self: f"shop:{self.name}", lambda article: f"article:{article}"))
        def price(self, article: int) -> object:
            return object()

    shop = Shop()
    for tag in ("shop:a", "article:7"):
        old = shop.price(7)
        assert shop.price(7) is old
        uncache_tag(tag)
        assert shop.price(7) is not old


# ---- on which caches ---------------------------------------------------------------------------------------------


def tagged(cache: object, tag: str = "t:{x}", **options: Any) -> Any:
    """Return a cached function with a tag, that returns a list of its own for each computation."""
    return cached(cache=cache, tags=(tag,), **options)(lambda x: [x])


@pytest.mark.parametrize("awaited", [False, True], ids=["uncache_tag", "auncache_tag"])
def test_a_tag_is_forgotten_on_every_cache_of_a_function_that_may_have_it(awaited: bool) -> None:
    chosen = SimpleCache()
    configure(elsewhere="memory://?threshold=9")
    functions = [
        tagged(None),
        tagged(SimpleCache()),
        tagged("elsewhere", "{x.real}:{x}"),
        tagged("memory://?threshold=8", "{x}"),
        tagged(ForeignCache({}), namespace="tags.everywhere"),
        tagged(lambda: chosen),
        cached(tags=(lambda x: f"t:{x}", "{x}:{x}"))(lambda x: [x]),
    ]
    keys: list[Any] = [7, 7, 7, "t:7", 7, 7, 7]
    other = tagged(SimpleCache(), "u:{x}")
    results = [f(x) for f, x in zip(functions, keys, strict=True)]
    forget = (lambda tag: asyncio.run(auncache_tag(tag))) if awaited else uncache_tag
    for tag in ("t:7", "7:7"):
        kept = other(7)
        forget(tag)
        assert other(7) is kept
    assert all(f(x) is not old for f, x, old in zip(functions, keys, results, strict=True))


def test_a_tag_of_no_function_here_is_forgotten_on_the_default_cache() -> None:
    f = tagged(None)
    old = f(7)
    name = f._self_memoizer.tags.of_call((7,))
    del f
    gc.collect()
    uncache_tag("t:7")
    scope = ("anything", *name)
    assert old == [7]
    assert default_cache().peek(["key"], [scope], 0.0) == [None]
    assert len(default_cache()) == 0  # type: ignore[arg-type]


def test_when_a_cache_fails_the_others_forget_all_the_same() -> None:
    first, last = tagged(SimpleCache()), tagged(SimpleCache(threshold=4))
    down = tagged(MemcachedCache(["/nobody/listens"]), namespace="tags.down")
    old = first(7), last(7)

    def request() -> SimpleCache:
        raise LookupError("there is no request")

    outside = tagged(request)
    with pytest.raises(UncacheFailed) as failed:
        uncache_tag("t:7")
    assert "not all caches acknowledged that the calls with this tag were forgotten" in str(failed.value)
    assert "cache= of a function raised LookupError: there is no request" in str(failed.value)
    assert "MemcachedCache([/nobody/listens]" in str(failed.value)
    assert first(7) is not old[0]
    assert last(7) is not old[1]
    with pytest.raises(UncacheFailed, match="the cache did not acknowledge that the calls with this tag"):
        uncache_tag("t:7", down.cache)
    uncache_tag("u:7")  # which none of them may have
    assert outside is not None


def test_a_cache_that_is_configured_under_no_name_has_nothing_to_forget() -> None:
    f = tagged("nobody_has_configured_this")
    uncache_tag("t:7")
    assert f is not None
