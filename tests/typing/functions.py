"""Cached functions and methods of every kind, as type checkers must see them; see api.py for what the comments say."""

import functools
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from enum import Enum
from functools import partial
from typing import Any, Concatenate, Generic, NoReturn, ParamSpec, Self, TypeVar, assert_type, overload

from memocache import (
    MISSING,
    AsyncCachedFunction,
    BoundCachedFunction,
    Cache,
    CachedFunction,
    Info,
    SimpleCache,
    cached,
    cached_functions,
    uncaches,
)
from memocache._missing import Missing
from memocache.testing import assert_cached

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

# ---- generic functions ---------------------------------------------------------------------------------------------


@cached(timeout=60)
def first(items: Sequence[T]) -> T:
    return items[0]


@cached
async def first_later(items: Sequence[T], default: T) -> list[T]:
    return [items[0], default]


async def generic() -> None:
    assert_type(first([1]), int)
    assert_type(first(items=["a"]), str)
    assert_type(first.uncache([1]), bool)
    assert_type(first.peek([1]), int | Missing)
    assert_type(first.refresh([1]), int)
    assert_type(first.key([1]), str)
    assert_type(await first_later([1], 2), list[int])
    assert_type(await first_later.uncache([1], 2), bool)
    assert_type(await first_later.peek(["a"], "b"), list[str] | Missing)
    if (found := await first_later.peek([1], 2)) is not MISSING:
        assert_type(found, list[int])
    first(1)  # type: ignore[arg-type]
    first.uncache(1)  # type: ignore[arg-type]
    first.uncache([1], 2)  # type: ignore[call-arg]


# ---- functions that return Any, or nothing, and of which nothing is known --------------------------------------------


def unknown(function: Any) -> Any:
    return function


@cached
def returns_any(x: int) -> Any:
    return x


@cached
async def awaits_any(x: Any) -> Any:
    return x


@cached
def takes_any(*args: Any, **kwargs: Any) -> dict[str, Any]:
    return {}


@cached(timeout=60)
@unknown
def unknown_below(x: int) -> int:
    return x


@cached
def fails(x: int) -> NoReturn:
    raise ValueError(x)


async def any_of_all(given: Any) -> None:
    assert_type(returns_any(1), Any)
    assert_type(returns_any.uncache(1), bool)
    assert_type(returns_any.uncache_all(), None)
    assert_type(returns_any.many([(1,)]), list[Any])
    assert_type(returns_any.peek(1), Any | Missing)
    assert_type(returns_any.put("anything", 1), None)
    returns_any.uncache("wrong")  # type: ignore[call-overload]
    assert_type(await awaits_any(1), Any)
    assert_type(await awaits_any.uncache(1), bool)
    assert_type(await awaits_any.many([(1,)]), list[Any])
    assert_type(takes_any(1, given, x=given), dict[str, Any])
    assert_type(takes_any.uncache(1, given, x=given), bool)
    assert_type(unknown_below("anything", x=1), Any)
    unknown_below.uncache("anything")
    unknown_below.typo  # type: ignore[attr-defined]
    assert_type(fails.uncache(1), bool)
    assert_type(fails.uncache_all(), None)


# ---- overloads -----------------------------------------------------------------------------------------------------


@overload
def parsed(text: str) -> str: ...
@overload
def parsed(text: bytes, encoding: str) -> bytes: ...
@cached
def parsed(text: str | bytes, encoding: str = "utf-8") -> str | bytes:
    return text


assert_type(parsed("a"), str)
assert_type(parsed(b"a", "ascii"), bytes)
parsed(5)  # type: ignore[call-overload]

# ---- decorators above and below, partials ----------------------------------------------------------------------------


def logged(function: Callable[P, R]) -> Callable[P, R]:
    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function(*args, **kwargs)

    return call


def with_session(function: Callable[Concatenate[str, P], R]) -> Callable[P, R]:
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return function("session", *args, **kwargs)

    return call


def later(function: Callable[P, Awaitable[R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    async def call(*args: P.args, **kwargs: P.kwargs) -> R:
        return await function(*args, **kwargs)

    return call


@logged
@cached
def logged_above(x: int, y: str = "") -> float:
    return x


@cached
@logged
def logged_below(x: int, y: str = "") -> float:
    return x


@cached
@with_session
def in_session(session: str, x: int) -> float:
    return x


@cached
@later
async def later_below(x: int) -> float:
    return x


@later
@cached
async def later_above(x: int) -> float:
    return x


async def decorated() -> None:
    assert_type(logged_above(1, y="a"), float)
    logged_above("wrong")  # type: ignore[arg-type]
    assert_type(logged_below(1, y="a"), float)
    assert_type(logged_below.uncache(1, y="a"), bool)
    logged_below.uncache("wrong")  # type: ignore[arg-type]
    assert_type(in_session(1), float)
    assert_type(in_session.uncache(1), bool)
    in_session.uncache("session", 1)  # type: ignore[arg-type,call-arg]
    assert_type(await later_below(1), float)
    assert_type(await later_below.uncache(1), bool)
    assert_type(await later_above(1), float)
    assert_type(partial(logged_below, 1)(), float)
    assert_type(partial(logged_below.uncache, 1)(), bool)
    assert_type([logged_below(x) for x in range(3)], list[float])
    assert_type(list(map(first, [[1], [2]])), list[int])


made_of_lambda = cached(timeout=60)(lambda: 5)
assert_type(made_of_lambda(), int)
assert_type(made_of_lambda.uncache(), bool)

# ---- methods of every kind -------------------------------------------------------------------------------------------


class Shop:
    @cached
    def price(self, article: int, amount: int = 1) -> float:
        return float(article * amount)

    @cached(timeout=60)
    def total(self) -> int:
        return self.sum(1, y=2) + self.doubled(1)

    @property
    @cached
    def title(self) -> str:
        return ""

    @cached
    def parent(self) -> "Shop":
        return self

    @cached
    @classmethod
    def made(cls, x: int) -> "Shop":
        return cls()

    @classmethod
    @cached(timeout=60)
    def made_below(cls, x: int) -> "Shop":
        return cls()

    @cached(timeout=60)
    @staticmethod
    def sum(x: int, y: int = 0) -> int:
        return x + y

    @staticmethod
    @cached
    def sum_below(x: int, y: int = 0) -> int:
        return x + y

    @cached
    @staticmethod
    def nothing() -> int:
        return 0

    @cached
    def doubled(self, x: int) -> int:
        return 2 * x

    @cached
    async def page(self, path: str) -> bytes:
        return path.encode()

    @cached
    async def itself(self, x: int) -> Self:
        return self

    @cached
    @classmethod
    async def made_later(cls, x: int) -> Self:
        return cls()

    @cached
    @staticmethod
    async def fetched(path: str) -> bytes:
        return path.encode()


class Market(Shop):
    """What inherits cached methods."""


shop = Shop()

assert_type(shop.price(1, amount=2), float)
assert_type(shop.price.uncache(1), bool)
assert_type(shop.price.peek(article=1), float | Missing)
assert_type(shop.price.refresh(1), float)
assert_type(shop.price.put(1.5, 1), None)
assert_type(shop.price.key(1), str)
assert_type(shop.price.many([(1,)]), list[float])
assert_type(shop.price.cache, Cache)
assert_type(shop.price.info(), Info)
assert_type(shop.price.__name__, str)
assert_type(shop.price.__self__, object)
assert_type(shop.total(), int)
assert_type(shop.title, str)
assert_type(shop.parent(), Shop)
assert_type(Market().price(1), float)
assert_type(Market().parent.peek(), Shop | Missing)
shop.price("wrong")  # type: ignore[arg-type]
shop.price()  # type: ignore[call-arg]
shop.price.uncache("wrong")  # type: ignore[arg-type]
shop.price.uncache(shop, 1)  # type: ignore[arg-type]
shop.price.put("wrong", 1)  # type: ignore[arg-type]
shop.price.typo  # type: ignore[attr-defined]
shop.total.uncache(1)  # type: ignore[call-arg]

assert_type(Shop.price(shop, 1), float)
assert_type(Shop.price.uncache(shop, 1, amount=2), bool)
assert_type(Shop.price.uncache_all(), None)
assert_type(Market.price(Market(), 1), float)
Shop.price(1)  # type: ignore[arg-type,call-arg]
Shop.price(shop, "wrong")  # type: ignore[arg-type]
Shop.price.uncache(shop, "wrong")  # type: ignore[arg-type]

assert_type(Shop.made(1), Shop)
assert_type(shop.made(x=1), Shop)
assert_type(Market.made.uncache(x=1), bool)
assert_type(Shop.made.peek(1), Shop | Missing)
assert_type(Shop.made_below(1), Shop)
assert_type(shop.made_below(x=1), Shop)
Shop.made("wrong")  # type: ignore[arg-type]
Shop.made.uncache("wrong")  # type: ignore[arg-type]
Shop.made.typo  # type: ignore[attr-defined]
Shop.made_below("wrong")  # type: ignore[arg-type]

assert_type(Shop.sum(1, y=2), int)
assert_type(Shop.sum.uncache(1, 2), bool)
assert_type(shop.sum(1, 2), int)
assert_type(shop.sum.uncache(x=1), bool)
assert_type(Shop.sum_below(1, y=2), int)
assert_type(shop.sum_below(1, y=2), int)
assert_type(shop.sum_below.uncache(1, y=2), bool)
assert_type(Shop.nothing() + shop.nothing(), int)
Shop.sum("wrong")  # type: ignore[arg-type]
shop.sum("wrong")  # type: ignore[arg-type]
shop.sum.uncache(1, "wrong")  # type: ignore[arg-type]
Shop.sum_below.uncache("wrong")  # type: ignore[arg-type]


async def methods(path: Any) -> None:
    assert_type(await shop.page("/"), bytes)
    assert_type(await shop.page.uncache("/"), bool)
    assert_type(await shop.page.uncache(path), bool)
    assert_type(await shop.page.peek("/"), bytes | Missing)
    assert_type(await shop.page.put(b"", "/"), None)
    assert_type(await Shop.page(shop, "/"), bytes)
    assert_type(await Shop.page.uncache_all(), None)
    assert_type(await Market().itself(1), Market)
    assert_type(await Market().itself.peek(1), Market | Missing)
    assert_type(await Market.made_later(1), Market)
    assert_type(await shop.made_later.uncache(1), bool)
    assert_type(await Shop.fetched("/"), bytes)
    assert_type(await shop.fetched.uncache("/"), bool)
    await shop.page(5)  # type: ignore[arg-type]
    await shop.page.uncache(5)  # type: ignore[call-overload]
    await shop.itself.uncache("wrong")  # type: ignore[call-overload]
    await Shop.made_later.uncache("wrong")  # type: ignore[call-overload]
    await shop.fetched.uncache(5)  # type: ignore[call-overload]
    shop.page("/").upper()  # type: ignore[attr-defined]


# ---- Self -----------------------------------------------------------------------------------------------------------


class Node:
    @cached
    def root(self, depth: int) -> Self:
        return self

    @cached
    @classmethod
    def named(cls, name: str) -> Self:
        return cls()

    @cached
    def children(self) -> list[Self]:
        return [self]


class Leaf(Node):
    """What inherits them."""


root = Leaf().root(1)
assert_type(root, Leaf)
leaf = Leaf.named("a")
assert_type(leaf, Leaf)
assert_type(Leaf.named("a"), Leaf)
assert_type(Leaf().named("a"), Leaf)
assert_type(Leaf.named.peek("a"), Leaf | Missing)
assert_type(Leaf().children(), list[Leaf])
assert_type(Leaf().root.uncache(1), bool)
assert_type(Leaf.named.uncache("a"), bool)
Leaf().root.uncache("wrong")  # type: ignore[arg-type]
Leaf.named.uncache(5)  # type: ignore[arg-type]


def named_leaf(name: str) -> Leaf:
    return Leaf.named(name)


# ---- generic classes, and properties that are kept ------------------------------------------------------------------


class Box(Generic[T]):
    def __init__(self, item: T) -> None:
        self.item = item

    @cached
    def repeated(self, times: int) -> list[T]:
        return [self.item] * times

    @functools.cached_property
    @cached
    def first(self) -> T:
        return self.item

    def _loaded(self) -> T:
        return self.item

    load = cached(timeout=60)(_loaded)


assert_type(Box(1).repeated(2), list[int])
assert_type(Box("a").repeated.peek(2), list[str] | Missing)
assert_type(Box("a").first, str)
assert_type(Box(1).load(), int)
assert_type(Box(1).load.uncache(), bool)
Box(1).repeated.uncache("wrong")  # type: ignore[arg-type]

# ---- methods of an Enum ----------------------------------------------------------------------------------------------


class Colour(Enum):
    RED = 1

    @cached
    def label(self, language: str) -> str:
        return language

    @cached
    async def loaded(self, size: int) -> bytes:
        return bytes(size)

    @cached
    @staticmethod
    def shown(number: int) -> str:
        return str(number)


async def painted(colour: Colour) -> None:
    assert_type(colour.label("en"), str)
    assert_type(Colour.RED.label("en"), str)
    assert_type(Colour.RED.label.uncache("en"), bool)
    assert_type(Colour.label(colour, "en"), str)
    assert_type(await Colour.RED.loaded(1), bytes)
    assert_type(Colour.RED.shown(1), str)
    colour.label(1)  # type: ignore[arg-type]
    Colour.RED.label.uncache(1)  # type: ignore[arg-type]


# ---- abstract methods, and functions of functions --------------------------------------------------------------------


class Store(ABC):
    @cached
    @abstractmethod
    def load(self, key: str) -> bytes: ...

    @cached(timeout=60)
    def size(self, key: str) -> int:
        return len(self.load(key))


def forgotten(store: Store) -> None:
    assert_type(store.load.uncache("a"), bool)
    store.load.uncache(5)  # type: ignore[arg-type]


Store()  # type: ignore[abstract]


def warm(function: CachedFunction[[str, str], float], calls: Sequence[tuple[str, str]]) -> None:
    for start, end in calls:
        assert_type(function.refresh(start, end), float)
    function.refresh("a")  # type: ignore[call-arg]


async def warm_later(function: AsyncCachedFunction[[str], float]) -> None:
    assert_type(await function("a"), float)
    assert_type(await function.refresh("a"), float)
    assert_type(await function.uncache("a"), bool)
    assert_type(await function.peek("a"), float | Missing)
    assert_type(await function.many([("a",)]), list[float])
    assert_type(function.key("a"), str)
    await function.uncache(5)  # type: ignore[arg-type]
    uncaches(function)
    with assert_cached(function):
        pass


async def warm_coroutines(function: CachedFunction[[str, int], Coroutine[Any, Any, float]]) -> None:
    assert_type(await function.refresh("a", 1), float)
    assert_type(await function.uncache("a", 1), bool)


def warm_method(method: BoundCachedFunction[[int, int], float]) -> None:
    assert_type(method.refresh(1, 2), float)


def show(function: Callable[[int], float]) -> None:
    """Call any function."""


class Road:
    @cached
    def length(self, start: str, end: str = "") -> int:
        return 0

    @cached
    async def traffic(self, name: str, day: int = 0) -> float:
        return 0


@cached
def distance(start: str, end: str = "") -> float:
    return 0


@cached
async def traffic(name: str, day: int = 0) -> float:
    return 0


warm(distance, [])
warm_method(shop.price)
show(shop.price)
show(logged_below)
warm_method(distance)  # type: ignore[arg-type]
warm(first, [])  # type: ignore[arg-type]
show(distance)  # type: ignore[arg-type]
result_of_subclass: CachedFunction[[int, str], object] = logged_below


async def coroutines() -> None:
    await warm_later(traffic)
    await warm_later(Road().traffic)
    await warm_coroutines(traffic)
    await warm_later(distance)  # type: ignore[arg-type]


async def known(given: object, other: object) -> None:
    if isinstance(given, CachedFunction | BoundCachedFunction):
        given.uncache_all()
    if isinstance(other, AsyncCachedFunction):
        assert_type(await other.uncache_all(), None)


for each in cached_functions():
    assert_type(each.info(), Info)

# ---- a wrapper of cached itself --------------------------------------------------------------------------------------


def cached_for_us(function: Callable[P, R]) -> CachedFunction[P, R]:
    return cached(timeout="1h", cache=SimpleCache())(function)


@cached_for_us
def ours(x: int) -> float:
    return x


@cached_for_us
async def ours_later(x: int) -> float:
    return x


assert_type(ours(1), float)
assert_type(ours.uncache(1), bool)
ours.uncache("wrong")  # type: ignore[arg-type]


async def use_ours() -> None:
    assert_type(await ours_later.uncache(1), bool)
