"""What users add to memocache, as type checkers must see it: caches, serializers, classes, tests, listeners."""

import tempfile
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any, assert_type

import pytest

import memocache
from memocache import (
    BackendError,
    Cache,
    CachedFunction,
    Event,
    ForeignCache,
    MemcachedCache,
    Serializer,
    SimpleCache,
    cached,
    subscribe,
    watched,
)
from memocache.testing import BackendContract, assert_cached, assert_computed

# ---- a cache ---------------------------------------------------------------------------------------------------------


class Folder:
    def __init__(self, path: Path) -> None:
        self.path = path

    def get(self, key: str) -> bytes | None:
        try:
            return (self.path / key).read_bytes()
        except FileNotFoundError:
            return None

    def set(self, key: str, data: bytes) -> None:
        (self.path / key).write_bytes(data)

    def delete(self, key: str) -> None:
        (self.path / key).unlink(missing_ok=True)

    def clear(self) -> None:
        for file in self.path.iterdir():
            file.unlink(missing_ok=True)


class FolderCache(ForeignCache):
    def __init__(self, path: Path, default_timeout: float = 300) -> None:
        super().__init__(Folder(path), default_timeout)


class TestFolderCache(BackendContract):
    counts_across_processes = False

    def make_cache(self) -> Cache:
        return FolderCache(Path(tempfile.mkdtemp()))

    def make_peer(self, cache: Cache) -> Cache:
        return cache


folder_cache = FolderCache(Path())
assert_type(folder_cache.get("key"), object)
folder_cache.set("key", {"any": "value"}, timeout=5)
folder_cache.set("key", 1, timeout="wrong")  # type: ignore[arg-type]
with memocache.disabled():
    assert_type(folder_cache.get_dict("a", "b"), dict[str, object])


# ---- a serializer ----------------------------------------------------------------------------------------------------


class Text(Serializer):
    codec = 128

    def dumps(self, value: object, context: bytes) -> bytes:
        return str(value).encode()

    def loads(self, data: bytes, context: bytes) -> object:
        return data.decode()


MemcachedCache(serializer=Text())
MemcachedCache(serializer=Text)  # type: ignore[arg-type]
MemcachedCache(serializer="text")  # type: ignore[arg-type]


class Money:
    def __init__(self, amount: Decimal, currency: str) -> None:
        self.amount = amount
        self.currency = currency


memocache.keys.register(Money, lambda money: (money.amount, money.currency))
memocache.keys.register(Money, lambda money: money.typo)  # type: ignore[attr-defined]
memocache.serializers.register(Money, lambda money: (money.amount, money.currency), lambda data: Money(*data))
memocache.serializers.register(Money, lambda money: money.typo, lambda data: Money(*data))  # type: ignore[attr-defined]

# ---- tests -----------------------------------------------------------------------------------------------------------


def shard(user_id: int) -> str:
    return f"shard:{user_id % 2}"


@cached(timeout="5m", tags=("user:{user_id}", shard), version=memocache.code())
def profile(user_id: int) -> dict[str, int]:
    return {"id": user_id}


@pytest.fixture
def own_cache(memocache_isolated: SimpleCache) -> Iterator[Cache]:
    with watched() as events:
        yield memocache_isolated
    assert_type(events, list[Event])


def test_profile(own_cache: Cache) -> None:
    with assert_computed(profile, times=1):
        profile(1)
    with assert_cached(profile):
        profile(user_id=1)


# ---- events ----------------------------------------------------------------------------------------------------------


def listen(event: Event) -> None:
    kind: str = event.kind
    print(kind, event)


stop = subscribe(listen, "hit", "miss")
assert_type(stop(), None)
subscribe(listen, "typo")  # type: ignore[arg-type]
memocache.typo  # type: ignore[attr-defined]
memocache.testing_typo()  # type: ignore[attr-defined]


def clear_all(functions: list[CachedFunction[..., object]]) -> None:
    for function in functions:
        try:
            function.uncache_all()
        except BackendError as error:
            assert_type(error.args, tuple[Any, ...])


# ---- figures ---------------------------------------------------------------------------------------------------------


def slowest(url: str) -> list[tuple[str, float, float | None]]:
    with memocache.stats.share(url, every=5) as sharing:
        assert_type(sharing.flush(), bool)
    figures = memocache.stats.read(url)
    assert_type(figures[0].minutes, tuple[memocache.Info, ...])
    return [(each.function, each.slowest, each.totals.hit_ratio) for each in figures]


memocache.stats.share("redis://localhost", every="10")  # type: ignore[arg-type]
