"""The form of a cache's values: compressed and signed or not, and read whatever it is; but never what is forged."""

import functools
import hashlib
import hmac
import itertools
import pickle
import random
import subprocess
import sys
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from memocache._envelope import VALUE, Header, context, key_digest
from memocache.errors import SerializationError
from memocache.serializers import JSONSerializer, PickleSerializer, SafeSerializer
from memocache.serializers import _compression as compression
from memocache.serializers._codec import HEAD, SIGNED, WRAPPED, ValueCodec
from tests.support.canary import Canary
from tests.support.refusals import refusal

zstd = compression._zstd()  # Python's own, or the backport

SECRET = b"0123456789abcdef"
OTHER = b"another secret of more than 16 bytes"
ROWS = [{"id": number, "name": "Ada Lovelace", "city": "London"} for number in range(200)]
METHODS = ("zlib", "zstd")
FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "zlib": {"compress": "zlib"},
    "zstd": {"compress": "zstd"},
    "signed": {"secret": SECRET},
    "signed zlib": {"compress": "zlib", "secret": SECRET},
    "signed zstd": {"compress": "zstd", "secret": SECRET},
}
UNSIGNED = "the value is not signed, and this cache has a secret=; give all processes the same"
UNEXPECTED = "the value is signed, and this cache has no secret=; give all processes the same"
FORGED = "the value does not carry the signature of this cache's secret="
MEGABYTE = 1024 * 1024

Written = tuple[int, bytes, bytes]
"""A codec, a payload, and the context in the envelope."""


def bound(codec: int, key: str = "k") -> bytes:
    return context(Header(VALUE, codec, bytes(16), 1.0, 2.0, 3.0, 0.0), key_digest(key), b"")


def write(form: ValueCodec, value: object, key: str = "k") -> Written:
    said, payload = form.dumps(value, bound(form.serializer.codec, key))
    assert said == bound(said[5], key)  # nothing but the codec is another
    return said[5], payload, said


def refused(form: ValueCodec, written: Written) -> str:
    with pytest.raises(SerializationError) as caught:
        form.loads(*written)
    assert type(caught.value) is SerializationError
    assert caught.value.__cause__ is None
    return str(caught.value)


# ---- what is written, and who reads it -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("serializer", [SafeSerializer, JSONSerializer, lambda: PickleSerializer(OTHER)])
@pytest.mark.parametrize("value", [None, 0, "", ROWS, "x" * 100_000], ids=["None", "0", "empty", "rows", "long"])
def test_what_was_written_is_read(kind: str, serializer: Any, value: object) -> None:
    form = ValueCodec(serializer(), **FORMS[kind])
    assert form.loads(*write(form, value)) == value


@pytest.mark.parametrize(("writer", "reader"), [*itertools.product(FORMS, FORMS)])
def test_who_reads_what_others_have_written(writer: str, reader: str) -> None:
    written, form = write(ValueCodec(**FORMS[writer]), ROWS), ValueCodec(**FORMS[reader])
    if ("signed" in writer) == ("signed" in reader):
        assert form.loads(*written) == ROWS  # whatever it would compress with itself
    else:
        assert refused(form, written) == (UNSIGNED if "signed" in reader else UNEXPECTED)


def test_without_options_it_is_what_the_serializer_makes() -> None:
    for value in (1, ROWS):
        assert write(ValueCodec(), value) == (1, SafeSerializer().dumps(value, b""), bound(1))


@pytest.mark.parametrize("method", METHODS)
def test_compressed_is_what_is_large_and_gets_smaller(method: Any) -> None:
    noise = random.Random(1).randbytes(50_000)
    form = ValueCodec(compress=method)
    for value, codec in [("x" * 4000, 1), ("x" * 4200, WRAPPED), (ROWS, WRAPPED), (noise, 1), (noise.hex(), WRAPPED)]:
        written = write(form, value)
        assert written[0] == codec
        assert len(written[1]) <= len(SafeSerializer().dumps(value, b""))
    assert write(ValueCodec(compress=method, compress_above=100), "x" * 200)[0] == WRAPPED
    assert write(ValueCodec(compress=method, compress_above=0), "x")[0] == 1
    assert write(ValueCodec(compress=method, compress_above=10_000), "x" * 5000)[0] == 1


def test_what_would_not_fit_is_compressed_by_all() -> None:
    for form in (ValueCodec(largest=1000), ValueCodec(largest=1000, compress=None)):
        assert write(form, "x" * 900)[0] == 1
        assert write(form, "x" * 1001)[0] == WRAPPED
    assert write(ValueCodec(largest=1000, compress="zstd"), "x" * 1001)[0] == 1  # that is asked for above 4096
    assert write(ValueCodec(), "x" * MEGABYTE)[0] == 1


def test_the_format_stays() -> None:
    data = SafeSerializer().dumps(ROWS, b"")
    codec, payload, _ = write(ValueCodec(compress="zlib"), ROWS)
    assert (codec, payload) == (4, HEAD.pack(1, 1, len(data)) + zlib.compress(data, 1))
    codec, payload, _ = write(ValueCodec(compress="zstd"), ROWS)
    assert (codec, payload[:6], zstd.decompress(payload[6:])) == (4, HEAD.pack(2, 1, len(data)), data)
    # HMAC-SHA256 under a derived key, over the serializer's context with its length, head and body.
    codec, payload, _ = write(ValueCodec(secret=SECRET), 1)
    key = hmac.new(SECRET, b"memocache/value/1", hashlib.sha256).digest()
    head, body, inner = HEAD.pack(0x80, 1, 0), b"\x01", bound(1)
    signed = len(inner).to_bytes(8, "big") + inner + head + body
    assert (codec, payload) == (4, head + hmac.new(key, signed, hashlib.sha256).digest() + body)


def test_secrets_can_be_changed_while_processes_run() -> None:
    old, both, new = ValueCodec(secret=SECRET), ValueCodec(secret=[OTHER, SECRET]), ValueCodec(secret=OTHER)
    assert both.loads(*write(old, 1)) == 1
    assert new.loads(*write(both, 2)) == 2
    assert refused(new, write(old, 1)) == FORGED
    assert refused(old, write(both, 2)) == FORGED


def test_the_same_secret_may_sign_pickles_and_values() -> None:
    pickles = PickleSerializer(SECRET)
    form = ValueCodec(pickles, secret=SECRET)
    assert form.loads(*write(form, range(3))) == range(3)
    codec, payload, said = write(ValueCodec(pickles), range(3))
    assert refused(form, (codec, payload, said)) == UNSIGNED
    # Nor is a signature for the one a signature for the other.
    forged = HEAD.pack(SIGNED, 3, 0) + payload
    assert refused(form, (WRAPPED, forged, bound(WRAPPED))) == FORGED


def test_another_serializer_s_value_is_refused_before_it_is_parsed() -> None:
    for options in FORMS.values():
        message = refused(ValueCodec(JSONSerializer(), **options), write(ValueCodec(**options), ROWS))
        assert message == (
            "the value was written by another serializer (codec 1) than this cache has (codec 2); "
            "give all processes the same"
        )


# ---- what is forged --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [FORMS["signed"], FORMS["signed zlib"], FORMS["signed zstd"]])
def test_of_what_is_signed_every_bit_counts(options: Any, canary: Canary) -> None:
    form = ValueCodec(PickleSerializer(OTHER), compress_above=10, **options)
    codec, payload, said = write(form, [canary, "x" * 100])
    for bit in range(len(payload) * 8):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        assert refused(form, (codec, bytes(flipped), said)) in {FORGED, UNSIGNED}
    for bit in range(len(said) * 8):
        flipped = bytearray(said)
        flipped[bit // 8] ^= 1 << bit % 8
        if bit // 8 != 5:  # the codec, which is read for itself
            assert refused(form, (codec, payload, bytes(flipped))) == FORGED
    for other in {*range(256)} - {codec}:
        assert refused(form, (other, payload, said)) == UNSIGNED
    for size in range(len(payload)):
        assert refused(form, (codec, payload[:size], said)) in {FORGED, "the bytes end too early"}
    assert refused(form, (codec, payload + b"\0", said)) == FORGED


def test_nothing_is_parsed_before_the_signature_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    form = ValueCodec(compress="zlib", secret=SECRET)
    codec, payload, said = write(form, ROWS)
    parsed: list[str] = []
    monkeypatch.setattr("memocache.serializers._codec.decompress", lambda *_: parsed.append("expanded"))
    monkeypatch.setattr(form.serializer, "loads", lambda *_: parsed.append("loads"))
    refused(form, (codec, payload[:-1], said))
    assert parsed == []
    form.loads(codec, payload, said)
    assert parsed == ["expanded", "loads"]


def test_a_value_belongs_to_its_key_and_times() -> None:
    form = ValueCodec(secret=SECRET)
    codec, payload, _ = write(form, 1)
    assert refused(form, (codec, payload, bound(codec, "l"))) == FORGED


@pytest.mark.parametrize("kind", FORMS)
def test_junk_is_refused(kind: str, canary: Canary) -> None:
    form = ValueCodec(PickleSerializer(OTHER) if "signed" in kind else None, **FORMS[kind])
    chance = random.Random(7)
    bomb = pickle.dumps(canary)
    for _ in range(3000):
        body = chance.choice([b"", bomb, zlib.compress(bomb), zstd.compress(bomb), chance.randbytes(40)])
        size = chance.choice([0, 1, len(body), len(bomb), 2**32 - 1])
        head = HEAD.pack(chance.randrange(256), chance.choice([1, 2, 3, 4, 200]), size)
        payload = chance.choice([head, head[:3], head + bytes(32)]) + body
        try:
            value = form.loads(chance.choice([1, 2, 3, 4, 5, 255]), payload, bound(4))
        except SerializationError:
            continue
        assert "signed" not in kind
        assert isinstance(value, int | str | bytes | list | dict | float | None)


# ---- bombs -----------------------------------------------------------------------------------------------------------


BOMB: Final = 80 * MEGABYTE


@functools.cache
def packed(method: str, size: int) -> bytes:
    """Return *size* zeros, packed: that takes a second."""
    return zlib.compress(bytes(size), 9) if method == "zlib" else zstd.compress(bytes(size), 19)


def bomb(method: str, size: int, said: int) -> Written:
    """Return *size* zeros that claim to be as many as *said*."""
    return WRAPPED, HEAD.pack(compression.METHODS[method], 1, said) + packed(method, size), bound(WRAPPED)


TOO_MANY = "the compressed bytes are to have {} bytes, and at most 16777216 are allowed"
OTHER_SIZE = "the compressed bytes do not have the size that they say"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("said", "message", "peak"),
    [
        (BOMB, TOO_MANY.format(BOMB), 0.5),
        (16 * MEGABYTE + 1, TOO_MANY.format(16 * MEGABYTE + 1), 0.5),
        (16 * MEGABYTE, OTHER_SIZE, 34.0),  # twice the limit: once in parts, once whole
        (MEGABYTE, OTHER_SIZE, 2.5),
        (1, OTHER_SIZE, 0.5),
        (0, TOO_MANY.format(0), 0.5),
    ],
)
def test_a_bomb_is_refused_within_bounds(method: str, said: int, message: str, peak: float) -> None:
    written = bomb(method, BOMB, said)
    assert len(written[1]) < 250_000
    form = ValueCodec()
    tracemalloc.start()
    try:
        assert refused(form, written) == message
        assert tracemalloc.get_traced_memory()[1] < peak * MEGABYTE
    finally:
        tracemalloc.stop()


BOMBED: Final = """
import resource, sys
from tests.unit.serializers.test_codec import SerializationError, ValueCodec, bomb

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

form, written = ValueCodec(), (4, open(sys.argv[1], "rb").read(), bytes(200))
form.serializer.loads(form.serializer.dumps(bytes(1), b""), b"")
before = peak()
try:
    form.loads(*written)
except SerializationError as error:
    print(peak() - before, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in other units elsewhere")
@pytest.mark.parametrize("method", METHODS)
def test_a_bomb_takes_no_memory_that_python_does_not_see(method: str, tmp_path: Path) -> None:
    """The libraries have memory of their own: zstd takes as much as the bytes ask for, unless told otherwise."""
    data = bytes(BOMB)
    wide = {zstd.CompressionParameter.window_log: 27, zstd.CompressionParameter.content_size_flag: 0}
    body = zlib.compress(data) if method == "zlib" else zstd.ZstdCompressor(options=wide).compress(data, 2)
    file = tmp_path / "bomb"
    file.write_bytes(HEAD.pack(compression.METHODS[method], 1, 16 * MEGABYTE) + body)
    run = subprocess.run([sys.executable, "-c", BOMBED, str(file)], capture_output=True, text=True, timeout=100)
    grown, _, message = run.stdout.strip().partition(" ")
    assert message == {"zlib": OTHER_SIZE, "zstd": "the compressed bytes are broken, ZstdError"}[method], run.stderr
    assert int(grown) < 40 * 1024  # kilobytes


@pytest.mark.parametrize("method", METHODS)
def test_what_is_cut_off_or_longer_is_refused(method: str) -> None:
    codec, payload, said = write(ValueCodec(compress=method, compress_above=0), ROWS[:3])
    assert codec == WRAPPED
    for size in range(len(payload)):
        refused(ValueCodec(), (codec, payload[:size], said))
    for more in (b"\0", payload[HEAD.size :], b"x" * 100):
        assert refused(ValueCodec(), (codec, payload + more, said)) == OTHER_SIZE
    for size in (1, len(SafeSerializer().dumps(ROWS[:3], b"")) - 1, 10_000):
        lie = HEAD.pack(compression.METHODS[method], 1, size) + payload[HEAD.size :]
        assert refused(ValueCodec(), (codec, lie, said)) == OTHER_SIZE


@pytest.mark.parametrize("method", METHODS)
def test_the_largest_that_is_read_is_the_largest_that_is_written(method: Any) -> None:
    form = ValueCodec(compress=method)
    largest = "x" * (16 * MEGABYTE - 5)
    written = write(form, largest)
    assert written[0] == WRAPPED
    assert form.loads(*written) == largest
    assert write(form, largest + "x")[0] == 1


def test_a_way_to_compress_that_is_not_known_yet_is_refused() -> None:
    written = WRAPPED, HEAD.pack(3, 1, 5) + b"12345", bound(WRAPPED)
    assert refused(ValueCodec(), written) == "the bytes are compressed in a way that is not known here"


# ---- without the extra -----------------------------------------------------------------------------------------------


@pytest.fixture
def without_zstd(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(sys.modules, "backports", None)
    monkeypatch.setitem(sys.modules, "compression", None)
    compression._zstd.cache_clear()
    yield
    compression._zstd.cache_clear()


def test_to_write_zstd_without_the_extra_is_refused_at_once(without_zstd: None) -> None:
    said = refusal(ValueCodec, compress="zstd")
    assert said == "compress='zstd' needs backports.zstd: pip install 'backports.zstd>=1'"


def test_to_read_zstd_without_the_extra_is_a_refusal(request: pytest.FixtureRequest) -> None:
    written = write(ValueCodec(compress="zstd"), ROWS)
    request.getfixturevalue("without_zstd")
    assert refused(ValueCodec(compress="zlib"), written) == (
        "the value is compressed by zstd, which needs backports.zstd: pip install 'backports.zstd>=1'"
    )


# ---- options ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compress": "gzip"}, "compress='gzip'; wanted: 'zlib', 'zstd' or None"),
        ({"compress": True}, "compress=True; wanted: 'zlib', 'zstd' or None"),
        ({"compress": []}, "compress=[]; wanted: 'zlib', 'zstd' or None"),
        ({"compress_above": -1}, "compress_above=-1; wanted: bytes, as an int from 0"),
        ({"compress_above": "1k"}, "compress_above='1k'; wanted: bytes, as an int from 0"),
        ({"compress_above": True}, "compress_above=True; wanted: bytes, as an int from 0"),
        (
            {"secret": "canary-7f3a"},
            "secret= needs at least 16 bytes, or a list of such, the newest first; "
            "make one with secrets.token_bytes(32) and give the same to all processes",
        ),
    ],
)
def test_options_that_cannot_work_are_refused(options: Any, message: str) -> None:
    assert refusal(ValueCodec, **options) == message


def test_no_secret_shows() -> None:
    form = ValueCodec(secret=[SECRET, OTHER])
    shown = repr((form, vars(form), form._signer))
    assert SECRET.decode() not in shown
    assert OTHER.decode() not in shown
