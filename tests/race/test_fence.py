"""The fence, step by step: what was computed before a forgetting is not served after it; and who has none is caught."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from pymemcache import Client

from memocache import Cache, CachedFunction, MemcachedCache, SimpleCache, TieredCache, cached
from tests.support.faults import Fault, FaultProxy
from tests.support.servers import Address, MemcachedServer, wait_until
from tests.support.threads import PATIENCE, Held, start

if TYPE_CHECKING:
    from tests.support.faults import Exchange

FORGETTINGS = ["uncache", "uncache_all", "delete", "clear", "put", "refresh", "set"]
KEY = 7


class Ours:
    """A cached function of the truth, on one cache for those who read and one for those who forget."""

    def __init__(self, reading: Cache, forgetting: Cache) -> None:
        self.truth = 1
        self.held = Held(lambda key: self.truth)
        self.reader = self._on(reading)
        self.writer = self._on(forgetting)

    def _on(self, cache: Cache) -> CachedFunction[[int], int]:
        @cached(cache=cache, namespace="f")
        def f(key: int) -> int:
            return int(self.held(key))

        return f

    def read(self) -> int:
        return self.reader(KEY)

    def forget(self, how: str) -> None:
        match how:
            case "put":
                self.writer.put(self.truth, KEY)
            case "uncache_all":
                self.writer.uncache_all()
            case "uncache" | "refresh":
                getattr(self.writer, how)(KEY)
            case "set":
                self.writer.cache.set(self.writer.key(KEY), self.truth)
            case "delete":
                self.writer.cache.delete(self.writer.key(KEY))
            case "clear":
                self.writer.cache.clear()


class Naive:
    """Get, or compute and set: what most caching decorators do."""

    def __init__(self, get: Callable[[], Any], set_: Callable[[int], Any], delete: Callable[[], Any]) -> None:
        self.truth = 1
        self.held = Held(lambda: self.truth)
        self._get, self._set, self._delete = get, set_, delete

    def read(self) -> int:
        found = self._get()
        if found is None:
            found = self.held()
            self._set(found)
        return int(found)

    def forget(self, how: str) -> None:
        if how in {"put", "set"}:
            self._set(self.truth)
        elif how == "refresh":
            self._set(self.held())
        else:
            self._delete()


def in_process(address: Address) -> Ours:
    cache = SimpleCache()
    return Ours(cache, cache)


def on_memcached(address: Address) -> Ours:
    cache = MemcachedCache([address], timeout=5)
    return Ours(cache, cache)


def on_memcached_elsewhere(address: Address) -> Ours:
    """Two cache objects share nothing but the server, as two processes do."""
    return Ours(MemcachedCache([address], timeout=5), MemcachedCache([address], timeout=5))


def on_tiers(address: Address) -> Ours:
    cache = TieredCache(SimpleCache(), MemcachedCache([address], timeout=5), near_timeout=60)
    return Ours(cache, cache)


def naive_in_process(address: Address) -> Naive:
    values: dict[int, int] = {}
    return Naive(lambda: values.get(KEY), lambda value: values.__setitem__(KEY, value), lambda: values.pop(KEY, None))


def naive_on_memcached(address: Address) -> Naive:
    def ask(command: str, *args: Any) -> Any:
        with closing(Client(address, default_noreply=False)) as client:
            return getattr(client, command)("k", *args)

    return Naive(lambda: ask("get"), lambda value: ask("set", b"%d" % value), lambda: ask("delete"))


@pytest.fixture(scope="module")
def address(memcached_binary: Any) -> Iterator[Address]:
    """Of a server for this module alone: its tests empty it."""
    with MemcachedServer(binary=memcached_binary) as server:
        yield server.address


@pytest.fixture(autouse=True)
def emptied(address: Address) -> None:
    MemcachedCache([address], timeout=5).clear()


on_each_cache = pytest.mark.parametrize(
    "make", [in_process, on_memcached, on_memcached_elsewhere, on_tiers], ids=lambda make: make.__name__
)


def outcome(world: Any, how: str) -> tuple[int, int, int]:
    """Forget while a computation is under way; return what the first reader got, one just after, and one at the end."""
    first = start(world.read)
    world.held.wait()
    world.truth = 2
    world.forget(how)
    second = start(world.read).result(PATIENCE)
    world.held.go()
    return first.result(PATIENCE), second, start(world.read).result(PATIENCE)


@on_each_cache
@pytest.mark.parametrize("how", FORGETTINGS)
def test_a_result_from_before_is_not_stored_after(how: str, make: Callable[..., Ours], address: Address) -> None:
    world = make(address)
    assert outcome(world, how) == (1, 2, 2)
    assert world.held.computed <= 2 + (how == "set")  # the new one is stored
    assert world.reader.info().failures == 0  # that is how it should be


@pytest.mark.parametrize("make", [naive_in_process, naive_on_memcached], ids=lambda make: make.__name__)
@pytest.mark.parametrize("how", FORGETTINGS)
def test_a_naive_cache_is_caught(how: str, make: Callable[..., Naive], address: Address) -> None:
    assert outcome(make(address), how) == (1, 2, 1)


@on_each_cache
@pytest.mark.parametrize("how", FORGETTINGS)
def test_a_refresh_from_before_is_not_stored_after(how: str, make: Callable[..., Ours], address: Address) -> None:
    world = make(address)
    world.held.go()
    assert world.read() == 1
    world.held = Held(lambda key: world.truth)
    refreshing = start(world.reader.refresh, KEY)
    world.held.wait()
    assert world.read() == 1  # readers go on being served
    world.truth = 2
    world.forget(how)
    assert start(world.read).result(PATIENCE) == 2
    world.held.go()
    assert refreshing.result(PATIENCE) == 1
    assert world.read() == 2


@on_each_cache
def test_forgetting_again_and_again_leaves_the_last_computation(make: Callable[..., Ours], address: Address) -> None:
    world = make(address)
    world.held = Held(lambda key: world.truth, times=5)
    readers = []
    for number in range(1, 6):
        world.truth = number
        world.held.entered.clear()
        readers.append(start(world.read))
        world.held.wait()
        if number < 5:
            world.forget("uncache")
    world.held.go()
    assert [reader.result(PATIENCE) for reader in readers] == [1, 2, 3, 4, 5]
    assert world.read() == 5


def test_a_reader_does_not_join_a_flight_from_before(address: Address) -> None:
    with FaultProxy(address, unix=True) as proxy:
        old, new = Held(lambda key: "old"), Held(lambda key: "new")
        here = cached(cache=MemcachedCache([proxy.address], timeout=5), namespace="f")(lambda key: old(key))
        there = cached(cache=MemcachedCache([address], timeout=5), namespace="f")(lambda key: new(key))
        before = start(here, KEY)
        old.wait()
        there.uncache(KEY)
        elsewhere = start(there, KEY)
        new.wait()
        asked = len(proxy.requests)
        after = start(here, KEY)  # it sees the other one's marker, while a flight on the same key is under way here
        assert wait_until(lambda: len(proxy.requests) > asked)
        old.go()
        assert before.result(PATIENCE) == "old"
        new.go()
        assert elsewhere.result(PATIENCE) == after.result(PATIENCE) == here(KEY) == "new"


# ---- at every command ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Around(Fault):
    """Something is done just before the server gets the command, or just after it has answered."""

    do: Callable[[], None]
    after: bool

    def play(self, exchange: "Exchange") -> None:
        if not self.after:
            self.do()
        answer = exchange.ask()
        if self.after:
            self.do()
        exchange.reply(answer)


@pytest.fixture
def proxy(address: Address) -> Iterator[FaultProxy]:
    with FaultProxy(address, unix=True) as proxy:
        yield proxy


def nothing(world: Ours) -> None:
    pass


def entry(world: Ours) -> None:
    world.read()


def known_entry(world: Ours) -> None:
    world.read()
    world.read()


def void_entry(world: Ours) -> None:
    world.read()
    world.writer.uncache_all()


@pytest.mark.parametrize("what", ["call", "refresh"])
@pytest.mark.parametrize("there", [nothing, entry, void_entry], ids=lambda there: there.__name__)
def test_a_forgetting_may_come_between_any_two_commands(
    what: str, there: Callable[[Ours], None], proxy: FaultProxy, address: Address
) -> None:
    commands = (b"get ", b"add ", b"gets ", b"cas ")
    often = (1, 2) if there is void_entry else (1,)  # where a void entry is swapped for a marker, some come twice
    tried = set()
    for how, command, after, times in itertools.product(FORGETTINGS, commands, (False, True), often):
        MemcachedCache([address], timeout=5).clear()
        world = Ours(MemcachedCache([proxy.address], timeout=5), MemcachedCache([address], timeout=5))
        world.held.go()
        world.reader.put(0, 0)  # so that there is a generation
        there(world)

        def change(world: Ours = world, how: str = how, step: Any = (command, after)) -> None:
            tried.add(step)
            world.truth += 1
            world.forget(how)

        proxy.fault = Around(match=command, times=times, do=change, after=after)
        assert (world.read() if what == "call" else world.reader.refresh(KEY)) <= world.truth
        proxy.fault = None
        assert world.read() == world.truth, (how, command, after, times)
    assert len(tried) >= 2


@pytest.mark.parametrize("what", ["call", "refresh"])
def test_in_tiers_too(what: str, proxy: FaultProxy, address: Address) -> None:
    tried = set()
    for there, how, command, after in itertools.product(
        (nothing, entry, known_entry, void_entry), FORGETTINGS, (b"get ", b"add ", b"gets ", b"cas "), (False, True)
    ):
        MemcachedCache([address], timeout=5).clear()
        tiers = TieredCache(SimpleCache(), MemcachedCache([proxy.address], timeout=5), near_timeout=60)
        world = Ours(tiers, tiers)
        world.held.go()
        world.reader.put(0, 0)
        there(world)

        def change(world: Ours = world, how: str = how, step: Any = (there, command, after)) -> None:
            tried.add(step)
            proxy.fault = None
            world.truth += 1
            start(world.forget, how).result(PATIENCE)

        proxy.fault = Around(match=command, times=1, do=change, after=after)
        assert (world.read() if what == "call" else world.reader.refresh(KEY)) <= world.truth
        proxy.fault = None
        assert [world.read(), world.read()] == [world.truth] * 2, (there, how, command, after)
    assert {there for there, *_ in tried} >= {nothing, entry, void_entry}


def test_a_naive_cache_is_caught_there(proxy: FaultProxy) -> None:
    world = naive_on_memcached(proxy.address)
    world.held.go()

    def change() -> None:
        world.truth = 2
        naive_on_memcached(proxy.upstream).forget("delete")

    proxy.fault = Around(match=b"set ", times=1, do=change, after=False)
    world.read()
    assert world.read() == 1


# ---- a server that starts anew ---------------------------------------------------------------------------------------


def test_a_restarted_server_takes_no_result_from_before(own_memcached: MemcachedServer) -> None:
    # The new server counts its cas ids from 1 again: only the id tells the old lease from the new one.
    world = on_memcached_elsewhere(own_memcached.address)
    first = start(world.read)
    world.held.wait()
    own_memcached.restart()
    world.truth = 2
    held, world.held = world.held, Held(lambda key: world.truth)
    reading = start(world.writer, KEY)
    world.held.wait()
    held.go()
    assert first.result(PATIENCE) == 1
    world.held.go()
    assert reading.result(PATIENCE) == 2
    assert world.read() == 2


def test_what_a_lost_stamp_had_made_void_does_not_come_back(address: Address, client_for: Any) -> None:
    with FaultProxy(address, unix=True) as proxy:
        world = on_memcached_elsewhere(proxy.address)
        world.held.go()
        world.read()
        generation = proxy.requests[0].split()[2]
        world.truth = 2
        world.writer.uncache_all()
        client_for(address).delete(generation)  # evicted: the next one must be no earlier one
        assert world.read() == 2
