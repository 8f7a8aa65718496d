"""The leases that this process has taken on servers, by what stands for them there."""

import weakref
from collections import OrderedDict
from typing import Final

from memocache._flight import Flight
from memocache.backends.base import Lease

__all__ = ["Stubs"]

MOST: Final = 10_000


class Stubs:
    """The stubs that this process has put on servers, by nonce, and who leads what they stand for."""

    def __init__(self) -> None:
        # By nonce, those whose stub this process has put somewhere; for as long as somebody leads them.
        self._flights: weakref.WeakValueDictionary[bytes, Flight] = weakref.WeakValueDictionary()
        # The nonces of stubs that may still be there. One without a flight has lost its leader: the leader was
        # interrupted, or the server's answer to it was lost. The oldest leave, so that these are not too many.
        self._nonces: OrderedDict[bytes, bool] = OrderedDict()

    def flight(self, nonce: bytes) -> Flight | None:
        """Return the flight in this process whose stub has this *nonce*."""
        return self._flights.get(nonce)

    def lead(self, key: str, groups: tuple[str, ...], now: float, lease: float, nonce: bytes, stamps: bytes) -> Lease:
        """Return the lease whose stub has this *nonce*, with a flight that others in this process find by it."""
        flight = Flight(key, groups, lease)
        self._flights[nonce] = flight
        self._nonces[nonce] = True
        if len(self._nonces) > MOST:
            self._nonces.popitem(last=False)
        return Lease(key, groups, flight, now, nonce, stamps)

    def taken_over(
        self, key: str, groups: tuple[str, ...], now: float, lease: float, nonce: bytes, stamps: bytes
    ) -> Lease | None:
        """Return the lease whose stub this process has put, if it has lost its leader."""
        flight = self._flights.get(nonce)
        if (flight is None or flight.has_lost_its_leader) and self._nonces.pop(nonce, False):
            return self.lead(key, groups, now, lease, nonce, stamps)
        return None

    def drop(self, nonce: bytes) -> None:
        """Note that the stub is not there, or not any more."""
        self._nonces.pop(nonce, None)
