"""Reader: from msgpack to the value, making only what is safe to make."""

import re
from collections.abc import Mapping
from typing import Any

from msgspec.msgpack import Decoder

from memocache.errors import SerializationError
from memocache.serializers import _tags
from memocache.serializers._scalars import READERS, Readers
from memocache.serializers._shapes import Misfit, Shape

__all__ = ["Reader"]

_TYPE_NAME = re.compile(r"[\w.<>]{1,200}")


class Reader:
    """Reads msgpack in which marked values may be nested *levels* deep.

    msgspec reads everything plain by itself and calls back for what is marked. What a marked value holds is
    read by the next reader in a chain that ends: bytes that nest without end meet that end, not the end of
    the stack.
    """

    def __init__(self, named: Mapping[str, Shape], levels: int) -> None:
        self._named = named
        self._levels = levels
        self._readers = READERS
        self.loads = Decoder(ext_hook=self._read).decode

    def _read(self, tag: int, data: memoryview) -> object:
        reader = self._readers.get(tag)
        if reader is None:
            self._readers = readers = self._with_containers()
            reader = readers.get(tag)
            if reader is None:
                raise SerializationError("the bytes hold a mark that means nothing here")
        return reader(data)

    def _with_containers(self) -> Readers:
        # Made when first needed, and by two threads at once to no harm.
        if not self._levels:
            raise SerializationError("the bytes hold values nested too deep")
        inner = Reader(self._named, self._levels - 1)
        hook = inner._read
        decode_list = Decoder(list[Any], ext_hook=hook).decode
        decode_object = Decoder(tuple[str, Any], ext_hook=hook).decode
        return READERS | {
            _tags.TUPLE: Decoder(tuple[Any, ...], ext_hook=hook).decode,
            _tags.SET: Decoder(set[Any], ext_hook=hook).decode,
            _tags.FROZENSET: Decoder(frozenset[Any], ext_hook=hook).decode,
            _tags.PAIRS: lambda data: _pairs(decode_list(data)),
            _tags.OBJECT: lambda data: self._object(*decode_object(data)),
        }

    def _object(self, name: str, content: object) -> object:
        shape = self._named.get(name)
        if shape is None:
            raise SerializationError(_unnamed(name))
        try:
            return shape.make(content)
        except Misfit as misfit:
            raise SerializationError(f"the bytes hold {name} of another shape: {misfit}") from None


def _unnamed(name: str) -> str:
    if not _TYPE_NAME.fullmatch(name):
        return "the bytes hold a type with an impossible name"
    return (
        f"the bytes hold {name}, which was not named; annotate the function's return type with it,"
        f" or pass types=[{name.rpartition('.')[2]}]"
    )


def _pairs(sides: list[Any]) -> dict[Any, object]:
    return dict(zip(sides[::2], sides[1::2], strict=True))
