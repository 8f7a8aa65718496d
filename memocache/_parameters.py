"""The parameters of a function as they stand in source code: declared, handed on, in a tuple."""

from collections.abc import Mapping
from inspect import Parameter
from typing import Any, Final

__all__ = ["as_tuple", "declared", "forwarded", "free_prefix"]

STARS: Final[dict[Any, str]] = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}


def free_prefix(parameters: Mapping[str, Parameter]) -> str:
    prefix = "_memocache_"
    while any(name.startswith(prefix) for name in parameters):
        prefix += "_"
    return prefix


def declared(parameters: Mapping[str, Parameter], p: str) -> str:
    """Return the parameters as they stand in a `def`, defaults by reference."""
    parts: list[str] = []
    kinds = [parameter.kind for parameter in parameters.values()]
    for position, parameter in enumerate(parameters.values()):
        if parameter.kind is Parameter.KEYWORD_ONLY and Parameter.VAR_POSITIONAL not in kinds and "*" not in parts:
            parts.append("*")
        star = STARS.get(parameter.kind, "")
        has_default = parameter.default is not Parameter.empty
        parts.append(f"{star}{parameter.name}" + (f"={p}default_{parameter.name}" if has_default else ""))
        if parameter.kind is Parameter.POSITIONAL_ONLY and kinds[position + 1 : position + 2] != [parameter.kind]:
            parts.append("/")
    return ", ".join(parts)


def forwarded(parameters: Mapping[str, Parameter]) -> str:
    """Return the arguments that hand these parameters on."""
    forms: dict[Any, str] = {
        Parameter.VAR_POSITIONAL: "*{0}",
        Parameter.VAR_KEYWORD: "**{0}",
        Parameter.KEYWORD_ONLY: "{0}={0}",
    }
    return ", ".join(forms.get(each.kind, "{0}").format(each.name) for each in parameters.values())


def as_tuple(parts: "list[str] | tuple[str, ...]") -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"
