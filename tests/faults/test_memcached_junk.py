"""What others may have put under our keys: junk, foreign pickles, other people's values, forged envelopes."""

import json
import logging
import pickle
import random
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from freezegun import freeze_time
from pymemcache import Client

from memocache import MISSING, JSONSerializer, MemcachedCache, PickleSerializer, SerializationError, Serializer, cached
from memocache._envelope import GENERATION, LEASE, VALUE, Header, context, key_digest, pack, unpack
from tests.support.canary import Canary
from tests.support.faults import FaultProxy
from tests.support.faulty import counting
from tests.support.servers import MemcachedServer

SECRET = "a secret of sixteen bytes or more"
NOW = 1_700_000_000.0

# What MemcachedCache(key_prefix="golden:") stored under "k" for {"a": [1, 2.5, None, "\u00fc"]}: format 1, codec 1.
# If it cannot be read any more, one of the two has changed: it needs another number then (see test_envelope.py).
GOLDEN = bytes.fromhex(
    "f16d630201010000000102030405060708090a0b0c0d0e0f41d954fc4000000041d954fc4f00000041d954fc4f0000000000000000000000"
    "00000000000000000000000000000000363e9a8885cb40dcf163f2096a31e7561347985381a1619401cb4004000000000000c0a2c3bc"
)


def envelope(key: str, payload: bytes = b"\x01", generations: bytes = b"", **header: Any) -> bytes:
    """Return what somebody writes who knows our format: there is no secret in it."""
    fields = {
        "kind": VALUE,
        "codec": 1,
        "id": b"n" * 16,
        "created": NOW,
        "fresh_until": NOW + 60,
        "expires_at": NOW + 60,
    }
    return pack(context(Header(**{**fields, "cost": 0.0, **header}), key_digest(key), generations), payload)


def junk(key: str, canary: Canary, present: bytes = b"") -> dict[str, bytes]:
    """Return bytes that are no value, for the *key* (with its prefix) that they are put under; *present*: a block."""
    chance = random.Random(3)
    bomb = pickle.dumps(canary)

    def forged(payload: bytes = b"\x01", generations: bytes = present, **header: Any) -> bytes:
        return envelope(key, payload, generations, **header)

    good = forged()
    return {
        "nothing": b"",
        "text": b"<html>500</html>",
        "a number": b"42",
        "JSON": json.dumps({"value": 1}).encode(),
        "commands": b"END\r\nVALUE x 0 1\r\n1\r\nEND\r\n",
        "a pickle": bomb,
        "an old pickle": pickle.dumps(canary, protocol=0),
        "a packed pickle": zlib.compress(bomb),
        "noise": chance.randbytes(500),
        "a lot of noise": chance.randbytes(900_000),
        "a generation": b"\xf1ms" + bytes(16),
        "half an envelope": good[:-1],
        "a changed envelope": good[:-1] + b"\x02",
        "the envelope of another key": envelope(key + "x", generations=present),
        "an envelope of no kind we know": forged(kind=99),
        "an envelope that should be elsewhere": forged(kind=GENERATION),
        "an expired value": forged(fresh_until=NOW - 1, expires_at=NOW - 1),
        "a value without times": forged(created=float("nan"), fresh_until=float("nan"), expires_at=float("nan")),
        "a value from the future": forged(created=NOW + 3600, fresh_until=float("inf")),
        "an expired lease": forged(b"", kind=LEASE, fresh_until=NOW - 1, expires_at=NOW - 1),
        "a lease from the future": forged(b"", kind=LEASE, created=NOW + 3600, expires_at=float("inf")),
        "a pickle in an envelope": forged(bomb),
        "a pickle in an envelope that says so": forged(bomb, codec=3),
        "a pickle with no signature": forged(bytes(32) + bomb, codec=3),
        "noise in an envelope": forged(chance.randbytes(50)),
        "an empty envelope": forged(b""),
        "another codec": forged(b"1", codec=77),
        "odd generations": forged(generations=b"\x05\xff\xfe\r\n\0" + bytes(16)),
        "a part of a generation": forged(generations=b"\xff"),
        "generations of no group": forged(generations=b"\x00" + bytes(16)),
        "generations of other groups": forged(generations=b"\x03all" + bytes(16)),
    }


JUNK = sorted(junk("", Canary(Path())))
SERIALIZERS: list[Callable[[], Serializer | None]] = [
    lambda: None,
    JSONSerializer,
    lambda: PickleSerializer(secret=SECRET),
]


@pytest.mark.parametrize("serializer", SERIALIZERS, ids=["safe", "json", "pickle"])
@freeze_time("2023-11-14 22:13:20")  # NOW
def test_junk_under_a_functions_key_is_a_miss_and_healed(
    serializer: Any, memcached: MemcachedServer, prefix: str, client_for: Callable[..., Client], canary: Canary
) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix, serializer=serializer())
    plain = client_for(memcached.address)
    for name in JUNK:
        f = counting(cache)
        f.uncache_all()
        assert f(0) == 1
        real = unpack(plain.get(prefix + f.key(0)), key_digest(f"{prefix}\0{f.key(0)}"))
        assert real is not None
        data = junk(f"{prefix}\0{f.key(1)}", canary, real.block)[name]
        for count in (2, 3):
            plain.set(prefix + f.key(1), data, flags=count)
            assert f.peek(1) is MISSING, name
            assert [f(1), f(1), f.peek(1)] == [count] * 3, name
        info = f.info()
        assert (info.hits, info.misses, info.waits, info.stored) == (2, 3, 0, 3), name


@freeze_time("2023-11-14 22:13:20")
def test_junk_under_a_generations_key_is_a_miss_and_healed(
    memcached: MemcachedServer, prefix: str, client_for: Callable[..., Client], canary: Canary
) -> None:
    plain = client_for(memcached.address)
    with FaultProxy(memcached.address, unix=True) as proxy:
        cache = MemcachedCache([proxy.address], key_prefix=prefix)
        counting(cache)(1)
        _, _, generation = proxy.requests[0].split()
        kinds = {**junk("", canary), "too long": plain.get(generation) + b"x", "too short": plain.get(generation)[:-1]}
        del kinds["a generation"]
        for name, data in kinds.items():
            f = counting(cache)
            f.uncache_all()
            assert f(1) == 1
            present = plain.get(generation)
            plain.set(generation, data)
            assert [f(1), f(1), f(1)] == [2, 2, 2], name
            # The old generation must not come back: nobody knows what was forgotten meanwhile.
            assert plain.get(generation) not in {present, data}, name
            f.uncache_all()
            assert [f(1), f(1)] == [3, 3], name
        kept = {line.split()[3] for line in proxy.requests if line.startswith(b"set %b " % generation)}
        assert kept == {b"0"}  # for ever


UNREADABLE = {  # values all right, but not for this cache's serializer: the user is told
    "a pickle in an envelope",
    "a pickle in an envelope that says so",
    "a pickle with no signature",
    "noise in an envelope",
    "an empty envelope",
    "another codec",
}


@freeze_time("2023-11-14 22:13:20")
def test_junk_under_a_users_key_is_nothing_to_the_user(
    memcached: MemcachedServer, prefix: str, client_for: Callable[..., Client], canary: Canary
) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix)
    plain = client_for(memcached.address)
    for name, data in junk(f"{prefix}\0k", canary).items():
        plain.set(f"{prefix}k", data)
        if name in UNREADABLE:
            with pytest.raises(SerializationError):
                cache.get("k")
        else:
            assert cache.get("k") is None, name
            assert not cache.has("k"), name
            assert cache.inc("k", 7) == 7, name
            plain.set(f"{prefix}k", data)
            assert cache.add("k", "added"), name
            assert cache.get("k") == "added", name
            plain.set(f"{prefix}k", data)
        assert cache.set("k", "set")
        assert cache.get_many("k", "l") == ["set", None]


def test_a_forged_lease_holds_nobody_up_for_longer_than_wait(
    memcached: MemcachedServer, prefix: str, client_for: Callable[..., Client]
) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix)

    f = cached(cache=cache, namespace="f", wait=0)(lambda: 1)
    f()
    plain = client_for(memcached.address)
    real = cache._unpack(f.key(), plain.get(prefix + f.key()))
    assert real is not None
    with freeze_time("2023-11-14 22:13:20"):
        lease = envelope(f"{prefix}\0{f.key()}", b"", generations=real.block, kind=LEASE, expires_at=float("inf"))
        plain.set(prefix + f.key(), lease)
        assert [f(), f()] == [1, 1]
        f.uncache()
        assert [f(), f()] == [1, 1]
        assert f.info().stored == 2


def test_two_serializers_on_one_server_never_mix(
    memcached: MemcachedServer, prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    caches = [
        MemcachedCache([memcached.address], key_prefix=prefix, serializer=serializer)
        for serializer in (None, JSONSerializer(), PickleSerializer(SECRET), PickleSerializer(SECRET + "!"))
    ]
    functions = [counting(cache) for cache in caches]
    with caplog.at_level(logging.WARNING, "memocache"):
        for number in (1, 2):
            for f in functions:
                assert [f(1), f(1)] == [number, number]  # a miss on what the others have written, and healed
    assert [f.info().failures for f in functions] == [1, 2, 2, 2]
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == len(functions)  # each said it once
    assert all("a stored result could not be read" in message for message in messages)
    assert "another serializer (codec 1)" in messages[0]
    assert "do not carry the signature" in messages[2]
    assert SECRET not in "".join(messages)


def test_the_user_is_told_of_a_value_that_cannot_be_read(memcached: MemcachedServer, prefix: str) -> None:
    one, other = (
        MemcachedCache([memcached.address], key_prefix=prefix, serializer=PickleSerializer(secret))
        for secret in (SECRET, SECRET + "!")
    )
    one.set("k", 1)
    one.set("l", 1)
    with pytest.raises(SerializationError, match="signature"):
        other.get("k")
    with pytest.raises(SerializationError, match="signature"):
        other.get_many("none", "l")
    assert other.has("k")
    assert other.set("k", 2)
    assert other.get("k") == 2


def test_a_signature_holds_for_one_key_and_its_times_only(
    memcached: MemcachedServer, prefix: str, client_for: Callable[..., Client]
) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix, serializer=PickleSerializer(SECRET))
    plain = client_for(memcached.address)
    cache.set("k", "old", 60)
    data = plain.get(f"{prefix}k")
    found = cache._unpack("k", data)
    assert found is not None
    header = Header(*(getattr(found, name) for name in Header._fields))
    for forged in (header._replace(fresh_until=header.fresh_until + 1e9), header._replace(id=b"n" * 16), header):
        digest = key_digest(f"{prefix}\0k")
        plain.set(f"{prefix}k", pack(context(forged, digest, b""), found.payload))
        if forged == header:
            assert cache.get("k") == "old"
        else:
            with pytest.raises(SerializationError):
                cache.get("k")


def test_an_entry_that_the_first_release_wrote_is_read(
    memcached: MemcachedServer, client_for: Callable[..., Client]
) -> None:
    cache = MemcachedCache([memcached.address], key_prefix="golden:")
    client_for(memcached.address).set("golden:k", GOLDEN)
    with freeze_time("2023-11-14 22:13:30"):
        assert cache.get("k") == {"a": [1, 2.5, None, "\u00fc"]}
