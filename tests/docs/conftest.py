"""What the tests of pages share: a home of the page's own, and real servers in place of those that it names."""

import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import memocache
from tests.docs.pages import PREFIX, run_page
from tests.support.redis_servers import RedisServer
from tests.support.servers import MemcachedServer

PageRunner = Callable[[Path], dict[str, Any]]


def replacements(text: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """Return what stands in the *text* of a page, and what to put in its place; its servers are started."""
    prefix = request.getfixturevalue("prefix")
    # With a deadline that a busy machine keeps: half a second is enough for users, who are served all the same.
    replaced = {
        'key_prefix="shop:")': f'key_prefix="{prefix}", timeout=60)',
        "prefix=shop:": f"prefix={prefix}&timeout=60s",
    }
    if "127.0.0.1:11211" in text:
        memcached: MemcachedServer = request.getfixturevalue("memcached_tcp")
        host, port = memcached.address
        replaced["127.0.0.1:11211"] = f"{host}:{port}"
    if "redis://127.0.0.1:6379/0" in text:
        redis: RedisServer = request.getfixturevalue("redis_server")
        replaced["redis://127.0.0.1:6379/0?"] = f"{redis.url}{'&' if '?' in redis.url else '?'}"
        replaced["redis://127.0.0.1:6379/0"] = redis.url
    return replaced


def is_of_page(function: Any) -> bool:
    """Return whether *function* is of the page that is being run."""
    name = getattr(function, "__module__", "")
    return name in sys.modules and name.startswith(PREFIX)


@pytest.fixture
def run(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[PageRunner]:
    """Run the examples of a page one after the other; returns what they have defined."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    every = memocache.cached_functions  # in this process, of other tests, too, which may not have a cache any more
    monkeypatch.setattr(memocache, "cached_functions", lambda: [each for each in every() if is_of_page(each)])
    names: dict[str, Any] = {}

    def run_it(page: Path) -> dict[str, Any]:
        names.update(found := run_page(page, replacements(page.read_text("utf-8"), request)))
        return found

    yield run_it
    for made in names.values():
        if type(made).__module__.startswith("diskcache."):
            made.close()  # it does not do so itself when it is gone, of which SQLite warns from Python 3.13 on


@pytest.fixture(autouse=True)
def only_functions_of_the_page(only_own_functions: None) -> None:
    """Other pages may have had the same tags, on servers that are gone."""
