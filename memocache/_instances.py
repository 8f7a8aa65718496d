"""Tokens for instances: a number that stands for one object as long as it lives, and does not keep it alive."""

import functools
import itertools
import weakref
from typing import Any, Final

__all__ = ["Token", "token", "tokens"]

_numbers: Final = itertools.count(1)


class Token(weakref.ref[Any]):
    """The weak reference to an instance, with the *number* that no other object ever has."""

    __slots__ = ("number",)

    number: int


tokens: Final[dict[int, Token]] = {}
"""The tokens of living instances by id. Who holds an instance may trust what is found here under its id.

An id is used again for another object, but not before the token is gone: CPython calls back for a weak reference before
it frees the memory. The callback is a C function throughout, so that no signal can interrupt it.
"""


def token(instance: object) -> int:
    """Return the number of *instance*; TypeError if it cannot be held weakly."""
    place = id(instance)
    found = tokens.get(place)
    if found is None:
        new = Token(instance, functools.partial(tokens.pop, place))
        new.number = next(_numbers)
        found = tokens.setdefault(place, new)  # another thread may have been quicker
    return found.number
