"""What a cache on servers asks of a server: Node; and Address, all that is needed to ask it for one key."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from memocache._entry import STAMP_SIZE

__all__ = ["STAMP_MAGIC", "Address", "Node", "is_stamp", "new_stamp"]

STAMP_MAGIC: Final = b"\xf1ms"


class Node(Protocol):
    """One server.

    Every method raises BackendUnavailable if it does not answer properly, and ValueTooLarge if it refuses a size.
    """

    def get_many(self, keys: Sequence[str]) -> Mapping[str, bytes]:
        """Return what is under *keys*, in one round trip."""

    def reader(self, keys: Sequence[str]) -> Callable[[], Sequence[bytes | None]]:
        """Return a function that reads what is under *keys*, in their order, in one round trip."""

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


@dataclass(frozen=True, slots=True)
class Address:
    """All that is needed to ask for a key and to know its answer."""

    key: str
    wire: str
    node: Node
    read: Callable[[], Sequence[bytes | None]]  # the key's data, and its groups' stamps
    digest: bytes
    groups: tuple[str, ...]
    heads: list[bytes]  # what stands before the stamps of the groups in a block

    def ask(self) -> tuple[bytes | None, bytes | None]:
        """Return what is under the key, and the block of its groups' stamps, in one round trip."""
        data, *stamps = self.read()
        block = b""
        for head, stamp in zip(self.heads, stamps, strict=True):
            if stamp is None or not is_stamp(stamp):
                return data, None
            block += head + stamp[len(STAMP_MAGIC) :]
        return data, block


def is_stamp(data: bytes) -> bool:
    """Return whether *data* is the stamp of a group."""
    return len(data) == len(STAMP_MAGIC) + STAMP_SIZE and data.startswith(STAMP_MAGIC)


def new_stamp() -> bytes:
    """Return a stamp that no group ever had."""
    return STAMP_MAGIC + os.urandom(STAMP_SIZE)
