"""The gate, which counts instructions."""

import re
import shutil
import textwrap
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from sysconfig import get_config_var

import pytest

from benchmarks import gate
from benchmarks.gate import FILE, ROOT, ROWS, Stored, beside, compared, instructions, least, main, table, table_beside
from benchmarks.harness import Unavailable
from tests.support.servers import skip_or_fail

IN_PROCESS = ("hit", "hit-of-two", "hit-with-names", "hit-of-method")
HITS = (*IN_PROCESS, "memcached", "redis", *(f"pure-{row}" for row in IN_PROCESS))
OTHERS = ("miss", "uncache", "import", "pure-miss", "pure-uncache")
ALL = {row.name: 10_000 for row in ROWS}
CLONE = pytest.mark.skipif(
    shutil.which("git") is None or not (ROOT / ".git").exists(), reason="no clone of the repository: no commits"
)

SLOWER = """
fast = cached

def cached(**options):
    def decorate(function):
        call = fast(**options)(function)
        return call if function.__name__ == "of_two" else lambda a: call(a)

    return decorate
"""
UNCACHED = """
SimpleCache = dict

def cached(**options):
    return lambda function: function
"""


def verdicts(now: dict[str, int], **limits: float) -> dict[str, str]:
    return {each.row.name: each.verdict for each in compared(ALL, ALL | now, limits) if each.verdict}


@pytest.fixture
def valgrind() -> str:
    try:
        return gate.require_valgrind()
    except Unavailable as reason:
        skip_or_fail(str(reason))


# ---- what is compared --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", HITS)
def test_a_hit_may_need_three_in_a_hundred_more(row):
    assert verdicts({row: 10_301}) == {row: "TOO MANY"}
    assert verdicts({row: 10_300}) == {}


@pytest.mark.parametrize("row", OTHERS)
def test_a_miss_may_need_fifteen_in_a_hundred_more(row):
    assert verdicts({row: 11_501}) == {row: "TOO MANY"}
    assert verdicts({row: 11_400}) == {}
    assert {*HITS, *OTHERS} == {*ALL}


def test_what_needs_clearly_less_is_told():
    assert verdicts({"hit": 9_800, "redis": 9_600}) == {"redis": "fewer"}
    assert verdicts({"miss": 8_600, "uncache": 8_800}) == {"miss": "fewer"}


def test_a_limit_of_the_command_line_goes_first():
    assert verdicts({"miss": 11_400}, miss=1.1) == {"miss": "TOO MANY"}
    assert verdicts({"miss": 11_600, "hit": 10_400}, miss=1.2) == {"hit": "TOO MANY"}


@pytest.mark.parametrize(("row", "bar"), [*zip(IN_PROCESS, (1.3, 1.6, 1.5, 2.0), strict=True)])
def test_a_hit_may_need_so_many_times_what_lru_cache_needs(row, bar):
    lru = {f"lru_cache-{each}": 1_000 for each in IN_PROCESS}
    quick = ALL | dict.fromkeys(IN_PROCESS, 1_000) | lru
    assert [each.verdict for each in beside(quick | {row: round(1_000 * bar)})] == [""] * 4
    found = beside(quick | {row: round(1_000 * bar) + 1})
    assert {each.row.name: each.verdict for each in found if each.verdict} == {row: "TOO MANY"}
    lines = table_beside(found).splitlines()
    assert lines[0] == "Instructions a call, of functools.lru_cache and now"
    assert lines[-1].startswith(f"More instructions than they may need: {row} (")


def test_what_was_not_counted_is_beside_nothing():
    assert beside(ALL) == []
    assert beside({"miss": 1}) == []


def test_only_what_was_counted_is_compared():
    assert [each.row.name for each in compared(ALL, {"miss": 1, "hit": 1}, {})] == ["hit", "miss"]


def test_the_table_says_what_is_beyond_its_limit_and_what_to_do():
    now = ALL | {"hit": 10_400, "miss": 11_700, "redis": 9_000}
    lines = table(compared(ALL, now, {}), "stored, of 34a39e4286").splitlines()
    assert lines[0] == "Instructions a call, before (stored, of 34a39e4286) and now"
    assert lines[2].split() == ["before", "now", "ratio", "limit"]
    rows = {line.split()[0]: re.split("  +", line) for line in lines[3 : 3 + len(ROWS)]}
    assert set(rows) == set(ALL)
    assert rows["hit"] == ["hit", "f(1)", "10,000", "10,400", "1.040", "1.030", "TOO MANY"]
    assert [rows["redis"][-1], rows["uncache"][-1]] == ["fewer", "1.150"]
    assert lines[-3:] == [
        "More instructions than they may need: hit (1.040, limit 1.030), miss (1.170, limit 1.150). Let them do less.",
        "If what they do now is worth it: commit that, store the new numbers, and say why: "
        "python -m benchmarks.gate --store",
        "Clearly fewer: redis. So that it stays so, store the new numbers: python -m benchmarks.gate --store",
    ]


def test_where_all_is_well_the_table_says_so():
    assert table(compared(ALL, ALL, {}), "x").splitlines()[-1] == "All is within its limit."


def test_numbers_of_a_commit_are_not_to_be_stored_anew():
    assert "--store" not in table(compared(ALL, ALL | {"hit": 20_000, "miss": 1}, {}), "34a39e4", stored=False)


# ---- what is stored ----------------------------------------------------------------------------------------------


@CLONE
def test_the_stored_numbers_are_of_a_memocache_that_git_has():
    stored = Stored.read(FILE)
    assert gate.git("cat-file", "-t", stored.package) == b"tree\n"
    assert all(count > 100 for count in stored.instructions.values())


def test_what_is_written_is_read_again(tmp_path):
    stored = Stored("c", "p", {"python": "3.11"}, ALL)
    stored.write(tmp_path / "gate.json")
    assert Stored.read(tmp_path / "gate.json") == stored


@pytest.mark.parametrize("text", [None, "", "{}", "[]", '{"commit": 1}'])
def test_numbers_that_are_not_there_are_to_be_stored(tmp_path, text):
    file = tmp_path / "gate.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(Unavailable, match=r"there are no stored numbers in .*gate\.json .*store some: python -m"):
        Stored.read(file)


def test_numbers_of_other_rows_are_to_be_stored_anew(tmp_path):
    Stored("c", "p", {}, {"hit": 1}).write(tmp_path / "gate.json")
    with pytest.raises(Unavailable, match="does not have the rows that are counted; store them anew: python -m"):
        Stored.read(tmp_path / "gate.json")


def test_numbers_say_nothing_about_another_environment(valgrind):
    present = gate.environment()
    stored = Stored("c", "p", present, ALL)
    assert {"python", "wrapt", "pymemcache", "msgspec", "redis", "valgrind", "compiler", "counted.py"} <= set(present)
    assert stored.other(present) == ""
    assert stored.other(present | {"wrapt": "0.1"}) == f"wrapt: {present['wrapt']}, now 0.1"
    assert replace(stored, environment={}).other({"python": "3"}) == "python: None, now 3"


# ---- the command line --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            "hitt",
            "there is no row 'hitt'; there are: hit, hit-of-two, hit-with-names, hit-of-method, memcached, redis, ",
        ),
        ("--limit mis=1.1", "there is no row 'mis'; there are: hit, "),
        *(
            (f"--limit miss{end}", f"--limit miss{end}; wanted: a row and a ratio")
            for end in ("", "=slow", "=nan", "=-1")
        ),
        ("--store hit", "--store stores all rows, and compares none; leave out rows and limits"),
        ("--store --against HEAD", "not allowed with argument"),
    ],
)
def test_a_wrong_word_is_refused(words, said, capsys):
    with pytest.raises(SystemExit) as exit:
        main(words.split())
    assert exit.value.code == 2
    assert said in capsys.readouterr().err


def test_without_valgrind_nothing_is_counted(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main([]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == (
        "The gate counted nothing: there is no valgrind on PATH, which counts the instructions "
        "(Debian, Ubuntu: apt-get install valgrind)\n"
    )


def test_a_commit_that_git_does_not_have_is_told(valgrind, capsys):
    assert main(["hit", "--against", "no-such-commit"]) == 2
    said = capsys.readouterr().err
    assert "no-such-commit:memocache` failed: " in said
    assert "(if the clone is a shallow one: git fetch --unshallow)" in said


# ---- counting ----------------------------------------------------------------------------------------------------


def test_the_least_of_a_row_counts_by_call():
    said = ["import 1", "hit 10", "hit 10", "miss 2"]
    found = least(said, [9_999, 5_000, 9_999, 1_234, 9_999, 1_226, 9_999, 300, 9_999])
    assert found == {"import": 5_000, "hit": 123, "miss": 150}


def test_a_mark_of_somebody_elses_is_noticed():
    with pytest.raises(Unavailable, match=r"callgrind saw 3 marks where 2 were set: something else calls os\.getppid"):
        least(["import 1"], [1, 2, 3, 4])


@pytest.mark.timeout(400)  # it is 12 s of computing, on a busy machine much longer
def test_what_makes_a_hit_slower_is_noticed(valgrind, tmp_path):
    for folder in ("plain", "other"):
        (tmp_path / folder).mkdir()
    plain, other = (gate.present_tree(tmp_path / folder) for folder in ("plain", "other"))
    with (other / "memocache" / "__init__.py").open("a") as file:
        file.write(SLOWER)
    with ThreadPoolExecutor(2) as pool:
        before, now = pool.map(lambda tree: instructions(tree, ["hit", "hit-of-two"]), (plain, other))
    slow, same = compared(before, now, {})
    shown = table([slow, same], "without a wrapper")
    assert slow.verdict == "TOO MANY", shown
    assert 1.03 < slow.ratio < 2, shown
    assert same.ratio == pytest.approx(1, abs=0.01), shown


@pytest.mark.timeout(400)
def test_hits_are_counted_in_c_in_python_and_of_lru_cache(valgrind, tmp_path):
    found = instructions(gate.present_tree(tmp_path), ["hit", "pure-hit", "lru_cache-hit"])
    assert found["hit"] < 1_500 < found["pure-hit"] < 6_000, found
    assert 300 < found["lru_cache-hit"] < 1_500, found


def test_a_hit_that_was_computed_does_not_count(valgrind, tmp_path):
    (tmp_path / "memocache").mkdir()
    (tmp_path / "memocache" / "__init__.py").write_text(textwrap.dedent(UNCACHED))
    with pytest.raises(Unavailable, match="hit: 500 of 500 calls were computed; wanted: 0"):
        instructions(tmp_path, ["hit"])


def test_another_memocache_does_not_count(valgrind, tmp_path):
    with pytest.raises(Unavailable, match=r"memocache came from .*; wanted: .*nothing-here"):
        instructions(tmp_path / "nothing-here", ["import"])


def test_who_is_never_ready_is_not_waited_for(valgrind, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(gate, "LONGEST", 0.001)
    with pytest.raises(Unavailable, match=r"counted\.py was not ready after 0\.001 s; try it on a machine that does"):
        instructions(tmp_path, ["import"])


@CLONE
def test_another_commits_memocache_is_taken_out_of_git(tmp_path):
    tree = gate.tree_of("HEAD:memocache", tmp_path)
    assert [path.name for path in tree.iterdir()] == ["memocache"]
    assert [path.name for path in (tree / "memocache").glob("_hit*.so")] == [f"_hit{get_config_var('EXT_SUFFIX')}"]
    assert (tree / "memocache" / "__init__.py").read_bytes() == gate.git("show", "HEAD:memocache/__init__.py")
