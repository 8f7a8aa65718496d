"""A process that reads what somebody else may have written: python -m tests.reliability.hostile FORM COUNT PATH SEED.

It prints what came of it, as JSON. PATH is a file that is made if anything in the bytes is executed.
"""

import json
import pickle
import random
import sys
import zlib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from memocache import JSONSerializer, MemcachedCache, PickleSerializer, SafeSerializer, SerializationError
from memocache._entry import Entry
from memocache._envelope import Envelope, Header, context, pack, with_codec
from memocache.serializers._codec import HEAD, WRAPPED
from memocache.serializers._compression import LARGEST, METHODS
from tests.reliability.process import peak_kib, start_peak
from tests.support.canary import Canary
from tests.unit.serializers.samples import RECORDS
from tests.unit.serializers.test_hostile import assert_plain, framings, mutants
from tests.unit.serializers.test_roundtrip import VALUES

SECRET = "a secret of sixteen bytes or more"
NOW = 1_700_000_000.0
KEY = "v1:f:0123456789abcdef"

FORMS: dict[str, dict[str, Any]] = {
    "safe": {"serializer": SafeSerializer(types=RECORDS)},
    "JSON": {"serializer": JSONSerializer()},
    "pickle": {"serializer": PickleSerializer(SECRET)},
    "safe + zlib": {"serializer": SafeSerializer(types=RECORDS), "compress": "zlib", "compress_above": 1},
    "safe + secret": {"serializer": SafeSerializer(types=RECORDS), "secret": SECRET},
}
SIGNED = ("pickle", "safe + secret")
PLAIN_VALUES: list[object] = [
    None,
    True,
    -1,
    2.5,
    "text",
    "ü\n",
    {"a": [1, {"b": None}], "c": "d"},
    [[[]], {}],
    "x" * 3000,
]


def main(form: str, count: int, path: str, seed: int) -> dict[str, int]:
    """Read *count* envelopes that were tampered with."""
    cache = MemcachedCache(["127.0.0.1:9"], **FORMS[form])
    values = VALUES if form.startswith("safe") else PLAIN_VALUES
    good = [cache._pack(KEY, Entry(KEY, value, NOW + 60), NOW) for value in values]
    known = {data: cache._opened(KEY, _unpacked(cache, data)).value for data in good}
    seen: Counter[str] = Counter()
    tampered = list(_tampered(cache, good, count, path, seed))
    start_peak()
    before = peak_kib()
    for data in tampered:
        seen["tried"] += 1
        envelope = cache._unpack(KEY, data)
        if envelope is None:
            seen["missed"] += 1
            continue
        try:
            value = cache._opened(KEY, envelope).value
        except SerializationError:
            seen["refused"] += 1
            continue
        seen["read"] += 1
        if data in known:
            continue
        if form in SIGNED:
            seen["wrong"] += 1
        elif form != "JSON" and type(value).__name__ != "StoredException":
            assert_plain(value)
    return {**seen, "grown_kib": peak_kib() - before, "executed": int(Path(path).exists())}


def _unpacked(cache: MemcachedCache, data: bytes) -> Envelope:
    envelope = cache._unpack(KEY, data)
    assert envelope is not None
    return envelope


def _tampered(cache: MemcachedCache, good: list[bytes], count: int, path: str, seed: int) -> Iterator[bytes]:
    """Yield envelopes with bytes changed, and such as somebody writes who knows the format."""
    chance = random.Random(seed)
    yield from mutants(good, count // 2, seed)
    envelopes = [_unpacked(cache, data) for data in good]
    payloads = [*mutants([envelope.payload for envelope in envelopes], count // 4, seed + 1)]
    payloads += _pickles(path)
    while len(payloads) < count - count // 2:
        payloads.append(chance.choice(envelopes).payload)
    for size in (1, 15, 30, 300):
        yield pack(with_codec(envelopes[0].context, WRAPPED), _bomb(cache, size))
    for payload in payloads[: count - count // 2]:
        yield _forged(cache, chance.choice(envelopes), payload, chance)


def _forged(cache: MemcachedCache, like: Envelope, payload: bytes, chance: random.Random) -> bytes:
    """Return an envelope with *payload*, and a header of which something is another, or not."""
    header = Header(*(getattr(like, name) for name in Header._fields))
    odd = [float("inf"), float("nan"), -1.0, 0.0, 1e300, NOW + 1e9]
    match chance.randrange(5):
        case 0:
            header = header._replace(kind=chance.randrange(256))
        case 1:
            header = header._replace(codec=chance.choice([1, 2, 3, 4, 5, 77, 200]))
        case 2:
            header = header._replace(**{name: chance.choice(odd) for name in ("cost", "backoff", "retry_at")})
        case 3:
            header = header._replace(**{name: chance.choice(odd) for name in ("fresh_until", "expires_at", "created")})
    generations = chance.choice([like.block, like.block, chance.randbytes(chance.randrange(40))])
    return pack(context(header, cache._digest(KEY), generations), payload)


def _bomb(cache: MemcachedCache, mebibytes: int) -> bytes:
    """Return what gets so large when it is expanded, as the cache itself would write it."""
    packer = zlib.compressobj(9)
    data = b"".join([*(packer.compress(bytes(1 << 20)) for _ in range(mebibytes)), packer.flush()])
    codec = cache._codec.serializer.codec
    return HEAD.pack(METHODS["zlib"], codec, min(mebibytes << 20, LARGEST)) + data


def _pickles(path: str) -> list[bytes]:
    found: list[bytes] = []
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        found += framings(pickle.dumps(Canary(Path(path)), protocol=protocol), b"context")
    return found


if __name__ == "__main__":
    print(json.dumps(main(*map(json.loads, sys.argv[1:]))))
