"""Compressed and signed values on a real memcached: what others may read, and what forgers get."""

import itertools
import logging
import pickle
import zlib
from collections.abc import Callable
from typing import Any

import pytest
from pymemcache import Client

from memocache import MISSING, CachedFunction, MemcachedCache, PickleSerializer, SerializationError, cached
from memocache._envelope import ERROR, HEAD, LEASE, VALUE, Header, context, key_digest, pack, unpack
from memocache.serializers import _codec as codec
from memocache.serializers import _compression as compression
from tests.support.canary import Canary
from tests.support.servers import MemcachedServer

SECRET = "the canary secret of this file"
OTHER = b"another canary secret for the file"
ROWS = [{"id": number, "name": "Ada Lovelace"} for number in range(300)]


@pytest.fixture
def make(memcached: MemcachedServer, prefix: str) -> Callable[..., MemcachedCache]:
    return lambda **options: MemcachedCache([memcached.address], key_prefix=prefix, timeout=5, **options)


@pytest.fixture
def plain(memcached: MemcachedServer, client_for: Callable[..., Client]) -> Client:
    return client_for(memcached.address)


def counting(cache: MemcachedCache, result: Any = ROWS, **options: Any) -> CachedFunction[..., Any]:
    """Return a cached function that returns *result* and the number of its computation."""
    numbers = itertools.count(1)

    @cached(cache=cache, namespace="f", **options)
    def f() -> Any:
        return result, next(numbers)

    return f


def test_compressed_takes_less_room(make: Any, plain: Client, prefix: str) -> None:
    sizes = []
    for options in ({}, {"compress": "zlib"}, {"compress": "zstd", "secret": SECRET}):
        make(**options).set("k", ROWS)
        sizes.append(len(plain.get(prefix + "k")))
    assert sizes[1] < sizes[0] / 5
    assert sizes[2] < sizes[0] / 5


def test_a_secret_can_be_introduced_and_changed(make: Any) -> None:
    before, after = make(secret=SECRET), make(secret=[OTHER, SECRET])
    assert counting(before)() == (ROWS, 1)
    f = counting(after)
    assert f() == (ROWS, 1)
    assert f.info().hits == 1
    f.refresh()
    newest, oldest = counting(make(secret=OTHER)), counting(before)
    newest(), oldest()
    assert (newest.info().hits, oldest.info().hits) == (1, 0)  # the old process does not know the new secret


@pytest.mark.parametrize(
    ("ours", "theirs", "message"),
    [
        ({"secret": SECRET}, {}, "the value is not signed, and this cache has a secret="),
        ({}, {"secret": SECRET}, "the value is signed, and this cache has no secret="),
        ({"secret": SECRET}, {"secret": OTHER}, "does not carry the signature of this cache's secret="),
    ],
)
def test_what_is_not_signed_as_it_has_to_be_is_a_miss_counted_and_told_once(
    make: Any, caplog: pytest.LogCaptureFixture, ours: Any, theirs: Any, message: str
) -> None:
    mine, other = make(**ours), make(**theirs)
    f, g = counting(mine), counting(other)
    with caplog.at_level(logging.WARNING, "memocache"):
        for number in (1, 2, 3):
            g.refresh()
            assert f.peek() is MISSING
            assert f() == (ROWS, number)
            assert f() == (ROWS, number)  # healed
    info = f.info()
    assert (info.misses, info.hits, info.failures, info.stored) == (3, 3, 3, 3)
    [record] = caplog.records
    assert "a stored result could not be read, so it is computed again" in record.getMessage()
    assert message in record.getMessage()
    mine.set("k", 1)
    with pytest.raises(SerializationError, match=r"give all processes the same|signature"):
        other.get("k")


def test_zstd_without_the_extra_is_a_miss_counted_and_told_once(
    make: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    g, f = counting(make(compress="zstd")), counting(make())
    g()

    def missing() -> Any:
        raise ImportError

    with monkeypatch.context() as patched, caplog.at_level(logging.WARNING, "memocache"):
        patched.setattr(compression, "_zstd", missing)
        assert [f(), f()] == [(ROWS, 1)] * 2
        assert f.info().failures == 1
    [record] = caplog.records
    assert "pip install 'backports.zstd>=1'" in record.getMessage()


def test_remembered_exceptions_are_signed_too(make: Any, plain: Client, prefix: str) -> None:
    cache, numbers = make(secret=SECRET), itertools.count(1)

    @cached(cache=cache, namespace="f", errors={LookupError: 30})
    def f() -> None:
        raise LookupError(next(numbers))

    for _ in range(2):
        with pytest.raises(LookupError, match="1"):
            f()
    data = plain.get(prefix + f.key())
    found = unpack(data, key_digest(f"{prefix}\0{f.key()}"))
    assert (found.kind, found.codec) == (ERROR, codec.WRAPPED)
    plain.set(prefix + f.key(), resealed(data, len(data) * 8 - 1))
    with pytest.raises(LookupError, match="2"):
        f()


def resealed(data: bytes, bit: int) -> bytes:
    """Return the envelope *data* with one *bit* changed, and the checksum made right again."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    changed[HEAD : HEAD + 4] = zlib.crc32(changed[HEAD + 4 :], zlib.crc32(changed[:HEAD])).to_bytes(4, "big")
    return bytes(changed)


@pytest.mark.parametrize("options", [{}, {"compress": "zlib", "compress_above": 10}], ids=["signed", "and compressed"])
def test_every_flipped_bit_of_a_signed_envelope_is_a_miss(
    make: Any, plain: Client, prefix: str, canary: Canary, options: Any
) -> None:
    cache = make(serializer=PickleSerializer(OTHER), secret=SECRET, **options)
    cache.set("k", ["x" * 50, canary])
    data = plain.get(prefix + "k")
    assert unpack(resealed(resealed(data, 9 * 8), 9 * 8), key_digest(f"{prefix}\0k")) is not None  # sealing works
    for bit in range(len(data) * 8):
        for changed in (resealed(data, bit), bytes(data[: bit // 8])):
            if changed == data:
                continue  # a bit of the checksum itself
            plain.set(prefix + "k", changed)
            try:
                assert cache.get("k") is None, bit
            except SerializationError as error:
                assert "signature" in str(error) or "not signed" in str(error), bit  # noqa: PT017


@pytest.mark.parametrize("secret", [None, SECRET])
def test_forged_values_are_misses(make: Any, plain: Client, prefix: str, canary: Canary, secret: Any) -> None:
    cache = make(secret=secret)
    f = counting(cache, result="x" * 5000)
    f()
    data = plain.get(prefix + f.key())
    found = unpack(data, key_digest(f"{prefix}\0{f.key()}"))
    assert found is not None
    header = Header(*(getattr(found, name) for name in Header._fields))
    megabyte = 1024 * 1024
    packed = zlib.compress(bytes(100 * megabyte))
    bombs = {
        "a bomb": codec.HEAD.pack(1, 1, 16 * megabyte) + packed,
        "a bomb that says so": codec.HEAD.pack(1, 1, 100 * megabyte) + packed,
        "a small lie": codec.HEAD.pack(1, 1, 10) + zlib.compress(bytes(1000)),
        "a truncated stream": codec.HEAD.pack(1, 1, 1000) + zlib.compress(bytes(1000))[:-1],
        "not compressed at all": codec.HEAD.pack(1, 1, 1000) + bytes(1000),
        "in no known way": codec.HEAD.pack(99, 1, 1000) + bytes(1000),
        "signed with nothing": codec.HEAD.pack(codec.SIGNED, 1, 0) + bytes(32) + b"\x01",
        "a packed pickle": codec.HEAD.pack(1, 3, 1000) + zlib.compress(pickle.dumps(canary)),
        "a wrapped wrap": codec.HEAD.pack(0, 4, 0) + codec.HEAD.pack(0, 1, 0) + b"\x01",
        "too short": b"\x01",
        "empty": b"",
    }
    for number, (name, payload) in enumerate(bombs.items(), 2):
        assert len(payload) < megabyte / 2
        forged = header._replace(kind=VALUE, codec=codec.WRAPPED)
        plain.set(prefix + f.key(), pack(context(forged, key_digest(f"{prefix}\0{f.key()}"), found.block), payload))
        assert [f(), f()] == [("x" * 5000, number)] * 2, name
    assert f.info().failures == len(bombs)


def test_leases_and_generations_say_nothing_that_could_be_signed(make: Any, plain: Client, prefix: str) -> None:
    f = counting(make(secret=SECRET))
    seen = []

    @cached(cache=make(secret=SECRET), namespace="g")
    def g() -> int:
        marker = unpack(plain.get(prefix + g.key()), key_digest(f"{prefix}\0{g.key()}"))
        seen.append((marker.kind, marker.payload))
        return 1

    assert (g(), g(), f()) == (1, 1, (ROWS, 1))
    assert seen == [(LEASE, b"")]


def test_no_secret_shows(make: Any, caplog: pytest.LogCaptureFixture) -> None:
    cache = make(secret=[SECRET, OTHER])
    with caplog.at_level(logging.DEBUG):
        counting(make())()
        counting(cache)()
    shown = [repr(cache), repr(vars(cache)), *(record.getMessage() for record in caplog.records)]
    assert "canary" not in "".join(shown)
    with pytest.raises(ValueError, match="at least 16 bytes") as refused:
        make(secret="canary-7f3a")
    assert "canary" not in str(refused.value)
