"""The clocks: one for every timeout, one for deadlines."""

import time

__all__ = ["now", "ticks"]


def now() -> float:
    """Return the wall clock in seconds, the same in every process.

    Every timeout is measured by this clock, on every cache. It calls through the time module each time, so that
    freezegun and time-machine move it.
    """
    return time.time()


if hasattr(time, "CLOCK_MONOTONIC"):

    def ticks() -> float:
        """Return seconds on a clock that only goes forwards, and that no test tool stops.

        For deadlines on sockets and for durations. A frozen monotonic clock would let a call to a hung server go on
        for ever.
        """
        return time.clock_gettime(time.CLOCK_MONOTONIC)  # noqa: TID251 - this is the one place

else:  # Windows

    def ticks() -> float:
        """Return seconds on a clock that only goes forwards."""
        return time.monotonic()  # noqa: TID251 - this is the one place
