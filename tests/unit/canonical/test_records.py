import abc
import array
import dataclasses
import datetime as dt
import decimal
import functools
import io
import textwrap
import threading
from collections.abc import Callable
from decimal import Decimal
from typing import Any, Generic, TypeVar

import msgspec
import pytest
from freezegun import freeze_time

from memocache import SimpleCache, UnkeyableArgument, cached
from memocache._canonical import encode, encode_in_process
from tests.support.processes import output_of, run_python
from tests.unit.canonical.samples import (
    NOON,
    Lazily,
    MarkedPoint,
    OpenRecord,
    Pair,
    Point,
    SlottedToo,
    distinct_from_each_other,
    zone_from_file,
)


def test_a_record_is_all_that_it_holds() -> None:
    plain, more = Pair(1), Pair(1)
    more.extra = 2  # type: ignore[attr-defined]
    named, named_more = MarkedPoint(1, 2), MarkedPoint(1, 2)
    named_more.extra = 2  # type: ignore[attr-defined]
    struct, struct_more = OpenRecord(1), OpenRecord(1)
    struct_more.extra = 2  # type: ignore[attr-defined]
    slotted, slotted_more = SlottedToo(1), SlottedToo(1)
    object.__setattr__(slotted_more, "secret", 2)
    distinct_from_each_other(
        [plain, more, named, named_more, struct, struct_more, slotted, slotted_more, Pair(1, Pair(1))]
    )


class Computing:
    prices: Any

    @functools.cached_property
    def total(self) -> int:
        return sum(self.prices)

    @functools.cached_property
    def doubled(self) -> int:
        return 2 * self.total

    @functools.cached_property
    def connection(self) -> object:
        return object()

    @functools.cached_property
    def failing(self) -> object:
        raise LookupError


@dataclasses.dataclass
class Order(Computing):
    prices: list[int]


@dataclasses.dataclass(frozen=True)
class FrozenOrder(Computing):
    prices: tuple[int, ...]


class HeirOfFrozen(FrozenOrder):
    pass


class OrderRecord(msgspec.Struct, dict=True):
    prices: list[int]

    @functools.cached_property
    def total(self) -> int:
        return sum(self.prices)


class OrderTuple(Point):
    @functools.cached_property
    def total(self) -> int:
        return int(self.x + self.y)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Lazily(1),
        lambda: Order([1, 2]),
        lambda: FrozenOrder((1, 2)),
        lambda: OrderRecord([1, 2]),
        lambda: OrderTuple(1, 2),
    ],
    ids=["short", "dataclass", "frozen", "struct", "tuple"],
)
def test_what_a_record_has_computed_of_itself_does_not_count(make: Callable[[], Any]) -> None:
    asked = make()
    for name in ("double", "doubled", "total"):
        getattr(asked, name, None)
    assert encode(asked) == encode(make())


def test_what_was_assigned_to_a_cached_property_counts() -> None:
    def assigned(value: Any, **more: object) -> Any:
        for name, each in more.items():
            setattr(value, name, each)
        return value

    distinct_from_each_other(
        [
            *(Order([1]), assigned(Order([1]), total=5), assigned(Order([1]), total=6)),
            assigned(Order([1]), total="1"),
            *(assigned(Order([1]), doubled=5), assigned(Order([1]), doubled=5, total=5)),
            *(OrderRecord([1]), assigned(OrderRecord([1]), total=5), OrderTuple(1, 2)),
            assigned(OrderTuple(1, 2), total=5),
            *(HeirOfFrozen((1,)), assigned(HeirOfFrozen((1,)), total=5), assigned(Order([1]), failing=5)),
        ]
    )
    assert encode(assigned(Order([1]), total=1)) == encode(Order([1]))


def test_a_value_that_was_computed_of_older_fields_counts() -> None:
    changed = Order([1])
    assert changed.total == 1
    changed.prices.append(2)
    distinct_from_each_other([changed, Order([1, 2]), Order([1])])


def test_a_cached_property_without_a_form_is_only_left_out_of_what_is_frozen() -> None:
    order, frozen = Order([1]), FrozenOrder((1,))
    assert order.connection is not frozen.connection
    assert encode(frozen) == encode(FrozenOrder((1,)))
    with pytest.raises(UnkeyableArgument, match=r"an object instance, at \.connection, has no stable form"):
        encode(order)


def test_a_cached_property_may_ask_a_cached_function_about_its_record() -> None:
    @cached(cache=SimpleCache(), key=lambda record: record)
    def computed(record: Any) -> int:
        return 2 * int(record.x)

    Asking = dataclasses.make_dataclass("Asking", ["x"], namespace={"twice": functools.cached_property(computed)})
    Asking.twice.__set_name__(Asking, "twice")
    record = Asking(1)
    assert record.twice == 2
    assert [computed(record) for _ in range(3)] == [2, 2, 2]
    assert computed.info().misses == 1


@dataclasses.dataclass(eq=False)
class Row(array.array):  # type: ignore[type-arg]
    name: str = "r"

    def __new__(cls, data: list[int]) -> Any:
        return array.array.__new__(cls, "i", data)

    def __init__(self, data: list[int]) -> None: ...


@dataclasses.dataclass
class Failure(Exception):
    code: int


@dataclasses.dataclass
class File(io.BytesIO):
    name: str = "f"


@dataclasses.dataclass
class Local(threading.local):
    name: str = "l"


@dataclasses.dataclass
class Items(list[int]):
    name: str = "i"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Row([1]), "a Row instance has no stable form: an array is more than its fields; give Row a __cache_key__"),
        (Failure(1), "a Failure instance has no stable form: a BaseException is more than its fields; give Failure a"),
        (File(), "a File instance has no stable form: a _BytesIOBase is more|a File instance .* a BytesIO is more"),
        (Local(), "a Local instance has no stable form: a _local is more than its fields; give Local a __cache_key__"),
        (Items(), "an Items instance has no stable form: its class may add to what a list is; pass a plain list"),
        (zone_from_file("Asia/Tokyo", "Europe/Paris"), r"a ZoneInfo made from a file has no stable form: make it by"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_more_than_its_fields_is_refused(value: object, message: str) -> None:
    with pytest.raises(UnkeyableArgument, match=message):
        encode(value)


def test_a_dataclass_on_an_array_is_refused() -> None:
    np = pytest.importorskip("numpy")

    @dataclasses.dataclass(eq=False)
    class Samples(np.ndarray):  # type: ignore[misc, name-defined]
        unit: str = "V"

    with pytest.raises(UnkeyableArgument, match=r"a Samples instance .*: a ndarray is more than its fields"):
        encode(np.arange(3).view(Samples))


SHAPES = [
    dataclasses.make_dataclass("Plain", ["x"]),
    dataclasses.make_dataclass("Slotted", ["x"], slots=True),
    dataclasses.make_dataclass("Weak", ["x"], slots=True, weakref_slot=True),
    dataclasses.make_dataclass("OnSlots", ["y"], bases=(dataclasses.make_dataclass("Slotted", ["x"], slots=True),)),
    dataclasses.make_dataclass("OnOne", ["x"], bases=(type("One", (), {"__slots__": "one"}),)),
    dataclasses.make_dataclass("OnDict", ["x"], bases=(type("D", (), {"__slots__": {"a": "doc", "__dict__": ""}}),)),
    dataclasses.make_dataclass("Abstract", ["x"], bases=(abc.ABC,)),
    dataclasses.make_dataclass("Mixed", ["x"], bases=(Generic[TypeVar("T")],)),  # type: ignore[misc]
    dataclasses.make_dataclass("Private", ["x"], namespace={"__slots__": ("x", "__private", "__weakref__")}),
    dataclasses.make_dataclass("Zone", ["x"], bases=(dt.tzinfo,)),
]


@pytest.mark.parametrize("kind", SHAPES, ids=lambda kind: kind.__name__)
def test_a_dataclass_of_any_shape_is_its_attributes(kind: Any) -> None:
    value = kind(*range(len(dataclasses.fields(kind))))
    assert encode_in_process(value) == encode_in_process(kind(*range(len(dataclasses.fields(kind)))))


def test_a_field_that_was_never_set_is_not_none() -> None:
    unset, none = Pair(1), Pair(1)
    del unset.x
    none.x = None
    distinct_from_each_other([unset, none, Pair(1)])


def test_a_decimal_does_not_depend_on_the_context() -> None:
    before = encode(Decimal("1E+5"))
    with decimal.localcontext() as context:
        context.capitals = 0
        context.prec = 1
        assert encode(Decimal("1E+5")) == before


def test_frozen_time_is_time() -> None:
    with freeze_time("2024-06-01 12:00"):
        now, today = dt.datetime.now(), dt.date.today()
        aware = dt.datetime.now(dt.UTC)
        assert (encode(now), encode(today)) == (encode(NOON), encode(NOON.date()))
    assert (encode(now), encode(today)) == (encode(NOON), encode(NOON.date()))
    assert encode(aware) == encode(NOON.replace(tzinfo=dt.UTC))


def test_it_may_be_imported_while_time_is_frozen() -> None:
    code = """
        import datetime, freezegun
        with freezegun.freeze_time("2024-06-01 12:00"):
            from memocache._canonical import encode
            now, today = datetime.datetime.now(), datetime.date.today()
        print(encode(now) == encode(datetime.datetime(2024, 6, 1, 12)))
        print(encode(today) == encode(datetime.date(2024, 6, 1)))
    """
    assert output_of(run_python("-c", textwrap.dedent(code))) == ["True", "True"]
