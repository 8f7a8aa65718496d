"""The options timeout and unless: for how long a result is fresh, and which are not stored."""

import asyncio
import contextlib
import csv
import functools
import io
import os
import random
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from datetime import timedelta
from typing import Any

import freezegun
import pytest

from memocache import MISSING, ConfigurationError, SimpleCache, cached
from memocache._policy import UNSET, Policy
from tests.support.refusals import refusal

A_DURATION = "wanted: seconds as a number, a timedelta, or text such as '90s', '5m', '1h30m' or '2d'"


@pytest.mark.parametrize(
    ("timeout", "length"),
    [
        *((5, 5), (0.5, 0.5), (timedelta(minutes=2), 120), ("90s", 90), ("5m", 300), ("1h", 3600), ("2d", 172_800)),
        *(
            ("1w", 604_800),
            ("250ms", 0.25),
            ("1.5h", 5400),
            ("1h30m", 5400),
            (" 1 h 30 m ", 5400),
            ("1d2h3m4s", 93_784),
            *(("60", 60), ("1.5", 1.5), (" 60 ", 60), ("5min", 300), ("1 hour", 3600), ("2 hours 5 mins", 7500)),
            *(("90 sec", 90), ("1day", 86_400), ("2 weeks", 1_209_600), ("1minute 1second", 61)),
        ),
    ],
)
def test_a_result_is_fresh_for_as_long_as_timeout_says(timeout: object, length: float) -> None:
    with freezegun.freeze_time("2030-01-01") as clock:
        f = cached(timeout=timeout)(lambda: object())
        first = f()
        clock.tick(length * 0.99)
        assert f() is first
        clock.tick(length * 0.01 + 0.001)
        assert f() is not first


@pytest.mark.parametrize(
    ("cache", "length"),
    [(SimpleCache(), 300), (SimpleCache(default_timeout=7), 7), (SimpleCache(default_timeout=0), 10**9)],
    ids=["the cache's own default", "a default given", "a default of 0: for ever"],
)
def test_without_a_timeout_it_is_the_cache_s(cache: SimpleCache, length: float) -> None:
    with freezegun.freeze_time("2030-01-01") as clock:
        f = cached(cache=cache)(lambda: object())
        first = f()
        clock.tick(length - 0.001)
        assert f() is first
        clock.tick(0.001)
        assert (f() is first) is (length == 10**9)


@pytest.mark.parametrize("timeout", [0, -1, 0.0, -0.5, "0s", "0h0m", timedelta(0), timedelta(-1)], ids=repr)
def test_a_timeout_that_would_store_nothing_is_refused(timeout: object) -> None:
    assert refusal(cached, timeout=timeout) == (
        f"timeout={timeout!r} would store nothing; wanted: a duration above 0, or None for ever. To store nothing for "
        "some results, use unless= or a callable timeout; for some calls, disabled()"
    )


BAD_TYPES = [(True, "a bool"), (False, "a bool"), (b"5m", "a bytes"), ([5], "a list"), (5 + 0j, "a complex")]
BAD_TEXTS = ["", " ", "-5", "-5m", "5x", "5 mints", "m", "5m!", ".5s", "1e3s", "5M", "five", "5 5", "1h5", "5_000"]
BAD_NUMBERS = [(float("nan"), "nan"), (float("inf"), "inf"), (float("-inf"), "-inf"), (10**400, "inf")]


@pytest.mark.parametrize("option", ["timeout", "wait"])
def test_what_is_no_duration_is_refused(option: str) -> None:
    for value, kind in BAD_TYPES:
        assert refusal(cached, **{option: value}) == f"{option}={value!r} is {kind}; {A_DURATION}"
    for text in BAD_TEXTS:
        assert refusal(cached, **{option: text}) == f"{option}={text!r} is not a duration; {A_DURATION}"
    for number, shown in BAD_NUMBERS:
        assert refusal(cached, **{option: number}) == f"{option}={shown} is not a finite number; {A_DURATION}"
    endless = "9" * 400 + "d"
    assert refusal(cached, **{option: endless}) == f"{option}={endless!r} is not a finite number; {A_DURATION}"


def test_a_callable_timeout_is_given_the_result() -> None:
    with freezegun.freeze_time("2030-01-01") as clock:
        f = cached(timeout=lambda result: result[0])(lambda x: (x, object()))
        results = {x: f(x) for x in (5, "1m", None, timedelta(hours=1))}
        clock.tick(5)
        assert {x for x, result in results.items() if f.peek(x) is not result} == {5}
        clock.tick(55)
        assert {x for x, result in results.items() if f.peek(x) is not result} == {5, "1m"}
        clock.move_to("2999-01-01")
        assert f(None) is results[None]


@pytest.mark.parametrize("none", [0, -1, -0.0, "0s", timedelta(-1)], ids=repr)
def test_a_callable_timeout_of_0_or_less_stores_nothing(none: object) -> None:
    f = cached(timeout=lambda result: none)(lambda: object())
    assert f() is not f()
    assert f.info().stored == 0


def test_a_callable_timeout_that_gives_no_duration_is_told_to_the_caller() -> None:
    def lifetime(result):
        return result

    f = cached(timeout=lifetime)(lambda x: x)
    name = f"timeout (given by {lifetime.__qualname__})"
    for x, why in [("soon", "is not a duration"), (True, "is a bool"), (float("nan"), "is not a finite number")]:
        assert refusal(f, x) == f"{name}={x!r} {why}; {A_DURATION}"
        assert f.peek(x) is MISSING


def test_what_a_callable_timeout_raises_is_the_caller_s_to_see() -> None:
    f = cached(timeout=lambda result: 1 / result)(lambda x: x)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            f(0)
    assert f(1) == 1


# ---- unless ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("unless", "kind"), [(5, "an int"), ("x", "a str"), (True, "a bool"), ([], "a list")])
def test_unless_must_be_a_function(unless: object, kind: str) -> None:
    assert refusal(cached, unless=unless) == (
        f"unless={unless!r} is {kind}; wanted: a function that takes the result and returns True where it must not "
        "be stored"
    )


@pytest.mark.parametrize(
    ("option", "function", "error"),
    [
        ("unless", lambda: True, "too many positional arguments"),
        ("unless", lambda result, request: True, "missing a required argument: 'request'"),
        ("timeout", lambda: 5, "too many positional arguments"),
        ("copy", lambda one, two: one, "missing a required argument: 'two'"),
    ],
    ids=["unless without", "unless with two", "timeout without", "copy with two"],
)
def test_a_function_that_cannot_take_a_result_is_refused(option: str, function: Any, error: str) -> None:
    for_some = ". To store nothing for some calls, use disabled()"
    returned = {
        "unless": f"True where it must not be stored{for_some}",
        "timeout": f"a duration{for_some}",
        "copy": "a copy of it",
    }
    assert refusal(cached, **{option: function}) == (
        f"{option}= got {function.__qualname__}, which cannot be called with a result: {error}; wanted: a function "
        f"that takes the result and returns {returned[option]}"
    )


def test_what_is_wrong_is_told_of_a_callable_without_a_name_by_its_type() -> None:
    policy = Policy(functools.partial(lambda result: "soon"))
    with pytest.raises(ConfigurationError, match=r"timeout \(given by a partial\)='soon' is not a duration"):
        policy.lifetime(1, 60)


def test_those_who_set_the_same_seed_draw_other_timeouts() -> None:
    policy = Policy(60, jitter=0.5)
    lengths = set()
    for _ in range(3):
        random.seed(1)
        lengths.add(policy.lifetime("result", 60))
    assert len(lengths) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_children_of_one_process_draw_other_timeouts() -> None:
    policy = Policy(60, jitter=0.5)
    lengths = set()
    for _ in range(3):
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.write(writer, str(policy.lifetime("result", 60)).encode())
            os._exit(0)
        os.waitpid(child, 0)
        os.close(writer)
        with open(reader, "rb") as answer:
            lengths.add(answer.read())
    assert len(lengths) == 3


def test_what_is_unset_says_so() -> None:
    assert repr(UNSET) == "UNSET"


ITERATORS: list[Callable[[], Any]] = [
    lambda: map(abs, [1, -2]),
    lambda: (number for number in [1, 2]),
    lambda: zip([1, 2], strict=True),
    lambda: iter([1, 2]),
    lambda: reversed([2, 1]),
    lambda: csv.reader(["1", "2"]),
    lambda: io.StringIO("1\n2"),
]


@pytest.mark.parametrize("make", ITERATORS)
@pytest.mark.parametrize(
    "options",
    [{}, {"copy": lambda value: value}, {"stale": 5}, {"jitter": 0.1}],
    ids=["plain", "copy", "stale", "jitter"],
)
def test_what_can_be_read_once_only_is_not_stored(
    make: Callable[[], Any], options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    @cached(timeout=60, cache=SimpleCache(), **options)
    def rows() -> Any:
        return make()

    first, second = list(rows()), list(rows())
    assert first == second != []
    assert (rows.info().stored, rows.info().failures) == (0, 2)
    assert caplog.text.count("an iterator, whose first reader uses it up, so it was not stored; return a list") == 1
    rows.put(iter([3]))
    assert list(rows()) == first
    rows.put([3])
    assert list(rows()) == [3]
    rows.put(iter([4]))  # and what it was to replace is gone
    assert list(rows()) == first


class Request(Coroutine[Any, Any, str]):
    """What a client returns that sends when it is awaited."""

    is_sent = False

    def __await__(self) -> Any:
        if self.is_sent:
            raise RuntimeError("cannot reuse already awaited coroutine")
        self.is_sent = True
        return "answer"
        yield

    send = throw = close = None  # type: ignore[assignment]


@contextlib.contextmanager
def context() -> Iterator[str]:
    yield "answer"


@contextlib.asynccontextmanager
async def async_context() -> AsyncIterator[str]:
    yield "answer"


async def awaited(request: Any) -> Any:
    return await request


async def entered(manager: Any) -> str:
    async with manager as given:
        return given


USED: dict[str, tuple[Callable[[], Any], Callable[[Any], str], str]] = {
    "what is awaited": (
        Request,
        lambda request: asyncio.run(awaited(request)),
        "the function returned what can be awaited once only, so it was not stored; "
        "await it in a coroutine function (async def), and put @cached on that",
    ),
    "a context manager": (
        context,
        lambda manager: contextlib.ExitStack().enter_context(manager),
        "the function returned a context manager that can be entered once only, so it was not stored; "
        "return what it gives",
    ),
    "an asynchronous one": (
        async_context,
        lambda manager: asyncio.run(entered(manager)),
        "the function returned a context manager that can be entered once only, so it was not stored; "
        "return what it gives",
    ),
}


@pytest.mark.parametrize("kind", USED)
@pytest.mark.parametrize("options", [{}, {"copy": lambda value: value}, {"stale": 5}], ids=["plain", "copy", "stale"])
def test_what_can_be_used_once_only_is_not_stored(
    kind: str, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    make, use, message = USED[kind]
    f = cached(timeout=60, cache=SimpleCache(), **options)(lambda: make())
    assert [use(f()) for _ in range(3)] == ["answer"] * 3
    f.put(make())
    assert f.peek() is MISSING
    assert (f.info().stored, f.info().failures) == (0, 4)
    assert caplog.text.count(f": {message} (said once; see info())") == 1


class Unhashable(type):
    """The type of classes that cannot be looked up or compared."""

    def __hash__(cls) -> int:
        raise TypeError("no hash")

    def __eq__(cls, other: object) -> bool:
        raise TypeError("not to be compared")


@pytest.mark.parametrize("options", [{}, {"stale": 5}], ids=["plain", "stale"])
def test_a_result_is_stored_whatever_its_class_can_do(options: dict[str, Any]) -> None:
    f = cached(timeout=60, cache=SimpleCache(), **options)(lambda: Unhashable("Result", (), {})())
    assert f() is f()


def test_a_future_can_be_awaited_again() -> None:
    async def main() -> None:
        f = cached(lambda: asyncio.ensure_future(asyncio.sleep(0, "answer")))
        assert [await f(), await f()] == ["answer"] * 2
        assert f.info().hits == 1

    asyncio.run(main())


def test_an_iterator_of_a_coroutine_function_is_for_its_own_caller_only() -> None:
    entered, computed = asyncio.Event(), []

    @cached(timeout=60, cache=SimpleCache())
    async def rows() -> Any:
        computed.append(1)
        await entered.wait()
        return iter([1, 2])

    async def ask() -> list[Any]:
        tasks = [asyncio.ensure_future(rows()) for _ in range(3)]
        await asyncio.sleep(0)
        entered.set()
        return [list(each) for each in await asyncio.gather(*tasks)]

    assert asyncio.run(ask()) == [[1, 2]] * 3
    assert len(computed) == 3


def test_what_cannot_be_copied_is_returned_and_not_stored(caplog: pytest.LogCaptureFixture) -> None:
    @cached(timeout=60, cache=SimpleCache(), copy=True)
    def locked() -> dict[str, Any]:
        return {"lock": threading.Lock()}

    assert locked()["lock"] is not locked()["lock"]
    assert (locked.info().stored, locked.info().failures) == (0, 2)
    assert caplog.text.count("a result cannot be copied, as copy=True asks, so it was not stored") == 1


def test_what_the_users_own_copy_raises_is_the_caller_s_to_see() -> None:
    def fail(value: object) -> object:
        raise RuntimeError("no copies today")

    with pytest.raises(RuntimeError, match="no copies today"):
        cached(timeout=60, cache=SimpleCache(), copy=fail)(lambda: 1)()
