"""Who keeps what will be asked for again: hit ratios on traces of real requests, in caches too small for all keys."""

import functools
import lzma
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from benchmarks.decorators import IN_PROCESS, chosen
from benchmarks.harness import Effort, Peer, Peers, Survey
from benchmarks.report import Chart, Row, Table, absent

TRACES: Final = Path(__file__).parent / "traces"
SUFFIX: Final = ".txt.xz"
SHARES: Final = (2, 10, 30)  # percent of a trace's distinct keys for which there is room
LEAST_ROOM: Final = 20
QUICK_TRACES: Final = ("cs", "multi1")
QUICK_REQUESTS: Final = 6000

NOTES: Final = (
    f"Means over the traces, each with room for {', '.join(map(str, SHARES))} % of its distinct keys, "
    f"for {LEAST_ROOM} at least.",
    "cachebox's TTLCache evicts by FIFO; TTLCache of cachetools, and lru_cache, by LRU.",
    "theine and moka-py evict in batches, a little later than others: their figures vary from run to run.",
    "libcachesim simulates: its policies keep no values, and are here to compare with.",
)
QUICK_NOTE: Final = f"Quick: only {QUICK_REQUESTS} requests of {' and '.join(QUICK_TRACES)}."

Trace = Sequence[int]
Ratios = Mapping[str, Mapping[int, float]]  # in percent, by trace and share


@functools.cache
def traces(effort: Effort) -> dict[str, Trace]:
    """Return the traces by name, their keys numbered; a piece of some if it is to be quick."""
    if effort.quick:
        return {name: trace(TRACES / f"{name}{SUFFIX}")[:QUICK_REQUESTS] for name in QUICK_TRACES}
    return {path.name.removesuffix(SUFFIX): trace(path) for path in sorted(TRACES.glob(f"*{SUFFIX}"))}


def trace(path: Path) -> Trace:
    numbers: dict[str, int] = {}
    with lzma.open(path, "rt", encoding="ascii") as lines:
        return [numbers.setdefault(line.rstrip("\n"), len(numbers)) for line in lines]


def room(requests: Trace, share: int) -> int:
    """Return the size of a cache for that percentage of the keys in *requests*."""
    return max(LEAST_ROOM, len(set(requests)) * share // 100)


def hit_ratio(decorate: Callable[[Callable[[int], int]], Callable[[int], object]], requests: Trace) -> float:
    """Return which percentage of *requests* a cached function answers without computing."""
    computed = 0

    def compute(number: int) -> int:
        nonlocal computed
        computed += 1
        return number

    f = decorate(compute)
    for number in requests:
        f(number)
    return 100 * (1 - computed / len(requests))


def mean(ratios: Ratios, *, trace: str | None = None, share: int | None = None) -> float:
    """Return the mean of all, or of one trace, or of one share."""
    return fmean(
        ratio
        for name, by_share in ratios.items()
        for each, ratio in by_share.items()
        if trace in (None, name) and share in (None, each)
    )


def eviction_of(peers: Peers, load: Callable[[Effort], Mapping[str, Trace]] = traces) -> Survey:
    """Return the benchmark of *peers* on the traces that *load* returns."""

    def measure(peer: Peer, effort: Effort) -> Ratios:
        return {
            name: {share: hit_ratio(peer.built(room(requests, share)), requests) for share in SHARES}
            for name, requests in load(effort).items()
        }

    return Survey(
        "eviction", "Hit ratio in a cache that is too small for all keys", peers.values(), measure, tables, notes
    )


def tables(measured: Mapping[Peer, Ratios], missing: Mapping[str, str]) -> list[Table]:
    """Return the means, and what is behind them."""
    best_first = sorted(measured, key=lambda peer: mean(measured[peer]), reverse=True)
    names = list(measured[best_first[0]])

    def rows(figures: Callable[[Ratios], Sequence[float]]) -> list[Row]:
        shown = {peer: [f"{ratio:.1f}" for ratio in figures(measured[peer])] for peer in best_first}
        present = [Row(peer.name, peer.ours, cells, mean(measured[peer])) for peer, cells in shown.items()]
        return [*present, *absent(missing)]

    means = rows(lambda ratios: [mean(ratios), *(mean(ratios, share=share) for share in SHARES)])
    data: dict[str, Any] = {peer.name: measured[peer] for peer in best_first}
    chart = Chart("mean hit ratio, %", log=False, more_is_better=True)
    return [
        Table("Mean hit ratio", ("%", *(f"room for {share} %" for share in SHARES)), means, data, chart),
        Table("Hit ratio on each trace, %", names, rows(lambda ratios: [mean(ratios, trace=name) for name in names])),
    ]


def notes(effort: Effort) -> Sequence[str]:
    return [*NOTES, *[QUICK_NOTE] * effort.quick]


SIMULATED: Final = Peers({name: peer for name, peer in IN_PROCESS.items() if peer.package == "libcachesim"})
OTHERS: Final = chosen(
    "memocache; memocache, get and set; functools.lru_cache; cachetools TTLCache; cachetools LFUCache; "
    "cachebox TTLCache; cachebox LRUCache; cachebox LFUCache; moka-py tiny_lfu; moka-py lru; theine"
)
eviction = eviction_of(Peers(OTHERS | SIMULATED))
