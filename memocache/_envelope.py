"""An entry, a lease or a stamp as bytes: what lies in a cache that processes share."""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b
from math import inf
from typing import Final, NamedTuple

__all__ = [
    "ERROR",
    "LEASE",
    "NONCE",
    "STAMP",
    "STAMP_SIZE",
    "VALUE",
    "Envelope",
    "Header",
    "context",
    "end_of",
    "key_digest",
    "pack",
    "stamp_block",
    "stamp_head",
    "stamp_names",
    "stamps_of",
    "unpack",
    "with_codec",
]

MAGIC: Final = b"\xf1mc"
VERSION: Final = 2
VALUE, ERROR, LEASE, STAMP = 1, 2, 3, 4  # the results of calls first
STAMP_SIZE: Final = 16

# magic, version, kind, codec, stamps' length | nonce | created, fresh, expires, cost, held, pause | digest of the key
HEADER: Final = struct.Struct(">3sBBBH16sdddddd16s")
HEAD: Final = HEADER.size
NONCE: Final = slice(8, 24)
"""Where the nonce is in an envelope."""

CODEC_AT: Final = 5
ENDS: Final = struct.Struct(">ddd")  # expires, cost, held
ENDS_AT: Final = struct.calcsize(">3sBBBH16sdd")
CHECKSUM: Final = struct.Struct(">I")
START: Final = HEAD + CHECKSUM.size


class Header(NamedTuple):
    """The head of an envelope, which describes its content."""

    kind: int
    codec: int
    nonce: bytes
    created: float
    fresh: float
    expires: float
    cost: float
    held: float = 0.0
    pause: float = 0.0


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
    held: float  # before that, nobody else is to refresh it
    pause: float
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


def with_codec(bound: bytes, codec: int) -> bytes:
    """Return `context(...)` *bound* with another *codec* in it."""
    return bound[:CODEC_AT] + codec.to_bytes(1, "big") + bound[CODEC_AT + 1 :]


def pack(bound: bytes, payload: bytes) -> bytes:
    """Return the envelope of *payload*, which is bound to `context(...)` *bound*."""
    head, stamps = bound[: HEADER.size], bound[HEADER.size :]
    checksum = zlib.crc32(payload, zlib.crc32(bound))
    return b"".join((head, CHECKSUM.pack(checksum), stamps, payload))


def unpack(data: bytes, digest: bytes) -> Envelope | None:
    """Return the envelope in *data*, or None if it is not whole, not ours, or not of the key with this *digest*."""
    if len(data) < START:
        return None
    magic, version, kind, codec, length, nonce, created, fresh, expires, cost, held, pause, key = HEADER.unpack_from(
        data
    )
    end = START + length
    if magic != MAGIC or version != VERSION or key != digest or len(data) < end:
        return None
    stamps, payload = data[START:end], data[end:]
    bound = data[:HEAD] + stamps
    if data[HEAD:START] != zlib.crc32(payload, zlib.crc32(bound)).to_bytes(4, "big"):
        return None
    return Envelope(kind, codec, nonce, created, fresh, expires, cost, held, pause, stamps, payload, bound)


def end_of(data: bytes) -> float:
    """Return until when anybody needs *data*: for ever, if it is no envelope of ours."""
    if len(data) < START or not data.startswith(MAGIC):
        return inf
    expires, _, held = ENDS.unpack_from(data, ENDS_AT)
    return float(max(expires, held))  # also while it is being refreshed


def stamp_block(names: Sequence[str], stamps: Sequence[bytes]) -> bytes:
    """Return the groups *names* with their *stamps* as bytes: an entry holds while its block is the present one."""
    return b"".join(stamp_head(name) + stamp for name, stamp in zip(names, stamps, strict=True))


def stamp_head(name: str) -> bytes:
    """Return what stands before the stamp of the group *name* in a block."""
    return bytes((len(name),)) + name.encode("ascii")


def stamps_of(block: bytes) -> list[bytes]:
    """Return the stamps in a stamp_block."""
    stamps, position = [], 0
    while position < len(block):
        end = position + 1 + block[position]
        stamps.append(block[end : end + STAMP_SIZE])
        position = end + STAMP_SIZE
    return stamps


def stamp_names(block: bytes) -> list[str]:
    """Return the names of the groups in a stamp_block; none if it is a forger's junk."""
    names, position = [], 0
    while position < len(block):
        end = position + 1 + block[position]
        names.append(block[position + 1 : end])
        position = end + STAMP_SIZE
    return [name.decode("ascii") for name in names] if all(map(bytes.isascii, names)) else []
