import socket
import threading
from collections.abc import Callable, Iterator

import pytest
from pymemcache import Client
from pymemcache.exceptions import MemcacheError, MemcacheUnexpectedCloseError, MemcacheUnknownError

from memocache._clock import ticks
from tests.support.faults import (
    BlackHole,
    CutAfter,
    Delay,
    Drip,
    DropRequest,
    Endless,
    Fault,
    FaultProxy,
    Garbage,
    HalfClose,
    LoseAnswer,
    OneByteAtATime,
    Refuse,
    Repeat,
    Reset,
)
from tests.support.servers import MemcachedServer, connect, wait_until

SHORT = 0.1  # how long a client waits that is to wait in vain
LOST: tuple[type[Exception], ...] = (MemcacheUnexpectedCloseError, ConnectionError)


@pytest.fixture(params=[False, True], ids=["tcp", "unix"])
def proxy(request: pytest.FixtureRequest, memcached: MemcachedServer) -> Iterator[FaultProxy]:
    with FaultProxy(memcached.address, unix=request.param) as proxy:
        yield proxy


def test_a_clean_proxy_passes_everything(proxy: FaultProxy, client_for: Callable[..., Client], prefix: str) -> None:
    client = client_for(proxy.address, key_prefix=prefix.encode())
    big = bytes(range(256)) * 3000
    assert client.set("a", big)
    assert client.add("a", b"no") is False
    assert client.set_many({"b": b"END\r\n", "c": b""}) == []
    assert client.get_many(["a", "b", "c", "d"]) == {"a": big, "b": b"END\r\n", "c": b""}
    _, cas = client.gets("b")
    assert client.cas("b", b"7", cas) is True
    assert client.incr("b", 1) == 8
    assert client.get("nothing") is None
    assert client.delete("a")
    assert client.set("n", b"1", noreply=True)
    assert client.get("n") == b"1"
    assert b"pid" in client.stats()
    client.quit()
    assert proxy.connections == 1


def test_requests_are_counted(proxy: FaultProxy, client_for: Callable[..., Client], prefix: str) -> None:
    client = client_for(proxy.address)
    client.set(f"{prefix}a", b"set x 0 0 0")
    client.get_many([f"{prefix}a", f"{prefix}b"])
    assert proxy.requests == [f"set {prefix}a 0 0 11".encode(), f"get {prefix}a {prefix}b".encode()]


def test_what_the_server_says_unasked_arrives(proxy: FaultProxy) -> None:
    with connect(proxy.address, 5) as stream, stream.makefile("rb") as answers:
        # memcached refuses the first line and takes the data for commands: three answers to two requests.
        stream.sendall(b"set k 0 0 -1\r\nbogus\r\nversion\r\n")
        assert answers.readline().startswith(b"CLIENT_ERROR")
        assert answers.readline() == b"ERROR\r\n"
        assert answers.readline().startswith(b"VERSION")


RESP_EXCHANGES = [
    (b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\n\r\n\r\n\r\n", b"+OK\r\n"),
    (b"*1\r\n$4\r\nEXEC\r\n", b"*3\r\n$3\r\na\r\n\r\n$-1\r\n*1\r\n:7\r\n"),
    (b"*1\r\n$5\r\nHELLO\r\n", b"%1\r\n+k\r\n$0\r\n\r\n"),
]


def test_resp_is_understood() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener, FaultProxy(listener.getsockname()) as proxy:
        with connect(proxy.address, 5) as stream:
            stream.sendall(RESP_EXCHANGES[0][0])
            server, _ = listener.accept()
            with server:
                for request, answer in RESP_EXCHANGES:
                    if request != RESP_EXCHANGES[0][0]:
                        stream.sendall(request)
                    assert server.recv(100) == request
                    server.sendall(answer)
                    assert stream.recv(100) == answer
        assert proxy.requests == [b"SET k \r\n\r\n", b"EXEC", b"HELLO"]


@pytest.mark.parametrize(
    ("fault", "error", "is_stored"),
    [
        (Delay(5), TimeoutError, True),
        (Delay(5, request=True), TimeoutError, False),
        (CutAfter(0), LOST, True),
        (CutAfter(3), LOST, True),
        (LoseAnswer(), LOST, True),
        (DropRequest(), TimeoutError, False),
        (BlackHole(), TimeoutError, False),
        (HalfClose(), LOST, False),
        (Reset(), LOST, False),
        (Garbage(b"\x00\xffHTTP/1.1 200 OK\r\n\r\n"), MemcacheUnknownError, True),
        (Garbage(b""), TimeoutError, True),
        (OneByteAtATime(5), TimeoutError, True),
        (Drip(1), TimeoutError, True),
        (Refuse(), LOST, False),
    ],
    ids=repr,
)
def test_a_set_meets_a_fault(
    fault: Fault,
    error: type[Exception] | tuple[type[Exception], ...],
    is_stored: bool,
    proxy: FaultProxy,
    memcached: MemcachedServer,
    client_for: Callable[..., Client],
    prefix: str,
) -> None:
    client = client_for(proxy.address)
    assert client.get(f"{prefix}a") is None
    client.sock.settimeout(SHORT)
    proxy.fault = fault
    with pytest.raises(error):
        client.set(f"{prefix}a", b"1")
    assert client_for(memcached.address).get(f"{prefix}a") == (b"1" if is_stored else None)
    proxy.fault = None
    assert client.set(f"{prefix}b", b"2")
    assert client.get(f"{prefix}b") == b"2"


@pytest.mark.parametrize("fault", [OneByteAtATime(0), OneByteAtATime(), Drip(5000), Delay(0.01)], ids=repr)
def test_slow_answers_arrive_whole(
    fault: Fault, proxy: FaultProxy, client_for: Callable[..., Client], prefix: str
) -> None:
    proxy.fault = fault
    client = client_for(proxy.address)
    assert client.set(f"{prefix}a", b"12345\r\n")
    assert client.get(f"{prefix}a") == b"12345\r\n"


def test_a_drip_outlives_a_timeout_per_read(proxy: FaultProxy, client_for: Callable[..., Client], prefix: str) -> None:
    client = client_for(proxy.address, 0.25)
    proxy.fault = Drip(25)
    before = ticks()
    assert client.set(f"{prefix}a", b"1")
    assert ticks() - before > 0.25


def test_a_late_request_reaches_the_server_after_its_client_left(
    memcached: MemcachedServer, client_for: Callable[..., Client], prefix: str
) -> None:
    direct = client_for(memcached.address)
    with FaultProxy(memcached.address, fault=Delay(0.5, request=True)) as proxy:
        with pytest.raises(TimeoutError):
            client_for(proxy.address, SHORT).set(f"{prefix}a", b"late")
        assert direct.get(f"{prefix}a") is None
        assert wait_until(lambda: direct.get(f"{prefix}a") == b"late")


def test_a_dropped_request_leaves_the_connection_alone(proxy: FaultProxy) -> None:
    proxy.fault = DropRequest(times=1)
    with connect(proxy.address, 5) as stream:
        stream.sendall(b"delete nothing-here\r\nversion\r\n")
        assert stream.recv(100).startswith(b"VERSION")


def test_a_black_hole_swallows_its_connection_only(proxy: FaultProxy, client_for: Callable[..., Client]) -> None:
    proxy.fault = BlackHole(times=1)
    with connect(proxy.address, SHORT) as stream:
        stream.sendall(b"version\r\nversion\r\n")
        with pytest.raises(TimeoutError):
            stream.recv(1)
        assert client_for(proxy.address).version()


def test_half_closed_means_an_end_but_open_for_writing(proxy: FaultProxy) -> None:
    proxy.fault = HalfClose()
    with connect(proxy.address, 5) as stream:
        for _ in range(3):
            stream.sendall(b"version\r\n")
            assert stream.recv(1) == b""


def test_reset_is_a_reset(memcached: MemcachedServer) -> None:
    with FaultProxy(memcached.address, fault=Reset()) as proxy, connect(proxy.address, 5) as stream:
        stream.sendall(b"version\r\n")
        with pytest.raises(ConnectionResetError):
            stream.recv(1)


def test_a_repeated_answer_comes_twice(proxy: FaultProxy) -> None:
    proxy.fault = Repeat()
    with connect(proxy.address, 5) as stream, stream.makefile("rb") as answers:
        stream.sendall(b"get nothing-here\r\n")
        assert answers.read(10) == b"END\r\nEND\r\n"


def test_a_late_repeat_seems_to_answer_the_next_request(
    proxy: FaultProxy, memcached: MemcachedServer, client_for: Callable[..., Client], prefix: str
) -> None:
    client = client_for(proxy.address)
    proxy.fault = Repeat(late=True, times=1)
    assert client.add(f"{prefix}a", b"1") is True
    assert client.add(f"{prefix}a", b"2") is True  # not true at all: it was the first one's answer again
    assert client_for(memcached.address).get(f"{prefix}a") == b"1"


def test_endless_answers_go_on_until_the_client_leaves(proxy: FaultProxy) -> None:
    proxy.fault = Endless(b"VALUE k 0 ")
    with connect(proxy.address, 5) as stream, stream.makefile("rb") as answers:
        stream.sendall(b"get k\r\n")
        got = answers.read(1_000_000)
    assert got.startswith(b"VALUE k 0 x")
    assert b"\n" not in got


@pytest.mark.parametrize("fault", [Endless(), BlackHole(), Delay(60), OneByteAtATime(60)], ids=repr)
def test_close_interrupts_every_fault(fault: Fault, memcached: MemcachedServer) -> None:
    before = ticks()
    with FaultProxy(memcached.address, fault=fault) as proxy, connect(proxy.address, 5) as stream:
        stream.sendall(b"get k\r\n")
        assert wait_until(lambda: proxy.requests == [b"get k"])
    assert ticks() - before < 2
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fault-proxy")]


def test_refuse_and_come_back(proxy: FaultProxy, client_for: Callable[..., Client]) -> None:
    proxy.fault = Refuse()
    for _ in range(2):
        with pytest.raises(ConnectionRefusedError):
            connect(proxy.address, 5)
    proxy.fault = None
    assert client_for(proxy.address).version()


def test_a_fault_hits_what_it_matches_as_often_as_it_says(
    proxy: FaultProxy, client_for: Callable[..., Client], prefix: str
) -> None:
    client = client_for(proxy.address)
    fault = LoseAnswer(match=b"add ", times=2)
    proxy.fault = fault
    for name in "ab":
        assert client.set(f"{prefix}-", b"1")
        assert proxy.fault is fault
        with pytest.raises(LOST):
            client.add(f"{prefix}{name}", b"1")
    assert proxy.fault is None
    assert client.add(f"{prefix}a", b"2") is False  # its answer was lost, but it was stored
    assert client.add(f"{prefix}c", b"1") is True


def test_a_server_behind_the_proxy_goes_and_comes(
    own_memcached: MemcachedServer, client_for: Callable[..., Client]
) -> None:
    with FaultProxy(own_memcached.address) as proxy:
        client = client_for(proxy.address)
        client.set("k", b"v")
        own_memcached.kill()
        with pytest.raises((MemcacheError, ConnectionError)):
            client.get("k")
        with pytest.raises((MemcacheError, ConnectionError)):
            client.get("k")
        own_memcached.restart()
        assert client.get("k") is None
        proxy.drop_connections()
        with pytest.raises((MemcacheError, ConnectionError)):
            client.get("k")
        assert client.get("k") is None
