"""uWSGI, which forks without telling Python, with the options that docs/operating.md names."""

import shutil
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.redis_servers import RedisServer
from tests.support.servers import MemcachedServer, skip_or_fail, wait_until
from tests.web.http_servers import Uwsgi

CLIENTS = 8
WAYS = [
    *(("lazy-apps", cache) for cache in ("memcached", "Redis", "SQLite", "tiers")),
    *(("py-call-osafterfork", cache) for cache in ("memcached", "Redis", "tiers")),
]


@pytest.fixture(params=WAYS, ids=" ".join)
def server(
    request: pytest.FixtureRequest, memcached: MemcachedServer, redis_server: RedisServer, prefix: str, tmp_path: Path
) -> Iterator[Uwsgi]:
    if not (Path(sys.executable).parent / "uwsgi").exists() and shutil.which("uwsgi") is None:
        skip_or_fail("no uwsgi for the tests: pip install 'uWSGI>=2.0.28; sys_platform == 'linux''")
    option, cache = request.param
    urls = {
        "memcached": f"memcached://{memcached.address}?prefix={prefix}",
        "Redis": f"{redis_server.url}?prefix={prefix}",
        "SQLite": f"sqlite://{tmp_path / 'cache.db'}",
        "tiers": f"tiered+{redis_server.url}?prefix={prefix}&near_timeout=60",
    }
    # The application calls a cached function while it is loaded: then there is a connection, and with tiers a thread.
    with Uwsgi("tests.web.gunicorn_app:app", option, MEMOCACHE_URL=urls[cache], WARM="1") as server:
        yield server


def test_workers_share_results_and_not_their_connections(server: Uwsgi) -> None:
    before = {i: server.from_each("GET", f"/page/{i}") for i in range(3)}
    with ThreadPoolExecutor(CLIENTS) as clients:
        answers = list(clients.map(lambda n: server.ask("GET", f"/page/{n % 3}").json, range(40 * CLIENTS)))
    for number, answer in enumerate(answers):
        assert [answer] * 2 == [each.json for each in before[number % 3].values()]
    assert server.ask("POST", "/forget/1").body == b"True"

    def are_fresh() -> bool:
        after = {each.json["computed"] for each in server.from_each("GET", "/page/1").values()}
        return len(after) == 1 and answers[1]["computed"] not in after

    # A near tier learns of it a moment later; without the message it would serve the old for a minute.
    assert wait_until(are_fresh, 20)
