"""The clocks: one for every timeout, one for deadlines."""

import functools
import time
from collections.abc import Callable
from typing import Final


def now() -> float:
    """Return the wall clock in seconds, the same in every process.

    Every timeout is measured by this clock, on every cache. It calls through the time module each time, so that
    freezegun and time-machine move it. Where every hit or miss comes by, `time.time()` itself is called, without this
    frame.
    """
    return time.time()


ticks: Final[Callable[[], float]] = (
    functools.partial(time.clock_gettime, time.CLOCK_MONOTONIC)  # noqa: TID251 - this is the one place
    if hasattr(time, "CLOCK_MONOTONIC")
    else functools.partial(time.monotonic)  # noqa: TID251 - Windows; freezegun replaces what is not wrapped
)
"""Return seconds on a clock that only goes forwards, and that no test tool stops.

For deadlines on sockets and for durations. A frozen monotonic clock would let a call to a hung server go on for ever.
"""
