"""How long it takes to begin: to decorate a function, and to import."""

import itertools
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from typing import Any, Final

from benchmarks.answer import OURS, Answer, Effort, Told
from benchmarks.command import main
from benchmarks.harness import Case, Missing, Question, imported
from benchmarks.scratch import Scratch
from benchmarks.timing import Table, Timing

SIZE: Final = 1000
SECONDS: Final = 300
DECORATED_AT_ONCE: Final = 20  # what is not timed, to make the functions, takes as long again
IMPORTED: Final = 15  # times each
LEAST: Final = 1e-5  # seconds: an import that cannot be told from none has a place on a logarithmic axis, too
UNDERNEATH: Final = "wrapt, msgspec and pymemcache"

# Name, package on PyPI, and what is imported.
IMPORTS: Final = (
    (OURS, OURS, "memocache"),
    (UNDERNEATH, OURS, "wrapt, msgspec, pymemcache.client.base"),
    ("wrapt", "wrapt", "wrapt"),
    ("msgspec", "msgspec", "msgspec"),
    ("pymemcache", "pymemcache", "pymemcache.client.base"),
    ("cachetools", "cachetools", "cachetools"),
    ("cachebox", "cachebox", "cachebox"),
    ("moka-py", "moka-py", "moka_py"),
    ("theine", "theine", "theine"),
    ("dogpile.cache", "dogpile.cache", "dogpile.cache.region"),
    ("ring", "ring", "ring"),
    ("cachier", "cachier", "cachier"),
    ("diskcache", "diskcache", "diskcache"),
    ("Flask-Caching", "flask-caching", "flask_caching"),
    ("aiocache", "aiocache", "aiocache"),
    ("joblib", "joblib", "joblib"),
)

scratch = Scratch()
numbers = itertools.count()


def fresh(how_many: int) -> Iterator[Callable[..., Any]]:
    """Return functions that are not alike, so that nothing learnt from one is of use with the next."""
    names: dict[str, Any] = {"__name__": __name__}
    made = [f"f{number}" for number in itertools.islice(numbers, how_many)]
    for f in made:
        text = f"def {f}(a_{f}: int, b_{f}: str = '', *, c_{f}: bool = False) -> int: return a_{f}"
        exec(text, names)  # noqa: S102 - the text is our own
    return iter([names[f] for f in made])


decorating = Question(
    "start",
    "Decorating",
    cases=[
        Case(
            "decorate a function of three parameters",
            "decorate(next(functions))",
            lambda decorate: {"decorate": decorate, "fresh": fresh},
            setup="functions = fresh(calls)",
            most=DECORATED_AT_ONCE,
        )
    ],
    baseline="cachetools TTLCache, lock",
    unit="us",
    venue=scratch.kept,
)


@decorating.contestant("memocache", "memocache")
def ours(memocache: Any) -> Any:
    cache = memocache.SimpleCache(threshold=SIZE)
    return lambda f: memocache.cached(timeout=SECONDS, cache=cache)(f)


@decorating.contestant("functools.lru_cache", "functools")
def lru_cache(functools: Any) -> Any:
    return lambda f: functools.lru_cache(maxsize=SIZE)(f)


@decorating.contestant("wrapt.lru_cache", "wrapt")
def wrapt_lru(wrapt: Any) -> Any:
    return lambda f: wrapt.lru_cache(maxsize=SIZE)(f)


@decorating.contestant("cachetools TTLCache, lock", "cachetools")
def cachetools_with_lock(cachetools: Any) -> Any:
    return lambda f: cachetools.cached(cachetools.TTLCache(SIZE, SECONDS), lock=threading.Lock())(f)


@decorating.contestant("cachebox TTLCache", "cachebox")
def cachebox_ttl(cachebox: Any) -> Any:
    return lambda f: cachebox.cached(cachebox.TTLCache(SIZE, SECONDS))(f)


@decorating.contestant("moka-py ttl", "moka-py")
def moka_ttl(moka_py: Any) -> Any:
    return lambda f: moka_py.cached(maxsize=SIZE, ttl=SECONDS)(f)


@decorating.contestant("dogpile.cache memory", "dogpile.cache")
def dogpile_memory(dogpile_cache: Any) -> Any:
    region = dogpile_cache.make_region().configure("dogpile.cache.memory", expiration_time=SECONDS)
    return lambda f: region.cache_on_arguments()(f)


@decorating.contestant("ring.lru", "ring")
def ring_lru(ring: Any) -> Any:
    return lambda f: ring.lru(maxsize=SIZE, expire=SECONDS)(f)


@decorating.contestant("cachier memory", "cachier")
def cachier_memory(cachier: Any) -> Any:
    return lambda f: cachier.cachier(backend="memory", stale_after=timedelta(seconds=SECONDS))(f)


@decorating.contestant("diskcache", "diskcache")
def diskcache_memoize(diskcache: Any) -> Any:
    cache = diskcache.Cache(scratch.directory())
    scratch.at_the_end(cache.close)
    return lambda f: cache.memoize(expire=SECONDS)(f)


@decorating.contestant("Flask-Caching SimpleCache", "flask-caching")
def flask_caching_simple(flask_caching: Any) -> Any:
    from flask import Flask

    cache = flask_caching.Cache(Flask(__name__), config={"CACHE_TYPE": "SimpleCache"})
    return lambda f: cache.memoize(SECONDS)(f)


@decorating.contestant("joblib.Memory", "joblib")
def joblib_memory(joblib: Any) -> Any:
    memory = joblib.Memory(scratch.directory(), verbose=0)
    return lambda f: memory.cache(f)


class Start:
    """The question: decorating, in this process, and importing, in fresh ones."""

    name = "start"
    title = "Beginning: to decorate, and to import"

    @property
    def packages(self) -> Iterable[str]:
        """Those that take part."""
        return {*decorating.packages, *(package for _, package, _ in IMPORTS)}

    def pieces(self, effort: Effort) -> int:
        """Return how many times `ask` tells how far it is."""
        return decorating.pieces(effort) + 1 + _rounds(effort)

    def ask(self, effort: Effort, told: Told) -> Answer:
        """Return a table of each."""
        decorated = decorating.ask(effort, told)
        notes = (
            "To decorate: each function is another, with other names; the time of a cache object is in it where each",
            "function has one of its own.",
            "To import: a fresh interpreter's time less that of one that imports nothing; bytecode is there.",
        )
        return Answer(
            self.name, self.title, [*decorated.grids, importing(effort, told).grid()], decorated.notes + notes
        )


def importing(effort: Effort, told: Told) -> Table:
    """Return what the imports take, in turn, each time in an interpreter of its own."""
    statements, missing = {"": "pass"}, {}
    for name, package, modules in IMPORTS:
        try:
            imported(package)
        except Missing as reason:
            missing[name] = str(reason)
        else:
            statements[name] = f"import {modules}"
    if not effort.quick:
        for statement in statements.values():
            _seconds(statement)  # writes bytecode
    told("start: import")
    taken: dict[str, list[float]] = {name: [] for name in statements}
    for _ in range(_rounds(effort)):
        for name in random.sample(sorted(statements), len(statements)):
            taken[name].append(_seconds(statements[name]))
        told("start: import")
    nothing = min(taken.pop(""))
    timings = [
        Timing(name, name == OURS, 1, [max(each - nothing, LEAST) for each in rounds]) for name, rounds in taken.items()
    ]
    return Table("import", UNDERNEATH, "ms", timings, missing, axis="an import")


def _rounds(effort: Effort) -> int:
    return 1 if effort.quick else IMPORTED


def _seconds(statement: str) -> float:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], env=environment, check=True)
    return time.perf_counter() - started


question = Start()

if __name__ == "__main__":
    main([question])
