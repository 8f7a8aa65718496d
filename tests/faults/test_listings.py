"""Lists of what is stored: of many entries, on servers that go down meanwhile, and on those that do not tell."""

import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from memocache import Cache, MemcachedCache, RedisCache, SQLiteCache
from memocache.backends import memcached
from memocache.backends._listing import Listing
from memocache.cli import main
from memocache.errors import BackendError, BackendUnavailable
from tests.support.redis_servers import RedisServer
from tests.support.servers import MemcachedBinary, MemcachedServer, Server

MANY = 12_000
AT_ONCE = 1000
ENOUGH = 7 * 2**19  # bytes, for a page of the one that has the largest


def fill(cache: Cache) -> None:
    for start in range(0, MANY, AT_ONCE):
        cache.set_many({f"key {number}": number for number in range(start, start + AT_ONCE)}, 600)


Start = Callable[..., tuple[Cache, Server]]


@pytest.fixture
def start(redis_binary: str, memcached_binary: MemcachedBinary) -> Iterator[Start]:
    """Starts a server of this test's own; returns a cache on it, too."""
    with ExitStack() as servers:

        def start(kind: str, *options: str) -> tuple[Cache, Server]:
            if kind == "redis":
                redis = servers.enter_context(RedisServer(*options, binary=redis_binary))
                return RedisCache(redis.url, timeout=10), redis
            server = MemcachedServer(binary=memcached_binary)
            server._options += options
            servers.enter_context(server)
            return MemcachedCache([server.address], timeout=10), server

        yield start


@pytest.mark.parametrize("kind", ["redis", "memcached", "sqlite"])
def test_a_long_list_takes_no_more_memory_than_a_page(kind: str, start: Start, tmp_path: Path) -> None:
    cache = SQLiteCache(tmp_path / "own" / "cache.db") if kind == "sqlite" else start(kind)[0]
    fill(cache)

    def peak(read: Callable[[Listing], object]) -> int:
        listing = cache.listing(limit=MANY)
        tracemalloc.start()
        try:
            read(listing)
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    counts: list[int] = []
    needed = peak(lambda listing: counts.append(sum(1 for _ in listing)))
    assert needed < ENOUGH
    assert counts == [MANY] or (kind == "memcached" and counts[0] > 0.9 * MANY)  # it leaves out what is being read
    if kind == "sqlite":
        assert peak(list) > 5 * needed  # as whoever held all of it would need
    listing = cache.listing(limit=3)
    assert len(list(listing)) == 3
    assert listing.others == MANY - 3


@pytest.mark.parametrize("kind", ["redis", "memcached"])
def test_a_server_that_goes_down_in_the_middle(
    kind: str, start: Start, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, server = start(kind)
    fill(cache)
    lines: list[str] = []

    def say(line: str, style: str = "") -> None:
        if not lines:
            server.kill()
        lines.append(line)

    url = f"unix://{server.address}?timeout=10" if kind == "redis" else f"memcached://{server.address}?timeout=10"
    monkeypatch.setattr("memocache._terminal.Terminal.say", lambda self, line, style="": say(line))
    assert main(["ls", "--cache", url, "--limit", "0"]) == 1
    assert 1 < len(lines) < MANY
    assert lines[-1].startswith(f"memocache ls: {kind} at {server.address} failed: ")


def test_what_memcached_dumps_twice_is_told_of_once(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    # As it does with an item that moves from one of its queues to another meanwhile.
    cache, _ = start("memcached")
    cache.set_many({"a": 1, "b": 2})
    items = memcached.Server.items
    monkeypatch.setattr(memcached.Server, "items", lambda self, start: iter(2 * list(items(self, start))))
    assert sorted(entry.key for entry in cache.listing()) == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "answer"),
    [(["-X"], "ERROR metadump not allowed"), (["-o", "no_lru_crawler"], "CLIENT_ERROR lru crawler disabled")],
)
def test_a_memcached_that_does_not_tell_its_keys(options: list[str], answer: str, start: Start) -> None:
    cache, server = start("memcached", *options)
    with pytest.raises(BackendError) as refused:
        next(cache.listing())
    assert not isinstance(refused.value, BackendUnavailable)
    assert str(refused.value) == (
        f"memcached at {server.address} does not tell its keys ({answer}); start it without -X and without "
        "-o no_lru_crawler, in version 1.4.31 or later"
    )
    assert cache.set("a", 1)  # it is not left alone for that
    assert cache.get("a") == 1


def test_what_others_have_put_there_is_left_out(start: Start) -> None:
    redis_cache, redis = start("redis")
    assert isinstance(redis, RedisServer)
    with redis.client() as client:
        for name in (b"memocache:junk", b"memocache:\xff\xfe", b"memocache:v1:f:" + b"0" * 32):
            client.set(name, b"\xf1mc" + b"\xff" * 200)
        client.rpush("memocache:list", "x")
        client.hset("memocache:hash", "x", "y")
        client.set("memocache:empty", "")
    redis_cache.set("ours", 1)
    assert [entry.key for entry in redis_cache.listing()] == ["ours"]
    cache, server = start("memcached")
    assert isinstance(server, MemcachedServer)
    with server.connect() as stream, stream.makefile("rwb") as file:
        for name in (b"junk", b"\xff\xfe", b"v1:f:" + b"0" * 32, b"size=1"):
            file.write(b"set %b 0 0 4\r\n\xf1mc\x02\r\n" % name)
            file.flush()
            assert file.readline() == b"STORED\r\n"
    cache.set("ours", 1)
    assert [entry.key for entry in cache.listing()] == ["ours"]


@pytest.mark.parametrize("kind", ["redis", "memcached"])
def test_what_is_listed_by_the_digest_of_its_key_is_forgotten_by_that(kind: str, start: Start) -> None:
    cache, _ = start(kind)
    cache.set_many({"a b": 1, "a c": 2})
    listing = cache.listing()
    found = [entry.key for entry in listing]
    assert [key[:1] for key in found] == ["#", "#"]
    assert listing.forget(found[0])
    (left,) = cache.listing()
    assert left.key == found[1]
    assert cache.get_many("a b", "a c") in ([1, None], [None, 2])
    assert not listing.forget(found[0])
