"""The doctor: what the command `doctor` says of the caches in use and their servers, what is wrong, and what to do."""

import asyncio
import contextlib
import inspect
import re
import statistics
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from memocache._clock import ticks
from memocache._units import duration, size
from memocache.backends._facts import ServerFacts
from memocache.backends._listing import StoredEntry
from memocache.backends.base import Cache
from memocache.errors import BackendError, ConfigurationError, MemocacheError
from memocache.stats import SharedFigures, read

PROBES: Final = 20
SLOW: Final = 0.005  # seconds that a round trip should take at most, in one data centre
LEAST_VERSIONS: Final = {"redis": (6, 0), "memcached": (1, 4, 31)}
MOST_SKEW: Final = 3.0  # seconds; a server may tell whole ones, a moment old
MANY_EVICTED: Final = 0.1  # of what was stored
SAMPLE: Final = 1000  # entries that are looked at
FEW_CALLS: Final = 100  # of a function, which say nothing of it
MANY_STORED: Final = 1000
FEW_HITS: Final = 0.01  # of the calls

FOR_TIERS: Final = ("publish", "subscribe", "ping")
FOR_FIGURES: Final = ("hincrby", "hgetall")
CONSEQUENCES: Final = {
    "echo": "",  # may be left out
    "scan": "clear() and `memocache ls` do not work",
    "strlen": "`memocache ls` does not work",
    **dict.fromkeys(FOR_TIERS, "near tiers are not told of what others forget, and serve it for near_timeout"),
    **dict.fromkeys(FOR_FIGURES, "processes cannot share their figures"),
}

REMEDIES: Final = {
    "OOM": "Raise maxmemory, or set maxmemory-policy to allkeys-lru",
    "MISCONF": "See why its snapshot fails, or switch snapshots off (save '')",
    **dict.fromkeys(("READONLY", "MASTERDOWN"), "Name the master, or the sentinels: redis+sentinel://"),
    "NOREPLICAS": "See that its replicas run, or set min-replicas-to-write to 0",
    "LOADING": "Wait until it has read its data",
    "BUSY": "End the script that it runs (SCRIPT KILL)",
}
"""By the first word of an answer; else it is the user who may not give a command."""


class Doctor:
    """Looks at one cache after the other, says how it is, and collects what is wrong.

    Args:
        say: prints a line.
        titles: the names of known functions, by the tag of all their results.
    """

    def __init__(self, say: Callable[..., object], titles: Mapping[str, str]) -> None:
        self._say = say
        self._titles = titles

    def examine(self, cache: Cache) -> Iterator[str]:
        """Say how *cache* is, and return what is wrong with it, each with what to do."""
        self._tell("cache", repr(cache))
        if not cache.shared:
            yield (
                f"{cache!r} lives in one process: others compute again, and what they forget is served here. "
                "Give them a cache that they share, such as redis://, memcached:// or sqlite:///"
            )
            return
        problem, facts = "", list[ServerFacts]()
        try:
            yield from self._examine_latency(cache)
        except MemocacheError as error:
            problem = str(error).rstrip(".")
        try:
            facts += cache.facts()  # which may tell why
        except MemocacheError as error:
            problem = problem or str(error).rstrip(".")
        if problem and not facts:
            yield f"{cache!r} cannot be reached: {problem}. {_advice(problem)}"
            return
        if problem and not any(each.refused for each in facts):
            yield f"{cache!r} does not take a value: {problem}"
        if not cache.one_machine and getattr(cache.far, "_prefix", None) == "":
            yield (
                f"{cache!r} has no key_prefix: another application on the same server that has a function of the same "
                "name would share its entries. Give each its own: key_prefix='shop:'"
            )
        figures = self._figures(cache)
        for each in facts:
            yield from self._examine_server(each, tiers=cache.has_near, shares=bool(figures))
        yield from self._examine_figures(figures)
        yield from self._examine_entries(cache)

    def _tell(self, what: str, text: str) -> None:
        self._say(f"{what:<12}{text}")

    def _examine_latency(self, cache: Cache) -> Iterator[str]:
        key, seconds = f"doctor-{uuid.uuid4().hex}", []
        with calling(cache) as call:
            call(cache.set, key, "probe", 60)
            for _ in range(PROBES):
                began = ticks()
                found = call(cache.far.get, key)
                seconds.append(ticks() - began)
            call(cache.delete, key)
        if found != "probe":
            yield f"{cache!r} did not keep a value for a moment: give it more memory, or set its clock"
        median = statistics.median(seconds)
        self._tell("latency", f"{median * 1e6:,.0f} us, median of {PROBES} reads")
        if median > SLOW:
            yield f"a read from {cache!r} takes {median * 1e3:.1f} ms; put a near tier before it: TieredCache"

    # ---- servers -------------------------------------------------------------------------------------------------

    def _examine_server(self, facts: ServerFacts, *, tiers: bool, shares: bool) -> Iterator[str]:
        where = f"{facts.system} at {facts.name}"
        version = facts.values.get("redis_version") or facts.values.get("version", "")
        self._tell("server", f"{where}, version {version or 'not told'}")
        least = LEAST_VERSIONS.get(facts.system, ())
        if version and tuple(map(int, re.findall(r"\d+", version)[:3])) < least:
            yield f"{where} has version {version}; use {'.'.join(map(str, least))} or later"
        if facts.skew is not None:
            self._tell("clock", f"{duration(abs(facts.skew))} {'ahead of' if facts.skew > 0 else 'behind'} this host's")
            if abs(facts.skew) > MOST_SKEW:
                yield (
                    f"the clocks of {where} and of this host differ by {duration(abs(facts.skew))}: timeouts are wrong "
                    "by as much, and beyond a minute nothing is a hit. Set the clocks of all hosts, by NTP"
                )
        if facts.open_to_others:
            yield (
                f"other users of this machine may write to {facts.open_to_others}, and so can read, forge and delete "
                "what is stored. Let only the application's user do so (chmod, unixsocketperm 700, memcached's -a 700)"
            )
        examine = {"redis": _examine_redis, "memcached": _examine_memcached, "sqlite": _examine_sqlite}[facts.system]
        for told in examine(where, facts):
            if isinstance(told, Note):
                self._tell(*told)
            else:
                yield told
        needless = (*(() if tiers else FOR_TIERS), *(() if shares else FOR_FIGURES))
        yield from _refusals(where, {name: why for name, why in facts.refused.items() if name not in needless})

    # ---- functions -----------------------------------------------------------------------------------------------

    def _figures(self, cache: Cache) -> list[SharedFigures]:
        try:
            return read(cache)
        except (ConfigurationError, BackendError):  # nothing can be shared there
            return []

    def _examine_figures(self, figures: Iterable[SharedFigures]) -> Iterator[str]:
        for each in figures:
            totals = each.totals
            ratio = totals.hit_ratio
            if ratio is None or totals.calls < FEW_CALLS:
                continue
            if totals.calls == totals.misses:
                yield (
                    f"{each.function} was called {totals.calls:,} times, and never was a result found: leave out of "
                    "its key what differs each time (ignore=, key=), raise its timeout, or do not cache it"
                )
            elif totals.stored >= MANY_STORED and ratio < FEW_HITS:
                yield (
                    f"{each.function} has stored {totals.stored:,} results, and {ratio:.1%} of its calls found one: "
                    "its keys grow without end. Leave out of the key what differs each time (ignore=, key=), or give "
                    "it a short timeout"
                )

    def _examine_entries(self, cache: Cache) -> Iterator[str]:
        """Look at some of what is stored."""
        slow: dict[str, StoredEntry] = {}
        try:
            for entry in islice(cache.listing(None, SAMPLE), SAMPLE):
                name = self._titles.get(entry.tag, entry.namespace)
                if name and entry.expires_in is not None and entry.cost > _timeout(entry):
                    slow[name] = entry
        except MemocacheError:
            return  # what cannot be listed, `ls` tells of
        for name, entry in sorted(slow.items()):
            yield (
                f"a result of {name} took {duration(entry.cost)} to compute, and is kept for "
                f"{duration(_timeout(entry))}: "
                "raise its timeout, or let stale= serve it while it is computed again"
            )


def _timeout(entry: StoredEntry) -> float:
    """Return the seconds for which *entry* is kept once it is computed, from where on its age counts."""
    return entry.age + (entry.expires_in or 0.0) - entry.cost


class Note(NamedTuple):
    """A figure of a server, which is no trouble."""

    what: str
    text: str


@contextlib.contextmanager
def calling(cache: Cache) -> Iterator[Callable[..., Any]]:
    """Lend a function that calls a method of *cache*, all in one event loop where they have to be awaited."""
    if not cache.awaited_only:
        yield lambda method, *arguments: method(*arguments)
        return
    with asyncio.Runner() as runner:
        yield lambda method, *arguments: runner.run(cache.awaited(method, arguments))


def result_of(answer: Any) -> Any:
    """Return the *answer* of a method, awaited if it has to be."""
    return asyncio.run(_awaited(answer)) if inspect.isawaitable(answer) else answer


async def _awaited(answer: Any) -> Any:
    return await answer


def _advice(problem: str) -> str:
    """Return what to do about a cache that cannot be reached."""
    if any(each in problem for each in ("NOAUTH", "WRONGPASS", "AuthenticationError")):
        return "Give the user and the password that it wants: redis://user:password@host"
    if "CERTIFICATE_VERIFY_FAILED" in problem:
        return "Renew its certificate, or name its authority (ssl_ca_certs=)"
    return "See that it runs, and that its address is right"


def _refusals(where: str, refused: Mapping[str, str]) -> Iterator[str]:
    """Return what follows from commands that a server has *refused*, each with its answer."""
    together: dict[tuple[str, str], list[str]] = {}  # those with one consequence are one trouble
    for name, answer in refused.items():
        consequence = CONSEQUENCES.get(name, "results are computed each time")
        if consequence:
            together.setdefault((consequence, answer.partition(" ")[0]), []).append(name)
    for (consequence, _), names in together.items():
        answer = refused[names[0]]
        what = f"command{'s' if len(names) > 1 else ''} {', '.join(names)}"
        yield f"{where} refuses the {what} ({answer}), so {consequence}. {_remedy(names, answer)}"


def _remedy(names: list[str], answer: str) -> str:
    if remedy := REMEDIES.get(answer.partition(" ")[0]):
        return remedy
    what = "channels &memocache:told:*" if names[0] in FOR_TIERS else "keys ~memocache*"
    return f"Allow its user the {what}, and +{' +'.join(names)} (ACL SETUSER)"


def _examine_redis(where: str, facts: ServerFacts) -> Iterator[Note | str]:
    if not facts.values:
        yield Note("", "the rest is not told: the user may not ask INFO; allow it +info +config|get +time")
        return
    policy, most = facts.values.get("maxmemory_policy", ""), facts.number("maxmemory")
    used = size(facts.number("used_memory"))
    room = f"of {size(most)}, {policy}" if most else "without a limit (maxmemory 0)"
    yield Note("memory", f"{used} {room}; {facts.number('evicted_keys'):,} evicted")
    if most == 0:
        yield (
            f"{where} has no maxmemory, so it grows until the machine has no memory left. Set maxmemory, and "
            "maxmemory-policy to allkeys-lru"
        )
    elif policy == "noeviction":
        yield (
            f"{where} has the maxmemory-policy noeviction: when it is full, results are not stored any more. Set it to "
            "allkeys-lru"
        )
    if facts.values.get("role") == "slave":
        yield f"{where} is a replica, which takes no writes. Name the master, or the sentinels: redis+sentinel://"
    if facts.number("rejected_connections"):
        yield f"{where} has turned {facts.number('rejected_connections'):,} connections away. Raise maxclients"
    yield from _examine_persistence(where, facts)


def _examine_persistence(where: str, facts: ServerFacts) -> Iterator[Note | str]:
    appends, fsync = facts.number("aof_enabled"), facts.values.get("appendfsync")
    saves = facts.values.get("save")
    if appends:
        yield Note("restart", f"keeps what is stored: an append-only file, fsync {fsync or 'not told'}")
        if fsync in ("everysec", "no"):
            yield (
                f"{where} writes its append-only file with fsync {fsync}: killed and started again, it may serve what "
                'was forgotten in the last moments. Set appendfsync always; or appendonly no and save "", so that it '
                "comes back empty"
            )
    elif saves:
        yield Note("restart", "brings back the last snapshot")
        yield (
            f"{where} makes snapshots (save {saves!r}): killed and started again, it serves what was forgotten since "
            'the last one. For a server that is only a cache set save "", so that it comes back empty'
        )
    else:
        told = "begins empty" if saves == "" else "not told: the user may not ask CONFIG GET; allow it +config|get"
        yield Note("restart", told)


def _examine_memcached(where: str, facts: ServerFacts) -> Iterator[Note | str]:
    stored, evicted = facts.number("total_items"), facts.number("evictions")
    most = size(facts.number("limit_maxbytes"))
    yield Note("memory", f"{size(facts.number('bytes'))} of {most}; {evicted:,} evicted of {stored:,} stored")
    yield Note("restart", "begins empty")
    if facts.values.get("settings.evictions") in ("off", "False", "0"):
        yield f"{where} runs with -M: when it is full, results are not stored any more. Start it without -M"
    elif evicted > MANY_EVICTED * stored:
        yield (
            f"{where} had to evict {evicted:,} of the {stored:,} items that were stored in it, for want of memory. "
            "Give it more (-m)"
        )
    if facts.number("listen_disabled_num"):
        yield f"{where} had no connections left {facts.number('listen_disabled_num'):,} times. Raise its limit (-c)"


def _examine_sqlite(where: str, facts: ServerFacts) -> Iterator[Note | str]:
    yield Note("size", f"{size(facts.number('size'))} of {size(facts.number('size_limit'))}")
    yield Note("restart", "keeps what is stored; after a power failure, what was forgotten in the last moments, too")
