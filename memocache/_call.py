"""Writes a function's own call: Python itself binds the arguments, and an in-process hit stays within one frame.

For `def area(w, h=2)`, decorated with `@cached`, this is what is written (the names of ours have a prefix that no
parameter has):

    def area(w, h=default_h):
        try:
            entry = table[w, h]
            if clock.time() < entry.fresh and entry.types == (type(w), type(h)):
                entry.hits += 1
                return entry.value
        except Exception:
            pass
        run = begin((w, h))
        if run.ready:
            return run.value
        try:
            value = function(w, h)
        except BaseException as error:
            run.failed(error)
            raise
        return run.computed(value)

The computation is called from here, not from the driver of the read-through, so that a cached function that calls
itself needs no more than one frame of ours a level.
"""

import itertools
import linecache
import time
from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any, Final, NamedTuple

from memocache._entry import Aliases
from memocache._instances import known_token

__all__ = ["Written", "write"]

_files: Final = itertools.count(1)

HIT: Final = """\
    try:
        {p}entry = {p}table[{raw}]
        if {p}clock.time() < {p}entry.fresh and {p}entry.types == {types}:
            {p}entry.hits += 1
            return {p}entry.value
    except {p}Exception:
        pass  # unhashable or not there: its key decides
"""

CALL: Final = """\
def {name}({parameters}):
{hit}    {p}run = {p}begin({counted})
    if {p}run.ready:
        return {p}run.value
    try:
        {p}value = {p}function({forward})
    except {p}BaseException as {p}error:
        {p}run.failed({p}error)
        raise
    return {p}run.computed({p}value)

def {p}counted({parameters}):
    return {counted}
"""


class Written(NamedTuple):
    """The functions written for one decorated function, both with its own parameters."""

    call: Callable[..., Any]
    counted: Callable[..., tuple[object, ...]]
    """Binds a call and returns the arguments that count, or the result of the user's key function."""


def write(
    function: Callable[..., Any],
    signature: Signature,
    names: tuple[str, ...],
    *,
    begin: Callable[[tuple[object, ...]], Any],
    key_function: Callable[..., Any] | None,
    aliases: Aliases | None,
    instance: str | None,
) -> Written:
    """Write the call of *function*.

    Args:
        function: what is computed.
        signature: its parameters.
        names: the parameters that count.
        begin: starts the read-through for these.
        key_function: the user's; what it returns counts instead.
        aliases: the shortcut to in-process entries, if this function may use it.
        instance: the parameter that is the instance of a method, if it counts; it stands in the aliases as its token.
    """
    parameters = signature.parameters
    p = _prefix(parameters)
    name = function.__name__ if getattr(function, "__name__", "").isidentifier() else "call"
    forward = _forwarded(parameters)
    counted = f"({p}key_function({forward}),)" if key_function else _tuple(names)
    hit = ""
    if aliases is not None:
        raw = [f"{p}token({each})" if each == instance else each for each in names]
        types = [f"{p}type({each})" for each in names if each != instance]
        hit = HIT.format(p=p, raw=_tuple(raw), types=_tuple(types))
    source = CALL.format(p=p, name=name, parameters=_declared(parameters, p), hit=hit, counted=counted, forward=forward)
    variables = {
        f"{p}table": aliases.table if aliases is not None else None,
        f"{p}clock": time,
        f"{p}token": known_token,
        f"{p}type": type,
        f"{p}begin": begin,
        f"{p}function": function,
        f"{p}key_function": key_function,
        f"{p}Exception": Exception,
        f"{p}BaseException": BaseException,
    }
    for parameter in parameters.values():
        if parameter.default is not Parameter.empty:
            variables[f"{p}default_{parameter.name}"] = parameter.default
    _run(source, variables, function)
    return Written(_dressed(variables[name], function), _dressed(variables[f"{p}counted"], function))


def _prefix(parameters: Any) -> str:
    prefix = "_memocache_"
    while any(name.startswith(prefix) for name in parameters):
        prefix += "_"
    return prefix


def _declared(parameters: Any, p: str) -> str:
    """Return the parameters as they stand in a `def`, defaults by reference."""
    parts: list[str] = []
    kinds = [parameter.kind for parameter in parameters.values()]
    for position, parameter in enumerate(parameters.values()):
        if parameter.kind is Parameter.KEYWORD_ONLY and Parameter.VAR_POSITIONAL not in kinds and "*" not in parts:
            parts.append("*")
        star = {Parameter.VAR_POSITIONAL: "*", Parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        has_default = parameter.default is not Parameter.empty
        parts.append(f"{star}{parameter.name}" + (f"={p}default_{parameter.name}" if has_default else ""))
        if parameter.kind is Parameter.POSITIONAL_ONLY and kinds[position + 1 : position + 2] != [parameter.kind]:
            parts.append("/")
    return ", ".join(parts)


def _forwarded(parameters: Any) -> str:
    """Return the arguments that hand these parameters on."""
    forms = {
        Parameter.VAR_POSITIONAL: "*{0}",
        Parameter.VAR_KEYWORD: "**{0}",
        Parameter.KEYWORD_ONLY: "{0}={0}",
    }
    return ", ".join(forms.get(each.kind, "{0}").format(each.name) for each in parameters.values())


def _tuple(parts: "list[str] | tuple[str, ...]") -> str:
    return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})"


def _run(source: str, variables: dict[str, Any], function: Callable[..., Any]) -> None:
    path = f"{getattr(function, '__module__', '')}.{getattr(function, '__qualname__', 'call')}"
    filename = f"<memocache {path} {next(_files)}>"
    # So that tracebacks and debuggers show the lines.
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    exec(compile(source, filename, "exec"), variables)  # noqa: S102 - as dataclasses write __init__


def _dressed(written: Any, function: Callable[..., Any]) -> Any:
    """Give *written* the names of *function*, which its errors about arguments show."""
    written.__name__ = getattr(function, "__name__", written.__name__)
    written.__qualname__ = getattr(function, "__qualname__", written.__name__)
    written.__module__ = getattr(function, "__module__", None) or written.__module__
    return written
