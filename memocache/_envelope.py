"""An entry, a lease or a generation as bytes: what lies in a cache that processes share."""

import struct
import zlib
from dataclasses import dataclass
from hashlib import blake2b
from math import inf
from typing import Final, NamedTuple, cast

MAGIC: Final = b"\xf1mc"
VERSION: Final = 2
VALUE, ERROR, LEASE, GENERATION = 1, 2, 3, 4  # the results of calls first
GENERATION_SIZE: Final = 16

# magic, version, kind, codec, length of the block | id | created ... backoff, as in Header | digest of the key
HEADER: Final = struct.Struct(">3sBBBH16sdddddd16s")
HEAD: Final = HEADER.size
ID: Final = slice(8, 24)
"""Where the id is in an envelope."""

CODEC_AT: Final = 5
ENDS: Final = struct.Struct(">ddd")  # expires_at, cost, retry_at
ENDS_AT: Final = struct.calcsize(">3sBBBH16sdd")
CHECKSUM: Final = struct.Struct(">I")
START: Final = HEAD + CHECKSUM.size
LARGE: Final = 1 << 16
"""Bytes of an envelope, from which its payload is no copy of a part of it."""


class Header(NamedTuple):
    """The head of an envelope, which describes its content."""

    kind: int
    codec: int
    id: bytes
    created: float
    fresh_until: float
    expires_at: float
    cost: float
    retry_at: float = 0.0
    backoff: float = 0.0


class Head(NamedTuple):
    """The beginning of an envelope: its header, the digest of its key, and the block, None if it is cut off."""

    header: Header
    digest: bytes
    block: bytes | None


@dataclass(slots=True)
class Envelope:
    """An entry, a lease or a generation as it was read from a shared cache: what its header says, and what it holds."""

    kind: int
    codec: int
    id: bytes
    created: float
    fresh_until: float
    expires_at: float
    cost: float
    retry_at: float  # before that, nobody else is to refresh it
    backoff: float
    block: bytes  # of the generations of its tags: it counts while that is the present one
    payload: bytes  # or a view of them, if they are many, since a copy takes long
    context: bytes  # what a signature covers besides the payload


def key_digest(key: str) -> bytes:
    """Return the digest by which an envelope knows its key."""
    return blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def context(header: Header, digest: bytes, block: bytes) -> bytes:
    """Return the bytes that a payload is bound to: all of the envelope but the payload itself."""
    kind, codec, id_, *times = header
    return HEADER.pack(MAGIC, VERSION, kind, codec, len(block), id_, *times, digest) + block


def with_codec(bound: bytes, codec: int) -> bytes:
    """Return `context(...)` *bound* with another *codec* in it."""
    return bound[:CODEC_AT] + codec.to_bytes(1, "big") + bound[CODEC_AT + 1 :]


def pack(bound: bytes, payload: bytes) -> bytes:
    """Return the envelope of *payload*, which is bound to `context(...)` *bound*."""
    head, block = bound[:HEAD], bound[HEAD:]
    checksum = zlib.crc32(payload, zlib.crc32(bound))
    return b"".join((head, CHECKSUM.pack(checksum), block, payload))


def unpack(data: bytes, digest: bytes) -> Envelope | None:
    """Return the envelope in *data*, or None if it is not whole, not ours, or not of the key with this *digest*."""
    if len(data) < START:
        return None
    magic, version, kind, codec, length, id_, created, fresh, expires, cost, retry_at, backoff, key = (
        HEADER.unpack_from(data)
    )
    end = START + length
    if magic != MAGIC or version != VERSION or key != digest or len(data) < end:
        return None
    block = data[START:end]
    payload = data[end:] if len(data) < LARGE else cast(bytes, memoryview(data)[end:])
    bound = data[:HEAD] + block
    if data[HEAD:START] != zlib.crc32(payload, zlib.crc32(bound)).to_bytes(4, "big"):
        return None
    return Envelope(kind, codec, id_, created, fresh, expires, cost, retry_at, backoff, block, payload, bound)


def head_of(data: bytes) -> Head | None:
    """Return what the beginning of an envelope says, in *data* that need not be all of it; None if it is not ours.

    Nobody has checked it: it is for a list of what there is, and for no hit.
    """
    if len(data) < START:
        return None
    magic, version, kind, codec, length, *rest, digest = HEADER.unpack_from(data)
    if magic != MAGIC or version != VERSION:
        return None
    block = data[START : START + length]
    return Head(Header(kind, codec, *rest), digest, block if len(block) == length else None)


def end_of(data: bytes) -> float:
    """Return until when anybody needs *data*: for ever, if it is no envelope of ours."""
    if len(data) < START or not data.startswith(MAGIC):
        return inf
    expires_at, _, retry_at = ENDS.unpack_from(data, ENDS_AT)
    return float(max(expires_at, retry_at))  # also while it is being refreshed


def generation_head(name: str) -> bytes:
    """Return what stands before the generation of the tag *name* in a block."""
    return bytes((len(name),)) + name.encode("ascii")


def generations_of(block: bytes) -> list[bytes]:
    """Return the generations in a *block*."""
    generations, position = [], 0
    while position < len(block):
        end = position + 1 + block[position]
        generations.append(block[end : end + GENERATION_SIZE])
        position = end + GENERATION_SIZE
    return generations


def tags_of(block: bytes) -> list[str]:
    """Return the names of the tags in a *block*; none if it is a forger's junk."""
    names, position = [], 0
    while position < len(block):
        end = position + 1 + block[position]
        names.append(block[position + 1 : end])
        position = end + GENERATION_SIZE
    return [name.decode("ascii") for name in names] if all(map(bytes.isascii, names)) else []
