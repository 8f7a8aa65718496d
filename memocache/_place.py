"""Place: what a decorated function is on one cache, its keys and its site there."""

import inspect
from collections.abc import Callable, Hashable
from typing import Any, Final

from memocache._hints import resolved
from memocache._shortcuts import plain_types
from memocache._site import Site
from memocache.keys import KeyMaker

__all__ = ["Place"]

MOST_KEYS: Final = 10_000


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
        types = plain_types(counted)
        if types is None:
            return self.keys.key(counted)
        typed = (types, counted)
        key = self._known.get(typed)
        if key is None:
            key = self.keys.key(counted)
            if len(self._known) >= MOST_KEYS:
                self._known.clear()
            self._known[typed] = key
        return key


def _return_hint(function: Callable[..., Any]) -> list[object]:
    """Return the hint of the result, resolved, if there is one that can be."""
    try:
        return [resolved(function, inspect.unwrap(function).__annotations__.get("return"))]
    except Exception:  # noqa: BLE001 - then it names no types: a value that needs one is told of where it is read
        return []
