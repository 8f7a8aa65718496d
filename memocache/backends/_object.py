"""An object of somebody else's with get, set and delete: how to call it, found out once by its signatures."""

import inspect
import logging
import math
import threading
from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from memocache._policy import FOREVER
from memocache.backends._breaker import Breaker
from memocache.backends._packed import LONGEST_EXPIRY
from memocache.backends._verbs import Verb
from memocache.errors import BackendUnavailable, ConfigurationError

__all__ = ["Foreign", "ForeignObject", "is_foreign"]

log: Final = logging.getLogger("memocache")

NEEDED: Final = ("get", "set", "delete")
MANY: Final = ("get_many", "multi_get", "get_multi", "mget")
CLEAR: Final = ("clear", "flush_all", "flushdb")
TIMEOUT: Final = (
    "timeout",
    "ttl",
    "expire",
    "ex",
    "time",
)  # as cachelib and Django, aiocache, pymemcache, redis-py, pylibmc
LONG: Final = 20 * 365 * 86400  # seconds


class Getting(Protocol):
    """What has get, set and delete, whatever else they take."""

    def get(self, key: Any, /) -> Any: ...
    def set(self, key: Any, value: Any, /) -> Any: ...
    def delete(self, key: Any, /) -> Any: ...


Foreign: TypeAlias = "Getting | MutableMapping[Any, Any]"
"""What a ForeignCache takes."""


def is_foreign(given: object) -> bool:
    """Return whether *given* is a Foreign, or a class of such objects."""
    if isinstance(given, type):
        return not _missing(given) or issubclass(given, MutableMapping)
    return not _missing(given) or isinstance(given, MutableMapping)


def _missing(given: object) -> list[str]:
    return [name for name in NEEDED if not callable(getattr(given, name, None))]


class ForeignObject:
    """What is asked of somebody else's object: reading, setting and deleting bytes, as steps of a Verb.

    An error of its own is for the driver to make a BackendError of.
    """

    def __init__(self, given: Any) -> None:
        self.name = type(given).__qualname__
        missing = _missing(given)
        if isinstance(given, type):
            raise ConfigurationError(
                f"ForeignCache() got the class {given.__name__}; wanted: one of its objects, that is kept"
            )
        self._mapped: Mapped | None = None
        if missing and isinstance(given, MutableMapping):
            given = self._mapped = Mapped(given)
        elif missing:
            raise ConfigurationError(
                f"ForeignCache() got a {self.name}, which has no {' and no '.join(missing)}; "
                "wanted: an object with get, set and delete, or a mapping such as a dict"
            )
        self._given = given
        self.is_async = self._is_async(given)
        self._get_many = _first(given, MANY)
        self._takes_list = self._get_many is not None and not _is_variadic(getattr(given, self._get_many))
        self._set_options = Timing(given.set)
        self._add_options = Timing(given.add) if callable(getattr(given, "add", None)) else None
        self._delete_options = _acknowledged(given.delete)
        self._clear = _first(given, CLEAR)
        self.start_anew()

    def _is_async(self, given: Any) -> bool:
        kinds = {name: inspect.iscoroutinefunction(getattr(given, name)) for name in NEEDED}
        if len(set(kinds.values())) == 2:
            raise ConfigurationError(
                f"ForeignCache() got a {self.name}, of which some methods are coroutine functions "
                f"({', '.join(name for name, kind in kinds.items() if kind)}) and some are not; wanted: all or none"
            )
        return kinds["get"]

    def start_anew(self) -> None:
        """Use no lock that a parent process may hold."""
        self._breaker = Breaker()
        if self._mapped is not None:
            self._mapped.start_anew()

    def failed(self, error: Exception) -> BackendUnavailable:
        """Return what to raise for an *error* of the object's."""
        return BackendUnavailable(f"{self.name} failed: {type(error).__name__}: {error}")

    def _ask(self, name: str, *args: object, **options: object) -> Any:
        # By name each time: what Django calls its cache is another object in each thread.
        return getattr(self._given, name)(*args, **options)

    # ---- steps ---------------------------------------------------------------------------------------------------

    def read(self, keys: Sequence[str], *, urgent: bool = False) -> Verb[list[bytes | None]]:
        """Return what is under *keys*, in their order, in one round trip if the object can do that.

        While it is failing, it is left alone for growing moments, unless it is *urgent*. Only reading decides that: an
        error of writing may be one value's own.
        """
        breaker = self._breaker
        if breaker.failures and not urgent and not breaker.allows():
            raise BackendUnavailable(f"{self.name} failed before and is left alone for a moment")
        try:
            found = yield from self._read(keys)
        except BackendUnavailable as error:
            if breaker.failed():
                log.warning("%s; calls are computed until it is back", error)
            raise
        if breaker.failures:
            breaker.succeeded()
        return [data if type(data) is bytes else None for data in found]

    def _read(self, keys: Sequence[str]) -> Verb[list[object]]:
        found: Any
        answers: list[object] = []
        if self._get_many is None or len(keys) == 1:
            for key in keys:
                answers.append((yield partial(self._ask, "get", key)))
            return answers
        found = yield partial(self._ask, self._get_many, *([list(keys)] if self._takes_list else keys))
        if isinstance(found, Mapping):
            return [found.get(key) for key in keys]
        answers = list(found) if isinstance(found, Iterable) else []
        if len(answers) != len(keys):
            raise BackendUnavailable(f"{self.name} was asked for {len(keys)} keys, and did not answer with as many")
        return answers

    def set(self, key: str, data: bytes, lifetime: float) -> Verb[None]:
        """Set *data* for at least *lifetime* seconds."""
        done = yield partial(self._ask, "set", key, data, **self._set_options(lifetime))
        if done is False:
            raise BackendUnavailable(f"{self.name} did not store what it was given")

    def add(self, key: str, data: bytes, lifetime: float) -> Verb[bool]:
        """Set *data* where there is nothing; atomically if the object can. Whether it was set, as far as that says."""
        if self._add_options is None:
            yield from self.set(key, data, lifetime)
            return True
        try:
            done = yield partial(self._ask, "add", key, data, **self._add_options(lifetime))
        except BackendUnavailable as error:
            if type(error.__cause__) is ValueError:  # aiocache's way to say that there is something
                return False
            raise
        return done is None or bool(done)

    def delete(self, key: str) -> Verb[None]:
        """Delete what is under *key*."""
        yield partial(self._ask, "delete", key, **self._delete_options)

    def clear(self) -> Verb[bool]:
        """Delete everything."""
        if self._clear is None:
            raise ConfigurationError(f"clear() needs a {self.name} with clear; it has {', '.join(NEEDED)}")
        return (yield partial(self._ask, self._clear)) is not False


class Timing:
    """How a method is told for how many seconds to keep what it is given."""

    def __init__(self, method: Callable[..., Any]) -> None:
        parameters = _parameters(method)
        takes_any = any(each.kind is each.VAR_KEYWORD for each in parameters.values())
        named = [name for name in TIMEOUT if name in parameters]
        self._options = _acknowledged(method)
        # What hands on any options is taken for one like Flask-Caching, which hands them to one of cachelib's.
        self._name = named[0] if named else "timeout" if takes_any else None
        default = parameters[named[0]].default if named else None
        self._forever: dict[str, object] = {}
        if self._name == "timeout" and default is None:
            # To cachelib None is its default, and 0 for ever; but what is for ever leaves first when it is full.
            self._forever = {"timeout": LONG}
        elif self._name is not None and default not in (None, 0):
            self._forever = {self._name: None}  # to Django and aiocache; the default is one of theirs

    def __call__(self, lifetime: float) -> dict[str, object]:
        """Return the options for at least *lifetime* seconds: the envelope knows better."""
        if self._name is None:
            return self._options
        if lifetime == FOREVER or lifetime + 1 > LONGEST_EXPIRY:
            return {**self._options, **self._forever}
        return {**self._options, self._name: max(2, math.ceil(lifetime) + 1)}


class Mapped:
    """A mapping with the methods of a cache. A lock is round each of them, since not every mapping can do without."""

    def __init__(self, mapping: MutableMapping[Any, Any]) -> None:
        self._mapping = mapping
        self.start_anew()

    def start_anew(self) -> None:
        self._lock = threading.RLock()

    def get(self, key: str) -> Any:
        with self._lock:
            return self._mapping.get(key)

    def get_many(self, keys: Sequence[str]) -> list[Any]:
        with self._lock:
            return [self._mapping.get(key) for key in keys]

    def set(self, key: str, data: bytes) -> None:
        with self._lock:
            self._mapping[key] = data

    def add(self, key: str, data: bytes) -> bool:
        with self._lock:
            if key in self._mapping:
                return False
            self._mapping[key] = data
            return True

    def delete(self, key: str) -> None:
        with self._lock:
            self._mapping.pop(key, None)

    def clear(self) -> None:
        with self._lock:
            self._mapping.clear()


def _first(given: object, names: Iterable[str]) -> str | None:
    return next((name for name in names if callable(getattr(given, name, None))), None)


def _parameters(method: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(method).parameters
    except (ValueError, TypeError):  # what is written in C may not tell
        return {}


def _is_variadic(method: Callable[..., Any]) -> bool:
    return any(each.kind is each.VAR_POSITIONAL for each in list(_parameters(method).values())[:1])


def _acknowledged(method: Callable[..., Any]) -> dict[str, object]:
    """Return the options with which *method* waits for the server's answer: pymemcache's does not by itself."""
    return {"noreply": False} if "noreply" in _parameters(method) else {}
