"""RedisCache on a real server: round trips, what lies there and for how long, what is lost and what is not ours."""

import asyncio
import contextlib
import os
from collections.abc import Callable, Iterator
from time import time
from typing import Any

import pytest
import redis

from memocache import MISSING, BackendUnavailable, RedisCache, ValueTooLarge, cached, uncache_tag
from memocache.backends.base import Lease, call_verb
from memocache.backends.redis import connection
from memocache.backends.redis.resp import Request
from tests.support.faults import FaultProxy
from tests.support.redis_servers import RedisServer
from tests.support.threads import at_once


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[FaultProxy]:
    with FaultProxy(redis_server.address, unix=True) as proxy:
        yield proxy


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator["redis.Redis"]:
    with redis_server.client() as client:
        yield client


@pytest.fixture
def cache(redis_server: RedisServer, prefix: str) -> RedisCache:
    return RedisCache(redis_server.url, key_prefix=prefix, timeout=10)


# ---- round trips -----------------------------------------------------------------------------------------------------


@pytest.fixture
def behind_proxy(proxy: FaultProxy, prefix: str) -> RedisCache:
    return RedisCache(f"unix://{proxy.address}", key_prefix=prefix, timeout=10)


@pytest.fixture
def sent(proxy: FaultProxy) -> Callable[..., list[str]]:
    """Does something and returns the words of the commands that it took."""

    def words(do: Callable[..., object], *args: object) -> list[str]:
        before = len(proxy.requests)
        do(*args)
        return [line.split()[0].decode() for line in proxy.requests[before:]]

    return words


@pytest.mark.parametrize("kind", ["function", "coroutine"])
def test_a_hit_is_one_round_trip_and_a_miss_three(
    behind_proxy: RedisCache, sent: Callable[..., list[str]], kind: str
) -> None:
    decorate = cached(cache=behind_proxy, namespace="f", tags=("a:{x}", "all"))
    with asyncio.Runner() as runner:
        if kind == "function":
            f: Any = decorate(lambda x: x)
        else:

            async def g(x: int) -> int:
                return x

            function: Any = decorate(g)

            def f(x: int) -> Any:
                return runner.run(function(x))

        f(0)
        # a generation for the tag that nobody has had before is one more
        assert sent(f, 1) == ["MGET", "SET", "MGET", "EVALSHA", "EVALSHA"]
        assert sent(f, 1) == ["MGET"]
        uncache = f.uncache if kind == "function" else lambda x: runner.run(function.uncache(x))
        assert sent(uncache, 1) == ["DEL", "DEL", "DEL", "ECHO"]  # sent together
        assert sent(f, 1) == ["MGET", "EVALSHA", "EVALSHA"]


def test_a_call_of_a_version_takes_as_many_round_trips(
    behind_proxy: RedisCache, sent: Callable[..., list[str]]
) -> None:
    f = cached(cache=behind_proxy, namespace="f", version=2)(lambda x: x)
    f(0)
    assert sent(f, 1) == ["MGET", "SET", "MGET", "EVALSHA", "EVALSHA"]  # the generation of the call is a new one
    assert sent(f, 1) == ["MGET"]
    assert sent(f.uncache, 1) == [*["DEL"] * 5, "ECHO"]  # sent together


def test_many_at_once_are_one_round_trip(behind_proxy: RedisCache, sent: Callable[..., list[str]]) -> None:
    cache = behind_proxy
    f = cached(cache=cache, namespace="f")(lambda x: x)
    keys = {str(x): x for x in range(5)}
    cache.get("k")
    assert sent(cache.set_many, keys) == ["DEL", "SET"] * 5  # sent together
    assert sent(cache.get_many, *keys) == ["GET"] * 5
    assert sent(cache.delete_many, *keys) == [*["DEL", "DEL"] * 5, "ECHO"]
    f(1)
    assert sent(f.many, [(1,), (1,)]) == ["MGET"]
    assert sent(f.uncache_all) == ["DEL", "ECHO"]
    assert cache.set_many({}) == cache.delete_many() == cache.get_many() == []


# ---- what lies there -------------------------------------------------------------------------------------------------


def test_keys_say_whose_they_are(cache: RedisCache, client: "redis.Redis", prefix: str) -> None:
    f = cached(cache=cache, namespace="shop")(lambda x: x)
    f(1)
    cache.set("k", 1)
    (generation,) = set(client.keys(f"*{prefix}*")) - {f"memocache:{prefix}{name}".encode() for name in ("k", f.key(1))}
    assert generation.startswith(f"memocache:{prefix}".encode())


def test_nothing_stays_for_ever_that_was_not_told_to(cache: RedisCache, client: "redis.Redis", prefix: str) -> None:
    f = cached(cache=cache, timeout=10_000, namespace="f")(lambda x: x)
    f(1)
    cache.set("k", 1, timeout=60)
    assert isinstance(call_verb(cache.look, "l", (), 1e9, 30), Lease)
    left = {key: client.pttl(key) for key in client.keys(f"memocache*:{prefix}*")}
    assert len(left) == 4
    assert min(left.values()) > 29_000
    # A generation is kept for longer than what was made under it.
    assert sorted(left.values())[-2] > 9_990_000 < sorted(left.values())[-1] - 9_000_000
    forever = cached(cache=cache, timeout=None, namespace="g")(lambda x: x)
    forever(1)
    assert sum(client.pttl(key) == -1 for key in client.keys(f"memocache:{prefix}*")) == 2


@pytest.mark.parametrize("timeout", [0.001, 86400 * 365 * 1000, 10**15])
def test_a_timeout_may_be_short_or_long(cache: RedisCache, timeout: float) -> None:
    cache.set("k", 1, timeout=10**9)
    assert cache.get("k") == 1
    f = cached(cache=cache, timeout=timeout, namespace="f")(lambda x: x)
    f(1)
    assert (f.info().stored, f.info().failures) == (1, 0)


def test_a_group_that_is_forgotten_leaves_no_stamp(cache: RedisCache, client: "redis.Redis", prefix: str) -> None:
    f = cached(cache=cache, tags=("x:{x}",), namespace="f")(lambda x: x)
    for x in range(20):
        f(x)
    before = len(client.keys(f"memocache:{prefix}*"))
    for x in range(20):
        uncache_tag(f"x:{x}", cache)
    assert len(client.keys(f"memocache:{prefix}*")) == before - 20


@pytest.mark.parametrize("what", ["entry", "generations", "everything", "scripts"])
def test_what_is_evicted_is_computed_again_and_nothing_comes_back(
    cache: RedisCache, client: "redis.Redis", prefix: str, what: str
) -> None:
    calls: list[int] = []

    @cached(cache=cache, namespace="f")
    def f(x: int) -> int:
        calls.append(x)
        return len(calls)

    assert f(1) == 1
    entry = f"memocache:{prefix}{f.key(1)}".encode()
    if what == "scripts":
        client.script_flush()
        f.uncache(1)
    else:
        for key in client.keys(f"memocache*:{prefix}*"):
            if what == "everything" or (key == entry) == (what == "entry"):
                client.delete(key)
    assert [f(1), f(1)] == [2, 2]
    assert f.info().failures == 0


def test_an_old_entry_that_is_put_back_does_not_count(cache: RedisCache, client: "redis.Redis", prefix: str) -> None:
    """As a replica does that has missed something: it would need the generation of then, too."""
    f = cached(cache=cache, namespace="f")(lambda x: x)
    f(1)
    name = f"memocache:{prefix}{f.key(1)}"
    old = client.get(name)
    f.uncache_all()
    client.set(name, old)
    assert f.peek(1) is MISSING


# ---- what is not ours ------------------------------------------------------------------------------------------------


def test_clear_leaves_what_others_have(redis_server: RedisServer, client: "redis.Redis", prefix: str) -> None:
    cache, other = (RedisCache(redis_server.url, key_prefix=prefix + each) for each in ("a*[x]?:", "b:"))
    client.set(f"{prefix}a*[x]?:k", "somebody's")
    client.set(f"memocache:{prefix}aXXx:k", "it looks like ours")
    for each in (cache, other):
        each.set_many({str(x): x for x in range(2500)})
    lease = call_verb(cache.look, "led", (), 1e9, 60)
    assert isinstance(lease, Lease)
    assert cache.clear() is True
    assert not any(cache.has(str(x)) for x in range(0, 2500, 100))
    assert all(other.has(str(x)) for x in range(0, 2500, 100))
    assert client.get(f"{prefix}a*[x]?:k") == b"somebody's"
    assert client.get(f"memocache:{prefix}aXXx:k") == b"it looks like ours"
    assert call_verb(cache.fill, lease, None) is False


@pytest.mark.parametrize("junk", ["text", "list", "long"])
def test_junk_under_our_names_is_replaced(cache: RedisCache, client: "redis.Redis", prefix: str, junk: str) -> None:
    f = cached(cache=cache, namespace="f")(lambda x: x)
    f(1)
    for name in client.keys(f"memocache:{prefix}*"):
        client.delete(name)
        if junk == "list":
            client.rpush(name, "x")
        else:
            client.set(name, "junk" * (1 if junk == "text" else 50))
    client.set(f"memocache-lease:{prefix}{f.key(1)}", "junk")
    assert [f(1), f(1)] == [1, 1]
    info = f.info()
    assert (info.hits, info.misses, info.failures) == (1, 2, 0)
    assert f.uncache(1) is True


# ---- limits ----------------------------------------------------------------------------------------------------------


def test_a_value_that_is_too_large_is_refused(redis_server: RedisServer, prefix: str) -> None:
    cache = RedisCache(redis_server.url, key_prefix=prefix, max_item_size=10_000)
    with pytest.raises(ValueTooLarge) as refused:
        cache.set("k", os.urandom(20_000))
    assert str(refused.value).endswith("bytes is larger than max_item_size=10000, so it is not stored")
    f = cached(cache=cache, namespace="f")(os.urandom)
    assert len(f(20_000)) == len(f(20_000)) == 20_000
    assert (f.info().misses, f.info().failures) == (2, 2)


def test_a_large_value_comes_back(cache: RedisCache) -> None:
    value = ["x" * 7_000_000, "y"]
    cache.set("k", value)
    assert cache.get_many("k", "nothing", "k") == [value, None, value]


@pytest.mark.parametrize("piece", [1, 7, 1000])
def test_a_reply_may_come_in_any_pieces(cache: RedisCache, piece: int, monkeypatch: pytest.MonkeyPatch) -> None:
    values: dict[str, object] = {f"k{n}": "\r\n$-1\r\n" * n for n in range(30)}
    cache.set_many(values)
    monkeypatch.setattr(connection, "RECEIVE", piece)
    keys = ["nothing", *values]
    arguments = keys, [()] * len(keys), time()
    blocked = call_verb(cache.peek, *arguments)
    awaited = asyncio.run(cache.awaited(cache.peek, arguments))
    for found in (blocked, awaited):
        assert [entry and entry.value for entry in found] == [None, *values.values()]
    assert len(list(cache.listing())) == len(values)


@pytest.mark.parametrize("kind", ["thread", "task"])
def test_a_long_reply_is_read_once_whatever_pieces_it_comes_in(
    kind: str, cache: RedisCache, client: "redis.Redis", prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {f"k{n}": "x" * (n % 50) for n in range(3000)} | {"large": "x" * 100_000}
    cache.set_many(values)
    size = sum(map(len, client.mget([f"memocache:{prefix}{key}" for key in values])))
    parse, given = Request.parse, list[int]()
    monkeypatch.setattr(Request, "parse", lambda *words: given.append(len(words[1])) or parse(*words))  # type: ignore[func-returns-value]
    monkeypatch.setattr(connection, "RECEIVE", 1000)
    arguments = (list(values), [()] * len(values), time())
    if kind == "thread":
        found = call_verb(cache.peek, *arguments)
    else:
        found = asyncio.run(cache.awaited(cache.peek, arguments))
    assert {entry.key: entry.value for entry in found} == values
    assert len(given) > 100
    assert sum(given) < 2 * size


def test_a_server_without_room_is_a_cache_that_does_not_take_results(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory("--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
    cache = RedisCache(server.url, timeout=10)
    with server.client() as client:
        for size in (100_000, 1000, 10):
            with contextlib.suppress(redis.OutOfMemoryError):
                for x in range(100_000):
                    client.set(f"fill{size}-{x}", "x" * size)
        with pytest.raises(BackendUnavailable, match="refused a command: OOM"):
            cache.set("k", "v")
        f = cached(cache=cache, namespace="f")(lambda x: x)
        assert [f(1), f(1)] == [1, 1]
        assert f.uncache(1) is False  # and can be forgotten all the same
        f.uncache_all()
        client.flushall()
    assert [f(1), f(1)] == [1, 1]
    assert f.info().hits == 1


def test_a_user_that_may_not_run_scripts_is_told(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory()
    with server.client() as client:
        client.execute_command("ACL SETUSER", "poor", "on", ">p", "~*", "+@all", "-@scripting")
    f = cached(cache=RedisCache(server.url, username="poor", password="p", timeout=10), namespace="f")(lambda x: x)
    assert f(1) == 1
    assert f.info().failures == 1


# ---- a user's own values ---------------------------------------------------------------------------------------------


def test_what_a_user_sets_is_not_overwritten_by_what_is_being_computed(cache: RedisCache) -> None:
    for store in (
        lambda: cache.set("k", "mine"),
        lambda: cache.add("k", "mine"),
        lambda: cache.set_many({"k": "mine"}),
    ):
        cache.delete("k")
        lease = call_verb(cache.look, "k", (), 1e9, 60)
        assert isinstance(lease, Lease)
        store()
        assert call_verb(cache.fill, lease, None) is False
        assert cache.get("k") == "mine"


def test_counting_is_atomic_between_tasks_and_threads(cache: RedisCache) -> None:
    async def count() -> None:
        await asyncio.gather(*[cache.awaited(cache.inc, ("n",)) for _ in range(50)])

    at_once(4, lambda: asyncio.run(count()))
    assert cache.get("n") == 200
