"""Serializer: the contract of all that make bytes of values; and NoByteForm, a value that has none."""

from abc import ABC, abstractmethod
from collections.abc import Collection

__all__ = ["TOO_DEEP_FOR_THE_STACK", "NoByteForm", "Serializer", "path_step"]

TOO_DEEP_FOR_THE_STACK = "value is nested too deep for what is left of the stack; return flatter data"

_SHOWN_STEPS = 8
_LONGEST_KEY = 30


class Serializer(ABC):
    """The way from values to bytes and back. One instance serves many threads at once.

    Anybody who can write to the cache may have written the bytes, so they are never executed and never decide
    what is imported. Errors name types and places in a value, never a value or a secret, and chain no foreign
    error that might.

    `codec` is a number from 1 to 255 that the caller writes into each entry: bytes of another serializer, or
    of an older form of this one, are a miss. Those below 128 are the package's own, a user's serializer takes
    one from 128.

    *context* is what the bytes belong to (a key, the times of an entry). A serializer that signs binds the
    bytes to it; the others do not look at it.

    Example:
        >>> from memocache.errors import SerializationError
        >>> class Text(Serializer):
        ...     codec = 128
        ...     def dumps(self, value, context):
        ...         if type(value) is not str:
        ...             raise SerializationError(f"value is of type {type(value).__name__}; return a str")
        ...         return value.encode("utf-16")
        ...     def loads(self, data, context):
        ...         try:
        ...             return data.decode("utf-16")
        ...         except UnicodeDecodeError:
        ...             raise SerializationError("these bytes are no text") from None
        >>> Text().loads(Text().dumps("memo", b""), b"")
        'memo'
    """

    codec: int

    @abstractmethod
    def dumps(self, value: object, context: bytes) -> bytes:
        """Return *value* as bytes, from which `loads` makes an equal value of the same types.

        Raises:
            SerializationError: the value has no such form. The message says which type, where inside the
                value, and what to do about it.
        """

    @abstractmethod
    def loads(self, data: bytes, context: bytes) -> object:
        """Return the value that `dumps` made *data* from under this *context*.

        Raises:
            SerializationError: the bytes are no such value. No other exception is raised, whatever the bytes.
        """

    def name_types(self, *annotations: object) -> None:
        """Let `loads` make instances of the types in *annotations*: resolved hints, as `list[Report] | None`.

        All types inside are named, too: arguments of generics, fields of classes. Naming a type twice does nothing.
        For a function without a hint its module is given: what that has a name for may be made, too. A serializer that
        makes no types of the user's ignores this.
        """


class NoByteForm(Exception):
    """A value, at `path`, that has no form as bytes. The innermost step of the path comes first."""

    def __init__(self, kind: type, reason: str, remedy: str) -> None:
        self.kind = kind
        self.reason = reason
        self.remedy = remedy
        self.path: list[str] = []

    def __str__(self) -> str:
        steps = self.path[::-1]
        where = "".join(steps[:_SHOWN_STEPS]) + ("..." if len(steps) > _SHOWN_STEPS else "")
        return f"value{where} is of type {type_name(self.kind)}, which {self.reason}; {self.remedy}"


def type_name(kind: type) -> str:
    """Return the name of *kind* as users write it."""
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"


def path_step(container: Collection[object], part: str, index: int) -> str:
    """Return the step of a path from *container* to the *index*-th of its parts of this kind.

    Keys are data: only those that look like a name in code are shown, the others are counted.
    """
    if part == "item":
        return f"[{index}]"
    if part == "member":
        return "{member}"
    if part == "key":
        return f".keys()[{index}]"
    key = list(container)[index]
    if part == "field":
        return f".{key}"
    if type(key) is str and key.isidentifier() and key.isascii() and len(key) <= _LONGEST_KEY:
        return f"[{key!r}]"
    return f".values()[{index}]"
