"""The benchmarks, each once and quickly, and what they count."""

import functools
import json
import os
import random
import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pymemcache import Client

import memocache
from benchmarks import herd as herds
from benchmarks import scale as scales
from benchmarks.__main__ import main, result_of
from benchmarks.decorators import IN_PROCESS, SIZE, chosen
from benchmarks.eviction import SHARES, TRACES, Trace, eviction_of, hit_ratio, room, traces
from benchmarks.harness import FULL, QUICK, Benchmark, Peer, Peers, Unavailable, WrongWork, at_the_end, series
from benchmarks.herd import TaskHerd, ThreadHerd, herd_of, small_stacks
from benchmarks.report import Result
from benchmarks.scale import HIT, HITS, HOT, HOT_KEYS, UNITS, WEIGHT, Filled, Hot, ThreadSurvey, rate, scale_tables
from benchmarks.servers import MEMCACHED
from benchmarks.workers import Worker, together
from tests.support.servers import skip_or_fail

ROOT = Path(__file__).parents[2]
PEERS = (
    "aiocache,async_lru,cachebox,cashews,cachetools,cachier,diskcache,dogpile,flask_caching,joblib,libmc,matplotlib,"
    "methodtools,moka_py,ring,theine"
)
WITHOUT_PEERS = """
import runpy, sys
sys.modules.update(dict.fromkeys(sys.argv.pop(1).split(",")))  # None: there is no such module
runpy.run_module("benchmarks", run_name="__main__")
"""
OURS = IN_PROCESS["memocache"]
ABSENT = Peer("absent", "no-such-package", lambda *words: pytest.fail("there is nothing to build"))
LOOP = list(range(30)) * 20


def run(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert not re.search(r"^\d+ of \d+: ", done.stderr, re.MULTILINE), "there is no terminal"
    return done.stdout


def refused(*words: str) -> str:
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    return done.stderr


def table_of(text: str, case: str) -> list[str]:
    lines = text.splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(case))
    return "\n".join(lines[start:]).split("\n\n")[0].splitlines()


def has_ours(text: str, case: str, baseline: str = "") -> bool:
    rows = table_of(text, case)[1:]
    ours = any(line.startswith("> memocache ") for line in rows)
    return ours and any(f"  {baseline} " in line and " 1.00 " in line for line in rows) if baseline else ours


# ---- the command line --------------------------------------------------------------------------------------------


def test_benchmarks_have_ours_marked_in_all_that_is_written(tmp_path):
    as_json, as_markdown = tmp_path / "b.json", tmp_path / "b.md"
    text = run("-m", "benchmarks", "miss", "hit", "--quick", "--json", str(as_json), "--markdown", str(as_markdown))
    for case in ("f(1) ", "f(1, 2)", "f(1, b=2, c=4)", "shop.total(1)"):
        assert has_ours(text, case, "functools.lru_cache")
    for case in ("insert, with room ", "insert that evicts ", "forget one call ", "forget one call that was not "):
        assert has_ours(text, case, "cachetools TTLCache, lock")
    assert "Client.get" not in text, "which was not named"
    assert "| **memocache** |" in as_markdown.read_text()
    data = json.loads(as_json.read_text())
    assert list(data["benchmarks"]) == ["hit", "miss"]
    assert data["machine"]["python"].startswith("CPython")
    assert data["packages"]["memocache"] == memocache.__version__
    assert {len(each["rounds"]) for each in data["benchmarks"]["hit"]["tables"][0]["data"]["timings"]} == {QUICK.rounds}


def test_beginning_is_to_decorate_to_call_and_to_import():
    text = run("-m", "benchmarks", "start", "--quick")
    assert has_ours(text, "decorate a function", "cachetools TTLCache, lock")
    assert has_ours(text, "decorate one, and call it once", "cachetools TTLCache, lock")
    assert has_ours(text, "import ", "wrapt, msgspec and pymemcache")


def test_each_cache_is_compared_with_what_is_below_it():
    text = run("-m", "benchmarks", "backends", "--quick")
    for cache, bare in {
        "SimpleCache": "dict",
        "MemcachedCache": "pymemcache",
        "RedisCache": "redis-py",
        "SQLiteCache": "sqlite3",
        "ForeignCache of a cachelib.SimpleCache": "cachelib",
        "TieredCache over MemcachedCache": "pymemcache",
    }.items():
        assert all(has_ours(text, f"{call}, {cache}", bare) for call in ("hit", "miss: uncache, call", "uncache"))


def test_no_peer_need_be_installed():
    text = run(
        "-c", WITHOUT_PEERS, f"{PEERS},redis", "--quick", "hit", "awaited", "miss", "memcached", "start", "backends"
    )
    for peer in ("cachetools TTLCache, lock", "cachebox TTLCache", "moka-py ttl", "dogpile.cache memory", "theine"):
        assert any(peer in line and line.endswith("not installed") for line in table_of(text, "f(1)"))
    assert has_ours(text, "f(1)", "functools.lru_cache")
    assert "RedisCache: skipped, not installed." in text
    assert has_ours(text, "hit, MemcachedCache", "pymemcache")


def test_charts_without_matplotlib_are_refused_before_anything_is_measured(tmp_path):
    said = refused("-c", WITHOUT_PEERS, "matplotlib", "--quick", "--charts", str(tmp_path))
    assert "charts need matplotlib: pip install 'matplotlib>=3.9'" in said


def test_an_unknown_benchmark_is_answered_with_those_there_are():
    assert "there is no benchmark 'hitt'; there are: hit, awaited, miss, start, " in refused("-m", "benchmarks", "hitt")


class Unable(Benchmark):
    name, title, peers = "sums", "Sums", (OURS,)

    def run(self, effort):
        raise Unavailable("there is no server")


def test_a_benchmark_that_cannot_be_run_says_why(tmp_path, capsys):
    files = {kind: tmp_path / f"b.{kind}" for kind in ("json", "markdown")}
    main([Unable()], ["--quick", *(word for kind, file in files.items() for word in (f"--{kind}", str(file)))])
    assert "Skipped: there is no server." in capsys.readouterr().out
    assert "Skipped: there is no server." in files["markdown"].read_text()
    assert json.loads(files["json"].read_text())["benchmarks"]["sums"]["skipped"] == "there is no server"


def test_without_a_server_only_what_needs_it_is_missing(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "there is no memcached on PATH" in str(result_of(scales.processes, QUICK).skipped)
    computations, _ = herd_of("herd", "thread", chosen("memocache"), ThreadHerd).run(QUICK).tables
    assert [row.name for row in computations.rows] == ["memocache", "memocache on memcached"]
    assert computations.rows[0].missing is None
    assert "no memcached" in str(computations.rows[1].missing)


def test_a_row_of_sizes_says_how_much_more_the_largest_takes():
    slow = Peer("slow", "functools", dict)
    figures = {slow: {1: 2.0, 1000: 3.0}, OURS: {1: 200.0, 1000: 2.5}}
    table = series("hits", figures, {"absent": "not installed"}, "entry entries")
    assert list(table.columns) == ["1 entry", "1,000 entries", "last / first"]
    assert [(row.name, row.ours) for row in table.rows] == [("memocache", True), ("slow", False), ("absent", False)]
    assert table.rows[1].cells == ["2.00", "3.00", "1.50"]
    assert table.rows[2].missing == "not installed"
    assert table.chart.lines["slow"] == [(1, 2.0), (1000, 3.0)]
    assert series("hits", figures, {}, "entry entries", more_is_better=True).rows[0].name == "slow"


# ---- eviction ----------------------------------------------------------------------------------------------------


def fifo(size: int) -> Callable[..., Any]:
    def decorate(compute: Callable[[int], int]) -> Callable[[int], int]:
        kept: deque[int] = deque(maxlen=size)

        def f(number: int) -> int:
            if number not in kept:
                kept.append(compute(number))
            return number

        return f

    return decorate


def evicted(requested: dict[str, Trace]) -> Result:
    first_in = Peer("first in, first out", "builtins", lambda module, size: fifo(size))
    everything = Peer("everything", "functools", lambda module, size: module.cache)
    peers = Peers({peer.name: peer for peer in (ABSENT, first_in, everything, OURS)})
    return eviction_of(peers, lambda effort: requested).run(QUICK)


@pytest.mark.parametrize(
    ("requests", "lru", "first_in"),
    [
        ([1, 2, 1, 3, 1, 2], 2 / 6, 1 / 6),  # 3 drives out 2 as the least recently asked for, 1 as the oldest
        ([1, 2, 3, 1, 2, 3], 0, 0),
        ([1, 1, 1, 1], 3 / 4, 3 / 4),
    ],
)
def test_hits_are_counted_as_the_policy_would_have_them(requests, lru, first_in):
    assert hit_ratio(functools.lru_cache(maxsize=2), requests) == pytest.approx(100 * lru)
    assert hit_ratio(fifo(2), requests) == pytest.approx(100 * first_in)


def test_the_policies_that_others_simulate_have_those_ratios_too():
    pytest.importorskip("libcachesim")
    for policy, ratio in {"LRU": 2 / 6, "FIFO": 1 / 6}.items():
        decorate = IN_PROCESS[f"libcachesim {policy}"].built(2)
        assert hit_ratio(decorate, [1, 2, 1, 3, 1, 2]) == pytest.approx(100 * ratio)


@pytest.mark.parametrize("name", ["memocache", "memocache, get and set"])
def test_ours_keeps_a_part_of_a_loop_that_is_too_long(name):
    assert hit_ratio(IN_PROCESS[name].built(20), LOOP) > 20
    assert hit_ratio(functools.lru_cache(maxsize=20), LOOP) == 0


def test_there_is_room_for_a_share_of_the_distinct_keys():
    assert room([*range(1000), *range(1000)], 10) == 100
    assert room(range(100), 2) == 20


def test_all_traces_are_what_is_said_of_them_and_quick_is_a_piece_of_some():
    rows = re.findall(r"^\| `([\w-]+)` \| ([\d ]+) \| ([\d ]+) \|", (TRACES / "README.md").read_text(), re.MULTILINE)
    said = {name: tuple(int(number.replace(" ", "")) for number in numbers) for name, *numbers in rows}
    full, quick = traces(FULL), traces(QUICK)
    assert len(said) == 12
    assert said == {name: (len(requests), len(set(requests))) for name, requests in full.items()}
    assert 0 < len(quick) < len(full)
    assert all(full[name][: len(requests)] == requests for name, requests in quick.items())
    assert sum(map(len, quick.values())) < 20_000


def test_the_mean_is_over_traces_and_sizes_and_the_best_stands_first():
    mean, each = evicted({"same": [1] * 600, "loop": LOOP}).tables
    assert [row.name for row in mean.rows] == ["everything", "memocache", "first in, first out", "absent"]
    assert [row.missing for row in mean.rows] == [None, None, None, "not installed"]
    rows = {row.name: row for row in mean.rows}
    assert rows["memocache"].ours
    assert rows["first in, first out"].cells == ["49.9"] * (1 + len(SHARES))
    assert mean.data["everything"]["loop"] == dict.fromkeys(SHARES, pytest.approx(95)), "30 of 600 are computed"
    assert dict(zip(each.columns, each.rows[2].cells, strict=True)) == {"same": "99.8", "loop": "0.0"}


# ---- herds -------------------------------------------------------------------------------------------------------


def seen(act: Callable[[int], object]) -> Callable[..., Any]:
    """Return what decorates a function so that *act* sees each call of it before."""
    return lambda compute: lambda number: act(number) or compute(number)


@pytest.mark.parametrize("make", [ThreadHerd, TaskHerd])
def test_ours_computes_once_and_each_time_another_key(make):
    with at_the_end:
        cold = make(OURS.built(SIZE), seconds=0)
        assert [cold.stampede(20)[0] for _ in range(3)] == [1, 1, 1]


def test_a_herd_asks_from_as_many_threads_and_where_nothing_is_shared_all_compute():
    asking = set()
    computations, taken = ThreadHerd(seen(lambda number: asking.add(threading.current_thread())), 0).stampede(8)
    assert (computations, len(asking)) == (8, 8)
    assert taken > 0


@pytest.mark.parametrize("wrong", [None, 7.5])
def test_who_is_given_another_value_has_no_figures(wrong):
    with pytest.raises(WrongWork, match="no value, or another's"):
        ThreadHerd(lambda compute: lambda number: wrong, seconds=0).stampede(2)


def test_lru_cache_lets_a_herd_compute_while_one_is_at_it():
    all_inside = threading.Barrier(4)
    together_inside = seen(lambda number: all_inside.wait(10) and None)
    cold = ThreadHerd(lambda compute: functools.lru_cache(together_inside(compute)), seconds=0)
    assert cold.stampede(4)[0] == 4


def test_a_herd_has_computations_and_times():
    peers = Peers(chosen("functools.lru_cache; memocache") | {"absent": ABSENT})
    computations, times = herd_of("herd", "thread", peers, ThreadHerd).run(QUICK).tables
    ours = next(row for row in computations.rows if row.ours)
    assert ours.cells == ["1", "1"]
    assert computations.rows[0].value == 1
    assert {row.name: row.missing for row in times.rows}["absent"] == "not installed"
    assert times.rows[0].value <= times.rows[1].value


def test_stacks_are_small_meanwhile_only():
    before = threading.stack_size()
    with small_stacks():
        assert threading.stack_size() == 512 * 1024
    assert threading.stack_size() == before


def test_a_fleet_computes_often_without_a_lease():
    random.seed(7)  # it is simulated, by lot
    computations = {peer.name: herds.computations(peer, QUICK) for peer in herds.SCHEMES.values() if not peer.ours}
    assert min(computations["get, or compute and set"]) > 100
    assert max(computations["XFetch alone"]) < 20


# ---- threads, processes, and many entries ------------------------------------------------------------------------


def test_all_threads_ask_for_hot_keys_that_are_there():
    asking, numbers = set(), []

    def decorate(compute: Any) -> Any:
        return seen(lambda number: asking.add(threading.current_thread()) or numbers.append(number))(
            functools.cache(compute)
        )

    hot = Hot(decorate)
    assert numbers == list(range(HOT_KEYS))
    asking.clear()
    assert hot.rate(5, seconds=0) > 0
    assert sorted(numbers) == sorted(6 * list(range(HOT_KEYS)))
    assert len(asking) == 5
    assert threading.current_thread() not in asking


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_who_computes_has_no_rate():
    with pytest.raises(WrongWork, match="a hit was computed"):
        Hot(lambda compute: compute).hits(seconds=0)
    with pytest.raises(WrongWork, match="2 of 2 threads have failed"):
        together(2, lambda: 1 / 0)


def test_a_rate_is_of_all_from_the_first_to_the_last():
    assert rate([(100, 5.0, 6.0), (300, 5.5, 7.0)]) == 200


def test_threads_take_turns_and_the_quickest_stands_first():
    survey = scales.threads
    peers = [*chosen("functools.lru_cache; memocache").values(), ABSENT]
    (table,) = ThreadSurvey("threads", "Hits", peers, survey.measure, survey.tables, survey.notes).run(QUICK).tables
    assert {row.name for row in table.rows[:2]} == {"functools.lru_cache", "memocache"}
    assert table.rows[0].value >= table.rows[1].value
    assert table.rows[2].missing == "not installed"
    assert len(table.columns) == 3


@pytest.fixture
def server() -> Any:
    try:
        with MEMCACHED.running():
            yield MEMCACHED.address
    except Unavailable as reason:
        skip_or_fail(str(reason))


@pytest.mark.parametrize("name", ["memocache", "pymemcache Client.get"])
def test_hot_keys_are_hit_on_the_server(server, name):
    with Worker(scales.busy, name, server, ()) as worker, closing(Client(server)) as client:
        worker.call("hits", 0.0)
        before = int(client.stats()[b"get_hits"])
        hits, begin, end = worker.call("hits", 0.0)
        assert int(client.stats()[b"get_hits"]) - before >= hits > 0
        assert begin < end


def test_processes_have_ours_and_the_bare_client(server):
    (table,) = scales.processes.run(QUICK).tables
    rows = {row.name: row for row in table.rows}
    assert rows["memocache"].ours
    assert all(rows[name].value > 0 for name in ("memocache", "pymemcache Client.get"))


def test_hits_are_hits_and_misses_are_misses_of_a_full_cache():
    made = []
    full = Filled(lambda size: lambda f: made.append(functools.lru_cache(maxsize=size)(f)) or made[-1], 50, entries=100)
    assert [f.cache_info().currsize for f in made] == [50, 50]
    assert min(full.filling(), full.hot(), full.hit()) > 0
    assert made[0].cache_info()[:2] == (2 * HITS, 50)
    assert min(full.miss(), full.miss()) > 0
    assert made[0].cache_info()[:2] == (2 * HITS, 50 + 2 * scales.MISSES)


def test_who_keeps_nothing_has_no_time():
    full = Filled(lambda size: lambda compute: compute, 10, entries=10)
    with pytest.raises(WrongWork, match=f"{HITS} were computed; wanted: 0"):
        full.hit()


def test_an_entry_weighs_its_share_of_what_the_process_grew_by(monkeypatch, tmp_path):
    monkeypatch.setattr(scales, "STATM", tmp_path / "none")
    assert Filled(lambda size: functools.lru_cache(maxsize=size), 10, entries=10).weight() is None
    sizes = iter([1000, 9000])
    monkeypatch.setattr(scales, "resident_bytes", lambda: next(sizes))
    assert Filled(lambda size: functools.lru_cache(maxsize=size), 20, entries=80).weight() == 100


@pytest.mark.skipif(not scales.STATM.exists(), reason="the system does not tell")
def test_memory_in_use_is_seen():
    before = scales.resident_bytes()
    block = bytes(50_000_000).replace(b"\0", b"\1")
    assert scales.resident_bytes() - before > 0.9 * len(block)


def test_ours_is_measured_in_processes_of_its_own_and_what_is_not_known_is_said():
    figures = scales.measure_entries(OURS, QUICK)
    assert all(taken > 0 for taken in figures[HOT].values())
    figures[WEIGHT] = dict.fromkeys(figures[HIT])
    tables = scale_tables({OURS: figures}, {"absent": "not installed"})
    assert [table.title.rpartition(",")[0] for table in tables] == list(UNITS)
    assert [row.missing for row in tables[0].rows] == [None, "not installed"]
    assert {row.name: row.missing for row in tables[-1].rows}["memocache"] == "not known on this system"


class Trouble:
    def __init__(self, *, possible: bool = True) -> None:
        if not possible:
            raise ValueError("nothing can be made")

    def add(self, left: int, right: int) -> int:
        return left + right

    def fail(self) -> None:
        raise LookupError("there is nothing")

    def die(self) -> None:
        os._exit(7)


def test_a_worker_does_what_it_is_told_and_goes_on_after_an_error():
    with Worker(Trouble) as worker:
        assert worker.call("add", 1, 2) == 3
        with pytest.raises(LookupError, match="there is nothing"):
            worker.call("fail")
        worker.begin("add", 3, 4)
        assert worker.result() == 7
    with Worker(functools.partial(Trouble, possible=False)) as worker, pytest.raises(ValueError, match="can be made"):
        worker.call("add", 1, 2)


def test_a_worker_that_died_is_told():
    with Worker(Trouble) as worker, pytest.raises(RuntimeError, match="died with status 7"):
        worker.call("die")
