"""Keys: the texts under which caches keep the results of calls.

A Namespace stands for the function, a KeySpec says which of its arguments are in a key; a KeyMaker makes keys of both.
"""

import inspect
import itertools
import re
import sys
import threading
from base64 import urlsafe_b64encode
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from hashlib import blake2b
from inspect import Parameter
from types import CodeType, ModuleType
from typing import Any, Final

from memocache._canonical import encode, encode_in_process, has_own_key, module_name
from memocache._fork import in_child
from memocache._instances import Owner, token
from memocache._signature import POSITIONAL, BelievedSignature, open_parameters
from memocache._tags import join_names, template_names
from memocache.errors import ConfigurationError, UnkeyableArgument

__all__ = ["CALL", "KeyMaker", "KeySpec", "Namespace", "call_tag", "version_suffixes", "without_version"]

SCHEME: Final = "v1"
CALL: Final = "call:"
READABLE_LENGTH: Final = 100  # characters of the namespace at the front of a key
LONGEST_INLINE: Final = 22  # bytes of arguments that stand in a key as they are: no longer than a digest of them
DEFAULT: Final = b"default0:"  # a frame, as `encode` makes them: stands for a default that has no form
MOST_HEADS: Final = 10_000
MOST_NAMES: Final = 10_000
UNREADABLE: Final = re.compile(r"[^A-Za-z0-9_.<>\-]")
# A key of a version is the call's key, and a suffix: together at most 250 characters, with the longest prefix.
VERSION_SIZE: Final = 9  # bytes, which are 12 characters
VERSIONED: Final = re.compile(rf"(.*{SCHEME}:[A-Za-z0-9_.<>\-]*:[0-9a-f]{{32}})@[A-Za-z0-9_\-]{{12}}")
# Types without methods of the user's; by id, since a metaclass may have a __hash__ of its own.
BUILTIN_TYPES: Final = frozenset(
    map(id, (int, str, bytes, bool, float, complex, type(None), tuple, list, dict, set, frozenset))
)

_local_numbers: Final = itertools.count(1)
_codes_by_path: Final[dict[str, list[CodeType]]] = {}
"""The code of the functions that go by their own name, by that name."""
_head_numbers: Final[dict[bytes, str]] = {}
"""Short texts that stand in process for the heads of keys."""
_next_number: Final = itertools.count()
version_suffixes: Final[dict[str, tuple[str, ...]]] = {}
"""By the tag of a namespace, what is at the end of the keys of its versions in this process."""
_head_lock = threading.RLock()


@in_child
def _after_fork() -> None:
    global _head_lock
    _head_lock = threading.RLock()


class Namespace:
    """The first part of a function's keys, and whether other processes know it by that name."""

    def __init__(self, function: Callable[..., Any], given: str | None) -> None:
        if given is not None and (not isinstance(given, str) or not given):
            raise ConfigurationError(f"namespace={given!r}; wanted: a text that is not empty")
        self._given = given
        qualname = getattr(function, "__qualname__", None)
        self.title = qualname or type(function).__qualname__
        """The function's name in messages."""
        self._path = f"{module_name(function)}.{self.title}"
        self._module = getattr(function, "__module__", None) or ""
        codes = self._codes = _codes(function)
        self._why_unnamed = ""  # why other processes cannot know it by its name
        if _is_bound(function):
            self._why_unnamed = "belongs to an object"
        elif qualname is None or "<lambda>" in qualname:
            self._why_unnamed = "has no name"
        elif "<locals>" in qualname and any(code.co_freevars for code in codes):
            self._why_unnamed = "is made inside another function and uses its variables"
        self._is_local = bool(self._why_unnamed) or "<locals>" in self.title
        if not (self._is_local or given):
            # Two functions may have one name, as those that singledispatch registers do, or the cell of a notebook
            # that is run again. Where many names have come and gone, each further function has entries of its own.
            is_known = self._path in _codes_by_path or len(_codes_by_path) < MOST_NAMES
            self._is_local = not is_known or _codes_by_path.setdefault(self._path, codes) != codes
        self._number = next(_local_numbers) if self._is_local else 0

    def text(self, *, shared: bool) -> str:
        """Return the namespace on a cache that is *shared* or not; ConfigurationError if it needs a name there."""
        if self._given is not None:
            return self._given
        if not self._is_local:
            return self._path
        if not shared:
            return f"{self._path}#{self._number}"  # each of them has entries of its own
        if self._why_unnamed:
            raise ConfigurationError(
                f"{self.title} {self._why_unnamed}, so that another process cannot know which function the entries in "
                "a shared cache belong to; pass namespace='...', different for each such function"
            )
        return self._path

    def find_current(self) -> object:
        """Return the object that the function's module has under its name now."""
        thing: object = sys.modules.get(self._module)
        for part in self.title.split("."):
            thing = inspect.getattr_static(thing, part, None)
        return thing

    def belongs_to(self, function: Callable[..., Any]) -> bool:
        """Return whether this is the namespace of *function*, too: the same code, perhaps decorated twice."""
        return self._codes == _codes(function)


def _is_bound(function: object) -> bool:
    """Return whether *function* belongs to an object, as `{}.get` does, which its name does not tell."""
    owner = getattr(function, "__self__", None)
    return owner is not None and not isinstance(owner, ModuleType)


def _codes(function: Any) -> list[CodeType]:
    """Return the code of *function* and of all that it wraps."""
    codes = []
    while function is not None:
        code = getattr(function, "__code__", None)
        if isinstance(code, CodeType):
            codes.append(code)
        function = getattr(function, "__wrapped__", None)
    return codes


class KeySpec:
    """The arguments that are part of a key: the options key= and ignore=, checked against the signature."""

    def __init__(
        self, title: str, believed: BelievedSignature, key: "str | Callable[..., Any] | None", ignore: tuple[str, ...]
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
        elif callable(key):
            self.function = key
            self.names = ("key=",)
        else:
            raise ConfigurationError(
                f"{title}: key={key!r} is a {type(key).__name__}; wanted: a template such as 'user:{{user_id}}', "
                "or a function that takes the call's arguments and returns what is in the key"
            )
        bound = open_parameters(believed.signature, "")[0] if believed.is_open else parameters
        defaults = {name: bound[name].default for name in parameters}
        self.defaults = tuple(defaults.get(name, Parameter.empty) for name in self.names)
        """The default of each; Parameter.empty where there is none."""
        self.are_all = self.function is None and len(self.names) == len(parameters)
        """True if all arguments are in a key, as they are."""
        self.instance_at: int | None = None
        """The position among the names at which a method's instance would be."""
        first = next(iter(parameters.values()), None)
        if first is not None and first.kind in POSITIONAL and first.name in self.names:
            self.instance_at = self.names.index(first.name)


def _check_template(title: str, template: str, parameters: Iterable[str]) -> tuple[str, ...]:
    names = template_names(f"{title}: key={template!r}", template, parameters, "; for more, pass a function")
    if not names and list(parameters):
        raise ConfigurationError(
            f"{title}: key={template!r} names no parameter, so that all calls would share one entry; "
            f"there are: {join_names(parameters)}"
        )
    return tuple(dict.fromkeys(names))


class KeyMaker:
    """The maker of the keys of one function on one cache."""

    def __init__(
        self, title: str, namespace: str, spec: KeySpec, version: object, owner: Owner, *, shared: bool
    ) -> None:
        self.title = title
        self._spec = spec
        self._shared = shared
        self._instance_at = None if shared else spec.instance_at  # elsewhere nobody knows an instance of ours
        self._owner = owner
        self._encode = encode if shared else encode_in_process
        try:
            self._suffix = "" if version is None else _version_suffix(version)
        except UnkeyableArgument as error:
            raise ConfigurationError(f"{title}: version= cannot be part of a key: {error}") from None
        head = encode((namespace, None, spec.names, spec.template))
        self._hash = blake2b(head, digest_size=16)
        # Where people may see it among others, a key says whose it is; in process it takes as little room and time as
        # it can: a digest is a quarter shorter in base 64, and what is no longer needs none.
        self._prefix = f"{SCHEME}:{UNREADABLE.sub('_', namespace)[-READABLE_LENGTH:]}:" if shared else f"{SCHEME}:"
        self._number = None if shared else _head_number(head)
        self.all_tag = "all:" + blake2b(encode(namespace), digest_size=16).hexdigest()
        """The tag of all entries of this namespace, whichever function or version made them."""
        if self._suffix and not shared:
            _note_version(self.all_tag, self._suffix)

    def key(self, values: tuple[object, ...]) -> str:
        """Return the key of the call whose arguments in it are *values*, in the order of KeySpec.names."""
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
        if position == self._spec.instance_at and self._owner.owns(value) and not _has_stable_key(value):
            owner = type(value).__qualname__
            lacks = "" if self._shared else f" and cannot be held weakly (give {owner} '__weakref__' in __slots__)"
            return (
                f"{self.title}: {name!r} has no stable key{lacks}; give {owner} a __cache_key__ method, "
                f"or pass key= or ignore=({name!r},)"
            )
        return f"{self.title}: parameter {name!r} has no stable key: {reason}; or pass key= or ignore=({name!r},)"


def _head_number(head: bytes) -> str | None:
    """Return what stands for *head* at the front of a key in this process; None if too many have something already."""
    with _head_lock:
        if head not in _head_numbers and len(_head_numbers) < MOST_HEADS:
            _head_numbers.setdefault(head, f"{next(_next_number):x}:")
        return _head_numbers.get(head)


def _version_suffix(version: object) -> str:
    return "@" + urlsafe_b64encode(blake2b(encode(version), digest_size=VERSION_SIZE).digest()).decode()


def _note_version(namespace_tag: str, suffix: str) -> None:
    """Note that functions in this process have entries with this *suffix*."""
    with _head_lock:
        # Where many namespaces have come and gone, the others share one place: then there is more to look for.
        is_known = namespace_tag in version_suffixes or len(version_suffixes) < MOST_HEADS
        place = namespace_tag if is_known else ""
        suffixes = version_suffixes.get(place, ())
        if suffix not in suffixes:
            version_suffixes[place] = (*suffixes, suffix)


def call_tag(key: str) -> str:
    """Return the tag of all results of the call with this *key*, which has no version."""
    return CALL + key


def without_version(key: str) -> str:
    """Return *key* without its version, if it is one of ours with a version; a prefix may stand before it."""
    match = VERSIONED.fullmatch(key)
    return key if match is None else match[1]


def _has_stable_key(value: object) -> bool:
    return issubclass(type(value), type) or has_own_key(value)
