"""Writer: replaces in a value what msgpack cannot say exactly."""

import io
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from types import NoneType
from typing import Any, Final

from msgspec.msgpack import Encoder, Ext

from memocache.serializers import _tags
from memocache.serializers._refusal import Refused, step
from memocache.serializers._scalars import WRITERS, Writers, stand_in
from memocache.serializers._shapes import Shape, shape_of

__all__ = ["Writer"]

_PLAIN: Final = frozenset({NoneType, bool, int, float, str, bytes})
_encode = Encoder().encode


class Writer:
    """Turns a value into one that msgspec writes without loss, with *scalars* for the types without parts.

    What needs no replacing is not copied, and looked at in C: that is most of most values.
    """

    def __init__(self, named: Mapping[str, Shape], max_depth: int, scalars: Writers) -> None:
        self._named = named
        self._max_depth = max_depth
        self._scalars = scalars
        self._plain = _PLAIN - scalars.keys()
        self._containers: dict[type, Callable[[Any, int], object]] = {
            list: self._list,
            dict: self._dict,
            tuple: lambda value, left: self._sequence(_tags.TUPLE, "item", value, left),
            set: lambda value, left: self._sequence(_tags.SET, "member", value, left),
            frozenset: lambda value, left: self._sequence(_tags.FROZENSET, "member", value, left),
        }

    def dumps(self, value: object) -> bytes:
        """Return *value* as msgpack. Raises Refused, or what msgspec and the user's attributes raise."""
        return _encode(self._convert(value, self._max_depth))

    def _convert(self, value: object, left: int) -> object:
        kind = type(value)
        container = self._containers.get(kind)
        if container is not None:
            if not left:
                raise self._too_deep(kind)
            return container(value, left - 1)
        if kind in self._plain:
            return value
        scalar = self._scalars.get(kind) or self._scalars.get(stand_in(kind))
        if scalar is not None:
            return scalar(value)
        if not left:
            raise self._too_deep(kind)
        return self._shaped(kind, value, left - 1)

    def _list(self, value: list[object], left: int) -> object:
        if self._plain.issuperset(map(type, value)):
            return value
        return self._each(value, value, "item", left)

    def _sequence(self, tag: int, part: str, value: Collection[object], left: int) -> Ext:
        return Ext(tag, _encode(self._each(value, value, part, left)))

    def _dict(self, value: dict[object, object], left: int) -> object:
        plain = self._plain
        if not plain.issuperset(map(type, value)):
            return self._any_dict(value, left)
        if plain.issuperset(map(type, value.values())):
            return value
        return self._values(value, "value", left)

    def _any_dict(self, value: dict[object, object], left: int) -> object:
        keys = self._each(value, value, "key", left)
        values = self._each(value.values(), value, "value", left)
        if _PLAIN.issuperset(map(type, keys)):
            return dict(zip(keys, values, strict=True))
        return Ext(_tags.PAIRS, _encode([side for pair in zip(keys, values, strict=True) for side in pair]))

    def _each(self, parts: Iterable[object], container: Collection[object], part: str, left: int) -> list[object]:
        plain, convert = self._plain, self._convert
        converted: list[object] = []
        try:
            for value in parts:
                converted.append(value if type(value) in plain else convert(value, left))
        except Refused as refused:
            refused.path.append(step(container, part, len(converted)))
            raise
        return converted

    def _values(self, whole: dict[Any, object], part: str, left: int) -> dict[Any, object]:
        """Return *whole* with its values converted; a copy only if that changes any."""
        plain, convert = self._plain, self._convert
        result = whole
        try:
            for key, value in whole.items():
                if type(value) not in plain:
                    converted = convert(value, left)
                    if converted is not value:
                        if result is whole:
                            result = whole.copy()
                        result[key] = converted
        except Refused as refused:
            refused.path.append(step(whole, part, list(whole).index(key)))
            raise
        return result

    def _shaped(self, kind: type, value: object, left: int) -> object:
        shape = shape_of(kind)
        if shape is None:
            raise Refused(kind, "has no form as bytes", _remedy(kind))
        known = self._named.get(shape.name)
        if known is not None and known.kind is not kind:
            raise Refused(kind, "is another type than the one named by this name", "name each type differently")
        content = shape.take(value)
        if isinstance(content, dict):
            content = self._values(content, "field", left)
        elif type(content) is int:
            content = self._convert(content, left)
        return Ext(_tags.OBJECT, _encode([shape.name, content]))

    def _too_deep(self, kind: type) -> Refused:
        reason = f"lies more than {self._max_depth} levels deep or in a cycle"
        return Refused(kind, reason, "return flatter data, or pass a larger max_depth=")


def _remedy(kind: type) -> str:
    if issubclass(kind, Iterator) and not issubclass(kind, io.IOBase):
        return "return a list instead"
    for base in kind.__mro__[1:]:
        if base in _PLAIN or base in WRITERS or base in (list, dict, tuple, set, frozenset):
            return f"return a plain {base.__name__}, or use PickleSerializer(secret=...)"
    return "return plain data, or use PickleSerializer(secret=...)"
