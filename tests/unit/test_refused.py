"""What has no result that can be kept is refused at decoration, with the remedy."""

import asyncio
import contextlib
import functools
import inspect
import operator
import sys
from collections.abc import Callable
from typing import Any

import pytest

from memocache import ConfigurationError, cached
from memocache.errors import with_article
from tests.support.refusals import refusal


def generator(x):
    yield x


async def async_generator(x):
    yield x


class Generating:
    def __call__(self, x):
        yield x


@cached
def already(x):
    return x


class Owner:
    @cached
    @classmethod
    def made(cls):
        return cls


ITEMS = "its items can be had once only; return a list or a tuple"
INSIDE = "is no function; put @cached below it, on the function in it"
INSTANCES = "decorate a function that makes its instances, or its methods"
UNKNOWN = (
    "does not tell its parameters, so that a call has no key; wrap it in a function with named parameters and decorate "
    "that"
)


@pytest.mark.parametrize("decorator", [cached, cached(), cached(timeout=5)], ids=["bare", "empty", "with options"])
@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (generator, f"generator is a generator function: {ITEMS}"),
        (async_generator, f"async_generator is an async generator function: {ITEMS}"),
        (classmethod(generator), f"generator is a generator function: {ITEMS}"),
        (functools.partial(generator, 1), f"a partial is a generator function: {ITEMS}"),
        (functools.lru_cache(generator), f"generator is a generator function: {ITEMS}"),
        (contextlib.contextmanager(generator), f"generator is a generator function: {ITEMS}"),
        (contextlib.asynccontextmanager(async_generator), f"async_generator is an async generator function: {ITEMS}"),
        (Generating(), f"Generating.__call__ is a generator function: {ITEMS}"),
        (Generating().__call__, f"Generating.__call__ is a generator function: {ITEMS}"),
        (Owner, f"Owner is a class; {INSTANCES}"),
        (int, f"int is a class; {INSTANCES}"),
        (property(generator), f"a property {INSIDE}"),
        (functools.cached_property(generator), f"a cached_property {INSIDE}"),
        (functools.partialmethod(generator), f"a partialmethod {INSIDE}"),
        (functools.singledispatchmethod(generator), f"a singledispatchmethod {INSIDE}"),
        (already, "already is cached already; give one @cached all the options"),
        (staticmethod(already), "already is cached already; give one @cached all the options"),
        (Owner.made, "Owner.made is cached already; give one @cached all the options"),
        (min, f"min {UNKNOWN}"),
        # Since Python 3.13 it tells its parameters.
        *([(operator.itemgetter(1), f"an itemgetter {UNKNOWN}")] if sys.version_info < (3, 13) else []),
    ],
    ids=lambda value: "" if isinstance(value, str) else repr(value).partition(" at ")[0],
)
def test_it_says_why_and_what_to_do(decorator: Callable[[object], object], thing: object, message: str) -> None:
    assert refusal(decorator, thing) == message


def collected(function: Callable[..., Any]) -> Any:
    """Return the function that returns a list of what *function* generates."""
    if inspect.isasyncgenfunction(function):

        @functools.wraps(function)
        async def collect_later(*args: Any) -> list[Any]:
            return [each async for each in function(*args)]

        return collect_later

    @functools.wraps(function)
    def collect(*args: Any) -> list[Any]:
        return list(function(*args))

    return collect


class Collecting:
    @cached
    @collected
    def items(self, x: int) -> Any:
        yield x

    @cached
    @classmethod
    @collected
    def items_of_class(cls, x: int) -> Any:
        yield x


def test_a_decorator_may_make_a_list_of_what_is_generated() -> None:
    for f in (cached(collected(generator)), Collecting().items, Collecting.items_of_class):
        assert f(1) is f(1)
        assert f(1) == [1]

    async def main() -> None:
        f = cached(collected(async_generator))
        assert await f(1) is await f(1)

    asyncio.run(main())


def test_what_a_decorator_hands_on_of_a_generator_is_not_stored(caplog: pytest.LogCaptureFixture) -> None:
    @cached
    @functools.wraps(generator)
    def handed_on(*args: Any) -> Any:
        return generator(*args)

    assert list(handed_on(1)) == list(handed_on(1)) == [1]
    assert handed_on.info().stored == 0
    assert "an iterator, whose first reader uses it up" in caplog.text


@pytest.mark.parametrize("thing", [3, None, "f", [], object()], ids=lambda value: type(value).__name__)
def test_what_is_no_function_is_taken_for_a_misplaced_option(thing: object) -> None:
    assert refusal(cached(), thing) == (
        f"cached() decorates functions and got {with_article(type(thing))}; "
        "options are given by name, as in @cached(timeout=300)"
    )


def test_what_is_refused_stays_as_it_was() -> None:
    with pytest.raises(ConfigurationError):
        cached(generator)
    assert list(generator(1)) == [1]
    assert already(2) == 2


@pytest.mark.parametrize("function", [len, str.upper, "a".upper, functools.partial(len), functools.lru_cache(len)])
def test_built_in_functions_that_tell_their_parameters_are_functions(function: Callable[..., object]) -> None:
    given = () if function == "a".upper else ("abc",)
    assert cached(function)(*given) == cached(function)(*given) == function(*given)
