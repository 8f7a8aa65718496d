import os
from collections.abc import Callable
from pathlib import Path

import pytest
from freezegun import freeze_time
from pymemcache import Client
from pymemcache.exceptions import MemcacheServerError, MemcacheUnexpectedCloseError

from tests.support import binaries
from tests.support.redis_servers import RedisCluster
from tests.support.servers import (
    MemcachedBinary,
    MemcachedServer,
    ServerFailed,
    find_memcached,
    skip_or_fail,
    unpack_memcached,
)

Factory = Callable[..., MemcachedServer]
SHORT = 0.1  # how long a client waits that is to wait in vain


@pytest.mark.parametrize("name", ["memcached", "memcached_tcp"])
def test_shared_servers_serve(
    name: str, request: pytest.FixtureRequest, client_for: Callable[..., Client], prefix: str
) -> None:
    server: MemcachedServer = request.getfixturevalue(name)
    client = client_for(server.address)
    assert client.set(f"{prefix}a", b"1")
    assert client.get(f"{prefix}a") == b"1"
    assert server.stats()["pid"] == str(server.pid)


@pytest.mark.parametrize("tcp", [False, True])
def test_restart_loses_the_data_and_keeps_the_address(
    tcp: bool, memcached_factory: Factory, client_for: Callable[..., Client]
) -> None:
    server = memcached_factory(tcp=tcp)
    address, pid = server.address, server.pid
    client_for(address).set("k", b"v")
    server.restart()
    assert server.address == address
    assert server.pid != pid
    assert client_for(address).get("k") is None


@pytest.mark.parametrize("tcp", [False, True])
def test_kill_refuses_connections_until_restart(
    tcp: bool, memcached_factory: Factory, client_for: Callable[..., Client]
) -> None:
    server = memcached_factory(tcp=tcp)
    old = client_for(server.address)
    old.set("k", b"v")
    server.kill()
    with pytest.raises((MemcacheUnexpectedCloseError, ConnectionError)):
        old.get("k")
    with pytest.raises(ConnectionRefusedError):
        old.get("k")
    with pytest.raises(ServerFailed, match="not running"):
        _ = server.pid
    server.restart()
    assert old.get("k") is None


def test_a_paused_server_is_silent_until_resumed(
    own_memcached: MemcachedServer, client_for: Callable[..., Client]
) -> None:
    client_for(own_memcached.address).set("k", b"v")
    own_memcached.pause()
    with pytest.raises(TimeoutError):
        client_for(own_memcached.address, SHORT).get("k")
    own_memcached.resume()
    assert client_for(own_memcached.address).get("k") == b"v"


def test_stop_ends_even_a_paused_server_and_leaves_nothing(memcached_binary: MemcachedBinary) -> None:
    server = MemcachedServer(binary=memcached_binary).start()
    pid, folder = server.pid, Path(server.socket_path).parent
    server.pause()
    server.stop()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not folder.exists()


def test_a_frozen_clock_does_not_matter(own_memcached: MemcachedServer) -> None:
    with freeze_time("2026-01-01"):
        own_memcached.restart()
        assert own_memcached.stats()["curr_items"] == "0"


def test_options(memcached_factory: Factory, client_for: Callable[..., Client]) -> None:
    server = memcached_factory(memory_mb=8, max_item_size="64k", threads=1)
    assert server.stats()["limit_maxbytes"] == str(8 * 1024 * 1024)
    assert server.stats()["threads"] == "1"
    with pytest.raises(MemcacheServerError, match="too large"):
        client_for(server.address).set("k", b"x" * 100_000)


def test_a_server_that_does_not_start_says_why(memcached_binary: MemcachedBinary) -> None:
    with pytest.raises(ServerFailed, match="Number of threads must be greater than 0"):
        MemcachedServer(threads=0, binary=memcached_binary).start()


def test_the_named_memcached_goes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    fake = tmp_path / "memcached"
    fake.write_text("#!/bin/sh\necho memcached 9.9\n")
    fake.chmod(0o755)
    monkeypatch.setenv("MEMOCACHE_MEMCACHED", str(fake))
    assert find_memcached() == (MemcachedBinary(str(fake)), "")


@pytest.mark.parametrize("script", [None, "#!/bin/sh\necho a library is missing >&2\nexit 127\n"])
def test_a_named_memcached_that_does_not_start_is_a_reason(
    script: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    named = tmp_path / "memcached"
    if script:
        named.write_text(script)
        named.chmod(0o755)
    monkeypatch.setenv("MEMOCACHE_MEMCACHED", str(named))
    binary, reason = find_memcached()
    assert binary is None
    assert f"{named} does not start" in reason
    assert ("a library is missing" if script else "No such file") in reason
    assert "apt-get install -y memcached" in reason


def test_without_apt_the_reason_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(binaries.NoMemcached, match="without apt-get it cannot be fetched"):
        unpack_memcached(tmp_path / "copy")


@pytest.mark.parametrize(
    ("apt_cache", "problem"),
    [("echo E: No packages found >&2; exit 100", "No packages found.*apt-get update"), ("sleep 60", "timed out")],
)
def test_failing_packages_are_a_reason_in_time(
    apt_cache: str, problem: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for tool in ("apt-get", "apt-cache", "dpkg"):
        (tmp_path / tool).write_text(f"#!/bin/sh\n{apt_cache}\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(binaries.NoMemcached, match=problem):
        unpack_memcached(tmp_path / "cache" / "memcached", seconds=0.2)
    assert list((tmp_path / "cache").iterdir()) == []


def test_an_unpacked_copy_serves(tmp_path: Path, client_for: Callable[..., Client]) -> None:
    folder = tmp_path / "cache" / "memcached"
    try:
        binary = unpack_memcached(folder)
    except binaries.NoMemcached as error:
        pytest.skip(str(error))
    assert binary.path.startswith(str(folder))
    assert binary.library_path.startswith(str(folder))
    assert [entry.name for entry in folder.parent.iterdir()] == ["memcached"]
    with MemcachedServer(binary=binary) as server:
        assert client_for(server.address).set("k", b"v")


def test_a_slower_run_takes_the_copy_of_a_faster_one(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        folder.mkdir()
        (folder / "who").write_text(folder.name)
    binaries._move_unless_there(ours, theirs)
    assert (theirs / "who").read_text() == "theirs"


def test_a_broken_copy_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(binaries, "OWN_COPY", tmp_path)
    with pytest.raises(binaries.NoMemcached, match=f"remove {tmp_path} to have it fetched anew"):
        binaries._own_copy()


def test_the_nodes_of_a_cluster_are_of_one_mind_from_the_start(redis_cluster: RedisCluster) -> None:
    assert redis_cluster.epochs() == [[1, 2, 3]] * 3


@pytest.mark.parametrize("promise", ["CI", "MEMOCACHE_REQUIRE_SERVERS"])
def test_a_missing_server_skips_unless_it_was_promised(promise: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("MEMOCACHE_REQUIRE_SERVERS", raising=False)
    with pytest.raises(pytest.skip.Exception, match="none here"):
        skip_or_fail("none here")
    monkeypatch.setenv(promise, "true" if promise == "CI" else "1")
    with pytest.raises(pytest.fail.Exception, match="none here"):
        skip_or_fail("none here")
