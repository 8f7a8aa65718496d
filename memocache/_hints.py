"""The hints of a function, resolved one by one: a name in one that is not there leaves the others alone."""

import contextlib
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from memocache._signature import annotations_of


def resolved(function: Callable[..., Any], annotation: object) -> Any:
    """Return an *annotation* of *function* without texts in it; whatever exception there is if that cannot be."""
    inner = innermost(function)
    hint = types.SimpleNamespace(__annotations__={"hint": annotation})
    type_parameters = {each.__name__: each for each in getattr(inner, "__type_params__", ())}
    names = type_parameters | variables_of(inner)
    return typing.get_type_hints(hint, inner.__globals__, names, include_extras=True)["hint"]


def innermost(function: Any) -> Any:
    """Return the function that *function* stands for, below wrappers and partials."""
    function = inspect.unwrap(function)
    while isinstance(function, functools.partial):
        function = inspect.unwrap(function.func)
    return getattr(function, "__func__", function)


def variables_of(function: Any) -> dict[str, object]:
    """Return what *function* uses of functions around it, by name."""
    variables = {}
    names = getattr(getattr(function, "__code__", None), "co_freevars", ())
    for name, cell in zip(names, getattr(function, "__closure__", None) or (), strict=False):
        with contextlib.suppress(ValueError):  # it is empty yet
            variables[name] = cell.cell_contents
    return variables


def result_hints(function: Callable[..., Any]) -> tuple[object, ...]:
    """Return the hint of the result, resolved, and the class that Self stands for in it.

    Without one, and where a name in it is not there, such as one that only type checkers import, return the function's
    module: what it returns may be of a class that this has a name for.
    """
    inner = innermost(function)
    try:
        annotations = annotations_of(inner)
        if "return" in annotations:
            hint = resolved(function, annotations["return"])
            return (hint, _written_in(inner)) if "Self" in repr(hint) else (hint,)
    except Exception:  # noqa: BLE001 - annotations may be any expression
        pass
    module = sys.modules.get(getattr(inner, "__module__", None) or "")
    return () if module is None else (module,)


def _written_in(function: Callable[..., Any]) -> object:
    """Return the class in whose body *function* is written; None if it is not found by its name."""
    place: object = sys.modules.get(function.__module__)
    for name in function.__qualname__.split(".")[:-1]:
        place = getattr(place, name, None)
    return place if isinstance(place, type) else None


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
