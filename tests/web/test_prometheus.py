"""Metrics of two workers of gunicorn, of which each scrape reaches one."""

import re
from pathlib import Path

import pytest

from tests.support.servers import wait_until
from tests.web.http_servers import Gunicorn

pytest.importorskip("gunicorn")
pytest.importorskip("prometheus_client")

CALLS = 40
VALUE = re.compile(r'^cache_calls_total\{[^}]*outcome="(\w+)"[^}]*\} (\S+)$', re.MULTILINE)


def test_a_scrape_has_the_figures_of_all_workers(tmp_path: Path) -> None:
    with Gunicorn("tests.web.prometheus_app:app", PROMETHEUS_MULTIPROC_DIR=str(tmp_path)) as server:
        computed: set[tuple[str, int]] = set()  # by which worker, of which number: each has a cache of its own
        asked = 0
        while asked < CALLS or len({worker for worker, _ in computed}) < 2:
            answer = server.ask("GET", f"/double/{asked % 4}")
            assert answer.status == 200
            computed.add((answer.headers["X-Worker"], asked % 4))
            asked += 1
        found: dict[str, float] = {}

        def has_all() -> bool:
            text = server.ask("GET", "/metrics").body.decode()
            found.clear()
            for outcome, value in VALUE.findall(text):
                found[outcome] = found.get(outcome, 0.0) + float(value)
            return sum(found.values()) == asked

        wait_until(has_all)
        assert (found["miss"], found["hit"]) == (len(computed), asked - len(computed))
