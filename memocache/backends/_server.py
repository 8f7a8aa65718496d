"""What caches on servers have in common: stamps, and the methods that a user calls."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from memocache import _envelope
from memocache._clock import now as clock
from memocache._entry import Entry
from memocache._envelope import VALUE, Envelope
from memocache.backends._node import STAMP_MAGIC, Address, Node, is_stamp, new_stamp
from memocache.backends._packed import PackedCache, expire_after, is_present
from memocache.backends.base import countable
from memocache.errors import BackendError, BackendUnavailable
from memocache.serializers._codec import ValueCodec

__all__ = ["ATTEMPTS", "ServerCache", "stamps_in"]

ATTEMPTS: Final = 8
MOST_SWAPS: Final = 1000
MOST_ADDRESSES: Final = 10_000


class ServerCache(PackedCache):
    """A cache on servers with `get_many`, `gets`, `cas` and the rest of Node."""

    def __init__(self, default_timeout: float | str | None, key_prefix: str, codec: ValueCodec) -> None:
        super().__init__(default_timeout, key_prefix, codec)
        self._addresses: dict[str, Address] = {}

    @abstractmethod
    def _node(self, key: str) -> Node:
        """Return the server of a wire *key*."""

    @abstractmethod
    def _nodes(self) -> Sequence[Node]:
        """Return all servers."""

    def _check_size(self, wire: str, data: bytes) -> None:
        """Raise ValueTooLarge if the server will not take *data*."""

    def _expire(self, seconds: float) -> int:
        """Return what a server is told for *seconds* to live."""
        return expire_after(seconds)

    def _by_node(self, wires: Iterable[str]) -> list[tuple[Node, list[str]]]:
        """Return the *wires* of each server."""
        groups: dict[int, tuple[Node, list[str]]] = {}
        for wire in wires:
            node = self._node(wire)
            groups.setdefault(id(node), (node, []))[1].append(wire)
        return list(groups.values())

    def _on_all(self, command: Callable[[Node], None]) -> None:
        """Give *command* to every server; raise if one of them did not answer, after the others have done it."""
        failed: BackendError | None = None
        for node in self._nodes():
            try:
                command(node)
            except BackendError as error:
                failed = error
        if failed is not None:
            raise failed

    # ---- where a key is, in every form that is needed ------------------------------------------------------------

    def _address(self, key: str, groups: tuple[str, ...]) -> Address:
        """Return the address of *key* as a member of *groups*: remembered, since making it takes longer than a hit."""
        address = self._addresses.get(key)
        if address is None or address.groups != groups:
            if len(self._addresses) >= MOST_ADDRESSES:
                self._addresses.clear()
            address = self._addresses[key] = self._new_address(key, groups)
        return address

    def _new_address(self, key: str, groups: tuple[str, ...]) -> Address:
        wire = self._wire(key)
        node = self._node(wire)
        return Address(
            key=key,
            wire=wire,
            node=node,
            read=node.reader(wire, [self._wire(group) for group in groups]),
            digest=self._digest(key),
            groups=groups,
            heads=[_envelope.stamp_head(group) for group in groups],
        )

    # ---- stamps --------------------------------------------------------------------------------------------------

    def _plant(self, node: Node, groups: tuple[str, ...]) -> None:
        """Put a stamp for each group that has none."""
        for group in groups:
            name = self._wire(group)
            if not node.add(name, new_stamp(), 0) and not is_stamp(node.get_many([name]).get(name, b"")):
                node.set(name, new_stamp(), 0)  # junk of somebody else's

    # ---- what a user calls ---------------------------------------------------------------------------------------

    def _present(self, key: str, data: bytes | None) -> Envelope | None:
        """Return the envelope of a value that counts now, be it the user's own or a function's."""
        envelope = self._unpack(key, data)
        if envelope is None or envelope.kind != VALUE or not is_present(envelope, clock()):
            return None
        if envelope.stamps:
            names = {group: self._wire(group) for group in _envelope.stamp_names(envelope.stamps)}
            found = self._node(self._wire(key)).get_many(list(names.values()))
            if stamps_in(found, names) != envelope.stamps:
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

    def _raw(self, keys: Sequence[str]) -> dict[str, bytes]:
        by_wire = {self._wire(key): key for key in keys}
        found: dict[str, bytes] = {}
        for node, wires in self._by_node(by_wire):
            found.update((by_wire[wire], data) for wire, data in node.get_many(wires).items())
        return found

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

    def _packed(self, key: str, value: object, lifetime: float) -> bytes:
        now = clock()
        data = self._pack(key, Entry(key, value, now + lifetime), now)
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
        return self.forget(key)

    def clear(self) -> bool:
        """Delete everything on the servers, whoever put it there, whatever its key_prefix."""
        self._on_all(lambda node: node.flush())
        return True

    def inc(self, key: str, delta: int = 1) -> int:
        """Add *delta* to the number under *key* atomically, and return the sum."""
        total = 0

        def counted(old: Entry | None) -> tuple[bytes, int]:
            nonlocal total
            now = clock()
            fresh = now + self.default_lifetime if old is None else old.fresh
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


def stamps_in(found: Mapping[str, bytes], names: Mapping[str, str]) -> bytes | None:
    """Return the block of the stamps that were *found*, for groups by their wire *names*; None if one is missing."""
    stamps = [found.get(name, b"") for name in names.values()]
    if not all(map(is_stamp, stamps)):
        return None
    return _envelope.stamp_block(tuple(names), [stamp[len(STAMP_MAGIC) :] for stamp in stamps])
