"""The parts that caches whose entries are bytes share: wire keys, envelopes, generations, the methods a user calls."""

import math
import os
import re
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from hashlib import blake2b
from typing import Any, Final, NamedTuple, Protocol

from memocache import _envelope
from memocache._clock import now as clock
from memocache._entry import SECOND, Entry, StaleableEntry
from memocache._envelope import ERROR, GENERATION_SIZE, LEASE, VALUE, Envelope, Head, Header
from memocache._living import Living
from memocache._policy import FOREVER, refresh_margin
from memocache._stored_exception import StoredException
from memocache.backends._listing import DIGEST, Listing, StoredEntry
from memocache.backends.base import MOST_LISTED, Cache, call_verb, countable
from memocache.errors import BackendUnavailable, ConfigurationError, SerializationError, logger, with_article
from memocache.keys import ALL, all_tag, namespace_of, readable_prefix
from memocache.serializers import SafeSerializer
from memocache.serializers._codec import ValueCodec

LONGEST_EXPIRY: Final = 30 * 86400  # seconds; memcached takes larger numbers for dates
LONGEST_COST: Final = 1e6  # seconds
LONGEST_PREFIX: Final = 100
SKEW: Final = 60.0  # seconds by which the clocks of two hosts may differ
SAFE: Final = SafeSerializer()
SAFE_KEY: Final = re.compile(r"[!\"$-~][!-~]*")  # printable ASCII; '#' in front marks a digest
SAFE_PREFIX: Final = re.compile(r"[!-~]*")


def no_key(given: Any) -> TypeError:
    """Return the error for what is *given* in place of a key."""
    return TypeError(
        f"a key is a text, and this is {with_article(type(given))}; get_many(), get_dict() and delete_many() take keys "
        "one by one"
    )


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
        self._are_clocks_told = False
        self._known: Living[Any] = Living()

    def name_types(self, annotation: object) -> None:
        """Allow the types in *annotation* to be made from bytes."""
        self._codec.serializer.name_types(annotation)

    def remember(self, known: MutableMapping[Any, Any]) -> None:
        """Empty *known* when everything is deleted."""
        self._known.add(known)

    def _cleared(self) -> None:
        """Let go of what is remembered about keys."""
        for known in self._known:
            known.clear()

    def _clocks_differ(self, seconds: float) -> None:
        """Tell the log once that what is there was made in the future, and so is no hit; see `is_present`."""
        if self._are_clocks_told:
            return
        self._are_clocks_told = True
        logger().warning(
            "%s: an entry was made %.0f seconds in the future: the clock of this host, or of the one that made it, is "
            "wrong. Such entries are computed again; set the clocks of all hosts, by NTP (said once)",
            type(self).__name__,
            seconds,
        )

    def _wire(self, key: str) -> str:
        """Return the form of *key* that stands in the cache, a different one for each key."""
        try:
            wire = self._prefix + key
        except TypeError:
            raise no_key(key) from None
        if len(wire) <= self.longest_key and SAFE_KEY.fullmatch(key):
            return wire
        return f"{self._prefix}#{blake2b(key.encode('utf-8', 'surrogatepass'), digest_size=20).hexdigest()}"

    def _digest(self, key: str) -> bytes:
        return _envelope.key_digest(f"{self._prefix}\0{key}")

    def _check_size(self, wire: str, data: bytes) -> None:
        """Raise ValueTooLarge if *data* is more than may be stored."""

    def _pack_lease(self, key: str, lease_id: bytes, now: float, lease: float, block: bytes) -> bytes:
        """Return the marker that says that somebody computes *key*."""
        header = Header(LEASE, 0, lease_id, now, now, now + lease, 0.0)
        return _envelope.pack(_envelope.context(header, self._digest(key), block), b"")

    def _pack(self, key: str, entry: Entry, created: float, block: bytes = b"", lease_id: bytes = b"") -> bytes:
        value, kind = entry.value, VALUE
        if type(value) is StoredException:
            # As a text, which every serializer can write; by the codec of the cache, since that may sign it.
            value, kind = SAFE.dumps(value.to_plain(), b"").decode("latin-1"), ERROR
        header = Header(
            kind,
            self._codec.serializer.codec,
            lease_id or os.urandom(16),
            created,
            entry.serve_until,
            entry.expires_at,
            entry.cost / SECOND,
        )
        if type(entry) is StaleableEntry:
            header = header._replace(fresh_until=entry.fresh_until, retry_at=entry.retry_at, backoff=entry.backoff)
        return _envelope.pack(*self._codec.dumps(value, _envelope.context(header, self._digest(key), block)))

    def size_of(self, entry: Entry, tags: Sequence[str]) -> int | None:
        """Return how many bytes *entry* takes on a server, with the generations of its *tags*, without its key."""
        block = b"".join(_envelope.generation_head(tag) + bytes(GENERATION_SIZE) for tag in tags)
        return len(self._pack(entry.key, entry, entry.serve_from, block))

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
        fresh, expires = envelope.fresh_until, envelope.expires_at
        if fresh >= expires:
            entry = Entry(key, value, expires, cost)
        else:
            retry_at, backoff = envelope.retry_at, envelope.backoff
            entry = StaleableEntry(
                key, value, fresh, expires, cost, fresh_until=fresh, retry_at=retry_at, backoff=backoff
            )
        entry.serve_from = envelope.created
        return entry


def is_present(envelope: Envelope | Header, now: float) -> bool:
    """Return whether *envelope* has a result, or an error, that may be served now."""
    # What was made in the future was made by a host whose clock is wrong, and may be fresh for ever.
    return envelope.kind <= ERROR and envelope.created - SKEW <= now < envelope.expires_at


def is_lease(envelope: Envelope, now: float) -> bool:
    """Return whether somebody may be computing under *envelope*: a marker, or a value that is being refreshed."""
    end = envelope.expires_at if envelope.kind == LEASE else envelope.retry_at
    return envelope.created - SKEW <= now < end


def due(entry: StaleableEntry, envelope: Envelope) -> float:
    """Return when this caller is to refresh *entry*, a little before its timeout perhaps."""
    return entry.fresh_until - refresh_margin(entry, entry.fresh_until - envelope.created)


def kept_until(entry: Entry) -> float:
    """Return until when the server has to keep *entry*: also while it is being refreshed."""
    return max(entry.expires_at, entry.retry_at) if type(entry) is StaleableEntry else entry.expires_at


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


GENERATION_MAGIC: Final = b"\xf1ms"


class KVServer(Protocol):
    """One server.

    Every method raises BackendUnavailable if it does not answer properly, and ValueTooLarge if it refuses a size.
    """

    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is under *keys*, in one round trip."""

    def gets(self, key: str, *, urgent: bool = False) -> tuple[bytes | None, object]:
        """Return what is under *key*, and the id with which to swap it; *urgent*: even if it is left alone now."""

    def add(self, key: str, data: bytes, expire: int) -> bool:
        """Store *data* if there is nothing under *key*."""

    def cas(self, key: str, data: bytes, swap: object, expire: int) -> bool:
        """Store *data* if what is under *key* is still what *swap* was read with."""

    def set(self, key: str, data: bytes, expire: int) -> None:
        """Store *data*."""


def block_of(heads: Sequence[bytes], generations: Sequence[bytes | None]) -> bytes | None:
    """Return the block of *generations*, each with its head before it; None if one is missing."""
    block = b""
    for head, generation in zip(heads, generations, strict=True):
        if generation is None or not is_generation(generation):
            return None
        block += head + generation[len(GENERATION_MAGIC) :]
    return block


def is_generation(data: bytes) -> bool:
    """Return whether *data* is the generation of a tag."""
    return len(data) == len(GENERATION_MAGIC) + GENERATION_SIZE and data.startswith(GENERATION_MAGIC)


def new_generation() -> bytes:
    """Return a generation that no tag ever had."""
    return GENERATION_MAGIC + os.urandom(GENERATION_SIZE)


MOST_SWAPS: Final = 1000

INDEX: Final = "#tallies"  # the key of the names of the functions whose figures are shared
TOTAL: Final = "total"  # the tally of all time; others are of one minute
MINUTE: Final = 60.0
MINUTES: Final = 60  # for which there are tallies
MOST_DIGITS: Final = 20
READ_AT_ONCE: Final = 10_000  # numbers, which are read well within a timeout


def number_in(data: bytes | None) -> int | None:
    """Return the number that *data* spells; None if it spells none that can be counted up."""
    return int(data) if data is not None and data.isdigit() and len(data) <= MOST_DIGITS else None


def numbers_in(value: object) -> dict[str, int]:
    """Return the numbers by name in a *value*, which anybody may have written."""
    found = value.items() if isinstance(value, dict) else ()
    return {
        name: number
        for name, number in found
        if type(name) is str and type(number) is int and 0 <= number < 10**MOST_DIGITS
    }


class ServerCache(PackedCache):
    """A cache on servers with `gets`, `cas` and the rest of KVServer: the methods that a user calls."""

    @abstractmethod
    def _node(self, key: str) -> KVServer:
        """Return the server of a wire *key*."""

    def _expire(self, seconds: float) -> int:
        """Return what a server is told for *seconds* to live."""
        return expire_after(seconds)

    # ---- tallies: numbers that all processes add to --------------------------------------------------------------

    def add_to_tally(self, tally: str, amounts: dict[str, int], lifetime: float) -> None:
        """Add *amounts* to the numbers of a *tally*, each atomically; one that is new lives for *lifetime* seconds.

        What has been added is taken out of *amounts*. What is left there when it raises was not; but where an answer
        was lost, nobody knows. Here a tally is one value, and is swapped for another; some servers can add themselves.
        """

        def added(numbers: object) -> dict[str, int]:
            sums = numbers_in(numbers)
            return sums | {name: sums.get(name, 0) + amount for name, amount in amounts.items()}

        self.amend(self._tally(tally), added, lifetime)
        amounts.clear()

    def tallies(self, tallies: Sequence[str], names: Sequence[str]) -> list[dict[str, int]]:
        """Return the numbers of *tallies*, each by name; those that are not there are left out.

        All *names* that there may be are given, since not every server can list them.
        """
        found = self.get_dict(*map(self._tally, tallies))
        return [numbers_in(found[self._tally(tally)]) for tally in tallies]

    def _tally(self, tally: str) -> str:
        """Return the name of a *tally*, which nothing else has: after a '#' there are hex digits elsewhere."""
        return f"#tally:{tally}"

    def _digests_of_tallies(self, now: float) -> set[bytes]:
        """Return the digests of the keys of all tallies that there may be *now*, and of their index."""
        minute = int(now // MINUTE)
        minutes = range(minute - MINUTES - 1, minute + 2)
        return {self._digest(key) for key in (INDEX, *map(self._tally, (TOTAL, *map(str, minutes))))}

    def amend(self, key: str, change: Callable[[object], object], lifetime: float = FOREVER) -> object:
        """Swap in what *change* makes of the value under *key* (None if there is none), atomically, and return that.

        A new one lives for *lifetime* seconds, another for as long as the one before. It counts also when the clock is
        set back: nobody made it in the future, as its time of creation is the beginning of all time.
        """
        made: object = None

        def amended(old: Entry | None) -> tuple[bytes, int] | None:
            nonlocal made
            value = None if old is None else old.value
            made = change(value)
            seconds = lifetime if old is None else old.expires_at - clock()
            return None if made == value else (self._packed(key, made, seconds, created=0.0), self._expire(seconds))

        self._replace(key, amended)
        return made

    # ---- what a user calls ---------------------------------------------------------------------------------------

    def _present(self, key: str, data: bytes | None) -> Envelope | None:
        """Return the envelope of a value that counts now, be it the user's own or a function's."""
        envelope = self._unpack(key, data)
        if envelope is None or envelope.kind != VALUE or not is_present(envelope, clock()):
            return None
        if envelope.block:
            tags = _envelope.tags_of(envelope.block)
            wires = list(map(self._wire, tags))
            found = self._node(self._wire(key)).get_many(wires)
            if block_of(list(map(_envelope.generation_head, tags)), list(map(found.get, wires))) != envelope.block:
                return None
        return envelope

    def get(self, key: str) -> object:
        """Return the value under *key*, or None if there is none or it has expired."""
        return self.get_dict(key)[key]

    def get_dict(self, *keys: str) -> dict[str, object]:
        """Return the values by key, None where there is none; one round trip to each server."""
        values: dict[str, object] = dict.fromkeys(keys)
        for key, data in self._raw(keys).items():
            envelope = self._present(key, data)
            if envelope is not None:
                values[key] = self._opened(key, envelope).value
        return values

    @abstractmethod
    def _raw(self, keys: Sequence[str]) -> dict[str, bytes]:
        """Return what is under *keys*, by key, in one round trip to each server."""

    def has(self, key: str) -> bool:
        """Return whether *key* has a value, be it None."""
        return self._present(key, self._raw((key,)).get(key)) is not None

    def set(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store *value* under *key* for *timeout* seconds; True if it is stored."""
        lifetime = self.lifetime(timeout)
        if lifetime <= 0:
            self.delete(key)
            return False
        wire = self._wire(key)
        self._node(wire).set(wire, self._packed(key, value, lifetime), self._expire(lifetime))
        return True

    def _packed(self, key: str, value: object, lifetime: float, created: float | None = None) -> bytes:
        now = clock()
        data = self._pack(key, Entry(key, value, now + lifetime), now if created is None else created)
        self._check_size(self._wire(key), data)
        return data

    def add(self, key: str, value: object, timeout: float | None = None) -> bool:
        """Store *value* unless *key* has a value already; True if it is stored."""
        lifetime = self.lifetime(timeout)
        if lifetime <= 0:
            return False
        data = self._packed(key, value, lifetime)
        return self._replace(key, lambda old: None if old is not None else (data, self._expire(lifetime)))

    def delete(self, key: str) -> bool:
        """Delete what is under *key*; True if there was something."""
        return call_verb(self.forget, key)

    def inc(self, key: str, delta: int = 1) -> int:
        """Add *delta* to the number under *key* atomically, and return the sum."""
        total = 0

        def counted(old: Entry | None) -> tuple[bytes, int]:
            nonlocal total
            now = clock()
            fresh = now + self.default_lifetime if old is None else old.serve_until
            total = delta + (0 if old is None else countable(key, old.value))
            return self._pack(key, Entry(key, total, fresh), now), self._expire(fresh - now)

        self._replace(key, counted)
        return total

    def _replace(self, key: str, new: Callable[[Entry | None], tuple[bytes, int] | None]) -> bool:
        """Swap in what *new* makes of the present entry, atomically; False where it makes nothing."""
        wire = self._wire(key)
        node = self._node(wire)
        for _ in range(MOST_SWAPS):
            data, swap = node.gets(wire)
            envelope = self._present(key, data)
            made = new(None if envelope is None else self._opened(key, envelope))
            if made is None:
                return False
            if node.add(wire, *made) if data is None else node.cas(wire, made[0], swap, made[1]):
                return True
        raise BackendUnavailable(f"{key} was changed by others {MOST_SWAPS} times in a row")

    # ---- what there is -------------------------------------------------------------------------------------------

    def listing(self, namespace: str | None = None, limit: int = MOST_LISTED) -> Listing:
        """Return the entries under this key_prefix, or those of one *namespace*, of which *limit* are described."""
        start, tag = ("", "") if namespace is None else (readable_prefix(namespace), all_tag(namespace))
        pages = self._places(start, tag)
        return Listing(
            self, namespace, pages, lambda places: self._described(self._found(places), namespace or "", tag), limit
        )

    def _places(self, start: str, tag: str) -> Iterator[Sequence[Any]]:
        """Return, page by page, where there may be entries: with keys that begin with *start*, and in *tag* if any."""
        raise self._cannot_list()

    @abstractmethod
    def _found(self, places: Sequence[Any]) -> Iterable["Found"]:
        """Return what is in these *places*."""

    def _described(self, found: Iterable["Found"], namespace: str, wanted: str) -> Iterator[StoredEntry]:
        """Return what is told of those that are *found* to be entries, and in the tag that is *wanted*, if any."""
        now = clock()
        tallies = self._digests_of_tallies(now)
        by_node: dict[int, list[tuple[Found, Head, list[str]]]] = {}
        for each in found:
            head = _envelope.head_of(each.data)
            if head is None or head.digest in tallies or not is_present(head.header, now):
                continue
            tags = _envelope.tags_of(head.block or b"")
            if not wanted or wanted in tags or head.block is None:
                by_node.setdefault(id(self._node(each.wire)), []).append((each, head, tags))
        for entries in by_node.values():
            wires = {tag: self._wire(tag) for _, _, tags in entries for tag in tags}
            generations = self._node(entries[0][0].wire).get_many(list(wires.values()))
            for each, head, tags in entries:
                heads = map(_envelope.generation_head, tags)
                block = block_of(list(heads), [generations.get(wires[tag]) for tag in tags])
                if head.block is None or head.block == block:
                    tag = next((tag for tag in tags if tag.startswith(ALL)), "")
                    yield self._stored_entry(each, head, namespace, tag, now)

    def _stored_entry(self, found: "Found", head: Head, namespace: str, tag: str, now: float) -> StoredEntry:
        _, _, _, created, fresh, expires, cost, *_ = head.header
        key = found.wire.removeprefix(self._prefix) or DIGEST + head.digest.hex()
        end = min(fresh, expires)
        return StoredEntry(
            key=key,
            namespace=namespace or namespace_of(key),
            tag=tag,
            age=max(0.0, now - created),
            expires_in=end - now if math.isfinite(end) else None,
            stale_for=max(0.0, expires - end) if math.isfinite(end) else 0.0,
            cost=cost if 0 <= cost < LONGEST_COST else 0.0,
            size=found.size,
        )

    def _listed_wire(self, key: str) -> str:
        """Return the wire key of an entry that is listed under *key*."""
        return self._prefix + key if key.startswith(DIGEST) else self._wire(key)


BEGINNING: Final = 4096
"""Bytes of an entry that are read for a list: its head, with the generations of all tags that anybody has."""


class Found(NamedTuple):
    """The bytes in one place of a cache: under which wire key, empty if that is not kept; the first; how many."""

    wire: str
    data: bytes
    size: int
