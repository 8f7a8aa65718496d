"""A program for a network name space of its own, whose only name server is this process: see test_resolver.

`python -m tests.faults.name_space` prints a line of JSON: how long the slowest call took while nobody answered for the
server's name, and what calls did when somebody did.
"""

import ctypes
import fcntl
import json
import os
import socket
import struct
import sys
import tempfile
import threading
import time
from typing import Any, Final

from dnslib import QTYPE, RR, A
from dnslib.server import BaseResolver, DNSServer

from memocache import MemcachedCache, RedisCache, cached
from tests.support.redis_servers import RedisServer, find_redis
from tests.support.servers import MemcachedServer, wait_until

NEW_MOUNTS, NEW_NETWORK = 0x20000, 0x40000000
PRIVATE, RECURSIVE, BIND = 1 << 18, 1 << 14, 1 << 12
SET_FLAGS, UP_AND_RUNNING = 0x8914, 0x41
NAME: Final = "cache.internal"
TIMEOUT: Final = 0.5
CALLS: Final = 5


def enter(files: dict[str, str]) -> None:
    """Enter name spaces of this process's own, where there are *files* with this text instead of the system's."""
    libc = ctypes.CDLL(None, use_errno=True)

    def done(status: int) -> None:
        if status:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    done(libc.unshare(NEW_MOUNTS | NEW_NETWORK))
    done(libc.mount(b"none", b"/", None, PRIVATE | RECURSIVE, None))
    for path, text in files.items():
        with tempfile.NamedTemporaryFile("w", delete=False) as file:
            file.write(text)
        os.chmod(file.name, 0o644)
        done(libc.mount(file.name.encode(), path.encode(), None, BIND, None))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, SET_FLAGS, struct.pack("16sh14x", b"lo", UP_AND_RUNNING))


class Resolver(BaseResolver):
    """A name server that says nothing before it *may_answer*; then that NAME is here."""

    def __init__(self) -> None:
        self.may_answer = threading.Event()
        self.asked = 0

    def resolve(self, request: Any, handler: Any) -> Any:
        self.asked += 1
        self.may_answer.wait()
        reply = request.reply()
        if request.q.qtype == QTYPE.A and str(request.q.qname).rstrip(".") == NAME:
            reply.add_answer(RR(request.q.qname, QTYPE.A, rdata=A("127.0.0.1"), ttl=60))
        return reply


def tried(cache: Any, resolver: Resolver) -> dict[str, Any]:
    """Return how calls on *cache*, which is on NAME, went while nobody answered, and when somebody did."""
    f = cached(cache=cache, namespace="f")(lambda i: [i, time.monotonic_ns()])
    slowest = 0.0
    for i in range(CALLS):
        began = time.perf_counter()
        f(i)
        slowest = max(slowest, time.perf_counter() - began)
    computed = f.info().misses
    resolver.may_answer.set()
    hits = wait_until(lambda: f(0) == f(0), 60)
    return {"slowest": slowest, "computed": computed, "hits": hits, "asked": resolver.asked}


def main() -> None:
    try:
        enter(
            {
                "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:5 attempts:2\n",
                "/etc/hosts": "127.0.0.1 localhost\n",
            }
        )
    except OSError as error:
        sys.exit(f"no name spaces here: {error}")
    resolver = Resolver()
    DNSServer(resolver, address="127.0.0.1", port=53).start_thread()
    binary, _ = find_redis()
    if sys.argv[1] == "Redis":
        assert binary is not None
        with RedisServer(binary=binary, tcp=True) as redis:
            print(json.dumps(tried(RedisCache(f"redis://{NAME}:{redis.address[1]}", timeout=TIMEOUT), resolver)))
    else:
        with MemcachedServer(tcp=True) as memcached:
            print(json.dumps(tried(MemcachedCache([f"{NAME}:{memcached.address[1]}"], timeout=TIMEOUT), resolver)))
    sys.stdout.flush()
    os._exit(0)  # whoever still waits for an answer


if __name__ == "__main__":
    main()
