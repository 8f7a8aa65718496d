"""Instances: whose method a function is, and tokens, numbers that stand for one object each as long as it lives."""

import functools
import itertools
import weakref
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Owner", "Token", "token", "tokens"]

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


class Owner:
    """What a function is a method of, as far as its name tells, or somebody says."""

    __slots__ = ("_is_anything", "_name", "is_possible")

    def __init__(self, function: Callable[..., Any]) -> None:
        name, _, _ = getattr(function, "__qualname__", "").rpartition(".")
        self._name = None
        if name and not name.endswith("<locals>"):
            self._name = getattr(function, "__module__", None), name
        self._is_anything = False
        self.is_possible = self._name is not None
        """Whether the function may be a method."""

    def be_anything(self) -> None:
        """Own whatever stands first in the function's arguments."""
        self._is_anything = self.is_possible = True

    @property
    def is_named(self) -> bool:
        """Whether the function is written in the body of a class."""
        return self._name is not None

    def owns(self, value: object) -> bool:
        """Return whether *value* is an instance (or, in a class method, a class) that the function belongs to."""
        if self._is_anything:
            return True
        if self._name is None:
            return False
        classes = type(value).__mro__
        if isinstance(value, type):
            classes += value.__mro__
        return any((cls.__module__, cls.__qualname__) == self._name for cls in classes)
