"""The cached functions that are reachable from an application's views."""

import functools
import inspect
import operator
from collections.abc import Iterator
from typing import Any, Final

from memocache._function import CacheMethods
from memocache._memoizer import Memoizer
from memocache.web._rules import Terms

__all__ = ["Reachable", "memo_of", "memos_in", "reachable_from"]

HANDLERS: Final = ("dispatch_request", "dispatch", "get", "post", "head", "options", "delete", "put", "trace", "patch")
DEEPEST: Final = 200


class Reachable:
    """The cached functions that are reachable from an application's views, and the endpoints that each is one of."""

    def __init__(self) -> None:
        self._seen: list[Any] = []
        self.endpoints: dict[Memoizer, set[str]] = {}
        self.terms: dict[Memoizer, Terms] = {}

    def update(self, views: dict[str, Any], *, thorough: bool) -> None:
        """Work out anew what is reachable, if there are other views than before."""
        seen = self._seen
        if len(seen) == len(views) and (not thorough or all(map(operator.is_, seen, views.values()))):
            return
        endpoints: dict[Memoizer, set[str]] = {}
        now = dict(views)
        for endpoint, view in now.items():
            for memo in memos_in(view):
                endpoints.setdefault(memo, set()).add(endpoint)
        for memo in endpoints:
            if memo.options.view is not False:
                memo.become_view()
        self.endpoints, self._seen = endpoints, list(now.values())


def memos_in(view: Any) -> Iterator[Memoizer]:
    """Return the cached functions among *view* and what it wraps, and the methods of its class."""
    for found in reachable_from(view):
        memo = memo_of(found)
        if memo is not None:
            yield memo


def memo_of(function: Any) -> Memoizer | None:
    """Return the memo of a cached *function* or method; None for what is none."""
    if not isinstance(type(function), type) or not issubclass(type(function), CacheMethods):
        return None
    memo: Memoizer = function._self_memoizer
    return memo


def reachable_from(view: Any) -> Iterator[Any]:
    """Return *view* and what it wraps, and the methods of its class."""
    todo: list[Any] = [view]
    met: set[int] = set()
    while todo and len(met) < DEEPEST:
        found = todo.pop()
        if found is None or id(found) in met:
            continue
        met.add(id(found))
        yield found
        for name in ("__wrapped__", "__func__"):
            todo.append(getattr(found, name, None))
        if isinstance(found, functools.partial):
            todo.append(found.func)
        made = found if isinstance(found, type) else getattr(found, "view_class", None)
        if isinstance(made, type):
            todo += [inspect.getattr_static(made, name, None) for name in HANDLERS]
