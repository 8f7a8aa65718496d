"""What has no form as bytes is refused: which type, where, and what to do instead. Every message is here."""

import collections
import contextlib
import datetime
import functools
import io
import re
import sqlite3
import sys
import threading
import traceback
import types
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from memocache.errors import ConfigurationError, SerializationError
from memocache.serializers import JSONSerializer, PickleSerializer, SafeSerializer, Serializer
from tests.support.threads import PATIENCE, start
from tests.unit.serializers.samples import (
    BesideSlots,
    Child,
    Color,
    Counted,
    Failure,
    Owner,
    Point,
    Secretive,
    Slotted,
    Taller,
    refusal,
)

SAFE = SafeSerializer(types=[BesideSlots, Child, Color, Counted, Owner, Point, Secretive, Slotted, Taller])
OTHERWISE = "return plain data, or use PickleSerializer(secret=...)"


def refused(serializer: Serializer, value: object) -> str:
    return refusal(serializer.dumps, value, b"")


class MyDict(dict[Any, Any]):
    pass


class MyStr(str):
    pass


class MyInt(int):
    pass


class Zone(tzinfo):
    def utcoffset(self, _: object) -> timedelta:
        return timedelta(0)


class Anything:
    pass


class MyCounter(collections.Counter[str]):
    pass


@dataclass
class Unnamed:
    a: int = 1


def row() -> sqlite3.Row:
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = sqlite3.Row
        found: sqlite3.Row = connection.execute("SELECT 1 AS a").fetchone()
        return found


def generator() -> Any:
    yield 1


def made_at_run_time() -> Any:
    """Return a row as the itertuples() of pandas and Django's values_list(named=True) make them."""
    return collections.namedtuple("Row", ["a"])(1)


def odd(make: Callable[[Any], None], value: Any) -> Any:
    make(value)
    return value


@pytest.mark.parametrize(("value", "message"), [
    (generator(), "value is of type generator, which has no form as bytes; return a list instead"),
    ([1, {"rows": [0, (5, iter([]))]}],
     "value[1]['rows'][1][1] is of type list_iterator, which has no form as bytes; return a list instead"),
    (map(str, []), "value is of type map, which has no form as bytes; return a list instead"),
    ({"f": print}, "value['f'] is of type builtin_function_or_method, which has no form as bytes; " + OTHERWISE),
    ({"k" * 30: print}, f"value[{'k' * 30!r}] is of type builtin_function_or_method, which has no form as bytes; "
     + OTHERWISE),
    ({"k" * 31: print},
     "value.values()[0] is of type builtin_function_or_method, which has no form as bytes; " + OTHERWISE),
    ([lambda: 1], "value[0] is of type function, which has no form as bytes; " + OTHERWISE),
    ({1: int}, "value.values()[0] is of type type, which has no form as bytes; " + OTHERWISE),
    (Color, "value is of type enum.EnumType, which has no form as bytes; " + OTHERWISE),
    (io, "value is of type module, which has no form as bytes; " + OTHERWISE),
    (io.BytesIO(), "value is of type _io.BytesIO, which has no form as bytes; " + OTHERWISE),
    (threading.Lock(), "value is of type _thread.lock, which has no form as bytes; " + OTHERWISE),
    (object(), "value is of type object, which has no form as bytes; " + OTHERWISE),
    (Ellipsis, "value is of type ellipsis, which has no form as bytes; " + OTHERWISE),
    (range(3), "value is of type range, which has no form as bytes; return a list instead"),
    ({}.keys(), "value is of type dict_keys, which has no form as bytes; return a list instead"),
    ([{1: 2}.values()], "value[0] is of type dict_values, which has no form as bytes; return a list instead"),
    ({}.items(), "value is of type dict_items, which has no form as bytes; return a list instead"),
    (made_at_run_time(), f"value is of type {__name__}.Row, which no return hint names, so that it would be written and"
     " never be read; return a dict, or a NamedTuple that the hint names"),
    (memoryview(b""), "value is of type memoryview, which has no form as bytes; " + OTHERWISE),
    (types.MappingProxyType({}), "value is of type mappingproxy, which has no form as bytes; " + OTHERWISE),
    (threading, "value is of type module, which has no form as bytes; " + OTHERWISE),
    (Unnamed(), f"value is of type {__name__}.Unnamed, which no return hint names, so that it would be written and"
     " never be read; annotate the function's return type with it, or pass types=[Unnamed]"),
    (row(), "value is of type sqlite3.Row, which has no form as bytes; return dict(row)"),
    (msgspec.msgpack.Ext(1, b""), "value is of type msgspec.msgpack.Ext, which has no form as bytes; " + OTHERWISE),
    (msgspec.Raw(b"1"), "value is of type msgspec.Raw, which has no form as bytes; " + OTHERWISE),
    (msgspec.UNSET, "value is of type msgspec.UnsetType, which has no form as bytes; " + OTHERWISE),
    (Anything(), f"value is of type {__name__}.Anything, which has no form as bytes; " + OTHERWISE),
    (Failure(1), "value is of type tests.unit.serializers.samples.Failure, which has no form as bytes; " + OTHERWISE),
    (ValueError("x"), "value is of type ValueError, which has no form as bytes; " + OTHERWISE),
    (MyDict(a=1), f"value is of type {__name__}.MyDict, which has no form as bytes;"
     " return a plain dict, or use PickleSerializer(secret=...)"),
    (MyCounter("a"), f"value is of type {__name__}.MyCounter, which has no form as bytes;"
     " return a plain Counter, or use PickleSerializer(secret=...)"),
    ([collections.defaultdict(lambda: 1)], "value[0] is of type collections.defaultdict, which has a factory without a"
     " form as bytes; use list, dict, set, int or such"),
    ({"d": collections.deque([1, print])}, "value['d'][1] is of type builtin_function_or_method, which has no form as"
     " bytes; " + OTHERWISE),
    (collections.Counter({"a": print}), "value['a'] is of type builtin_function_or_method, which has no form as"
     " bytes; " + OTHERWISE),
    ({MyStr("k"): 1}, f"value.keys()[0] is of type {__name__}.MyStr, which has no form as bytes;"
     " return a plain str, or use PickleSerializer(secret=...)"),
    ({MyInt(1)}, f"value{{member}} is of type {__name__}.MyInt, which has no form as bytes;"
     " return a plain int, or use PickleSerializer(secret=...)"),
    (frozenset({(MyInt(1),)}), f"value{{member}}[0] is of type {__name__}.MyInt, which has no form as bytes;"
     " return a plain int, or use PickleSerializer(secret=...)"),
    (sys.version_info, "value is of type sys.version_info, which has no form as bytes;"
     " return a plain tuple, or use PickleSerializer(secret=...)"),
    ({(1, MyStr("k")): 1}, f"value.keys()[0][1] is of type {__name__}.MyStr, which has no form as bytes;"
     " return a plain str, or use PickleSerializer(secret=...)"),
    ({1: 2, (1,): [print]},
     "value.values()[1][0] is of type builtin_function_or_method, which has no form as bytes; " + OTHERWISE),
    (Owner({"n": [print]}),  # type: ignore[arg-type]
     "value.name['n'][0] is of type builtin_function_or_method, which has no form as bytes; " + OTHERWISE),
    ([Point(1, print)],  # type: ignore[arg-type]
     "value[0].y is of type builtin_function_or_method, which has no form as bytes; " + OTHERWISE),
    ([datetime.datetime(2020, 1, 1, tzinfo=Zone())], f"value[0] is of type {__name__}.Zone, which is a time zone"
     " without a form as bytes; use datetime.timezone or ZoneInfo(key)"),
    (datetime.time(1, tzinfo=Zone()), f"value is of type {__name__}.Zone, which is a time zone"
     " without a form as bytes; use datetime.timezone or ZoneInfo(key)"),
    ([Fraction(1, 2**65537)], "value[0] is of type fractions.Fraction, which is longer than 65536 bits;"
     " return its parts as ints"),
    (Secretive(1), "value is of type tests.unit.serializers.samples.Secretive, which holds '_index' besides its fields;"
     " declare it as a field, " + OTHERWISE),
    (odd(lambda value: setattr(value, "note", 1), Child("c", [])), "value is of type"
     " tests.unit.serializers.samples.Child, which holds 'note' besides its fields;"
     " declare it as a field, " + OTHERWISE),
    (odd(lambda value: setattr(value, "note", 1), Taller(1, 2)), "value is of type"
     " tests.unit.serializers.samples.Taller, which holds 'note' besides its fields;"
     " declare it as a field, " + OTHERWISE),
    (odd(lambda value: setattr(value, "hidden", 1), BesideSlots(1)), "value is of type"
     " tests.unit.serializers.samples.BesideSlots, which holds 'hidden' besides its fields; declare it as a field, "
     + OTHERWISE),
    ([odd(lambda value: delattr(value, "total"), Counted(start=1))], "value[0] is of type"
     " tests.unit.serializers.samples.Counted, which has no value for its field 'total' here; " + OTHERWISE),
    (object.__new__(Slotted), "value is of type tests.unit.serializers.samples.Slotted, which has no value for its"
     " field 'a' here; " + OTHERWISE),
    (tuple.__new__(Point, (1,)), "value is of type tests.unit.serializers.samples.Point, which has not as many values"
     " as fields here; " + OTHERWISE),
])  # fmt: skip
def test_the_safe_serializer_refuses(value: object, message: str) -> None:
    assert refused(SAFE, value) == message


@dataclass
class Named:
    """It has methods of each kind, and a cached property."""

    x: int

    def plain(self) -> str:
        return "n"

    @classmethod
    def of_class(cls) -> str:
        return "n"

    @staticmethod
    def static() -> str:
        return "n"

    @functools.cached_property
    def computed(self) -> int:
        return self.x + 1


@pytest.mark.parametrize("name", ["plain", "of_class", "static"])
def test_what_was_put_in_the_place_of_a_method_is_refused(name: str) -> None:
    serializer = SafeSerializer(types=[Named])
    value = Named(1)
    assert value.computed == 2
    assert serializer.loads(serializer.dumps(value, b""), b"") == value
    setattr(value, name, "of this one")
    assert refusal(serializer.dumps, value, b"").startswith(
        f"value is of type {__name__}.Named, which holds {name!r} besides its fields"
    )


def test_a_member_that_its_enum_does_not_know_is_refused() -> None:
    stranger = object.__new__(Color)
    stranger._name_, stranger._value_ = "GREEN", 3
    assert refused(SAFE, stranger) == (
        "value is of type tests.unit.serializers.samples.Color, which does not know this member by a name; " + OTHERWISE
    )


def test_a_type_that_another_of_its_name_has_replaced_is_refused() -> None:
    def make() -> Any:
        @dataclass
        class Local:
            a: int

        return Local

    older, newer = make(), make()
    serializer = SafeSerializer(types=[older])
    serializer.name_types(newer)
    assert type(serializer.loads(serializer.dumps(newer(1), b""), b"")) is newer
    assert refused(serializer, [older(1)]) == (
        f"value[0] is of type {__name__}.{older.__qualname__}, which is another type than the one named by this name;"
        " name each type differently"
    )


def test_zones_without_a_usable_key_are_refused() -> None:
    import importlib.resources

    with importlib.resources.files("tzdata.zoneinfo").joinpath("UTC").open("rb") as file:
        keyless = ZoneInfo.from_file(file)
        file.seek(0)
        strange = ZoneInfo.from_file(file, key="../UTC")
        file.seek(0)
        pretender = ZoneInfo.from_file(file, key="Europe/Paris")
    for zone in (keyless, strange, pretender):
        assert refused(SAFE, [zone]) == (
            "value[0] is of type zoneinfo.ZoneInfo, which is a time zone without a form as bytes;"
            " use datetime.timezone or ZoneInfo(key)"
        )


DAY = datetime.date(2020, 1, 1)


@pytest.mark.parametrize("make", [
    lambda inner: [inner], lambda inner: (inner,), lambda inner: {"k": inner}, lambda inner: {DAY: inner},
    lambda inner: frozenset({inner}), Owner, lambda inner: Point(inner, 1),
], ids=["list", "tuple", "dict", "pairs", "frozenset", "dataclass", "NamedTuple"])  # fmt: skip
def test_depth_is_limited(make: Callable[[Any], Any]) -> None:
    def nested(depth: int) -> Any:
        value: Any = 2**70  # the one part with a level of its own when read
        for _ in range(depth):
            value = make(value)
        return value

    serializer = SafeSerializer(types=[Owner, Point], max_depth=20)
    assert serializer.loads(serializer.dumps(nested(20), b""), b"") == nested(20)
    assert re.fullmatch(
        r"value.*\.\.\. is of type .*, which lies more than 20 levels deep or in a cycle;"
        r" return flatter data, or pass a larger max_depth=",
        refused(serializer, nested(21)),
    )


def test_cycles_are_refused() -> None:
    as_list: list[Any] = []
    as_list.append(as_list)
    as_dict: dict[str, Any] = {}
    as_dict["k"] = (1, as_dict)
    as_object = Owner("x")
    object.__setattr__(as_object, "name", [as_object])
    two = [as_list, as_list]
    as_list.append(two)
    for value in (as_list, as_dict, as_object, two):
        assert "lies more than 100 levels deep or in a cycle" in refused(SAFE, value)
    for value in (as_list, two, [{"a": two}]):
        assert "lies more than 100 levels deep or in a cycle" in refused(JSONSerializer(), value)


@pytest.mark.parametrize("max_depth", [0, -1, 501, True, 1.5, "9", None])
def test_a_max_depth_that_cannot_work_is_refused(max_depth: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^max_depth={max_depth!r} does not work; wanted: 1 to 500$"):
        SafeSerializer(max_depth=max_depth)


def on_a_stack(frames: int, call: Callable[[], Any]) -> Any:
    return on_a_stack(frames - 1, call) if frames else call()


def nothing() -> None:
    SerializationError()


@pytest.mark.parametrize("serializer", [SafeSerializer(max_depth=500), JSONSerializer(), PickleSerializer("s" * 16)])
def test_no_recursion_error_escapes_however_deep_the_caller_is(serializer: Serializer) -> None:
    assert sys.getrecursionlimit() == 1000
    seen: set[str] = set()

    def outcome(call: Callable[[], Any]) -> None:
        (lambda: nothing())()  # a call must fit, and an error made in it; else it is the caller's own error
        try:
            call()
        except SerializationError as error:
            seen.add(error.args[0])  # telling it takes another frame
        else:
            seen.add("fine")

    def every_depth() -> None:
        for leaf in (90, 499):
            for shape in ("list", "tuple"):
                if shape == "tuple" and isinstance(serializer, JSONSerializer):
                    continue
                value: Any = [1]
                for _ in range(leaf):
                    value = [value] if shape == "list" else (value,)
                data = None
                for frames in (0, 300, *range(590, 960, 5), *range(960, 1000)):
                    try:
                        on_a_stack(frames, lambda: outcome(lambda: serializer.dumps(value, b"")))  # noqa: B023
                        if data is None:
                            try:
                                data = serializer.dumps(value, b"")
                            except SerializationError:
                                data = b"\x91" * leaf + b"\x01"
                        on_a_stack(frames, lambda: outcome(lambda: serializer.loads(data, b"")))  # noqa: B023
                    except RecursionError as error:
                        last = traceback.extract_tb(error.__traceback__)[-1]
                        assert last.name in ("on_a_stack", "outcome", "<lambda>", "nothing"), (frames, last)

    start(every_depth).result(PATIENCE)  # in a thread: with nobody's frames below
    assert "fine" in seen
    assert "value is nested too deep for what is left of the stack; return flatter data" in seen


def test_600_frames_deep_a_usual_value_still_works() -> None:
    value = {"rows": [{"at": (1, (2, (3, {4, 5}))), "owner": Owner("o")}] * 3}
    serializer = SafeSerializer(types=[Owner])
    back = start(on_a_stack, 600, lambda: serializer.loads(serializer.dumps(value, b""), b"")).result(PATIENCE)
    assert back == value


def test_attributes_that_raise_are_a_refusal() -> None:
    @dataclass
    class Touchy:
        a: int

        def __getattribute__(self, name: str) -> Any:
            if name == "a":
                raise LookupError("canary-7f3a")
            return super().__getattribute__(name)

    with pytest.raises(SerializationError) as caught:
        SafeSerializer(types=[Touchy]).dumps([Touchy(1)], b"")
    assert str(caught.value) == "value could not be read, LookupError; return plain data"
    assert "canary" not in "".join(traceback.format_exception(caught.value))


def test_an_interrupt_goes_through() -> None:
    @dataclass
    class Interrupted:
        a: int

        def __getattribute__(self, name: str) -> Any:
            if name == "a":
                raise KeyboardInterrupt
            return super().__getattribute__(name)

    with pytest.raises(KeyboardInterrupt):
        SafeSerializer(types=[Interrupted]).dumps([Interrupted(1)], b"")


CANARY = "canary-7f3a"


class Revealing:
    def __repr__(self) -> str:
        return CANARY

    def __reduce__(self) -> Any:
        raise ValueError(CANARY)


@pytest.mark.parametrize("serializer", [SafeSerializer(), JSONSerializer(), PickleSerializer(CANARY * 2)], ids=repr)
def test_no_value_and_no_secret_shows(serializer: Serializer) -> None:
    values: list[Any] = [
        {CANARY: Revealing()}, [CANARY, Revealing()], {CANARY: [Revealing()]}, {(CANARY,): Revealing()},
        [CANARY, "\ud800", Revealing()], {CANARY: (CANARY, {Revealing()})}, Revealing(),
        {CANARY: [datetime.datetime(2020, 1, 1, tzinfo=type(CANARY, (Zone,), {})()), Revealing()][1]},
    ]  # fmt: skip
    assert CANARY not in repr(serializer)
    garbage = [CANARY.encode(), CANARY.encode() * 10, b"\xad" + CANARY.encode() + b"!", b'"' + CANARY.encode()]
    garbage += [b"\xc7" + bytes([len(CANARY), tag]) + CANARY.encode() for tag in (*range(16), *range(19, 30))]
    garbage += [b"\xc7\x0d\x1c\xac" + CANARY.encode() + b"X"]  # as the key of a zone
    calls = [*((serializer.dumps, value) for value in values), *((serializer.loads, data) for data in garbage)]
    for call, given in calls:
        with pytest.raises(SerializationError) as caught:
            call(given, CANARY.encode())
        shown = [str(caught.value), repr(caught.value), *traceback.format_exception(caught.value)]
        assert not [text for text in shown if CANARY in text]
