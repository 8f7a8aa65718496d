"""The hints of a function, resolved one by one: a name in one that is not there leaves the others alone."""

import functools
import inspect
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["classes_in", "resolved"]


def resolved(function: Callable[..., Any], annotation: object) -> Any:
    """Return an *annotation* of *function* without texts in it; whatever exception there is if that cannot be."""
    inner: Any = function
    while isinstance(inner, functools.partial):
        inner = inner.func
    hint = types.SimpleNamespace(__annotations__={"hint": annotation})
    return typing.get_type_hints(hint, inspect.unwrap(inner).__globals__, include_extras=True)["hint"]


def classes_in(hint: Any) -> Iterator[type | None]:
    """Return the classes that what has this resolved *hint* is an instance of one of; None among them is anything."""
    origin = typing.get_origin(hint)
    if origin is typing.Annotated:
        yield from classes_in(hint.__origin__)
    elif origin is typing.Union or origin is types.UnionType:
        for each in typing.get_args(hint):
            yield from classes_in(each)
    elif isinstance(origin, type):
        yield origin
    elif isinstance(hint, type) and hint is not typing.Any:  # which is a class
        yield hint
    elif type(hint).__name__ == "TypeAliasType":  # written as `type Name = ...`
        yield from classes_in(hint.__value__)
    else:
        yield None
