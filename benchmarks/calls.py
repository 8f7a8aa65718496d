"""Calls in this process: hits, awaited hits, misses, forgetting, decorating; and how long an import takes."""

import asyncio
import functools
import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from typing import Any, Final

from benchmarks.decorators import SIZE, Decorator, chosen
from benchmarks.harness import (
    Benchmark,
    Case,
    Effort,
    Group,
    Peer,
    TimedBenchmark,
    Timing,
    present,
    tally,
    timing_table,
)
from benchmarks.report import OURS, Result

ROOM: Final = f"Room for {SIZE} entries and a timeout of a day, where there can be"


def only(cases: Collection[str] | None, names: str) -> list[Peer]:
    """Return the peers of those *names*, for those *cases* only; None for all."""
    return [replace(peer, cases=cases) for peer in chosen(names).values()]


# ---- a hit -------------------------------------------------------------------------------------------------------


def one(a: int) -> int:
    tally.count += 1
    return a


def two(a: int, b: int) -> int:
    tally.count += 1
    return a + b


def three(a: int, b: int = 0, c: int = 0) -> int:
    tally.count += 1
    return a + b + c


def prepared(f: Any) -> Callable[[Decorator], dict[str, Any]]:
    return lambda decorate: {"f": decorate(f)}


def method(decorate: Decorator) -> dict[str, Any]:
    class Shop:
        @decorate
        def total(self, a: int) -> int:
            return one(a)

    return {"shop": Shop()}


FUNCTIONS: Final = {"f(1)": one, "f(1, 2)": two, "f(1, b=2, c=4)": three}
METHOD: Final = "shop.total(1)"

hit = TimedBenchmark(
    "hit",
    "A hit in this process",
    [*(Case(call, call, prepared(f)) for call, f in FUNCTIONS.items()), Case(METHOD, METHOD, method)],
    [
        *only(None, "memocache; memocache, in Python; functools.lru_cache; wrapt.lru_cache; moka-py ttl"),
        *only(None, "cachebox TTLCache; theine"),
        *only(None, "dogpile.cache memory; cachier memory; Flask-Caching SimpleCache"),
        *only(FUNCTIONS, "cachetools TTLCache; cachetools TTLCache, lock; ring.lru; diskcache; joblib.Memory"),
        *only([METHOD], "cachetools.cachedmethod TTLCache; cachetools.cachedmethod TTLCache, lock"),
        *only([METHOD], "methodtools.lru_cache"),
    ],
    baseline="functools.lru_cache",
    unit="ns",
    notes=[
        "Each function has as many parameters as its call names. In Python: without the part in C.",
        f"{ROOM}: no lru_cache has a timeout,",
        "and cachier, diskcache, dogpile.cache and joblib have no number of entries.",
        "cachier and dogpile.cache leave a method's `self` out of the key. diskcache and joblib keep entries in files.",
    ],
    given=[SIZE],
)

# ---- an awaited hit ----------------------------------------------------------------------------------------------

HITS: Final = 1000  # that one statement awaits: its microseconds are the nanoseconds of one


@functools.cache
def loop() -> asyncio.AbstractEventLoop:
    """Return the loop, made when it is first needed."""
    return asyncio.new_event_loop()


def coroutine_function(decorate: Decorator) -> dict[str, Any]:
    @decorate
    async def f(number: int) -> int:
        tally.count += 1
        return number

    async def hits() -> None:
        for _ in range(HITS):
            await f(1)

    return {"run": loop().run_until_complete, "hits": hits}


awaited = TimedBenchmark(
    "awaited",
    "An awaited hit in this process",
    [Case("await f(1)", "run(hits())", coroutine_function)],
    [
        *only(None, "memocache; memocache, in Python; moka-py ttl; cachebox TTLCache; async_lru ttl"),
        *only(None, "aiocache memory; cashews memory"),
    ],
    baseline="moka-py ttl",
    unit="us",
    notes=[f"Of {HITS:,} hits that one task awaits: microseconds of all are nanoseconds of each.", f"{ROOM}."],
    given=[SIZE],
)

# ---- a miss ------------------------------------------------------------------------------------------------------

FILL: Final = "insert, with room"
EVICT: Final = "insert that evicts"
STORE: Final = "the cache's own insert that evicts"
FORGET: Final = "forget one call"
NOTHING: Final = "forget one call that was not there"
SOME: Final = "for number in range(calls): f(number)\nnumbers = iter(range(calls))"


def empty(decorate: Decorator) -> dict[str, Any]:
    f = decorate(one)
    return {"f": f, **decorate.operations(f)}


def full(decorate: Decorator) -> dict[str, Any]:
    """Fill the cache twice over, so that it is in the state in which it stays."""
    names = empty(decorate)
    for number in range(2 * SIZE):
        names["f"](number)
    return {**names, "numbers": itertools.count(2 * SIZE)}


miss = TimedBenchmark(
    "miss",
    "A miss in this process, its computation free, and forgetting",
    [
        Case(FILL, "f(next(numbers))", empty, 1, setup="clear(); numbers = iter(range(calls))", most=SIZE),
        Case(EVICT, "f(next(numbers))", full, 1),
        Case(STORE, "store(next(keys), 7)", full, setup="keys = iter([str(next(numbers)) for _ in range(calls)])"),
        Case(FORGET, "forget(next(numbers))", empty, setup=SOME, most=SIZE),
        Case(NOTHING, "forget(-1)", empty),
    ],
    [
        *only(None, "memocache; memocache, in Python; cachetools TTLCache, lock; cachetools TTLCache"),
        *only(None, "cachebox TTLCache"),
        *only(None, "Flask-Caching SimpleCache"),
        *only([FILL, EVICT], "no cache; functools.lru_cache; wrapt.lru_cache; moka-py ttl"),
        *only([FILL, EVICT, FORGET, NOTHING], "ring.lru"),
        *only([FILL, FORGET, NOTHING], "dogpile.cache memory; diskcache"),
        *only([FILL], "cachier memory"),
        *only([EVICT], "theine"),
    ],
    baseline="cachetools TTLCache, lock",
    unit="us",
    notes=[
        f"{ROOM}.",
        f"{FILL}: into an empty cache, up to {SIZE} calls. {EVICT}: into a full one, each time another call.",
        f"{STORE}: without a decorated function, and under a text.",
        "moka-py, theine and the lru_caches have no way to forget one call; some others have no number of entries.",
        "theine is not among those that are cleared between the rounds.",
    ],
    given=[SIZE],
)

# ---- the beginning -----------------------------------------------------------------------------------------------

AT_ONCE: Final = 20  # what is not timed, to make the functions, takes as long again
IMPORTED: Final = 15  # times each
LEAST: Final = 1e-5  # seconds: an import that cannot be told from none has a place on a logarithmic axis, too
UNDERNEATH: Final = "wrapt, msgspec and pymemcache"

IMPORTS: Final = {  # what is imported, and of which package, by name
    OURS: (OURS, "memocache"),
    UNDERNEATH: (OURS, "wrapt, msgspec, pymemcache.client.base"),
    "pymemcache": ("pymemcache", "pymemcache.client.base"),
    "dogpile.cache": ("dogpile.cache", "dogpile.cache.region"),
    "Flask-Caching": ("flask-caching", "flask_caching"),
    "moka-py": ("moka-py", "moka_py"),
    **{name: (name, name) for name in ("wrapt", "msgspec", "cachetools", "cachebox", "theine", "ring", "cachier")},
    **{name: (name, name) for name in ("diskcache", "aiocache", "joblib")},
}

numbers = itertools.count()


def fresh(how_many: int) -> Iterator[Callable[..., Any]]:
    """Return functions that are not alike, so that nothing learnt from one is of use with the next."""
    names: dict[str, Any] = {"__name__": __name__}
    made = [f"f{number}" for number in itertools.islice(numbers, how_many)]
    for f in made:
        text = f"def {f}(a_{f}: int, b_{f}: str = '', *, c_{f}: bool = False) -> int: return a_{f}"
        exec(text, names)  # noqa: S102 - the text is our own
    return iter([names[f] for f in made])


def undecorated(decorate: Decorator) -> dict[str, Any]:
    return {"decorate": decorate.decorate, "fresh": fresh}


DECORATE: Final = "decorate a function of three parameters"
CALL_ONCE: Final = "decorate one, and call it once"

decorating = TimedBenchmark(
    "start",
    "Decorating",
    [
        Case(DECORATE, "decorate(next(functions))", undecorated, setup="functions = fresh(calls)", most=AT_ONCE),
        Case(CALL_ONCE, "decorate(next(functions))(1)", undecorated, setup="functions = fresh(calls)", most=AT_ONCE),
    ],
    [
        *only(None, "memocache; functools.lru_cache; cachetools TTLCache, lock; cachebox TTLCache; moka-py ttl"),
        *only([DECORATE], "wrapt.lru_cache; dogpile.cache memory; ring.lru; cachier memory; diskcache"),
        *only([DECORATE], "Flask-Caching SimpleCache; joblib.Memory"),
    ],
    baseline="cachetools TTLCache, lock",
    unit="us",
    given=[SIZE],
)


class Imports(Benchmark):
    """What imports take, in turn, each time in an interpreter of its own."""

    name, title = "start", "Importing"
    peers = tuple(Peer(name, package, dict) for name, (package, _) in IMPORTS.items())

    def run(self, effort: Effort) -> Result:
        """Return the table."""
        peers, missing = present(self.peers)
        statements = {"": "pass", **{peer.name: f"import {IMPORTS[peer.name][1]}" for peer in peers}}
        if not effort.quick:
            for statement in statements.values():
                seconds(statement)  # writes bytecode
        taken: dict[str, list[float]] = {name: [] for name in statements}
        for _ in range(1 if effort.quick else IMPORTED):
            for name in random.sample(sorted(statements), len(statements)):
                taken[name].append(seconds(statements[name]))
        nothing = min(taken.pop(""))
        timings = [
            Timing(name, name == OURS, 1, [max(each - nothing, LEAST) for each in rounds])
            for name, rounds in taken.items()
        ]
        return Result("start", self.title, [timing_table("import", timings, UNDERNEATH, "ms", missing, "an import")])


def seconds(statement: str) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], env=environment, check=True)
    return time.perf_counter() - started


start = Group(
    "start",
    "Beginning: to decorate, and to import",
    [decorating, Imports()],
    [
        "To decorate: each function is another, with other names; the time of a cache object is in it where each",
        "function has one of its own.",
        "To import: a fresh interpreter's time less that of one that imports nothing; bytecode is there.",
    ],
)
