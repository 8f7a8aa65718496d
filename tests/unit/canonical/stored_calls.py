"""Functions whose keys are stored in keys_of_v1.txt, and what the calls there are spelt with.

Nothing here may be renamed or moved: the names are in the keys.
"""

# ruff: noqa: F401  # the calls in the file are spelt with the imports

import dataclasses
import datetime as dt
import enum
import functools
import math
import operator
import re
import types
import typing
from collections import Counter, OrderedDict, defaultdict, deque
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import PurePosixPath, PureWindowsPath
from typing import Any, Generic, NamedTuple, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from memocache import MemcachedCache, SimpleCache, cached
from memocache._tags import tag_name as tag

elsewhere = functools.partial(cached, cache=MemcachedCache(["127.0.0.1:9"]))  # never asked: keys need no server
here = functools.partial(cached, cache=SimpleCache())


# ---- values ----------------------------------------------------------------------------------------------------------


class Access(enum.Flag):
    READ = 1
    WRITE = 2


class Bits(enum.IntFlag):
    LOW = 1
    HIGH = 8


class Colour(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - another name for the same member
    BLUE = "b"


class Grade(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Point(NamedTuple):
    x: Any
    y: Any


class MarkedPoint(Point):
    pass


@dataclasses.dataclass
class Pair:
    x: Any
    y: Any = None

    def method(self) -> None: ...


class Undecorated(Pair):
    def __init__(self, x: Any, secret: Any) -> None:
        super().__init__(x)
        self.secret = secret


@dataclasses.dataclass(frozen=True, slots=True)
class Frozen:
    x: Any


@dataclasses.dataclass(frozen=True)
class Lazily:
    x: Any

    @functools.cached_property
    def double(self) -> Any:
        return 2 * self.x


T = TypeVar("T")


@dataclasses.dataclass
class Box(Generic[T]):
    x: T


class Record(msgspec.Struct):
    x: Any


class OpenRecord(msgspec.Struct, dict=True):
    x: Any


class Keyed:
    def __init__(self, key: Any) -> None:
        self.key = key

    def __cache_key__(self) -> Any:
        return self.key

    def method(self) -> None: ...


class Text(str):
    def __cache_key__(self) -> Any:
        return str(self)


class Outer:
    class Inner:
        pass


def function() -> None: ...


@functools.lru_cache
def decorated() -> None: ...


def having(thing: Any, **attributes: Any) -> Any:
    """Return *thing* with these *attributes*, too."""
    for name, value in attributes.items():
        (vars(thing).__setitem__ if dataclasses.is_dataclass(thing) else functools.partial(setattr, thing))(name, value)
    return thing


def nested(levels: int, inner: Any = None) -> Any:
    """Return *inner* in so many lists, one around the other."""
    for _ in range(levels):
        inner = [inner]
    return inner


def zone(hours: float, *name: str) -> dt.timezone:
    return dt.timezone(dt.timedelta(hours=hours), *name)


NAN = float("nan")
NOON = dt.datetime(2024, 6, 1, 12)
PARIS = ZoneInfo("Europe/Paris")


# ---- functions -------------------------------------------------------------------------------------------------------


@elsewhere()
def one(value: Any) -> None: ...


@here()
def near(value: Any) -> None: ...


@elsewhere()
def nothing() -> None: ...


@elsewhere()
def many(first: Any, /, second: Any = 2, *others: Any, third: Any = (3,), **more: Any) -> None: ...


@elsewhere()
async def later(first: Any, second: Any = None) -> None: ...


@elsewhere(namespace="reports")
def named(value: Any) -> None: ...


@elsewhere(namespace="Berichte für März: 100 %/" + "lang " * 30)
def named_at_length(value: Any) -> None: ...


@elsewhere(version=1)
def first_version(value: Any) -> None: ...


@elsewhere(version=("2024-06", 2))
def second_version(value: Any) -> None: ...


@elsewhere(version="2", namespace="reports")
def named_version(value: Any) -> None: ...


@elsewhere(ignore=("session", "log"))
def ignoring(session: Any, value: Any, log: Any = None, *, deep: bool = False) -> None: ...


@elsewhere(key="user:{user_id}")
def by_template(session: Any, user_id: Any, more: Any = None) -> None: ...


@elsewhere(key="{b}:{a}:{b}")
def by_two_names(a: Any, b: Any = 1) -> None: ...


@elsewhere(key=lambda user, more=None: (user.x, more))
def by_function(user: Any, more: Any = None) -> None: ...


@elsewhere(tags=("tenant:{tenant}", "all reports"), timeout=60, stale=60, jitter=0.1, errors={LookupError: 5})
def tagged(tenant: Any, month: str = "current") -> None: ...


@elsewhere()
def outer() -> None: ...


class Service(NamedTuple):
    url: str

    @elsewhere()
    def get(self, key: Any, default: Any = None) -> None: ...

    @elsewhere()
    @classmethod
    def make(cls, key: Any) -> None: ...

    @staticmethod
    @elsewhere()
    def check(key: Any) -> None: ...

    @elsewhere(ignore=("self",))
    def alone(self, key: Any) -> None: ...

    @elsewhere(key="{key}")
    async def wait_for(self, key: Any) -> None: ...


class OtherService(Service):
    pass


class KeyedService(Keyed):
    @elsewhere()
    def get(self, key: Any) -> None: ...


def every(function: Any) -> str:
    """Return the tag of all calls of a cached *function*."""
    return str(function._self_memoizer.binding().keys.all_tag)


def page(function: Any, key: str, *request: Any) -> str:
    """Return the key of the call with this *key* of a view, in such a *request*."""
    return str(function._self_memoizer.binding().keys.request_key(key, request))
