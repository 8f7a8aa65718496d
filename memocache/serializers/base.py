"""Serializer: what a cache outside the process needs of whoever makes its bytes."""

from abc import ABC, abstractmethod

__all__ = ["Serializer"]


class Serializer(ABC):
    """Turns values into bytes and back. One instance serves many threads at once.

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

        All types inside count: arguments of generics, fields of dataclasses, NamedTuples and Structs. Naming
        a type twice does nothing. A serializer that makes no types of the user's ignores this.
        """
