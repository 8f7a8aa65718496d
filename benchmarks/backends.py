"""How long a call takes on each kind of cache, beside what is below it: a dict, or the bare client of its server."""

import itertools
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.answer import Answer, Effort, Grid, Told, Unanswerable
from benchmarks.command import main
from benchmarks.harness import Case, Missing, Question, Tally, imported
from benchmarks.server import MemcachedServer, RedisServer
from benchmarks.timing import HOW

SECONDS: Final = 300
ABOUT_AS_MANY: Final = 350  # bytes, as what memocache stores has
SELECT: Final = "SELECT value FROM bare WHERE key = ?"
PUT: Final = "INSERT OR REPLACE INTO bare VALUES (?, ?)"
DROP: Final = "DELETE FROM bare WHERE key = ?"
HIT: Final = "hit"
MISS: Final = "miss: uncache, call"
UNCACHE: Final = "uncache"

ROW: Final = {
    "id": 7,
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "active": True,
    "balance": 1815.12,
    "roles": ["admin", "author"],
    "city": "London",
}

tally = Tally()
numbers = itertools.count()


def report(account: int) -> dict[str, object]:
    tally.count += 1
    return ROW


def bytes_of(cache: Any, prefix: str, get: Callable[[str], bytes]) -> dict[str, Any]:
    """Return the bytes that *cache* stores for a result, and a key as long as that of the result."""
    import memocache

    f = memocache.cached(timeout=SECONDS, cache=cache)(report)
    f(7)
    return {"key": f"{prefix}{f.key(7)[:-2]}-{next(numbers)}", "data": get(prefix + f.key(7))}


@dataclass
class Subject:
    """A kind of cache, and what it is compared with.

    Args:
        name: of the class.
        make: returns one, given the module memocache.
        bare: what is below it.
        package: on PyPI or in the standard library, that has that.
        build: returns what the statements use, given the module of the package.
        get, put, drop: what is done there instead: for a hit; besides, for a miss; to uncache.
        venue: what has to be there meanwhile.
    """

    name: str
    make: Callable[[Any], Any]
    bare: str
    package: str
    build: Callable[[Any], dict[str, Any]]
    get: str
    put: str
    drop: str
    venue: Callable[[], AbstractContextManager[Sequence[str]]] = lambda: nullcontext(())

    def question(self) -> Question:
        """Return the question about this one alone."""
        cases = [
            Case(f"{HIT}, {self.name}", "f(7)"),
            Case(f"{MISS}, {self.name}", "uncache(7); f(7)", computes=1),
            Case(f"{UNCACHE}, {self.name}", "uncache(7)"),
        ]
        question = Question("backends", self.name, cases, self.bare, "us", venue=self.venue, tally=tally)

        @question.contestant("memocache", "memocache")
        def ours(memocache: Any) -> dict[str, Any]:
            f = memocache.cached(timeout=SECONDS, cache=self.make(memocache))(report)
            return {"f": f, "uncache": f.uncache}

        instead = (self.get, f"{self.drop}; {self.get}; {self.put}", self.drop)
        for case, statement in zip(cases, instead, strict=True):
            question.contestant(self.bare, self.package, cases=[case.name], statement=statement)(self.build)
        return question


memcached, redis = MemcachedServer(), RedisServer()


def bare_dict(_: Any) -> dict[str, Any]:
    values = {"key": ROW}
    return {"values": values, "ROW": ROW}


def bare_pymemcache(pymemcache: Any) -> dict[str, Any]:
    import memocache

    client = pymemcache.Client(memcached.address, default_noreply=False)
    found = bytes_of(memocache.MemcachedCache([memcached.address]), "", client.get)
    client.set(found["key"], found["data"])
    return {"get": client.get, "set": client.set, "delete": client.delete, **found}


def bare_redis(redis_py: Any) -> dict[str, Any]:
    import memocache

    client = redis_py.Redis(unix_socket_path=redis.address)
    found = bytes_of(memocache.RedisCache(f"unix://{redis.address}"), "memocache:", client.get)
    client.set(found["key"], found["data"])
    return {"get": client.get, "set": client.set, "delete": client.delete, **found}


class Folder:
    """A directory that is there for as long as the question is asked."""

    def __init__(self) -> None:
        self.path = ""

    @contextmanager
    def there(self) -> Iterator[Sequence[str]]:
        """Have it there; there is nothing to note of it."""
        with tempfile.TemporaryDirectory() as self.path:
            yield ()


folder = Folder()


def bare_sqlite(sqlite3: Any) -> dict[str, Any]:
    table = sqlite3.connect(f"{folder.path}/bare.db", isolation_level=None)
    table.execute("PRAGMA journal_mode=WAL")
    table.execute("PRAGMA synchronous=NORMAL")
    table.execute("CREATE TABLE IF NOT EXISTS bare (key TEXT PRIMARY KEY, value BLOB)")
    data = os.urandom(ABOUT_AS_MANY)
    table.execute(PUT, ("key", data))
    return {"do": table.execute, "data": data, "SELECT": SELECT, "PUT": PUT, "DROP": DROP}


def bare_cachelib(cachelib: Any) -> dict[str, Any]:
    values = cachelib.SimpleCache()
    data = os.urandom(ABOUT_AS_MANY)
    values.set("key", data)
    return {"values": values, "data": data}


def over_cachelib(memocache: Any) -> Any:
    import cachelib

    return memocache.ForeignCache(cachelib.SimpleCache())


def beside_pymemcache(name: str, make: Callable[[Any], Any]) -> Subject:
    return Subject(
        name,
        make,
        "pymemcache",
        "pymemcache",
        bare_pymemcache,
        get="get(key)",
        put="set(key, data)",
        drop="delete(key)",
        venue=memcached.running,
    )


SUBJECTS: Final = (
    Subject(
        "SimpleCache",
        lambda memocache: memocache.SimpleCache(),
        "dict",
        "builtins",
        bare_dict,
        get='values.get("key")',
        put='values["key"] = ROW',
        drop='values.pop("key", None)',
    ),
    beside_pymemcache("MemcachedCache", lambda memocache: memocache.MemcachedCache([memcached.address])),
    Subject(
        "RedisCache",
        lambda memocache: memocache.RedisCache(f"unix://{redis.address}"),
        "redis-py",
        "redis",
        bare_redis,
        get="get(key)",
        put="set(key, data)",
        drop="delete(key)",
        venue=redis.running,
    ),
    Subject(
        "SQLiteCache",
        lambda memocache: memocache.SQLiteCache(f"{folder.path}/cache.db"),
        "sqlite3",
        "sqlite3",
        bare_sqlite,
        get='do(SELECT, ("key",)).fetchone()',
        put='do(PUT, ("key", data))',
        drop='do(DROP, ("key",))',
        venue=folder.there,
    ),
    Subject(
        "ForeignCache of a cachelib.SimpleCache",
        over_cachelib,
        "cachelib",
        "cachelib",
        bare_cachelib,
        get='values.get("key")',
        put='values.set("key", data)',
        drop='values.delete("key")',
    ),
    beside_pymemcache(
        "TieredCache over MemcachedCache",
        lambda memocache: memocache.TieredCache(
            memocache.SimpleCache(), memocache.MemcachedCache([memcached.address]), near_timeout=SECONDS
        ),
    ),
)


@dataclass
class Backends:
    """The same question about each kind of cache."""

    name: str = "backends"
    title: str = "A call on each kind of cache, beside a dict or the bare client of its server"
    subjects: Sequence[Subject] = SUBJECTS
    _questions: list[Question] = field(init=False)

    def __post_init__(self) -> None:
        self._questions = [subject.question() for subject in self.subjects]

    @property
    def packages(self) -> Iterable[str]:
        """Those that take part."""
        return {package for question in self._questions for package in question.packages} - {"builtins"}

    def pieces(self, effort: Effort) -> int:
        """Return how many times `ask` tells how far it is."""
        return sum(question.pieces(effort) for question in self._questions)

    def ask(self, effort: Effort, told: Told = lambda done: None) -> Answer:
        """Return a table for each kind of cache and each call; where there is no server, a note says so."""
        grids: list[Grid] = []
        notes = [
            "The bare client gets, undecoded, the very bytes that memocache stores, with its default options;",
            "sqlite3 and cachelib about as many bytes, sqlite3 with WAL and synchronous=NORMAL.",
            "The computation is free. uncache: what was forgotten before, which is a delete all the same.",
        ]
        for question in self._questions:
            try:
                for package in question.packages:
                    imported(package)
                answer = question.ask(effort, told)
            except (Missing, Unanswerable) as reason:
                notes.append(f"{question.title}: skipped, {reason}.")
            else:
                grids += answer.grids
                notes += [note for note in answer.notes if note != HOW]
        return Answer(self.name, self.title, grids, (*notes, HOW))


question = Backends()

if __name__ == "__main__":
    main([question])
