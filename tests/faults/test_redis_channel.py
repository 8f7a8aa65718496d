"""What near tiers in different processes tell each other over a real Redis."""

import gc
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from memocache import RedisCache, SimpleCache, TieredCache, cached, uncache_tag
from memocache.backends.base import call_verb
from memocache.errors import BackendUnavailable
from tests.support.redis_servers import RedisCluster, RedisServer
from tests.support.servers import wait_until


class Ear:
    """Notes what it hears."""

    def __init__(self, cache: RedisCache) -> None:
        self.heard: list[str | None] = []
        cache.receive(self.heard.append)

    def hears(self, *texts: str | None) -> bool:
        return wait_until(lambda: self.heard[-len(texts) :] == list(texts), 20)


@pytest.fixture(params=["redis_server", "valkey_server", "redis_cluster"])
def url(request: pytest.FixtureRequest) -> str:
    server: RedisServer | RedisCluster = request.getfixturevalue(request.param)
    return server.url


@pytest.fixture
def make(prefix: str) -> Iterator[Callable[..., RedisCache]]:
    made: list[RedisCache] = []

    def cache(url: str, **options: Any) -> RedisCache:
        made.append(RedisCache(url, key_prefix=prefix, timeout=10, **options))
        return made[-1]

    yield cache
    for each in made:
        each.close()


def threads() -> set[threading.Thread]:
    return {thread for thread in threading.enumerate() if thread.name == "memocache channel"}


def test_what_is_announced_is_heard_by_all(url: str, make: Callable[..., RedisCache]) -> None:
    one, other = make(url), make(url)
    ears = [Ear(one), Ear(other)]
    assert all(ear.hears(None) for ear in ears)  # from now on
    ears.append(Ear(one))  # which may come too late to hear of that
    for text in ("a", "schlüssel \udc80\r\n", "", "x" * 200_000):
        call_verb(one.send, text)
        assert all(ear.hears(text) for ear in ears)


def test_another_prefix_hears_nothing(redis_server: RedisServer, make: Callable[..., RedisCache]) -> None:
    other = RedisCache(redis_server.url, key_prefix="other", timeout=10)
    ear, there = Ear(make(redis_server.url)), Ear(other)
    assert ear.hears(None)
    assert there.hears(None)
    call_verb(other.send, "not for us")
    assert there.hears("not for us")
    call_verb(make(redis_server.url).send, "for us")
    assert ear.hears(None, "for us")
    other.close()


def test_after_another_connection_something_may_have_been_lost(
    own_redis: RedisServer, make: Callable[..., RedisCache]
) -> None:
    ear = Ear(make(own_redis.url))
    assert ear.hears(None)
    own_redis.restart()
    assert ear.hears(None, None)
    call_verb(make(own_redis.url).send, "again")
    assert ear.hears("again")


def test_junk_is_not_heard(redis_server: RedisServer, make: Callable[..., RedisCache]) -> None:
    cache = make(redis_server.url)
    ear = Ear(cache)
    assert ear.hears(None)
    with redis_server.client() as client:
        client.publish(cache._channel.name, b"\xff\xff")
    call_verb(cache.send, "text")
    assert ear.hears(None, "text")


def test_the_thread_ends_with_the_cache(redis_server: RedisServer, prefix: str) -> None:
    for end in (lambda cache: cache.close(), lambda cache: None):
        before = threads()
        cache = RedisCache(redis_server.url, key_prefix=prefix, timeout=10)
        assert Ear(cache).hears(None)
        (own,) = threads() - before
        end(cache)
        del cache
        gc.collect()
        assert wait_until(lambda own=own: not own.is_alive(), 20)


def test_where_no_thread_can_be_started_a_call_goes_on_and_the_next_one_listens(
    redis_server: RedisServer, make: Callable[..., RedisCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_thread(self: object) -> None:
        raise RuntimeError("can't start new thread")

    tiers = [TieredCache(SimpleCache(), make(redis_server.url), near_timeout=1000) for _ in range(2)]
    f, g = (cached(cache=each, namespace="f")(lambda x: truth) for each in tiers)
    truth = 1
    before = threads()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        assert (f(1), f.info().failures) == (1, 0)
    assert threads() == before
    assert f(2) == 1
    assert len(threads() - before) == 1
    truth = 2
    g.uncache(2)
    assert wait_until(lambda: f(2) == 2, 20)


def test_a_cache_that_was_closed_can_listen_again(redis_server: RedisServer, make: Callable[..., RedisCache]) -> None:
    cache = make(redis_server.url)
    ear = Ear(cache)
    assert ear.hears(None)
    cache.close()
    again = Ear(cache)
    assert again.hears(None)
    call_verb(cache.send, "text")
    assert again.hears("text")
    assert ear.heard == [None]


def test_a_server_that_is_down_is_told_of(own_redis: RedisServer, make: Callable[..., RedisCache]) -> None:
    cache = make(own_redis.url)
    own_redis.kill()
    with pytest.raises(BackendUnavailable):
        call_verb(cache.send, "text")


# ---- near tiers ------------------------------------------------------------------------------------------------------

THERE = """
import json, sys
from memocache import RedisCache, SimpleCache, TieredCache, cached, uncache_tag

url, prefix = json.loads(sys.argv[1])
tier = TieredCache(SimpleCache(), RedisCache(url, key_prefix=prefix, timeout=10), near_timeout=3600)

@cached(cache=tier, namespace="f", tags=("x:{x}",))
def f(x):
    return ["there", x]

ways = {
    "read": lambda x: f(x),
    "uncache": lambda x: f.uncache(x),
    "put": lambda x: f.put(["put", x], x),
    "uncache_all": lambda x: f.uncache_all(),
    "tag": lambda x: uncache_tag(f"x:{x}", tier),
    "clear": lambda x: tier.clear(),
}
for line in sys.stdin:
    what, x = json.loads(line)
    print(json.dumps(ways[what](x)), flush=True)
"""


@pytest.fixture
def there(url: str, prefix: str) -> Iterator[Callable[[str, int], Any]]:
    """Has the same function do something in another process."""
    arguments = [sys.executable, "-c", THERE, json.dumps([url, prefix])]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def do(what: str, x: int) -> Any:
            print(json.dumps([what, x]), file=process.stdin, flush=True)
            return json.loads(process.stdout.readline())

        yield do
        process.stdin.close()
        assert process.wait(20) == 0


@pytest.mark.parametrize("how", ["uncache", "uncache_all", "tag", "put", "clear"])
def test_near_tiers_in_two_processes_forget_at_once(
    url: str, make: Callable[..., RedisCache], there: Callable[[str, int], Any], how: str
) -> None:
    far = make(url)
    tier = TieredCache(SimpleCache(), far, near_timeout=3600)
    truth = ["here"]

    @cached(cache=tier, namespace="f", tags=("x:{x}",))
    def f(x: int) -> list[Any]:
        return [truth[0], x]

    ways: dict[str, Callable[[], object]] = {
        "uncache": lambda: f.uncache(1),
        "uncache_all": f.uncache_all,
        "tag": lambda: uncache_tag("x:1", tier),
        "put": lambda: f.put(["newer", 1], 1),
        "clear": tier.clear,
    }
    marker = Ear(far)
    assert marker.hears(None)
    f(1)
    assert wait_until(lambda: f(1) is f(1))
    assert there("read", 1) == ["here", 1]
    truth[0] = "new"
    there(how, 1)
    expected = ["put", 1] if how == "put" else ["new", 1]
    assert wait_until(lambda: f(1) == expected, 20)
    assert there("read", 1) == there("read", 1) == expected
    truth[0] = "newer"
    ways[how]()
    assert f(1) == ["newer", 1]
    assert wait_until(lambda: there("read", 1) == ["newer", 1], 20)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_a_forked_process_listens_itself(redis_server: RedisServer, make: Callable[..., RedisCache]) -> None:
    far = make(redis_server.url)
    tier = TieredCache(SimpleCache(), far, near_timeout=3600)
    tier.set("key", "old")
    marker = Ear(far)
    assert marker.hears(None)
    assert wait_until(lambda: tier.get("key") == "old" and len(tier.near) == 1)
    ask, told = os.pipe()
    ready, go = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            has = wait_until(
                lambda: tier.get("key") == "old" and len(threads()) == 1 and far._channel._socket is not None
            )
            has = has and wait_until(lambda: tier.get("key") == "old" and len(tier.near) == 1)
            os.write(go, b"%d" % has)
            has = wait_until(lambda: tier.get("key") == "new", 20)
            os.write(told, b"%d" % has)
        finally:
            os._exit(0)
    assert os.read(ready, 1) == b"1"
    tier.set("key", "new")
    assert os.read(ask, 1) == b"1"
    assert os.waitpid(pid, 0)[1] == 0
    for pipe in (ask, told, ready, go):
        os.close(pipe)
