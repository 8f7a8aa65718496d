"""Shared figures: what all processes have counted, added up on a cache that they share; and Info, of one function."""

import atexit
import contextlib
import threading
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Self

from memocache import _fork
from memocache._chance import chance
from memocache._clock import now
from memocache._config import default_cache
from memocache._counters import Info
from memocache._current import as_cache
from memocache._flight import start_thread
from memocache._fork import in_child
from memocache._policy import FOREVER
from memocache.backends._shared import INDEX, MINUTE, MINUTES, TOTAL, ServerCache
from memocache.errors import ConfigurationError, logger, told, with_article
from memocache.observe._totals import Totals, check_thread

if TYPE_CHECKING:
    from memocache.backends.base import Cache
    from memocache.backends.foreign import Foreign

__all__ = ["Info", "SharedFigures", "Sharing", "read", "share"]

MOST_FUNCTIONS: Final = 1000
LONGEST_NAME: Final = 200
LONGEST_ESCAPED: Final = 10 * LONGEST_NAME
OTHERS: Final = "(others)"
"""The name of the row in which those functions are counted for which there is no room."""
MINUTE_LIFETIME: Final = (MINUTES + 1) * MINUTE
SLOWER: Final = 1.1  # times what is known as the slowest, before another is worth a change of the index
MICROSECONDS: Final = 1_000_000
MOST: Final = 1e15  # seconds of a computation that are believed
PATIENCE: Final = 5.0  # seconds to wait for what is just being sent

SECONDS: Final = ("seconds_saved", "seconds_computed", "waited")  # are sent as whole microseconds
OF_A_MINUTE: Final = ("hits", "stale", "misses", "waits", "failures", "seconds_saved", "seconds_computed")
OF_ALL_TIME: Final = (*OF_A_MINUTE, "evicted", "stored", "lost", "waited")
NOTHING: Final = Info()


# ---- reading ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SharedFigures:
    """The figures of one function, counted by all processes that share theirs, also by those that have ended."""

    function: str
    """The name of the function, such as "shop.report", or its `namespace=`; "(others)" for those beyond 1,000."""
    totals: Info
    """All that was ever counted. It has no sizes, and no errors by kind."""
    minutes: tuple[Info, ...]
    """The last 60 minutes, the present one last: hits, stale, misses, waits, failures and seconds."""
    slowest: float
    """The seconds of the longest computation, to within a tenth."""


def read(cache: "Cache | Foreign | str") -> list[SharedFigures]:
    """Return the figures of all functions that processes share on *cache*, by name; none where nothing is shared.

    It takes some round trips, and blocks: in a coroutine, `await asyncio.to_thread(read, cache)`.

    Args:
        cache: a cache object, or its name or URL, as `share` was given.

    Raises:
        ConfigurationError: for a cache on which figures cannot be shared.
        BackendError: if the cache does not answer.
    """
    far = _far("read", cache)
    index = _names_in(far.get(INDEX))
    numbered = {name: _number(name) for name in (*index, OTHERS)}
    minute = int(now() // MINUTE)
    (ever,) = far.tallies([TOTAL], _numbers(numbered, OF_ALL_TIME))
    total = _infos(ever)
    tallies = [str(each) for each in range(minute - MINUTES + 1, minute + 1)]
    numbers = [name for name in _numbers(numbered, OF_A_MINUTE) if name in ever]  # of 1,000 functions they are many
    minutes = list(map(_infos, far.tallies(tallies, numbers)))
    found = [
        SharedFigures(
            name,
            total.get(number, NOTHING),
            tuple([each.get(number, NOTHING) for each in minutes]),
            index.get(name, 0.0),
        )
        for name, number in numbered.items()
    ]
    shown = [each for each in found if each.function in index or each.totals.calls]
    return sorted(shown, key=lambda each: each.function)


def _far(function: str, given: object) -> ServerCache:
    """Return the cache with the figures, of what *function* was given; ConfigurationError if there can be none."""
    cache = default_cache(given) if isinstance(given, str) else as_cache(given)
    far = None if cache is None else cache.far
    if isinstance(far, ServerCache):
        return far
    if cache is None:
        what = f"got {with_article(type(given))}"
    elif not cache.shared:
        what = f"got {cache!r}, which lives in this process, where no other can add to its figures"
    else:
        what = f"got {cache!r}, on which processes cannot add to one number without losing what others add"
    raise ConfigurationError(
        f"{function}() {what}; give it a RedisCache, MemcachedCache, SQLiteCache or GAEMemcachedCache, or a URL such "
        "as 'redis://127.0.0.1:6379'. The functions themselves may use any cache"
    )


def _number(name: str) -> str:
    """Return what the numbers of the function *name* begin with: no other function's, whatever happens to the index."""
    return blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()


def _numbers(numbered: Mapping[str, str], figures: tuple[str, ...]) -> list[str]:
    return [f"{number}:{figure}" for number in numbered.values() for figure in figures]


def _infos(numbers: Mapping[str, int]) -> dict[str, Info]:
    """Return the figures in the *numbers* of a tally, by the number of the function."""
    found: dict[str, dict[str, Any]] = {}
    for name, number in numbers.items():
        function, _, figure = name.partition(":")
        if figure in OF_ALL_TIME:
            found.setdefault(function, {})[figure] = number / MICROSECONDS if figure in SECONDS else number
    return {function: Info(**figures) for function, figures in found.items()}


def _names_in(index: object) -> dict[str, float]:
    """Return the names in the *index*, each with its slowest computation; anybody may have written it."""
    found = index.items() if isinstance(index, dict) else ()
    return {
        name: float(seconds)
        for name, seconds in list(found)[:MOST_FUNCTIONS]
        if type(name) is str and len(name) <= LONGEST_ESCAPED and type(seconds) in (int, float) and 0 <= seconds < MOST
    }


# ---- sharing ---------------------------------------------------------------------------------------------------------


def share(cache: "Cache | Foreign | str", every: float = 10) -> "Sharing":
    """Add the figures of all functions of this process to those on *cache*, from now on; return what ends it.

    A thread does it, and never a call: every so many seconds it sends what was counted since then, in one or two round
    trips, and what is left at the end of the process. Call it once in each process, also before it forks: a child
    counts for itself. A process shares on one cache; called again, it goes on with the other one.

    What could not be sent is kept, and sent with the next. A process that is killed has not shared its last *every*
    seconds; and what an answer was lost for may be counted twice.

    Args:
        cache: a RedisCache, MemcachedCache, SQLiteCache or GAEMemcachedCache, a TieredCache before one, or its name or
            URL. The functions may use any others. Applications with a *key_prefix* of their own do not mix.
        every: seconds between two sendings, above 0.

    Raises:
        ConfigurationError: for a cache on which that cannot be, and for any other *every*.
    """
    global _sharing, _totals
    far = _far("share", cache)
    check_thread("share", every)
    with _starting:
        if _totals is None:
            _totals = Totals()
            if _fork.is_child:
                _totals.read()  # what the parent had counted is the parent's
            atexit.register(_at_exit)
        former, _sharing = _sharing, Sharing(far, every)
        if former is not None:
            former()
            _sharing.take_over(former)
        _sharing.start()
        return _sharing


class Sharing:
    """The figures of this process on their way to a cache, until it is called, or left as a context.

    Args:
        far: the cache.
        every: seconds between two sendings.
    """

    def __init__(self, far: ServerCache, every: float) -> None:
        self.cache = far
        """The cache on which the figures are."""
        self._every = every
        self._index: dict[str, float] = {}  # as it was there
        self._index_minute = 0  # in which it was looked at last
        self._slowest: dict[str, float] = {}  # seconds of the longest computation, of all functions that counted here
        self._is_told = self._is_full_told = False
        self._empty()

    def _empty(self) -> None:
        self._lock = threading.Lock()
        self._counted: dict[tuple[str, str], Counter[str]] = {}  # by tally and function: what has no numbers yet
        self._left: dict[str, Counter[str]] = {}  # by tally: what is to be added to its numbers

    def start(self) -> None:
        """Send from now on."""
        self._stop = threading.Event()
        with contextlib.suppress(RuntimeError):  # the interpreter shuts down
            start_thread("memocache stats", self._run, self._stop)
        from multiprocessing import util  # whose processes end without atexit

        util.register_after_fork(self, lambda sharing: util.Finalize(None, sharing.finish, exitpriority=0))

    def take_over(self, former: "Sharing") -> None:
        """Send what the *former* could not."""
        if former._lock.acquire(timeout=PATIENCE):
            self._counted, self._left, self._slowest = former._counted, former._left, former._slowest
            former._empty()

    def __call__(self) -> None:
        """Send what is left, and nothing any more."""
        global _sharing
        if _sharing is self:
            _sharing = None
        if not self._stop.is_set():
            self._stop.set()
            self.finish()
            if _totals is not None:
                _totals.let_go()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self()

    def after_fork(self) -> None:
        """Send what this child counts, and leave to the parent what that has."""
        self._empty()
        if not self._stop.is_set():
            self.start()

    def _run(self, stop: threading.Event) -> None:
        # Not all workers of a server at the same moment.
        while not stop.wait(self._every * chance.uniform(0.9, 1.1)):
            self.flush()

    def flush(self) -> bool:
        """Send now what was counted since the last time, and return whether the cache took it; it blocks."""
        _fork.notice()  # with which there is another lock
        lock = self._lock
        if not lock.acquire(timeout=PATIENCE):
            return False
        try:
            self._collect()
            self._enrol()
            self._send()
            self._is_told = False
        except Exception as error:  # noqa: BLE001 - in a thread of ours, where nobody else would hear of it
            self._index_minute = 0  # when it is back, it may be empty
            if not self._is_told:
                self._is_told = True
                logger().warning(
                    "the figures could not be shared on %r, and are kept until they can: %s (said once)",
                    self.cache,
                    told(error),
                )
            return False
        finally:
            lock.release()
        return True

    def finish(self) -> None:
        """Send what is left, and see that the functions are in the index: nobody else may know of them."""
        self._index_minute = 0
        self.flush()

    def _collect(self) -> None:
        """Read what was counted since the last time."""
        assert _totals is not None
        minute = _minute()
        for labels, added in _totals.read().items():
            if not any(added.values()):  # it was not called yet
                continue
            name = labels.function[:LONGEST_NAME].encode("utf-8", "backslashreplace").decode()
            self._slowest[name] = max(self._slowest.get(name, 0.0), round(_totals.slowest[labels], 6))
            for tally, figures in ((TOTAL, OF_ALL_TIME), (str(minute), OF_A_MINUTE)):
                counted = self._counted.setdefault((tally, name), Counter())
                for figure in figures:
                    if number := added[figure]:
                        counted[figure] += round(number * MICROSECONDS if figure in SECONDS else number)
        for tally in [tally for tally in self._left if _is_over(tally, minute)]:
            del self._left[tally]
        for place in [place for place, counted in self._counted.items() if not counted or _is_over(place[0], minute)]:
            del self._counted[place]

    def _enrol(self) -> None:
        """Have the functions in the index; look at it every minute, since a cache may lose what it holds."""
        index, minute = self._index, _minute()
        if (
            minute != self._index_minute
            or any(name not in index for _, name in self._counted if len(index) < MOST_FUNCTIONS)
            or any(seconds > SLOWER * index[name] for name, seconds in self._slowest.items() if name in index)
        ):
            self._index = _names_in(self.cache.amend(INDEX, self._enrolled))
            self._index_minute = minute
        for (tally, name), counted in self._counted.items():
            if name not in self._index:
                name = OTHERS
                if not self._is_full_told:
                    self._is_full_told = True
                    logger().warning(
                        "more than %d functions share their figures on %r; those beyond are counted as one, %r "
                        "(said once)",
                        MOST_FUNCTIONS,
                        self.cache,
                        OTHERS,
                    )
            number, left = _number(name), self._left.setdefault(tally, Counter())
            for figure, amount in counted.items():
                left[f"{number}:{figure}"] += amount
        self._counted.clear()

    def _enrolled(self, index: object) -> dict[str, float]:
        """Return the *index* with the functions of this process in it, as far as there is room."""
        found = _names_in(index)
        for name, seconds in self._slowest.items():
            if (name in found or len(found) < MOST_FUNCTIONS) and seconds > SLOWER * found.get(name, -1.0):
                found[name] = seconds
        return found

    def _send(self) -> None:
        """Add what is left to the numbers on the cache."""
        for tally, amounts in list(self._left.items()):
            self.cache.add_to_tally(tally, amounts, FOREVER if tally == TOTAL else MINUTE_LIFETIME)
            del self._left[tally]


_starting = threading.RLock()
_totals: Totals | None = None  # of this process, once it has shared anything
_sharing: Sharing | None = None


def sharing() -> Sharing | None:
    """Return what shares the figures of this process now, if anything does."""
    return _sharing


def _minute() -> int:
    return int(now() // MINUTE)


def _is_over(tally: str, minute: int) -> bool:
    """Return whether nobody asks for *tally* any more."""
    return tally != TOTAL and int(tally) <= minute - MINUTES


def _at_exit() -> None:
    if _sharing is not None:
        _sharing.finish()


@in_child
def _after_fork() -> None:
    global _starting, _totals
    _starting = threading.RLock()
    _totals = None
    if _sharing is not None:
        _totals = Totals()
        _totals.read()  # what the parent has counted is the parent's
        _sharing.after_fork()
