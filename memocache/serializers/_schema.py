"""Schema: the whole type of a result in a few bytes: a function whose results have other fields has other entries.

It is a digest of a text that is the same in all processes and versions of Python: of a hint and, where this names
classes with fields, of the names and types of these, and of what those name. Not in it are defaults, the order of
fields, what Annotated adds, and methods. Where a name is not there at run time, its text stands for it.
"""

import enum
import types
import typing
from collections.abc import Iterable, Iterator
from hashlib import blake2b
from typing import Any, Final

from memocache.serializers._records import field_hints, is_registered, name_of

SIZE: Final = 16
DEEPEST: Final = 50  # hints in hints


def schema_digest(hints: Iterable[object]) -> bytes | None:
    """Return the digest of *hints*, which are resolved; None if they name no class with fields."""
    schema = _Schema()
    texts = [schema.text(hint) for hint in hints]
    if not schema.classes:
        return None
    texts += schema.all_fields()
    return blake2b("\n".join(texts).encode("utf-8", "surrogatepass"), digest_size=SIZE).digest()


class _Schema:
    """The text of hints, and the classes with fields that they name, in the order in which they are met."""

    def __init__(self) -> None:
        self.classes: dict[type, dict[str, object]] = {}
        self._open: list[object] = []  # aliases and variables may name themselves

    def all_fields(self) -> Iterator[str]:
        """Return the texts of all classes, those included that are met meanwhile."""
        written = 0
        while written < len(self.classes):
            kind, hints = list(self.classes.items())[written]
            fields = [f"{name}: {self.text(hints[name])}" for name in sorted(hints)]
            yield f"{name_of(kind)}({', '.join(fields)})"
            written += 1

    def text(self, hint: Any) -> str:
        """Return the text of a *hint*."""
        if len(self._open) >= DEEPEST or any(hint is each for each in self._open):
            return _own_name(hint)
        self._open.append(hint)
        try:
            return self._text(hint)
        finally:
            self._open.pop()

    def _text(self, hint: Any) -> str:
        origin, arguments = typing.get_origin(hint), typing.get_args(hint)
        if origin is typing.Annotated:
            return self.text(hint.__origin__)
        if origin is typing.Union or origin is types.UnionType:
            return " | ".join(sorted(map(self.text, arguments)))
        if origin is typing.Literal:
            return f"Literal[{', '.join(sorted(map(_literal_text, arguments)))}]"
        if origin is not None:
            inner = ", ".join(map(self.text, arguments))
            return f"{self.text(origin)}[{inner}]" if inner else self.text(origin)
        if isinstance(hint, type):
            return self._class_text(hint)
        if hint is None:
            return "NoneType"
        if isinstance(hint, str | typing.ForwardRef):
            return repr(hint if isinstance(hint, str) else hint.__forward_arg__)
        if isinstance(hint, list | tuple):  # the arguments of a Callable
            return f"[{', '.join(map(self.text, hint))}]"
        if isinstance(hint, typing.NewType):
            return f"{hint.__name__}={self.text(hint.__supertype__)}"
        if isinstance(hint, typing.TypeVar):
            return f"{hint.__name__}:{self.text((hint.__bound__, *hint.__constraints__))}"
        if type(hint).__name__ == "TypeAliasType":
            try:
                return self.text(hint.__value__)
            except Exception:  # noqa: BLE001 - evaluated only now, and it may be any expression
                return _own_name(hint)
        return _own_name(hint)

    def _class_text(self, kind: type) -> str:
        if is_registered(kind):
            return name_of(kind)
        if kind not in self.classes:
            hints = field_hints(kind)
            if hints is not None:
                self.classes[kind] = hints
        if kind in self.classes or issubclass(kind, enum.Enum):
            return name_of(kind)
        # The standard library's modules are divided differently from version to version.
        return f"{kind.__module__.partition('.')[0].lstrip('_')}.{kind.__qualname__}"


def _own_name(hint: object) -> str:
    name = getattr(hint, "__name__", None)
    return name if isinstance(name, str) else type(hint).__name__


def _literal_text(value: Any) -> str:
    if isinstance(value, enum.Enum):
        return f"{type(value).__qualname__}.{value.name}"
    return f"{type(value).__name__}={value!r}"
