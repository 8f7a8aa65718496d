"""An entry: a value and its times, and its form as bytes."""

import struct
import threading
import zlib
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import inf
from typing import Final, NamedTuple, TypeAlias

from memocache.stats import Counters

__all__ = [
    "LEASE",
    "STAMP",
    "STAMP_SIZE",
    "VALUE",
    "Alias",
    "Aliases",
    "Entry",
    "Envelope",
    "Header",
    "key_digest",
    "pack",
    "stamp_block",
    "stamp_head",
    "stamp_names",
    "unpack",
]


class Entry:
    """A value with its times, in seconds of the wall clock.

    *created* is when its computation began, *cost* how long that took. Until *fresh* it is handed out, from *expires*
    on never. In process the very same object is found by key and by raw arguments (see Aliases), so that there is one
    truth: an entry that leaves its cache is marked with `fresh = -inf`.
    """

    ready = True  # as a Run: the call that finds it has nothing left to do

    __slots__ = (
        "alias",
        "cost",
        "counters",
        "created",
        "expires",
        "fresh",
        "groups",
        "hits",
        "key",
        "seen",
        "types",
        "value",
    )

    def __init__(
        self,
        key: str,
        value: object,
        created: float,
        fresh: float,
        expires: float | None = None,
        cost: float = 0.0,
        groups: tuple[str, ...] = (),
        counters: Counters | None = None,
    ) -> None:
        self.key = key
        self.value = value
        self.created = created
        self.fresh = fresh
        self.expires = fresh if expires is None else expires
        self.cost = cost
        self.groups = groups
        self.counters = counters  # whose hits these are
        self.hits = 0
        self.seen = 0  # the hits that the eviction policy has taken into account
        self.types: object = None  # of the raw arguments that lead to it
        self.alias: Alias | None = None

    def kill(self) -> None:
        """Let nobody be served this entry any more."""
        self.fresh = self.expires = -inf
        alias, self.alias = self.alias, None
        while alias is not None:
            aliases, raw, _, alias = alias
            if aliases.table.get(raw) is self:
                del aliases.table[raw]


class Aliases:
    """The shortcut from a function's raw arguments to its entries in one in-process cache, its *source*.

    *table* is read without a lock, by the function's own call. It is written under *lock* and the cache's own, and only
    while the source is the function's cache and nobody has closed it.
    """

    __slots__ = ("__weakref__", "_open", "lock", "source", "table")

    def __init__(self) -> None:
        self.table: dict[Hashable, Entry] = {}
        self.lock = threading.RLock()
        self.source: object = None
        self._open = True

    def reset(self) -> None:
        """Start again without shortcuts, in a process that was forked while anybody may have held the lock."""
        self.lock = threading.RLock()
        self.table.clear()

    def lead_to(self, source: object) -> None:
        """Lead to the entries of *source* from now on; None: to nothing."""
        with self.lock:
            self.source = source
            self.table.clear()

    def switch(self, *, on: bool) -> None:
        """Allow shortcuts, or drop those that are there and allow no new ones."""
        with self.lock:
            self._open = on
            if not on:
                self.table.clear()

    def add(self, source: object, alias: "Alias", entry: Entry) -> None:
        """Let *alias* lead to *entry*; only for *source*, under its lock."""
        with self.lock:
            if not self._open or self.source is not source:
                return
            _, raw, types, _ = alias
            if entry.alias is None:
                entry.types, entry.alias = types, alias
            elif entry.types == types:
                entry.alias = (self, raw, types, entry.alias)  # several functions may share an entry
            else:
                return
            self.table[raw] = entry


Alias: TypeAlias = "tuple[Aliases, Hashable, object, Alias | None]"
"""What may lead to an entry: whose table, raw arguments there and their types; and the next one of the same entry."""


# ---- as bytes ----------------------------------------------------------------------------------------------------

MAGIC: Final = b"\xf1mc"
VERSION: Final = 1
VALUE, LEASE, STAMP = 1, 2, 3
STAMP_SIZE: Final = 16

# magic, version, kind, codec, stamps' length | nonce | created, fresh, expires, cost | digest of the key
HEADER: Final = struct.Struct(">3sBBBH16sdddd16s")
HEAD: Final = HEADER.size
CHECKSUM: Final = struct.Struct(">I")
START: Final = HEAD + CHECKSUM.size


class Header(NamedTuple):
    """What an envelope says of its content."""

    kind: int
    codec: int
    nonce: bytes
    created: float
    fresh: float
    expires: float
    cost: float


@dataclass(slots=True)
class Envelope:
    """An entry, a lease or a stamp as it was read from a shared cache: what its header says, and what it holds."""

    kind: int
    codec: int
    nonce: bytes
    created: float
    fresh: float
    expires: float
    cost: float
    stamps: bytes  # a stamp_block
    payload: bytes
    context: bytes  # what a signature covers besides the payload


def key_digest(key: str) -> bytes:
    """Return the digest by which an envelope knows its key."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def context(header: Header, digest: bytes, stamps: bytes) -> bytes:
    """Return the bytes that a payload is bound to: all of the envelope but the payload itself."""
    kind, codec, nonce, *times = header
    return HEADER.pack(MAGIC, VERSION, kind, codec, len(stamps), nonce, *times, digest) + stamps


def pack(bound: bytes, payload: bytes) -> bytes:
    """Return the envelope of *payload*, which is bound to `context(...)` *bound*."""
    head, stamps = bound[: HEADER.size], bound[HEADER.size :]
    checksum = zlib.crc32(payload, zlib.crc32(bound))
    return b"".join((head, CHECKSUM.pack(checksum), stamps, payload))


def unpack(data: bytes, digest: bytes) -> Envelope | None:
    """Return the envelope in *data*, or None if it is not whole, not ours, or not of the key with this *digest*."""
    if len(data) < START:
        return None
    magic, version, kind, codec, length, nonce, created, fresh, expires, cost, key = HEADER.unpack_from(data)
    end = START + length
    if magic != MAGIC or version != VERSION or key != digest or len(data) < end:
        return None
    stamps, payload = data[START:end], data[end:]
    bound = data[:HEAD] + stamps
    if data[HEAD:START] != zlib.crc32(payload, zlib.crc32(bound)).to_bytes(4, "big"):
        return None
    return Envelope(kind, codec, nonce, created, fresh, expires, cost, stamps, payload, bound)


def stamp_block(names: Sequence[str], stamps: Sequence[bytes]) -> bytes:
    """Return the groups *names* with their *stamps* as bytes: an entry holds while its block is the present one."""
    return b"".join(stamp_head(name) + stamp for name, stamp in zip(names, stamps, strict=True))


def stamp_head(name: str) -> bytes:
    """Return what stands before the stamp of the group *name* in a block."""
    return bytes((len(name),)) + name.encode("ascii")


def stamp_names(block: bytes) -> list[str]:
    """Return the names of the groups in a stamp_block; none if it is a forger's junk."""
    names, position = [], 0
    while position < len(block):
        end = position + 1 + block[position]
        names.append(block[position + 1 : end])
        position = end + STAMP_SIZE
    return [name.decode("ascii") for name in names] if all(map(bytes.isascii, names)) else []
