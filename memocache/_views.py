"""Views of web frameworks: which adapters there are, and whether the call at hand is one of a view.

An adapter is loaded when its framework has been imported, by whomever (see `_function`); without one, all of this is an
empty list.
"""

import importlib
from collections.abc import Callable
from typing import Any, Final, Protocol

__all__ = [
    "ADAPTERS",
    "Framework",
    "ViewCall",
    "announce",
    "frameworks",
    "is_made_for_a_request",
    "is_response",
    "load",
    "may_be_view",
    "view_call",
]

ADAPTERS: Final = {"flask": "memocache.web.flask"}
"""By the name of the module that is imported wherever the framework is used: where its adapter is."""


class ViewCall(Protocol):
    """A call of a view in a request: what has to be done with it instead of what is done with other calls."""

    def begin(self, memo: Any, counted: tuple[object, ...], compute: Any, tagged: tuple[object, ...] | None, /) -> Any:
        """Do what the *memo*'s `begin` does; for a coroutine function, return an awaitable."""


class Framework(Protocol):
    """An adapter."""

    def call(self, memo: Any, /) -> ViewCall | None:
        """Return what the present call of *memo*'s function is, if it is inside a request and that of a view."""


frameworks: Final[list[Framework]] = []
"""The adapters that are loaded."""

_responses: tuple[type, ...] = ()
_made_for_requests: tuple[type, ...] = ()


def announce(framework: Framework, responses: tuple[type, ...], made_for_requests: tuple[type, ...] = ()) -> None:
    """Learn of an adapter; of the types of its framework's *responses*, and of objects with methods that are views."""
    global _responses, _made_for_requests
    _responses += responses
    _made_for_requests += made_for_requests
    frameworks.append(framework)


def load(framework: str) -> Callable[[object], None]:
    """Return what loads the adapter of *framework* when that has been imported."""

    def imported(module: object) -> None:
        importlib.import_module(ADAPTERS[framework])

    return imported


def view_call(memo: Any) -> ViewCall | None:
    """Return what the present call of *memo*'s function is, if it is one of a view in a request."""
    if memo.options.view is False:
        return None
    for framework in frameworks:
        call = framework.call(memo)
        if call is not None:
            return call
    return None


def is_response(value: object) -> bool:
    """Return whether *value* is the response of a framework."""
    return isinstance(value, _responses)


def is_made_for_a_request(value: object) -> bool:
    """Return whether *value* is an object whose methods are views, made anew for each request."""
    return isinstance(value, _made_for_requests)


def may_be_view(memo: Any) -> bool:
    """Return whether *memo*'s function may be a view, here or in a process that shares its cache."""
    given = memo.options.view
    return bool(frameworks) if given is None else bool(given)
