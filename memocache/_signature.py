"""Signature: the parameters of a decorated function as calls of it are bound; a claim that it does not follow is not.

A wrapper made with `functools.wraps` claims the signature of what it wraps, and so does whatever has `__signature__`.
Only its own code says what it does with a call, so it is given the arguments as the caller wrote them.
"""

import contextlib
import functools
import inspect
import sys
import types
from collections.abc import Callable, Iterable
from inspect import Parameter, Signature
from typing import Any, Final, NamedTuple

from memocache.errors import ConfigurationError, UnkeyableArgument, title_of

POSITIONAL: Final = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
STARS: Final[dict[Any, str]] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}
ONE_VALUE: Final = (Parameter("value", Parameter.POSITIONAL_ONLY),)
"""The parameters of a function that is called with one value."""

if sys.version_info >= (3, 14):
    from annotationlib import Format, get_annotations

    # Annotations are evaluated here, and may have names that are not there yet, as that of the class being written.
    signature_of: Final = functools.partial(inspect.signature, annotation_format=Format.FORWARDREF)
    annotations_of: Final = functools.partial(get_annotations, format=Format.FORWARDREF)
else:
    signature_of: Final = inspect.signature
    annotations_of: Final = inspect.get_annotations


def is_awaited(function: Any) -> bool:
    """Return whether a call of *function* is to be awaited, which may be an object that is called."""
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(type(function), "__call__", None)  # noqa: B004 - to see what it is
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def why_uncallable(function: Callable[..., object], parameters: Iterable[Parameter]) -> str:
    """Return why *function* cannot be called with arguments for *parameters*; empty if it can, or does not tell."""
    try:
        own = signature_of(function)
    except (TypeError, ValueError):  # as of some that are written in C
        return ""
    kinds = {each.name: each.kind for each in parameters}
    named = dict.fromkeys(name for name, kind in kinds.items() if kind is Parameter.KEYWORD_ONLY)
    try:
        own.bind(*[None for kind in kinds.values() if kind in POSITIONAL], **named)
    except TypeError as error:
        return str(error)
    return ""


def generator_kind(function: Any) -> str:
    """Return what sort of generator function *function* is, or hands on as it is; empty if it is none.

    A wrapper in Python may make something else of the items, such as a list; those of contextlib do not.
    """
    inner = inspect.unwrap(
        function, stop=lambda each: type(each) is types.FunctionType and each.__globals__ is not vars(contextlib)
    )
    if inspect.isasyncgenfunction(inner):
        return "an async generator function"
    return "a generator function" if inspect.isgeneratorfunction(inner) else ""


def refuse_coroutine_function(option: str, function: object) -> None:
    """Raise ConfigurationError if *function*, which an *option* got, is to be awaited, which nobody would do."""
    if is_awaited(function):
        raise ConfigurationError(f"{option} got {title_of(function)}, a coroutine function; wanted: an ordinary one")


def check_function(
    option: str, function: Callable[..., object], parameters: Iterable[Parameter], given: str, wanted: str
) -> None:
    """Raise ConfigurationError unless *function*, which an *option* got, can be called with *parameters* by us.

    The error says in words what it is *given* in a call, and what is *wanted*.
    """
    refuse_coroutine_function(option, function)
    if why := why_uncallable(function, parameters):
        raise ConfigurationError(
            f"{option} got {title_of(function)}, which cannot be called {given}: {why}; wanted: {wanted}"
        )


def is_awaited_once(kind: type) -> bool:
    """Return whether what is of this *kind* is used up when it is awaited, as coroutines are, and futures are not."""
    return hasattr(kind, "__await__") and hasattr(kind, "send")


def is_read_once(kind: type) -> bool:
    """Return whether what is of this *kind* is used up by its first reader: an iterator, and so an open file."""
    return hasattr(kind, "__next__") or hasattr(kind, "__anext__")


class LeftOut:
    """LeftOut: the type of LEFT_OUT, which stands for an argument that the claimed signature asks for.

    Nothing may be made of it: it would be the same for calls whose arguments stand for others than they seem to.
    """

    why = (
        "it was left out, so that another decorator below fills in this parameter or another one, and the arguments "
        "may be for others than they seem to be: put that decorator above"
    )

    def __cache_key__(self) -> object:
        raise UnkeyableArgument(self.why)

    __bool__ = __repr__ = __cache_key__  # type: ignore[assignment]


LEFT_OUT: Final = LeftOut()


class BelievedSignature(NamedTuple):
    """BelievedSignature: the signature by which calls of a function are bound, and how the function is called."""

    signature: Signature
    as_written: bool = False
    """True if the function is given the arguments as the caller wrote them; else defaults may be given as values."""
    is_open: bool = False
    """True if it may take calls that the signature does not allow, as wrappers do that add or fill in an argument."""


def open_parameters(signature: Signature, p: str) -> tuple[dict[str, Parameter], list[str]]:
    """Return parameters that take any call, with those of *signature* among them, and the names of those added.

    The names begin with *p*. What is not given is LEFT_OUT.
    """
    known = list(signature.parameters.values())
    added = []
    for kind, name in zip(STARS, (f"{p}more_args", f"{p}more_kwargs"), strict=True):
        if all(each.kind is not kind for each in known):
            added.append(name)
            known.append(Parameter(name, kind))
    known.sort(key=lambda each: each.kind)
    return {
        each.name: each if each.kind in STARS or each.default is not each.empty else each.replace(default=LEFT_OUT)
        for each in known
    }, added


def believed_signature(function: Callable[..., Any]) -> BelievedSignature:
    """Return the signature of *function*; ValueError or TypeError if it tells none.

    What is claimed is believed of whatever hands on what it has no parameters for, unless one of its own parameters
    contradicts. A default of its own is what is left out, whatever the claim says.
    """
    if type(function) is types.FunctionType and not function.__dict__.keys() & {"__wrapped__", "__signature__"}:
        return BelievedSignature(signature_of(function))
    claim = signature_of(function)
    wrapped = None if isinstance(function, types.MethodType) else getattr(function, "__wrapped__", None)
    if wrapped is not None and not hasattr(function, "__signature__"):
        claim = believed_signature(wrapped).signature
    own = _own_signature(function)
    if own is None:
        return BelievedSignature(claim, as_written=True, is_open=True)
    hands_on = any(each.kind in STARS for each in own.parameters.values())
    if not hands_on or not _agrees(own, claim):
        return BelievedSignature(own, as_written=True)
    defaults = {name: each.default for name, each in own.parameters.items() if each.kind not in STARS}
    parameters = [
        each.replace(default=defaults[name]) if name in defaults and each.kind not in STARS else each
        for name, each in claim.parameters.items()
    ]
    try:
        return BelievedSignature(claim.replace(parameters=parameters), as_written=True, is_open=True)
    except ValueError:  # what follows a default has none
        return BelievedSignature(own, as_written=True)


def _own_signature(function: Any) -> Signature | None:
    """Return the signature that the code of *function* has, whatever it claims; None if it is not written in Python."""
    if type(function) is functools.partial:
        plain = functools.partial(function.func, *function.args, **function.keywords)
        return signature_of(plain, follow_wrapped=False)
    if type(function) is types.FunctionType:
        code = types.FunctionType(function.__code__, {}, function.__name__, function.__defaults__, function.__closure__)
        code.__kwdefaults__ = function.__kwdefaults__
        code.__annotations__ = annotations_of(function)
        return signature_of(code)
    method = inspect.getattr_static(type(function), "__call__", None)
    return signature_of(method.__get__(function)) if type(method) is types.FunctionType else None


def _agrees(own: Signature, claim: Signature) -> bool:
    """Return whether nothing in *own* contradicts the *claim* about which argument stands where."""
    claimed = list(claim.parameters.values())
    for at, each in enumerate(own.parameters.values()):
        same = claim.parameters.get(each.name)
        if each.kind in POSITIONAL:
            there = claimed[at] if at < len(claimed) else None
            if there is None or there.kind not in POSITIONAL:
                return False
            if there is not same and (same is not None or each.default is not each.empty):
                return False
        elif each.kind is each.KEYWORD_ONLY and same is not None and same.kind not in (*POSITIONAL, each.KEYWORD_ONLY):
            return False
    return True
