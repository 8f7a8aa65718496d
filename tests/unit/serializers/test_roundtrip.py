"""What goes in comes out: equal, of the same types, to the last bit."""

import dataclasses
import gc
import math
import struct
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from ipaddress import ip_address, ip_interface, ip_network
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import freezegun
import markupsafe
import msgspec
import pydantic
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memocache.serializers import PickleSerializer, SafeSerializer
from tests.support.processes import output_of, run_python
from tests.support.selection import examples
from tests.support.threads import at_once
from tests.unit.serializers.samples import (
    RECORDS,
    BesideSlots,
    Child,
    Color,
    Counted,
    Deep,
    Defined,
    FrozenS,
    Hashed,
    Huge,
    IntPerm,
    Legacy,
    Level,
    Loose,
    Mode,
    Model,
    Open,
    Owner,
    Page,
    Paged,
    Perm,
    Point,
    PostS,
    Report,
    S,
    Slotted,
    Taller,
    Undecorated,
    same,
)  # fmt: skip

SAFE = SafeSerializer(types=RECORDS)
BERLIN = ZoneInfo("Europe/Berlin")
ODD_ZONE = timezone(timedelta(hours=-3, minutes=-7, seconds=5, microseconds=9))
NAMED_ZONE = timezone(timedelta(0), "not UTC")


def trip(value: Any) -> Any:
    return SAFE.loads(SAFE.dumps(value, b"context"), b"another context")


def quiet_nan(payload: int) -> float:
    return struct.unpack(">d", struct.pack(">Q", 0x7FF8000000000000 | payload))[0]


def private(model: Any, value: object) -> Any:
    model._private = value
    return model


VALUES: list[Any] = [
    None, True, False, 0, 1, -1, 255, -(2**31), 2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, -(2**63), -(2**63) - 1,
    10**400, -(10**400), 2**127, -(2**127), 0.0, -0.0, 1.5, 5e-324, sys.float_info.max, math.inf, -math.inf, math.nan,
    -math.nan, quiet_nan(12345), 1j, complex(-0.0, 0.0), complex(math.nan, -math.inf), "", "text", "\0", "ü€😀",
    "\ud800", "a\udfffb", "\ud83d\ude00", b"", b"\x00\xff", b"\xc1", bytearray(), bytearray(b"ab"),
    [], [[]], [None, [1, "a"]], (), ((),), (1, (2, [3, (4,)])), [(), [()]], {}, {"a": 1}, {"a": {"b": [{}]}},
    set(), {1, 2, 3}, {(1, 2), ("a",)}, frozenset(), frozenset({frozenset({1}), frozenset()}), {frozenset({(1, 2)})},
    {1: "int"}, {None: 1}, {True: 1, 2: 2}, {1.5: 1}, {b"k": 1}, {math.nan: 1}, {-0.0: 1}, {(1, 2): 3}, {((),): ()},
    {date(2020, 1, 1): 1}, {datetime(2020, 1, 1, tzinfo=UTC): 1}, {datetime(2020, 1, 1): 1}, {frozenset({1}): 1},
    {Decimal("1.0"): 1}, {UUID(int=5): 1}, {"\ud800": 1}, {2**70: [2**70]}, {Color.RED: 1}, {Level.LOW: 1},
    {"z": 1, "a": 2, (1,): 3, None: 4, "b": 5}, {3: 1, 1: 2, 2: 3}, {"1": 1, 1: 2, b"1": 3},
    {b"a": {1: {None: {(): {}}}}}, {"plain": 1, "big": 2**90, "odd": "\udc00", "list": ["\udc00", "fine"]},
    date(1, 1, 1), date(9999, 12, 31), date(2024, 2, 29),
    time(0), time(23, 59, 59, 999999), time(1, 2, fold=1), time(1, 2, tzinfo=UTC), time(1, tzinfo=BERLIN),
    time(1, tzinfo=ODD_ZONE, fold=1),
    datetime.min, datetime.max, datetime(2020, 1, 1), datetime(2020, 1, 1, 1, 2, 3, 4), datetime(2020, 1, 1, fold=1),
    datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC), datetime(2020, 1, 1, 1, 2, 3, 4, UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999999, UTC), datetime(2020, 1, 1, tzinfo=UTC, fold=1),
    datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN), datetime(2020, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    datetime(2020, 3, 29, 2, 30, tzinfo=BERLIN), datetime(2020, 1, 1, tzinfo=ODD_ZONE),
    datetime(2020, 1, 1, tzinfo=NAMED_ZONE), datetime(2020, 1, 1, tzinfo=ZoneInfo("UTC")),
    datetime(2020, 1, 1, tzinfo=ZoneInfo("America/Argentina/Salta")),
    datetime(2020, 1, 1, tzinfo=ZoneInfo("Etc/GMT+5")), timedelta(0),
    timedelta.min, timedelta.max, timedelta(days=-1, microseconds=1),
    UTC, ODD_ZONE, NAMED_ZONE, timezone.max, timezone.min, BERLIN,
    *map(Decimal, ["0", "-0", "1.0", "1.00", "1E+5", "-1e-7", "NaN", "-NaN", "sNaN", "-sNaN12", "NaN123", "Infinity",
                   "-Infinity", "0E-50", "1E+999999", "1" * 300]),
    Fraction(0), Fraction(-1, 3), Fraction(10**200, 7),
    UUID(int=0), UUID(int=2**128 - 1),
    Color.RED, Color.CRIMSON, Color.BLUE, Color.ODD, Level.HIGH, Mode.FAST, Perm.R, Perm.R | Perm.X, Perm(0), ~Perm.R,
    IntPerm.R, IntPerm.R | IntPerm.W, IntPerm(0), IntPerm(1024), Huge.B, Huge.A | Huge.B,
    Point(1, 2), Point((1, 2), Point({1}, [None])), Taller(1, 2), Legacy(1, b="x"), {Point(1, 2): Point(3, 4)},
    Report("r", [Point(1, 2)], Owner("o")), Report("r", []), Owner("x"), {Owner("x"): 1}, {Owner("x"), Owner("y")},
    Slotted(1, (2, 3)), Slotted(2**99, "\ud800"), Counted(start=21), Child("c", [], None, 5), Undecorated("u", []),
    Deep(Level.HIGH), Page([1, (2,)]), Page[int]([3]), S(1), S(2, Point(1, S(3))), FrozenS(a_b={1}, c_d=5), PostS(4),
    [Report("a", [Point(1, 2)])] * 3,
    Counter("abca"), Counter({(1, 2): -3, "x": 0}), OrderedDict(), OrderedDict([("z", 1), ((1,), [2])]),
    defaultdict(list, {1: [2]}), defaultdict(None), defaultdict(Counter, {"a": Counter("b")}), deque(),
    deque([(1, 2), [3]], 5), deque(maxlen=0), PurePosixPath("a/../b"), PurePosixPath(), PureWindowsPath(r"C:\x"),
    Path("/a/\udcff"), *map(ip_address, ("10.0.0.1", "::1", "fe80::1%eth0")), *map(ip_network, ("10.0.0.0/8", "::/0")),
    *map(ip_interface, ("10.1.2.3/8", "fe80::1/64")), {ip_address("::1"): Path("x")},
    Model(number=1), Model(number=1, inner=[Model(number=2, inner=[])]), private(Model(number=1), {"at": (1, 2)}),
    Open(), Open(a=(1,), b={2}), Paged[Model](rows=[Model(number=1)]), Model.model_construct(number="no number"),
    Defined(1, Defined(2)), Hashed((1, "\ud800")), {Hashed(1): Hashed(2)}, Loose(1), markupsafe.Markup("<b>\ud800</b>"),
]  # fmt: skip


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_comes_back_with_the_same_types(value: Any) -> None:
    assert same(trip(value), value)
    assert same(trip([value, (value,), {"k": value}]), [value, (value,), {"k": value}])


def test_all_values_in_one() -> None:
    assert same(trip(VALUES), VALUES)
    assert same(trip(tuple(VALUES)), tuple(VALUES))
    assert same(trip({(n,): value for n, value in enumerate(VALUES)}), {(n,): value for n, value in enumerate(VALUES)})


def test_same_sees_what_msgspec_alone_would_lose() -> None:
    encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode
    flattened = [(1,), {1}, UUID(int=1), Decimal("1"), date(2020, 1, 1), bytearray(b"x"), Color.RED, Owner("o"), S(1)]
    for value in flattened:
        assert not same(decode(encode(value)), value)


@pytest.mark.parametrize(("one", "other"), [
    (1, True), (1, 1.0), (0.0, -0.0), ((1,), [1]), (Decimal("1.0"), Decimal("1.00")), ({1: 2, 3: 4}, {3: 4, 1: 2}),
    (b"a", bytearray(b"a")), (datetime(2020, 1, 1), datetime(2020, 1, 1, fold=1)), (UTC, ZoneInfo("UTC")),
    (Level.LOW, 1), (Point(1, 2), (1, 2)), ({1}, frozenset({1})), (UTC, NAMED_ZONE), ([(1,)], [(True,)]),
])  # fmt: skip
def test_values_that_are_not_the_same_have_other_bytes(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert SAFE.dumps(one, b"") != SAFE.dumps(other, b"")


def test_a_value_is_not_changed_by_dumps() -> None:
    inner: dict[Any, Any] = {"t": (1, 2), "s": {3}}
    value = [inner, {"plain": 1}, {"deep": [inner]}]
    SAFE.dumps(value, b"")
    assert value == [inner, {"plain": 1}, {"deep": [inner]}]
    assert inner == {"t": (1, 2), "s": {3}}


def test_long_fractions_come_back() -> None:
    assert trip(Fraction(2**65535 - 1, 2**65535)) == Fraction(2**65535 - 1, 2**65535)


def test_shared_parts_become_copies() -> None:
    part = [1]
    back = trip([part, part])
    assert back == [[1], [1]]
    assert back[0] is not back[1]


def test_plain_data_is_plain_msgpack() -> None:
    # So it is read without any Python. UTC datetimes are among it.
    value = {"a": [1, 2.5, None, True, b"x", "y", {"b": {}}], "when": datetime(2020, 1, 1, tzinfo=UTC)}
    assert SAFE.dumps(value, b"") == msgspec.msgpack.encode(value)


def test_post_init_does_not_run_again() -> None:
    back = trip(Counted(start=21))
    assert (back.total, back.runs) == (42, 1)
    assert (trip(PostS(4)).total, trip(PostS(4)).runs) == (4, 1)


def test_the_kept_result_of_a_cached_property_is_left_out() -> None:
    value = Counted(start=21)
    assert value.half == 21.0
    back = trip(value)
    assert "half" not in vars(back)
    assert back.half == 21.0


@pytest.mark.parametrize("value", [Model(number=2), Defined(2)], ids=["pydantic", "attrs"])
def test_so_is_that_of_a_model(value: Any) -> None:
    assert value.double == 4
    back = trip(value)
    assert back == value
    assert "double" not in getattr(back, "__dict__", ())
    assert back.double == 4


@pytest.mark.filterwarnings("error")
def test_models_come_back_without_their_code() -> None:
    ran: list[str] = []

    class Checked(pydantic.BaseModel):
        a: Any = pydantic.Field(deprecated=True)

        @pydantic.field_validator("a")
        @classmethod
        def check(cls, value: Any) -> Any:
            ran.append("validator")
            return f"{value}!"

        def model_post_init(self, context: object) -> None:
            ran.append("post_init")

    @attrs.define
    class Converted:
        a: Any = attrs.field(
            converter=lambda value: ran.append("converter") or f"{value}!", validator=lambda *_: ran.append("v")
        )

        def __attrs_post_init__(self) -> None:
            ran.append("attrs post_init")

    value = [Checked(a="x"), Converted("x")]
    assert len(ran) == 5
    serializer = SafeSerializer(types=[Checked, Converted])
    assert same(serializer.loads(serializer.dumps(value, b""), b""), value)
    assert len(ran) == 5


def test_an_unset_slot_of_a_base_is_no_obstacle() -> None:
    serializer = SafeSerializer(types=[BesideSlots])
    assert same(serializer.loads(serializer.dumps(BesideSlots(1), b""), b""), BesideSlots(1))


def test_instances_from_bytes_are_as_good_as_others() -> None:
    back = trip(Slotted(1, 2))
    with pytest.raises(dataclasses.FrozenInstanceError):
        back.a = 5
    assert hash(back) == hash(Slotted(1, 2))
    back = trip(FrozenS(a_b=1))
    assert hash(back) == hash(FrozenS(a_b=1))


def test_frozen_time_is_kept_as_time() -> None:
    with freezegun.freeze_time("2024-05-06 07:08:09"):
        import datetime as frozen

        value = [frozen.datetime.now(), frozen.datetime.now(frozen.UTC), frozen.date.today()]
        assert type(value[0]).__module__ == "freezegun.api"
        inside = trip(value)
    wanted = [datetime(2024, 5, 6, 7, 8, 9), datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC), date(2024, 5, 6)]
    assert same(inside, wanted)
    with freezegun.freeze_time("2024-05-06"):
        assert same(trip(wanted), wanted)


def test_imported_in_frozen_time_it_works_in_real_time() -> None:
    program = """
import datetime, freezegun
with freezegun.freeze_time("2020-01-01"):
    from memocache.serializers import SafeSerializer
    serializer = SafeSerializer()
    frozen = datetime.datetime.now()
for value in (datetime.datetime(2020, 1, 1), datetime.date(2020, 1, 1), datetime.time(1)):
    back = serializer.loads(serializer.dumps(value, b""), b"")
    assert type(back) is type(value) and back == value, back
assert type(serializer.loads(serializer.dumps(frozen, b""), b"")) is datetime.datetime
"""
    assert output_of(run_python("-c", program)) == []


def test_many_threads_share_one_serializer() -> None:
    serializer = SafeSerializer(types=[list[Report]])
    value = [Report("r", [Point(n, (n,))], Owner("o")) for n in range(20)]
    right: list[bool] = []

    def work() -> None:
        for _ in range(40):
            serializer.name_types(list[Report])
            right.append(same(serializer.loads(serializer.dumps(value, b""), b""), value))

    at_once(8, work)
    assert right == [True] * 320


def test_nothing_is_left_behind() -> None:
    value = [VALUES, (1, [2])]
    data = SAFE.dumps(value, b"")
    SAFE.loads(data, b"")
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(20):
        SAFE.loads(SAFE.dumps(value, b""), b"")
    gc.collect()
    assert len(gc.get_objects()) - before < 100


ZONES = st.one_of(
    st.none(), st.just(UTC), st.just(BERLIN),
    st.sampled_from(["Asia/Kolkata", "America/New_York", "UTC"]).map(ZoneInfo),
    st.timedeltas(timedelta(hours=-23), timedelta(hours=23)).map(timezone),
)  # fmt: skip
TEXT = st.one_of(st.text(max_size=8), st.text(st.characters(), max_size=4))  # with lone surrogates
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.complex_numbers(), TEXT, st.binary(max_size=8),
    st.dates(), st.times(timezones=ZONES), st.datetimes(timezones=ZONES), st.timedeltas(), st.uuids(),
    st.decimals().filter(lambda number: not number.is_snan()), st.fractions(), st.builds(Owner, TEXT),
    st.sampled_from([Level.LOW, Mode.FAST, Perm.R | Perm.W, Huge.B]),
)  # fmt: skip
KEYABLE: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(tuple), st.frozensets(inner, max_size=3), st.builds(Point, inner, inner),
    ),
    max_leaves=4,
)  # fmt: skip
ANY = st.recursive(
    st.one_of(SCALARS, st.decimals(), st.binary(max_size=8).map(bytearray), st.sampled_from([Color.ODD])),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.lists(inner, max_size=4).map(tuple), st.dictionaries(TEXT, inner, max_size=4),
        st.dictionaries(KEYABLE, inner, max_size=3), st.sets(KEYABLE, max_size=3), st.builds(Report, inner, inner),
        st.builds(S, inner, inner), st.builds(Legacy, inner, inner), st.builds(Slotted, inner),
    ),
    max_leaves=8,
)  # fmt: skip
THOROUGH = settings(max_examples=examples(300), deadline=None, database=None, suppress_health_check=list(HealthCheck))


@settings(THOROUGH, max_examples=examples(2000))
@given(SCALARS)
def test_any_scalar_comes_back(value: Any) -> None:
    assert same(trip(value), value)


@THOROUGH
@given(ANY)
def test_any_value_comes_back(value: Any) -> None:
    assert same(trip(value), value)


@settings(THOROUGH, max_examples=examples(200))
@given(ANY, st.binary(max_size=20))
def test_any_value_comes_back_from_a_signed_pickle(value: Any, context: bytes) -> None:
    serializer = PickleSerializer(secret=b"0123456789abcdef")
    assert same(serializer.loads(serializer.dumps(value, context), context), value)
