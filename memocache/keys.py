"""Keys: the texts under which caches keep the results of calls.

A Namespace stands for the function, a KeySpec says which of its arguments are in a key; a KeyMaker makes keys of both.
"""

import inspect
import itertools
import os
import re
import sys
import threading
import weakref
from base64 import urlsafe_b64encode
from binascii import b2a_base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from inspect import Parameter, Signature
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, TypeVar

from memocache._canonical import (
    MAIN,
    encode,
    encode_in_process,
    has_exact_form,
    has_own_key,
    module_name,
    plain_text,
    plain_types,
    register_key,
)
from memocache._canonical_libraries import LEAVE_OUT, ROW
from memocache._fork import in_child
from memocache._instances import Owner, token
from memocache._signature import (
    LEFT_OUT,
    ONE_VALUE,
    POSITIONAL,
    BelievedSignature,
    is_awaited,
    refuse_coroutine_function,
    why_uncallable,
)
from memocache._tags import join_names, read_field, template_names
from memocache.errors import ConfigurationError, UnkeyableArgument, with_article

__all__ = [
    *("ALL", "BUILTIN_TYPES", "CALL", "KeyMaker", "KeySpec", "Namespace", "all_tag", "call_tag", "readable_prefix"),
    *("namespace_of", "register", "version_suffixes", "without_version"),
]

T = TypeVar("T")

SCHEME: Final = "v1"
CALL: Final = "call:"
ALL: Final = "all:"
READABLE_LENGTH: Final = 100  # characters of the namespace at the front of a key
LONGEST_INLINE: Final = 22  # bytes of arguments that stand in a key as they are: no longer than a digest of them
DEFAULT: Final = b"default0:"  # a frame, as `encode` makes them: stands for a default that has no form
MOST_HEADS: Final = 10_000
MOST_NAMES: Final = 4_000
MOST_BEHIND: Final = 50  # things to look at behind one name
UNREADABLE: Final = re.compile(r"[^A-Za-z0-9_.<>\-]")
# A key of a version is the call's key, and a suffix: together at most 250 characters, with the longest prefix.
VERSION_SIZE: Final = 9  # bytes, which are 12 characters
VERSIONED: Final = rf"(.*{SCHEME}:[A-Za-z0-9_.<>\-]*:[0-9a-f]{{32}})@[A-Za-z0-9_\-]{{12}}"  # compiled when it is used
NAMED: Final = rf"{SCHEME}:([A-Za-z0-9_.<>\-]*):[0-9a-f]{{32}}(?:@[A-Za-z0-9_\-]{{12}})?"
# Types without methods of the user's; by id, since a metaclass may have a __hash__ of its own.
BUILTIN_TYPES: Final = frozenset(
    map(id, (int, str, bytes, bool, float, complex, type(None), tuple, list, dict, set, frozenset))
)

_numbers: Final = itertools.count(1)
_living: Final["weakref.WeakValueDictionary[tuple[str, CodeType | None], Namespace]"] = weakref.WeakValueDictionary()
"""By name and code, the latest of the functions that are still there."""
_keyed: Final["weakref.WeakValueDictionary[tuple[str, CodeType | None, int], Namespace]"] = (
    weakref.WeakValueDictionary()
)
"""By name, code and the id of their cache, the first of those that are still there and have a function as key=."""
_known_paths: Final[set[str]] = set()
"""The names that functions have had; no other function is given the entries of one that is gone."""
_head_numbers: Final[dict[bytes, str]] = {}
"""Short texts that stand in process for the heads of keys."""
_next_number: Final = itertools.count()
version_suffixes: Final[dict[str, tuple[str, ...]]] = {}
"""By the tag of a namespace, what is at the end of the keys of its versions in this process."""
_lock = threading.RLock()


@in_child
def _after_fork() -> None:
    global _lock
    _lock = threading.RLock()


def register(kind: type[T], key: Callable[[T], object], *, replace: bool = False) -> None:
    """Let instances of *kind*, a class that is not yours, count in keys as what *key* returns for them.

    It goes for subclasses, too, each with its own class in the key, unless one is registered itself, or has a
    `__cache_key__`. Before or after functions are decorated is the same, but do it before they are called: results that
    were stored for such instances are not found again. On a shared cache, each process has to do it.

    Args:
        kind: the class.
        key: returns what stands for an instance: any value that may be an argument, such as a tuple of attributes.
        replace: take the place of what was registered for the class before.

    Raises:
        ConfigurationError: something else was given; or the class is registered already, or needs no registration.

    Example:
        >>> import memocache
        >>> class Money:
        ...     def __init__(self, amount, currency):
        ...         self.amount, self.currency = amount, currency
        >>> memocache.keys.register(Money, lambda money: (money.amount, money.currency))
    """
    if not isinstance(kind, type):
        raise ConfigurationError(
            f"keys.register() got {kind!r}; wanted: a class, such as register(Money, lambda money: money.amount)"
        )
    title = f"keys.register({kind.__name__})"
    if not callable(key) or is_awaited(key):
        what = with_article(type(key)) if not callable(key) else "a coroutine function"
        raise ConfigurationError(f"{title}: key is {what}; wanted: a function that takes an instance")
    if why_uncallable(key, ONE_VALUE):
        raise ConfigurationError(f"{title}: key cannot be called with an instance alone; wanted: a function that can")
    if issubclass(kind, type):
        raise ConfigurationError(f"{title}: its instances are classes, which count by their names")
    if has_exact_form(kind):
        raise ConfigurationError(f"{title}: it has a form already, which stays; leave the registration out")
    if not register_key(kind, key, replace=replace):
        raise ConfigurationError(f"{title}: it is registered already; pass replace=True to replace that")


class Namespace:
    """The first part of a function's keys: its name, where that tells which function it is, or what the user has given.

    In process a number tells functions of one name apart; on a shared cache a name counts if it leads to the function.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        given: str | None,
        key: "str | Callable[..., Any] | None" = None,
        cache: object = None,
    ) -> None:
        if given is not None and (not isinstance(given, str) or not given):
            raise ConfigurationError(f"namespace={given!r}; wanted: a text that is not empty")
        self._given = given
        self._function = function
        self._key_function = key if callable(key) else None
        self._cache = cache
        qualname = getattr(function, "__qualname__", None)
        self.title = qualname or type(function).__qualname__
        """The function's name in messages."""
        self._path = f"{module_name(function)}.{self.title}"
        module = getattr(function, "__module__", None)
        self._module = module if isinstance(module, str) else "builtins"
        self._script = _script(self._module)
        self.head_numbers = _head_numbers
        """Short texts that stand in process for the heads of its keys; its own, where no other has this name ever."""
        self._why_unnamed = ""  # why other processes cannot know it by its name, whatever its module has
        is_local = "<locals>" in self.title
        if _is_bound(function):
            self._why_unnamed = "belongs to an object"
        elif qualname is None or "<lambda>" in qualname:
            self._why_unnamed = "has no name"
        elif is_local and _uses_variables(function):
            self._why_unnamed = "is made inside another function and uses its variables"
        self._number = 0 if given else self._find_number(is_alone=is_local or bool(self._why_unnamed))

    def _find_number(self, *, is_alone: bool) -> int:
        """Return the number that tells it from other functions of its name in this process; 0 for the first of them."""
        with _lock:
            place = self._path, getattr(self._function, "__code__", None)
            if (self._key_function is not None and self._is_mistaken_at(place)) or is_alone:
                return self._own_number()
            # Where many names have come and gone, each further function has a number.
            other = _living.get(place)
            if other is not None and is_alike(other._function, self._function):
                number, self.head_numbers = other._number, other.head_numbers
            elif self._path not in _known_paths and len(_known_paths) < MOST_NAMES:
                _known_paths.add(self._path)
                number = 0
            else:
                number = self._own_number()
            _living[place] = self
            return number

    def _is_mistaken_at(self, place: "tuple[str, CodeType | None]") -> bool:
        """Return whether this function has another key function there, too: then one key may be that of two calls."""
        on_cache = *place, id(self._cache)
        other = _keyed.get(on_cache)
        if other is None or not is_alike(other._function, self._function):
            _keyed[on_cache] = self
            return False
        if is_alike(other._key_function, self._key_function):
            return False
        self._why_unnamed = "is decorated more than once for one cache, with different functions as key="
        return True

    def _own_number(self) -> int:
        """Return a number that no other has, or is given later; so what is known by it can go with it."""
        self.head_numbers = {}
        return next(_numbers)

    def text(self, *, shared: bool, one_machine: bool = False) -> str:
        """Return the namespace on a cache that is *shared* or not, perhaps within *one_machine* only.

        Raises:
            ConfigurationError: if it needs a name there, and has none.
        """
        if self._given is not None:
            return self._given
        if not shared:
            return f"{self._path}#{self._number}" if self._number else self._path
        if self._why_unnamed:
            raise self._unknown(self._why_unnamed)
        if self._script is None:
            return self._path
        if not self._script:
            raise self._unknown("is defined where there is no file, as in a prompt or a notebook")
        if not one_machine:
            raise self._unknown("is defined in a script, whose name other machines do not know")
        return f"{self._script}.{self.title}"

    @property
    def name(self) -> str:
        """The name by which processes together know it, as far as it has one; two functions may have the same."""
        return self._given or (f"{self._script}.{self.title}" if self._script else self._path)

    def check(self) -> None:
        """Raise ConfigurationError unless other processes find this very function under its name.

        Not before the first call, when its module has it.
        """
        if self._given is None and not self._is_found():
            raise self._unknown(f"is not what is found as {self._path}")

    def _unknown(self, why: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self.title} {why}, so that another process cannot know which function the entries in "
            "a shared cache belong to; pass namespace='...', different for each such function"
        )

    def _is_found(self) -> bool:
        if "<locals>" in self.title:
            return self._is_found_in_code()
        found = self._find(self.title)
        for thing in _things_behind(found):
            other = _attribute(_attribute(thing, "_self_memoizer"), "namespace")
            if isinstance(other, Namespace) and other._path == self._path:
                return is_alike(other._function, self._function)
        return any(each is self._function for each in (found, _attribute(found, "__func__")))

    def _find(self, title: str) -> object:
        """Return what the function's module has as *title*."""
        thing: object = sys.modules.get(self._module)
        for part in title.split("."):
            if isinstance(thing, type) and part.startswith("__") and not part.endswith("__"):
                part = f"_{thing.__name__.lstrip('_')}{part}"
            thing = inspect.getattr_static(thing, part, None)
        return thing

    def _is_found_in_code(self) -> bool:
        """Return whether a function inside another one is all that its code says, and the only one of its name there.

        It uses no variables. So what is left are its defaults, which are arguments.
        """
        function, outer = self._function, self.title.partition(".<locals>")[0]
        try:
            encode((getattr(function, "__defaults__", None), getattr(function, "__kwdefaults__", None)))
        except UnkeyableArgument:
            return False
        for thing in _things_behind(self._find(outer)):
            code = _attribute(thing, "__code__")
            if isinstance(code, CodeType) and code.co_qualname == outer:
                named = [each for each in _codes_inside(code) if each.co_qualname == self.title]
                is_same = named == [getattr(function, "__code__", None)]
                return is_same and thing.__globals__ is function.__globals__  # type: ignore[attr-defined]
        return False


def is_alike(one: object, other: object) -> bool:
    """Return whether two functions are one, or cannot differ: of the same code, globals, variables and defaults."""
    if one is other:
        return True
    if not (type(one) is FunctionType and type(other) is FunctionType):
        return False
    return (
        one.__code__ == other.__code__
        and one.__globals__ is other.__globals__
        and not (one.__dict__ or other.__dict__)
        and _are_same(one.__closure__ or (), other.__closure__ or ())
        and _are_same(one.__defaults__ or (), other.__defaults__ or ())
        and _are_same(_flat(one.__kwdefaults__), _flat(other.__kwdefaults__))
    )


def _script(module: str) -> str | None:
    """Return the file of the script that *module* is, "" if that has none; None if it is no script."""
    if module not in MAIN:
        return None
    main = sys.modules.get(module)
    spec = getattr(main, "__spec__", None)
    if spec is not None and spec.name != "__main__":  # which a directory and an archive have when they are run
        return None
    path = os.path.realpath(getattr(main, "__file__", None) or "")
    return path if os.path.isfile(path) or os.path.isfile(os.path.dirname(path)) else ""


def _are_same(ones: tuple[object, ...], others: tuple[object, ...]) -> bool:
    """Return whether these are the same objects, or plain values of the same types."""
    return len(ones) == len(others) and all(
        one is other or (type(one) is type(other) and plain_types((one,)) is not None and one == other)
        for one, other in zip(ones, others, strict=True)
    )


def _flat(defaults: "dict[str, Any] | None") -> tuple[object, ...]:
    return (*(defaults or {}), *(defaults or {}).values())


def _things_behind(thing: object) -> Iterator[object]:
    """Return *thing* and the functions for which it stands, as decorators, descriptors and tasks do; nearest first."""
    things = [thing]
    for each in things:
        yield each
        if len(things) < MOST_BEHIND and not isinstance(each, type | ModuleType):
            things += [part for part in _parts(each) if not any(part is known for known in things)]


def _parts(thing: Any) -> Iterator[object]:
    """Return what *thing* holds that may be a function, or lead to one."""
    if isinstance(thing, list | tuple):
        yield from thing
    for name in ("__wrapped__", "__func__", "fget", "func"):
        yield _attribute(thing, name)
    for cell in _attribute(thing, "__closure__") or ():
        with suppress(ValueError):  # an empty one
            yield cell.cell_contents
    # The second of our decorator, where Django calls it in each call.
    for name in ("__dict__", "cached_methods"):
        yield from filter(callable, list((_attribute(thing, name) or {}).values()))


def _attribute(thing: Any, name: str) -> Any:
    with suppress(Exception):  # a proxy may stand for nothing just now
        return getattr(thing, name, None)


def _codes_inside(code: CodeType) -> Iterator[CodeType]:
    """Return the code of all functions that are written inside a function."""
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield each
            yield from _codes_inside(each)


def _is_bound(function: object) -> bool:
    """Return whether *function* belongs to an object, as `{}.get` does, which its name does not tell."""
    owner = getattr(function, "__self__", None)
    return owner is not None and not isinstance(owner, ModuleType)


def _uses_variables(function: Any) -> bool:
    """Return whether *function*, or one that it wraps, uses variables of a function around it."""
    while function is not None:
        if getattr(getattr(function, "__code__", None), "co_freevars", ()):
            return True
        function = getattr(function, "__wrapped__", None)
    return False


class KeySpec:
    """The arguments that are part of a key: the options key= and ignore=, checked against the signature."""

    def __init__(
        self,
        title: str,
        believed: BelievedSignature,
        key: "str | Callable[..., Any] | None",
        ignore: tuple[str, ...],
        *,
        is_method: bool,
    ) -> None:
        self.function: Callable[..., Any] | None = None
        """The user's own key function: then its result is all that is in a key."""
        self.template = ""
        parameters = believed.signature.parameters
        for name in ignore:
            if name not in parameters:
                raise ConfigurationError(
                    f"{title}: ignore= names {name!r}, which is no parameter; there are: {join_names(parameters)}"
                )
        if key is not None and ignore:
            raise ConfigurationError(
                f"{title}: key= says what is in the key, so ignore={ignore!r} has nothing to add; give one of the two"
            )
        if key is None:
            self.names = tuple(name for name in parameters if name not in ignore)
        elif isinstance(key, str):
            self.template = key
            self.names = _check_template(title, key, parameters)
            if any("." in field for field in self.names):
                self.function = _reader(f"{title}: key={key!r}", self.names, believed.signature)
                self.names = ("key=",)
        elif callable(key):
            refuse_coroutine_function(f"{title}: key=", key)
            if not believed.is_open:
                _check_key_function(title, key, believed.signature)
            self.function = key
            self.names = ("key=",)
        else:
            raise ConfigurationError(
                f"{title}: key={key!r} is {with_article(type(key))}; wanted: a template such as 'user:{{user_id}}', "
                "or a function that takes the call's arguments and returns what is in the key"
            )
        defaults = _defaults(parameters, self.names, fills_in=believed.is_open and key is None, is_method=is_method)
        self.defaults = tuple(defaults.get(name, Parameter.empty) for name in self.names)
        """The default of each; Parameter.empty where there is none."""
        self.are_all = self.function is None and len(self.names) == len(parameters)
        """True if all arguments are in a key, as they are."""
        self.instance_at: int | None = None
        """The position among the names at which a method's instance would be."""
        first = next(iter(parameters.values()), None)
        if first is not None and first.kind in POSITIONAL and first.name in self.names:
            self.instance_at = self.names.index(first.name)


def _defaults(
    parameters: Mapping[str, Parameter], names: tuple[str, ...], *, fills_in: bool, is_method: bool
) -> dict[str, Any]:
    """Return the default of each of the *parameters*; LEFT_OUT where a wrapper that *fills_in* some may do so.

    It may fill one in before what it is given, so that each argument is for the next parameter. So nothing may be left
    out after one that is not among the *names* in the key; but a method's instance is not taken for another.
    """
    defaults: dict[str, Any] = {}
    for each in parameters.values():
        is_instance = is_method and not defaults
        defaults[each.name] = LEFT_OUT if fills_in and each.default is each.empty else each.default
        fills_in = fills_in and (is_instance or each.kind not in POSITIONAL or each.name in names)
    return defaults


def _check_template(title: str, template: str, parameters: Iterable[str]) -> tuple[str, ...]:
    names = template_names(f"{title}: key={template!r}", template, parameters, "; for more, pass a function")
    if not names and list(parameters):
        raise ConfigurationError(
            f"{title}: key={template!r} names no parameter, so that all calls would share one entry; "
            f"there are: {join_names(parameters)}"
        )
    return tuple(dict.fromkeys(names))


def _reader(where: str, fields: tuple[str, ...], signature: Signature) -> Callable[..., tuple[object, ...]]:
    """Return the key function of a template with attributes: it returns the values of its *fields*."""

    def read(*args: Any, **kwargs: Any) -> tuple[object, ...]:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return tuple(read_field(where, field, bound.arguments) for field in fields)

    return read


def _check_key_function(title: str, key: Callable[..., Any], signature: Signature) -> None:
    """Raise ConfigurationError if *key* cannot be called with the arguments that are in *signature*."""
    if why := why_uncallable(key, signature.parameters.values()):
        raise ConfigurationError(
            f"{title}: key= cannot be called with the call's arguments, {join_names(signature.parameters)}: {why}; "
            "wanted: a function that takes the same, or a template such as 'user:{user_id}'"
        )


class KeyMaker:
    """The maker of the keys of one function on one cache."""

    def __init__(
        self,
        title: str,
        namespace: str,
        spec: KeySpec,
        version: object,
        owner: Owner,
        *,
        shared: bool,
        head_numbers: dict[bytes, str],
    ) -> None:
        self.title = title
        self._spec = spec
        self._shared = shared
        self._instance_at = None if shared else spec.instance_at  # elsewhere nobody knows an instance of ours
        self._owner = owner
        self._encode = encode if shared else encode_in_process
        self._version = version
        try:
            self._suffix = "" if version is None else _version_suffix(version)
        except UnkeyableArgument as error:
            raise ConfigurationError(f"{title}: version= cannot be part of a key: {error}") from None
        head = encode((namespace, None, spec.names, spec.template))
        self._hash = blake2b(head, digest_size=16)
        # Where people may see it among others, a key says whose it is; in process it takes as little room and time as
        # it can: a digest is a quarter shorter in base 64, and what is no longer needs none.
        self._prefix = readable_prefix(namespace) if shared else f"{SCHEME}:"
        self._number = None if shared else _head_number(head, head_numbers)
        self.namespace = namespace
        self.all_tag = all_tag(namespace)
        """The tag of all entries of this namespace, whichever function or version made them."""
        if self._suffix and not shared:
            _note_version(self.all_tag, self._suffix)

    def add_schema(self, digest: bytes) -> None:
        """Let the *digest* of the type of the results be part of the version."""
        self._suffix = _version_suffix(("schema", digest, self._version))

    @property
    def has_version(self) -> bool:
        """True if keys say more than which call it is."""
        return bool(self._suffix)

    def key(self, values: tuple[object, ...]) -> str:
        """Return the key of the call whose arguments in it are *values*, in the order of KeySpec.names."""
        # The same as below, in a third of the time
        if self._number is not None and (text := plain_text(values)) is not None and len(text) <= LONGEST_INLINE:
            return self._number + text + self._suffix
        at = self._instance_at
        try:
            if at is not None and self._owner.is_possible and id(type(values[at])) not in BUILTIN_TYPES:
                content = b"".join([self._encode_at(position, value) for position, value in enumerate(values)])
            else:
                content = self._encode(values[0]) if len(values) == 1 else b"".join(map(self._encode, values))
        except UnkeyableArgument as error:
            content = self._content_with_defaults(values)
            if not content:
                raise UnkeyableArgument(self._message(values) or str(error)) from None
        if self._number is not None and len(content) <= LONGEST_INLINE and content.isascii():
            text = content.decode("ascii")
            if text.isprintable():
                return self._number + text + self._suffix
        digest = self._hash.copy()
        digest.update(content)
        return self._from_digest(digest) + self._suffix

    def call_tag(self, key: str) -> str:
        """Return the tag of all results of the call with this *key*, whichever version made them."""
        return call_tag(key.removesuffix(self._suffix))

    def call_keys(self, key: str) -> tuple[str, ...]:
        """Return the keys of the call with this *key*: that itself and, if it has a version, the one without."""
        return (key, key.removesuffix(self._suffix)) if self._suffix else (key,)

    def other_versions(self, key: str) -> list[str]:
        """Return, on a cache in this process, the keys that the call with this *key* has in other versions."""
        suffixes = version_suffixes.get(self.all_tag) or version_suffixes.get("", ())
        call_key = key.removesuffix(self._suffix)
        return [call_key + suffix for suffix in ("", *suffixes) if suffix != self._suffix]

    def request_key(self, key: str, request: tuple[object, ...]) -> str:
        """Return the key of the call with this *key* in a web request, which says what of that matters."""
        digest = blake2b(self._encode((key, request)), digest_size=16)
        return self._from_digest(digest)

    def _from_digest(self, digest: blake2b) -> str:
        text = digest.hexdigest() if self._shared else b2a_base64(digest.digest(), newline=False).decode()
        return self._prefix + text

    def _content_with_defaults(self, values: tuple[object, ...]) -> bytes:
        """Return the content of the key where a default that was left out has no form; empty if another value has none.

        Such as a sentinel, a lock or a lambda, which nobody thinks of as an argument.
        """
        parts = []
        for position, value in enumerate(values):
            try:
                parts.append(self._encode_at(position, value))
            except UnkeyableArgument:
                if not self._is_default(position, value):
                    return b""
                parts.append(DEFAULT)
        return b"".join(parts)

    def _encode_at(self, position: int, value: object) -> bytes:
        return self._encode(value) if position != self._instance_at else self._encode_instance(value)

    def _is_default(self, position: int, value: object) -> bool:
        defaults = self._spec.defaults
        return position < len(defaults) and value is defaults[position]

    def _encode_instance(self, value: object) -> bytes:
        """Return what stands for the first argument of a method in process."""
        if has_own_key(value) or not self._owner.owns(value):
            return self._encode(value)
        try:
            return b"@%x:" % token(value)
        except TypeError:  # it cannot be held weakly; perhaps its content says which it is
            return self._encode(value)

    def _message(self, values: tuple[object, ...]) -> str:
        """Return what to say of the first of *values* that cannot be part of a key."""
        for position, value in enumerate(values):
            try:
                self._encode_at(position, value)
            except UnkeyableArgument as error:
                if self._is_default(position, value):
                    continue
                return self._message_for(position, value, str(error))
        return ""

    def _message_for(self, position: int, value: object, reason: str) -> str:
        if position >= len(self._spec.names):
            return f"{self.title}: an argument that its signature does not name has no stable key: {reason}"
        name = self._spec.names[position]
        if self._spec.function is not None:
            return f"{self.title}: the result of key= has no stable key: {reason}"
        is_instance = position == self._spec.instance_at and self._owner.owns(value)
        has_key = issubclass(type(value), type) or has_own_key(value)
        if is_instance and not has_key and not reason.endswith(ROW):
            owner = type(value).__qualname__
            lacks = "" if self._shared else " and cannot be held weakly"
            if lacks and not type(value).__itemsize__:  # below int, tuple and bytes Python 3.14 allows no such slot
                lacks += f" (give {owner} '__weakref__' in __slots__)"
            return (
                f"{self.title}: {name!r} has no stable key{lacks}; give {owner} a __cache_key__ method, "
                f"or pass key= or ignore=({name!r},)"
            )
        ways = f"pass key= or ignore=({name!r},)"
        ways = f": {ways}" if reason.endswith(LEAVE_OUT) else f"; or {ways}" if value is not LEFT_OUT else ""
        return f"{self.title}: parameter {name!r} has no stable key: {reason}{ways}"


def _head_number(head: bytes, known: dict[bytes, str]) -> str | None:
    """Return what stands for *head* at the front of a key in this process; None if too many are *known* already."""
    with _lock:
        if head not in known and len(known) < MOST_HEADS:
            known.setdefault(head, f"{next(_next_number):x}:")
        return known.get(head)


def _version_suffix(version: object) -> str:
    return "@" + urlsafe_b64encode(blake2b(encode(version), digest_size=VERSION_SIZE).digest()).decode()


def _note_version(namespace_tag: str, suffix: str) -> None:
    """Note that functions in this process have entries with this *suffix*."""
    with _lock:
        # Where many namespaces have come and gone, the others share one place: then there is more to look for.
        is_known = namespace_tag in version_suffixes or len(version_suffixes) < MOST_HEADS
        place = namespace_tag if is_known else ""
        suffixes = version_suffixes.get(place, ())
        if suffix not in suffixes:
            version_suffixes[place] = (*suffixes, suffix)


def readable_prefix(namespace: str) -> str:
    """Return what the keys of a *namespace* begin with on a shared cache; those of another one may do so, too."""
    return f"{SCHEME}:{UNREADABLE.sub('_', namespace)[-READABLE_LENGTH:]}:"


def all_tag(namespace: str) -> str:
    """Return the tag of all results of a *namespace*."""
    return ALL + blake2b(encode(namespace), digest_size=16).hexdigest()


def namespace_of(key: str) -> str:
    """Return the namespace that is written in a *key* on a shared cache; empty if it is none of ours."""
    match = re.fullmatch(NAMED, key)
    return "" if match is None else match[1]


def call_tag(key: str) -> str:
    """Return the tag of all results of the call with this *key*, which has no version."""
    return CALL + key


def without_version(key: str) -> str:
    """Return *key* without its version, if it is one of ours with a version; a prefix may stand before it."""
    match = re.fullmatch(VERSIONED, key)
    return key if match is None else match[1]
