"""ServerFacts: what a server tells of itself, for whoever looks after it."""

import os
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from memocache._clock import now, ticks

LONGEST: Final = 20  # digits


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The state of one server of a cache, in its own words."""

    system: str
    """"redis", "memcached" or "sqlite"."""
    name: str
    """Where it is."""
    values: Mapping[str, str] = field(default_factory=dict)
    """The figures that it tells, by its own names: of INFO, `stats`, pragmas."""
    skew: float | None = None
    """The seconds by which its clock is ahead of ours; None where it does not tell."""
    refused: Mapping[str, str] = field(default_factory=dict)
    """The commands that it does not take from us, with its answer to each."""
    open_to_others: str = ""
    """The file that other users of this machine may change, or speak through; empty: none."""

    def number(self, name: str) -> int:
        """Return the number that it tells by this *name*; 0 if it tells none."""
        value = self.values.get(name, "")
        return int(value) if value.isdecimal() and len(value) <= LONGEST else 0


def clock_skew(read: Callable[[], float]) -> float:
    """Return the seconds by which the clock that *read* asks for is ahead of ours, which is taken in the middle."""
    began = ticks()
    theirs = read()
    return theirs - (now() - (ticks() - began) / 2)


def socket_open_to_others(path: object) -> str:
    """Return *path* if it is that of a socket which every user of this machine may connect to; else nothing."""
    if not isinstance(path, str) or not hasattr(os, "geteuid"):
        return ""
    try:
        status = os.stat(path)
        closed = not os.stat(os.path.dirname(path)).st_mode & stat.S_IXOTH
    except OSError:
        return ""
    return path if status.st_mode & stat.S_IWOTH and not closed else ""
