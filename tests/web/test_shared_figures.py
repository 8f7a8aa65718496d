"""The figures of two workers of a server, which share them on a cache."""

from collections.abc import Callable

import pytest

from memocache.stats import read
from tests.support.servers import wait_until
from tests.web.http_servers import Gunicorn, Uwsgi, WebServer

APPLICATION = "tests.web.figures_app:app"
CALLS = 40


def calls(url: str) -> int:
    return sum(figures.totals.calls for figures in read(url))


def drive(server: WebServer) -> tuple[int, int]:
    """Call the function until both workers have; return how often, and of those how many calls were computed."""
    computed: set[tuple[str, int]] = set()
    asked = 0
    while asked < CALLS or len({worker for worker, _ in computed}) < 2:
        answer = server.ask("GET", f"/double/{1 + asked % 4}")
        assert answer.status == 200
        computed.add((answer.headers["X-Worker"], asked % 4))
        asked += 1
    return asked, len(computed)


@pytest.mark.parametrize(("arguments", "processes"), [("", 2), ("--preload", 1)], ids=["loaded by each", "preloaded"])
def test_workers_of_gunicorn_are_counted_together_also_when_they_have_ended(
    url: str, arguments: str, processes: int
) -> None:
    pytest.importorskip("gunicorn")
    with Gunicorn(APPLICATION, FIGURES=url, GUNICORN_CMD_ARGS=arguments) as server:
        asked, computed = drive(server)
        server.stop()
    # The application was loaded by so many processes, and each has called it once; with that, it had something stored.
    assert wait_until(lambda: calls(url) >= asked + processes, 20)
    (figures,) = read(url)
    assert (figures.function, figures.totals.calls) == ("shop.double", asked + processes)
    assert figures.totals.misses == computed + processes


NEEDS_THREAD = "needs a thread in each worker of uWSGI, and without {} there is none, so that what they count is lost; "


@pytest.mark.parametrize("option", ["py-call-osafterfork", "lazy-apps"])
def test_workers_of_uwsgi_are_counted_together(shared_url: Callable[[str], str], option: str) -> None:
    url = shared_url("memcached")
    with Uwsgi(APPLICATION, option, FIGURES=url, EVERY="0.05") as server:
        asked, _ = drive(server)
        assert wait_until(lambda: calls(url) >= asked + (2 if option == "lazy-apps" else 1), 20)
        assert calls(url) == asked + (2 if option == "lazy-apps" else 1)
        assert "needs a thread" not in (server.directory / "stderr").read_text()


@pytest.mark.parametrize(
    ("option", "has_threads", "missing", "times"),
    [
        ("need-app", True, ["lazy-apps"], 1),
        ("lazy-apps", False, ["enable-threads"], 2),
        ("need-app", False, ["enable-threads", "lazy-apps"], 1),
    ],
)
def test_workers_of_uwsgi_that_have_no_thread_are_told_of(
    shared_url: Callable[[str], str], option: str, has_threads: bool, missing: list[str], times: int
) -> None:
    message = "share() " + NEEDS_THREAD.format(" and ".join(missing)) + f"set {' = true and '.join(missing)} = true"
    with Uwsgi(APPLICATION, option, has_threads=has_threads, FIGURES=shared_url("memcached")) as server:
        assert wait_until(lambda: (server.directory / "stderr").read_text().count(message) == times, 20)
