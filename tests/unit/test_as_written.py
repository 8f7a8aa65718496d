"""Wrappers, partials and callables get the arguments as the caller wrote them, as functools.lru_cache gives them."""

import asyncio
import functools
import inspect
import sys
import threading
from collections.abc import Callable
from typing import Any

import freezegun
import pytest

from memocache import Cache, SimpleCache, UnkeyableArgument, cached

# What each wrapper is of, how it is written, and the calls of it.
WRAPPERS: dict[str, tuple[str, str, list[tuple[tuple[Any, ...], dict[str, Any]]]]] = {
    "a default of its own": (
        "g(x, scale=1): return x, scale",
        "w(x, scale=10): return g(x, scale)",
        [((2,), {}), ((2, 1), {}), ((), {"x": 2, "scale": 10}), ((), {"scale": 1, "x": 2})],
    ),
    "what it gives if it was not given": (
        "g(user_id, session=None): return user_id, session",
        "w(*args, **kwargs):\n"
        "    if 'session' in kwargs or len(args) > 1: return g(*args, **kwargs)\n"
        "    return g(*args, session='a session', **kwargs)",
        [((1,), {}), ((), {"user_id": 1}), ((1, "mine"), {}), ((1,), {"session": "mine"})],
    ),
    "what it gives though it is required": (
        "g(user_id, session): return user_id, session",
        "w(*args, **kwargs): return g(*args, session='a session', **kwargs)",
        [((1,), {}), ((), {"user_id": 1}), ((), {})],
    ),
    "a name that it looks for": (
        "g(user_id): return user_id",
        "w(*args, **kwargs): return kwargs['user_id']",
        [((1,), {}), ((), {"user_id": 1})],
    ),
    "an argument of its own": (
        "g(x, scale=1): return x, scale",
        "w(*args, verbose=False, **kwargs): return verbose, g(*args, **kwargs)",
        [((2,), {}), ((2,), {"verbose": True}), ((2, 3), {"verbose": 1}), ((1, 2, 3), {})],
    ),
    "an argument that it takes away": (
        "g(x): return x",
        "w(*args, **kwargs): return kwargs.pop('verbose', 'not given'), g(*args, **kwargs)",
        [((2,), {}), ((2,), {"verbose": True}), ((2,), {"verbose": 1})],
    ),
    "a position of its own": (
        "g(x): return x",
        "w(x, verbose=False): return verbose, g(x)",
        [((2,), {}), ((2, True), {}), ((2,), {"verbose": True})],
    ),
    "positions only": (
        "g(x, scale=1): return x, scale",
        "w(*args): return g(*args)",
        [((), {"x": 2}), ((2,), {}), ((2, 3), {}), ((), {})],
    ),
    "another order": (
        "g(a, b): return a, b",
        "w(b, a, **kwargs): return g(a, b)",
        [((1, 2), {}), ((), {"a": 1, "b": 2}), ((2, 1), {})],
    ),
    "its first by another name": (
        "g(this, *rest, last='l', **more): return this, rest, last, more",
        "w(first, *args, **kwargs): return g(first, *args, **kwargs)",
        [((1,), {}), ((1, 2, 3), {}), ((1,), {"last": 2}), ((1,), {"other": 2})],
    ),
}  # fmt: skip


def made(of: str, source: str, *, is_async: bool) -> Callable[..., Any]:
    names: dict[str, Any] = {"__name__": __name__}
    exec(f"def {of}\n{'async ' if is_async else ''}def {source}", names)
    return functools.wraps(names["g"])(names["w"])


def outcome(call: Callable[..., Any], *args: Any, **kwargs: Any) -> object:
    """Return what a call returns or raises; awaited, if that is to be done."""
    try:
        result = call(*args, **kwargs)
        return asyncio.run(result) if inspect.iscoroutine(result) else result
    except Exception as error:  # noqa: BLE001
        return type(error), str(error)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("what", WRAPPERS)
def test_a_wrapper_gets_what_the_caller_wrote(cache: Cache, what: str, is_async: bool) -> None:
    of, source, calls = WRAPPERS[what]
    plain = made(of, source, is_async=is_async)
    for args, kwargs in calls:
        f = cached(cache=cache, namespace=what + str(calls.index((args, kwargs))))(plain)
        wanted = outcome(plain, *args, **kwargs)
        assert outcome(f, *args, **kwargs) == wanted
        assert outcome(f, *args, **kwargs) == wanted
        assert outcome(f.refresh, *args, **kwargs) == wanted
        if args and not kwargs:
            f.cache_clear() if not is_async else asyncio.run(f.cache_clear())
            many = outcome(f.many, [args])
            assert many == ([wanted] if isinstance(many, list) else wanted)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("what", WRAPPERS)
def test_the_calls_of_a_wrapper_never_meet_each_other_s_results(cache: Cache, what: str, is_async: bool) -> None:
    of, source, calls = WRAPPERS[what]
    plain = made(of, source, is_async=is_async)
    f = cached(cache=cache, namespace=what)(plain)
    for args, kwargs in [*calls, *reversed(calls)]:
        wanted = outcome(plain, *args, **kwargs)
        found = outcome(f, *args, **kwargs)
        # What the same call raises in another spelling may be served as a hit.
        assert found == wanted or wanted[0] in (TypeError, KeyError)  # type: ignore[index]


@pytest.mark.parametrize("is_async", [False, True])
def test_equal_calls_of_a_wrapper_share_a_key(cache: Cache, is_async: bool) -> None:
    of = "g(x, scale=1): return x, scale"
    for source, default in {
        "w(*args, **kwargs): return g(*args, **kwargs)": 1,
        "w(x, *args, **kwargs): return g(x, *args, **kwargs)": 1,
        "w(x, scale=10): return g(x, scale)": 10,
        "w(*args, scale=10, **kwargs): return g(*args, scale=scale, **kwargs)": 10,
    }.items():
        f = cached(cache=cache, namespace=source)(made(of, source, is_async=is_async))
        keys = {f.key(2), f.key(x=2), f.key(2, scale=default), f.key(scale=default, x=2)}
        assert len(keys) == 1
        assert len({*keys, f.key(2, scale=3), f.key(3)}) == 3
        outcome(f, x=2)
        computed = f.info().misses
        outcome(f, 2), outcome(f, 2, scale=default)
        assert f.info().misses == computed


# Of what is left out, nobody can say whether it, or the first, is filled in. So nothing may be made of it.
FILLS_IN_THE_FIRST = "w(*args, **kwargs): return g('a session', *args, **kwargs)"
FILLS_IN_BY_NAME = "w(*args, **kwargs): return g(*args, session='a session', **kwargs)"
LEFT_OUT = (
    "it was left out, so that another decorator below fills in this parameter or another one, and the arguments may be "
    "for others than they seem to be: put that decorator above"
)
WHERE = {
    "key": ({"key": "{user_id}"}, "g: parameter 'user_id' has no stable key: "),
    "key of an attribute": ({"key": "{user_id.real}"}, "g: key='{user_id.real}' names {user_id.real}; "),
    "key function": ({"key": lambda session, user_id: user_id}, "g: the result of key= has no stable key: "),
    "text of it": ({"key": lambda session, user_id: f"{user_id}"}, ""),
    "or nothing": ({"key": lambda session, user_id: user_id or 0}, ""),
    "ignore": ({"ignore": ("session",)}, "g: parameter 'user_id' has no stable key: "),
    "tags": ({"tags": ("user:{user_id}",)}, "g: tags='user:{user_id}' names {user_id}; "),
    "tag function": ({"tags": (lambda user_id: f"user:{user_id}",)}, ""),
}


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("where", WHERE)
def test_what_may_be_for_another_parameter_is_refused(cache: Cache, where: str, is_async: bool) -> None:
    options, told = WHERE[where]
    plain = made("g(session, user_id): return user_id", FILLS_IN_THE_FIRST, is_async=is_async)
    f: Any = cached(cache=cache, namespace=where, **options)(plain)
    assert outcome(plain, 1) == 1
    assert outcome(f, user_id=1) == 1
    assert outcome(f, user_id=2) == 2
    calls = [f, f.peek, f.refresh, functools.partial(f.put, 3), lambda *args: f.many([args])]
    for call in (*calls, *([f.uncache] if where != "tags" and where != "tag function" else [])):
        assert outcome(call, 1) == (UnkeyableArgument, told + LEFT_OUT)


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("where", WHERE)
def test_what_is_beside_the_key_may_be_filled_in(cache: Cache, where: str, is_async: bool) -> None:
    options, _ = WHERE[where]
    plain = made("g(user_id, session): return user_id", FILLS_IN_BY_NAME, is_async=is_async)
    if callable(options.get("key")):
        options = {"key": lambda user_id, session: user_id}
    f = cached(cache=cache, namespace=where, **options)(plain)
    assert [outcome(f, 1), outcome(f, 2), outcome(f, user_id=1), outcome(f, 2)] == [1, 2, 1, 2]
    assert f.info().misses == 2


def test_an_instance_is_not_taken_for_another_argument() -> None:
    plain = made("g(self, user_id, session): return [user_id]", FILLS_IN_BY_NAME, is_async=False)
    plain.__qualname__ = "Account.load"
    Account = type("Account", (), {"load": cached(ignore=("self",))(plain)})
    assert [Account().load(1), Account().load(2), Account().load(user_id=1)] == [[1], [2], [1]]
    assert Account.load.info().misses == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_a_wrapper_that_others_wrap_is_still_called_by_its_own_parameters(cache: Cache, is_async: bool) -> None:
    names = {
        "g": made(
            "g(session, user_id): return user_id", "w(user_id): return g('a session', user_id)", is_async=is_async
        )
    }
    word, wait = ("async ", "await ") if is_async else ("", "")
    exec(f"{word}def w(*args, **kwargs): return {wait}g(*args, **kwargs)", names)
    f = cached(cache=cache, namespace="outer", key="{user_id}")(functools.wraps(names["g"])(names["w"]))
    assert [outcome(f, 1), outcome(f, 2), outcome(f, user_id=1)] == [1, 2, 1]
    assert f.info().misses == 2


class Shop:
    """Methods below and above wrappers of each kind."""

    def _wrapped(function: Any) -> Any:  # type: ignore[misc]
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return "given", len(args), sorted(kwargs), function(*args, **kwargs)

        return wrapper

    @cached
    @_wrapped
    def method(self, x, y=1):
        return x, y

    @cached
    @classmethod
    @_wrapped
    def class_method(cls, x, y=1):
        return x, y

    @classmethod
    @cached
    @_wrapped
    def below(cls, x, y=1):
        return x, y

    @cached
    @staticmethod
    @_wrapped
    def static_method(x, y=1):
        return x, y


@pytest.mark.parametrize(("name", "first"), [("method", 1), ("class_method", 1), ("below", 1), ("static_method", 0)])
def test_methods_get_what_the_caller_wrote(name: str, first: int) -> None:
    shop = Shop()
    method = getattr(shop, name)
    method.uncache_all()
    assert method(1) == ("given", first + 1, [], (1, 1))
    assert method(x=1) is method(1, y=1) is method(1)
    assert method(x=2) == ("given", first, ["x"], (2, 1))
    assert method(3, y=2) == ("given", first + 1, ["y"], (3, 2))
    if name == "below" and sys.version_info >= (3, 13):
        return  # there, a class method is no bound cached function, and the methods of the latter take the class, too
    assert method.refresh(y=2, x=3) == ("given", first, ["x", "y"], (3, 2))
    assert method.many([(4,), {"x": 5}]) == [("given", first + 1, [], (4, 1)), ("given", first, ["x"], (5, 1))]


class Callables:
    """Objects that can be called: one says nothing of it, one looks like a function, one claims a signature."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return args, kwargs


def described(x: int, y: int = 1) -> Any:
    return x, y


def claiming(*args: Any, **kwargs: Any) -> Any:
    return args, kwargs


claiming.__signature__ = inspect.signature(described)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "function",
    [Callables(), functools.update_wrapper(Callables(), described), claiming],
    ids=["plain", "named", "claims"],
)
def test_a_callable_gets_what_the_caller_wrote(function: Any) -> None:
    f = cached(cache=SimpleCache(), namespace="callables")(function)
    assert f(1) == ((1,), {})
    assert f(2, 3) == ((2, 3), {})
    assert f(x=4) == ((), {"x": 4})
    assert f(5, y=6) == ((5,), {"y": 6})


def test_a_partial_is_called_as_it_is() -> None:
    for partial in (
        functools.partial(described, 1),
        functools.update_wrapper(functools.partial(described, 1), described),
    ):
        f = cached(cache=SimpleCache(), namespace="partial")(partial)
        assert [f(), f(2), f(y=3), f(2)] == [(1, 1), (1, 2), (1, 3), (1, 2)]
        assert f.key(2) == f.key(y=2)
        with pytest.raises(TypeError):
            f(2, 3)
    named = cached(cache=SimpleCache(), namespace="partial")(functools.partial(described, y=5))
    assert [named(1), named(x=1), named(1, y=6)] == [(1, 5), (1, 5), (1, 6)]


def test_builtins_get_what_the_caller_wrote() -> None:
    f = cached(cache=SimpleCache())(divmod)
    assert f(7, 2) == (3, 1)
    with pytest.raises(TypeError, match="divmod expected 2 arguments, got 1"):
        f(7)


def test_a_refresh_in_the_background_is_the_call_as_it_was_written(cache: Cache) -> None:
    computed = threading.Event()

    def plain(x: int, y: int = 1) -> None: ...

    @functools.wraps(plain)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        computed.set()
        return [list(args), kwargs]

    f = cached(timeout=10, stale=60, cache=cache, namespace="refreshed")(wrapper)
    with freezegun.freeze_time("2030-01-01 00:00:00") as clock:
        assert f(x=2) == [[], {"x": 2}]
        clock.tick(20)
        computed.clear()
        assert f(2) == [[], {"x": 2}]  # the old one, and the refresh is this call's
        assert computed.wait(10)
        deadline = threading.Event()
        while f.peek(2) == [[], {"x": 2}]:
            deadline.wait(0.001)
        assert f(x=2) == [[2], {}]


def test_what_a_signature_does_not_name_is_part_of_the_key() -> None:
    def plain(x: int) -> int:
        return x

    @functools.wraps(plain)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    f = cached(cache=SimpleCache())(wrapper)
    keys = [f.key(1), f.key(1, 2), f.key(1, y=2), f.key(1, 2, y=2), f.key((1,), {}), f.key(), f.key(1, y=2.0)]
    assert len(set(keys)) == len(keys)
    assert f(1, y=2) is f(y=2, x=1)
    assert (f.uncache(1, y=2), f.uncache(1)) == (True, False)
    with pytest.raises(UnkeyableArgument) as refused:
        f(1, y=object())
    assert str(refused.value).startswith(
        f"{f.__qualname__}: an argument that its signature does not name has no stable key"
    )
    only = cached(key="user:{x}", cache=SimpleCache())(wrapper)
    assert only(1, y=2) is only(1, y=3)  # key= says what is in the key


def test_a_wrapper_may_recurse_as_deep_as_before() -> None:
    def total(n: int, step: int = 1) -> int:
        return n and n + f(n - step)

    @functools.wraps(total)
    def wrapper(*args: Any, **kwargs: Any) -> int:
        return total(*args, **kwargs)

    f: Any = cached(cache=SimpleCache())(wrapper)
    assert f(200) == 200 * 201 // 2
