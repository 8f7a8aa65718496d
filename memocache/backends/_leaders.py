"""The flights of this process on a cache without compare-and-swap: by key and generation."""

import os
import threading
from typing import Final

from memocache._flight import Flight

__all__ = ["Leaders"]

MOST_FLIGHTS: Final = 10_000
SLOTS: Final = 1024


class Leaders:
    """Who computes what in this process, under which stamps; so that nobody joins a flight from before a forgetting.

    Whoever has looked in the cache and found nothing leads only if no flight on the key has ended since before that
    look: its result may be there now.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._flights: dict[tuple[str, bytes], Flight] = {}
        self._ended = [0] * SLOTS  # how many flights, by the key's slot
        self._token = os.urandom(8)

    def new_nonce(self) -> bytes:
        """Return a nonce by which this process knows its own."""
        return self._token + os.urandom(8)

    def has_made(self, nonce: bytes) -> bool:
        """Return whether this process has made *nonce*, for a flight that it leads or has lost."""
        return nonce.startswith(self._token)

    def ended(self, key: str) -> int:
        """Return a number that changes when a flight on *key* ends."""
        return self._ended[hash(key) % SLOTS]

    def flight(self, key: str, stamps: bytes) -> Flight | None:
        """Return the flight on *key* under these *stamps*, if somebody leads it."""
        flight = self._flights.get((key, stamps))
        return None if flight is None or flight.over else flight

    def lead(self, flight: Flight, stamps: bytes, ended: int | None) -> bool:
        """Let *flight* be the one on its key under these *stamps*; not if there is one, or one has *ended* since.

        With None for *ended* it takes the place of whichever is there.
        """
        key = flight.key
        with self._lock:
            if ended is not None and (self.flight(key, stamps) is not None or self.ended(key) != ended):
                return False
            if len(self._flights) >= MOST_FLIGHTS:  # those that have lost their leaders first
                over = [place for place, each in self._flights.items() if each.over]
                for place in over or list(self._flights)[:1]:
                    del self._flights[place]
            self._flights[key, stamps] = flight
            return True

    def end(self, flight: Flight, stamps: bytes) -> None:
        """Note that what comes of *flight*, if anything, is in the cache."""
        place = flight.key, stamps
        with self._lock:
            if self._flights.get(place) is flight:
                del self._flights[place]
            self._ended[hash(flight.key) % SLOTS] += 1
