"""MemcachedCache on a real server: its options, and keys of any kind."""

import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pymemcache import Client

from memocache import MemcachedCache, cached
from tests.support.faults import FaultProxy
from tests.support.refusals import refusal
from tests.support.servers import MemcachedServer

WANTED_ADDRESSES = "wanted: a list of different addresses, each as 'host:port', '/path/to/socket' or (host, port)"


@pytest.fixture(params=["memcached", "memcached_tcp"], ids=["unix", "tcp"])
def server(request: pytest.FixtureRequest) -> MemcachedServer:
    found: MemcachedServer = request.getfixturevalue(request.param)
    return found


# ---- options ---------------------------------------------------------------------------------------------------------


def spellings(server: MemcachedServer) -> list[Any]:
    if isinstance(server.address, str):
        path = server.address
        return [path, [path], (path,), f"unix:{path}", [f"unix:{path}"]]
    host, port = server.address
    # "localhost" may be ::1 first, where this server does not listen.
    one = [f"{host}:{port}", (host, port), [host, port], f"localhost:{port}", ("localhost", port), f"[{host}]:{port}"]
    return [*([each] for each in one), (one[0],), one[0], one[3]]


def test_every_spelling_of_an_address_reaches_the_server(server: MemcachedServer, prefix: str) -> None:
    for number, servers in enumerate(spellings(server)):
        cache = MemcachedCache(servers, key_prefix=prefix, timeout=5)
        assert cache.set("k", number), servers
        assert cache.get("k") == number


@pytest.mark.parametrize(
    "servers",
    [
        None, [], (), {}, {"h:1"}, 11211, b"h:1", [None], [b"h:1"], ["h:1", "h:1"], ["h:1", ("h", 1)],
        ["/s", "unix:/s"], ("h", 1), [""], [":1"], ["h:"], ["h:0"], ["h:65536"], ["h:-1"], ["h:+1"], ["h: 1"],
        ["h:1_0"], ["h:\u0661"], ["h:1\n"], ["h o:1"], ["::1"], ["[::1"], ["[]:1"], "h:1,i:1",
        "unix:", "unix:s", [("h",)], [("h", "1")], [("h", 1, 2)], [("h", True)], [("h", 0)], [("h", 65536)],
        [("", 1)], [(1, 1)],
    ],
    ids=repr,
)  # fmt: skip
def test_addresses_that_cannot_work_are_refused(servers: Any) -> None:
    assert refusal(MemcachedCache, servers) == f"servers={servers!r}; {WANTED_ADDRESSES}"


@pytest.mark.parametrize("servers", ["memcached://h:1", ["memcached://ann:sesame@h:1"]])
def test_a_url_is_no_address(servers: Any) -> None:
    assert refusal(MemcachedCache, servers) == (
        f"servers= got a URL; {WANTED_ADDRESSES}. Of a URL, cache_from_url() makes a cache"
    )


@pytest.mark.parametrize(
    ("servers", "shown"),
    [("h", "h:11211"), (["h:1", ("i", 2), "/s"], "h:1, i:2, /s"), ("[::1]", "::1:11211"), (["a.b-c_d:65535"],) * 2],
)
def test_it_shows_its_servers_and_needs_none_to_be_made(servers: Any, shown: Any) -> None:
    shown = shown if isinstance(shown, str) else ", ".join(shown)
    cache = MemcachedCache(servers, 60, "shop:")
    assert repr(cache) == f"MemcachedCache([{shown}], default_timeout=60, key_prefix='shop:')"


@pytest.mark.parametrize("given", [None, True, 0, -1, 1023, 2048.0, "1m"])
def test_a_largest_item_that_cannot_be_is_refused(given: Any) -> None:
    said = refusal(MemcachedCache, ["h:1"], max_item_size=given)
    assert said == f"max_item_size={given!r}; wanted: bytes, as an int from 1024"


# ---- keys ------------------------------------------------------------------------------------------------------------

ODD_KEYS = [
    "", " ", "a", "a ", " a", "a b", "\t", "a\nb", "a\r\n", "\r\nflush_all\r\n", "a 0 0 1\r\nx\r\nflush_all\r\n",
    "\0", "a\0", "a\0b", "\x01", "\x1b[2J", "\x7f", "\x85", "\u00a0", "\u2028", "\u00fc", "u\u0308", "\u043a\u043b",
    "\ud800", "\udfff", "a\ud83d", "\U0001f600", "\U0010ffff", "#", "##", "#a", "!", "~", "noreply", "0", "-1", "{}",
    "%s", "None", "../../etc/passwd", "k" * 249, "k" * 250, "k" * 251, "k" * 252, "k" * 100_000, "\u00fc" * 100_000,
    "v1:module.f:0123456789abcdef0123456789abcdef",
]  # fmt: skip


def random_keys(count: int) -> list[str]:
    chance = random.Random(1)
    alphabets: list[Sequence[int]] = [range(33), range(128), range(0x10FFFF), [0x0D, 0x0A, 0x20, 0x61], range(33, 127)]
    lengths = [1, 2, 10, 240, 251, 1000]
    return ["".join(map(chr, chance.choices(chance.choice(alphabets), k=chance.choice(lengths)))) for _ in range(count)]


KEYS = list(dict.fromkeys(ODD_KEYS + random_keys(200)))


@pytest.fixture(params=[False, True], ids=["unix", "tcp"])
def guarded(
    request: pytest.FixtureRequest, memcached_factory: Callable[..., MemcachedServer], client_for: Callable[..., Client]
) -> Any:
    """A server of the test's own, on which nothing may be lost that the test has not deleted itself."""
    server = memcached_factory(tcp=request.param)
    canary = client_for(server.address)
    canary.set("canary", b"alive")
    yield server
    assert canary.get("canary") == b"alive"
    assert server.stats()["cmd_flush"] == "0"


def test_any_text_is_a_key(guarded: MemcachedServer) -> None:
    cache = MemcachedCache([guarded.address], timeout=5)
    for number, key in enumerate(KEYS):
        assert cache.get(key) is None, repr(key)
        assert cache.set(key, number)
    # Two keys that differ never share.
    assert [cache.get(key) for key in KEYS] == list(range(len(KEYS)))
    assert cache.get_many(*KEYS) == list(range(len(KEYS)))
    for number, key in enumerate(KEYS):
        assert cache.has(key)
        assert not cache.add(key, -1)
        assert cache.inc(key) == number + 1
        assert cache.delete(key), repr(key)
        assert not cache.has(key)
        assert cache.add(key, -number)
    assert cache.get_dict(*KEYS) == {key: -number for number, key in enumerate(KEYS)}


def test_any_text_is_an_argument(guarded: MemcachedServer) -> None:
    computed: list[str] = []

    @cached(cache=MemcachedCache([guarded.address], timeout=5), namespace="f")
    def f(text: str) -> str:
        computed.append(text)
        return text

    for _ in range(2):
        assert [f(key) for key in KEYS] == KEYS
    assert computed == KEYS
    assert all(f.uncache(key) for key in KEYS)


def test_any_text_is_a_namespace_and_part_of_a_template(guarded: MemcachedServer) -> None:
    cache = MemcachedCache([guarded.address], timeout=5)

    def made(namespace: str) -> Any:
        @cached(cache=cache, namespace=namespace, key="{text}")
        def f(text: str) -> str:
            return namespace

        return f

    functions = {key: made(key) for key in KEYS if key}
    for _ in range(2):
        for namespace, f in functions.items():
            assert f("\r\n") == namespace
    for f in functions.values():
        assert f.info().hits == 1
        f.uncache_all()


def test_what_goes_over_the_wire_is_plain(server: MemcachedServer, prefix: str) -> None:
    with FaultProxy(server.address) as proxy:
        cache = MemcachedCache([proxy.address], key_prefix=prefix, timeout=5)
        for key in KEYS:
            cache.set(key, 1)
            cache.get(key)
        words = [line.split(b" ") for line in proxy.requests]
        assert [len(each) for each in words] == [5, 2] * len(KEYS)
        for _, key, *numbers in words:
            assert len(key) <= 250
            assert key.startswith(prefix.encode())
            assert all(0x20 < byte < 0x7F for byte in key)
            assert all(number.isdigit() for number in numbers)


def test_a_key_that_looks_like_the_digest_of_another_has_a_place_of_its_own(
    server: MemcachedServer, prefix: str
) -> None:
    with FaultProxy(server.address) as proxy:
        cache = MemcachedCache([proxy.address], key_prefix=prefix, timeout=5)
        cache.set("a b", 1)
        digest = proxy.requests[0].split()[1].decode().removeprefix(prefix)
        assert digest.startswith("#")
        assert cache.get(digest) is None
        cache.set(digest, 2)
        assert cache.get_many("a b", digest) == [1, 2]


def test_prefixes_keep_applications_apart(server: MemcachedServer, prefix: str) -> None:
    caches = [MemcachedCache([server.address], key_prefix=prefix + end, timeout=5) for end in ("", "a", "b", "#")]
    functions = [
        cached(cache=cache, namespace="f")(lambda number, at=at: (at, number)) for at, cache in enumerate(caches)
    ]
    for _ in range(2):
        for at, (cache, f) in enumerate(zip(caches, functions, strict=True)):
            cache.set("k", at)
            assert f(1) == (at, 1)
    assert [cache.get("k") for cache in caches] == [0, 1, 2, 3]
    functions[0].uncache_all()
    assert functions[0].uncache(1)
    assert caches[0].delete("k")
    assert [cache.get("k") for cache in caches] == [None, 1, 2, 3]
    assert [f.peek(1) for f in functions[1:]] == [(1, 1), (2, 1), (3, 1)]


def test_one_prefix_may_be_the_start_of_another(server: MemcachedServer, prefix: str) -> None:
    short, long = (MemcachedCache([server.address], key_prefix=each, timeout=5) for each in (prefix, prefix + "a"))
    short.set("ab", "short")
    assert long.get("b") is None  # what is there is not its own, though the server calls both the same
    assert not long.has("b")
    assert long.add("b", "long")
    assert (short.get("ab"), long.get("b")) == (None, "long")


def test_the_longest_prefix_leaves_room_for_every_key(server: MemcachedServer, prefix: str) -> None:
    cache = MemcachedCache([server.address], key_prefix=prefix.ljust(100, "!"), timeout=5)
    for number, key in enumerate(ODD_KEYS):
        assert cache.set(key, number)
    assert cache.get_many(*ODD_KEYS) == list(range(len(ODD_KEYS)))


@pytest.mark.parametrize("key", [None, 1, b"k", ("k",)])
def test_a_users_key_is_text(key: Any, server: MemcachedServer, prefix: str) -> None:
    cache = MemcachedCache([server.address], key_prefix=prefix)
    for call in (cache.get, cache.has, cache.delete, lambda key: cache.set(key, 1), cache.inc):
        with pytest.raises(TypeError):
            call(key)
