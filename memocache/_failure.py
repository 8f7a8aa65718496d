"""Failure: what is kept of an exception that a call raised, to raise one like it again."""

from typing import Any, Final, TypeAlias

from memocache._canonical import module_name
from memocache.errors import SerializationError

__all__ = ["Failure", "Plain", "declare"]

Plain: TypeAlias = tuple[str, tuple[Any, ...], dict[str, Any]]
"""A failure as a value that has a form as bytes: the name of the type, the arguments, the attributes."""

_declared: Final[list[type[Exception]]] = []
_by_name: Final[dict[str, type[Exception]]] = {}


class Failure:
    """An exception's type, arguments and attributes: not itself, since its traceback keeps frames alive and grows."""

    __slots__ = ("arguments", "attributes", "kind")

    def __init__(self, kind: type[Exception], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> None:
        self.kind = kind
        self.arguments = arguments
        self.attributes = attributes

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        return cls(type(error), error.args, vars(error).copy())

    def again(self) -> Exception:
        """Return a new exception of the same type, arguments and attributes, that has no traceback yet."""
        try:
            error = self.kind(*self.arguments)
        except Exception:  # noqa: BLE001 - its constructor may take other arguments than those it has
            error = None
        if type(error) is not self.kind or error.args != self.arguments:
            error = self.kind.__new__(self.kind, *self.arguments)
            error.args = self.arguments
        vars(error).update(self.attributes)
        return error

    def plain(self) -> Plain:
        return _name(self.kind), self.arguments, self.attributes

    @classmethod
    def from_plain(cls, plain: object) -> "Failure":
        """Return the failure in *plain*, which anybody may have written; SerializationError if it is none of ours.

        Its type is found among those that functions of this process have declared with `errors=`, and their
        subclasses; nothing is imported.
        """
        if not (isinstance(plain, tuple) and list(map(type, plain)) == [str, tuple, dict]):
            raise SerializationError("what is stored is no exception's type, arguments and attributes")
        name, arguments, attributes = plain
        kind = _found(name)
        if kind is None:
            raise SerializationError(
                f"a call raised {name}, which no errors= of this process names; give all processes the same"
            )
        return cls(kind, arguments, attributes)


def declare(kind: type[Exception]) -> None:
    """Allow exceptions of this *kind*, and of its subclasses, to be made again from what a cache holds."""
    if kind not in _declared:
        _declared.append(kind)


def _name(kind: type) -> str:
    return f"{module_name(kind)}:{kind.__qualname__}"


def _found(name: str) -> type[Exception] | None:
    """Return the declared exception type that goes by *name*; if two do, the first."""
    if name not in _by_name:
        todo = list(_declared)
        while todo:  # every time, since there may be new subclasses
            kind = todo.pop(0)
            _by_name.setdefault(_name(kind), kind)
            todo += type.__subclasses__(kind)
    return _by_name.get(name)
