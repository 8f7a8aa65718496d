"""JSONSerializer keeps what JSON can say, and refuses the rest instead of bending it."""

import json
import math
from collections import OrderedDict
from datetime import UTC, datetime
from decimal import Decimal
from enum import IntEnum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memocache.serializers import JSONSerializer
from tests.support.selection import examples
from tests.unit.serializers.samples import Level, Owner, Point, refusal, same

SERIALIZER = JSONSerializer()
INSTEAD = "return JSON's own types, or use SafeSerializer()"


def trip(value: Any) -> Any:
    return SERIALIZER.loads(SERIALIZER.dumps(value, b"context"), b"another")


JSON = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
        st.integers(-(2**2047), 2**2047),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)),
    max_leaves=10,
)  # fmt: skip


@settings(max_examples=examples(300), deadline=None, database=None)
@given(JSON)
def test_json_values_come_back(value: Any) -> None:
    assert same(trip(value), value)
    assert same(json.loads(SERIALIZER.dumps(value, b"")), value)


@pytest.mark.parametrize("value", [
    None, True, 0, -1, 2**64, -(2**2048) + 1, 2**2048 - 1, 0.0, -0.0, 1e16, 5e-324, 1.7976931348623157e308, "",
    "\0\u2028ü😀", [], {}, [1, [2.5, {"a": None}]], {"b": 1, "a": 2, "": 3},
], ids=lambda value: type(value).__name__)  # fmt: skip
def test_edges_come_back(value: Any) -> None:
    assert same(trip(value), value)


BENT = f"which would not come back from JSON as it is; {INSTEAD}"
BENT_KEY = f"which would not come back from JSON as a key; {INSTEAD}"
INFINITE = f"which is not finite here, and JSON has no word for that; {INSTEAD}"
SURROGATE = f"which has a lone surrogate here, and is no text; {INSTEAD}"


@pytest.mark.parametrize(("value", "message"), [
    ((1,), f"value is of type tuple, {BENT}"),
    ({"a": [0, (1,)]}, f"value['a'][1] is of type tuple, {BENT}"),
    ({1}, f"value is of type set, {BENT}"),
    ([b"x"], f"value[0] is of type bytes, {BENT}"),
    ([bytearray()], f"value[0] is of type bytearray, {BENT}"),
    ({1: 2}, f"value.keys()[0] is of type int, {BENT_KEY}"),
    ({"a": 1, None: 2}, f"value.keys()[1] is of type NoneType, {BENT_KEY}"),
    ([{True: 2}], f"value[0].keys()[0] is of type bool, {BENT_KEY}"),
    (math.nan, f"value is of type float, {INFINITE}"),
    ({"a": -math.inf}, f"value['a'] is of type float, {INFINITE}"),
    (["", "a\ud800"], f"value[1] is of type str, {SURROGATE}"),
    ({"\ud83d\ude00": 1}, f"value.keys()[0] is of type str, {SURROGATE}"),
    ([2**2048], f"value[0] is of type int, which is longer than 2048 bits here; {INSTEAD}"),
    ([1j], f"value[0] is of type complex, {BENT}"),
    (Decimal(1), f"value is of type decimal.Decimal, {BENT}"),
    (UUID(int=1), f"value is of type uuid.UUID, {BENT}"),
    (datetime(2020, 1, 1, tzinfo=UTC), f"value is of type datetime.datetime, {BENT}"),
    (Level.LOW, f"value is of type tests.unit.serializers.samples.Level, {BENT}"),
    (Owner("x"), f"value is of type tests.unit.serializers.samples.Owner, {BENT}"),
    (Point(1, 2), f"value is of type tests.unit.serializers.samples.Point, {BENT}"),
    (OrderedDict(), f"value is of type collections.OrderedDict, {BENT}"),
    (print, f"value is of type builtin_function_or_method, {BENT}"),
])  # fmt: skip
def test_what_json_would_bend_is_refused(value: Any, message: str) -> None:
    assert refusal(SERIALIZER.dumps, value, b"") == message


def test_subclasses_of_plain_types_are_refused() -> None:
    for base in (int, str, float, list, dict):
        kind = type("Mine", (base,), {})
        assert "would not come back from JSON" in refusal(SERIALIZER.dumps, [kind()], b"")
    member = IntEnum("Small", ["A"])(1)
    assert "would not come back from JSON as a key" in refusal(SERIALIZER.dumps, {member: 1}, b"")


@pytest.mark.parametrize(("data", "reason"), [
    (b"", "DecodeError"), (b"NaN", "DecodeError"), (b"Infinity", "DecodeError"), (b"1e999", "ValidationError"),
    (b"1" * 5000, "ValidationError"), (b'"\\ud800"', "DecodeError"), (b"\xff", "DecodeError"),
    (b"[1] 2", "DecodeError"),
    (b"{'a': 1}", "DecodeError"), (b'"\xff"', "DecodeError"), (b"\xef\xbb\xbf1", "DecodeError"),
])  # fmt: skip
def test_what_is_no_json_is_refused(data: bytes, reason: str) -> None:
    said = refusal(SERIALIZER.loads, data, b"").replace("UnicodeDecodeError", "DecodeError")  # msgspec 0.22
    assert said == f"the bytes are no JSON, {reason}"


def test_a_value_that_changes_meanwhile_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    value: dict[str, Any] = {"a": 1.5, "b": 2.5}
    original = math.isfinite

    def meddle(number: float) -> bool:
        value[f"new{len(value)}"] = 1
        return original(number)

    monkeypatch.setattr("memocache.serializers.plain_json.isfinite", meddle)
    assert refusal(SERIALIZER.dumps, value, b"") == f"value could not be read, RuntimeError; {INSTEAD}"


def test_it_shows_itself() -> None:
    assert repr(SERIALIZER) == "JSONSerializer()"
