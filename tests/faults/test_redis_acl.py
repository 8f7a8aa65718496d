"""Users of Redis who may do little: what is missing is named in the log, and costs no time."""

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

from memocache import RedisCache, SimpleCache, TieredCache, cached, stats, uncache_tag
from memocache._clock import ticks
from memocache.errors import BackendUnavailable
from memocache.stats import read, share
from tests.docs.pages import DOCS
from tests.support.redis_servers import RedisCluster, RedisServer

# As docs/operating.md lists them.
NEEDED = ("get", "mget", "set", "del", "getrange", "pttl", "pexpire", "persist", "eval", "evalsha", "echo")
FOR_CLEAR = ("scan",)
FOR_LISTS = ("strlen",)
FOR_FIGURES = ("hincrby", "hset", "hgetall")
FOR_TIERS = ("publish", "subscribe", "ping")
CHANNELS = "&memocache:told:*"


@pytest.fixture(scope="module")
def server(redis_binary: str) -> Any:
    with RedisServer(binary=redis_binary) as started:
        yield started


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Any:
    with caplog.at_level(logging.WARNING, "memocache"):
        yield caplog


def allow(server: RedisServer, *rules: str) -> None:
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">pw", "~memocache*", *rules)


def use(server: RedisServer, prefix: str) -> tuple[list[str], list[float]]:
    """Use all that a cache has for functions; return what was wrong, and how long each step took."""
    cache = RedisCache(server.url, username="app", password="pw", key_prefix=prefix)
    wrong, times = [], []

    @cached(timeout=300, cache=cache, namespace="f", tags=("t:{x}",))
    def f(x: int) -> object:
        return [x, ticks()]

    @cached(timeout="1d", cache=cache, namespace="g")
    async def g(x: int) -> object:
        return [x, ticks()]

    async def twice() -> bool:
        return await g(1) == await g(1) and await g.uncache(1)

    h = cached(timeout=None, cache=cache, namespace="h")(f.__wrapped__)
    steps: dict[str, Callable[[], object]] = {
        "hit": lambda: f(1) == f(1),
        "uncache": lambda: f.uncache(1),
        "hit after uncache": lambda: f(1) == f(1),
        "uncache_tag": lambda: uncache_tag("t:1", cache) is None,
        "hit after uncache_tag": lambda: f(1) == f(1),
        "refresh": lambda: f.refresh(1) == f(1),
        "many": lambda: f.many([(1,), (2,)]) == f.many([(1,), (2,)]),
        "tasks": lambda: asyncio.run(twice()),
        "for ever": lambda: h(1) == h(1),
        "set": lambda: cache.set("k", 1) and cache.inc("k") == 2,
    }
    for name, step in steps.items():
        began = ticks()
        try:
            if not step():
                wrong.append(name)
        except Exception as error:  # noqa: BLE001 - what is missing may be anything
            wrong.append(f"{name}: {error}")
        times.append(ticks() - began)
    return wrong, times


def test_the_commands_that_are_listed_are_enough(server: RedisServer, prefix: str, log: Any) -> None:
    allow(server, *(f"+{each}" for each in NEEDED))
    wrong, _ = use(server, prefix)
    assert wrong == []
    assert log.messages == []
    allow(server, *(f"+{each}" for each in NEEDED + FOR_CLEAR))
    assert RedisCache(server.url, username="app", password="pw", key_prefix=prefix).clear() is True


@pytest.mark.parametrize("missing", [each for each in NEEDED if each != "echo"])
def test_a_command_that_is_missing_is_named_and_costs_no_time(
    missing: str, server: RedisServer, prefix: str, log: Any
) -> None:
    allow(server, *(f"+{each}" for each in NEEDED if each != missing))
    with server.client() as client:
        client.script_flush()  # `eval` is for a script that the server does not know
    wrong, times = use(server, prefix)
    assert max(times) < 2
    told = [*wrong, *log.messages]
    assert any(f"'{missing}'" in each.lower() or f"command {missing} " in each.lower() for each in told), told


def test_a_database_of_its_own_needs_one_more(server: RedisServer, prefix: str) -> None:
    def trial(*more: str) -> bool:
        allow(server, *(f"+{each}" for each in NEEDED), *more)
        cache = RedisCache(f"{server.url}?db=3&username=app&password=pw", key_prefix=prefix)
        f = cached(timeout=300, cache=cache, namespace="f")(lambda x: ticks())
        return f(1) == f(1)

    assert not trial()
    assert trial("+select")


def test_a_cluster_needs_two_more(redis_cluster: RedisCluster, prefix: str, log: Any) -> None:
    def trial(*more: str) -> bool:
        for node in redis_cluster.nodes:
            with node.client() as client:
                rules = ["~{m*}memocache*", *(f"+{each}" for each in NEEDED), *more]
                client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">pw", *rules)
        cache = RedisCache(redis_cluster.url, username="app", password="pw", key_prefix=prefix)
        f = cached(timeout=300, cache=cache, namespace="f")(lambda x: ticks())
        return f(1) == f(1) and f.uncache(1)

    assert not trial("+asking")
    assert "'cluster|slots'" in log.messages[-1]
    assert trial("+asking", "+cluster|slots")


def test_forgetting_works_without_a_proof_of_whose_reply_it_is(server: RedisServer, prefix: str, log: Any) -> None:
    allow(server, *(f"+{each}" for each in NEEDED if each != "echo"))
    assert use(server, prefix)[0] == log.messages == []


def test_the_commands_are_in_the_documents() -> None:
    text = (DOCS / "operating.md").read_text()
    rules = " ".join(f"+{each}" for each in NEEDED + FOR_CLEAR + FOR_LISTS + FOR_FIGURES + FOR_TIERS)
    assert f"~memocache* {CHANNELS} {rules}" in " ".join(text.split())


def test_a_list_needs_two_more(server: RedisServer, prefix: str) -> None:
    def trial(*more: str) -> int:
        allow(server, *(f"+{each}" for each in (*NEEDED, *more)))
        cache = RedisCache(server.url, username="app", password="pw", key_prefix=prefix)
        cached(timeout=300, cache=cache, namespace="f")(lambda x: x)(1)
        return len(list(cache.listing("f")))

    for missing in FOR_CLEAR + FOR_LISTS:
        with pytest.raises(BackendUnavailable, match=f"refused a command: NOPERM .*'{missing}'"):
            trial(*(each for each in FOR_CLEAR + FOR_LISTS if each != missing))
    assert trial(*FOR_CLEAR, *FOR_LISTS) == 1


@pytest.mark.parametrize("missing", [None, "hincrby", "hgetall"])
def test_shared_figures_need_commands_of_their_own(
    missing: str | None, server: RedisServer, prefix: str, log: Any
) -> None:
    allow(server, *(f"+{each}" for each in NEEDED + FOR_FIGURES if each != missing))
    cache = RedisCache(server.url, username="app", password="pw", key_prefix=prefix)
    with share(cache, every=3600) as sharing:
        f = cached(timeout=300, cache=cache, namespace="f")(lambda x: x)
        f(1)
        assert sharing.flush() is (missing != "hincrby")
    if missing == "hincrby":
        assert "the command hincrby is needed" in log.messages[-1]
    elif missing:
        with pytest.raises(BackendUnavailable, match=f"NOPERM .*'{missing}'"):
            read(cache)
    else:
        assert "f" in {each.function for each in read(cache)}
        # What is no number, and what is no hash, is made one.
        with server.client() as client:
            name = f"memocache:{prefix}#tally:total"
            client.hset(name, f"{stats._number('f')}:misses", "junk")  # functions of other tests may be there, too
            f(2)
        with share(cache, every=3600) as sharing:
            assert sharing.flush()
        (figures,) = [each for each in read(cache) if each.function == "f"]
        assert (figures.totals.misses, figures.totals.stored) == (1, 2)


@pytest.mark.parametrize("missing", ["subscribe", "publish", "channel"])
def test_tiers_that_may_not_tell_each_other_say_so_once(
    missing: str, server: RedisServer, prefix: str, log: Any
) -> None:
    commands = [f"+{each}" for each in NEEDED + FOR_CLEAR + FOR_TIERS if each != missing]
    allow(server, "resetchannels", *([] if missing == "channel" else [CHANNELS]), *commands)
    far = RedisCache(server.url, username="app", password="pw", key_prefix=prefix)
    told = threading.Event()
    handler = _Notice(told)
    logging.getLogger("memocache").addHandler(handler)
    try:
        f = cached(cache=TieredCache(SimpleCache(), far, near_timeout=5), namespace="f")(lambda x: x)
        assert (f(1), f(1)) == (1, 1)
        for _ in range(3):
            assert f.uncache(1) is True
            f(1)
        assert told.wait(30)
    finally:
        logging.getLogger("memocache").removeHandler(handler)
        far.close()
    assert f.info().failures == 0
    what = ("subscribe", "publish") if missing == "channel" else (missing,)
    for each in what:
        about = [line for line in log.messages if f"may not {each} on the channel memocache:told:{prefix}" in line]
        assert len(about) == 1


class _Notice(logging.Handler):
    """A handler that notices the first thing that is told of `subscribe`, or of `publish` where that is missing."""

    def __init__(self, told: threading.Event) -> None:
        super().__init__()
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.set()
