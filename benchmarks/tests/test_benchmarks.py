import json
import subprocess
import sys
from pathlib import Path

import memocache
from benchmarks.answer import QUICK, Answer, Unanswerable
from benchmarks.command import answered, main

ROOT = Path(__file__).parents[2]
PEERS = (
    "aiocache,async_lru,cachebox,cashews,cachetools,cachier,diskcache,dogpile,flask_caching,joblib,libmc,matplotlib,methodtools,"
    "moka_py,rich,ring,theine"
)

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


def refused(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    return done.stderr


def table_of(text: str, case: str) -> list[str]:
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(case))
    return "\n".join(lines[start:]).split("\n\n")[0].splitlines()


def test_questions_are_answered_with_ours_marked(tmp_path):
    as_json, as_markdown = tmp_path / "b.json", tmp_path / "b.md"
    written = ["--json", str(as_json), "--markdown", str(as_markdown)]
    text = run("-m", "benchmarks", "hit", "miss", "--quick", *written)
    for case in ("f(1)", "f(1, 2)", "f(1, b=2, c=4)", "shop.total(1)"):
        assert any(line.startswith("> memocache ") for line in table_of(text, case))
        assert any("functools.lru_cache" in line and " 1.00 " in line for line in table_of(text, case)[1:])
    for case in (
        "insert, with room ",
        "insert that evicts ",
        "forget one call ",
        "forget one call that was not there ",
    ):
        assert any(line.startswith("> memocache ") for line in table_of(text, case))
    assert "| **memocache** |" in as_markdown.read_text()
    data = json.loads(as_json.read_text())
    assert list(data["questions"]) == ["hit", "miss"]
    assert data["machine"]["python"].startswith("CPython")
    assert data["packages"]["memocache"] == memocache.__version__
    timings = data["questions"]["hit"]["grids"]["f(1)"]["data"]["timings"]
    assert {len(each["rounds"]) for each in timings} == {QUICK.rounds}


def test_beginning_is_to_decorate_and_to_import():
    text = run("-m", "benchmarks.start", "--quick")
    assert any(line.startswith("> memocache ") for line in table_of(text, "decorate a function"))
    imports = table_of(text, "import ")
    assert any(line.startswith("> memocache ") for line in imports)
    assert any("  wrapt, msgspec and pymemcache " in line and " 1.00 " in line for line in imports[1:])


def test_one_question_alone():
    text = run("-m", "benchmarks.hit", "--quick")
    assert "> memocache " in text
    assert "Client.get" not in text
    assert run("-m", "benchmarks", "--quick", "hit").count("=====") == text.count("=====")


def test_no_peer_need_be_installed():
    text = run("-c", WITHOUT_PEERS, PEERS, "--quick", "hit", "miss", "memcached", "start")
    assert "> memocache " in text
    for peer in ("cachetools TTLCache, lock", "cachebox TTLCache", "moka-py ttl", "dogpile.cache memory", "theine"):
        assert any(peer in line and line.endswith("not installed") for line in table_of(text, "f(1)"))


def test_charts_without_matplotlib_are_refused_before_anything_is_measured(tmp_path):
    said = refused("-c", WITHOUT_PEERS, "matplotlib", "--quick", "--charts", str(tmp_path))
    assert "charts need matplotlib: pip install 'matplotlib>=3.9'" in said


def test_an_unknown_question_is_answered_with_those_there_are():
    assert "there is no question 'hitt'; there are: hit, awaited, miss, start, " in refused("-m", "benchmarks", "hitt")


class Unasked:
    name = "sums"
    title = "Sums"
    packages = ("memocache",)

    def pieces(self, effort):
        return 3

    def ask(self, effort, told):
        told("one")
        raise Unanswerable("there is no server")


def test_a_question_that_cannot_be_asked_says_why(tmp_path, capsys):
    files = {kind: tmp_path / f"b.{kind}" for kind in ("json", "markdown")}
    main([Unasked()], ["--quick", *(word for kind, file in files.items() for word in (f"--{kind}", str(file)))])
    assert "Skipped: there is no server." in capsys.readouterr().out
    assert "Skipped: there is no server." in files["markdown"].read_text()
    assert json.loads(files["json"].read_text())["questions"]["sums"]["skipped"] == "there is no server"


def test_the_bar_comes_to_its_end_all_the_same():
    asked, told = Unasked(), []
    assert answered(asked, QUICK, told.append) == Answer("sums", "Sums", skipped="there is no server")
    assert len(told) == asked.pieces(QUICK)
