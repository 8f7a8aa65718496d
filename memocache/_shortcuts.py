"""A call's arguments -> what leads from them to its entry in process at once (see _call), where that is safe."""

import math
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, TypeAlias

from memocache._canonical import has_own_key
from memocache._entry import Alias, Aliases
from memocache._instances import tokens

__all__ = ["PLAIN", "Shortcut", "plain_types", "shortcut"]

# By id: a metaclass may have a __hash__ of its own.
PLAIN: Final = frozenset(map(id, (int, str, bytes, bool, float, type(None))))

Shortcut: TypeAlias = Callable[[tuple[Any, ...]], "Alias | None"]
"""Takes the arguments that count; returns what makes the next call with these find the entry, or None."""


def plain_types(values: Sequence[object]) -> type | tuple[type, ...] | None:
    """Return the types of *values*, or of the only one, if they may be looked up as they are; else None.

    They may where what equals one of them, in the same type, is the same value.
    """
    if len(values) == 1:
        kind = type(values[0])
        return kind if id(kind) in PLAIN and (kind is not float or _is_itself(values[0])) else None
    types = tuple(map(type, values))
    return types if PLAIN.issuperset(map(id, types)) and (float not in types or all(map(_is_itself, values))) else None


def _is_itself(value: object) -> bool:
    return type(value) is not float or (value != 0.0 and math.isfinite(value))  # there is also -0.0, and NaN


def shortcut(aliases: Aliases | None, number: int, instance_at: int | None) -> Shortcut:
    """Return the maker of the *aliases* of a function, *number* of whose arguments count, one perhaps as its instance.

    What it makes is written as the function's own call writes it: one argument alone and not as a tuple, with its type;
    an instance as its token, and no type.
    """
    if aliases is None:
        return _none
    if instance_at is not None:
        return _of_method(aliases, instance_at)
    return _of_one(aliases) if number == 1 else _of_some(aliases)


def _none(counted: tuple[Any, ...]) -> None:
    return None


def _of_one(aliases: Aliases) -> Shortcut:
    def alias(counted: tuple[Any, ...]) -> Alias | None:
        kind = plain_types(counted)
        return None if kind is None else (aliases, counted[0], kind)

    return alias


def _of_some(aliases: Aliases) -> Shortcut:
    known: dict[object, object] = {}  # one tuple of types for all entries

    def alias(counted: tuple[Any, ...]) -> Alias | None:
        types = plain_types(counted)
        return None if types is None else (aliases, counted, known.setdefault(types, types))

    return alias


def _of_method(aliases: Aliases, at: int) -> Shortcut:
    known: dict[object, object] = {}

    def alias(counted: tuple[Any, ...]) -> Alias | None:
        instance = counted[at]
        token = tokens.get(id(instance))
        if token is None or has_own_key(instance):  # what that says may change, while a token does not
            return None
        types = plain_types(counted[:at] + counted[at + 1 :])
        if types is None:
            return None
        raw: Hashable = (*counted[:at], token, *counted[at + 1 :]) if len(counted) > 1 else token
        return aliases, raw, known.setdefault(types, types)

    return alias
