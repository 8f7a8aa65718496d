"""Discovery: which cached functions are views; by the routes that lead to them, or by the request they are given."""

import contextlib
import functools
import inspect
import operator
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from inspect import Parameter
from itertools import chain
from typing import Any, Final

from memocache._compile import PLAIN
from memocache._hints import classes_in, resolved
from memocache._memoizer import Memoizer, memoizers
from memocache.errors import ConfigurationError
from memocache.web._calls import ViewCall, ViewRequest
from memocache.web._rules import ViewRules

__all__ = ["ArgumentAdapter", "RequestParameters", "RouteIndex", "cached_in"]

HANDLERS: Final = ("dispatch_request", "dispatch", "get", "post", "head", "options", "delete", "put", "trace", "patch")
DEEPEST: Final = 200
OWN_ARGUMENTS: Final = ("self", "cls")
STARS: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


# ---- by routes ---------------------------------------------------------------------------------------------------


class RouteIndex:
    """RouteIndex: the cached functions that the routes of an application lead to, each with its endpoints."""

    def __init__(self) -> None:
        self._views: list[Any] = []
        self.endpoints: dict[Memoizer, set[str]] = {}
        self.rules: dict[Memoizer, ViewRules] = {}

    def update(self, views: dict[str, Any], *, thorough: bool) -> None:
        """Index the *views* again, by endpoint, if they are not those of before; *thorough* compares each of them."""
        known = self._views
        if len(known) == len(views) and (not thorough or all(map(operator.is_, known, views.values()))):
            return
        endpoints: dict[Memoizer, set[str]] = {}
        snapshot = dict(views)
        for endpoint, view in snapshot.items():
            for memo in cached_in(view):
                endpoints.setdefault(memo, set()).add(endpoint)
        for memo in endpoints:
            if memo.options.view is not False:
                memo.become_view()
        self.endpoints, self._views = endpoints, list(snapshot.values())


def cached_in(view: Any) -> Iterator[Memoizer]:
    """Return the cached functions among *view*, what it wraps, and the methods of its class."""
    for each in _walk(view):
        memo = _memo_of(each)
        if memo is not None:
            yield memo


def _memo_of(function: Any) -> Memoizer | None:
    """Return the memo of a cached *function* or method; None if it is not cached."""
    from memocache._function import CacheMethods  # not before: that loads the adapters, which need this module

    if not isinstance(type(function), type) or not issubclass(type(function), CacheMethods):
        return None
    memo: Memoizer = function._self_memoizer
    return memo


def _walk(view: Any) -> Iterator[Any]:
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
    """RequestParameters: the parameters of a function that may be given a request, by its annotations.

    Args:
        memo: the function's.
        request: the type of requests.
        refused: other types that belong to one request, and cannot be cached -> why, and what to do.

    Raises:
        ConfigurationError: for a parameter of a refused type.
    """

    def __init__(self, memo: Memoizer, request: type, refused: Mapping[type, str]) -> None:
        self._request = request
        self._refused = refused
        self.are_known = True
        """True if all annotations could be resolved."""
        self.is_final = False
        """True if there is no use in trying again to resolve the others."""
        parameters = () if memo.options.view is False else memo.signature.parameters.values()
        positions = [at for at, each in enumerate(parameters) if self._may_be_request(memo, each)]
        self.are_none = not positions
        """True if there is none."""
        names = tuple(memo.signature.parameters)
        self.are_hidden = not all(memo.counts(names[at]) for at in positions)
        """True if one of them is no part of the key: the fast index, which goes by the key, would not see a request."""
        stars = any(each.kind in STARS for each in parameters)
        self.positions: Sequence[int] | None = None if stars and positions else positions
        """Where they are among the arguments; None for anywhere."""
        self._answer: tuple[Any, bool] = (lambda: None, False)  # the latest endpoint, weakly, and the answer for it

    def _may_be_request(self, memo: Memoizer, parameter: Parameter) -> bool:
        if parameter.annotation is Parameter.empty:
            return parameter.name not in OWN_ARGUMENTS
        try:
            classes = list(classes_in(resolved(memo.function, parameter.annotation)))
        except Exception:  # noqa: BLE001 - from whatever a name stands for that is not defined yet
            self.are_known = False
            return True
        for kind, why in self._refused.items():
            for found in classes:
                if found is not None and _is_subclass(found, kind):
                    raise ConfigurationError(f"{memo.title}: {parameter.name!r} is a {found.__name__}, {why}")
        kind = self._request
        return any(each is None or _is_subclass(each, kind) or _is_subclass(kind, each) for each in classes)

    def is_response_of(self, memo: Memoizer, endpoint: object) -> bool:
        """Return True if the function's result is the response of *endpoint*, and not only used to make it."""
        if endpoint is None:  # none is known
            return True
        latest, answer = self._answer
        if latest() is not endpoint:
            answer = any(each is memo.function or _memo_of(each) is memo for each in _walk(endpoint))
            with contextlib.suppress(TypeError):  # it has no weak references
                self._answer = weakref.ref(endpoint), answer
        return answer

    def request_in(self, arguments: Sequence[object]) -> Any:
        """Return the request that is among the *arguments*, or None."""
        if self.positions is not None:
            # Short, because every call of a function that is no view comes through here.
            for at in self.positions:
                kind = type(arguments[at])
                if id(kind) not in PLAIN and issubclass(kind, self._request):
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
    """ArgumentAdapter: an adapter for a framework that hands the request to its views as an argument.

    Args:
        request: the type of requests.
        view_request: makes the ViewRequest of a call, of the function's memo, its RequestParameters and the request.
        refused: other types that belong to one request, as RequestParameters takes them.
    """

    def __init__(
        self,
        request: type,
        view_request: Callable[[Memoizer, RequestParameters, Any], ViewRequest],
        refused: Mapping[type, str],
    ) -> None:
        self._request = request
        self._view_request = view_request
        self._refused = refused
        for memo in memoizers():  # which may have entries in the fast index from before the framework was imported
            with contextlib.suppress(ConfigurationError):  # a call raises it
                self._look_at(memo)

    def _look_at(self, memo: Memoizer) -> RequestParameters:
        parameters = memo.notes[self] = RequestParameters(memo, self._request, self._refused)
        if parameters.are_hidden:
            memo.become_view()
        return parameters

    def decorated(self, memo: Memoizer, /) -> None:
        """Raise ConfigurationError if the function takes something that the framework makes for one request."""
        if self._refused:  # otherwise there is time until a call, when every name in an annotation is defined
            parameters = self._look_at(memo)
            parameters.is_final = parameters.are_known

    def _parameters_of(self, memo: Memoizer) -> RequestParameters:
        parameters: RequestParameters | None = memo.notes.get(self)
        if parameters is None or not parameters.is_final:
            parameters = self._look_at(memo)
            parameters.is_final = True  # a name that is not defined at a call never will be
        return parameters

    def may_be_view(self, memo: Memoizer, /) -> bool:
        """Return True if the function may be given a request."""
        return not self._parameters_of(memo).are_none

    def call(self, memo: Memoizer, arguments: Sequence[object], /) -> ViewCall | None:
        """Return the ViewCall of a call of *memo*'s function, if there is a request among its arguments."""
        parameters = self._parameters_of(memo)
        if parameters.are_none:
            return None
        request = parameters.request_in(arguments)
        return None if request is None else ViewCall(self._view_request(memo, parameters, request))


def _is_subclass(kind: type, other: type) -> bool:
    try:
        return issubclass(kind, other)
    except TypeError:  # a protocol that does not support it
        return True
