"""Unsupported frameworks: their views are refused, and their responses, which belong to one request, are not stored.

Without this, a response would be handed out as data, with what it sets for another client.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from memocache._hooks import Engine, HookedFunction
from memocache.errors import ConfigurationError


class UnsupportedFramework:
    """The adapter of a framework whose views cannot be cached.

    Args:
        name: the framework's name.
        responses: the types of its responses.
        requests: the types of what its views are given for one request.
        views: returns the functions that are views of the present application, in a request.
    """

    view_classes: tuple[type, ...] = ()

    def __init__(
        self,
        name: str,
        responses: tuple[type, ...],
        requests: tuple[type, ...],
        views: Callable[[], Iterable[HookedFunction]] = tuple,
    ) -> None:
        self.responses = responses
        self.requests = requests
        self._name = name
        self._views = views

    def decorated(self, function: HookedFunction, /) -> None:
        """Raise ConfigurationError if *function* takes a request."""
        if function.view is False:
            return
        for parameter in function.signature.parameters.values():
            try:
                classes = list(function.types_of(parameter))
            except Exception:  # noqa: BLE001 - from whatever a name stands for that is not defined yet
                continue
            if any(kind is not None and issubclass(kind, self.requests) for kind in classes):
                raise self._refusal(function)

    def call(self, function: HookedFunction, arguments: Sequence[object], /) -> Callable[[Engine], Any] | None:
        """Raise ConfigurationError if this is a call of a view."""
        if function.view is not False and (
            any(issubclass(type(each), self.requests) for each in arguments) or function in self._views()
        ):
            raise self._refusal(function)
        return None

    def _refusal(self, function: HookedFunction) -> ConfigurationError:
        return ConfigurationError(
            f"{function.title} is a view of {self._name}, whose views cannot be cached; cache a function that takes "
            "what it needs of the request as arguments and returns data, and call that in the view"
        )

    def is_view(self, function: HookedFunction, /) -> bool:
        """Return False: nothing of it is stored as a view."""
        return False

    def bind_context(self, compute: Callable[[], Any], in_task: bool, /) -> Callable[[], Any]:
        """Return *compute*."""
        return compute
