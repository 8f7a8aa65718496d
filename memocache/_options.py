"""The options of `cached`, checked at decoration; and the words of other caches, answered with ours."""

import copy as copying
import threading
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypedDict, cast

from memocache._current import CacheSource, ref_of
from memocache._hooks import check_view_options
from memocache._policy import UNSET, Duration, Errors, Policy, Timeout, Unset, check_takes_result, seconds
from memocache._signature import check_function
from memocache.backends.base import Cache
from memocache.errors import ConfigurationError, title_of, with_article

if TYPE_CHECKING:
    from memocache.backends.foreign import Foreign

CacheOption: TypeAlias = "Cache | Foreign | str | Callable[[], Cache | Foreign] | None"
KeyOption: TypeAlias = "str | Callable[..., Any] | None"
TagOption: TypeAlias = "Iterable[str | Callable[..., str]]"


class MoreOptions(TypedDict, total=False):
    """The options of `cached` besides *timeout* and *key*, which are given by name; see `Options` for what they are."""

    cache: CacheOption
    namespace: str | None
    version: object
    ignore: Iterable[str]
    unless: Callable[[Any], object] | None
    errors: Errors | None
    stale: Duration
    jitter: float
    tags: TagOption
    copy: bool | Callable[[Any], Any]
    wait: Duration
    view: bool | None
    vary: Iterable[str]


FUNCTIONS: Final = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)

# What to write here -> what other caching decorators call it.
OURS: Final = {
    "timeout=": "ttl expire expires expiration expiration_time expiry max_age seconds stale_after timeout_seconds "
    "cache_validation_callback",
    "timeout=, and stale= for the rest of the ttl": "soft_ttl early_ttl",
    "a cache that is bounded: cache=SimpleCache(threshold=...)": "maxsize max_size max_entries",
    "namespace= (or key_prefix= of the cache object)": "key_prefix",
    "namespace=": "prefix name make_name",
    "key=": "key_builder key_func make_cache_key make_key function_key_generator hash_func",
    "ignore=": "args_to_ignore exclude",
    "ignore=('self',)": "noself",
    "vary=": "vary_on vary_on_headers headers",
    "unless=": "skip_cache_func",
    "unless= (with the opposite answer)": "condition response_filter should_cache_fn",
    "errors=": "cache_exceptions cache_errors",
    "stale=": "grace stale_ttl stale_while_revalidate stale_if_error next_time",
    "wait=": "wait_for_calc_timeout lease",
    "version=memocache.code()": "source_check",
    "refresh() of the decorated function": "forced_update",
    "tags=": "tag group groups depends_on",
    "cache=": "backend alias region",
    "cache= with a cache object or a URL": "endpoint port",
    "cache=SQLiteCache(...)": "cache_dir",
    "cache=RedisCache(...)": "redis_client",
    "the serializer of the cache object": "serializer coder",
    "many() of the decorated function": "keys_from_attr",
}
THEIRS: Final = {word: ours for ours, words in OURS.items() for word in words.split()}

# What they have an option for -> why it goes without saying here.
NEEDLESS: Final = {
    "typed": "arguments of different types always have entries of their own",
    **dict.fromkeys(("lock", "protected"), "calls from several threads at once are always computed once"),
    "info": "every decorated function has .info()",
    "query_string": "the query of a request is always part of a view's key",
    "hash_method": "arguments are always hashed in full",
    **dict.fromkeys(
        ("cache_none", "allow_none"),
        "None is stored like any value; where it is not wanted, unless=lambda result: result is None",
    ),
}


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one decorated function."""

    policy: Policy
    key: KeyOption
    cache: CacheSource
    namespace: str | None
    version: object
    ignore: tuple[str, ...]
    tags: TagOption
    copied: Callable[[Any], Any] | None
    wait: float
    view: bool | None = None
    vary: tuple[str, ...] = ()
    given: Mapping[str, Any] = field(default_factory=dict)
    """The options as they were given, to make the function anew from in another process."""

    @classmethod
    def checked(
        cls,
        timeout: "Timeout | Unset" = UNSET,
        key: KeyOption = None,
        *,
        cache: CacheOption = None,
        namespace: str | None = None,
        version: object = None,
        ignore: Iterable[str] = (),
        unless: Callable[[Any], object] | None = None,
        errors: Errors | None = None,
        stale: Duration = 0,
        jitter: float = 0.0,
        tags: TagOption = (),
        copy: "bool | Callable[[Any], Any]" = False,
        wait: Duration = 10,
        view: bool | None = None,
        vary: Iterable[str] = (),
        **unknown: object,
    ) -> "Options":
        """Return the options if they can work, else raise ConfigurationError."""
        for word in unknown:
            raise ConfigurationError(_answer(word))
        if isinstance(timeout, Cache | Mapping) or (isinstance(timeout, str) and "://" in timeout):
            # In first place other decorators have it. A URL is not shown, since it may have a password.
            raise ConfigurationError(f"timeout= got {with_article(type(timeout))} that is a cache; use cache=")
        used = _checked_cache(cache)
        if not callable(copy) and not isinstance(copy, bool):
            raise ConfigurationError(
                f"copy={copy!r}; wanted: True for a deep copy, False, or a function that copies a result"
            )
        if callable(copy):
            check_takes_result("copy=", copy, "returns a copy of it")
        waits = seconds(wait, "wait")
        if waits < 0:
            raise ConfigurationError(f"wait={wait!r} is negative; wanted: seconds, 0 for not to wait")
        if isinstance(ignore, str):
            raise ConfigurationError(f"ignore={ignore!r} is one text; wanted: a tuple of names, ignore=({ignore!r},)")
        if not isinstance(ignore, Iterable):
            raise ConfigurationError(f"ignore={ignore!r}; wanted: a tuple of names, such as ignore=('db',)")
        if isinstance(tags, Iterable) and not isinstance(tags, str):
            tags = tuple(tags)  # they are read for each function, and for a method once more
        for each in version if type(version) is tuple else (version,):
            if isinstance(each, FUNCTIONS):  # as a key it counts by its name
                name = title_of(each)
                raise ConfigurationError(
                    f"version= got the function {name}, which would never be another version; wanted: a value such as "
                    f"2, or what the function returns, {name}()"
                )
        waits = min(waits, threading.TIMEOUT_MAX)  # a lock cannot wait longer
        copied = copying.deepcopy if copy is True else copy or None
        policy = Policy(timeout, unless, errors=errors, stale=stale, jitter=jitter)
        is_view, headers = check_view_options(view, vary)
        return cls(policy, key, used, namespace, version, tuple(ignore), tags, copied, waits, is_view, headers)


def _checked_cache(given: Any) -> CacheSource:
    if given is None or isinstance(given, str):
        return ref_of(given)
    if isinstance(given, Cache):
        return given
    # Not before somebody else's object is given: it needs a serializer, which takes time to import.
    from memocache.backends.foreign import is_foreign, wrapping

    if isinstance(given, type) and (issubclass(given, Cache) or is_foreign(given)):
        # As a function it would make a new cache for each call.
        name = given.__name__
        raise ConfigurationError(f"cache={name} is a class; wanted: a cache object that is kept, {name}(...)")
    cache = wrapping(given)
    if cache is not None:
        return cache
    if callable(given):
        check_function("cache=", given, (), "without arguments", "a function that can, and returns a cache")
        return cast("Callable[[], Cache]", given)
    raise ConfigurationError(
        f"cache= got {with_article(type(given))}; wanted: a cache object such as SimpleCache() or "
        "MemcachedCache(['127.0.0.1:11211']), its URL, a name that configure() is given, any object with get, set and "
        "delete, a function without arguments that returns one, or None for the default cache"
    )


def _answer(word: str) -> str:
    if word in NEEDLESS:
        return f"cached() has no option {word!r} and needs none: {NEEDLESS[word]}"
    if word in THEIRS:
        return f"cached() has no option {word!r}; use {THEIRS[word]}"
    return f"cached() has no option {word!r}; it has: {', '.join(['timeout', 'key', *MoreOptions.__annotations__])}"
