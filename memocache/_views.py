"""Views of web frameworks: which adapters there are, and whether the call at hand is one of a view.

An adapter is loaded when its framework has been imported, by whomever (see `_function`); without one, all of this is an
empty list.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

__all__ = [
    "ADAPTERS",
    "Framework",
    "CallHandler",
    "announce",
    "decorated",
    "frameworks",
    "is_made_for_a_request",
    "is_request",
    "is_response",
    "load",
    "may_be_view",
    "view_call",
]

ADAPTERS: Final = {
    "django.http": "memocache.web.django",
    "flask": "memocache.web.flask",
    "starlette.requests": "memocache.web.asgi",
}
"""By the name of the module that is imported wherever the framework is used: where its adapter is."""


class CallHandler(Protocol):
    """A call of a view in a request: what has to be done with it instead of what is done with other calls."""

    def begin(self, memo: Any, counted: tuple[object, ...], compute: Any, tagged: tuple[object, ...] | None, /) -> Any:
        """Do what the *memo*'s `begin` does; for a coroutine function, return an awaitable."""


class Framework(Protocol):
    """An adapter."""

    def decorated(self, memo: Any, /) -> None:
        """Raise ConfigurationError if *memo*'s function, just decorated, is a view that cannot be cached."""

    def call(self, memo: Any, arguments: Sequence[object], /) -> CallHandler | None:
        """Return what the present call of *memo*'s function is, if it is inside a request and that of a view."""

    def may_be_view(self, memo: Any, /) -> bool:
        """Return whether *memo*'s function is a view, or may be one of an application not known in this process."""


# The types of nearly all results; by id, since a metaclass may have a __hash__ of its own.
NO_RESPONSES: Final = frozenset(map(id, (int, str, bytes, bool, float, type(None), list, dict, set)))

frameworks: Final[list[Framework]] = []
"""The adapters that are loaded."""

_responses: tuple[type, ...] = ()
_made_for_requests: tuple[type, ...] = ()
_requests: tuple[type, ...] = ()


def announce(
    framework: Framework,
    responses: tuple[type, ...],
    made_for_requests: tuple[type, ...] = (),
    requests: tuple[type, ...] = (),
) -> None:
    """Learn of an adapter; of the types of its framework's *responses*, and of objects with methods that are views.

    Where those are given the request as an argument, *requests* are the types of that.
    """
    global _responses, _made_for_requests, _requests
    _responses += responses
    _made_for_requests += made_for_requests
    _requests += requests
    frameworks.append(framework)


def load(framework: str) -> Callable[[object], None]:
    """Return what loads the adapter of *framework* when that has been imported."""

    def imported(module: object) -> None:
        try:
            importlib.import_module(ADAPTERS[framework])
        except ImportError:
            if not _is_being_imported(module):
                raise
            frameworks.append(Later(framework, module))  # something that it imports has decorated a function

    return imported


class Later:
    """Stands for an adapter whose framework is just being imported."""

    def __init__(self, framework: str, module: object) -> None:
        self._framework = framework
        self._module = module

    def decorated(self, memo: Any, /) -> None:
        """Load the adapter and ask that, if it can be."""
        if self._is_over():
            decorated(memo)

    def call(self, memo: Any, arguments: Sequence[object], /) -> CallHandler | None:
        """Load the adapter and ask that, as soon as it can be."""
        return _view_call(memo, arguments) if self._is_over() else None

    def _is_over(self) -> bool:
        """Return whether the framework has been imported; then the adapter has come in place of this."""
        if _is_being_imported(self._module):
            return False
        if self in frameworks:
            frameworks.remove(self)
        importlib.import_module(ADAPTERS[self._framework])
        return True

    def may_be_view(self, memo: Any, /) -> bool:
        """Return that nobody knows."""
        return True


def _is_being_imported(module: object) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))  # as importlib notes it


def decorated(memo: Any) -> None:
    """Raise ConfigurationError if *memo*'s function, just decorated, is a view that cannot be cached."""
    for framework in frameworks[:]:
        framework.decorated(memo)


def view_call(memo: Any, counted: tuple[object, ...], compute: Any) -> CallHandler | None:
    """Return what the present call of *memo*'s function is, if it is one of a view in a request.

    *compute* is there where *counted* are not all the arguments.
    """
    return _view_call(memo, counted if compute is None else (*compute.args, *compute.keywords.values()))


def _view_call(memo: Any, arguments: Sequence[object]) -> CallHandler | None:
    for framework in frameworks:
        call = framework.call(memo, arguments)
        if call is not None:
            return call
    return None


def is_response(value: object) -> bool:
    """Return whether *value* is the response of a framework, alone or with a status and headers."""
    kind = type(value[0] if type(value) is tuple and value else value)
    return id(kind) not in NO_RESPONSES and issubclass(
        kind, _responses
    )  # isinstance would ask a proxy what it stands for


def is_made_for_a_request(value: object) -> bool:
    """Return whether *value* is an object whose methods are views, made anew for each request."""
    return issubclass(type(value), _made_for_requests)


def is_request(value: object) -> bool:
    """Return whether *value* is a request, as views are given one."""
    return issubclass(type(value), _requests)


def may_be_view(memo: Any) -> bool:
    """Return whether *memo*'s function may be a view, here or in a process that shares its cache."""
    given = memo.options.view
    return any(framework.may_be_view(memo) for framework in frameworks) if given is None else given
