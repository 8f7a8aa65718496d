"""What caches have in common whose entries are bytes: keys that any server takes, and entries as envelopes."""

import math
import os
import re
from hashlib import blake2b
from typing import Final

from memocache import _envelope
from memocache._entry import SECOND, AgingEntry, Entry
from memocache._envelope import ERROR, LEASE, VALUE, Envelope, Header
from memocache._policy import FOREVER, StoredException, refresh_margin
from memocache.backends.base import Cache
from memocache.errors import ConfigurationError, SerializationError
from memocache.serializers import SafeSerializer
from memocache.serializers._codec import ValueCodec

__all__ = ["SKEW", "PackedCache", "due", "expire_after", "is_lease", "is_present", "kept_until"]

LONGEST_EXPIRY: Final = 30 * 86400  # seconds; memcached takes larger numbers for dates
LONGEST_COST: Final = 1e6  # seconds
LONGEST_PREFIX: Final = 100
SKEW: Final = 60.0  # seconds by which the clocks of two hosts may differ
SAFE: Final = SafeSerializer()
SAFE_KEY: Final = re.compile(r"[!\"$-~][!-~]*")  # printable ASCII; '#' in front marks a digest
SAFE_PREFIX: Final = re.compile(r"[!-~]*")


class PackedCache(Cache):
    """A cache whose entries are envelopes, since they lie where other processes read and write."""

    shared = True
    longest_key = 250
    """The longest form of a key, prefix included."""

    def __init__(self, default_timeout: float | str | None, key_prefix: str, codec: ValueCodec) -> None:
        if not isinstance(key_prefix, str) or len(key_prefix) > LONGEST_PREFIX or not SAFE_PREFIX.fullmatch(key_prefix):
            raise ConfigurationError(
                f"key_prefix={key_prefix!r}; wanted: at most {LONGEST_PREFIX} printable ASCII characters without spaces"
            )
        super().__init__(default_timeout)
        self._prefix = key_prefix
        self._codec = codec

    def name_types(self, annotation: object) -> None:
        """Allow the types in *annotation* to be made from bytes."""
        self._codec.serializer.name_types(annotation)

    def _wire(self, key: str) -> str:
        """Return the form of *key* that stands in the cache, a different one for each key."""
        wire = self._prefix + key
        if len(wire) <= self.longest_key and SAFE_KEY.fullmatch(key):
            return wire
        return f"{self._prefix}#{blake2b(key.encode('utf-8', 'surrogatepass'), digest_size=20).hexdigest()}"

    def _digest(self, key: str) -> bytes:
        return _envelope.key_digest(f"{self._prefix}\0{key}")

    def _stub(self, key: str, nonce: bytes, now: float, lease: float, stamps: bytes) -> bytes:
        """Return what stands under *key* while somebody computes it."""
        header = Header(LEASE, 0, nonce, now, now, now + lease, 0.0)
        return _envelope.pack(_envelope.context(header, self._digest(key), stamps), b"")

    def _pack(self, key: str, entry: Entry, created: float, stamps: bytes = b"", nonce: bytes = b"") -> bytes:
        value, kind = entry.value, VALUE
        if type(value) is StoredException:
            # As a text, which every serializer can write; by the codec of the cache, since that may sign it.
            value, kind = SAFE.dumps(value.to_plain(), b"").decode("latin-1"), ERROR
        header = Header(
            kind,
            self._codec.serializer.codec,
            nonce or os.urandom(16),
            created,
            entry.fresh,
            entry.expires,
            entry.cost / SECOND,
        )
        if type(entry) is AgingEntry:
            header = header._replace(fresh=entry.until, held=entry.held, pause=entry.pause)
        return _envelope.pack(*self._codec.dumps(value, _envelope.context(header, self._digest(key), stamps)))

    def _unpack(self, key: str, data: bytes | None) -> Envelope | None:
        return None if data is None else _envelope.unpack(data, self._digest(key))

    def _opened(self, key: str, envelope: Envelope) -> Entry:
        """Return the entry in *envelope*; SerializationError if its value cannot be read."""
        codec = self._codec
        if envelope.codec == codec.plain_codec:  # as codec.loads does: nearly every hit takes this way
            value = codec.serializer.loads(envelope.payload, envelope.context)
        else:
            value = codec.loads(envelope.codec, envelope.payload, envelope.context)
        if envelope.kind == ERROR:
            value = _stored_exception(value)
        # Anybody may have written it, and it may be infinite or no number.
        cost = int(envelope.cost * SECOND) if 0 <= envelope.cost < LONGEST_COST else 0
        fresh, expires = envelope.fresh, envelope.expires
        if fresh >= expires:
            return Entry(key, value, fresh, expires, cost)
        held, pause = envelope.held, envelope.pause
        return AgingEntry(key, value, fresh, expires, cost, until=fresh, held=held, pause=pause)


def is_present(envelope: Envelope, now: float) -> bool:
    # What was made in the future was made by a host whose clock is wrong, and may be fresh for ever.
    return envelope.kind <= ERROR and envelope.created - SKEW <= now < envelope.expires


def is_lease(envelope: Envelope, now: float) -> bool:
    """Return whether somebody may be computing under *envelope*: a stub, or a value that is being refreshed."""
    end = envelope.expires if envelope.kind == LEASE else envelope.held
    return envelope.created - SKEW <= now < end


def due(entry: AgingEntry, envelope: Envelope) -> float:
    """Return when this caller is to refresh *entry*, a little before its timeout perhaps."""
    return entry.until - refresh_margin(entry, entry.until - envelope.created)


def kept_until(entry: Entry) -> float:
    """Return until when the server has to keep *entry*: also while it is being refreshed."""
    return max(entry.expires, entry.held) if type(entry) is AgingEntry else entry.expires


def _stored_exception(text: object) -> StoredException:
    try:
        return StoredException.from_plain(SAFE.loads(str(text).encode("latin-1"), b""))
    except UnicodeEncodeError as error:
        raise SerializationError(f"what is stored is no exception of a call's: {error}") from None


def expire_after(seconds: float) -> int:
    """Return the server's time to live for *seconds*: never shorter, since the entry itself knows better."""
    if seconds == FOREVER or seconds + 1 > LONGEST_EXPIRY:
        return 0
    return max(2, math.ceil(seconds) + 1)  # a server counts in ticks of a second, and drops the first
