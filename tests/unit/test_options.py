"""The options copy, wait and cache of cached; and the words of others."""

import functools
import inspect
from collections.abc import Callable
from datetime import timedelta
from inspect import Parameter
from typing import Any

import cachelib
import pytest

from memocache import MemcachedCache, RedisCache, SimpleCache, SQLiteCache, cached, code, subscribe, uncaches
from memocache._options import MoreOptions
from memocache.errors import title_of
from tests.support.refusals import refusal
from tests.support.threads import PATIENCE, Held, Joins, start

# ---- copy --------------------------------------------------------------------------------------------------------


def test_copy_keeps_callers_from_changing_what_is_stored() -> None:
    f = cached(copy=True)(lambda: [[]])
    for call in (f, f, f, f.peek, f, f.refresh, f, f):
        value = call()
        assert value == [[]]
        value[0].append("changed")
    given = [[1]]
    f.put(given)
    given[0].append("changed")
    assert f() == [[1]]


def test_copy_may_be_a_function_that_copies() -> None:
    f = cached(copy=list)(lambda: [[]])
    first = f()
    first.append(1)
    first[0].append("seen, for list() is shallow")
    assert f() == [["seen, for list() is shallow"]]


@pytest.mark.parametrize("copy", ["yes", 1, None, []], ids=repr)
def test_copy_must_be_a_function_or_a_bool(copy: object) -> None:
    wanted = "wanted: True for a deep copy, False, or a function that copies a result"
    assert refusal(cached, copy=copy) == f"copy={copy!r}; {wanted}"


# ---- wait --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wait", [0, 0.5, "5s", timedelta(seconds=1), 1e300])
def test_wait_takes_durations_and_0(wait: object) -> None:
    assert cached(wait=wait)(lambda: 1)() == 1


def test_wait_longer_than_a_lock_can_is_as_long_as_it_can(joins: Joins) -> None:
    held = Held(object)
    f = cached(wait=1e300)(lambda: held())
    leader = start(f)
    held.wait()
    waiter = start(f)
    joins.wait(1)
    held.go()
    assert leader.result(PATIENCE) is waiter.result(PATIENCE)
    assert f.info().waits == 1


def test_a_negative_wait_is_refused() -> None:
    assert refusal(cached, wait=-1) == "wait=-1 is negative; wanted: seconds, 0 for not to wait"


# ---- cache -------------------------------------------------------------------------------------------------------


def test_a_cache_object_is_used() -> None:
    cache = SimpleCache()
    f = cached(cache=cache)(lambda: object())
    assert f() is f()
    assert f.cache is cache
    assert len(cache) == 1


def test_a_function_that_gives_the_cache_is_asked_for_each_call() -> None:
    caches = [SimpleCache(), SimpleCache()]
    now = 0
    f = cached(cache=lambda: caches[now])(lambda: object())
    first = f()
    assert f() is first
    now = 1
    assert f.cache is caches[1]
    assert f() is not first
    assert f.uncache() is True
    now = 0
    assert f() is first
    assert f.info().hits == 2


def answer(*args: object) -> int:
    """Return the answer."""
    return 42


@pytest.mark.parametrize(("junk", "kind"), [(None, "NoneType"), ([], "list"), ("memcached://", "str")])
def test_a_function_that_gives_something_else_is_told_to_the_caller(junk: object, kind: str) -> None:
    f = cached(cache=lambda: junk, namespace="f")(answer)
    for call in (f, f.uncache, f.peek, f.info):
        assert refusal(call) == f"answer: the function given as cache= returned a {kind}; wanted: a cache object"


@pytest.mark.parametrize(("cache", "kind"), [([], "a list"), (5, "an int"), (True, "a bool"), (b"a", "a bytes")])
def test_what_is_no_cache_is_refused(cache: object, kind: str) -> None:
    assert refusal(cached, cache=cache) == (
        f"cache= got {kind}; wanted: a cache object such as SimpleCache() or MemcachedCache(['127.0.0.1:11211']), "
        "its URL, a name that configure() is given, any object with get, set and delete, a function without arguments "
        "that returns one, "
        "or None for the default cache"
    )


def test_a_function_that_gives_the_cache_takes_no_arguments() -> None:
    assert refusal(cached, cache=lambda tenant: None) == (
        "cache= got test_a_function_that_gives_the_cache_takes_no_arguments.<locals>.<lambda>, which cannot be called "
        "without arguments: missing a required argument: 'tenant'; wanted: a function that can, and returns a cache"
    )


async def later(*args: object) -> None:
    """Answer later."""


class Later:
    async def __call__(self, *args: object) -> None:
        """Answer later."""


LATER = [(later, "later"), (Later(), "a Later"), (functools.partial(Later(), 1), "a partial")]


@pytest.mark.parametrize(("function", "name"), LATER, ids=[name for _, name in LATER])
@pytest.mark.parametrize("option", ["timeout", "unless", "copy", "cache", "key", "call", "after", "subscribe"])
def test_a_function_that_nobody_would_await_is_refused(option: str, function: Any, name: str) -> None:
    f = cached(namespace="f")(answer)
    ways: dict[str, Callable[[], object]] = {
        "key": lambda: cached(key=function)(answer),
        "call": lambda: uncaches(f, call=function)(answer),
        "after": lambda: uncaches(f, every=True, after=function)(answer),
        "subscribe": lambda: subscribe(function),
    }
    titles = {"key": "answer: key=", "call": "uncaches(answer): call=", "subscribe": "subscribe()"}
    titles["after"] = "uncaches(answer): after="
    refused = refusal(ways.get(option, lambda: cached(**{option: function})))
    assert refused == f"{titles.get(option, f'{option}=')} got {name}, a coroutine function; wanted: an ordinary one"


def test_a_class_of_caches_is_refused_for_each_call_would_make_one() -> None:
    for kind in (SimpleCache, dict, cachelib.FileSystemCache):
        assert refusal(cached, cache=kind) == (
            f"cache={kind.__name__} is a class; wanted: a cache object that is kept, {kind.__name__}(...)"
        )


class Labels:
    def label(self) -> int:
        return 2


@pytest.mark.parametrize("function", [code, answer, len, Labels().label, cached(answer)], ids=title_of)
def test_a_function_is_no_version(function: Any) -> None:
    name = title_of(function)
    for version in (function, (function, 2)):
        assert refusal(cached, version=version) == (
            f"version= got the function {name}, which would never be another version; wanted: a value such as 2, or "
            f"what the function returns, {name}()"
        )


# ---- other words -------------------------------------------------------------------------------------------------

USE = {
    "timeout=": "ttl expire expires expiration expiration_time expiry max_age seconds stale_after timeout_seconds "
    "cache_validation_callback",
    "a cache that is bounded: cache=SimpleCache(threshold=...)": "maxsize max_size max_entries",
    "namespace= (or key_prefix= of the cache object)": "key_prefix",
    "timeout=, and stale= for the rest of the ttl": "soft_ttl early_ttl",
    "namespace=": "prefix name make_name",
    "key=": "key_builder key_func make_cache_key make_key function_key_generator hash_func",
    "ignore=": "args_to_ignore exclude",
    "ignore=('self',)": "noself",
    "unless=": "skip_cache_func",
    "unless= (with the opposite answer)": "response_filter should_cache_fn condition",
    "errors=": "cache_exceptions cache_errors",
    "stale=": "grace stale_ttl stale_while_revalidate stale_if_error next_time",
    "wait=": "wait_for_calc_timeout lease",
    "tags=": "tag group groups depends_on",
    "cache=": "backend alias region",
    "cache= with a cache object or a URL": "endpoint port",
    "cache=SQLiteCache(...)": "cache_dir",
    "cache=RedisCache(...)": "redis_client",
    "version=memocache.code()": "source_check",
    "refresh() of the decorated function": "forced_update",
    "many() of the decorated function": "keys_from_attr",
    "the serializer of the cache object": "serializer coder",
}
NEEDS_NONE = {
    "arguments of different types always have entries of their own": "typed",
    "calls from several threads at once are always computed once": "lock protected",
    "every decorated function has .info()": "info",
    "arguments are always hashed in full": "hash_method",
    "None is stored like any value; where it is not wanted, unless=lambda result: result is None": (
        "cache_none allow_none"
    ),
}


@pytest.mark.parametrize(("right", "words"), USE.items())
def test_the_words_of_others_are_answered_with_ours(right: str, words: str) -> None:
    for word in words.split():
        assert refusal(cached, **{word: 1}) == f"cached() has no option {word!r}; use {right}"


@pytest.mark.parametrize(("reason", "words"), NEEDS_NONE.items())
def test_what_goes_without_saying_is_said(reason: str, words: str) -> None:
    for word in words.split():
        assert refusal(cached, **{word: 1}) == f"cached() has no option {word!r} and needs none: {reason}"


@pytest.mark.parametrize(
    "given", [SimpleCache(), {}, "redis://ann:sesame@127.0.0.1"], ids=lambda value: type(value).__name__
)
def test_a_cache_is_no_timeout(given: object) -> None:
    name = type(given).__name__
    for refused in (refusal(cached, given), refusal(cached, timeout=given)):
        assert refused == f"timeout= got a {name} that is a cache; use cache="


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SimpleCache(maxsize=5), "SimpleCache() has no option 'maxsize'; use threshold="),
        (lambda: SimpleCache(500, ttl=5), "SimpleCache() has no option 'ttl'; use default_timeout="),
        (lambda: SimpleCache(timeout=5), "SimpleCache() has no option 'timeout'; use default_timeout="),
        (lambda: SQLiteCache("x.db", max_size=5), "SQLiteCache() has no option 'max_size'; use size_limit="),
        (lambda: SQLiteCache("x.db", threshold=5), "SQLiteCache() has no option 'threshold'; use size_limit="),
        (lambda: SQLiteCache(directory="x"), "SQLiteCache() has no option 'directory'; use path="),
        (lambda: SQLiteCache(database="x.db"), "SQLiteCache() has no option 'database'; use path="),
        (lambda: MemcachedCache(prefix="a"), "MemcachedCache() has no option 'prefix'; use key_prefix="),
        (lambda: MemcachedCache(host="a"), "MemcachedCache() has no option 'host'; use servers=['127.0.0.1:11211']"),
        (
            lambda: RedisCache(host="a"),
            "RedisCache() has no option 'host'; use url_or_client='redis://127.0.0.1:6379/0'",
        ),
        (
            lambda: RedisCache(url="redis://a"),
            "RedisCache() has no option 'url'; use url_or_client='redis://127.0.0.1:6379/0'",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_cache_answers_the_words_of_others_with_ours(make: Callable[[], object], message: str) -> None:
    assert refusal(make) == message


class Answering:
    @cached
    def f(self, x: int) -> int:
        return x

    @cached
    @classmethod
    def of_class(cls, x: int) -> int:
        return x

    @cached
    async def later(self, x: int) -> int:
        return x

    @cached
    def noted(self, x: int) -> int:
        return x

    noted.note = 1  # type: ignore[attr-defined]


ANSWERING = [
    ("function", "function", Answering.f),
    ("method", "method", Answering().f),
    ("class method", "method", Answering.of_class),
    ("coroutine method", "method", Answering().later),
    ("method with attributes", "method", Answering().noted),
]


@pytest.mark.parametrize(("kind", "f"), [each[1:] for each in ANSWERING], ids=[each[0] for each in ANSWERING])
def test_a_cached_function_answers_the_words_of_others_with_ours(kind: str, f: Any) -> None:
    for words, right in [
        ("invalidate delete evict expire cache_delete", "uncache()"),
        ("clear reset invalidate_all delete_memoized", "uncache_all()"),
        ("make_cache_key", "key()"),
        ("call", "refresh()"),
        ("get check_call_in_cache", "peek()"),
        ("set precache_value", "put()"),
        ("stats cache_parameters", "info()"),
        ("original", "__wrapped__"),
    ]:
        for word in words.split():
            assert not hasattr(f, word)
            assert word not in dir(f)
            with pytest.raises(AttributeError) as missing:
                getattr(f, word)
            assert str(missing.value) == f"a cached {kind} has no attribute {word!r}; use {right}"
    with pytest.raises(AttributeError, match="object has no attribute 'colour'"):
        f.colour


def test_an_attribute_of_the_user_s_may_have_such_a_name() -> None:
    class Shop:
        @cached
        def price(self, x: int) -> int:
            return x

        price.delete = "with a lock"  # type: ignore[attr-defined]

    shop: Any = Shop()
    assert (shop.price.delete, Shop.price.delete) == ("with a lock", "with a lock")  # type: ignore[attr-defined]
    assert "delete" in dir(shop.price)
    assert (shop.price(1), shop.price(1), shop.price.info().hits) == (1, 1, 1)


def test_an_unknown_word_is_answered_with_all_of_ours() -> None:
    assert refusal(cached, colour="red") == (
        "cached() has no option 'colour'; it has: timeout, key, cache, namespace, version, ignore, "
        "unless, errors, stale, jitter, tags, copy, wait, view, vary"
    )


@pytest.mark.parametrize(
    "call",
    [lambda: cached(1, "{x}", 2), lambda: cached(len, timeout=3), lambda: cached(5, "{x}", key="{x}")],
    ids=["too many", "a function and timeout=", "key twice"],
)
def test_options_in_the_wrong_place_are_refused(call: Callable[[], object]) -> None:
    assert refusal(call) == (
        "cached() takes timeout and key in this order, and all else by name; "
        "to decorate a function in one line, write cached(timeout=300)(function)"
    )


def test_checkers_are_told_of_every_option() -> None:
    assert list(MoreOptions.__annotations__) == list(inspect.signature(cached).parameters)[2:]
    assert {each.kind for each in list(inspect.signature(cached).parameters.values())[2:]} == {Parameter.KEYWORD_ONLY}
