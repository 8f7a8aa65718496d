"""Writes a function's own call: Python itself binds the arguments, and an in-process hit stays within one frame.

For `def area(w, h=2)`, decorated with `@cached`, this is what is written (the names of ours have a prefix that no
parameter has):

    def call(w, h=default_h):
        try:
            entry = table[w, h]
            if entry.serve_from <= clock.time() < entry.serve_until:
                type_w, type_h = entry.arg_types
                if not (type(w) is type_w and type(h) is type_h):
                    raise Exception
                entry.hits += 1
                return entry.value
        except Exception:
            pass
        pending = begin((w, h))
        if pending.ready:
            return pending.value
        try:
            value = function(w, h)
        except BaseException as error:
            if pending.failed(error):
                return pending.value
            raise
        return pending.computed(value)

Where there is a compiler, the lines for a hit are in C (`_hit.c`), and these stand for them:

        value = look(w, h)
        if value is not missing:
            return value

An ordinary function of some parameters needs not even these: it is called in C, and comes here if it is no hit.

A single argument stands in the table as it is, not as a tuple. The bound proxy of a method has a second function, which
takes the instance from that; in the table the instance is the number of its token.

A coroutine function has the lines for a hit, too, and then `return await begin((w, h), partial(function, w, h))`.

What is to be given the arguments as the caller wrote them takes any, has these lines in front of the same, and calls
`function(*args, **kwargs)`:

    number = len(args)
    if number == 2 and not kwargs:
        w, h, = args
    elif number == 1 and not kwargs:
        w, = args
        h = default_h
    else:
        w, h, = read(*args, **kwargs)

Where calls may have more than the signature says, *unnamed* is that: such a call is no hit here, and has a key of its
own.

It computes here, not in the driver of the read-through, so that recursion needs one frame of ours a level.
"""

import functools
import itertools
import linecache
import time
import weakref
from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from inspect import Parameter
from typing import Any, Final, TypeAlias

from memocache._canonical import LEAST_INT, LONG_INT, PLAIN_TYPES, fast_types, has_own_key
from memocache._entry import FastIndex, FastKey
from memocache._instances import Owner, tokens
from memocache._native import hit
from memocache._signature import POSITIONAL, STARS, BelievedSignature, open_parameters

HIT: Final = """\
    try:
        {p}entry = {p}table[{raw}]
        if {p}entry.serve_from <= {p}clock.time() < {p}entry.serve_until{also}:
{types}            {p}entry.hits += 1
            return {p}entry.value
    except {p}Exception:
        pass  # unhashable or not there: its key decides
"""

# The same in C.
LOOK: Final = """\
    {p}value = {also}{p}look({args})
    if {p}value is not {p}missing:
        return {p}value
"""

# The types are compared by identity: a metaclass may have an __eq__ of its own.
TYPES: Final = """\
            {expected} = {p}entry.arg_types
            if not ({same}):
                raise {p}Exception
"""

BODY: Final = """\
{hit}    {p}pending = {p}begin({handed})
    if {p}pending.ready:
        return {p}pending.value
    try:
        {p}value = {p}function({forward})
    except {p}BaseException as {p}error:
        if {p}pending.failed({p}error):
            return {p}pending.value
        raise
    return {p}pending.computed({p}value)

"""

# A coroutine function is computed in another task, so that there is nothing to come back here for.
AWAITED_BODY: Final = """\
{hit}    return await {p}begin({handed})

"""

CALL: Final = """\
{define} {p}call({parameters}):
{body}"""

BOUND: Final = """\
{define} {p}bound({p}proxy{parameters}):
    {first}
{body}"""

READ: Final = """\
    {p}number = {p}len({p}args)
{usual}    {otherwise}{names}, = {p}read(*{p}args, **{p}kwargs)
"""

PICKED: Final = """\
def {p}picked({parameters}):
    return {picked}
"""

MOST_USUAL: Final = 4  # numbers of arguments that are read without another call


class CallCompiler:
    """Writes functions with the parameters of one decorated function, each when it is asked for.

    Args:
        function: what is computed.
        believed: its parameters, and whether it is given the arguments as the caller wrote them.
        names: the parameters that are part of the key.
        begin: starts the read-through for these.
        key_function: the user's; its result is in the key instead.
        fast_index: leads to entries in process, if this function may use it.
        instance: the parameter for the instance of a method, if that is in the key; its token stands in the index.
        is_async: whether *function* is a coroutine function, so that what *begin* returns is awaited.
        hands_over: whether *begin* is to have what computes, for others to call it, or for all of the arguments; for a
            coroutine function always.
        tag_args: the parameters that *begin* is to have for the tags, if there are tags.
        has_unnamed: whether what the signature does not know is part of the key, too.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        believed: BelievedSignature,
        names: tuple[str, ...],
        *,
        begin: Callable[..., Any],
        key_function: Callable[..., Any] | None,
        fast_index: FastIndex | None,
        instance: str | None,
        is_async: bool,
        hands_over: bool,
        tag_args: tuple[str, ...] | None,
        has_unnamed: bool = False,
    ) -> None:
        self._function = function
        self._parameters: Mapping[str, Parameter] = believed.signature.parameters
        p = self._prefix = free_prefix(self._parameters)
        forward = forwarded(self._parameters)
        added: list[str] = []
        if believed.is_open:
            self._parameters, added = open_parameters(believed.signature, p)
        has_unnamed = has_unnamed and bool(added)
        self._unnamed = f" + ({as_tuple(added)} if {' or '.join(added)} else ())" if has_unnamed else ""
        self._key_args = f"({p}key_function({forward}),)" if key_function else as_tuple(names)
        self._tag_args = as_tuple(tag_args or ())
        lines = "" if fast_index is None else _hit(p, names, instance, has_unnamed=has_unnamed)
        self._fast_index, self._names = fast_index, names
        self._instance_at = names.index(instance) if instance in names else -1
        self._is_async, self._is_served = is_async, False
        self._define = "async def" if is_async else "def"
        handed = self._key_args
        self._as_written = believed.as_written
        if believed.as_written:
            known = {name: each for name, each in self._parameters.items() if name not in added}
            self._read, reading = self._reading(known, has_unnamed=has_unnamed)
            lines = reading + lines
            forward = f"*{p}args, **{p}kwargs"
            if has_unnamed:
                handed += f" + {p}unnamed"
        if is_async or hands_over:
            handed += f", {p}partial({p}function{forward and ', '}{forward})"
        if tag_args is not None:
            handed += f", tag_args={self._tag_args}"
        self._hit = lines
        self._body = (AWAITED_BODY if is_async else BODY).format(p=p, hit=lines, handed=handed, forward=forward)
        self._variables = {
            **{p + name: value for name, value in self._hit_variables().items()},
            f"{p}begin": begin,
            f"{p}function": function,
            f"{p}partial": functools.partial,
            f"{p}len": len,
            f"{p}key_function": key_function,
            f"{p}BaseException": BaseException,
            **{f"{p}default_{each.name}": each.default for each in self._parameters.values()},
        }

    def _hit_variables(self) -> dict[str, Any]:
        """Return what the lines for a hit use, without the prefix."""
        if self._fast_index is None:
            return {}
        table = self._fast_index.table
        if hit is not None:
            return {"look": hit.lookup(table, tokens, self._instance_at), "missing": hit.missing}
        return {"table": table, "clock": time, "tokens": tokens, "id": id, "type": type, "Exception": Exception}

    def serve(self, function: Any) -> None:
        """Let the cached *function* serve its hits in C, if all that its calls may be is known there."""
        parameters = list(self._parameters.values())
        kinds = [each.kind for each in parameters]
        if (
            self._fast_index is None
            or self._is_async
            or self._as_written
            or self._names != tuple(self._parameters)
            or len(parameters) > hit.MOST_PARAMETERS
            or not STARS.keys().isdisjoint(kinds)
        ):
            return
        hit.serve(
            function,
            self._fast_index.table,
            self._names,
            tuple(hit.missing if each.default is each.empty else each.default for each in parameters),
            kinds.count(Parameter.POSITIONAL_ONLY),
            len(kinds) - kinds.count(Parameter.KEYWORD_ONLY),
            self._instance_at,
            tokens,
        )
        self._is_served = True

    def compute_with(self, function: Callable[..., Any]) -> None:
        """Let what is written here call *function* from now on, also what has been written."""
        self._variables[f"{self._prefix}function"] = function

    def call(self) -> Callable[..., Any]:
        """Return the function's own call; without the lines for a hit, if these are served before it."""
        body = self._body.replace(self._hit, "", 1) if self._is_served else self._body
        return self._written_call("call", CALL, body, parameters=self._call_parameters(self._parameters))

    def bound(self) -> Callable[..., Any] | None:
        """Return the call of a bound method, which takes its proxy, not the instance; None if there can be none."""
        first, *others = self._parameters.values() if self._parameters else (None,)
        if first is None or first.kind not in POSITIONAL:
            return None
        p = self._prefix
        rest = self._call_parameters({each.name: each for each in others})
        instance = f"{first.name} = {p}proxy._self_instance"
        if self._as_written:
            rest, instance = f"/, {rest}", f"{p}args = ({p}proxy._self_instance, *{p}args)"
        return self._written_call("bound", BOUND, self._body, parameters=rest and f", {rest}", first=instance)

    def _written_call(self, name: str, template: str, body: str, **parts: str) -> Callable[..., Any]:
        if self._as_written:
            self._variables[f"{self._prefix}read"] = self._picked(self._read)
        return self._written(name, template, body=body, **parts)

    def key_args(self) -> Callable[..., tuple[object, ...]]:
        """Return a function that binds a call and returns its arguments in the key, or the user function's result."""
        return self._picked(self._key_args + self._unnamed)

    def tag_args(self) -> Callable[..., tuple[object, ...]]:
        """Return a function that binds a call and returns the arguments that its tags name."""
        return self._picked(self._tag_args)

    def _picked(self, picked: str) -> Callable[..., tuple[object, ...]]:
        parameters = declared(self._parameters, self._prefix)
        return self._written("picked", PICKED, parameters=parameters, picked=picked)

    def _call_parameters(self, parameters: Mapping[str, Parameter]) -> str:
        p = self._prefix
        return f"*{p}args, **{p}kwargs" if self._as_written else declared(parameters, p)

    def _reading(self, known: Mapping[str, Parameter], *, has_unnamed: bool) -> tuple[str, str]:
        """Return a tuple of the *known* parameters, and the lines that find them in what the caller wrote."""
        p = self._prefix
        names = [*known, f"{p}unnamed"] if has_unnamed else list(known)
        read = as_tuple([*known, self._unnamed.removeprefix(" + ")] if has_unnamed else names)
        usual, word = "", "if"
        are_positional = known and all(each.kind in POSITIONAL for each in known.values())
        for number in range(len(known), 0, -1)[:MOST_USUAL] if are_positional else ():
            left_out = list(known.values())[number:]
            if any(each.default is each.empty for each in left_out):
                break
            lines = [
                f"    {word} {p}number == {number} and not {p}kwargs:",
                f"        {', '.join(names[:number])}, = {p}args",
                *(f"        {each.name} = {p}default_{each.name}" for each in left_out),
                *([f"        {p}unnamed = ()"] if has_unnamed else ()),
            ]
            usual += "\n".join(lines) + "\n"
            word = "elif"
        otherwise = "else:\n        " if usual else ""
        return read, READ.format(p=p, usual=usual, otherwise=otherwise, names=", ".join(names)) if names else ""

    def _written(self, name: str, template: str, **parts: str) -> Callable[..., Any]:
        source = template.format(p=self._prefix, define=self._define, **parts)
        return compile_function(source, self._prefix + name, self._variables, self._function)


def _hit(p: str, names: tuple[str, ...], instance: str | None, *, has_unnamed: bool) -> str:
    """Return the lines that serve a hit, for the parameters *names*."""
    if hit is not None:
        also = f"{p}missing if {p}unnamed else " if has_unnamed else ""
        return LOOK.format(p=p, also=also, args=", ".join(names))
    raw = [f"{p}tokens[{p}id({each})]" if each == instance else each for each in names]
    typed = [each for each in names if each != instance]
    types = ""
    also = f" and not {p}unnamed" if has_unnamed else ""
    if len(typed) == 1:
        also += f" and {p}type({typed[0]}) is {p}entry.arg_types"
    elif typed:
        types = TYPES.format(
            p=p,
            expected=", ".join(f"{p}type_{each}" for each in typed),
            same=" and ".join(f"{p}type({each}) is {p}type_{each}" for each in typed),
        )
    return HIT.format(p=p, raw=raw[0] if len(raw) == 1 else as_tuple(raw), also=also, types=types)


FastKeyMaker: TypeAlias = Callable[[tuple[Any, ...]], "FastKey | None"]
"""Takes the arguments in a key; returns what makes the next call with these find the entry, or None."""


def fast_key_maker(
    fast_index: FastIndex | None, number: int, instance_at: int | None, owner: Owner, *, is_open: bool = False
) -> FastKeyMaker:
    """Return the maker of the keys in *fast_index* of a function, which has *number* arguments in its keys.

    What it makes is written as the function's own call writes it: one argument alone and not as a tuple, with its type;
    an instance as its token, and no type. What has more than that is not found there, where calls are *is_open*.
    """
    if fast_index is None:
        return lambda key_args: None
    if is_open:
        usual = fast_key_maker(fast_index, number, instance_at, owner)
        return lambda key_args: usual(key_args) if len(key_args) == number else None
    if instance_at is not None:
        return _of_method(fast_index, instance_at, owner)
    return _of_one(fast_index) if number == 1 else _of_some(fast_index)


def _of_one(fast_index: FastIndex) -> FastKeyMaker:
    least = LEAST_INT if PLAIN_TYPES else LONG_INT

    def fast_key(key_args: tuple[Any, ...]) -> FastKey | None:
        (value,) = key_args
        if type(value) is int and least < value < LONG_INT:  # as fast_types, without its frames
            return fast_index, value, int
        kind = fast_types(key_args)
        return None if kind is None else (fast_index, value, kind)

    return fast_key


def _of_some(fast_index: FastIndex) -> FastKeyMaker:
    known: dict[object, object] = {}  # one tuple of types for all entries

    def fast_key(key_args: tuple[Any, ...]) -> FastKey | None:
        types = fast_types(key_args)
        return None if types is None else (fast_index, key_args, known.setdefault(types, types))

    return fast_key


def _of_method(fast_index: FastIndex, at: int, owner: Owner) -> FastKeyMaker:
    known: dict[object, object] = {}

    def fast_key(key_args: tuple[Any, ...]) -> FastKey | None:
        instance = key_args[at]
        token = tokens.get(id(instance))
        if token is None or not owner.owns(instance):  # a token that it has as an instance of other methods
            return None
        if has_own_key(instance):  # what that says may change, while a token does not
            return None
        types = fast_types(key_args[:at] + key_args[at + 1 :])
        if types is None:
            return None
        raw: Hashable = (*key_args[:at], token, *key_args[at + 1 :]) if len(key_args) > 1 else token
        return fast_index, raw, known.setdefault(types, types)

    return fast_key


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


_files: Final = itertools.count(1)
# The files of functions that are gone. Their lines are not taken away by the garbage collector itself, since that may
# run in the middle of somebody's going through the lines.
_gone: Final[list[str]] = []


def compile_function(source: str, name: str, variables: dict[str, Any], like: Callable[..., Any]) -> Callable[..., Any]:
    """Return what *source* defines as *name*, with *variables* as its globals; it goes by the name of *like*."""
    title = str(getattr(like, "__name__", "call"))
    path = str(getattr(like, "__qualname__", title))
    filename = f"<memocache {getattr(like, '__module__', '')}.{path} {next(_files)}>"
    made: dict[str, Any] = {}  # not in *variables*: another thread may be at the same
    exec(compile(source, filename, "exec"), variables, made)  # noqa: S102 - as dataclasses write __init__
    written = made[name]
    with suppress(IndexError):  # another thread has taken the last
        while _gone:
            linecache.cache.pop(_gone.pop(), None)
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    weakref.finalize(written, _gone.append, filename).atexit = False
    # So that errors about arguments have the function's name.
    written.__name__, written.__qualname__ = title, path
    written.__code__ = written.__code__.replace(co_name=title, co_qualname=path)
    written.__module__ = getattr(like, "__module__", None) or written.__module__
    return written  # type: ignore[no-any-return]
