"""Templates, in which parameters stand by name: "user:{user_id}". No attributes, indices or formats."""

import string
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Final

from memocache.errors import ConfigurationError

__all__ = ["filled", "listed", "named", "plain_text", "shape"]

# Types whose text says which value it is, in every process and version of Python. By name: not all are always imported.
PLAIN: Final = frozenset(
    {
        *((each.__module__, each.__qualname__) for each in (str, int, bool, float, type(None))),
        *(("uuid", "UUID"), ("decimal", "Decimal"), ("datetime", "date"), ("datetime", "datetime")),
    }
)


def named(where: str, template: str, parameters: Iterable[str], more: str = "") -> tuple[str, ...]:
    """Return the parameters that *template* names, in order; ConfigurationError for all else that it has in braces.

    *where* it stands and what to do for *more* than it can are for the message.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise ConfigurationError(f"{where} is no template: {error}") from None
    names = []
    for _, name, form, conversion in parts:
        if name is None:
            continue
        if form or conversion or name not in parameters:
            field = name + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise ConfigurationError(
                f"{where} has {{{field}}}, which is no parameter; there are: {listed(parameters)}. "
                f"A template names parameters only, without attributes, indices or formats{more}"
            )
        names.append(name)
    return tuple(names)


def filled(template: str, texts: Mapping[str, str]) -> str:
    """Return *template* with *texts* in place of the names."""
    parts = string.Formatter().parse(template)
    return "".join(literal + ("" if name is None else texts[name]) for literal, name, _, _ in parts)


def shape(template: str) -> str:
    """Return *template* without the names in it."""
    parts = string.Formatter().parse(template)
    return "".join(literal + ("" if name is None else "{}") for literal, name, _, _ in parts)


def plain_text(value: Any) -> str | None:
    """Return the text of *value*; None if that does not say which value it is."""
    kind = type(value)
    if (kind.__module__, kind.__qualname__) not in PLAIN:
        return None
    if kind is not type(None) and getattr(sys.modules.get(kind.__module__), kind.__qualname__, None) is not kind:
        return None
    return str(value)


def listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names) or "none"
