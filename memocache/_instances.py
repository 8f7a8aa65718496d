"""Instances: the class that a function is a method of, and tokens, which are numbers that stand for one object each."""

import functools
import gc
import itertools
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, cast

_numbers: Final = itertools.count(1)


class Token(int):
    """A number that stands for one instance as long as that lives, with a weak *reference* to it."""

    reference: "weakref.ref[object]"


tokens: Final[dict[int, Token]] = {}
"""The tokens of living instances by id. Who holds an instance may trust what is found here under its id.

An id is used again for another object, but not before the token is gone: CPython calls back for a weak reference before
it frees the memory. The callback is a C function throughout, so that no signal can interrupt it.
"""

# The phases of the garbage collector, the last one last. A C function notes them, as above; and they are compared in
# one, so that no collection comes in between.
_phases: Final = OrderedDict.fromkeys(("start", "stop"))
_COLLECTING: Final = OrderedDict.fromkeys(("stop", "start"))
if hasattr(gc, "callbacks"):
    gc.callbacks.append(cast(Any, _phases.move_to_end))  # (phase, info): to the end, since `info` is true


def token(instance: object) -> Token:
    """Return the token of *instance*; TypeError if it cannot be held weakly."""
    place = id(instance)
    found = tokens.get(place)
    if found is None:
        new = Token(next(_numbers))
        if _phases == _COLLECTING or sys.is_finalizing():
            # From 3.14 on, nobody is called back for a reference that a destructor makes, in a collection, to what is
            # collected, too. So this token is for one call only.
            weakref.ref(instance)
            return new
        new.reference = weakref.ref(instance, functools.partial(tokens.pop, place))
        found = tokens.setdefault(place, new)  # another thread may have been quicker
    return found


def forget_tokens(kind: type) -> None:
    """Let no living instance of *kind* be found by its token any more: its next one is another number."""
    for place, each in tokens.copy().items():
        instance = each.reference()
        if instance is not None and any(base is kind for base in type(instance).__mro__):
            tokens.pop(place, None)


class Owner:
    """The classes that a function is a method of: there its first argument counts as itself, whatever its content.

    Args:
        function: the function.
        kind: staticmethod, classmethod, or MethodType for a method of instances; None where that is not known yet.
    """

    __slots__ = ("_classes", "_name", "_written_in", "is_possible", "is_settled")

    def __init__(self, function: Callable[..., Any], kind: type | None) -> None:
        qualname: str = getattr(function, "__qualname__", "")
        place, _, self._name = qualname.rpartition(".")
        self._written_in = None
        if place and not place.endswith("<locals>") and kind is not staticmethod:
            self._written_in = getattr(function, "__module__", None), place
        self._classes: set[int] = set()  # tokens of those that have it, though it is not written there
        self.is_settled = kind is not None and kind is not staticmethod
        """True if it is known to be a method, of whatever stands first in its arguments."""
        self.is_possible = self.is_settled or self._written_in is not None
        """True if it may be a method."""

    def settle(self, cls: type) -> bool:
        """Learn that *cls* has the function, and return whether it is known to be a method."""
        if not self.is_settled and any(map(self._is_method_of, cls.__mro__)):
            self.is_settled = True
        return self.is_settled

    def add(self, cls: type) -> None:
        """Own the instances of *cls*."""
        self._classes.add(token(cls))
        self.is_possible = True

    def owns(self, value: object) -> bool:
        """Return whether *value* is an instance (or, in a class method, a class) that the function belongs to."""
        if self.is_settled:
            return True
        classes = type(value).__mro__
        if isinstance(value, type):
            classes += value.__mro__
        return any(map(self._is_method_of, classes))

    def _is_method_of(self, cls: type) -> bool:
        if self._classes and tokens.get(id(cls)) in self._classes:
            return True
        if (cls.__module__, cls.__qualname__) != self._written_in:
            return False
        # In its body there may be another decorator above ours: of all that, only a static method takes no instance.
        mangled = f"_{cls.__name__.lstrip('_')}{self._name}"
        return not any(isinstance(vars(cls).get(each), staticmethod) for each in (self._name, mangled))
