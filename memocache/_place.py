"""Place: what a decorated function is on one cache, its keys and its site there."""

import inspect
import math
import types
import typing
from collections.abc import Callable, Hashable
from typing import Any, Final

from memocache._readthrough import Site
from memocache.keys import KeyMaker

__all__ = ["PLAIN", "Place", "is_itself"]

MOST_KEYS: Final = 10_000

PLAIN: Final = frozenset({int, str, bytes, bool, float, type(None)})
"""The types of arguments that may be looked up as they are: see is_itself."""


class Place:
    """A function's site on one cache, with the maker of its keys there."""

    __slots__ = ("_known", "is_ready", "keys", "site")

    def __init__(self, keys: KeyMaker, site: Site) -> None:
        self.keys = keys
        self.site = site
        self.is_ready = not site.cache.shared
        self._known: dict[Hashable, str] = {}

    def get_ready(self, function: Callable[..., Any]) -> None:
        """Tell a shared cache the types of the results; not before a call, when every name in the hint is there."""
        self.is_ready = True
        for hint in _return_hint(function):
            self.site.cache.name_types(hint)

    def key(self, counted: tuple[object, ...]) -> str:
        """Return the key of a call; on a shared cache, where a hit needs it, remembered for plain arguments."""
        types = tuple(map(type, counted))
        if not self.site.cache.shared or not PLAIN.issuperset(types):
            return self.keys.key(counted)
        typed = (counted, types)
        key = self._known.get(typed)
        if key is None:
            key = self.keys.key(counted)
            if all(map(is_itself, counted)):
                if len(self._known) >= MOST_KEYS:
                    self._known.clear()
                self._known[typed] = key
        return key


def is_itself(value: object) -> bool:
    """Return whether what equals *value*, in the same type, is the same value: not so for 0.0, -0.0 and NaN."""
    return type(value) is not float or (value != 0.0 and math.isfinite(value))


def _return_hint(function: Callable[..., Any]) -> list[object]:
    """Return the hint of the result, resolved, if there is one that can be."""
    inner = inspect.unwrap(function)
    try:
        hint = types.SimpleNamespace(__annotations__={"return": inner.__annotations__.get("return")})
        return [typing.get_type_hints(hint, inner.__globals__, include_extras=True)["return"]]
    except Exception:  # noqa: BLE001 - then it names no types: a value that needs one is told of where it is read
        return []
