"""Debuggers, profilers, coverage and the developer mode see nothing strange in the calls that are written."""

import subprocess
import sys
from pathlib import Path

import pytest

WATCHED = """
from memocache import SimpleCache, cached

class Shop:
    @cached(timeout=60)
    def price(self, article, amount=1):
        return article * amount

@cached(timeout=60, cache=SimpleCache(threshold=10))
def area(width, height=2):
    if width < 0:
        raise ValueError(width)
    return width * height

shop = Shop()
for _ in range(3):
    print(area(3), area(width=3, height=2), shop.price(4))
print(area.info().hits, shop.price.info().hits, area.uncache(3))
try:
    area(-1)
except ValueError as error:
    print("error", error)
"""


@pytest.mark.parametrize(
    "tool",
    [
        ["-X", "dev", "-W", "error"],
        ["-X", "tracemalloc", "-m", "cProfile"],
        ["-m", "profile"],
        ["-m", "trace", "--count", "--missing", "--coverdir", "counts"],
        ["-m", "trace", "--trace"],
        ["-m", "pdb", "-c", "continue"],
    ],
    ids=" ".join,
)
def test_it_works_under_tools_that_watch(tool: list[str], tmp_path: Path) -> None:
    script = tmp_path / "watched.py"
    script.write_text(WATCHED)
    words = [sys.executable, *tool, str(script)]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=100, input="quit\n")
    assert run.returncode == 0, run.stderr
    # Before Python 3.12 the collector has a callback of ours, which the profiler in Python takes for a bad call.
    assert [line for line in run.stderr.splitlines() if "Error" in line and "_note_collection" not in line] == []
    said = [line for line in run.stdout.splitlines() if line in ("6 6 4", "5 2 True", "error -1")]
    assert said == ["6 6 4"] * 3 + ["5 2 True", "error -1"]
