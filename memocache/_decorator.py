"""cached(): what may be decorated, and with which options."""

import functools
import inspect
import types
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, ParamSpec, TypeVar, Unpack, cast, overload

from memocache._memoizer import Memoizer
from memocache._options import KeyOption, MoreOptions, Options
from memocache._policy import UNSET, Duration, Timeout, Unset
from memocache._signature import believed_signature, generator_kind
from memocache.errors import ConfigurationError, title_of, with_article

if TYPE_CHECKING:
    from memocache._function import CachedFunction

P = ParamSpec("P")
R = TypeVar("R")


@overload
def cached(timeout: Callable[P, R], /) -> "CachedFunction[P, R]": ...
@overload
def cached(
    timeout: "Duration | Unset | None" = UNSET, key: KeyOption = None, **options: Unpack[MoreOptions]
) -> "_Decorator": ...
@overload
def cached(*, timeout: Timeout, key: KeyOption = None, **options: Unpack[MoreOptions]) -> "_Decorator": ...
def cached(*args: Any, **options: Any) -> Any:
    """Keep the results of a function: look in the cache, or compute and store.

    Calls that are equal share one result, however they are spelt; calls that differ in a value or its type never do.
    However many threads ask at once, one of them computes. Trouble in the cache never reaches the caller: the function
    is computed instead. The decorated function gains `uncache` and the other methods of CachedFunction.

    >>> @cached(timeout="5m")
    ... def report(account_id: int, month: str = "current") -> dict[str, int]:
    ...     return {"account": account_id}
    >>> report(7) is report(account_id=7, month="current")
    True
    >>> report.uncache(7)
    True

    Args:
        timeout: for how long a result is fresh: seconds, a timedelta, text such as "90s", "5m", "1h30m", "2d"; None for
            ever; or a function that takes the result and returns any of these, 0 or less for not storing it. Not
            given: the cache's default_timeout, 300 seconds unless it was set.
        key: what of the arguments is in the key: a template that names parameters, "user:{user_id}", or a function that
            takes the call's own arguments and returns any keyable value. None: all arguments.
        cache: a cache object; or its URL, see `cache_from_url`: all functions that give the same URL share one cache
            object, made when it is first needed; or a name that `configure` gives a cache, before or after; or a
            function without arguments that returns a cache, asked each time. None: the default cache at the time of the
            call, see `configure`.
        namespace: the first part of the keys; functions of one namespace share entries. None: module and
            qualified name, which on a shared cache must lead to the function.
        version: any keyable value; a new one leaves the old entries behind. `memocache.code()`: its code.
        ignore: names of parameters that are no part of the key and are never looked at.
        unless: a function that takes the result and returns True where it is not to be stored.
        errors: {NotFound: 30}: for how long it is remembered that a call raised such an exception, or one of a
            subclass: a duration, or None for ever. A call that finds it raises a new one, with the same arguments.
        stale: for how long after its timeout, a duration, an old result may be served while one caller has it computed
            again in the background; also if that raises. 0: not at all.
        jitter: a fraction; each result's timeout is longer or shorter by up to that, so that what was computed together
            does not run out together.
        tags: templates that name parameters, "tenant:{tenant_id}", or functions of these that return a tag; see
            `uncache_tag` and CachedFunction.uncache_where.
        copy: True for a deep copy, or a function that copies, so that callers may change what an in-process cache, or
            a near tier, hands out; or, on any cache, what callers who waited for one computation are given together.
        wait: seconds to wait for another call's computation before computing alone; 0 for not waiting.
        view: whether the function is a web view: then the request is part of its key, and it is served and stored as
            HTTP lets a shared cache do. None: in a request, if the web framework knows it as one.
        vary: for a view, names of request headers that matter, such as "Accept-Language".

    Raises:
        ConfigurationError: at decoration, for options that cannot work and functions that cannot be cached. (At the
            first call, where a shared cache is not known before, and where the name does not lead to the function.)
    """
    if len(args) > 2 or any(name in options for name in ("timeout", "key")[: len(args)]):
        raise ConfigurationError(
            "cached() takes timeout and key in this order, and all else by name; "
            "to decorate a function in one line, write cached(timeout=300)(function)"
        )
    if len(args) == 1 and not options and (callable(args[0]) or hasattr(type(args[0]), "__get__")):
        # Alone in first place, it is the function, or what a class makes of one: a classmethod is not callable.
        return _Decorator(Options.checked())(args[0])
    given = {**dict(zip(("timeout", "key"), args, strict=False)), **options}
    return _Decorator(replace(Options.checked(**given), given=given))


_options = inspect.signature(Options.checked)
cached.__signature__ = _options.replace(  # type: ignore[attr-defined]
    parameters=[each for each in _options.parameters.values() if each.kind is not each.VAR_KEYWORD],
    return_annotation=inspect.Signature.empty,
)


# What a class makes of plain functions of these names.
IMPLICIT: Final = {"__new__": staticmethod, "__class_getitem__": classmethod, "__init_subclass__": classmethod}
# What method_decorator decorates to see which attributes that adds; its parameters are not those of the method.
TRIED_BY_DJANGO: Final = ("django.utils.decorators", "_update_method_wrapper.<locals>.dummy")


class _Decorator:
    """The result of `cached(...)`: it decorates functions with the options that it was given."""

    __slots__ = ("_options", "cached_methods")

    def __init__(self, options: Options) -> None:
        self._options = options
        self.cached_methods: dict[Callable[..., Any], Any] = {}
        """The methods that Django's method_decorator has had it decorate, by function."""

    def __call__(self, function: Callable[P, R], /) -> "CachedFunction[P, R]":
        """Return *function* as a CachedFunction; a method that is bound already as a bound one."""
        return cast("CachedFunction[P, R]", self._decorated(function))

    def _decorated(self, function: Any) -> Any:
        if type(function) is types.MethodType:  # and not a proxy of one: what that adds is part of it
            return self._bound(function.__func__, function.__self__)
        if (getattr(function, "__module__", ""), getattr(function, "__qualname__", "")) == TRIED_BY_DJANGO:
            return function
        if _stands_for_a_method(function):
            return self._method(function.func)
        kind: type | None = next((each for each in (classmethod, staticmethod) if isinstance(function, each)), None)
        inner = function.__func__ if kind else function
        if type(inner) is types.FunctionType and "." in inner.__qualname__:
            kind = kind or IMPLICIT.get(inner.__name__)
        if not isinstance(inner, type) and callable(inner) and not hasattr(inner, "__qualname__"):
            method = inspect.getattr_static(type(inner), "__call__", None)
            if isinstance(method, types.FunctionType) and not isinstance(inner, functools.partial):
                return self._bound(method, inner)
        return _cached_function(inner, kind, self._options)

    def _method(self, bound: types.MethodType) -> Any:
        """Return the cached form of the *bound* method, which Django's method_decorator asks for in each call anew."""
        cached_method = self.cached_methods.get(bound.__func__)
        if cached_method is None:
            method = _cached_function(bound.__func__, types.MethodType, self._options)
            cached_method = self.cached_methods.setdefault(bound.__func__, method)
        return cached_method.__get__(bound.__self__)

    def _bound(self, function: Any, instance: object) -> Any:
        """Return the cached form of *function* as a method of *instance*."""
        return _cached_function(function, types.MethodType, self._options).__get__(instance)


def _stands_for_a_method(function: Any) -> bool:
    """Return whether *function* is no more than a bound method that can have attributes."""
    if type(function) is not functools.partial or function.args or function.keywords:
        return False
    return type(function.func) is types.MethodType and hasattr(function, "__wrapped__")


def _cached_function(function: Any, kind: type | None, options: Options) -> Any:
    """Return *function* as a CachedFunction; *kind* is what sort of method it is, None where that is not known."""
    # Not before there is a function to decorate: it needs wrapt, which takes longer to import than all the rest.
    from memocache._function import BoundProxy, FunctionProxy, cached_function

    if isinstance(function, FunctionProxy | BoundProxy):
        raise ConfigurationError(f"{title_of(function)} is cached already; give one @cached all the options")
    _refuse_uncachable(function)
    try:
        believed = believed_signature(function)
    except (ValueError, TypeError):
        raise ConfigurationError(
            f"{title_of(function)} does not tell its parameters, so that a call has no key; "
            "wrap it in a function with named parameters and decorate that"
        ) from None
    is_async = inspect.iscoroutinefunction(function)
    return cached_function(Memoizer(function, believed, options, kind, is_async=is_async), kind)


def _refuse_uncachable(function: Any) -> None:
    """Raise ConfigurationError for what has no result that can be kept."""
    title = title_of(function)
    if isinstance(function, type):
        raise ConfigurationError(f"{title} is a class; decorate a function that makes its instances, or its methods")
    if not callable(function):
        if hasattr(type(function), "__get__"):
            what = with_article(type(function))
            raise ConfigurationError(f"{what} is no function; put @cached below it, on the function in it")
        raise ConfigurationError(
            f"cached() decorates functions and got {with_article(type(function))}; "
            "options are given by name, as in @cached(timeout=300)"
        )
    if what := generator_kind(function):
        raise ConfigurationError(f"{title} is {what}: its items can be had once only; return a list or a tuple")
