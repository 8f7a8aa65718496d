"""From annotations to the types inside them that can be made from bytes."""

import dataclasses
import inspect
import sys
import types
import typing
from collections.abc import Iterator
from typing import Any

import msgspec

from memocache.serializers._shapes import shape_of

__all__ = ["types_in"]


def types_in(*annotations: object) -> Iterator[type]:
    """Yield every type with a shape in *annotations*, their arguments, and the fields of what is found."""
    waiting = list(annotations)
    seen: dict[int, object] = {}  # by identity: annotations need not be hashable, and types may name themselves
    while waiting:
        annotation = waiting.pop()
        if id(annotation) in seen:
            continue
        seen[id(annotation)] = annotation
        if isinstance(annotation, type):
            if shape_of(annotation) is not None:
                yield annotation
            waiting += _field_types(annotation)
        else:
            waiting += _parts(annotation)


def _parts(annotation: object) -> list[object]:
    if isinstance(annotation, list | tuple):  # the arguments of a Callable
        return list(annotation)
    if isinstance(annotation, typing.TypeVar):
        return [annotation.__bound__, *annotation.__constraints__]
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return [arguments[0]]
    if origin is typing.Literal:
        return [type(argument) for argument in arguments]
    if origin is not None:
        return [origin, *arguments]
    if isinstance(annotation, typing.NewType):
        return [annotation.__supertype__]
    if type(annotation).__name__ == "TypeAliasType":  # the `type` statement, from Python 3.12 on
        return [_alias_value(annotation)]
    return []


def _alias_value(alias: Any) -> object:
    try:
        return alias.__value__
    except Exception:  # noqa: BLE001 - evaluated only now, and it may be any expression
        return None


def _field_types(kind: type) -> list[object]:
    has_fields = (
        dataclasses.is_dataclass(kind)
        or typing.is_typeddict(kind)
        or issubclass(kind, msgspec.Struct)
        or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    )
    if not has_fields:
        return []
    found: list[object] = list(getattr(kind, "__orig_bases__", ()))
    for base in kind.__mro__:
        found += _hints(base)
    return found


def _hints(base: type) -> list[object]:
    # One by one, so that a name that only type checkers know does not hide the others.
    try:
        annotations = inspect.get_annotations(base)
    except Exception:  # noqa: BLE001 - from Python 3.14 on, this runs the annotations
        return []
    known = vars(sys.modules.get(base.__module__, types))
    found: list[object] = []
    for name, annotation in annotations.items():
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            found += typing.get_type_hints(holder, known, {base.__name__: base, **vars(base)}).values()
        except Exception:  # noqa: BLE001 - annotations may be any expression
            continue
    return found
