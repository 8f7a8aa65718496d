"""Types are made from bytes only if they were named, by themselves or somewhere inside an annotation."""

import dataclasses
import enum
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Final, Literal, NamedTuple, NewType, Optional, TypeVar, Union

import msgspec
import pytest

from memocache.errors import ConfigurationError, SerializationError
from memocache.serializers import JSONSerializer, PickleSerializer, SafeSerializer
from tests.unit.serializers.samples import (
    RECORDS,
    Child,
    Color,
    Counted,
    Deep,
    Failure,
    Half,
    Level,
    Mode,
    Options,
    Owner,
    Page,
    Perm,
    Point,
    Report,
    S,
    Slotted,
    refusal,
    same,
)  # fmt: skip

INSTANCES = {
    Color: Color.RED, Level: Level.LOW, Mode: Mode.FAST, Perm: Perm.R | Perm.W, Point: Point(1, 2), Owner: Owner("o"),
    Report: Report("r", []), Slotted: Slotted(1), Counted: Counted(start=1), Deep: Deep(1), Page: Page([]), S: S(1),
}  # fmt: skip


def written(value: Any, kind: Any = None) -> bytes:
    return SafeSerializer(types=[kind or type(value)]).dumps([{"k": (value,)}], b"")


def accepts(serializer: SafeSerializer, value: object) -> bool:
    try:
        return same(serializer.loads(written(value), b""), [{"k": (value,)}])
    except SerializationError as error:
        if "which was not named" in str(error):
            return False
        raise


@pytest.mark.parametrize("kind", INSTANCES, ids=lambda kind: kind.__name__)
def test_an_unnamed_type_is_not_made(kind: type) -> None:
    others = SafeSerializer(
        types=[other for other in INSTANCES if other is not kind and other not in (Report, Deep, S)]
    )
    serializer = SafeSerializer() if kind in (Point, Owner, Level, Deep) else others
    assert refusal(serializer.loads, written(INSTANCES[kind]), b"") == (
        f"the bytes hold tests.unit.serializers.samples.{kind.__name__}, which was not named;"
        f" annotate the function's return type with it, or pass types=[{kind.__name__}]"
    )
    serializer.name_types(kind)
    assert accepts(serializer, INSTANCES[kind])


class Payment(NamedTuple):
    owner: Owner


@dataclasses.dataclass
class Tree:
    left: "Tree | None"
    value: "dict[str, list[Annotated[Payment, 'paid']]]"
    shared: ClassVar["Slotted"]  # no field: it is in no instance


class Holder(msgspec.Struct):
    mode: Mode | None
    tree: "list[Tree]"


@dataclasses.dataclass
class Heir(Page[Report]):
    pass


UserReport = NewType("UserReport", Report)
Bound = TypeVar("Bound", bound=Report)
Either = TypeVar("Either", Owner, Color)
BROUGHT = {Point, Deep, Level, Owner, Payment, Slotted, Page}  # by the fields and bases of what was named
POINTS = {Owner: Owner("o"), Payment: Payment(Owner("o")), Tree: Tree(None, {}), Mode: Mode.FAST, Slotted: Slotted(1)}


@pytest.mark.parametrize(("annotation", "named"), [
    (Report, {Report, Point, Owner, Deep, Level}),
    (list[Report] | None, {Report, Owner}),
    (Optional[Report], {Report, Point}), (Union[Owner, Color], {Owner, Color}),  # noqa: UP007, UP045
    (dict[str, Point], {Point, Level}), (Mapping[Owner, tuple[Point, ...]], {Owner, Point}),
    (Annotated[list[Owner], "note", Color], {Owner}), (list["Owner"], set()), (Literal[Color.RED, 5], {Color}),
    (Callable[[Owner], Color], {Owner, Color}), (Final[Owner], {Owner}), (ClassVar[Owner], {Owner}),
    (type[Owner], {Owner}), (UserReport, {Report}), (list[Bound], {Report, Owner}), (Either, {Owner, Color}),
    (Page[Mode], {Page, Mode}), (Page, {Page}), (Heir, {Heir, Report, Owner}), (Options, {Owner}),
    (Payment, {Payment, Owner}), (Child, {Child, Point, Owner}), (Tree, {Tree, Payment, Owner}),
    (Holder, {Holder, Mode, Tree, Payment, Owner}),
    (Half, {Half, Deep, Level}), (dict[str, dict[str, list[set[tuple[int, Mode]]]]], {Mode}),
    (S, {S, Point, Deep, Level}), (int, set()), (None, set()), (Any, set()), ("Report", set()), (object(), set()),
    ([Owner, (Color,)], {Owner, Color}), (Failure, set()), (enum.Enum, set()), (msgspec.Struct, set()), (tuple, set()),
], ids=lambda value: str(value) if isinstance(value, type | str) else None)  # fmt: skip
def test_naming_finds_types_wherever_they_are(annotation: object, named: set[type]) -> None:
    serializer = SafeSerializer()
    serializer.name_types(annotation)
    instances = {
        **INSTANCES,
        **POINTS,
        Heir: Heir([]),
        Child: Child("c", []),
        Holder: Holder(None, []),
        Half: Half(1, 2),
    }
    accepted = {kind for kind, value in instances.items() if accepts(serializer, value)}
    assert named <= accepted
    assert accepted <= named | BROUGHT


def test_naming_ignores_what_is_beside_the_type() -> None:
    serializer = SafeSerializer()
    serializer.name_types(Annotated[int, Owner("x"), Color], int, "Owner", list["Owner"])
    assert repr(serializer) == "SafeSerializer(types=[])"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement is new in Python 3.12")
def test_naming_looks_through_type_statements() -> None:
    scope: dict[str, Any] = {"Owner": Owner, "Point": Point}
    exec("type Owners = list[Owner]\ntype Broken = list[Missing]", scope)
    serializer = SafeSerializer()
    serializer.name_types(scope["Owners"], scope["Broken"])
    assert accepts(serializer, Owner("o"))


def test_naming_ends_where_attributes_do_not() -> None:
    class Mock:
        def __getattr__(self, name: str) -> "Mock":
            return Mock()

    serializer = SafeSerializer()
    serializer.name_types(Mock(), list[Mock()])  # type: ignore[misc]
    assert repr(serializer) == "SafeSerializer(types=[])"


def test_naming_twice_changes_nothing() -> None:
    serializer = SafeSerializer(types=[list[Owner]])
    before = repr(serializer)
    serializer.name_types(Owner, list[Owner])
    serializer.name_types(Owner)
    assert repr(serializer) == before == "SafeSerializer(types=[tests.unit.serializers.samples.Owner])"


def test_the_others_take_names_and_need_none() -> None:
    for serializer in (JSONSerializer(), PickleSerializer("s" * 16)):
        assert serializer.name_types(Owner, list[Report]) is None  # type: ignore[func-returns-value]


@pytest.mark.parametrize("given", [int, "Report", list[int], object, 5])
def test_types_that_name_nothing_are_a_mistake(given: object) -> None:
    assert refusal(SafeSerializer, types=[Owner, given], kind=ConfigurationError) == (
        f"types= holds {given!r}, which names no enum and no class with fields; leave it out: nothing else needs naming"
    )


def test_one_type_in_place_of_several_is_a_mistake() -> None:
    for given in (Owner, Color):
        with pytest.raises(ConfigurationError) as caught:
            SafeSerializer(types=given)  # type: ignore[arg-type]
        assert str(caught.value) == f"types={given!r} is one type; wanted: several, types=[{given.__name__}]"


def version(fields: dict[str, Any], kind: str) -> Any:
    """A type called `models.Thing` with these fields: yesterday's or today's."""
    made: Any
    if kind == "dataclass":
        made = dataclasses.make_dataclass("Thing", fields.items())
    elif kind == "NamedTuple":
        made = NamedTuple("Thing", fields.items())  # type: ignore[misc]
    else:
        made = msgspec.defstruct("Thing", list(fields.items()))
    made.__module__, made.__qualname__ = "models", "Thing"
    return made


@pytest.mark.parametrize("kind", ["dataclass", "NamedTuple", "Struct"])
@pytest.mark.parametrize(("today", "message"), [
    ({"a": int}, "(missing: none; unknown: 1)"),
    ({"a": int, "b": int, "c": int}, "(missing: c; unknown: 0)"),
    ({"a": int, "c": int}, "(missing: c; unknown: 1)"),
    ({"x": int, "y": int}, "(missing: x, y; unknown: 2)"),
], ids=["removed", "added", "renamed", "all others"])  # fmt: skip
def test_yesterdays_shape_is_refused(kind: str, today: dict[str, Any], message: str) -> None:
    yesterday = version({"a": int, "b": int}, kind)
    data = SafeSerializer(types=[yesterday]).dumps({"k": yesterday(1, 2)}, b"")
    same_again = version({"b": int, "a": int}, kind)
    back = SafeSerializer(types=[same_again]).loads(data, b"")
    assert (type(back["k"]), back["k"].a, back["k"].b) == (same_again, 1, 2)  # type: ignore[index]
    assert refusal(SafeSerializer(types=[version(today, kind)]).loads, data, b"") == (
        f"the bytes hold models.Thing of another shape: its fields have changed {message}"
    )


def test_a_type_that_became_another_kind_is_refused() -> None:
    record = version({"a": int}, "dataclass")
    members = enum.Enum("Thing", ["A", "B"])
    fewer = enum.Enum("Thing", ["B"])
    flags = enum.Flag("Thing", ["A", "B"])
    for kind in (members, fewer, flags):
        kind.__module__, kind.__qualname__ = "models", "Thing"
    for value, read, reason in [
        (record(1), members, "the bytes hold no member"),
        (members["A"], record, "the bytes hold no fields"),
        (members["A"], fewer, "it has no such member"),
        (flags(3), members, "the bytes hold no member"),
    ]:
        data = SafeSerializer(types=[type(value)]).dumps(value, b"")
        said = refusal(SafeSerializer(types=[read]).loads, data, b"")
        assert said == f"the bytes hold models.Thing of another shape: {reason}"


def test_flags_without_names_today_are_refused() -> None:
    def flags(*names: str) -> Any:
        made = enum.Flag("Thing", names)
        made.__module__, made.__qualname__ = "models", "Thing"
        return made

    older, newer = flags("A", "B", "C"), flags("A", "B")
    writer = SafeSerializer(types=[older])
    assert SafeSerializer(types=[newer]).loads(writer.dumps(older(3), b""), b"") is newer(3)
    said = refusal(SafeSerializer(types=[newer]).loads, writer.dumps(older(6), b""), b"")
    assert said == "the bytes hold models.Thing of another shape: it has no such member"


class InCents:
    """A descriptor that makes something else of what it is given."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return 3 if instance is None else instance.__dict__[self.name]

    def __set__(self, instance: Any, value: int) -> None:
        instance.__dict__[self.name] = value * 100


class InTable(InCents):
    """One that keeps the values itself."""

    table: ClassVar[dict[int, int]] = {}

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return 3 if instance is None else self.table[id(instance)]

    def __set__(self, instance: Any, value: int) -> None:
        self.table[id(instance)] = value * 100


@dataclass
class Priced:
    note: str
    price: Any = InCents()


@dataclass
class PricedInTable:
    price: Any = InTable()


def test_no_descriptor_of_a_field_runs() -> None:
    serializer = SafeSerializer(types=[Priced, PricedInTable])
    back = serializer.loads(serializer.dumps(Priced("tea", 5), b""), b"")
    assert (type(back), vars(back)) == (Priced, {"note": "tea", "price": 500})
    with pytest.raises(SerializationError, match="which keeps its field 'price' by a descriptor; return plain data"):
        serializer.dumps(PricedInTable(5), b"")


def test_no_constructor_runs() -> None:
    ran: list[str] = []

    @dataclasses.dataclass
    class Record:
        a: int

        def __new__(cls, *_: object) -> Any:
            ran.append("new")
            return object.__new__(cls)

        def __post_init__(self) -> None:
            ran.append("post_init")

    class Tuple(NamedTuple("Tuple", [("a", int)])):  # type: ignore[misc]
        __slots__ = ()

        def __new__(cls, a: int) -> Any:
            ran.append("tuple new")
            return super().__new__(cls, a)

    class Member(enum.Enum):
        A = 1

        @classmethod
        def _missing_(cls, value: object) -> Any:
            ran.append("missing")

    value = [Record(1), Tuple(2), Member.A]
    serializer = SafeSerializer(types=[Record, Tuple, Member])
    data = serializer.dumps(value, b"")
    ran.clear()
    assert same(serializer.loads(data, b""), value)
    assert ran == []


def test_every_sample_is_named_by_itself() -> None:
    for kind in RECORDS:
        assert kind.__name__.partition("[")[0] in repr(SafeSerializer(types=[kind]))
