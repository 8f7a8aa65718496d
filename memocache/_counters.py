"""Counters and Info: the figures of a cached function."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from operator import add, attrgetter
from typing import Final

FIGURES: Final = (
    *("hits", "stale", "misses", "waits", "failures", "stored", "evicted", "lost"),
    *("seconds_saved", "seconds_computed", "waited"),
)
"""The figures that are added up, of several caches and of all processes."""
figures_of: Final = attrgetter(*FIGURES)
"""Returns those of counters, in the same order."""


@dataclass(frozen=True, slots=True)
class Info:
    """The figures of one function, counted in this process: on the cache in use, and on those that it used before.

    A call is counted once: as a hit if it was served a stored value, as stale if the timeout of that was over, as a
    wait if it was served the result of a computation that another call had begun, else as a miss. A refresh, also one
    in the background, is a miss, too. A failure is whatever was not done for us: the cache was down, a value
    could not be stored, a refresh in the background raised; *errors* says how often each. *lost* are the results that
    were not stored since their computation took longer than its lease: somebody else has computed them meanwhile.
    *stored* counts the results that were stored, *evicted* those that had to leave for others in process,
    *seconds_saved* adds up the computation times of the entries that were hit, *waited* the seconds of the waits,
    *seconds_computed* those of the computations.
    *currsize* and *maxsize* are None where the cache is not in this process; of a TieredCache they are its near tier's.
    """

    hits: int = 0
    misses: int = 0
    stale: int = 0
    waits: int = 0
    failures: int = 0
    stored: int = 0
    seconds_saved: float = 0.0
    currsize: int | None = None
    maxsize: int | None = None
    evicted: int = 0
    lost: int = 0
    waited: float = 0.0
    errors: Mapping[str, int] = field(default_factory=dict, hash=False)
    seconds_computed: float = 0.0

    @property
    def calls(self) -> int:
        """How many calls there were: each was a hit, stale, a wait or a miss."""
        return self.hits + self.stale + self.waits + self.misses

    @property
    def hit_ratio(self) -> float | None:
        """The share of the calls that were served without a computation of their own; None if there were none."""
        calls = self.calls
        return (calls - self.misses) / calls if calls else None

    def __iter__(self) -> Iterator[int | None]:
        """Go through the figures of functools: `hits, misses, maxsize, currsize = f.cache_info()`."""
        return iter((self.hits, self.misses, self.maxsize, self.currsize))


class Counters:
    """The running figures of one function on one cache.

    Incremented without a lock: with its global lock, CPython does not switch
    threads between the reading and the writing of `x.n += 1`.
    """

    __slots__ = ("before", "errors", "name", "slowest", *FIGURES)

    def __init__(self, name: str = "") -> None:
        self.name = name  # the function's, in events and metrics: with its module
        self.slowest = 0.0  # seconds of the longest computation, which stay
        # The figures that were set to zero, for those who add up all.
        self.before: tuple[float, ...] = (0,) * len(FIGURES)
        self._zero()

    def add(self, other: "Counters") -> None:
        """Add the figures of *other* to these."""
        for name, number in zip(FIGURES, figures_of(other), strict=True):
            if number:
                setattr(self, name, getattr(self, name) + number)
        if any(other.before):
            self.before = tuple(map(add, self.before, other.before))
        self.slowest = max(self.slowest, other.slowest)
        for what, number in other.errors.items():
            self.errors[what] = self.errors.get(what, 0) + number

    def ever(self) -> dict[str, float]:
        """Return the figures by name, with those that were set to zero."""
        return dict(zip(FIGURES, map(add, figures_of(self), self.before), strict=True))

    def reset(self) -> None:
        """Start again at zero."""
        self.before = tuple(self.ever().values())
        self._zero()

    def _zero(self) -> None:
        self.hits = self.misses = self.stale = self.waits = 0
        self.failures = self.stored = self.evicted = self.lost = 0
        self.seconds_saved = self.seconds_computed = self.waited = 0.0
        self.errors: dict[str, int] = {}  # how often each thing was not done
