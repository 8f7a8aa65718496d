"""A cache that can only be awaited, as if its methods blocked: each in an event loop of its own."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from memocache.backends.base import Busy, Cache, Entry, Lease, Stale

__all__ = ["Blocking"]


class Blocking(Cache):
    """The cache *inner*, for tests that call its methods from ordinary functions."""

    def __init__(self, inner: Cache) -> None:
        super().__init__(inner.default_timeout)
        self.inner = inner
        self.shared = inner.shared  # type: ignore[misc]

    def _run(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return asyncio.run(self.inner.awaited(call, arguments))

    def get(self, key: str) -> object:
        return self._run(self.inner.get, key)

    def get_dict(self, *keys: str) -> dict[str, object]:
        return dict(self._run(self.inner.get_dict, *keys))

    def set(self, key: str, value: object, timeout: float | None = None) -> bool:
        return bool(self._run(self.inner.set, key, value, timeout))

    def add(self, key: str, value: object, timeout: float | None = None) -> bool:
        return bool(self._run(self.inner.add, key, value, timeout))

    def delete(self, key: str) -> bool:
        return bool(self._run(self.inner.delete, key))

    def has(self, key: str) -> bool:
        return bool(self._run(self.inner.has, key))

    def clear(self) -> bool:
        return bool(self._run(self.inner.clear))

    def inc(self, key: str, delta: int = 1) -> int:
        return int(self._run(self.inner.inc, key, delta))

    def look(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Entry | Stale | Lease | Busy | None:
        return self._run(self.inner.look, key, groups, now, lease)  # type: ignore[no-any-return]

    def take(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Lease | None:
        return self._run(self.inner.take, key, groups, now, lease)  # type: ignore[no-any-return]

    def fill(self, lease: Lease, entry: Entry | None) -> bool:
        return bool(self._run(self.inner.fill, lease, entry))

    def forget(self, key: str) -> bool:
        return bool(self._run(self.inner.forget, key))

    def forget_group(self, group: str) -> None:
        self._run(self.inner.forget_group, group)

    def peek(self, keys: Sequence[str], groups: Sequence[tuple[str, ...]], now: float) -> list[Entry | None]:
        return list(self._run(self.inner.peek, keys, groups, now))
