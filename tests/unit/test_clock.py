"""One clock: time-machine moves every timeout, too (freezegun does all over the tests)."""

import datetime as dt
import threading

import pytest
import time_machine

from memocache import Cache, MemcachedCache, SimpleCache, cached
from memocache._clock import ticks
from tests.support.servers import MemcachedServer


@pytest.fixture(params=["simple", "memcached"])
def cache(request: pytest.FixtureRequest, memcached: MemcachedServer, prefix: str) -> Cache:
    return SimpleCache() if request.param == "simple" else MemcachedCache([memcached.address], key_prefix=prefix)


def test_time_machine_moves_timeouts_in_threads_too(cache: Cache) -> None:
    computed: list[int] = []
    f = cached(cache=cache, namespace="f", timeout=60)(computed.append)
    with time_machine.travel(dt.datetime(2030, 1, 1, tzinfo=dt.UTC), tick=False) as clock:
        f(1)
        clock.shift(59)
        f(1)
        assert computed == [1]
        clock.shift(2)
        thread = threading.Thread(target=f, args=(1,))
        thread.start()
        thread.join()
        f(1)
        assert computed == [1, 1]


def test_the_clock_of_deadlines_goes_on_while_time_stands_still() -> None:
    with time_machine.travel(dt.datetime(2030, 1, 1, tzinfo=dt.UTC), tick=False):
        before = ticks()
        while ticks() == before:
            pass
