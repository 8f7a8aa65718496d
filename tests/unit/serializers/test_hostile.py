"""Whatever bytes lie in a cache, reading them gives a plain value or SerializationError, and runs nothing."""

import contextlib
import dataclasses
import pickle
import random
import re
import struct
import sys
import time
import tracemalloc
import uuid
import zlib
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.msgpack import Ext, encode

from memocache.errors import SerializationError
from memocache.serializers import JSONSerializer, PickleSerializer, SafeSerializer, Serializer
from memocache.serializers._extensions import Code
from tests.support.canary import Canary
from tests.unit.serializers.samples import RECORDS, Color, Huge, IntPerm, Owner, Perm, refusal
from tests.unit.serializers.test_roundtrip import VALUES

SAFE = SafeSerializer(types=RECORDS)
SIGNED = PickleSerializer(secret=b"0123456789abcdef")
ALL: list[Serializer] = [SAFE, SafeSerializer(), JSONSerializer(), SIGNED]
PLAIN = {type(value) for value in VALUES} | {type(None), *RECORDS}


def assert_plain(value: Any) -> None:
    waiting = [value]
    while waiting:
        part = waiting.pop()
        assert type(part) in PLAIN, type(part)
        if isinstance(part, dict):
            waiting += [*part.keys(), *part.values()]
        elif isinstance(part, list | tuple | set | frozenset):
            waiting += part
        elif dataclasses.is_dataclass(part):
            waiting += [getattr(part, field.name) for field in dataclasses.fields(part)]
        elif isinstance(part, msgspec.Struct):
            waiting += [getattr(part, name) for name in part.__struct_fields__]


def refused(serializer: Serializer, data: bytes) -> str:
    return refusal(serializer.loads, data, b"")


def mutants(blobs: list[bytes], count: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for _ in range(count):
        data = bytearray(chance.choice(blobs))
        for _ in range(chance.choice((1, 1, 1, 2, 5))):
            at = chance.randrange(len(data) + 1)
            match chance.randrange(6):
                case 0 if data:
                    data[at - 1] ^= 1 << chance.randrange(8)
                case 1:
                    del data[at:]
                case 2:
                    data[at:at] = chance.randbytes(chance.choice((1, 2, 8)))
                case 3:
                    other = chance.choice(blobs)
                    start = chance.randrange(len(other) + 1)
                    data[at : at + chance.randrange(9)] = other[start : start + chance.randrange(30)]
                case 4 if data:
                    data[at - 1] = chance.choice(
                        b"\x80\x81\x90\x91\xc1\xc7\xc8\xc9\xd4\xd5\xd8\xdc\xdd\xde\xdf\xff\x05"
                    )
                case _:
                    del data[at : at + chance.randrange(5)]
        yield bytes(data)


@pytest.mark.parametrize("seed", range(3))
def test_mutants_are_plain_values_or_refused(seed: int) -> None:
    blobs = [SAFE.dumps(value, b"") for value in VALUES] + [SAFE.dumps([value, (value,)], b"") for value in VALUES]
    blobs.append(SAFE.dumps([value for value in VALUES if value is not Color.ODD][::7], b""))
    refused = kept = 0
    for data in mutants(blobs, 12_000, seed):
        try:
            value = SAFE.loads(data, b"")
        except SerializationError:
            refused += 1
        else:
            assert_plain(value)
            kept += 1
    assert refused > 3000
    assert kept > 1000


def test_mutants_of_json_are_plain_values_or_refused() -> None:
    json = JSONSerializer()
    blobs = [
        json.dumps(value, b"")
        for value in [None, 1, -2.5, "text", "ü\n", {"a": [1, {"b": None}], "c": "d"}, [[[]], {}], 10**30]
    ]
    for data in mutants(blobs, 6000, 1):
        with contextlib.suppress(SerializationError):
            assert_plain(json.loads(data, b""))


def test_mutants_of_signed_pickles_are_refused() -> None:
    value = {"a": [1, (2, 3)], "owner": Owner("o"), "at": datetime(2020, 1, 1)}
    data = SIGNED.dumps(value, b"context")
    for mutant in mutants([data, SIGNED.dumps(1, b"context")], 6000, 2):
        if mutant not in (data, SIGNED.dumps(1, b"context")):
            with pytest.raises(SerializationError):
                SIGNED.loads(mutant, b"context")


def test_noise_is_refused_or_plain() -> None:
    chance = random.Random(5)
    for _ in range(6000):
        data = chance.randbytes(chance.randrange(40))
        for serializer in ALL:
            with contextlib.suppress(SerializationError):
                assert_plain(serializer.loads(data, b""))


def framings(canary: bytes, context: bytes) -> Iterator[bytes]:
    yield canary
    yield canary.hex().encode()
    yield zlib.compress(canary)
    yield b"\x80\x05" + canary
    for content in (canary, canary.decode("latin-1"), [canary], {"a": canary}, {canary: canary}, (canary,)):
        yield encode(content)
        yield msgspec.json.encode(content) if not isinstance(content, dict) else b"{}"
    for tag in range(-128, 128):
        if tag != -1:
            yield encode(Ext(tag, canary))
            yield encode([Ext(tag, canary), {"a": Ext(tag, encode(canary))}])
            yield encode(Ext(tag, encode([Ext(tag, canary)])))
    for name in ("builtins.eval", "pickle.loads", "_pickle.loads", "tests.unit.serializers.samples.Owner", "os.system"):
        for content in ([name, canary], [name, {"name": canary}], [name, [canary]], [name, canary.decode("latin-1")]):
            yield encode(Ext(Code.OBJECT, encode(content)))
    for size in (0, 16, 20, 31, 32, 33, 64):
        yield bytes(size) + canary
    yield PickleSerializer(secret=b"another secret..")._signer.signature(canary, context) + canary
    yield SIGNED._signer.signature(canary, context + b".") + canary
    yield SIGNED._signer.signature(canary, b"") + canary
    yield SIGNED._signer.signature(b"", context) + canary
    yield SIGNED.dumps(1, context)[:32] + canary
    yield SIGNED.dumps(1, context) + canary


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_no_canary_is_unpickled(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "executed"
    canary = pickle.dumps(Canary(made), protocol=protocol)
    fed = 0
    for data in framings(canary, b"context"):
        for serializer in ALL:
            with contextlib.suppress(SerializationError):
                assert_plain(serializer.loads(data, b"context"))
            fed += 1
        assert not made.exists()
    assert fed > 3000
    # The canary sings: else its silence would mean nothing.
    pickle.loads(canary)
    assert made.exists()


def test_a_signed_canary_does_sing(tmp_path: Path) -> None:
    SIGNED.loads(SIGNED.dumps(Canary(tmp_path / "executed"), b"context"), b"context")
    assert (tmp_path / "executed").exists()


def blob(tag: int, content: object) -> bytes:
    return encode(Ext(tag, content if isinstance(content, bytes) else encode(content)))


@pytest.mark.parametrize("name", [
    "antigravity.fly", "antigravity", "this.s", "builtins.eval", "os.system", "subprocess.Popen",
    "collections.OrderedDict", "tests.unit.serializers.samples.Unnamed", "tests.unit.serializers.samples.Failure",
    "enum.Enum", "memocache.keys.call_key", "..",
])  # fmt: skip
def test_names_in_bytes_import_and_find_nothing(name: str) -> None:
    before = set(sys.modules)
    for content in ({}, {"name": "x"}, "RED", 1, [], None, ["echo"]):
        assert refused(SAFE, blob(Code.OBJECT, [name, content])) == (
            f"the bytes hold {name}, which was not named; annotate the function's return type with it,"
            f" or pass types=[{name.rpartition('.')[2]}]"
        )
    assert set(sys.modules) == before


@pytest.mark.parametrize("name", ["", "a b", "a\nERROR forged log line", "\x1b[31m", "x" * 201, "os;system", "'"])
def test_impossible_names_are_not_shown(name: str) -> None:
    assert refused(SAFE, blob(Code.OBJECT, [name, {}])) == "the bytes hold a type with an impossible name"


def test_fields_that_the_type_does_not_declare_are_not_set() -> None:
    name = "tests.unit.serializers.samples.Owner"
    for fields in ({"name": 1, "__class__": 2}, {"name": 1, "__dict__": {}}, {"__init__": 1}, {}, {"name": 1, 5: 6}):
        assert "of another shape: its fields have changed" in refused(SAFE, blob(Code.OBJECT, [name, fields]))


@pytest.mark.parametrize("key", [
    "../../etc/passwd", "/etc/passwd", "..", ".", "", "Europe/../UTC", "UTC\0", "a.b", "tzdata.zones", "zone.tab", "//",
    "Europe", "Nowhere/City", "x" * 5000, "Europe/Berlin\n", "ü",
])  # fmt: skip
def test_zone_keys_reach_nothing_but_zones(key: str) -> None:
    def modules() -> set[str]:
        # ZoneInfo looks for its files in the package tzdata, with importlib.
        return {name for name in sys.modules if not name.startswith(("tzdata", "importlib"))}

    before = modules()
    assert refused(SAFE, blob(Code.ZONE, key)).startswith("the bytes are no value, ")
    assert refused(SAFE, blob(Code.MOMENT, ["2020-01-01T00:00:00", 0, key])).startswith("the bytes are no value, ")
    assert modules() == before


@pytest.mark.parametrize("key", ["../x", "/x", "a.b", "a.b/c", "a//b", "", "a\\b", "a b", "x\n", "\0"])
def test_strange_zone_keys_are_not_even_looked_for(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # ZoneInfo looks for the zone a.b/c in the package tzdata.zoneinfo.a.b, so it would import that.
    looked_for: list[str] = []
    monkeypatch.setattr("memocache.serializers._extensions.ZoneInfo", looked_for.append)
    refused(SAFE, blob(Code.ZONE, key))
    assert not looked_for
    SAFE.loads(blob(Code.ZONE, "Etc/GMT+5"), b"")
    assert looked_for == ["Etc/GMT+5"]


@pytest.mark.parametrize(("data", "reason"), [
    (b"", "DecodeError"), (b"\xc1", "DecodeError"), (b"\x01\x01", "DecodeError"),
    (b"\xdd\xff\xff\xff\xff", "DecodeError"), (b"\xdf\xff\xff\xff\xff\x01", "DecodeError"),
    (b"\xc6\xff\xff\xff\xff", "DecodeError"), (b"\xc9\xff\xff\xff\xff\x01", "DecodeError"),
    (b"\xdb\xff\xff\xff\xffab", "DecodeError"),
    (b"\xc7\x0c\xff" + b"\xff" * 12, "ValidationError"), (b"\xd7\xff" + b"\xff" * 8, "ValidationError"),
    (blob(Code.SET, [{}]), "TypeError"), (blob(Code.FROZENSET, [{}]), "TypeError"),
    (blob(Code.SET, {}), "ValidationError"), (blob(Code.TUPLE, 1), "ValidationError"),
    (blob(Code.TUPLE, {}), "ValidationError"), (blob(Code.PAIRS, [[], 1]), "TypeError"),
    (blob(Code.PAIRS, [{}, 1]), "TypeError"), (blob(Code.PAIRS, [1, 2, 3]), "ValueError"),
    (blob(Code.PAIRS, {1: 2}), "ValidationError"), (blob(Code.PAIRS, [Ext(Code.BYTEARRAY, b"a"), 1]), "TypeError"),
    (encode({(1, 2): 3})[:-1] + b"\xc1", "DecodeError"), (blob(Code.OBJECT, []), "ValidationError"),
    (blob(Code.OBJECT, [1, {}]), "ValidationError"), (blob(Code.OBJECT, ["a"]), "ValidationError"),
    (blob(Code.OBJECT, ["a", 1, 2]), "ValidationError"), (blob(Code.OBJECT, [b"a", 1]), "ValidationError"),
    (blob(Code.TEXT, b"\xff"), "UnicodeDecodeError"), (blob(Code.COMPLEX, b"1234567"), "error"),
    (blob(Code.UUID, b"123"), "ValueError"), (blob(Code.DATE, b"not a date"), "ValueError"),
    (blob(Code.DATE, b"2020-13-01"), "ValueError"), (blob(Code.DATE, b"\xff"), "UnicodeDecodeError"),
    (blob(Code.DATETIME, b"10000-01-01"), "ValueError"), (blob(Code.TIME, ["25:00", 0, None]), "ValueError"),
    (blob(Code.TIME, ["01:00", 2, None]), "ValueError"), (blob(Code.TIME, ["01:00", 0, 5]), "ValidationError"),
    (blob(Code.MOMENT, ["2020-01-01", 0, (10**13, None)]), "ValueError"), (blob(Code.ZONE, None), "ValidationError"),
    (blob(Code.TIMEDELTA, [10**10, 0, 0]), "OverflowError"), (blob(Code.TIMEDELTA, [1.5, 0, 0]), "ValidationError"),
    (blob(Code.DECIMAL, b"1.2.3"), "InvalidOperation"), (blob(Code.DECIMAL, b"\xff"), "UnicodeDecodeError"),
    (blob(Code.FRACTION, [b"\x01", b"\x00"]), "ZeroDivisionError"), (blob(Code.FRACTION, [1, 2]), "ValidationError"),
    (blob(Code.FRACTION, [b"\x01" * 9000, b"\x03"]), "ValueError"),
    (blob(Code.SET, [Ext(Code.DECIMAL, b"sNaN")]), "TypeError"),
])  # fmt: skip
def test_malformed_bytes_are_refused(data: bytes, reason: str) -> None:
    assert refused(SAFE, data) == f"the bytes are no value, {reason}"


def test_a_text_that_is_no_utf_8_is_refused() -> None:
    assert re.fullmatch("the bytes are no value, (Unicode)?DecodeError", refused(SAFE, b"\xa1\xff"))  # by version


def test_keys_that_cannot_be_keys_are_refused() -> None:
    # A dict, an array with a dict in it, a bytearray. What msgspec raises for them depends on its version.
    for data in (b"\x81\x80\x01", b"\x81\x91\x80\x01", b"\x81" + blob(Code.BYTEARRAY, b"a") + b"\x01"):
        assert re.fullmatch("the bytes are no value, (DecodeError|TypeError)", refused(SAFE, data))


@pytest.mark.parametrize("tag", [*range(-128, -1), 0, *range(11, 16), *range(33, 128)])
def test_marks_without_a_meaning_are_refused(tag: int) -> None:
    for data in (encode(Ext(tag, b"")), encode({"a": [Ext(tag, b"\x90")]}), blob(Code.TUPLE, [Ext(tag, b"")])):
        assert refused(SAFE, data) == "the bytes hold a mark that means nothing here"


def integer(value: int) -> Ext:
    return Ext(Code.BIG_INTEGER, value.to_bytes(24, "big", signed=True))


def plain_map(keys: list[Any]) -> bytes:
    """A dict as msgspec reads it by itself; ours have no such keys there."""
    return b"\xdf" + struct.pack(">I", len(keys)) + b"".join(encode(key) + b"\xc0" for key in keys)


ALIKE = {
    "ints": lambda number: integer(sys.hash_info.modulus * number),
    "decimals": lambda number: Ext(Code.DECIMAL, str(sys.hash_info.modulus * number).encode()),
    "fractions": lambda number: Ext(Code.FRACTION, encode([(sys.hash_info.modulus * number).to_bytes(24), b"\x01"])),
    "uuids": lambda number: Ext(Code.UUID, (sys.hash_info.modulus * number).to_bytes(16)),
    "tuples": lambda number: Ext(Code.TUPLE, encode([integer(sys.hash_info.modulus * number), 0])),
}


@pytest.mark.parametrize("kind", ALIKE)
@pytest.mark.parametrize("container", ["set", "frozenset", "dict", "plain dict", "deep inside"])
def test_members_that_all_have_one_hash_are_refused_before_a_set_of_them_is_made(kind: str, container: str) -> None:
    members = [ALIKE[kind](2**40 + number) for number in range(20_000)]
    pairs = [side for member in members for side in (member, None)]
    data = {
        "set": lambda: blob(Code.SET, members),
        "frozenset": lambda: blob(Code.FROZENSET, members),
        "dict": lambda: blob(Code.PAIRS, pairs),
        "plain dict": lambda: plain_map(members),
        "deep inside": lambda: encode([1, {"a": Ext(Code.TUPLE, encode([Ext(Code.SET, encode(members))]))}]),
    }[container]()
    assert refused(SAFE, data) == "the bytes hold too many values with the same hash"


@pytest.mark.parametrize(
    "value",
    [
        {*range(-3000, 3000), *(2**n for n in range(3000)), *(1.5 * n for n in range(1000))},
        {Decimal(n) / 7: uuid.UUID(int=n) for n in range(3000)},
        [Decimal("1.5"), Decimal("sNaN"), uuid.UUID(int=1), 2**100] * 3000,
        [2**n for n in range(3000)],
        {(n, str(n)) for n in range(3000)},
    ],
    ids=["set", "dict", "repeated", "powers", "tuples"],
)
def test_many_values_of_every_day_are_no_such_members(value: Any) -> None:
    for _ in range(3):  # each is looked at alone
        loaded = SAFE.loads(SAFE.dumps(value, b""), b"")
        assert repr(loaded) == repr(value) if type(value) is list else loaded == value


def deep_marks(tag: int, depth: int) -> bytes:
    data = encode(1)
    for _ in range(depth):
        sizes = struct.pack(">I", len(data) + 1)
        data = b"\xc9" + sizes + bytes([tag]) + b"\x91" + data
    return data


@pytest.mark.parametrize("tag", [Code.TUPLE, Code.SET, Code.FROZENSET])
def test_marks_nested_without_end_are_refused_at_the_limit(tag: int) -> None:
    for depth in (102, 1000, 20_000):
        assert refused(SAFE, deep_marks(tag, depth)) == "the bytes hold values nested too deep"
    SAFE.loads(deep_marks(Code.TUPLE, 100), b"")


def test_plain_nesting_without_end_is_refused() -> None:
    for unit in (b"\x91", b"\x81\x01", b"\x81\x91", b"\x81\xa1a", b"\x92\x01"):
        for end in (b"", b"\x01", b"\x90"):
            assert refused(SAFE, unit * 200_000 + end) == "the bytes are no value, RecursionError"
    assert refused(JSONSerializer(), b"[" * 200_000) == "the bytes are no JSON, RecursionError"
    assert refused(JSONSerializer(), b'{"a":' * 200_000) == "the bytes are no JSON, RecursionError"


def test_huge_declared_lengths_take_no_memory() -> None:
    for head in (b"\xdd\x7f\xff\xff\xff", b"\xdf\x7f\xff\xff\xff\x01", b"\xdd\x00\xff\xff\xff"):
        tracemalloc.start()
        refused(SAFE, head * 300)
        refused(SAFE, blob(Code.SET, head) + head)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
        tracemalloc.stop()


def test_long_numbers_take_no_time() -> None:
    started = time.thread_time()
    SAFE.loads(blob(Code.BIG_INTEGER, b"\x7f" * 4_000_000), b"")
    refused(SAFE, blob(Code.FRACTION, [b"\x7f" * 4_000_000, b"\x3f" * 4_000_000]))
    for kind in (Perm, IntPerm, Huge):
        name = f"tests.unit.serializers.samples.{kind.__name__}"
        long = Ext(Code.BIG_INTEGER, b"\x7f" * 400_000)
        assert refused(SAFE, blob(Code.OBJECT, [name, long])).endswith("of another shape: it has no such member")
    assert time.thread_time() - started < 3


def test_what_msgpack_knows_beyond_us_is_plain() -> None:
    assert SAFE.loads(b"\x82\x01\x01\x01\x02", b"") == {1: 2}  # a key twice
    assert SAFE.loads(b"\x81\x91\x01\x02", b"") == {(1,): 2}  # an array as key
    assert_plain(SAFE.loads(b"\xd6\xff\x00\x00\x00\x01", b""))  # a timestamp


def test_bytes_of_one_serializer_mean_nothing_to_another() -> None:
    assert len({serializer.codec for serializer in ALL}) == 3
    value = {"a": [1, 2]}
    for one in (SAFE, JSONSerializer(), SIGNED):
        for other in (SAFE, JSONSerializer(), SIGNED):
            if one.codec != other.codec:
                refused(other, one.dumps(value, b""))
