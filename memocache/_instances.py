"""Instances: the class that a function is a method of, and tokens, which are numbers that stand for one object each."""

import functools
import itertools
import weakref
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Owner", "Token", "token", "tokens"]

_numbers: Final = itertools.count(1)


class Token(int):
    """A number that stands for one instance as long as that lives, with a weak *reference* to it."""

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


class Owner:
    """The class that a function is a method of, as far as its name tells, or somebody says."""

    __slots__ = ("_name", "_owns_anything", "is_possible")

    def __init__(self, function: Callable[..., Any]) -> None:
        name, _, _ = getattr(function, "__qualname__", "").rpartition(".")
        self._name = None
        if name and not name.endswith("<locals>"):
            self._name = getattr(function, "__module__", None), name
        self._owns_anything = False
        self.is_possible = self._name is not None
        """True if the function may be a method."""

    def own_anything(self) -> None:
        """Own whatever stands first in the function's arguments."""
        self._owns_anything = self.is_possible = True

    @property
    def is_named(self) -> bool:
        """True if the function is written in the body of a class."""
        return self._name is not None

    def owns(self, value: object) -> bool:
        """Return whether *value* is an instance (or, in a class method, a class) that the function belongs to."""
        if self._owns_anything:
            return True
        if self._name is None:
            return False
        classes = type(value).__mro__
        if isinstance(value, type):
            classes += value.__mro__
        return any((cls.__module__, cls.__qualname__) == self._name for cls in classes)
