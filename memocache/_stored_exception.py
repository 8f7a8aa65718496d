"""StoredException: an exception that a call raised, in the form in which caches remember it."""

import builtins
from typing import Any, Final, TypeAlias

from memocache._canonical import module_name
from memocache.errors import SerializationError

__all__ = ["StoredException", "allow_exception"]

PlainException: TypeAlias = tuple[str, tuple[Any, ...], dict[str, Any]]
"""An exception as a value that has a form as bytes: the name of its type, its arguments, its attributes."""

_allowed: Final[list[type[Exception]]] = []
_by_name: Final[dict[str, type[Exception]]] = {}


class StoredException:
    """An exception that a call raised, as its type, arguments and attributes.

    Not the exception itself: its traceback keeps frames alive, and grows each time it is raised.
    """

    __slots__ = ("arguments", "attributes", "is_forgeable", "kind")

    def __init__(
        self,
        kind: type[Exception],
        arguments: tuple[Any, ...],
        attributes: dict[str, Any],
        *,
        is_forgeable: bool = False,
    ) -> None:
        self.kind = kind
        self.arguments = arguments
        self.attributes = attributes
        self.is_forgeable = is_forgeable
        """True if it was read from bytes that anybody may have written: then no code of its type runs to make it."""

    @classmethod
    def of(cls, error: Exception) -> "StoredException":
        return cls(type(error), error.args, _own_notes(vars(error)))

    def rebuild(self) -> Exception:
        """Return a new exception of the same type, arguments and attributes, that has no traceback yet."""
        if self.is_forgeable:
            made = _made_by_python(self.kind, self.arguments)
            vars(made).update(_own_notes(self.attributes))
            return made
        try:
            error = self.kind(*self.arguments)
        except Exception:  # noqa: BLE001 - its constructor may take other arguments than those it has
            error = None
        if type(error) is not self.kind or error.args != self.arguments:
            error = self.kind.__new__(self.kind, *self.arguments)
            error.args = self.arguments
        vars(error).update(_own_notes(self.attributes))
        return error

    def to_plain(self) -> PlainException:
        return _type_name(self.kind), self.arguments, self.attributes

    @classmethod
    def from_plain(cls, plain: object) -> "StoredException":
        """Return the exception in *plain*, which anybody may have written; SerializationError if it is none of ours.

        Its type is one of those that functions of this process name in `errors=`, or a subclass; nothing is imported,
        and neither a constructor nor a destructor of such a class runs.
        """
        if not (isinstance(plain, tuple) and list(map(type, plain)) == [str, tuple, dict]):
            raise SerializationError("what is stored is no exception's type, arguments and attributes")
        name, arguments, attributes = plain
        kind = _find_allowed(name)
        if kind is None:
            raise SerializationError(
                f"a call raised {name}, which no errors= of this process names; give all processes the same"
            )
        if hasattr(kind, "__del__"):
            raise SerializationError(f"{name} has a destructor, which would run on whatever the bytes say")
        stored = cls(kind, arguments, attributes, is_forgeable=True)
        try:
            stored.rebuild()
        except Exception:  # noqa: BLE001 - whatever Python has against arguments that it never gave
            raise SerializationError(f"what is stored is no {name}: its arguments cannot be so") from None
        return stored


def _made_by_python(kind: type[Exception], arguments: tuple[Any, ...]) -> Exception:
    """Return an exception of this *kind* as the built-in type below it makes one; no other constructor runs."""
    built_in: type = kind
    while built_in.__module__ != "builtins" or getattr(builtins, built_in.__name__, None) is not built_in:
        built_in = built_in.__base__ or object
    error: Exception = built_in.__new__(kind, *arguments)
    initialize: Any = built_in.__init__
    initialize(error, *arguments)  # some keep what they are given, such as OSError its number
    return error


def _own_notes(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of *attributes* with a list of notes of its own: what one caller adds is not for the next."""
    notes = attributes.get("__notes__")
    return attributes.copy() if notes is None else {**attributes, "__notes__": list(notes)}


def allow_exception(kind: type[Exception]) -> None:
    """Allow exceptions of this *kind*, and of its subclasses, to be made again from what a cache holds."""
    if kind not in _allowed:
        _allowed.append(kind)


def _find_allowed(name: str) -> type[Exception] | None:
    """Return the allowed exception type that goes by *name*; if two do, the first."""
    if name not in _by_name:
        todo = list(_allowed)
        while todo:  # every time, since there may be new subclasses
            kind = todo.pop(0)
            _by_name.setdefault(_type_name(kind), kind)
            todo += type.__subclasses__(kind)
    return _by_name.get(name)


def _type_name(kind: type) -> str:
    return f"{module_name(kind)}:{kind.__qualname__}"
