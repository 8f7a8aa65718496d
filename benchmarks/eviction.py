"""Who keeps what will be asked for again: hit ratios on traces of real requests, in caches too small for all keys."""

import lzma
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any, Final

from benchmarks.answer import Answer, Chart, Effort, Grid, Row, Told
from benchmarks.command import main
from benchmarks.roster import Entrant, Roster, absent

TRACES: Final = Path(__file__).parent / "traces"
SUFFIX: Final = ".txt.xz"
SHARES: Final = (2, 10, 30)  # percent of a trace's distinct keys for which there is room
LEAST_ROOM: Final = 20
QUICK_TRACES: Final = ("cs", "multi1")
QUICK_REQUESTS: Final = 6000
SECONDS: Final = 86_400  # longer than it takes: nothing is to expire
HASH_POWER: Final = 16  # of libcachesim's tables: as large as by default, they take longer to make than to use

roster = Roster()

Trace = Sequence[int]
Decorate = Callable[[Callable[[int], int]], Callable[[int], object]]


def traces(effort: Effort) -> dict[str, Trace]:
    """Return the traces by name, their keys numbered; a piece of some if it is to be quick."""
    if effort.quick:
        return {name: trace(TRACES / f"{name}{SUFFIX}")[:QUICK_REQUESTS] for name in QUICK_TRACES}
    return {path.name.removesuffix(SUFFIX): trace(path) for path in sorted(TRACES.glob(f"*{SUFFIX}"))}


def trace(path: Path) -> Trace:
    numbers: dict[str, int] = {}
    with lzma.open(path, "rt", encoding="ascii") as lines:
        return [numbers.setdefault(line.rstrip("\n"), len(numbers)) for line in lines]


def hit_ratio(decorate: Decorate, requests: Trace) -> float:
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


def room(requests: Trace, share: int) -> int:
    """Return the size of a cache for that percentage of the keys in *requests*."""
    return max(LEAST_ROOM, len(set(requests)) * share // 100)


@dataclass(frozen=True)
class Ratios:
    """What one contestant reached, in percent, by trace and share."""

    name: str
    ours: bool
    by_trace: Mapping[str, Mapping[int, float]]

    def mean(self, *, trace: str | None = None, share: int | None = None) -> float:
        """Return the mean of all, or of one trace, or of one share."""
        return fmean(
            ratio
            for name, ratios in self.by_trace.items()
            for each, ratio in ratios.items()
            if trace in (None, name) and share in (None, each)
        )


@dataclass(frozen=True)
class Question:
    """What is asked, and of whom."""

    contestants: Roster = field(default_factory=lambda: roster)
    load: Callable[[Effort], Mapping[str, Trace]] = traces
    name: str = "eviction"
    title: str = "Hit ratio in a cache that is too small for all keys"

    @property
    def packages(self) -> Iterable[str]:
        """Those that take part."""
        return self.contestants.packages

    def pieces(self, effort: Effort) -> int:
        """Return how many times `ask` tells how far it is."""
        return len(self.contestants.contestants)

    def ask(self, effort: Effort, told: Told = lambda done: None) -> Answer:
        """Return the answer: the means, and what is behind them."""
        entrants, missing = self.contestants.entrants()
        requested = self.load(effort)
        ratios = []
        for entrant in entrants:
            ratios.append(replayed(entrant, requested))
            told(f"{self.name}: {entrant.name}")
        ratios.sort(key=Ratios.mean, reverse=True)
        grids = [means(ratios, missing), each_trace(ratios, missing, list(requested))]
        return Answer(self.name, self.title, grids, notes(effort, requested))


def replayed(entrant: Entrant, requested: Mapping[str, Trace]) -> Ratios:
    """Return what *entrant* reaches on each trace in each size."""
    by_trace = {
        name: {share: hit_ratio(entrant.built(room(requests, share)), requests) for share in SHARES}
        for name, requests in requested.items()
    }
    return Ratios(entrant.name, entrant.ours, by_trace)


def means(ratios: Sequence[Ratios], missing: Mapping[str, str]) -> Grid:
    rows = []
    for each in ratios:
        cells = [each.mean(), *(each.mean(share=share) for share in SHARES)]
        rows.append(Row(each.name, each.ours, percents(cells), each.mean()))
    columns = ("%", *(f"room for {share} %" for share in SHARES))
    chart = Chart("mean hit ratio, %", log=False, more_is_better=True)
    data = {each.name: each.by_trace for each in ratios}
    return Grid("Mean hit ratio", columns, [*rows, *absent(missing)], data, chart)


def each_trace(ratios: Sequence[Ratios], missing: Mapping[str, str], names: Sequence[str]) -> Grid:
    rows = [
        Row(each.name, each.ours, percents(each.mean(trace=name) for name in names), each.mean()) for each in ratios
    ]
    return Grid("Hit ratio on each trace, %", names, [*rows, *absent(missing)])


def percents(ratios: Iterable[float]) -> list[str]:
    return [f"{ratio:.1f}" for ratio in ratios]


def notes(effort: Effort, requested: Mapping[str, Trace]) -> list[str]:
    sizes = ", ".join(map(str, SHARES))
    said = [
        f"Means over the traces, each with room for {sizes} % of its distinct keys, for {LEAST_ROOM} at least.",
        "cachebox's TTLCache evicts by FIFO; TTLCache of cachetools, and lru_cache, by LRU.",
        "theine and moka-py evict in batches, a little later than others: their figures vary from run to run.",
        "libcachesim simulates: its policies keep no values, and are here to compare with.",
    ]
    if effort.quick:
        pieces = ", ".join(f"{name} ({len(requests)} requests)" for name, requests in requested.items())
        said.append(f"Quick: only a piece of {pieces}.")
    return said


# ---- the contestants: a builder returns what decorates a function, with room for *size* entries ------------------


@roster.contestant("memocache", "memocache")
def ours(memocache: Any, size: int) -> Any:
    return memocache.cached(timeout=SECONDS, cache=memocache.SimpleCache(threshold=size))


@roster.contestant("functools.lru_cache", "functools")
def lru_cache(functools: Any, size: int) -> Any:
    return functools.lru_cache(maxsize=size)


@roster.contestant("cachetools TTLCache", "cachetools")
def cachetools_ttl(cachetools: Any, size: int) -> Any:
    return cachetools.cached(cachetools.TTLCache(size, SECONDS))


@roster.contestant("cachetools LFUCache", "cachetools")
def cachetools_lfu(cachetools: Any, size: int) -> Any:
    return cachetools.cached(cachetools.LFUCache(size))


@roster.contestant("cachebox TTLCache", "cachebox")
def cachebox_ttl(cachebox: Any, size: int) -> Any:
    return cachebox.cached(cachebox.TTLCache(size, SECONDS))


@roster.contestant("cachebox LRUCache", "cachebox")
def cachebox_lru(cachebox: Any, size: int) -> Any:
    return cachebox.cached(cachebox.LRUCache(size))


@roster.contestant("cachebox LFUCache", "cachebox")
def cachebox_lfu(cachebox: Any, size: int) -> Any:
    return cachebox.cached(cachebox.LFUCache(size))


@roster.contestant("moka-py tiny_lfu", "moka-py")
def moka_tiny_lfu(moka_py: Any, size: int) -> Any:
    return moka_py.cached(maxsize=size, ttl=SECONDS)


@roster.contestant("moka-py lru", "moka-py")
def moka_lru(moka_py: Any, size: int) -> Any:
    return moka_py.cached(maxsize=size, ttl=SECONDS, policy="lru")


@roster.contestant("theine", "theine")
def theine_memoize(theine: Any, size: int) -> Any:
    return theine.Memoize(size, None)


def simulated(policy: str) -> Callable[[Any, int], Decorate]:
    def build(libcachesim: Any, size: int) -> Decorate:
        cache = getattr(libcachesim, policy)(size, hashpower=HASH_POWER)
        request = libcachesim.Request()
        request.obj_size = 1

        def decorate(compute: Callable[[int], int]) -> Callable[[int], object]:
            def asked(number: int) -> object:
                request.obj_id = number
                return cache.get(request) or compute(number)

            return asked

        return decorate

    return build


for policy in ("LRU", "FIFO", "LFU", "ARC", "TwoQ", "Sieve", "SLRU", "LIRS", "LeCaR", "WTinyLFU", "Cacheus", "S3FIFO"):
    roster.contestant(f"libcachesim {policy}", "libcachesim")(simulated(policy))

question = Question()

if __name__ == "__main__":
    main([question])
