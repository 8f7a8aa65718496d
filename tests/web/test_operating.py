"""An application in two workers of gunicorn, as whoever runs it sees it: events, metrics, and the command `memocache`.

On each cache that processes share: what was driven is what is told, and what the command forgets is computed anew.
"""

import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.selection import ROOT
from tests.support.servers import wait_until
from tests.web.http_servers import Gunicorn
from tests.web.inspector_site import Visitor

for needed in ("gunicorn", "prometheus_client", "opentelemetry.sdk"):
    pytest.importorskip(needed)

APPLICATION = "tests.web.observed_app"
CALLS = 40
OUTCOMES = ("hit", "stale", "miss", "wait")
CALLS_OF = re.compile(r'^cache_calls_total\{function="([^"]*)",outcome="(\w+)",[^}]*\} (\S+)$', re.MULTILINE)
OPERATIONS_OF = re.compile(
    r'^cache_operation_duration_seconds_count\{[^}]*operation="(\w+)"[^}]*\} (\S+)$', re.MULTILINE
)


class Site:
    """The application while it is served, and the command beside it."""

    def __init__(self, server: Gunicorn, url: str) -> None:
        self.server = server
        self._url = url

    def get(self, target: str, **headers: str) -> set[str]:
        """Return what both workers answer."""
        return {answer.body.decode() for answer in self.server.from_each("GET", target, **headers).values()}

    def drive(self) -> int:
        """Ask both workers for the tokens, and return how often."""
        asked, workers = 0, set()
        while asked < CALLS or len(workers) < 2:
            answer = self.server.ask("GET", f"/token/{asked % 4}")
            assert answer.status == 200
            workers.add(answer.headers["X-Worker"])
            asked += 1
        return asked

    def told(self) -> tuple[Counter[str], Counter[str]]:
        """Return the events of both workers, and what OpenTelemetry has of them."""
        events: Counter[str] = Counter()
        telemetry: Counter[str] = Counter()
        for answer in self.server.from_each("GET", "/told").values():
            events += Counter(answer.json["events"])
            telemetry += Counter(answer.json["telemetry"])
        return events, telemetry

    def scraped(self) -> Counter[str]:
        """Return what Prometheus has of them."""
        text = self.server.ask("GET", "/metrics").body.decode()
        found: Counter[str] = Counter()
        for function, outcome, value in CALLS_OF.findall(text):
            found[f"{function.rpartition('.')[2]} {outcome}"] += int(float(value))
        for operation, value in OPERATIONS_OF.findall(text):
            found[f" {operation}"] += int(float(value))
        return +found

    def command(self, *arguments: str, status: int = 0) -> str:
        """Return what the command `memocache` prints."""
        done = subprocess.run(
            [sys.executable, "-m", "memocache", *arguments],
            cwd=ROOT,
            env={**os.environ, "MEMOCACHE_URL": self._url},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout + done.stderr

    def on_application(self, *arguments: str, status: int = 0) -> str:
        return self.command("-a", APPLICATION, *arguments, status=status)


@pytest.fixture
def site(url: str, tmp_path: Path) -> Iterator[Site]:
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    with Gunicorn(f"{APPLICATION}:app", MEMOCACHE_URL=url, PROMETHEUS_MULTIPROC_DIR=str(metrics)) as server:
        yield Site(server, url)


def of(function: str, figures: Counter[str]) -> dict[str, int]:
    """Return the outcomes of the calls of a *function*."""
    return {kind: figures[f"{function} {kind}"] for kind in OUTCOMES if figures[f"{function} {kind}"]}


def test_events_and_metrics_tell_what_was_driven(site: Site) -> None:
    asked = site.drive()
    for language in ("de", "en", "de"):
        assert len(site.get("/page/1", Accept_Language=language)) == 1
    events, _ = site.told()
    assert of("token", events) == {"hit": asked - 4, "miss": 4}
    assert events["token stored"] == 4
    assert of("page", events)["miss"] == 2
    calls = sum(of("page", events).values())

    def agree() -> bool:
        events, telemetry = site.told()
        operations = {name: count for name, count in events.items() if name.startswith(" ")}
        wanted = {f"{name} {kind}": n for name in ("token", "page") for kind, n in of(name, events).items()}
        wanted |= operations
        return wanted == telemetry == site.scraped()

    assert wait_until(agree, 20)
    assert sum(of("page", site.told()[1]).values()) == calls  # each request once, though its response has a Vary
    _, telemetry = site.told()
    assert telemetry[" get"] >= asked
    assert telemetry[" set"] >= 6


def test_what_the_command_forgets_is_computed_anew_by_both_workers(site: Site, request: pytest.FixtureRequest) -> None:
    def tokens() -> list[str]:
        found = [site.get(f"/token/{number}") for number in range(4)]
        assert [len(each) for each in found] == [1] * 4  # both workers have the same
        return [each.pop() for each in found]

    def changed(*arguments: str) -> list[bool]:
        before = tokens()
        assert "forgotten" in site.on_application(*arguments)
        return [one != other for one, other in zip(before, tokens(), strict=True)]

    before = tokens()
    told = site.on_application("entry", "token(1, 1)")
    assert "expires in" in told
    assert "parity:1" in told
    assert tokens() == before
    assert changed("uncache", "token(1, parity=1)") == [False, True, False, False]
    assert changed("uncache", "--tag", "parity:0") == [True, False, True, False]
    assert changed("uncache", "--all", "token") == [True] * 4
    assert "nothing is stored" in site.on_application("entry", "token(9, 1)", status=1)
    page = site.get("/page/1")
    assert site.get("/page/1") == page
    site.on_application("uncache", "page(1)")
    assert not site.get("/page/1") & page
    listed = [json.loads(line) for line in site.on_application("ls", "token", "--json").splitlines()]
    assert len([each for each in listed if "key" in each]) == 4


def test_the_command_shows_what_the_workers_have_counted(site: Site, url: str) -> None:
    asked = site.drive()

    def calls() -> int:
        lines = site.command("stats", url, "--json").splitlines()
        return sum(each["calls"] for each in map(json.loads, lines) if each["function"].endswith("token"))

    assert wait_until(lambda: calls() == asked, 20)
    assert "token" in site.command("stats", url)
    has_room_without_end = url.startswith("unix:")  # the Redis of the tests has no maxmemory
    looked = site.command("doctor", url, status=int(has_room_without_end))
    assert ("maxmemory" if has_room_without_end else "all is well") in looked


def test_the_page_is_the_same_from_each_worker(site: Site) -> None:
    asked = site.drive()
    host, port = site.server.address
    workers, keys = set(), set()

    def has_all() -> bool:
        answer = visitor.page("?function=tests.web.observed_app.token")
        assert answer.status_code == 200
        workers.add(answer.headers["X-Worker"])
        keys.update(re.findall(r'name="key" value="([^"]+)"', answer.text))
        return len(workers) == 2 and f"of {asked} calls" in answer.text and len(keys) == 4

    with Visitor(f"http://{host}:{port}/cache/") as visitor:
        visitor.enter()
        assert wait_until(has_all, 20)
        before = [site.get(f"/token/{number}") for number in range(4)]
        form = {"token": visitor.token, "function": "tests.web.observed_app.token"}
        assert visitor.send_form(act="entry", key=keys.pop(), **form).status_code == 303
        after = [site.get(f"/token/{number}") for number in range(4)]
        assert [len(each) for each in after] == [1] * 4
        assert sum(one != other for one, other in zip(before, after, strict=True)) == 1
        assert visitor.send_form(act="tag", tag="parity:0", **form).status_code == 303
        assert visitor.send_form(act="tag", tag="parity:1", **form).status_code == 303
        assert not any(one & site.get(f"/token/{number}") for number, one in enumerate(after))
