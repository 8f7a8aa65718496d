"""Types to serialize, and `same`: equality that looks at every type and bit, written without the package's help."""

import collections
import dataclasses
import enum
import functools
import struct
from dataclasses import dataclass, field
from datetime import date, datetime, time, timezone
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypedDict, TypeVar
from zoneinfo import ZoneInfo

import attrs
import markupsafe
import msgspec
import pydantic

from memocache.errors import SerializationError
from tests.support import refusals

if TYPE_CHECKING:
    from nowhere import Unknown


class Color(enum.Enum):
    RED = 1
    CRIMSON = 1  # noqa: PIE796 - an alias on purpose
    BLUE = "b"
    ODD = [1, 2]  # noqa: RUF012 - unhashable on purpose


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 10


class Mode(enum.StrEnum):
    FAST = "fast"


class Perm(enum.Flag):
    R = 4
    W = 2
    X = 1


class IntPerm(enum.IntFlag):
    R = 4
    W = 2


class Huge(enum.Flag):
    A = 1
    B = 1 << 100


class Point(NamedTuple):
    x: int
    y: "int | Deep"


class Taller(Point):
    """A NamedTuple with a __dict__."""


Legacy = collections.namedtuple("Legacy", ["a", "b"])


@dataclass
class Report:
    title: str
    points: "list[Point]"
    owner: "Owner | None" = None


@dataclass(frozen=True)
class Owner:
    name: str


@dataclass(frozen=True, slots=True)
class Slotted:
    a: int
    b: Any = None


@dataclass(kw_only=True)
class Counted:
    """Its __post_init__ would change it once more if it ran again."""

    start: dataclasses.InitVar[int]
    total: int = field(init=False)
    runs: int = 0

    def __post_init__(self, start: int) -> None:
        self.total = start * 2
        self.runs += 1

    @functools.cached_property
    def half(self) -> float:
        return self.total / 2


@dataclass
class Child(Report):
    """A dataclass that inherits its fields."""

    extra: int = 0


class Undecorated(Report):
    """A subclass that is no dataclass of its own."""


@dataclass
class Secretive:
    """It leaves more behind than its fields."""

    a: int

    def __post_init__(self) -> None:
        self._index = {self.a: 1}


@dataclass
class SlottedBase:
    __slots__ = ("hidden",)


@dataclass
class BesideSlots(SlottedBase):
    a: int


@dataclass
class Failure(Exception):
    code: int


@dataclass
class Half:
    """One of its hints exists for type checkers alone."""

    first: "Unknown"
    second: "Deep"


@dataclass
class Deep:
    level: Level = Level.LOW


T = TypeVar("T")


@dataclass
class Page(Generic[T]):
    rows: list[T]


class Options(TypedDict):
    owner: Owner


class S(msgspec.Struct):
    x: int
    y: "Point | None" = None


class FrozenS(msgspec.Struct, frozen=True, kw_only=True, rename="camel", tag=True, array_like=True):
    a_b: Any
    c_d: int = 3


class PostS(msgspec.Struct, dict=True):
    total: int
    runs: int = 0

    def __post_init__(self) -> None:
        self.runs += 1


class Model(pydantic.BaseModel):
    number: int
    inner: "list[Model]" = []
    _private: Any = 3

    @functools.cached_property
    def double(self) -> int:
        return 2 * self.number


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow", frozen=True)
    a: Any = pydantic.Field(default=1, deprecated=True)


class Paged(pydantic.BaseModel, Generic[T]):
    rows: list[T]


@attrs.define
class Defined:
    x: int
    _y: "Defined | None" = None

    @functools.cached_property
    def double(self) -> int:
        return 2 * self.x


@attrs.frozen(cache_hash=True)
class Hashed:
    x: Any


@attrs.define(slots=False)
class Loose:
    x: Any
    made: Any = attrs.field(init=False, factory=list)


refusal = functools.partial(refusals.refusal, kind=SerializationError)
RECORDS = (
    Color, Level, Mode, Perm, IntPerm, Huge, Point, Taller, Legacy, Report, Owner, Slotted, Counted, Child, Undecorated,
    Deep, Page, S, FrozenS, PostS, Model, Open, Paged[Model], Defined, Hashed, Loose, markupsafe.Markup,
)  # fmt: skip


def same(a: Any, b: Any) -> bool:
    """Return whether *a* and *b* are of the same types all the way down, in the same order, to the last bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, enum.Enum):
        # Before Python 3.11.4, flags with bits that have no name are made anew each time.
        return a is b or (isinstance(a, enum.Flag) and a.name is None and a.value == b.value)
    if isinstance(a, float):
        return struct.pack("d", a) == struct.pack("d", b)
    if isinstance(a, complex):
        return same((a.real, a.imag), (b.real, b.imag))
    if isinstance(a, Decimal):
        return a.as_tuple() == b.as_tuple()
    if isinstance(a, timezone):
        return repr(a) == repr(b)
    if isinstance(a, ZoneInfo):
        return a.key == b.key
    if isinstance(a, datetime | time):
        return a.replace(tzinfo=None) == b.replace(tzinfo=None) and a.fold == b.fold and same(a.tzinfo, b.tzinfo)
    if isinstance(a, pydantic.BaseModel):
        states = [
            (each.__dict__, each.__pydantic_fields_set__, each.__pydantic_extra__, each.__pydantic_private__)
            for each in (a, b)
        ]
        return same(*states)
    if isinstance(a, collections.defaultdict) and a.default_factory is not b.default_factory:
        return False
    if isinstance(a, collections.deque):
        return a.maxlen == b.maxlen and same(list(a), list(b))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return len(a) == len(b) and all(map(same, a.items(), b.items()))
    if isinstance(a, set | frozenset):
        return len(a) == len(b) and all(any(same(x, y) for y in b) for x in a)
    if isinstance(a, msgspec.Struct):
        return all(same(getattr(a, name), getattr(b, name)) for name in a.__struct_fields__)
    if attrs.has(type(a)):
        return all(same(getattr(a, field.name), getattr(b, field.name)) for field in attrs.fields(type(a)))
    if dataclasses.is_dataclass(a):
        return all(same(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))
    assert type(a) in (type(None), bool, int, str, bytes, bytearray, date) or type(a).__module__ in _BY_EQUALITY, type(
        a
    )
    return bool(a == b)


_BY_EQUALITY = ("datetime", "fractions", "uuid", "pathlib", "pathlib._local", "ipaddress", "markupsafe")
