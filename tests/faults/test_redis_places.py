"""Where Redis may be: URLs, clients, TLS, sentinels, clusters; and that passwords are not shown."""

import asyncio
import logging
import pickle
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from typing import Any

import pytest
import redis
from redis.crc import key_slot

from memocache import (
    MISSING,
    BackendUnavailable,
    ConfigurationError,
    RedisCache,
    UncacheFailed,
    cache_from_url,
    cached,
    uncache_tag,
)
from memocache._clock import ticks
from tests.support.faulty import Run, counting
from tests.support.redis_servers import Certificates, RedisCluster, RedisServer, RedisWithSentinel, TlsServer
from tests.support.servers import skip_or_fail, wait_until

PASSWORD = "s3cr/t:p@ss?"
QUOTED = "s3cr%2Ft%3Ap%40ss%3F"


def refusal(*args: Any, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as refused:
        RedisCache(*args, **options)
    return str(refused.value)


def works(cache: RedisCache) -> bool:
    """Return whether *cache* keeps a result, and forgets it."""
    calls = []

    @cached(cache=cache, namespace="works")
    def f(x: int) -> int:
        calls.append(x)
        return x

    return [f(1), f(1), f.uncache(1), f(1), len(calls)] == [1, 1, True, 1, 2]


# ---- URLs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://", "127.0.0.1:6379"),
        ("redis://10.0.0.1", "10.0.0.1:6379"),
        ("redis://user:secret@10.0.0.1:5/3", "10.0.0.1:5"),
        ("redis://[::1]:5?db=3&password=secret", "::1:5"),
        ("rediss://cache?ssl_ca_certs=/x.pem&ssl_check_hostname=false", "cache:6379"),
        ("unix:///run/redis.sock?db=1", "/run/redis.sock"),
        ("redis+cluster://a:1,b:2", "a:1,b:2"),
        ("rediss+cluster://:secret@a,b", "a:6379,b:6379"),
        ("redis+sentinel://:secret@a,b:5/shop/2?sentinel_password=secret", "a:26379,b:5/shop"),
    ],
)
def test_what_urls_stand_for(url: str, shown: str) -> None:
    expected = f"RedisCache({shown}, default_timeout=300, key_prefix='')"
    assert repr(RedisCache(url)) == repr(RedisCache.from_url(url)) == repr(cache_from_url(url)) == expected


def test_the_query_has_options_of_the_cache_too() -> None:
    url = "redis://10.0.0.1/0?prefix=shop:&default_timeout=1m&timeout=200ms&max_item_size=2000&compress=zlib"
    shown = "RedisCache(10.0.0.1:6379, default_timeout=60, key_prefix='shop:')"
    assert repr(RedisCache.from_url(url)) == repr(cache_from_url(url)) == shown
    assert repr(RedisCache.from_url(url, default_timeout=5)) == shown.replace("60", "5")


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("http://x", "wanted: redis://host:port/db, rediss:// for TLS, unix:///path/to/socket, "),
        ("redis+ring://x", "wanted: redis://host:port/db"),
        ("unix+cluster:///x", "wanted: redis://host:port/db"),
        ("unix://", "wanted: unix:///path/to/socket"),
        ("unix://host/path", "wanted: unix:///path/to/socket"),
        ("redis://a,b", "it has several hosts; for those write redis+cluster or redis+sentinel"),
        ("redis://a/shop", "what is behind the hosts is no number of a database"),
        ("redis+sentinel://a", "wanted: the name of the service behind the hosts"),
        ("redis://a?ssl_ca_certs=x", "it has options of TLS; for a server that speaks it write rediss"),
        ("redis://a?sentinel_password=x", "it has options of sentinels; for these write redis+sentinel"),
        ("redis://a?passwrod=x", "there is no option 'passwrod' (did you mean 'password'?)"),
        ("redis://a?ssl_check_hostname=perhaps", "ssl_check_hostname='perhaps'; wanted: true or false"),
    ],
)
def test_urls_that_cannot_be(url: str, problem: str) -> None:
    told = refusal(url)
    assert problem in told
    assert told.startswith(f"the cache's URL {url.partition(':')[0]}://...: ")


def test_options_that_cannot_work() -> None:
    assert refusal("redis://", passwrod="x").startswith(
        "RedisCache has no option 'passwrod' (did you mean 'password'?); options of the connection are: db, username, "
    )
    assert refusal("redis://", timeout=0) == "timeout=0; wanted: seconds above 0 that one exchange may take"
    assert refusal("redis://", key_prefix="a b").startswith("key_prefix='a b'; wanted: at most 100 printable ASCII")
    assert refusal("redis+cluster://a", db=3) == "db=3; a cluster has the database 0 only"
    assert refusal("redis://", max_item_size=1 << 30) == (
        "max_item_size=1073741824; wanted: bytes, as an int from 1024 to 50331648"
    )
    assert refusal(7) == (
        "RedisCache() got an int; wanted: a URL such as 'redis://127.0.0.1:6379/0', "
        "or a client of redis-py or valkey-py"
    )
    assert refusal(redis.Redis(), db=3) == "RedisCache() got a client and db; give the options to the client itself"
    assert "serializer= got a module" in refusal("redis://", serializer=pickle)
    assert refusal("rediss://", ssl_cert_reqs="bogus") == (
        "the options of the connection to Redis cannot work: Invalid SSL Certificate Requirements Flag: bogus"
    )
    provider = redis.UsernamePasswordCredentialProvider("u", "s3cret")
    told = refusal("redis://", password="s3cret", credential_provider=provider)
    assert told.startswith("the options of the connection to Redis cannot work: 'username' and 'password' cannot be ")
    assert "s3cret" not in told


def test_without_redis_py_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['redis'] = None\n"
        "from memocache import *\n"
        "for make in (RedisCache, lambda: cache_from_url('redis://')):\n"
        "    try: make()\n"
        "    except ConfigurationError as error: print(error)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == "RedisCache needs redis-py: pip install 'redis>=6'\n" * 2


# ---- passwords -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["redis://:{}@127.0.0.1:1", "redis+cluster://:{}@a:1", "redis+sentinel://:{}@a:1/shop"])
def test_a_password_is_not_shown(url: str, caplog: pytest.LogCaptureFixture) -> None:
    cache = RedisCache(url.format(QUOTED), timeout=0.2)
    with pytest.raises(BackendUnavailable) as failed:
        cache.get("k")
    with pytest.raises(ConfigurationError) as refused:
        RedisCache(url.format(QUOTED) + "?db=x")
    shown = [repr(cache), str(failed.value), repr(vars(cache)), caplog.text, str(refused.value)]
    assert not any("s3cr" in each for each in shown)


def test_a_password_is_used_and_a_wrong_one_is_not_shown(
    redis_factory: Callable[..., RedisServer], prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    server = redis_factory(password=PASSWORD)
    assert works(RedisCache(f"unix://:{QUOTED}@{server.address}"))
    assert works(RedisCache(f"unix://{server.address}", password=PASSWORD, key_prefix=prefix))
    for given in (f"unix://:{QUOTED}x@{server.address}", f"unix://{server.address}"):
        with caplog.at_level(logging.DEBUG), pytest.raises(BackendUnavailable) as failed:
            RedisCache(given).get("k")
        assert "s3cr" not in str(failed.value) + caplog.text


# ---- clients ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["redis:Redis", "redis.asyncio:Redis", "valkey:Valkey", "valkey.asyncio:Valkey"])
def test_a_client_says_where_it_is(redis_server: RedisServer, prefix: str, name: str) -> None:
    module, _, kind = name.partition(":")
    client = getattr(pytest.importorskip(module), kind)(unix_socket_path=redis_server.address, db=5)
    cache = RedisCache(client, key_prefix=prefix)
    assert works(cache)
    with redis_server.client(db=5) as other:
        assert other.keys(f"memocache:{prefix}*")


def test_a_client_of_tls_a_cluster_or_sentinels_says_where_it_is(redis_cluster: RedisCluster, prefix: str) -> None:
    settings = RedisCache(redis.Redis(host="cache", port=5, ssl=True, ssl_ca_certs="/x.pem", password="p"))
    assert repr(settings).startswith("RedisCache(cache:5, ")
    assert settings._topology.known_servers()[0]._connector._kind.__name__ == "_Tls"
    sentinel = redis.Sentinel([("a", 1), ("b", 2)], password="p").master_for("shop")
    assert repr(RedisCache(sentinel)).startswith("RedisCache(a:1,b:2/shop, ")
    host, port = redis_cluster.nodes[0].address
    with redis.RedisCluster(host=host, port=port) as client:
        cache = RedisCache(client, key_prefix=prefix)
    assert works(cache)


# ---- TLS -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        skip_or_fail("no openssl to make a certificate for the tests (on Debian, as root: apt-get install -y openssl)")
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls(redis_binary: str, certificates: Certificates) -> Iterator[TlsServer]:
    with TlsServer(certificates, redis_binary) as server:
        yield server


def test_tls(tls: TlsServer, certificates: Certificates, prefix: str) -> None:
    cache = RedisCache(f"{tls.url}?ssl_ca_certs={certificates.certificate}", key_prefix=prefix, timeout=10)
    assert works(cache)
    large = ["x" * 1_000_000, "y" * 3_000_000]
    cache.set("large", large)
    assert cache.get("large") == large


def test_tls_in_a_task(tls: TlsServer, certificates: Certificates, prefix: str) -> None:
    cache = RedisCache(tls.url, ssl_ca_certs=certificates.certificate, key_prefix=prefix, timeout=10)

    @cached(cache=cache, namespace="tls")
    async def f(x: int) -> str:
        return str(x) * 1_000_000

    async def ask() -> None:
        assert await asyncio.gather(*[f(x) for x in (1, 2, 1)]) == [str(x) * 1_000_000 for x in (1, 2, 1)]
        assert await f(1) == "1" * 1_000_000

    asyncio.run(ask())
    assert f.info().failures == 0


def test_a_certificate_that_nobody_vouches_for_is_refused(tls: TlsServer, prefix: str) -> None:
    with pytest.raises(BackendUnavailable, match=r"CERTIFICATE_VERIFY_FAILED|certificate verify failed"):
        RedisCache(tls.url, timeout=10).get("k")


# ---- sentinels -------------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(redis_binary: str) -> Iterator[RedisWithSentinel]:
    with RedisWithSentinel(redis_binary) as shop:
        yield shop


def test_a_failover_is_followed(shop: RedisWithSentinel, prefix: str) -> None:
    cache = RedisCache(shop.url, key_prefix=prefix, timeout=0.3)
    assert works(cache)
    calls: list[int] = []

    @cached(cache=cache, namespace="f")
    def f(x: int) -> int:
        calls.append(x)
        return x

    f(1)
    shop.fail_over()
    assert f(1) == 1

    def is_a_cache_again() -> bool:
        before = len(calls)
        return f(2) == f(2) == 2 and len(calls) == before

    assert wait_until(is_a_cache_again, 20)
    assert f.uncache(2) is True
    with shop.replica.client() as client:
        assert client.keys(f"memocache:{prefix}*")


def test_a_master_that_has_become_a_replica_is_left(shop: RedisWithSentinel, prefix: str) -> None:
    """Its sentinel lies, as they do for a while: nothing is read from a replica, which may not have been told yet."""
    cache = RedisCache(shop.url, key_prefix=prefix, timeout=1)
    cache.set("k", "v")
    with shop.master.client() as client:
        client.execute_command("REPLICAOF", *shop.replica.address)
        client.execute_command("CLIENT KILL TYPE normal SKIPME yes")
    with pytest.raises(BackendUnavailable, match="it is a replica, and not the master any more"):
        cache.get("k")


def test_a_service_that_the_sentinels_do_not_know(shop: RedisWithSentinel) -> None:
    url = shop.url.replace("/shop", "/shed")
    with pytest.raises(BackendUnavailable, match="knows no master of 'shed'"):
        RedisCache(url).get("k")


# ---- clusters --------------------------------------------------------------------------------------------------------


@pytest.fixture
def cluster(redis_binary: str) -> Iterator[RedisCluster]:
    """A cluster of three masters of this test's own."""
    with RedisCluster(redis_binary) as cluster:
        yield cluster


def slot_of(f: Any, *args: object) -> int:
    """Return the slot that has what is stored of a call."""
    return key_slot(f.cache._node(f.cache._wire(f.key(*args))).name("x"))


def owner_of(slot: int) -> int:
    return slot // 5462


def next_owner_of(slot: int) -> int:
    return (owner_of(slot) + 1) % 3


def carry(cluster: RedisCluster, slot: int, there: int, most: int = 1000) -> list[bytes]:
    """Move keys of a slot that is moving to another node, and return them: at *most* so many, in no order."""
    host, port = cluster.nodes[there].address
    with cluster.nodes[owner_of(slot)].client() as source:
        keys: list[bytes] = source.execute_command("CLUSTER GETKEYSINSLOT", slot, most)
        for key in keys:
            source.execute_command("MIGRATE", host, port, key, 0, 5000)
    return keys


def move(cluster: RedisCluster, slot: int, there: int, *, until_moving: bool = False) -> None:
    """Move a slot with its keys to another node; or only begin with it."""
    here = owner_of(slot)
    with cluster.nodes[here].client() as source, cluster.nodes[there].client() as target:
        ids = [each.execute_command("CLUSTER MYID") for each in (source, target)]
        target.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", ids[0])
        source.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", ids[1])
        if until_moving:
            return
        carry(cluster, slot, there)
        for each in (target, source):
            each.execute_command("CLUSTER SETSLOT", slot, "NODE", ids[1])
    cluster.wait_until_agreed()  # the third has only heard of it


def test_a_slot_that_moves_takes_its_generations_along(cluster: RedisCluster, prefix: str) -> None:
    cache, other = (RedisCache(cluster.url, key_prefix=prefix, timeout=5) for _ in range(2))
    truth = "old"

    @cached(cache=cache, namespace="f", tags=("a:{x}",))
    def f(x: int) -> str:
        return truth

    for x in range(50):
        assert f(x) == "old"
    slot = slot_of(f, 7)
    move(cluster, slot, next_owner_of(slot))
    assert f.peek(7) == "old"  # MOVED is followed
    f.uncache_all()
    truth = "new"
    assert [f(x) for x in range(50)] == ["new"] * 50
    assert other.get(f.key(7)) == "new"
    assert f.info().failures == 0


def test_a_slot_that_is_moving(cluster: RedisCluster, prefix: str) -> None:
    cache = RedisCache(cluster.url, key_prefix=prefix, timeout=5)
    f = counting(cache)
    assert f(7) == 1
    slot = slot_of(f, 7)
    there = next_owner_of(slot)
    move(cluster, slot, there, until_moving=True)
    assert f.uncache(7) is True  # though neither of the two has all of the keys
    carry(cluster, slot, there)
    assert [f(7), f(7)] == [2, 3]  # Redis lets nobody take the lease meanwhile
    assert f.uncache(7) is False  # ASK is followed
    move(cluster, slot, there)
    assert [f(7), f(7)] == [4, 4]


def test_a_hit_in_a_slot_that_is_moving(cluster: RedisCluster, prefix: str) -> None:
    """An entry and its generations are here or there already, each for itself; and there is no lease anywhere."""
    cache = RedisCache(cluster.url, key_prefix=prefix, timeout=5)
    f = counting(cache, tags=("a:{x}",))
    assert f(7) == 1
    key = f.key(7)
    slot = slot_of(f, 7)
    there = next_owner_of(slot)
    move(cluster, slot, there, until_moving=True)
    moved = 0
    while True:
        assert (f(7), f.peek(7), f.many([(7,)]), cache.get(key)) == (1, 1, [1], 1)
        if not carry(cluster, slot, there, 1):
            break
        moved += 1
    assert moved == 3
    assert (f.info().misses, f.info().failures) == (1, 0)
    f.uncache_where(x=7)
    assert (f(7), f.peek(7), cache.get(key)) == (2, MISSING, None)
    move(cluster, slot, there)
    assert (f(7), f(7)) == (3, 3)


def test_a_node_that_is_down_costs_its_own_keys_only(redis_binary: str, prefix: str) -> None:
    with RedisCluster(redis_binary, "--cluster-require-full-coverage", "no") as cluster:
        cache = RedisCache(cluster.url, key_prefix=prefix, timeout=0.5)
        cache.set_many({str(x): x for x in range(100)})
        cluster.nodes[1].kill()
        found = 0
        for x in range(100):
            try:
                found += cache.get(str(x)) == x
            except BackendUnavailable:
                continue
        assert 40 < found < 90

        @cached(cache=cache, namespace="f")
        def f(x: int) -> int:
            return x

        with pytest.raises(UncacheFailed):
            f.uncache_all()


def test_a_node_that_hangs_costs_one_timeout_whatever_it_is_asked(cluster: RedisCluster, prefix: str) -> None:
    cache = RedisCache(cluster.url, key_prefix=prefix, timeout=0.3)
    f = cached(cache=cache, namespace="f")(lambda x: x)
    f(1)
    cluster.nodes[1].pause()
    began = ticks()
    with pytest.raises(UncacheFailed):
        f.uncache_all()  # which is about some twenty shards there
    assert ticks() - began < 3
    cluster.nodes[1].resume()
    assert wait_until(lambda: acknowledged(f.uncache_all))


def acknowledged(forget: Callable[[], object]) -> bool:
    try:
        forget()
    except UncacheFailed:
        return False
    return True


def test_keys_are_spread_over_a_cluster(redis_cluster: RedisCluster, prefix: str) -> None:
    cache = RedisCache(redis_cluster.url, key_prefix=prefix, timeout=10)
    keys = {str(x): x for x in range(300)}
    assert sorted(cache.set_many(keys)) == sorted(keys)
    assert cache.get_dict(*keys) == keys
    counts = []
    for node in redis_cluster.nodes:
        with node.client() as client:
            counts.append(len(client.keys(f"*memocache:{prefix}*")))
    assert sum(counts) == 300
    assert min(counts) > 50
    assert sorted(cache.delete_many(*keys)) == sorted(keys)


def test_the_shards_are_the_same_for_everybody_for_ever() -> None:
    tags = RedisCache("redis+cluster://a")._topology.hash_tags
    assert len(tags) == 64
    assert (tags[0], tags[1], tags[63]) == (b"{m60}", b"{m68}", b"{m30}")


def test_a_server_that_is_no_cluster(redis_factory: Callable[..., RedisServer]) -> None:
    server = redis_factory(tcp=True)
    with pytest.raises(BackendUnavailable, match=r"is not of a cluster, or talks garbage|refused"):
        RedisCache(server.url.replace("redis://", "redis+cluster://")).get("k")


def test_clear_reaches_every_server_of_a_cluster(redis_cluster: RedisCluster, prefix: str) -> None:
    cache = RedisCache(redis_cluster.url, key_prefix=prefix, timeout=10)
    cache.set_many({str(x): x for x in range(300)})
    assert cache.clear() is True
    assert cache.get_many(*map(str, range(300))) == [None] * 300


@pytest.mark.parametrize("is_task", [False, True], ids=["thread", "task"])
def test_a_cluster_whose_servers_all_hang_costs_one_deadline(is_task: bool, redis_binary: str) -> None:
    with RedisCluster(redis_binary) as cluster, asyncio.Runner() as runner:
        cache = RedisCache(cluster.url, timeout=0.5)

        async def awaited(x: int) -> int:
            return x

        decorate = cached(cache=cache, namespace="f", tags=("all",))
        f: Any = Run(decorate(awaited), runner) if is_task else decorate(lambda x: x)
        for x in range(20):
            f(x)
        for node in cluster.nodes:
            node.pause()
        try:
            for x in range(20):
                assert lasts(lambda x=x: f(x)) < 0.5 + 1
            assert lasts(lambda: f.many([(x,) for x in range(20)])) < 0.5 + 1
            for forget in (lambda: f.uncache(1), f.uncache_all, lambda: uncache_tag("all", cache)):
                assert lasts(forget, UncacheFailed) < 0.5 + 1
        finally:
            for node in cluster.nodes:
                node.resume()


def lasts(do: Callable[[], object], *expected: type[Exception]) -> float:
    """Return how many seconds it takes to *do* something, which raises what is *expected*."""
    began = ticks()
    with pytest.raises(expected) if expected else nullcontext():
        do()
    return ticks() - began


def test_sentinels_that_hang_cost_a_part_of_the_time(
    redis_binary: str, redis_factory: Callable[..., RedisServer]
) -> None:
    with RedisWithSentinel(redis_binary) as world, ExitStack() as stack:
        hung = [redis_factory(tcp=True) for _ in range(2)]
        for server in hung:
            server.pause()
            stack.callback(server.resume)
        hosts = ",".join("{}:{}".format(*each.address) for each in (*hung, world.sentinel))
        cache = RedisCache(f"redis+sentinel://{hosts}/shop", timeout=1)
        f = cached(cache=cache, namespace="f")(lambda x: x)
        assert lasts(lambda: f(1)) < 1 + 1
        assert wait_until(lambda: f(1) == 1 and f.info().hits > 0)


def test_who_takes_a_lease_in_a_slot_that_is_moving_waits_for_a_moment(cluster: RedisCluster, prefix: str) -> None:
    cache = RedisCache(cluster.url, key_prefix=prefix, timeout=5)
    f = cached(cache=cache, namespace="f")(lambda x: x)
    f(7)
    slot = slot_of(f, 7)
    there = next_owner_of(slot)
    f.uncache(7)
    move(cluster, slot, there, until_moving=True)  # what is there is the generation only
    thread = threading.Timer(0.1, lambda: (carry(cluster, slot, there), move(cluster, slot, there)))
    thread.start()
    f(7)
    thread.join()
    f(7)
    assert (f.info().hits, f.info().failures) == (1, 0)
