"""Discovery: which cached functions are views; by the routes that lead to them, or by the request they are given."""

import contextlib
import functools
import inspect
import operator
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import Parameter
from itertools import chain
from types import MappingProxyType
from typing import Any, Final

from memocache._hooks import Engine, HookedFunction, adapters, function_of
from memocache.errors import ConfigurationError
from memocache.web._calls import ViewCall, ViewRequest
from memocache.web._rules import ViewRules

HANDLERS: Final = ("dispatch_request", "dispatch", "get", "post", "head", "options", "delete", "put", "trace", "patch")
DEEPEST: Final = 200
OWN_ARGUMENTS: Final = ("self", "cls")
# The types of nearly all arguments; by id, since a metaclass may have a __hash__ of its own.
NO_REQUESTS: Final = frozenset(map(id, (int, str, bytes, bool, float, type(None))))
STARS: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


# ---- by routes ---------------------------------------------------------------------------------------------------


class RouteIndex:
    """The cached functions that the routes of an application lead to, each with its endpoints."""

    def __init__(self) -> None:
        self._views: list[Any] = []
        self.endpoints: dict[HookedFunction, set[str]] = {}
        self.rules: dict[HookedFunction, ViewRules] = {}

    def update(self, views: dict[str, Any], *, thorough: bool) -> None:
        """Index the *views* again, by endpoint, if they are not those of before; *thorough* compares each of them."""
        known = self._views
        if len(known) == len(views) and (not thorough or all(map(operator.is_, known, views.values()))):
            return
        endpoints: dict[HookedFunction, set[str]] = {}
        snapshot = dict(views)
        for endpoint, view in snapshot.items():
            for function in cached_in(view):
                endpoints.setdefault(function, set()).add(endpoint)
        for function in endpoints:
            if function.view is not False:
                function.become_view()
        self.endpoints, self._views = endpoints, list(snapshot.values())


def cached_in(view: Any) -> Iterator[HookedFunction]:
    """Return the cached functions among *view*, what it wraps, and the methods of its class."""
    yield from filter(None, map(function_of, walk(view)))


def walk(view: Any) -> Iterator[Any]:
    """Return *view*, what it wraps, and the methods of its class."""
    todo: list[Any] = [view]
    known: set[int] = set()
    while todo and len(known) < DEEPEST:
        found = todo.pop()
        if found is None or id(found) in known:
            continue
        known.add(id(found))
        yield found
        for name in ("__wrapped__", "__func__"):
            todo.append(getattr(found, name, None))
        if isinstance(found, functools.partial):
            todo.append(found.func)
        view_class = found if isinstance(found, type) else getattr(found, "view_class", None)
        if isinstance(view_class, type):
            todo += [inspect.getattr_static(view_class, name, None) for name in HANDLERS]


# ---- by arguments ------------------------------------------------------------------------------------------------


class RequestParameters:
    """The parameters of a function that may be given a request, by its annotations.

    Args:
        function: the function.
        request: the type of requests.
        refused: other types that belong to one request, and cannot be cached -> why, and what to do.

    Raises:
        ConfigurationError: for a parameter of a refused type.
    """

    def __init__(self, function: HookedFunction, request: type, refused: Mapping[type, str]) -> None:
        self._request = request
        self._refused = refused
        self.are_known = True
        """True if all annotations could be resolved."""
        self.is_final = False
        """True if there is no use in trying again to resolve the others."""
        parameters = () if function.view is False else function.signature.parameters.values()
        told = [self._is_request(function, each) for each in parameters]
        positions = [at for at, each in enumerate(told) if each is not False]
        self.is_view = True if True in told else None if positions else False
        """True if one of them can only be given a request, None if one may be; False if there is none."""
        names = tuple(function.signature.parameters)
        self.are_hidden = not all(function.is_in_key(names[at]) for at in positions)
        """True if one of them is no part of the key: the fast index, which goes by the key, would not see a request."""
        stars = function.is_called_as_written or any(each.kind in STARS for each in parameters)
        self.positions: Sequence[int] | None = None if stars and positions else positions
        """Where they are among the arguments; None for anywhere."""
        self._answer: tuple[Any, bool] = (lambda: None, False)  # the latest endpoint, weakly, and the answer for it

    def _is_request(self, function: HookedFunction, parameter: Parameter) -> bool | None:
        """Return True or False if that is known of what is given for *parameter*; None if it may be one."""
        if parameter.annotation is Parameter.empty:
            return False if parameter.name in OWN_ARGUMENTS else None
        try:
            classes = list(function.types_of(parameter))
        except Exception:  # noqa: BLE001 - from whatever a name stands for that is not defined yet
            self.are_known = False
            return None
        for kind, why in self._refused.items():
            for found in classes:
                if found is not None and _is_subclass(found, kind):
                    raise ConfigurationError(f"{function.title}: {parameter.name!r} is a {found.__name__}, {why}")
        kind = self._request
        if classes and all(each is not None and _is_subclass(each, kind) for each in classes):
            return True
        may_be = any(each is None or _is_subclass(each, kind) or _is_subclass(kind, each) for each in classes)
        return None if may_be else False

    def is_response_of(self, function: HookedFunction, endpoint: object) -> bool:
        """Return True if the function's result is the response of *endpoint*, and not only used to make it."""
        if endpoint is None:  # none is known
            return True
        latest, answer = self._answer
        if latest() is not endpoint:
            answer = any(each is function.function or function_of(each) is function for each in walk(endpoint))
            with contextlib.suppress(TypeError):  # it has no weak references
                self._answer = weakref.ref(endpoint), answer
        return answer

    def request_in(self, arguments: Sequence[object]) -> Any:
        """Return the request that is among the *arguments*, or None."""
        if self.positions is not None:
            # Short, because every call of a function that is no view comes through here.
            for at in self.positions:
                kind = type(arguments[at])
                if id(kind) not in NO_REQUESTS and issubclass(kind, self._request):
                    return arguments[at]
            return None
        found = self._first_in(arguments)
        # *args and **kwargs may be one argument here.
        inner = [
            each if isinstance(each, tuple) else each.values() for each in arguments if isinstance(each, tuple | dict)
        ]
        return self._first_in(chain.from_iterable(inner)) if found is None else found

    def _first_in(self, arguments: Iterable[object]) -> Any:
        return next((each for each in arguments if issubclass(type(each), self._request)), None)


class ArgumentAdapter:
    """An adapter for a framework that hands the request to its views as an argument.

    Args:
        request: the type of requests.
        view_request: makes the ViewRequest of a call, of the function, its RequestParameters and the request.
        responses: the types of responses.
        view_classes: the types of objects whose methods are views.
        refused: other types that belong to one request, as RequestParameters takes them.
        base: the base of all that is no lasting part of a call, if it is not the type of requests.
        bind_context: as that of Adapter.
    """

    def __init__(
        self,
        request: type,
        view_request: Callable[[HookedFunction, RequestParameters, Any], ViewRequest],
        responses: tuple[type, ...],
        view_classes: tuple[type, ...],
        refused: Mapping[type, str] = MappingProxyType({}),
        base: type | None = None,
        bind_context: Callable[[Callable[[], Any], bool], Callable[[], Any]] = lambda compute, in_task: compute,
    ) -> None:
        self.bind_context = bind_context
        self.requests: tuple[type, ...] = (base or request,)
        self.responses = responses
        self.view_classes = view_classes
        self._request = request
        self._view_request = view_request
        self._refused = refused
        for function in adapters.functions():  # they may have entries in the fast index from before this framework
            with contextlib.suppress(ConfigurationError):  # a call raises it
                self._look_at(function)

    def _look_at(self, function: HookedFunction) -> RequestParameters:
        parameters = function.notes[self] = RequestParameters(function, self._request, self._refused)
        if parameters.are_hidden:
            function.become_view()
        return parameters

    def decorated(self, function: HookedFunction, /) -> None:
        """Raise ConfigurationError if the function takes something that the framework makes for one request."""
        if self._refused:  # otherwise there is time until a call, when every name in an annotation is defined
            parameters = self._look_at(function)
            parameters.is_final = parameters.are_known

    def _parameters_of(self, function: HookedFunction) -> RequestParameters:
        parameters: RequestParameters | None = function.notes.get(self)
        if parameters is None or not parameters.is_final:
            parameters = self._look_at(function)
            parameters.is_final = True  # a name that is not defined at a call never will be
        return parameters

    def is_view(self, function: HookedFunction, /) -> bool | None:
        """Return True if the function is given a request; None if it may be."""
        return self._parameters_of(function).is_view

    def call(self, function: HookedFunction, arguments: Sequence[object], /) -> Callable[[Engine], Any] | None:
        """Return what begins the present call, if there is a request among its arguments."""
        parameters: RequestParameters | None = function.notes.get(self)
        if parameters is None or not parameters.is_final:  # looked at here, since every call of any function comes here
            parameters = self._parameters_of(function)
        if parameters.is_view is False:
            return None
        request = parameters.request_in(arguments)
        return None if request is None else ViewCall(function, self._view_request(function, parameters, request)).begin


def _is_subclass(kind: type, other: type) -> bool:
    try:
        return issubclass(kind, other)
    except TypeError:  # a protocol that does not support it
        return True
