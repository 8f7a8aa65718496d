"""JSONSerializer: for caches that programs in other languages read, too."""

from collections.abc import Collection, Iterable
from math import isfinite
from types import NoneType
from typing import Any, Final

import msgspec

from memocache.errors import SerializationError
from memocache.serializers.base import TOO_DEEP_FOR_THE_STACK, NoByteForm, Serializer, path_step

__all__ = ["JSONSerializer"]

_PLAIN: Final = frozenset({NoneType, bool, str})
_REMEDY: Final = "return JSON's own types, or use SafeSerializer()"
_MAX_DEPTH: Final = 100
_MOST_INT_BITS: Final = 2048  # Python reads back 640 digits, whatever sys.set_int_max_str_digits says

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class JSONSerializer(Serializer):
    """A serializer for what JSON can say: None, bool, int, finite float, str, list, and dict with keys of type str.

    Whatever would come back as something else is refused: tuples, other keys, NaN, subclasses.

    Example:
        >>> serializer = JSONSerializer()
        >>> serializer.dumps({"rows": [1, 2.5, None]}, b"")
        b'{"rows":[1,2.5,null]}'
        >>> serializer.loads(b'{"rows":[1,2.5,null]}', b"")
        {'rows': [1, 2.5, None]}
    """

    codec = 2

    def __repr__(self) -> str:
        return "JSONSerializer()"

    def dumps(self, value: object, context: bytes) -> bytes:
        """Return *value* as JSON; *context* is not looked at."""
        try:
            return _write(value)
        except RecursionError:
            pass
        raise SerializationError(TOO_DEEP_FOR_THE_STACK)

    def loads(self, data: bytes, context: bytes) -> object:
        """Return the value that *data* stands for; *context* is not looked at."""
        try:
            return _decode(data)
        except Exception as error:  # noqa: BLE001 - anybody may have written the bytes, so anything may go wrong
            raise SerializationError(f"the bytes are no JSON, {type(error).__name__}") from None


def _write(value: object) -> bytes:
    try:
        _check(value, _PLAIN, _MAX_DEPTH)
        try:
            return _encode(value)
        except UnicodeEncodeError:
            _check(value, _PLAIN - {str}, _MAX_DEPTH)
            raise
    except RecursionError:
        raise
    except NoByteForm as refused:
        problem = str(refused)
    except Exception as error:  # noqa: BLE001 - such as a dict that another thread changes
        problem = f"value could not be read, {type(error).__name__}; {_REMEDY}"
    raise SerializationError(problem)


def _check(value: Any, plain: frozenset[type], left: int) -> None:
    """Raise NoByteForm unless *value* comes back from JSON as it is; what is of a *plain* type always does."""
    kind = type(value)
    if kind is list or kind is dict:
        if not left:
            raise NoByteForm(kind, f"lies more than {_MAX_DEPTH} levels deep or in a cycle", "return flatter data")
        if kind is list:
            _check_each(value, value, "item", plain, left - 1)
        else:
            _check_each(value, value, "key", plain, left - 1)
            _check_each(value.values(), value, "value", plain, left - 1)
    elif kind is int:
        if value.bit_length() > _MOST_INT_BITS:
            raise NoByteForm(kind, f"is longer than {_MOST_INT_BITS} bits here", _REMEDY)
    elif kind is float:
        if not isfinite(value):
            raise NoByteForm(kind, "is not finite here, and JSON has no word for that", _REMEDY)
    elif kind is str and kind not in plain:
        _check_text(value)
    elif kind not in plain:
        raise NoByteForm(kind, "would not come back from JSON as it is", _REMEDY)


def _check_each(
    parts: Iterable[object], container: Collection[object], part: str, plain: frozenset[type], left: int
) -> None:
    index = 0
    try:
        for index, value in enumerate(parts):  # noqa: B007 - the refusal tells it
            if part == "key" and type(value) is not str:
                raise NoByteForm(type(value), "would not come back from JSON as a key", _REMEDY)
            if type(value) not in plain:
                _check(value, plain, left)
    except NoByteForm as refused:
        refused.path.append(path_step(container, part, index))
        raise


def _check_text(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise NoByteForm(str, "has a lone surrogate here, and is no text", _REMEDY) from None
