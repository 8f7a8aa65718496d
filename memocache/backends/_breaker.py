"""A circuit breaker: a server that failed is left alone for a growing moment."""

import random
import threading
from typing import Final

from memocache import _clock

__all__ = ["Breaker"]

FIRST_PAUSE: Final = 0.25
LONGEST_PAUSE: Final = 30.0


class Breaker:
    """Tells whether a server may be asked. After each failure in a row it says no for twice as long, at most 30 s.

    When a pause is over, one caller is let through to try, and the others wait for what comes of it.
    """

    def __init__(self) -> None:
        self.failures = 0  # in a row
        self._lock = threading.RLock()  # a signal handler may ask while this thread has it
        self._closed_until = 0.0
        self._pause = 0.0
        self._trying = False

    def allows(self) -> bool:
        """Return whether the server may be asked now."""
        if not self.failures:
            return True
        with self._lock:
            now = _clock.ticks()
            if now < self._closed_until:
                return False
            self._closed_until = now + self._pause
            self._trying = True
            return True

    def failed(self) -> bool:
        """Note a failure; true for the first in a row."""
        with self._lock:
            if self.failures and not self._trying and _clock.ticks() < self._closed_until:
                # Of a call that was under way when the first failed: a hiccup that twenty threads met is still one.
                return False
            self._trying = False
            self.failures += 1
            longest = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(self.failures - 1, 20))
            # Not all processes at the same moment: a server that comes back has enough to do.
            self._pause = random.uniform(longest / 2, longest)
            self._closed_until = _clock.ticks() + self._pause
            return self.failures == 1

    def succeeded(self) -> None:
        """Note that the server answered."""
        if self.failures:
            with self._lock:
                self.failures = 0
                self._trying = False
