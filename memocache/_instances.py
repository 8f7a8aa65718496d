"""Tokens for instances: numbers that stand for one object each as long as it lives, and do not keep it alive."""

import functools
import itertools
import weakref
from typing import Final

__all__ = ["Token", "token", "tokens"]

_numbers: Final = itertools.count(1)


class Token(int):
    """A number that no other object ever has, with the weak *reference* to the instance it stands for."""

    reference: "weakref.ref[object]"


tokens: Final[dict[int, Token]] = {}
"""The tokens of living instances by id. Who holds an instance may trust what is found here under its id.

An id is used again for another object, but not before the token is gone: CPython calls back for a weak reference before
it frees the memory. The callback is a C function throughout, so that no signal can interrupt it.
"""


def token(instance: object) -> Token:
    """Return the token of *instance*; TypeError if it cannot be held weakly."""
    place = id(instance)
    found = tokens.get(place)
    if found is None:
        new = Token(next(_numbers))
        new.reference = weakref.ref(instance, functools.partial(tokens.pop, place))
        found = tokens.setdefault(place, new)  # another thread may have been quicker
    return found
