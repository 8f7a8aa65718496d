"""What a cache on servers asks of a server: Node; and Address, all that is needed to ask it for one key."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, TypeAlias

from memocache._envelope import STAMP_SIZE, Envelope, unpack

__all__ = [
    *("LONGEST_REMEMBERED", "STAMP_MAGIC", "Address", "Answer", "Node", "Seen"),
    *("block_of", "is_stamp", "new_stamp"),
]

STAMP_MAGIC: Final = b"\xf1ms"
LONGEST_REMEMBERED: Final = 1024  # bytes of an answer

Answer: TypeAlias = tuple[bytes | None, Sequence[bytes | None]]
"""What is under a key, and under others."""
Read: TypeAlias = Callable[[], Answer]
Seen: TypeAlias = tuple[bytes | None, Envelope | None, bytes | None]
"""What is under a key: the data, the envelope in it if that counts, and the block of the present stamps, if all are."""


class Node(Protocol):
    """One server.

    Every method raises BackendUnavailable if it does not answer properly, and ValueTooLarge if it refuses a size.
    """

    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is under *keys*, in one round trip."""

    def reader(self, key: str, others: Sequence[str]) -> Read:
        """Return a function that reads what is under *key* and, in their order, under *others*, in one round trip.

        While the answer is what it was the last time, the function may return the same object.
        """

    def gets(self, key: str, *, urgent: bool = False) -> tuple[bytes | None, object]:
        """Return what is under *key*, and the id with which to swap it; *urgent*: even if it is left alone now."""

    def add(self, key: str, data: bytes, expire: int) -> bool:
        """Store *data* if there is nothing under *key*."""

    def cas(self, key: str, data: bytes, swap: object, expire: int) -> bool:
        """Store *data* if what is under *key* is still what *swap* was read with."""

    def set(self, key: str, data: bytes, expire: int) -> None:
        """Store *data*."""

    def delete(self, key: str) -> bool:
        """Delete what is under *key*; acknowledged."""

    def flush(self) -> None:
        """Delete everything."""


@dataclass(slots=True)
class Address:
    """All that is needed to ask for a key and to know its answer."""

    key: str
    wire: str
    node: Node
    read: Read  # the key's data, and its groups' stamps
    digest: bytes
    groups: tuple[str, ...]
    heads: list[bytes]  # what stands before the stamps of the groups in a block
    _last: "tuple[Answer, Seen] | None" = None  # what was answered the last time, and what that means

    def ask(self) -> "Seen":
        """Return what is under the key, and the block of its groups' stamps, in one round trip."""
        answer = self.read()
        last = self._last
        if last is not None and last[0] is answer:
            return last[1]
        data, stamps = answer
        block = block_of(self.heads, stamps)
        envelope = None if data is None else unpack(data, self.digest)
        counts = envelope is not None and envelope.stamps == block
        seen = data, envelope if counts else None, block
        # Long ones are not: there are many addresses.
        self._last = (answer, seen) if data is None or len(data) <= LONGEST_REMEMBERED else None
        return seen


def block_of(heads: Sequence[bytes], stamps: Sequence[bytes | None]) -> bytes | None:
    """Return the block of *stamps*, each with its head before it; None if one is missing."""
    block = b""
    for head, stamp in zip(heads, stamps, strict=True):
        if stamp is None or not is_stamp(stamp):
            return None
        block += head + stamp[len(STAMP_MAGIC) :]
    return block


def is_stamp(data: bytes) -> bool:
    """Return whether *data* is the stamp of a group."""
    return len(data) == len(STAMP_MAGIC) + STAMP_SIZE and data.startswith(STAMP_MAGIC)


def new_stamp() -> bytes:
    """Return a stamp that no group ever had."""
    return STAMP_MAGIC + os.urandom(STAMP_SIZE)
