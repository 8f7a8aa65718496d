"""How often a server is asked, and what becomes of the keys of several servers."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
from pymemcache import Client

from memocache import BackendUnavailable, MemcachedCache, UncacheFailed, _clock, cached, uncache_tag
from tests.faults.kinds import Memcached
from tests.support.faults import FaultProxy, Refuse
from tests.support.faulty import counting
from tests.support.servers import MemcachedServer


@pytest.fixture
def kind() -> type[Memcached]:
    return Memcached


# ---- one server: round trips -----------------------------------------------------------------------------------------


@pytest.fixture
def asked(proxy: FaultProxy) -> Callable[[Callable[[], object]], str]:
    """Does something and returns the commands that it took."""

    def commands(do: Callable[[], object]) -> str:
        before = len(proxy.requests)
        do()
        return " ".join(line.split()[0].decode() for line in proxy.requests[before:])

    return commands


def test_the_round_trips_of_a_function(proxy: FaultProxy, prefix: str, asked: Callable[..., str]) -> None:
    f = counting(MemcachedCache([proxy.address], key_prefix=prefix))
    assert asked(lambda: f(1)) == "get add get add gets cas"  # with the function's very first generation
    for _ in range(3):
        assert asked(lambda: f(1)) == "get"
    assert asked(lambda: f(2)) == "get add gets cas"
    assert asked(lambda: f.peek(2)) == "get"
    assert asked(lambda: f.uncache(2)) == "delete delete"  # sent together
    assert asked(lambda: f.refresh(1)) == "get gets cas"
    assert asked(lambda: f.put(9, 1)) == "get gets cas"
    assert asked(lambda: f.put(9, 3)) == "get add gets cas"
    assert asked(f.uncache_all) == "set"
    assert asked(lambda: f(1)) == "get gets cas gets cas"  # what is there does not count, and is swapped for a marker
    assert asked(lambda: f(1)) == "get"
    assert asked(lambda: (f.info(), f.key(1), f.cache)) == ""


def test_a_hit_on_none_is_one_round_trip(proxy: FaultProxy, prefix: str, asked: Callable[..., str]) -> None:
    @cached(cache=MemcachedCache([proxy.address], key_prefix=prefix), namespace="f")
    def f() -> None:
        pass

    f()
    assert asked(f) == "get"


def test_a_result_that_is_not_stored_gives_its_lease_back(
    proxy: FaultProxy, prefix: str, asked: Callable[..., str]
) -> None:
    @cached(cache=MemcachedCache([proxy.address], key_prefix=prefix), namespace="f", unless=lambda result: True)
    def f() -> None:
        pass

    f()
    assert asked(f) == "get add gets cas"


def test_the_round_trips_of_the_users_methods(proxy: FaultProxy, prefix: str, asked: Callable[..., str]) -> None:
    cache = MemcachedCache([proxy.address], key_prefix=prefix)
    f = counting(cache)
    f(1)
    assert asked(lambda: cache.set("k", 1)) == "set"
    assert asked(lambda: cache.get("k")) == "get"
    assert asked(lambda: cache.has("k")) == "get"
    assert asked(lambda: cache.get_many(*map(str, range(100)))) == "get"
    assert asked(lambda: cache.get_dict("k", "l")) == "get"
    assert asked(lambda: cache.inc("k")) == "gets cas"
    assert asked(lambda: cache.add("k", 1)) == "gets"
    assert asked(lambda: cache.add("l", 1)) == "gets add"
    assert asked(lambda: cache.delete("k")) == "delete"
    assert asked(lambda: cache.set("k", 1, -1)) == "delete"
    assert asked(lambda: cache.get(f.key(1))) == "get get"  # and the generation that it was made under
    assert asked(lambda: cache.get_many()) == ""


# ---- three servers ---------------------------------------------------------------------------------------------------


class Three:
    """Three servers, each behind a proxy that can make it disappear and keeps what it holds."""

    def __init__(self, start: Callable[..., MemcachedServer], client_for: Callable[..., Client]) -> None:
        self.servers = [start() for _ in range(3)]
        self.proxies = [FaultProxy(server.address, unix=True) for server in self.servers]
        self.plain = [client_for(server.address) for server in self.servers]
        self.addresses = [proxy.address for proxy in self.proxies]
        self.cache = MemcachedCache(self.addresses)

    def homes(self, key: str) -> list[int]:
        """Return the servers that have something under *key*."""
        return [number for number, plain in enumerate(self.plain) if plain.get(key) is not None]

    def requests(self) -> int:
        return sum(len(proxy.requests) for proxy in self.proxies)


@pytest.fixture
def three(memcached_factory: Any, client_for: Any) -> Iterator[Three]:
    three = Three(memcached_factory, client_for)
    yield three
    for proxy in three.proxies:
        proxy.close()


KEYS = range(60)


def test_every_key_has_one_home(three: Three) -> None:
    f = counting(three.cache)
    results = [f(x) for x in KEYS]
    homes = [three.homes(f.key(x)) for x in KEYS]
    assert {len(each) for each in homes} == {1}
    found = [each[0] for each in homes]
    # 20 are due to each, give or take 3.7: fewer than 4 would be strange.
    assert all(found.count(number) > 3 for number in range(3))
    for others in itertools.permutations(three.addresses):  # another process, in another order
        g = counting(MemcachedCache(others))
        assert [g(x) for x in KEYS] == results
        assert g.info().hits == len(KEYS)


def test_a_hit_is_one_round_trip_to_one_server(three: Three) -> None:
    f = counting(three.cache)
    for x in KEYS:
        f(x)
    before = three.requests()
    for x in KEYS:
        f(x)
    assert three.requests() - before == len(KEYS)


def test_many_keys_are_one_round_trip_to_each_server(three: Three) -> None:
    for x in KEYS:
        three.cache.set(str(x), x)
    before = three.requests()
    assert three.cache.get_many(*map(str, KEYS)) == list(KEYS)
    assert three.requests() - before == 3


def test_a_server_that_is_down_is_a_miss_for_its_keys_only(three: Three, ticks: Callable[[float], None]) -> None:
    f = counting(three.cache)
    before = [f(x) for x in KEYS]
    home = {x: three.homes(f.key(x))[0] for x in KEYS}
    items = [server.stats()["curr_items"] for server in three.servers]
    three.proxies[0].fault = Refuse()
    for _ in range(2):
        for x in KEYS:
            assert (f(x) == before[x]) == (home[x] != 0)
    # Nothing was written to another server instead: there it would be found later, and be old.
    assert [server.stats()["curr_items"] for server in three.servers] == items
    three.proxies[0].fault = None
    ticks(31)
    assert [f(x) for x in KEYS] == before
    assert [server.stats()["curr_items"] for server in three.servers] == items


def test_uncache_reaches_the_keys_own_server_or_raises(three: Three) -> None:
    f = counting(three.cache)
    for x in KEYS:
        f(x)
    home = {x: three.homes(f.key(x))[0] for x in KEYS}
    three.proxies[0].fault = Refuse()
    for x in KEYS:
        if home[x] == 0:
            with pytest.raises(UncacheFailed):
                f.uncache(x)
        else:
            assert f.uncache(x)
    three.proxies[0].fault = None
    for x in KEYS:
        assert three.homes(f.key(x)) == ([0] if home[x] == 0 else [])


def test_uncache_all_forgets_all_that_it_can_and_raises_for_the_rest(
    three: Three, ticks: Callable[[float], None]
) -> None:
    f = counting(three.cache)
    before = [f(x) for x in KEYS]
    home = {x: three.homes(f.key(x))[0] for x in KEYS}
    three.proxies[0].fault = Refuse()
    with pytest.raises(UncacheFailed) as failure:
        f.uncache_all()
    assert str(failure.value).startswith(
        "counting.<locals>.f: the cache did not acknowledge that its calls were forgotten, "
        f"so that old results may still be served: memcached at {three.addresses[0]} failed: "
    )
    three.proxies[0].fault = None
    ticks(31)
    after = [f(x) for x in KEYS]
    assert all((after[x] == before[x]) == (home[x] == 0) for x in KEYS)
    f.uncache_all()
    assert all(f(x) > max(after) for x in KEYS)


@pytest.mark.parametrize("down", range(3))
def test_clear_clears_all_that_it_can_and_raises_for_the_rest(down: int, three: Three) -> None:
    for x in KEYS:
        three.cache.set(str(x), x)
    three.proxies[down].fault = Refuse()
    with pytest.raises(BackendUnavailable):
        three.cache.clear()
    three.proxies[down].fault = None
    assert {home for x in KEYS for home in three.homes(str(x))} == {down}


def test_a_stamp_that_one_server_has_lost_is_void_there_only(three: Three) -> None:
    f = counting(three.cache)
    before = [f(x) for x in KEYS]
    home = {x: three.homes(f.key(x))[0] for x in KEYS}
    for proxy, plain in zip(three.proxies, three.plain, strict=True):
        get = next(line for line in proxy.requests if line.startswith(b"get "))
        if proxy is three.proxies[0]:
            plain.delete(get.split()[2])  # as if it had been evicted
    for _ in range(2):
        after = [f(x) for x in KEYS]
        assert all((after[x] == before[x]) == (home[x] != 0) for x in KEYS)
    assert f.info().misses == len(KEYS) + list(home.values()).count(0)


def test_servers_that_have_all_stopped_cost_one_deadline(memcached_factory: Any) -> None:
    servers = [memcached_factory() for _ in range(6)]
    cache, fresh = (MemcachedCache([server.address for server in servers], timeout=0.5) for _ in range(2))
    f = cached(cache=cache, namespace="f", tags=("all",))(lambda x: x)
    calls = [(x,) for x in range(60)]
    f.many(calls)
    for server in servers:
        server.pause()
    steps: list[tuple[Callable[[], object], type[Exception] | None]] = [
        (lambda: f.many(calls), None),
        (lambda: f.uncache(1), UncacheFailed),
        (f.uncache_all, UncacheFailed),
        (lambda: uncache_tag("all", cache), UncacheFailed),
        (cache.clear, BackendUnavailable),
        (lambda: fresh.get_many(*map(str, range(60))), BackendUnavailable),
    ]
    try:
        for do, expected in steps:
            began = _clock.ticks()
            with pytest.raises(expected) if expected else nullcontext():
                do()
            assert _clock.ticks() - began < 0.5 + 1
    finally:
        for server in servers:
            server.resume()
