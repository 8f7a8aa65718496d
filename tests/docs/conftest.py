"""What the tests of pages share: a home of the page's own, and real servers in place of those that it names."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memocache
from tests.docs.pages import PREFIX, run_page
from tests.support.redis_servers import RedisServer
from tests.support.servers import MemcachedServer

PageRunner = Callable[[Path], dict[str, Any]]


@pytest.fixture
def replaced(memcached_tcp: MemcachedServer, redis_server: RedisServer, prefix: str) -> dict[str, str]:
    """What stands in a page, and what to put in its place."""
    host, port = memcached_tcp.address
    return {
        "127.0.0.1:11211": f"{host}:{port}",
        "redis://127.0.0.1:6379/0?": f"{redis_server.url}{'&' if '?' in redis_server.url else '?'}",
        "redis://127.0.0.1:6379/0": redis_server.url,
        # With a deadline that a busy machine keeps: half a second is enough for users, who are served all the same.
        'key_prefix="shop:")': f'key_prefix="{prefix}", timeout=60)',
        "prefix=shop:": f"prefix={prefix}&timeout=60s",
    }


@pytest.fixture
def run(replaced: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PageRunner:
    """Run the examples of a page one after the other; returns what they have defined."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    every = memocache.cached_functions  # in this process, of other tests, too, which may not have a cache any more
    monkeypatch.setattr(
        memocache, "cached_functions", lambda: [each for each in every() if each.__module__.startswith(PREFIX)]
    )
    return lambda page: run_page(page, replaced)
