"""SafeSerializer: the default, for values of known types."""

from collections.abc import Iterable
from typing import Final

from memocache.errors import ConfigurationError, SerializationError
from memocache.serializers._naming import types_in
from memocache.serializers._reading import Reader
from memocache.serializers._refusal import TOO_DEEP_FOR_THE_STACK, Refused
from memocache.serializers._scalars import CAREFUL_WRITERS, WRITERS
from memocache.serializers._shapes import Shape, shape_of
from memocache.serializers._writing import Writer
from memocache.serializers.base import Serializer

__all__ = ["SafeSerializer"]

_DEEPEST: Final = 500
_LEVELS_OF_A_SCALAR: Final = 1


class SafeSerializer(Serializer):
    """Keeps plain values and records, each with its exact type, and executes nothing.

    Plain are None, bool, int, float, complex, str, bytes, bytearray, list, tuple, dict with any keys, set,
    frozenset, date, time, datetime with its zone, timedelta, timezone, ZoneInfo, Decimal, Fraction and UUID.
    Records are enum members, dataclasses, NamedTuples and msgspec Structs: all are written, and only those
    are made from bytes whose type was named. A dataclass comes back with the fields it had, without
    `__init__` and `__post_init__`; a Struct's `__post_init__` runs, as msgspec cannot do without, but does not
    change the fields. A type whose fields have changed since is a miss. Subclasses of the plain types and all
    other objects are refused. What appears twice in a value comes back as two equal values.

    Args:
        types: the types to make from bytes, as classes or annotations. A decorated function's return
            annotation adds to them.
        max_depth: so many containers may lie in each other.

    Example:
        >>> from typing import NamedTuple
        >>> class Point(NamedTuple):
        ...     x: int
        ...     y: int
        >>> serializer = SafeSerializer(types=[Point])
        >>> data = serializer.dumps({"at": Point(1, 2), "seen": {(3, 4)}}, b"")
        >>> serializer.loads(data, b"")
        {'at': Point(x=1, y=2), 'seen': {(3, 4)}}
    """

    codec = 1

    def __init__(self, types: Iterable[object] = (), *, max_depth: int = 100) -> None:
        if type(max_depth) is not int or not 1 <= max_depth <= _DEEPEST:
            raise ConfigurationError(f"max_depth={max_depth!r} does not work; wanted: 1 to {_DEEPEST}")
        if isinstance(types, type):
            raise ConfigurationError(f"types={types!r} is one type; wanted: several, types=[{types.__name__}]")
        self._named: dict[str, Shape] = {}
        self._quick = Writer(self._named, max_depth, WRITERS)
        self._careful = Writer(self._named, max_depth, CAREFUL_WRITERS)
        self._reader = Reader(self._named, max_depth + _LEVELS_OF_A_SCALAR)
        for given in types:
            if not any(True for _ in types_in(given)):
                raise ConfigurationError(
                    f"types= holds {given!r}, which names no enum, dataclass, NamedTuple or Struct;"
                    " leave it out: nothing else needs naming"
                )
            self.name_types(given)

    def __repr__(self) -> str:
        return f"SafeSerializer(types=[{', '.join(sorted(self._named))}])"

    def name_types(self, *annotations: object) -> None:
        """Let `loads` make instances of the types in *annotations*, their arguments and their fields.

        Of two types with one name the one named last counts, as it does when a module is loaded again.
        """
        found = [shape for kind in types_in(*annotations) if (shape := shape_of(kind)) is not None]
        # Without a lock: each is one step, and two threads that name the same do no harm.
        self._named.update((shape.name, shape) for shape in found)

    def dumps(self, value: object, context: bytes) -> bytes:
        """Return *value* as bytes; *context* is not looked at."""
        try:
            return self._write(value)
        except RecursionError:
            pass
        raise SerializationError(TOO_DEEP_FOR_THE_STACK)

    def _write(self, value: object) -> bytes:
        try:
            try:
                return self._quick.dumps(value)
            except (OverflowError, UnicodeEncodeError):
                # A long int or a lone surrogate: too rare to look for it in every value.
                return self._careful.dumps(value)
        except RecursionError:
            raise
        except Refused as refused:
            problem = str(refused)
        except Exception as error:  # noqa: BLE001 - attributes of the user's types may raise anything
            problem = f"value could not be read, {type(error).__name__}; return plain data"
        raise SerializationError(problem)

    def loads(self, data: bytes, context: bytes) -> object:
        """Return the value that *data* stands for; *context* is not looked at."""
        try:
            return self._reader.loads(data)
        except SerializationError:
            raise
        except Exception as error:  # noqa: BLE001 - the bytes may be anybody's
            raise SerializationError(f"the bytes are no value, {type(error).__name__}") from None
