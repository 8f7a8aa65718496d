import shutil
from typing import Any

import pytest

from benchmarks.answer import QUICK, Unanswerable
from benchmarks.command import answered
from benchmarks.processes import Busy, Question, grid, rate
from benchmarks.processes import roster as contestants
from benchmarks.worker import Worker
from tests.support.servers import skip_or_fail


class Done:
    def __init__(self, *result: float) -> None:
        self._result = result
        self.told: list[Any] = []

    def begin(self, *words: Any) -> None:
        self.told.append(words)

    def result(self) -> tuple[float, ...]:
        return self._result


def test_a_rate_is_of_all_processes_from_the_first_to_the_last():
    workers: list[Any] = [Done(100, 5.0, 6.0), Done(300, 5.5, 7.0)]
    assert rate(workers, 1.0) == 200
    assert [worker.told for worker in workers] == [[("hits", 1.0)]] * 2


def test_a_row_says_what_more_processes_bring():
    entrants = [contestants.entrant("memocache")]
    shown = grid(entrants, {"memocache": {1: 20_000.0, 8: 50_000.0}}, {"absent": "not installed"})
    assert list(shown.columns) == ["1 process", "8 processes", "last / first"]
    assert shown.rows[0].cells == ["20,000", "50,000", "2.50"]
    assert shown.rows[1].missing == "not installed"


def test_without_a_server_it_is_not_answered(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unanswerable, match="there is no memcached on PATH"):
        Question().ask(QUICK)
    told: list[str] = []
    assert "no memcached" in str(answered(Question(), QUICK, told.append).skipped)
    assert len(told) == Question().pieces(QUICK)


@pytest.mark.parametrize("name", ["memocache", "pymemcache Client.get"])
def test_hot_keys_are_hit_on_the_server(memcached, client_for, name):
    client = client_for(memcached.address)
    with Worker(Busy, name, memcached.address, ()) as worker:
        worker.call("hits", 0.0)
        before = int(client.stats()[b"get_hits"])
        hits, begin, end = worker.call("hits", 0.0)
        assert int(client.stats()[b"get_hits"]) - before >= hits > 0
        assert begin < end


def test_a_quick_answer_has_ours_and_the_bare_client():
    if shutil.which("memcached") is None:
        skip_or_fail("there is no memcached on PATH")
    told: list[str] = []
    answer = Question().ask(QUICK, told.append)
    rows = {row.name: row for row in answer.grids[0].rows}
    assert rows["memocache"].ours
    assert all(rows[name].value > 0 for name in ("memocache", "pymemcache Client.get"))
    assert any(note.startswith("memcached 1.") and "core" not in note for note in answer.notes)
    assert len(told) <= Question().pieces(QUICK)
