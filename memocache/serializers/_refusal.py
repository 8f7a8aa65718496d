"""Refused: a value that has no form as bytes, and where it sits."""

from collections.abc import Collection

__all__ = ["TOO_DEEP_FOR_THE_STACK", "Refused", "step", "type_name"]

TOO_DEEP_FOR_THE_STACK = "value is nested too deep for what is left of the stack; return flatter data"

_SHOWN_STEPS = 8
_LONGEST_KEY = 30


class Refused(Exception):
    """The value at `path`, counted from the innermost step outwards, has no form as bytes."""

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


def step(container: Collection[object], part: str, index: int) -> str:
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
