"""Which arguments of a function may be the request, where a framework hands that to its views."""

import contextlib
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter
from itertools import chain
from typing import Any, Final

from memocache._compile import PLAIN
from memocache._hints import classes_in, resolved
from memocache._memoizer import Memoizer, memoizers
from memocache.errors import ConfigurationError
from memocache.web._calls import Call
from memocache.web._exchange import Exchange
from memocache.web._reachable import memo_of, reachable_from

__all__ = ["Arguments", "Endpoints"]

OWN_ARGUMENTS: Final = ("self", "cls")
STARS: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)


class Arguments:
    """Which arguments of a function may be a request, as far as its annotations tell.

    Args:
        memo: the function's.
        request: the type of requests.
        refused: what else is of one request, and cannot be taken: by type why, and what to do.

    Raises:
        ConfigurationError: for a parameter that is refused.
    """

    def __init__(self, memo: Memoizer, request: type, refused: Mapping[type, str]) -> None:
        self._request = request
        self._refused = refused
        self.are_known = True
        """Whether all annotations could be resolved."""
        self.is_final = False
        """Whether those that could not are not going to be."""
        parameters = () if memo.options.view is False else memo.signature.parameters.values()
        places = [at for at, each in enumerate(parameters) if self._may_be_request(memo, each)]
        self.are_none = not places
        """Whether there is none."""
        names = tuple(memo.signature.parameters)
        self.are_hidden = not all(memo.counts(names[at]) for at in places)
        """Whether one of them does not count, so that a shortcut, which goes by what does, would not see a request."""
        stars = any(each.kind in STARS for each in parameters)
        self.places: Sequence[int] | None = None if stars and places else places
        """Where among the arguments; None for anywhere."""
        self._answered: tuple[Any, bool] = (lambda: None, False)  # the latest endpoint, weakly, and what was said of it

    def _may_be_request(self, memo: Memoizer, parameter: Parameter) -> bool:
        if parameter.annotation is Parameter.empty:
            return parameter.name not in OWN_ARGUMENTS
        try:
            classes = list(classes_in(resolved(memo.function, parameter.annotation)))
        except Exception:  # noqa: BLE001 - whatever a name stands for that is not there yet
            self.are_known = False
            return True
        for kind, why in self._refused.items():
            for found in classes:
                if found is not None and _is_subclass(found, kind):
                    raise ConfigurationError(f"{memo.title}: {parameter.name!r} is a {found.__name__}, {why}")
        kind = self._request
        return any(each is None or _is_subclass(each, kind) or _is_subclass(kind, each) for each in classes)

    def is_answer(self, memo: Memoizer, endpoint: object) -> bool:
        """Return whether what the function returns is the answer of *endpoint*, and not merely helps to make it."""
        if endpoint is None:  # none is known
            return True
        latest, answer = self._answered
        if latest() is not endpoint:
            answer = any(each is memo.function or memo_of(each) is memo for each in reachable_from(endpoint))
            with contextlib.suppress(TypeError):  # it cannot be held weakly
                self._answered = weakref.ref(endpoint), answer
        return answer

    def request_in(self, arguments: Sequence[object]) -> Any:
        """Return the request that is among the *arguments*, or None."""
        if self.places is not None:
            # As quick as can be: this is in the way of every function that is no view.
            for at in self.places:
                kind = type(arguments[at])
                if id(kind) not in PLAIN and issubclass(kind, self._request):
                    return arguments[at]
            return None
        found = self._first_of(arguments)
        # What *args and **kwargs stand for may be one argument here.
        inner = [
            each if isinstance(each, tuple) else each.values() for each in arguments if isinstance(each, tuple | dict)
        ]
        return self._first_of(chain.from_iterable(inner)) if found is None else found

    def _first_of(self, arguments: Iterable[object]) -> Any:
        return next((each for each in arguments if issubclass(type(each), self._request)), None)


class Endpoints:
    """An adapter of a framework that hands the request to its views: a call that has one is that of a view.

    Args:
        request: the type of requests.
        exchange: makes the Exchange of such a call, of the function's memo, what is known of its arguments, and the
            request.
        refused: what else is of one request, as Arguments takes it.
    """

    def __init__(
        self, request: type, exchange: Callable[[Memoizer, Arguments, Any], Exchange], refused: Mapping[type, str]
    ) -> None:
        self._request = request
        self._exchange = exchange
        self._refused = refused
        for memo in memoizers():  # which may have shortcuts from before the framework was imported
            with contextlib.suppress(ConfigurationError):  # a call is going to say so
                self._look_at(memo)

    def _look_at(self, memo: Memoizer) -> Arguments:
        known = memo.notes[self] = Arguments(memo, self._request, self._refused)
        if known.are_hidden:
            memo.become_view()
        return known

    def decorated(self, memo: Memoizer, /) -> None:
        """Raise ConfigurationError if the function takes what a framework injects for one request."""
        if self._refused:  # else there is time until a call, when every name in a hint is there
            known = self._look_at(memo)
            known.is_final = known.are_known

    def _found_out(self, memo: Memoizer) -> Arguments:
        known: Arguments | None = memo.notes.get(self)
        if known is None or not known.is_final:
            known = self._look_at(memo)
            known.is_final = True  # what is not there at a call is not going to come
        return known

    def may_be_view(self, memo: Memoizer, /) -> bool:
        """Return whether it may be given a request."""
        return not self._found_out(memo).are_none

    def call(self, memo: Memoizer, arguments: Sequence[object], /) -> Call | None:
        """Return the call of *memo*'s function, if there is a request among its arguments."""
        known = self._found_out(memo)
        if known.are_none:
            return None
        request = known.request_in(arguments)
        return None if request is None else Call(self._exchange(memo, known, request))


def _is_subclass(kind: type, other: type) -> bool:
    try:
        return issubclass(kind, other)
    except TypeError:  # a protocol that cannot be asked
        return True
