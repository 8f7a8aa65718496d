"""An object -> what it consists of: the key that it gives itself, or the fields of a record."""

import dataclasses
import enum
import functools
import sys
from collections.abc import Callable
from typing import Any, Final

from memocache import _canonical_arrays
from memocache._names import own_module

__all__ = ["NOTHING", "Parts", "has_own_key", "own_key", "parts"]

NOTHING: Final = object()

Parts = dict[str, object]


def own_key(value: Any, kind: type) -> object:
    """Return what the `__cache_key__` of *value* gives, or NOTHING if it has none."""
    found, is_of_class = _declared(value, kind)
    if is_of_class and hasattr(type(found), "__get__"):
        found = found.__get__(value, kind)
    if found is None:  # also as with __hash__ = None: not even what it would inherit
        return NOTHING
    return found() if callable(found) else found


def has_own_key(value: Any) -> bool:
    """Return whether *value* has a `__cache_key__`, without asking for it."""
    return _declared(value, type(value))[0] is not None


def _declared(value: Any, kind: type) -> tuple[Any, bool]:
    """Return the `__cache_key__` of *value* or None, and whether it is its class's.

    Not by getattr: proxies and mocks say that they have everything, and a class has what its instances have.
    """
    held = {} if issubclass(kind, type) else getattr(value, "__dict__", {})
    if "__cache_key__" in held:
        return held["__cache_key__"], False
    owner = next((base for base in kind.__mro__ if "__cache_key__" in vars(base)), object)
    return vars(owner).get("__cache_key__"), True


def parts(value: Any, kind: Any, plain_base: Callable[[type], type | None]) -> Parts | None:
    """Return all that *value* consists of, or None if it is no record of a known sort.

    *plain_base* gives the class of plain values that a class is derived from: no dataclass says all of one.
    """
    if issubclass(kind, enum.Enum):
        return {"value": value._value_} if issubclass(kind, enum.Flag) else {"name": value._name_}
    of_array = _canonical_arrays.parts(value, kind, own_module(kind))
    if of_array is not None:
        return of_array
    if issubclass(kind, tuple):
        names = getattr(kind, "_fields", None)
        if type(names) is not tuple or len(names) != tuple.__len__(value):
            return None
        return dict(zip(names, tuple.__iter__(value), strict=True)) | _added(value, kind, names)
    msgspec = sys.modules.get("msgspec")  # nobody has a Struct without it
    if msgspec is not None and issubclass(kind, msgspec.Struct):
        names = kind.__struct_fields__
    elif type(getattr(kind, "__dataclass_fields__", None)) is dict and plain_base(kind) is None:
        names = tuple(field.name for field in dataclasses.fields(kind))
    else:
        return None
    return {name: getattr(value, name) for name in names if hasattr(value, name)} | _added(value, kind, names)


def _added(value: object, kind: type, names: tuple[str, ...]) -> Parts:
    """Return what a record holds beside the fields called *names*: the cached function can see that, too."""
    state: Any = object.__getstate__(value)
    attributes, slots = state if type(state) is tuple else (state, None)
    held: Parts = {**(attributes or {}), **(slots or {})}
    return {
        name: held[name]
        for name in sorted(held.keys() - set(names))
        if not name.startswith("__")  # such as __orig_class__, which says how a generic was spelt
        and not isinstance(getattr(kind, name, None), functools.cached_property)
    }
