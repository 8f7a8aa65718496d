"""Tokens for instances: a number that stands for one object as long as it lives, and does not keep it alive."""

import itertools
import weakref
from collections.abc import Callable
from typing import Final

__all__ = ["known_token", "token"]

_numbers: Final = itertools.count(1)
_held: Final[dict[int, tuple["weakref.ref[object]", int]]] = {}


def token(instance: object) -> int:
    """Return the number of *instance*, which no other object ever had; TypeError if it cannot be held weakly."""
    try:
        return known_token(instance)
    except KeyError:
        pass
    place = id(instance)
    new = (weakref.ref(instance, _forgetter(place)), next(_numbers))
    found = _held.setdefault(place, new)  # another thread may have been quicker
    if found[0]() is not instance:
        found = _held[place] = new
    return found[1]


def known_token(instance: object) -> int:
    """Return the number of an *instance* that has one, else raise KeyError."""
    # An id is used again for another object, hence the look at the object itself.
    reference, number = _held[id(instance)]
    if reference() is not instance:
        raise KeyError(number)
    return number


def _forgetter(place: int) -> "Callable[[weakref.ref[object]], None]":
    # Without a lock: the garbage collector may call it while this very thread is anywhere.
    def forget(reference: "weakref.ref[object]") -> None:
        found = _held.get(place)
        if found is not None and found[0] is reference:
            del _held[place]

    return forget
