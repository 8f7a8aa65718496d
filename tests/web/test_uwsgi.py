"""uWSGI, which forks without telling Python, with the options that docs/operating.md names."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.servers import wait_until
from tests.web.http_servers import Uwsgi

CLIENTS = 8
WAYS = [
    *(("lazy-apps", cache) for cache in ("memcached", "Redis", "SQLite", "tiers")),
    *(("py-call-osafterfork", cache) for cache in ("memcached", "Redis", "tiers")),
]


@pytest.fixture(params=WAYS, ids=" ".join)
def server(request: pytest.FixtureRequest, shared_url: Callable[[str], str]) -> Iterator[Uwsgi]:
    option, cache = request.param
    url = f"tiered+{shared_url('redis')}&near_timeout=60" if cache == "tiers" else shared_url(cache.lower())
    # The application calls a cached function while it is loaded: then there is a connection, and with tiers a thread.
    with Uwsgi("tests.web.gunicorn_app:app", option, MEMOCACHE_URL=url, WARM="1") as server:
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
