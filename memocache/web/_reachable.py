"""The cached functions that a framework reaches through what it calls."""

import functools
import inspect
from collections.abc import Iterator
from typing import Any, Final

from memocache._bound import Call
from memocache._memo import Memo

__all__ = ["memos_in"]

HANDLERS: Final = ("dispatch_request", "get", "post", "head", "options", "delete", "put", "trace", "patch")
DEEPEST: Final = 200


def memos_in(view: Any) -> Iterator[Memo]:
    """Return the cached functions among *view* and what it wraps, and the methods of its class."""
    todo: list[Any] = [view]
    met: set[int] = set()
    while todo and len(met) < DEEPEST:
        found = todo.pop()
        if found is None or id(found) in met:
            continue
        met.add(id(found))
        if isinstance(type(found), type) and issubclass(type(found), Call):
            yield found._self_memo
        for name in ("__wrapped__", "__func__"):
            todo.append(getattr(found, name, None))
        if isinstance(found, functools.partial):
            todo.append(found.func)
        made = found if isinstance(found, type) else getattr(found, "view_class", None)
        if isinstance(made, type):
            todo += [inspect.getattr_static(made, name, None) for name in HANDLERS]
