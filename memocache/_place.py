"""Place: what a decorated function is on one cache, its keys and its site there."""

import inspect
import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final

from memocache._hints import resolved
from memocache._site import Site
from memocache.keys import KeyMaker

__all__ = ["PLAIN", "Place", "plain_types"]

MOST_KEYS: Final = 10_000

# By id: a metaclass may have a __hash__ of its own.
PLAIN: Final = frozenset(map(id, (int, str, bytes, bool, float, type(None))))


class Place:
    """A function's site on one cache, with the maker of its keys there."""

    __slots__ = ("_known", "is_ready", "key", "keys", "site", "views")

    def __init__(self, keys: KeyMaker, site: Site) -> None:
        self.keys = keys
        self.site = site
        self.is_ready = site.direct
        self.key: Callable[[tuple[object, ...]], str] = keys.key if site.direct else self._remembered_key
        """Returns the key of a call."""
        self._known: dict[Hashable, str] = {}
        self.views: Any = None
        """What is known of the function as a view, if it has been one."""

    def get_ready(self, function: Callable[..., Any]) -> None:
        """Tell a shared cache the types of the results; not before a call, when every name in the hint is there."""
        self.is_ready = True
        for hint in _return_hint(function):
            self.site.cache.name_types(hint)

    def _remembered_key(self, counted: tuple[object, ...]) -> str:
        """Return the key of a call; remembered for plain arguments, since on a shared cache every hit needs it."""
        types = tuple(map(type, counted))
        typed = (types, counted)
        key = self._known.get(typed) if PLAIN.issuperset(map(id, types)) else None
        if key is None:
            key = self.keys.key(counted)
            if plain_types(counted) is not None:
                if len(self._known) >= MOST_KEYS:
                    self._known.clear()
                self._known[typed] = key
        return key


def plain_types(values: Sequence[object]) -> "type | tuple[type, ...] | None":
    """Return the types of *values*, or of the only one, if they may be looked up as they are; else None.

    They may where what equals one of them, in the same type, is the same value.
    """
    if len(values) == 1:
        kind = type(values[0])
        return kind if id(kind) in PLAIN and (kind is not float or _is_itself(values[0])) else None
    types = tuple(map(type, values))
    return types if PLAIN.issuperset(map(id, types)) and (float not in types or all(map(_is_itself, values))) else None


def _is_itself(value: object) -> bool:
    return type(value) is not float or (value != 0.0 and math.isfinite(value))  # there is also -0.0, and NaN


def _return_hint(function: Callable[..., Any]) -> list[object]:
    """Return the hint of the result, resolved, if there is one that can be."""
    try:
        return [resolved(function, inspect.unwrap(function).__annotations__.get("return"))]
    except Exception:  # noqa: BLE001 - then it names no types: a value that needs one is told of where it is read
        return []
