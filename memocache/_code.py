"""code(): a version made of a function's own code, of what that calls, and of the constants that it uses.

A walk from the function finds all of them; what of each counts as code is in `_syntax`.
"""

import builtins
import enum
import functools
import importlib
import importlib.util
import inspect
import logging
import sys
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from hashlib import blake2b
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, TypeAlias

from memocache._canonical import encode, record_parts
from memocache._hints import innermost
from memocache._hooks import Decorated
from memocache._missing import MISSING
from memocache._syntax import SUPER, Reference, class_piece, function_piece, names_of, note_text, release_files
from memocache.errors import ConfigurationError, UnkeyableArgument, with_article

# Names that every module has; what they hold says where it is, and not what it does.
OF_MODULES: Final = {
    *("__builtins__", "__debug__", "__doc__", "__file__", "__loader__", "__name__", "__package__", "__path__"),
    "__spec__",
}
SHOWN: Final = 8  # hex digits, of the digest of a part
READ_ONLY: Final[dict[type, Callable[[Any], object]]] = {
    list: tuple,
    set: frozenset,
    dict: types.MappingProxyType,
    bytearray: bytes,
}

Outcome: TypeAlias = "tuple[object, ...]"
"""The part that one name has in a version: what it stands for, as far as that counts."""
Watched: TypeAlias = "tuple[Mapping[str, object], str, object]"
"""Names, one of them, and what that has stood for."""


@dataclass(frozen=True, slots=True)
class CodeVersion:
    """The code of the function that has this as its version; `code` makes it."""

    follow: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()

    def __cache_key__(self) -> object:
        raise ConfigurationError("code() can be a version, or a part of one: version=(memocache.code(), 2)")

    def follows(self, name: str) -> bool:
        """Return whether the class, function or module with this dotted *name* is looked into."""
        return _matches(name, self.follow)

    def ignores(self, name: str) -> bool:
        """Return whether what has this dotted *name* does not count at all."""
        return _matches(name, self.ignore)


def code(follow: str | Iterable[str] = (), ignore: str | Iterable[str] = ()) -> CodeVersion:
    """Return a version that is the function's own code: where that has changed, old results are not served any more.

    It counts what the function is made of, without comments, docstrings, annotations and layout; the functions and
    classes of its module that it uses, and those of the modules that *follow* names, with what these use in turn; and
    the constants that all of them use. Anything else counts by its name. Methods of values are not followed.

    >>> import memocache
    >>> @cached(version=memocache.code())
    ... def area(width, height):
    ...     return width * height
    >>> area(2, 3)
    6

    Args:
        follow: the modules to look into besides the function's own: "shop" or "shop.*" for all in that package.
        ignore: dotted names of modules, functions, classes or globals that do not count: "shop.log".

    Raises:
        ConfigurationError: if these are no names; at decoration, if the function has no source; there, or at the first
            call, for a global that may change, such as a dict.
    """
    return CodeVersion(_patterns("follow", follow), _patterns("ignore", ignore))


def _patterns(option: str, given: Any) -> tuple[str, ...]:
    patterns = (given,) if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else (given,)
    for each in patterns:
        if not isinstance(each, str) or not each.replace(".", "_").replace("*", "_").isidentifier():
            raise ConfigurationError(
                f"code({option}={given!r}); wanted: dotted names, such as {option}='shop' or {option}=('shop.*', 'tax')"
            )
    return patterns


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, each) or fnmatchcase(name, f"{each}.*") for each in patterns)


@dataclass(frozen=True, slots=True, repr=False)
class CodeListing:
    """A listing of what a code version is made of: names, each with a short digest that changes when it does."""

    digest: str
    """The digest of all."""
    functions: Mapping[str, str] = field(default_factory=dict)
    """The functions whose code counts."""
    classes: Mapping[str, str] = field(default_factory=dict)
    """The classes whose code counts."""
    constants: Mapping[str, str] = field(default_factory=dict)
    """The constants whose values count."""
    names: tuple[str, ...] = ()
    """Functions, classes and modules that count by their names alone, since they are not followed."""

    def __repr__(self) -> str:
        rows = [
            *(f"  function  {digest}  {name}" for name, digest in self.functions.items()),
            *(f"  class     {digest}  {name}" for name, digest in self.classes.items()),
            *(f"  constant  {digest}  {name}" for name, digest in self.constants.items()),
            *(f"  name      {'':{SHOWN}}  {name}" for name in self.names),
        ]
        return "\n".join([self.digest, *rows])


def function_code(title: str, function: Callable[..., Any], version: object) -> "FunctionCode | None":
    """Return the code of *function* if it is its *version*, or part of that; None if not."""
    parts = version if type(version) is tuple else (version,)
    own = next((each for each in parts if type(each) is CodeVersion), None)
    return None if own is None else FunctionCode(title, function, version, own)


class FunctionCode:
    """The code of one function as its version: made at the first call, when all that it uses is there."""

    def __init__(self, title: str, function: Callable[..., Any], version: object, own: CodeVersion) -> None:
        self._title = title
        self._function = function
        self._given = version
        self._own = own
        self._known: tuple[object, list[Watched], list[tuple[FunctionType, CodeType]]] | None = None
        try:
            encode(self._with(""))
        except UnkeyableArgument as error:
            raise ConfigurationError(f"{title}: version= cannot be part of a key: {error}") from None
        self._walk().check()

    def version(self) -> object:
        """Return the version that it makes now: another one when a cell was run, or a module loaded, again.

        Raises:
            ConfigurationError: if it cannot be told.
        """
        known = self._known
        if known is not None and _are_the_same(known[1], known[2]):
            return known[0]
        walk = self._walk()
        digest = f"code:{walk.run().digest}"
        self._known = self._with(digest), list(walk.watched.values()), walk.codes
        return self._known[0]

    def _with(self, digest: str) -> object:
        """Return the version with *digest* in place of the code."""
        if not isinstance(self._given, tuple):
            return digest
        return tuple([digest if each is self._own else each for each in self._given])

    def latest(self) -> object:
        """Return the latest version that was made; None if there is none yet."""
        return None if self._known is None else self._known[0]

    def listing(self) -> CodeListing:
        """Return a listing of what the version is made of now."""
        return self._walk().run()

    def _walk(self) -> "Walk":
        return Walk(self._title, self._function, self._own)


# ---- from the function to all that counts ----------------------------------------------------------------------------


class Walk:
    """One walk from a function through what it uses."""

    def __init__(self, title: str, function: Callable[..., Any], own: CodeVersion) -> None:
        self._title = title
        self._own = own
        self._root = innermost(function)
        self._module = _module_of(self._root)
        self._function = function
        self._is_check = False
        self._found: list[tuple[str, Any, type | None]] = []
        """The functions and classes that count: their names, and the classes whose methods they are."""
        self._positions: dict[int, int] = {}
        self._open: list[object] = []
        """The values that are being looked into: one may be in itself."""
        self._names: dict[str, None] = {}
        self._constants: dict[str, str] = {}
        self.watched: dict[tuple[int, str], Watched] = {}
        """Names that get another value where a module is loaded, or a cell run, again."""
        self.codes: list[tuple[FunctionType, CodeType]] = []
        """Functions, whose code %autoreload exchanges."""
        self._is_interactive = hasattr(sys, "ps1") or hasattr(builtins, "__IPYTHON__")

    def check(self) -> None:
        """Raise ConfigurationError for what cannot be a version, as far as that can be seen before all is there."""
        root = self._root
        if not isinstance(root, FunctionType) or not note_text(root.__code__.co_filename, root.__globals__):
            raise ConfigurationError(
                f"{self._title} has no source that version=code() could look at, as in a prompt, in python -c, in "
                "exec(), under %%time or in a frozen program; give version= a value, and change that with the code"
            )
        self._is_check = True
        self._of_function("", root, None)
        release_files()

    def run(self) -> CodeListing:
        """Return all that counts, with its digest."""
        digest = blake2b(digest_size=16)
        digest.update(_flat(self._value(self._function, self._title)))
        kinds: tuple[dict[str, str], dict[str, str]] = {}, {}
        for name, each, owner in self._found:  # which grows
            is_class = isinstance(each, type)
            outcome = self._of_class(name, each) if is_class else self._of_function(name, each, owner)
            content = _flat(outcome)
            digest.update(content)
            kinds[is_class][name] = blake2b(content, digest_size=16).hexdigest()[:SHOWN]
        release_files()
        return CodeListing(digest.hexdigest(), *kinds, self._constants, tuple(sorted(self._names)))

    # ---- functions and classes -----------------------------------------------------------------------------------

    def _of_function(self, name: str, function: FunctionType, owner: type | None) -> Outcome:
        piece, names = function_piece(function), names_of(function)
        self._watch(function.__globals__, "__spec__")
        self._watch_code(function)
        outcomes = [self._used(name, each, names) for each in piece.used]
        outcomes += [self._used(name, each, names, leniently=True) for each in piece.used_before]
        if not self._is_check:
            defaults = (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values())
            outcomes += [self._value(each, f"{name}, a default", leniently=True, wholly=True) for each in defaults]
        cls = _class_around(function) if owner is None else owner
        if cls is not None and not self._is_check:  # before, it may be an older one of that name
            outcomes += [self._of_self(cls, each) for each in piece.of_self]
        changed = [each for each in piece.changed if not self._own.ignores(f"{_module_of(function)}.{each}")]
        if changed:
            raise self._refused(f"{_module_of(function)}.{changed[0]}", f"which {function.__qualname__} assigns to")
        return (piece.digest, *outcomes)

    def _of_class(self, name: str, cls: type) -> Outcome:
        piece = class_piece(cls, again=self._is_interactive)
        module = sys.modules.get(cls.__module__)
        names = {} if module is None else vars(module)
        self._watch(names, "__spec__")
        if self._is_interactive:
            own = vars(cls)
            self.watched.update(((id(cls), each), (own, each, own[each])) for each in own if not each.startswith("__"))
            for each in own.values():
                if type(each) is FunctionType:
                    self._watch_code(each)
        outcomes = [
            self._value(each, each.__qualname__)
            for each in cls.__bases__
            if each.__module__ not in ("builtins", "typing")
        ]
        outcomes += [self._used(name, each, names) for each in piece.used]
        outcomes += [self._used(name, each, names, leniently=True) for each in piece.used_before]
        return (piece.digest, *outcomes)

    def _of_self(self, cls: type, reference: Reference) -> Outcome:
        """Return what counts of an attribute that a method of *cls* asks its instance, or super(), for."""
        attribute, *rest = reference.attributes
        if attribute == "__class__" and rest:
            attribute = rest[0]
        if attribute.startswith("__") and not attribute.endswith("__"):
            attribute = f"_{cls.__name__.lstrip('_')}{attribute}"
        for each in cls.__mro__[reference.name == SUPER :]:
            if attribute in vars(each):
                value = vars(each)[attribute]
                name = f"{each.__module__}.{each.__qualname__}.{attribute}"
                return self._value(value, name, cls, leniently=type(value).__hash__ is not None)
        return ()

    # ---- names and values ----------------------------------------------------------------------------------------

    def _used(self, user: str, reference: Reference, names: Mapping[str, Any], *, leniently: bool = False) -> Outcome:
        """Return what counts of a *reference* in the code called *user*, where global names stand for *names*."""
        if reference.module:
            return self._imported(reference)
        if reference.name in OF_MODULES or reference.name == SUPER or reference.name == "__class__":
            return ()
        module = names.get("__name__")
        value = names.get(reference.name, MISSING)
        if value is MISSING:
            builtin = getattr(builtins, reference.name, MISSING)
            if builtin is not MISSING or leniently or self._is_check or self._own.ignores(f"{module}.{reference.name}"):
                return ()
            raise ConfigurationError(
                f"{self._title}: version=code() finds no {module}.{reference.name}, which {user} uses; "
                f"define it before {self._title} is called, or pass ignore="
                f"('{module}.{reference.name}',) to code()"
            )
        self._watch(names, reference.name)
        return self._attribute(value, f"{module}.{reference.name}", reference.attributes, leniently=leniently)

    def _attribute(self, value: Any, name: str, attributes: tuple[str, ...], *, leniently: bool) -> Outcome:
        """Return what counts of a *value* with this *name*; of a module, what its *attributes* lead to."""
        for position, attribute in enumerate(attributes):
            if not isinstance(value, ModuleType):
                break
            if self._own.ignores(name):
                return ()
            self._watch(vars(value), attribute)
            # What is not followed may have anything; of that only constants count, and names.
            leniently = leniently or not self._follows(value.__name__, f"{value.__name__}.{attribute}")
            name = f"{value.__name__}.{attribute}"
            try:
                value = vars(value)[attribute] if self._is_check else getattr(value, attribute)
            except Exception:  # noqa: BLE001 - a module may have a __getattr__ of its own
                return self._name(".".join([value.__name__, *attributes[position:]]))
        else:
            position = len(attributes)
        latest = outcome = self._value(value, name, leniently=leniently)
        for attribute in attributes[position:]:  # of a class that is not followed, its constants
            if not isinstance(value, type) or latest[:1] != ("name",):
                break
            members: Mapping[str, Any] = value.__members__ if isinstance(value, enum.EnumMeta) else {}
            value = members.get(attribute, inspect.getattr_static(value, attribute, None))
            name = f"{name}.{attribute}"
            latest = self._value(value, name, leniently=True)
            outcome = (*outcome, latest)
        return outcome

    def _imported(self, reference: Reference) -> Outcome:
        """Return what counts of an import in a function: nothing unless it is followed, since it may not be loaded."""
        name = ".".join([reference.module, *reference.attributes])
        if self._is_check or self._own.ignores(name):
            return ()
        if self._follows(reference.module, name):
            for module in (reference.module, name):
                with suppress(Exception):
                    importlib.import_module(module)
            loaded = sys.modules.get(reference.module)
            if loaded is not None:
                return self._attribute(loaded, reference.module, reference.attributes, leniently=False)
        return self._name(name)

    def _value(
        self, value: Any, name: str, owner: type | None = None, *, leniently: bool = False, wholly: bool = False
    ) -> Outcome:
        """Return what counts of a *value* that goes by this *name*; of a method of *owner*, if that is given.

        What cannot be told is refused, or not counted if it is to be *leniently*. If a container is to count *wholly*,
        so does one that may change: where nobody else has it.
        """
        if any(value is each for each in self._open):
            return ()
        self._open.append(value)
        try:
            return self._outcome(value, name, owner, leniently=leniently, wholly=wholly)
        finally:
            self._open.pop()

    def _outcome(self, value: Any, name: str, owner: type | None, *, leniently: bool, wholly: bool) -> Outcome:
        kind = type(value)
        if wholly and kind in READ_ONLY:
            value = READ_ONLY[kind](value)
        if self._own.ignores(name):
            return ()
        if issubclass(kind, Decorated):
            return self._value(value._self_memoizer.function, name, owner)
        if type(value) is FunctionType:
            return self._function_or_name(value, owner)
        if isinstance(value, type):
            return self._code_or_name(value, value.__module__, value.__qualname__, None)
        if isinstance(value, ModuleType):
            return self._name(value.__name__)
        if isinstance(value, types.MethodType):
            outcome = self._value(value.__func__, name)
            return (*outcome, self._value(value.__self__, name)) if outcome[:1] == ("code",) else outcome
        if isinstance(value, property):
            return tuple(self._value(each, name, owner) for each in (value.fget, value.fset) if each is not None)
        if isinstance(value, functools.partial | functools.partialmethod):
            return tuple(self._value(each, name, owner) for each in (value.func, value.args, *value.keywords.items()))
        if isinstance(value, types.BuiltinFunctionType):
            return self._name(f"{value.__module__ or 'builtins'}.{value.__qualname__}")
        if type(value) is tuple or type(value) is types.MappingProxyType:
            parts: Iterable[Any] = value if isinstance(value, tuple) else value.items()
            outcomes = [self._value(each, name, leniently=leniently, wholly=wholly) for each in parts]
            return self._noted(name, (kind.__name__, *outcomes))
        if inner := _functions_in(value):
            outcomes = [self._value(each, name, owner, leniently=leniently) for each in inner]
            is_callable = type(inspect.getattr_static(kind, "__call__", None)) is FunctionType
            if is_callable:  # an object that a decorator has put in the function's place
                held = [each for key, each in vars(value).items() if not key.startswith("__")]
                outcomes += [self._value(each, name, leniently=True) for each in (kind, *held)]
            return tuple(outcomes)
        return self._constant(value, name, leniently=leniently, wholly=wholly)

    def _noted(self, name: str, outcome: Outcome) -> Outcome:
        """Note that the constant with this *name* counts, and return its *outcome*."""
        self._constants[name] = blake2b(_flat(outcome), digest_size=16).hexdigest()[:SHOWN]
        return outcome

    def _constant(self, value: Any, name: str, *, leniently: bool, wholly: bool) -> Outcome:
        kind = type(value)
        if kind is object or isinstance(value, logging.Logger):
            return ()
        if arguments := typing.get_args(value):
            return tuple(self._value(each, name, leniently=True) for each in (typing.get_origin(value), *arguments))
        if kind.__module__ == "typing":
            return self._name(f"typing.{getattr(value, '__name__', name)}")
        try:
            if not wholly:
                hash(value)  # what may change has none
            is_member = isinstance(kind, enum.EnumMeta) and not issubclass(kind, enum.Flag)
            content: object = value._name_ if is_member else encode(getattr(value, "_value_", value))
            parts = _parts(value)
        except Exception:  # noqa: BLE001 - of a class of the user's
            if leniently:
                return ()
            raise self._refused(name, with_article(kind)) from None
        of_kind = () if kind.__module__ == "builtins" else self._value(kind, name)
        if is_member:  # of a class that is followed, the code has its values
            parts = () if of_kind[:1] == ("code",) else (value._value_,)
        # The bytes of a function or a member in it are its name.
        outcomes = [self._value(each, name, leniently=True, wholly=True) for each in parts]
        return self._noted(name, ("constant", content, *of_kind, *outcomes))

    def _function_or_name(self, function: FunctionType, owner: type | None) -> Outcome:
        outcome = self._code_or_name(function, _module_of(function), function.__code__.co_qualname, owner)
        if outcome[:1] != ("name",):
            return outcome
        # Perhaps a decorator of somebody else's; that of functools.singledispatch has functions by class.
        others = function.__dict__.get("registry")
        pairs = others.items() if type(others) is types.MappingProxyType else ()
        inner = [*_functions_in(function), *(each for pair in pairs for each in pair)]
        return (*outcome, *[self._value(each, function.__qualname__, owner) for each in inner])

    def _code_or_name(self, thing: Any, module: str, qualname: str, owner: type | None) -> Outcome:
        name = f"{module}.{qualname}"
        if self._own.ignores(name):
            return ()
        if not self._follows(module, name):
            return self._name(name)
        if id(thing) not in self._positions:
            self._positions[id(thing)] = len(self._positions)
            self._found.append((name, thing, owner))
        return "code", self._positions[id(thing)]

    def _name(self, name: str) -> Outcome:
        # Without private parts: a class or a function may be moved in a package from one release to the next.
        if name.startswith("builtins."):
            return "name", name
        first, *others = name.split(".")
        name = ".".join([first, *(each for each in others if not each.startswith("_") or each == others[-1])])
        self._names[name] = None
        return "name", name

    def _follows(self, module: str, name: str) -> bool:
        return module == self._module or self._own.follows(name)

    def _refused(self, name: str, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self._title}: version=code() cannot count {name}, {what}: it may change while the program runs; pass it "
            "to the function as an argument, make it a constant (a tuple, a frozen dataclass, a MappingProxyType), or, "
            f"if results do not depend on it, pass ignore=({name!r},) to code()"
        )

    def _watch(self, names: Mapping[str, Any], name: str) -> None:
        """Watch the module of these *names*; where modules may change piece by piece, this *name*."""
        if not self._is_interactive and names.get("__spec__") is not None:
            name = "__spec__"
        self.watched[id(names), name] = names, name, names.get(name)

    def _watch_code(self, function: FunctionType) -> None:
        if self._is_interactive:
            self.codes.append((function, function.__code__))


def _are_the_same(watched: list[Watched], codes: list[tuple[FunctionType, CodeType]]) -> bool:
    """Return whether names and functions have what they had."""
    for names, name, value in watched:  # in each call: all() would take twice the time
        if names.get(name) is not value:
            return False
    return all(function.__code__ is code for function, code in codes)


def _functions_in(value: Any) -> list[Any]:
    """Return what *value* calls: what it wraps, as functools says; of a descriptor, the functions that it has."""
    with suppress(Exception):  # whatever it is may have a __getattr__ of its own
        if inspect.getattr_static(value, "__wrapped__", None) is not None:
            return [value.__wrapped__]
        if hasattr(type(value), "__get__") and type(value) is not FunctionType:
            return [each for each in vars(value).values() if callable(each) and not isinstance(each, type)]
    return []


def _parts(value: Any) -> Iterable[Any]:
    """Return what a constant holds, in an order that every process has."""
    if isinstance(value, frozenset):
        return sorted((each for each in value if type(each) not in (int, float, str, bytes)), key=encode)
    return (record_parts(value, type(value)) or {}).values()


def _module_of(function: Any) -> str:
    """Return the module in which *function* is written, whatever a decorator has made it say."""
    names = getattr(function, "__globals__", {})
    return str(names.get("__name__", getattr(function, "__module__", "")))


def _class_around(function: FunctionType) -> type | None:
    """Return the class that *function* is a method of, if that can be told."""
    found: Any = names_of(function).get("__class__")
    if isinstance(found, type):
        return found
    first, *others = function.__code__.co_qualname.split(".")
    found = function.__globals__.get(first)
    for each in others[:-1]:
        found = vars(found).get(each) if isinstance(found, type) else None
    return found if isinstance(found, type) and others else None


def _flat(outcome: Any) -> bytes:
    """Return bytes that are equal exactly where outcomes are."""
    if isinstance(outcome, tuple):
        return b"(" + b"".join(map(_flat, outcome)) + b")"
    return encode(outcome)
