"""Canonical bytes: the form of a value in a key, the same exactly where type and content are, in every process.

Every value is one frame: a tag, the length of the body, a colon, the body. No tag has a colon or ends with a
digit. The body of a container is the frames of its parts one after the other. So no content can imitate a
boundary, and frames may be joined without a separator. No class's own `__hash__`, `__eq__`, `__repr__` or
`__str__` is called.
"""

import collections
import copy
import dataclasses
import datetime
import enum
import functools
import itertools
import math
import operator
import os
import re
import struct
import sys
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any, Final

from memocache import _canonical_arrays
from memocache._canonical_libraries import (
    USED_UP,
    StandsFor,
    attrs_names,
    class_attribute,
    form_of,
    held_by,
    origin_of,
    remedy_for,
)
from memocache._instances import forget_tokens, token
from memocache.errors import UnkeyableArgument, with_article

DEEPEST: Final = 100  # levels, of three Python frames at most: far below the recursion limit
FOREIGN: Final = sys.stdlib_module_names | {"numpy", "pandas", "polars", "pyarrow"}  # no user gives these a method
LONGEST_NAME: Final = 40
LONG_INT: Final = sys.hash_info.modulus
LEAST_INT: Final = -LONG_INT
MAIN: Final = frozenset({"__main__", "__mp_main__"})  # the second in children that multiprocessing spawns
NO_KEY: Final = object()
POINTER: Final = struct.calcsize("P")
# Of what is looked up as it is; by id, since a metaclass may have a __hash__. None under `python -b`: "a" and b"a" have
# one hash, as 0 and b"" have, and comparing them would raise.
PLAIN_TYPES: Final = frozenset(() if sys.flags.bytes_warning else map(id, (int, str, bytes, bool, float, type(None))))
SHOWN_STEPS: Final = 8  # of the way to a refused value that its message shows


class Level:
    """A level of containers around a value, with a link to the next inner one; and how classes and functions count."""

    __slots__ = ("by_name", "inner")

    def __init__(self, inner: "Level | None", *, by_name: bool) -> None:
        self.inner = inner
        self.by_name = by_name
        """False in process, where a class or a function is that object: another may go by its name later."""


def _outermost(*, by_name: bool) -> Level:
    level = Level(None, by_name=by_name)
    for _ in range(DEEPEST):
        level = Level(level, by_name=by_name)
    return level


EVERYWHERE: Final = _outermost(by_name=True)
IN_PROCESS: Final = _outermost(by_name=False)

Encoder = Callable[[Any, Level], bytes]
Parts = dict[str, object]


def encode(value: object) -> bytes:
    """Return the canonical bytes of *value*: equal exactly where values are the same in type and content.

    Raises:
        UnkeyableArgument: something in *value* has no stable form; the message says what and where.
    """
    try:
        return _ENCODERS.get(id(type(value)), _encode_other)(value, EVERYWHERE)
    except NoStableForm as refusal:
        raise UnkeyableArgument(refusal.message()) from None


def plain_text(values: Sequence[object]) -> str | None:
    """Return the canonical bytes of *values* as text, if they are numbers and short plain texts; else None."""
    text = ""
    for value in values:
        kind = type(value)
        if kind is int:
            digits = "%x" % value  # type: ignore[str-format] # noqa: UP031 - in two thirds of the time of a format
            text += f"int{len(digits)}:{digits}"
        elif kind is str and len(value) <= LONGEST_NAME and value.isascii() and value.isprintable():  # type: ignore[arg-type, attr-defined]
            text += f"str{len(value)}:{value}"  # type: ignore[arg-type]
        else:
            return None
    return text


def encode_in_process(value: object) -> bytes:
    """Return the canonical bytes of *value* in this process alone, where classes and functions need no name."""
    try:
        return _ENCODERS.get(id(type(value)), _encode_other)(value, IN_PROCESS)
    except NoStableForm as refusal:
        raise UnkeyableArgument(refusal.message()) from None


def _frame(tag: bytes, body: bytes) -> bytes:
    return b"%b%d:%b" % (tag, len(body), body)


def _frames(whole: object, parts: Iterable[Any], level: Level, step: Callable[[int], str]) -> list[bytes]:
    """Encode the *parts* of a *whole*; *step* says where in it the nth is."""
    inner = level.inner
    if inner is None:
        raise TooDeep(whole)
    frames: list[bytes] = []
    find = _ENCODERS.get
    try:
        for part in parts:
            frames.append(find(id(type(part)), _encode_other)(part, inner))
    except NoStableForm as refusal:
        refusal.path.append((whole, step(len(frames))))
        raise
    return frames


# Simple values and containers


def _int(value: int, level: Level) -> bytes:
    digits = b"%x" % value  # decimal digits take quadratic time, and Python limits their number
    return b"int%d:%b" % (len(digits), digits)


def _str(value: str, level: Level) -> bytes:
    data = value.encode("utf-8", "surrogatepass")
    return b"str%d:%b" % (len(data), data)


def _decimal(value: Any, level: Level) -> bytes:
    sign, digits, exponent = value.as_tuple()  # str() would depend on the context
    return _frame(b"Decimal", f"{sign} {exponent} ".encode() + bytes(digits))


def _zoneinfo(value: Any, level: Level) -> bytes:
    key = zone_key(value)
    if key is None:
        raise NoStableForm("a ZoneInfo made from a file", "make it by ZoneInfo(key)")
    return _frame(b"ZoneInfo", key.encode())


def zone_key(zone: Any) -> str | None:
    """Return the key that makes the same ZoneInfo; None if it was made from a file, perhaps with a key in its name."""
    try:
        zone.__reduce__()
    except Exception:  # noqa: BLE001 - a PicklingError: only the zone itself knows where it is from
        return None
    key: str = zone.key
    return key


def _as_text(name: str) -> Encoder:
    """Return the encoder of the exact type called *name*, whose str() says all that it is."""
    tag = name.encode()
    return lambda value, level: _frame(tag, str(value).encode("utf-8", "surrogatepass"))


def _sequence(kind: type) -> Encoder:
    tag = kind.__name__.encode()
    step = "[{}]".format

    def encode_sequence(values: Any, level: Level) -> bytes:
        body = b"".join(_frames(values, values, level, step))
        return b"%b%d:%b" % (tag, len(body), body)  # for speed, here and in a few others, without _frame()

    return encode_sequence


def _set(kind: type) -> Encoder:
    tag = kind.__name__.encode()
    return lambda values, level: _frame(tag, b"".join(sorted(_frames(values, values, level, lambda _: "{an item}"))))


def _mapping(kind: type, *, ordered: bool = False) -> Encoder:
    tag = kind.__name__.encode()

    def encode_mapping(mapping: Any, level: Level) -> bytes:
        def step(position: int) -> str:
            at_value = position % 2
            key = next(itertools.islice(mapping, position // 2, None))
            return f"[{_describe_key(key)}]" if at_value else "{a key}"

        frames = _frames(mapping, itertools.chain.from_iterable(mapping.items()), level, step)
        pairs = list(map(operator.add, frames[::2], frames[1::2]))
        if not ordered:
            pairs.sort()
        return _frame(tag, b"".join(pairs))

    return encode_mapping


def _describe_key(key: object) -> str:
    # What looks like the name of a field is shown; anything else may be somebody's address, or a number of a card.
    if type(key) is str and len(key) <= LONGEST_NAME and key.isidentifier():
        return repr(key)
    return with_article(type(key))


def _attributes(name: str, *names: str) -> Encoder:
    """Return the encoder of the exact type called *name*, which is no more than the attributes with these *names*."""
    tag = name.encode()
    get = operator.attrgetter(*names)
    return lambda value, level: _frame(
        tag, b"".join(_frames(value, get(value), level, lambda position: f".{names[position]}"))
    )


def _record(tag: bytes, value: object, parts: Parts, level: Level, owner: str = "") -> bytes:
    """Encode a *value* of the class called *owner* that consists of *parts*."""
    names = list(parts)
    frames = _frames(value, parts.values(), level, lambda position: f".{names[position]}")
    named = [_str(name, level) + frame for name, frame in zip(names, frames, strict=True)]
    return _frame(tag, _str(owner, level) + b"".join(named))


def _defaultdict(value: Any, level: Level) -> bytes:
    # A view and not a copy: a copy may have to compare the keys.
    items = types.MappingProxyType(value)
    return _record(b"defaultdict", value, {"default_factory": value.default_factory, "items": items}, level)


def _deque(value: Any, level: Level) -> bytes:
    return _record(b"deque", value, {"maxlen": value.maxlen, "items": list(value)}, level)


def _timezone(value: datetime.timezone, level: Level) -> bytes:
    offset = value.utcoffset(None)
    text = f"{offset.days} {offset.seconds} {offset.microseconds} {value.tzname(None)}"
    return _frame(b"timezone", text.encode("utf-8", "surrogatepass"))


# Things that have a name


def _class(value: type, level: Level) -> bytes:
    return _frame(b"class", _named(value, level).encode())


def _class_or_generic(value: Any, level: Level) -> bytes:
    """Encode a class that has a metaclass; a generic model with arguments is a class without a name of its own."""
    origin = origin_of(value)
    if origin is None:
        return _class(value, level)
    return _record(b"alias", value, {"origin": origin[0], "args": origin[1]}, level)


def _alias(value: Any, level: Level) -> bytes:
    """Encode a type with arguments, such as `list[int]`, or a union of types, in whichever way it is spelt."""
    origin = typing.Union if type(value) in UNIONS else typing.get_origin(value)
    parts: Parts = {"origin": origin, "args": typing.get_args(value)}
    name = getattr(value, "_name", None)
    if type(value) not in (*UNIONS, types.GenericAlias) and _typing_origin(name) is origin:
        parts["name"] = name  # List[int] is another object than list[int]
    if getattr(value, "__unpacked__", False) is True:
        parts["unpacked"] = True
    return _record(b"alias", value, parts, level)


def _typing_origin(name: object) -> object:
    return getattr(vars(typing).get(name), "__origin__", NO_KEY)  # type: ignore[call-overload]


def _special_form(value: Any, level: Level) -> bytes:
    """Encode what `typing` has as it is, such as `Union` or `List`."""
    name: str = value._name
    if vars(typing).get(name) is not value:
        raise NoStableForm(f"{with_article(type(value))} instance", "pass a type")
    return _frame(b"class", f"typing.{name}".encode())


def _type_alias(value: Any, level: Level) -> bytes:
    """Encode what a `type` statement has made."""
    if not _is_found_by_name(value, value.__name__):
        raise NoStableForm(f"the type {value.__name__}", "define it at the top of a module")
    return _frame(b"type", f"{module_name(value)}.{value.__name__}".encode())


def _function(value: Any, level: Level) -> bytes:
    return _frame(b"function", _named(value, level).encode())


def _named(thing: Any, level: Level, *, of_instance: bool = False) -> str:
    """Return what a class or a function is known by, or the class *of an instance*."""
    # A lambda is mostly made for one call, and would never be met again.
    if level.by_name or "<lambda>" in thing.__qualname__:
        return _qualified_name(thing, of_instance=of_instance)
    try:
        return f"@{token(thing):x}"  # no name, since there is no dot
    except TypeError:  # what C has made cannot be held weakly, and nobody makes it again
        return _qualified_name(thing, of_instance=of_instance)


def _method(value: Any, level: Level) -> bytes:
    return _record(b"method", value, {"__self__": value.__self__, "__func__": value.__func__}, level)


def _builtin(value: Any, level: Level) -> bytes:
    if value.__self__ is None or type(value.__self__) is types.ModuleType:
        return _function(value, level)
    return _record(b"method", value, {"__self__": value.__self__, "__name__": value.__name__}, level)


def _module(value: types.ModuleType, level: Level) -> bytes:
    raise NoStableForm("a module", "pass its name")


# Everything else: what is not of an exact type in the tables


def _encode_other(value: Any, level: Level) -> bytes:
    kind = type(value)
    _add_imported_types()
    if id(kind) in _ENCODERS:
        return _ENCODERS[id(kind)](value, level)
    own_key = _own_key(value, kind)
    if own_key is not NO_KEY:
        owner = _named(kind, level, of_instance=True)
        try:
            return _record(b"keyed", value, {"__cache_key__": own_key}, level, owner)
        except NoStableForm as refusal:
            base = next((base for base in kind.__mro__ if id(base) in _registered), None)
            if base is not None:
                refusal.path[-1] = value, f"{{the key registered for {base.__name__}}}"
            raise
    if issubclass(kind, type):
        return _class_or_generic(value, level)
    if issubclass(kind, enum.Enum):
        return _enum_member(value, kind, level)
    parts = record_parts(value, kind)
    if parts is not None:
        return _record(b"object", value, parts, level, _named(kind, level, of_instance=True))
    if issubclass(kind, types.GenericAlias):  # that of collections.abc.Callable
        return _alias(value, level)
    form = form_of(value, kind)
    if form is not None:
        return _form(value, form, level)
    if _own_module(kind) == "freezegun.api":  # what today() and now() give while the time is frozen
        return _BY_TYPE[stdlib_type(kind)](value, level)
    if type(getattr(value, "__qualname__", None)) is str:
        if _is_found_by_name(value, value.__qualname__):
            return _function(value, level)  # a decorated or a compiled one
        if class_attribute(kind, "__get__") is not None and getattr(value, "__wrapped__", None) is not None:
            # A decorated one that has no name, or a method of one; what is below another decorator does not say all.
            inner = getattr(value, "__func__", None)
            is_method = type(inner) not in (types.NoneType, types.FunctionType) and hasattr(value, "__self__")
            return _method(value, level) if is_method else _function(value, level)
    raise NoStableForm(f"{with_article(kind)} instance", _remedy(kind))


def _form(value: Any, form: Any, level: Level) -> bytes:
    """Encode a *value* of another library, of which this is the *form*, or the remedy where it has none."""
    if type(form) is str:
        raise NoStableForm(f"{with_article(type(value))} instance", form)
    if type(form) is StandsFor:
        return _frames(value, (form.value,), level, lambda _: "")[0]
    owner = form.owner if type(form.owner) is str else _named(form.owner, level, of_instance=True)
    return _record(form.tag, value, form.parts, level, owner)


def _enum_member(member: Any, kind: Any, level: Level) -> bytes:
    owner = _named(kind, level, of_instance=True)
    value = {"value": member._value_}
    if issubclass(kind, enum.Flag):  # its name, if any, is made of the value
        return _record(b"object", member, value, level, owner)
    name = {"name": member._name_}
    # A declared member is its name. `_missing_` makes others, and may give them names that there are.
    is_declared = kind._member_map_.get(member._name_) is member
    return _record(b"object", member, name if is_declared else name | value, level, owner)


def _add_imported_types() -> None:
    """Learn the types of modules that have been imported since the last time."""
    for name in [name for name in _LAZY_ENCODERS if name in sys.modules]:
        encoders = _LAZY_ENCODERS.get(name, {})
        kinds: list[Any] = [getattr(sys.modules.get(name), each, None) for each in encoders]
        if None not in kinds:  # as it is while another thread is importing it
            for kind, encoder in zip(kinds, encoders.values(), strict=True):
                _BY_TYPE[kind] = _ENCODERS[id(kind)] = encoder
            _LAZY_ENCODERS.pop(name, None)


def _plain_base(kind: type) -> type | None:
    return next((base for base in kind.__mro__ if id(base) in _ENCODERS), None)


def _remedy(kind: type) -> str:
    plain = _plain_base(kind)
    if plain is not None:
        return (
            f"its class may add to what {with_article(plain)} is; "
            f"pass a plain {plain.__name__} or give {kind.__name__} a __cache_key__ method"
        )
    if class_attribute(kind, "__dataclass_fields__") is not None or attrs_names(kind) is not None:
        base = [each for each in kind.__mro__ if not _is_all_attributes(each)][-1]
        return f"{with_article(base)} is more than its fields; give {kind.__name__} a __cache_key__ method"
    known = remedy_for(f"{_own_module(base)}.{base.__qualname__}" for base in kind.__mro__)
    if known is not None:
        return known
    if class_attribute(kind, "__next__") is not None:
        return USED_UP
    if _own_module(kind).partition(".")[0] in FOREIGN:
        return "pass a value that stands for it"
    return f"give {kind.__name__} a __cache_key__ method or use memocache.keys.register"


# Records: what an object consists of


def _own_key(value: Any, kind: type) -> object:
    """Return what the `__cache_key__` of *value* gives, or NO_KEY if it has none."""
    found, is_of_class = _find_own_key(value, kind)
    if is_of_class and hasattr(type(found), "__get__"):
        found = found.__get__(value, kind)
    if found is None:  # also as with __hash__ = None: not even what it would inherit
        return NO_KEY
    return found() if callable(found) else found


_registered: Final[dict[int, tuple[type, Callable[[Any], object]]]] = {}
"""By the ids of classes: each, and the key function of its instances."""


def register_key(kind: type, key: Callable[[Any], object], *, replace: bool) -> bool:
    """Let the instances of *kind* count by what *key* returns; false if that is so already, and not to be replaced."""
    entry = kind, key
    if not replace and _registered.setdefault(id(kind), entry) is not entry:
        return False
    _registered[id(kind)] = entry
    forget_tokens(kind)  # which their results in process are found by; after that, so that nobody finds these again
    return True


def has_exact_form(kind: type) -> bool:
    """Return whether instances of exactly this type are encoded without a look at what they are."""
    _add_imported_types()
    return kind is object or id(kind) in _ENCODERS


def plain_types(values: Sequence[object]) -> type | tuple[type, ...] | None:
    """Return the types of *values*, or of the only one, if they may be looked up as they are; else None.

    They may where what equals one of them, in the same type, is the same value.
    """
    if len(values) == 1:
        kind = type(values[0])
        return kind if id(kind) in PLAIN_TYPES and (kind is not float or _is_itself(values[0])) else None
    types = tuple(map(type, values))
    return (
        types
        if PLAIN_TYPES.issuperset(map(id, types)) and (float not in types or all(map(_is_itself, values)))
        else None
    )


def _is_itself(value: object) -> bool:
    return type(value) is not float or (value != 0.0 and math.isfinite(value))  # there is also -0.0, and NaN


def fast_types(values: Sequence[Any]) -> type | tuple[type, ...] | None:
    """Return what `plain_types` does, or None if any number of others could be found with the same hash: long ints."""
    for value in values:
        if type(value) is int and not LEAST_INT < value < LONG_INT:
            return None
    return int if len(values) == 1 and type(values[0]) is int and PLAIN_TYPES else plain_types(values)


def has_own_key(value: Any) -> bool:
    """Return whether *value* has a `__cache_key__`, without asking for it."""
    return _find_own_key(value, type(value))[0] is not None


def _find_own_key(value: Any, kind: type) -> tuple[Any, bool]:
    """Return the `__cache_key__` of *value* or None, and whether it is its class's.

    Not by getattr: proxies and mocks say that they have everything, and a class has what its instances have.
    """
    if kind.__dictoffset__ and not issubclass(kind, type):
        try:
            held = object.__getattribute__(value, "__dict__")
        except AttributeError:
            held = {}
        if "__cache_key__" in held:
            return held["__cache_key__"], False
    for base in kind.__mro__:
        if id(base) in _registered:
            return functools.partial(_registered[id(base)][1], value), False
        if "__cache_key__" in vars(base):
            return vars(base)["__cache_key__"], True
    return None, True


def record_parts(value: Any, kind: Any) -> Parts | None:
    """Return all that *value* consists of, or None if it is no record of a known sort."""
    parts = _canonical_arrays.parts(value, kind, _own_module(kind))
    if parts is not None:
        return parts
    if issubclass(kind, tuple):
        names = getattr(kind, "_fields", None)
        if type(names) is not tuple or len(names) != tuple.__len__(value):
            return None
        return dict(zip(names, tuple.__iter__(value), strict=True)) | _extra_parts(value, kind, names)
    msgspec = sys.modules.get("msgspec")  # nobody has a Struct without it
    if msgspec is not None and issubclass(kind, msgspec.Struct):
        names = kind.__struct_fields__
    elif "_sa_class_manager" in vars(kind):  # a row, whatever else it is
        return None
    elif type(class_attribute(kind, "__dataclass_fields__")) is dict and _is_all_attributes(kind):
        names = tuple(field.name for field in dataclasses.fields(kind))
    else:
        return _attrs_parts(value, kind)
    return {name: getattr(value, name) for name in names if hasattr(value, name)} | _extra_parts(value, kind, names)


def _attrs_parts(value: Any, kind: Any) -> Parts | None:
    """Return all that *value* consists of if it is of an attrs class, but for the fields with `eq=False`."""
    names = attrs_names(kind)
    if names is None or not _is_all_attributes(kind):
        return None
    compared, fields = names
    held = held_by(value, kind)
    parts = {name: held[name] for name in compared if name in held}
    return parts | _extra_parts(value, kind, fields, held)


def _is_computed(value: object, kind: type, name: str, held: object) -> bool:
    """Return whether *held*, under this *name*, is what a cached_property has computed, and not what was assigned."""
    if not isinstance(getattr(kind, name, None), functools.cached_property):
        return False
    own = vars(kind)
    options = own.get("__dataclass_params__") or own.get("__struct_config__") or own.get("__attrs_props__")
    if getattr(options, "frozen", False) or getattr(options, "is_frozen", False):
        return True
    try:
        twin = copy.copy(value)
        for each in [each for each in vars(twin) if isinstance(getattr(kind, each, None), functools.cached_property)]:
            del vars(twin)[each]
        computed = getattr(twin, name)
        return computed is held or encode_in_process(computed) == encode_in_process(held)
    except Exception:  # noqa: BLE001 - of the user's: what cannot be computed again may have been assigned
        return False


def _is_all_attributes(kind: type) -> bool:
    """Return whether an instance is no more than its attributes, as one of a class that derives from a list is."""
    size = object.__basicsize__ + POINTER * len(_slot_names(kind))
    size += POINTER * ((kind.__dictoffset__ > 0) + (kind.__weakrefoffset__ > 0))
    return kind.__basicsize__ <= size and not kind.__itemsize__ and _plain_base(kind) is None


def _slot_names(kind: type) -> list[str]:
    declared = [vars(base).get("__slots__", ()) for base in kind.__mro__]
    names = itertools.chain.from_iterable((each,) if isinstance(each, str) else each for each in declared)
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _extra_parts(value: object, kind: type, names: tuple[str, ...], held: Parts | None = None) -> Parts:
    """Return what a record holds beside the fields called *names*: the cached function can see that, too."""
    if held is None:
        state: Any = object.__getstate__(value)
        attributes, slots = state if type(state) is tuple else (state, None)
        held = {**(attributes or {}), **(slots or {})}
    return {
        name: held[name]
        for name in sorted(held.keys() - set(names))
        if not name.startswith("__")  # such as __orig_class__, which says how a generic was spelt
        and not _is_computed(value, kind, name, held[name])
    }


# Names: under which any process finds a class or a function


def module_name(thing: Any) -> str:
    """Return the name of the module of *thing*; for a script that is being run, the name to import it by."""
    name = _own_module(thing)
    if name not in MAIN:
        return name
    main = sys.modules.get(name)
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return os.path.splitext(os.path.basename(file))[0] if file else "__main__"


def _own_module(thing: Any) -> str:
    """Return the name of the module that *thing* says it is of."""
    name = getattr(thing, "__module__", None)
    return name if type(name) is str else "builtins"


def _qualified_name(thing: Any, *, of_instance: bool = False) -> str:
    """Return the "module.qualname" under which any process finds the class or function *thing*.

    Raises:
        NoStableForm: there is nothing under that name, or something else. It says so of *thing*, or of an instance.
    """
    name = thing.__qualname__
    if "<lambda>" in name:
        raise NoStableForm("a lambda", "pass a function that is defined in a module")
    sort = "class" if issubclass(type(thing), type) else "function"
    what, whose = (f"{with_article(thing)} instance", "its class") if of_instance else (f"the {sort} {name}", "it")
    if "<locals>" in name:
        raise NoStableForm(
            what,
            f"{whose} is made inside a function, where no other process can name it; define it at the top of a module",
        )
    full = f"{module_name(thing)}.{name}"
    if not _is_found_by_name(thing, name):
        builtin = min((each for each, found in vars(types).items() if found is thing), default=None)
        if builtin is not None:
            return f"types.{builtin}"
        raise NoStableForm(what, f"{whose} is not what is found as {full}; define it under that name in its module")
    return full


def _is_found_by_name(thing: Any, name: str) -> bool:
    """Return whether *thing* is what its module has under *name*."""
    found = found_as(_own_module(thing), name)
    with suppress(Exception):  # a class method's function is found through the method
        return found is thing or found.__func__ is thing
    return False


def found_as(module: str, name: str) -> Any:
    """Return what *module* has under a qualified *name*; None if that is nothing, or stands for nothing."""
    with suppress(Exception):
        return operator.attrgetter(name)(sys.modules[module])
    return None


# Refusals: why a value has no stable form, and where in the argument it is


class NoStableForm(Exception):
    """A value that has no canonical bytes. The path to it is noted while the stack unwinds: no cost before."""

    def __init__(self, subject: str, remedy: str) -> None:
        self.subject = subject
        self.reason = f"has no stable form: {remedy}"
        self.path: list[tuple[object, str]] = []
        """The containers around it with the step taken in each, innermost first."""

    def message(self) -> str:
        """Return what is refused, where it is, and why."""
        steps = [step for _, step in reversed(self.path)]
        where = "".join(steps[:SHOWN_STEPS]) + ("..." if len(steps) > SHOWN_STEPS else "")
        return f"{self.subject}, at {where}, {self.reason}" if where else f"{self.subject} {self.reason}"


class TooDeep(NoStableForm):
    """A container at the deepest level that is allowed, or around itself."""

    def __init__(self, value: object) -> None:
        super().__init__(with_article(type(value)), "")
        self.reason = f"is nested more than {DEEPEST} levels deep: pass a flatter value"
        self.path.append((value, ""))

    def message(self) -> str:
        inwards = self.path[::-1]
        for level, (value, _) in enumerate(inwards):
            if any(value is inner for inner, _ in inwards[level + 1 :]):
                self.subject, self.reason = with_article(type(value)), "contains itself: pass a value without cycles"
                self.path = inwards[:level][::-1]
                break
        return super().message()


# Tables


def stdlib_type(kind: type) -> Any:
    """Return the standard library's date or datetime, also where freezegun has put its own in its place."""
    return next(base for base in kind.__mro__ if base.__module__ == "datetime")


_DATE: Final = ("year", "month", "day")
_TIME: Final = ("hour", "minute", "second", "microsecond", "fold", "tzinfo")
_PATHS: Final = ("PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath")
_ADDRESSES: Final = [f"IPv{version}{part}" for version in (4, 6) for part in ("Address", "Network", "Interface")]

# Of modules that are imported only where they are used; they would take longer than all of ours.
_LAZY_ENCODERS: Final[dict[str, dict[str, Encoder]]] = {
    "decimal": {"Decimal": _decimal},
    "fractions": {"Fraction": _attributes("Fraction", "numerator", "denominator")},
    "uuid": {"UUID": lambda value, level: _frame(b"UUID", value.bytes)},
    "zoneinfo": {"ZoneInfo": _zoneinfo},
    "pathlib": {name: _as_text(name) for name in _PATHS},
    "ipaddress": {name: _as_text(name) for name in _ADDRESSES},
}

UNIONS: Final = (types.UnionType, type(typing.Optional[int]))  # noqa: UP045 - one type since Python 3.14
_ALIASES: Final[tuple[Any, ...]] = (
    *(list[int], typing.List[int], int | str, typing.Optional[int]),  # noqa: UP006, UP045
    *(typing.Literal[1], typing.Annotated[int, 1], typing.Callable[[int], int]),
)
_SPECIAL_FORMS: Final[tuple[Any, ...]] = (
    *(typing.Union, typing.Literal, typing.List, typing.Tuple, typing.Callable),  # noqa: UP006
)

_BY_TYPE: Final[dict[type, Encoder]] = {
    **{type(each): _special_form for each in _SPECIAL_FORMS},
    **{type(each): _alias for each in _ALIASES},
    **({vars(typing)["TypeAliasType"]: _type_alias} if sys.version_info >= (3, 12) else {}),
    type(None): lambda value, level: b"None0:",
    type(...): lambda value, level: b"Ellipsis0:",
    bool: lambda value, level: b"bool1:1" if value else b"bool1:0",
    int: _int,
    float: lambda value, level: _frame(b"float", value.hex().encode()),  # any NaN is "nan"
    complex: _attributes("complex", "real", "imag"),
    str: _str,
    bytes: lambda value, level: _frame(b"bytes", value),
    bytearray: lambda value, level: _frame(b"bytearray", bytes(value)),
    tuple: _sequence(tuple),
    list: _sequence(list),
    set: _set(set),
    frozenset: _set(frozenset),
    dict: _mapping(dict),
    types.MappingProxyType: _mapping(types.MappingProxyType),
    collections.Counter: _mapping(collections.Counter),
    collections.OrderedDict: _mapping(collections.OrderedDict, ordered=True),
    collections.defaultdict: _defaultdict,
    collections.deque: _deque,
    range: _attributes("range", "start", "stop", "step"),
    slice: _attributes("slice", "start", "stop", "step"),
    re.Pattern: _attributes("Pattern", "pattern", "flags"),
    stdlib_type(datetime.date): _attributes("date", *_DATE),
    stdlib_type(datetime.datetime): _attributes("datetime", *_DATE, *_TIME),
    datetime.time: _attributes("time", *_TIME),
    datetime.timedelta: _attributes("timedelta", "days", "seconds", "microseconds"),
    datetime.timezone: _timezone,
    type: _class,
    types.FunctionType: _function,
    types.MethodType: _method,
    types.BuiltinFunctionType: _builtin,
    types.ModuleType: _module,
}

# By id: a metaclass may have a __hash__ of its own, too.
_ENCODERS: Final[dict[int, Encoder]] = {id(kind): encoder for kind, encoder in _BY_TYPE.items()}
