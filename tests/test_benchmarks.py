import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.harness import (
    Answer,
    Case,
    Effort,
    Question,
    Table,
    Tally,
    Timing,
    Unanswerable,
    WrongWork,
    ask,
    pieces,
)
from benchmarks.report import Report

ROOT = Path(__file__).parent.parent
PEERS = ("cachebox", "cachetools", "dogpile", "moka_py", "rich")
TINY = Effort(rounds=3, seconds=0.001)

WITHOUT_PEERS = """
import runpy, sys
sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(",")))  # None: there is no such module
runpy.run_module("benchmarks", run_name="__main__")
"""


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert "\r" not in done.stderr, "a bar where there is no terminal"
    return done.stdout


def table_of(text: str, case: str) -> list[str]:
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(case))
    return "\n".join(lines[start:]).split("\n\n")[0].splitlines()


def test_all_questions_are_answered_with_ours_marked(tmp_path):
    as_json, as_markdown = tmp_path / "b.json", tmp_path / "b.md"
    text = run("-m", "benchmarks", "--quick", "--json", str(as_json), "--markdown", str(as_markdown))
    for case in ("f(1)", "f(1, 2)", "f(1, b=2, c=4)", "shop.total(1)"):
        assert any(line.startswith("> memocache ") for line in table_of(text, case))
        assert any("functools.lru_cache" in line and " 1.00 " in line for line in table_of(text, case)[1:])
    assert "| **memocache** |" in as_markdown.read_text()
    data = json.loads(as_json.read_text())
    assert set(data["questions"]) == {"hit", "memcached"}
    assert data["machine"]["python"].startswith("CPython")
    assert data["packages"]["memocache"]


def test_one_question_alone():
    text = run("-m", "benchmarks.hit", "--quick")
    assert "> memocache " in text
    assert "Client.get" not in text
    assert run("-m", "benchmarks", "--quick", "hit").count("=====") == text.count("=====")


def test_no_peer_need_be_installed():
    text = run("-c", WITHOUT_PEERS, ",".join(PEERS), "--quick")
    assert "> memocache " in text
    for peer in ("cachetools TTLCache, lock", "cachebox TTLCache", "moka-py ttl", "dogpile.cache memory"):
        assert any(peer in line and line.endswith("not installed") for line in table_of(text, "f(1)"))


def test_an_unknown_question_is_answered_with_those_there_are():
    words = [sys.executable, "-m", "benchmarks", "hitt"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "there is no question 'hitt'; there are: hit, memcached" in done.stderr


# ---- the harness -------------------------------------------------------------------------------------------------


def question(**options: Any) -> Question:
    asked = Question("sums", "Sums", cases=[Case("sum", "add()")], baseline="some", unit="ns", **options)
    asked.contestant("many", "functools")(lambda module: {"add": lambda: sum(range(5000))})
    asked.contestant("some", "functools")(lambda module: {"add": lambda: sum(range(1))})
    asked.contestant("absent", "no-such-package")(lambda module: pytest.fail("there is nothing to build"))
    return asked


def test_the_quickest_stands_first():
    told: list[str] = []
    asked = question()
    (table,) = ask(asked, TINY, told.append).tables
    assert [timing.name for timing in table.timings] == ["some", "many"]
    assert table.ratio(table.timings[0]) == 1
    assert table.missing == ["absent"]
    assert len(told) == pieces(asked, TINY)
    assert all(len(timing.rounds) == TINY.rounds for timing in table.timings)


def test_ratio_and_spread_are_of_the_quickest_rounds():
    ours, other = Timing("memocache", True, 1, [6.0, 3.0, 4.5]), Timing("some", False, 1, [2.0, 2.0, 9.0])
    table = Table("sum", "some", [other, ours], [])
    assert table.ratio(ours) == 1.5
    assert ours.spread == 0.5
    lines = Report({}, {}, [Answer(question(), [table])]).text().splitlines()
    assert lines[-1].split() == [">", "memocache", "3,000,000,000", "1.50", "+50%"]


def test_a_round_has_every_contestant_once(monkeypatch):
    orders = []
    shuffle = random.sample
    monkeypatch.setattr(random, "sample", lambda entrants, n: orders.append(shuffle(entrants, n)) or orders[-1])
    ask(question(), TINY)
    assert len(orders) == TINY.rounds
    assert all({entrant.contestant.name for entrant in order} == {"many", "some"} for order in orders)


@pytest.mark.parametrize(("computes", "really"), [(0, 1), (1, 0)])
def test_who_computes_more_or_less_than_agreed_has_no_time(computes, really):
    tally = Tally()

    def add() -> None:
        tally.count += really

    case = Case("sum", "add()", computes=computes)
    asked = Question("sums", "Sums", cases=[case], baseline="some", unit="ns", tally=tally)
    asked.contestant("some", "functools")(lambda module: {"add": add})
    with pytest.raises(WrongWork, match=rf"some computed \d+ times in 1 x `add\(\)`; wanted: {computes}"):
        ask(asked, TINY)


def test_a_question_that_cannot_be_asked_says_why():
    def venue() -> Any:
        raise Unanswerable("there is no server")

    answer = ask(question(venue=venue), TINY)
    report = Report({}, {}, [answer])
    assert "Skipped: there is no server." in report.text()
    assert "Skipped: there is no server." in report.markdown()
    assert report.data()["questions"]["sums"]["skipped"] == "there is no server"
