"""The comparison of right and wrong: `python -m benchmarks.peers [--markdown FILE] [SUBJECT ...]`.

Each subject, a library in one of the ways to use it, answers the questions of `benchmarks.questions` in a process of
its own. An answer that takes longer than SECONDS hangs; a process that dies has crashed; the next question has a new
one.
"""

import argparse
import asyncio
import functools
import inspect
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar, Final

from benchmarks.harness import Unavailable
from benchmarks.questions import QUESTIONS, NotAsked, Wrong
from benchmarks.report import OURS, versions

SECONDS: Final = 20.0
TIMEOUT: Final = 300  # of entries
SUBJECTS: Final[dict[str, type["Subject"]]] = {}
MARKS: Final = ("<!-- table -->", "<!-- /table -->")
SERVERS: Final = "MEMOCACHE_PEERS_SERVERS"  # the variable that tells a process where they are: JSON

Function = Callable[..., Any]


class Subject:
    """A library in one of the ways to use it: what the questions need of it."""

    package: ClassVar[str]
    refuses: ClassVar[type[Exception] | tuple[type[Exception], ...]] = ()  # that is as good as a right answer
    only_awaited: ClassVar[bool] = False

    def __init_subclass__(cls, *, name: str = "", **options: Any) -> None:
        super().__init_subclass__(**options)
        if name:
            cls.name = name
            SUBJECTS[name] = cls

    name: ClassVar[str] = ""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """Return what *coroutine* gives."""
        return self._loop.run_until_complete(coroutine)

    def result(self, value: Any) -> Any:
        """Return *value*, or what it gives if it is to be awaited."""
        return self.run(value) if inspect.iscoroutine(value) else value

    def decorate(self, function: Function, **options: Any) -> Any:
        """Return *function* as it is cached here."""
        raise NotImplementedError

    def forget(self, cached: Any, *args: Any) -> None:
        """Forget the call with *args*, or all where one cannot be forgotten."""
        raise NotAsked("forgets nothing")

    def method(self, function: Function) -> Any:
        """Return *function* as it is cached in the body of a class."""
        return self.decorate(_awaited(function) if self.only_awaited else function)

    def plain(self, function: Function) -> Function:
        """Return *function*, cached with what the library itself makes of its name."""
        return self.function(function)

    def function(self, function: Function, **options: Any) -> Function:
        """Return *function*, cached, as one that is called."""
        cached = self.decorate(_awaited(function) if self.only_awaited else function, **options)
        if not self.only_awaited:
            return cached  # type: ignore[no-any-return]

        @functools.wraps(function)
        def called(*args: Any, **kwargs: Any) -> Any:
            return self.run(cached(*args, **kwargs))

        return called

    def coroutine_function(self, function: Function) -> Any:
        """Return the coroutine function *function*, cached."""
        return self.decorate(function)

    def flask(self) -> tuple[Any, Function]:
        """Return an application, and what decorates a view."""
        raise NotAsked("has no views of Flask")

    @contextmanager
    def may_refuse(self) -> Iterator[None]:
        """Let the subject say no, instead of a wrong value."""
        with suppress(self.refuses):
            yield


class OnlySync(Subject):
    """A library that knows no coroutine functions."""

    def coroutine_function(self, function: Function) -> Any:
        raise NotAsked("knows no coroutine functions")


def _awaited(function: Function) -> Function:
    @functools.wraps(function)
    async def coroutine_function(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return coroutine_function


def directory() -> str:
    """Return a new directory; the process that it is for has one for all of them."""
    return tempfile.mkdtemp(prefix="mc")


def servers() -> dict[str, Any]:
    """Return the addresses of the servers, by their kind."""
    return json.loads(os.environ[SERVERS])  # type: ignore[no-any-return]


# ---- memocache ---------------------------------------------------------------------------------------------------

_numbers = itertools.count()


class Ours(Subject):
    """memocache on one of its caches."""

    package = "memocache"

    def __init__(self) -> None:
        super().__init__()
        import memocache

        self.memocache = memocache
        self.refuses = (memocache.UnkeyableArgument, memocache.ConfigurationError)  # type: ignore[misc]
        self.cache = self.made()
        self.prefix = f"peers-{os.getpid()}-"

    def made(self) -> Any:
        raise NotImplementedError

    def decorate(self, function: Function, **options: Any) -> Any:
        # Functions of a question are made in it, so that no other process could find them by their names.
        options.setdefault("namespace", f"{self.prefix}{next(_numbers)}")
        return self.memocache.cached(timeout=TIMEOUT, cache=self.cache, **options)(function)

    def plain(self, function: Function) -> Function:
        return self.decorate(function, namespace=None)  # type: ignore[no-any-return]

    def method(self, function: Function) -> Any:
        return self.decorate(function)

    def forget(self, cached: Any, *args: Any) -> None:
        cached.uncache(*args)

    def flask(self) -> tuple[Any, Function]:
        from flask import Flask

        from memocache.web.flask import Memocache

        app = Flask("peers")
        Memocache(app)
        return app, self.memocache.cached(timeout=TIMEOUT, cache=self.cache, namespace=f"{self.prefix}page")


class OnSimpleCache(Ours, name="memocache on SimpleCache"):
    def made(self) -> Any:
        return self.memocache.SimpleCache()


class OnMemcached(Ours, name="memocache on memcached"):
    def made(self) -> Any:
        return self.memocache.MemcachedCache([servers()["memcached"]])


class OnRedis(Ours, name="memocache on Redis"):
    def made(self) -> Any:
        return self.memocache.RedisCache(servers()["redis"])


class OnSQLite(Ours, name="memocache on SQLite"):
    def made(self) -> Any:
        return self.memocache.SQLiteCache(Path(directory(), "cache", "cache.db"))


class OnTiers(Ours, name="memocache on tiers"):
    def made(self) -> Any:
        shared = self.memocache.MemcachedCache([servers()["memcached"]])
        return self.memocache.TieredCache(self.memocache.SimpleCache(), shared, near_timeout=5)


class OnDict(Ours, name="memocache on a dict"):
    def made(self) -> Any:
        return self.memocache.ForeignCache({})


class OnSignedMemcached(Ours, name="memocache on signed memcached"):
    def made(self) -> Any:
        return self.memocache.MemcachedCache([servers()["memcached"]], secret=b"0123456789abcdef" * 2)


class OnPymemcache(Ours, name="memocache on a pymemcache client"):
    def made(self) -> Any:
        from pymemcache import PooledClient

        return self.memocache.ForeignCache(PooledClient(servers()["memcached"], timeout=1))


class OnRedisCluster(Ours, name="memocache on a Redis cluster"):
    def made(self) -> Any:
        return self.memocache.RedisCache(servers()["cluster"])


# ---- peers -------------------------------------------------------------------------------------------------------


class LruCache(OnlySync, name="functools.lru_cache"):
    package = "functools"

    def decorate(self, function: Function, **options: Any) -> Any:
        return functools.lru_cache(maxsize=1000)(function)

    def forget(self, cached: Any, *args: Any) -> None:
        cached.cache_clear()


class Cachetools(OnlySync, name="cachetools with a lock"):
    package = "cachetools"

    def guards(self) -> dict[str, Any]:
        return {"lock": threading.RLock()}

    def decorate(self, function: Function, **options: Any) -> Any:
        import cachetools

        return cachetools.cached(cachetools.TTLCache(1000, TIMEOUT), **self.guards())(function)

    def forget(self, cached: Any, *args: Any) -> None:
        cached.cache.pop(cached.cache_key(*args), None)


class CachetoolsCondition(Cachetools, name="cachetools with a condition"):
    def guards(self) -> dict[str, Any]:
        return {"condition": threading.Condition()}


class Cachebox(Subject, name="cachebox"):
    package = "cachebox"

    def decorate(self, function: Function, **options: Any) -> Any:
        import cachebox

        return cachebox.cached(cachebox.TTLCache(1000, TIMEOUT))(function)

    def forget(self, cached: Any, *args: Any) -> None:
        cached.cache.clear()


class Moka(Subject, name="moka-py"):
    package = "moka-py"

    def decorate(self, function: Function, **options: Any) -> Any:
        import moka_py

        return moka_py.cached(maxsize=1000, ttl=TIMEOUT, wait_concurrent=True)(function)

    def forget(self, cached: Any, *args: Any) -> None:
        cached.cache_clear()


class Cashews(Subject, name="cashews"):
    package = "cashews"
    only_awaited = True

    def decorate(self, function: Function, **options: Any) -> Any:
        import cashews

        cache = cashews.Cache()
        cache.setup("mem://?size=1000")
        return cache(ttl=TIMEOUT, lock=True)(function)


class Aiocache(Subject, name="aiocache"):
    package = "aiocache"
    only_awaited = True

    def decorate(self, function: Function, **options: Any) -> Any:
        import aiocache

        return aiocache.cached_stampede(lease=2, ttl=TIMEOUT)(function)


class Dogpile(OnlySync, name="dogpile.cache"):
    package = "dogpile.cache"

    def __init__(self) -> None:
        super().__init__()
        from dogpile.cache import make_region

        self._region = make_region().configure("dogpile.cache.memory", expiration_time=TIMEOUT)

    def decorate(self, function: Function, **options: Any) -> Any:
        return self._region.cache_on_arguments()(function)

    def forget(self, cached: Any, *args: Any) -> None:
        cached.invalidate(*args)


class FlaskCaching(OnlySync, name="Flask-Caching"):
    package = "Flask-Caching"

    def __init__(self) -> None:
        super().__init__()
        from flask import Flask
        from flask_caching import Cache

        self._app = Flask("peers")
        self._cache = Cache(self._app, config={"CACHE_TYPE": "SimpleCache", "CACHE_THRESHOLD": 1000})

    def decorate(self, function: Function, **options: Any) -> Any:
        return self._cache.memoize(TIMEOUT)(function)

    def forget(self, cached: Any, *args: Any) -> None:
        self._cache.delete_memoized(cached, *args)

    def flask(self) -> tuple[Any, Function]:
        return self._app, self._cache.cached(TIMEOUT)


class Diskcache(OnlySync, name="diskcache"):
    package = "diskcache"

    def __init__(self) -> None:
        super().__init__()
        import diskcache

        self._cache = diskcache.Cache(directory())

    def decorate(self, function: Function, **options: Any) -> Any:
        return self._cache.memoize(expire=TIMEOUT)(function)

    def forget(self, cached: Any, *args: Any) -> None:
        self._cache.delete(cached.__cache_key__(*args))


class Joblib(OnlySync, name="joblib.Memory"):
    package = "joblib"

    def __init__(self) -> None:
        super().__init__()
        import joblib

        self._memory = joblib.Memory(directory(), verbose=0)

    def decorate(self, function: Function, **options: Any) -> Any:
        return self._memory.cache(function)

    def method(self, function: Function) -> Any:
        raise NotAsked("is not for methods in the body of a class")

    def forget(self, cached: Any, *args: Any) -> None:
        cached.call_and_shelve(*args).clear()


class Cachier(Subject, name="cachier"):
    package = "cachier"

    def decorate(self, function: Function, **options: Any) -> Any:
        from datetime import timedelta

        import cachier

        return cachier.cachier(backend="memory", stale_after=timedelta(seconds=TIMEOUT))(function)

    def forget(self, cached: Any, *args: Any) -> None:
        cached.clear_cache()


# ---- one subject, in a process of its own ------------------------------------------------------------------------


def answers(name: str, first: int) -> None:
    """Print the answers of that subject, a line of JSON each, from the question with the number *first* on."""
    for title, ask in [*QUESTIONS.items()][first:]:
        # Asked in the main thread, as libraries expect: what hangs there, only another thread can end.
        watch = threading.Timer(SECONDS, _hangs, [title])
        watch.start()
        answer = _answer(name, ask)
        watch.cancel()
        print(json.dumps([title, *answer]), flush=True)
    os._exit(0)  # whatever threads are left


def _hangs(title: str) -> None:
    print(json.dumps([title, "wrong", "hangs"]), flush=True)
    os._exit(0)


def _answer(name: str, ask: Callable[[Subject], None]) -> tuple[str, str]:
    try:
        ask(SUBJECTS[name]())
    except NotAsked as reason:
        return "not asked", str(reason)
    except Wrong as wrong:
        return "wrong", str(wrong)
    except BaseException as error:
        return "wrong", type(error).__name__
    return "right", ""


# ---- all of them -------------------------------------------------------------------------------------------------

Answers = dict[str, tuple[str, str]]  # "right", "wrong" or "not asked", and what is to be said, by question


def asked(name: str) -> Answers:
    """Return the answers of one subject."""
    found: Answers = {}
    while len(found) < len(QUESTIONS):
        words = [
            sys.executable,
            "-W",
            "ignore",
            "-m",
            "benchmarks.peers",
            "--answers",
            name,
            "--first",
            str(len(found)),
        ]
        run = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
        for line in run.stdout.splitlines():
            title, verdict, told = json.loads(line)
            found[title] = (verdict, told)
        if run.returncode:
            found[[*QUESTIONS][len(found)]] = ("wrong", f"crashes, status {run.returncode}")
    return found


@contextmanager
def running() -> Iterator[None]:
    """Run the servers meanwhile, and tell the processes of the subjects where they are."""
    from tests.support.redis_servers import RedisCluster, RedisServer, find_redis
    from tests.support.servers import MemcachedServer, find_memcached

    binary, reason = find_redis()
    if binary is None or not find_memcached()[0]:
        raise Unavailable(reason if binary is None else find_memcached()[1])
    with ExitStack() as stack:
        memcached = stack.enter_context(MemcachedServer())
        redis = stack.enter_context(RedisServer(binary=binary))
        cluster = stack.enter_context(RedisCluster(binary))
        os.environ[SERVERS] = json.dumps({"memcached": memcached.address, "redis": redis.url, "cluster": cluster.url})
        yield


def markdown(found: dict[str, Answers]) -> str:
    """Return the table: a question a row, who is right, who is wrong and how."""
    packages = {SUBJECTS[name].package for name in found}
    told = ", ".join(f"{name} {release}" for name, release in versions(packages).items() if release)
    lines = [f"{told}; Python {platform.python_version()}.", "", "| right is | right | wrong |", "|---|---|---|"]
    for title in QUESTIONS:
        right, wrong = list[str](), dict[str, list[str]]()
        for name, answers in found.items():
            verdict, what = answers[title]
            if verdict == "right":
                right.append(name)
            elif verdict == "wrong":
                wrong.setdefault(what, []).append(name)
        ways = "; ".join(f"{_names(names, found)} ({what})" for what, names in wrong.items())
        lines.append(f"| {title} | {_names(right, found)} | {_escaped(ways)} |")
    lines += ["", "| | right | wrong | not asked |", "|---|--:|--:|--:|"]
    for name, answers in found.items():
        verdicts = [verdict for verdict, _ in answers.values()]
        lines.append(
            f"| {name} | {' | '.join(str(verdicts.count(each)) for each in ('right', 'wrong', 'not asked'))} |"
        )
    return "\n".join(lines) + "\n"


def _names(names: list[str], found: dict[str, Answers]) -> str:
    """Return *names*, with one word for memocache on all its caches."""
    ours = [name for name in found if SUBJECTS[name].package == OURS]
    if len(ours) > 1 and all(name in names for name in ours):
        names = ["memocache on each cache", *(name for name in names if name not in ours)]
    return ", ".join(names)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _found(names: Sequence[str]) -> dict[str, Answers]:
    """Return the answers of the subjects with these *names*; say meanwhile what was wrong."""
    found = {}
    with running():
        for name in names:
            found[name] = asked(name)
            wrong = (f"  {title}: {told}" for title, (verdict, told) in found[name].items() if verdict == "wrong")
            print(name, *wrong, sep="\n", file=sys.stderr)
    return found


def main(words: list[str] | None = None) -> None:
    """Ask the subjects that the command line names, all if it names none."""
    parser = argparse.ArgumentParser("python -m benchmarks.peers", description=__doc__.splitlines()[0])
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="put the table here, between its two marks")
    parser.add_argument("--answers", metavar="SUBJECT", help=argparse.SUPPRESS)
    parser.add_argument("--first", type=int, default=0, help=argparse.SUPPRESS)
    parser.add_argument("subject", nargs="*", help=f"all if none is given: {'; '.join(SUBJECTS)}")
    options = parser.parse_args(words)
    if options.answers:
        answers(options.answers, options.first)
    for name in options.subject:
        if name not in SUBJECTS:
            parser.error(f"there is no subject {name!r}; there are: {'; '.join(SUBJECTS)}")
    try:
        found = _found(options.subject or [*SUBJECTS])
    except Unavailable as reason:
        parser.error(str(reason))
    if options.markdown:
        before, _, rest = options.markdown.read_text(encoding="utf-8").partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        options.markdown.write_text(f"{before}{MARKS[0]}\n\n{markdown(found)}\n{MARKS[1]}{after}", encoding="utf-8")
    else:
        print(markdown(found))


if __name__ == "__main__":
    # The questions import this module by its name: so that there is one of it.
    from benchmarks.peers import main as run

    run()
