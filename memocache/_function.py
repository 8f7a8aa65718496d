"""CachedFunction and its bound twin: they look like the function, and can forget. The only user of wrapt."""

import types
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast, overload

import wrapt

from memocache._memo import Memo, Missing
from memocache.backends.base import Cache
from memocache.stats import Info

__all__ = ["BoundCachedFunction", "CachedFunction"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


class CachedCall(Generic[P, R]):
    """What a cached function and a cached method have in common: all that can be done with a call besides making it.

    Every method binds its arguments as the call itself does, so that each spelling of a call means the same entry.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        _self_memo: Memo
        _self_bound: tuple[Any, ...]  # what stands before the arguments: a method's instance

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def uncache(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget exactly this call, and return whether there was anything to forget.

        It is a fence: no call that starts after it has returned, in any process that shares the cache, is given a
        result whose computation began before.

        >>> @cached(timeout=60)
        ... def area(width, height=1):
        ...     return width * height
        >>> area(3)
        3
        >>> area.uncache(width=3, height=1)
        True

        Raises:
            UncacheFailed: if the cache did not acknowledge it.
            UnkeyableArgument: if an argument has no stable form.
        """
        return self._self_memo.uncache((*self._self_bound, *args), kwargs)

    def uncache_all(self) -> None:
        """Forget every call of this function; on a shared cache at once, however many there are.

        It is a fence, as `uncache` is.

        Raises:
            UncacheFailed: if the cache did not acknowledge it.
        """
        self._self_memo.uncache_all()

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute this call now, store the result in place of what is there, and return it."""
        return cast(R, self._self_memo.refresh((*self._self_bound, *args), kwargs))

    def peek(self, *args: P.args, **kwargs: P.kwargs) -> R | Missing:
        """Return what is stored for this call, or MISSING; it never computes."""
        return cast(R, self._self_memo.peek((*self._self_bound, *args), kwargs))

    def put(self, value: R, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store *value* as the result of this call."""
        self._self_memo.put(value, (*self._self_bound, *args), kwargs)

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of this call in the cache: `f.cache.get(f.key(7))` is what `f(7)` would be served."""
        return self._self_memo.key((*self._self_bound, *args), kwargs)

    def info(self) -> Info:
        """Return the figures of this function on the cache in use, counted in this process; see Info."""
        return self._self_memo.info()

    @property
    def cache(self) -> Cache:
        """The cache object in use."""
        return self._self_memo.place().site.cache

    def cache_info(self) -> Info:
        """Return the same as `info`, under the name that functools gives it."""
        return self._self_memo.info()

    def cache_clear(self) -> None:
        """Forget every call and count from zero, as functools does under this name.

        Raises:
            UncacheFailed: if the cache did not acknowledge it.
        """
        self._self_memo.clear()


class BoundCachedFunction(CachedCall[P, R]):
    """A cached method of one instance, or a cached class method of one class."""

    __slots__ = ("_self_bound", "_self_memo", "_self_parent")

    def __init__(self, parent: "CachedFunction[..., R]", instance: object) -> None:
        self._self_parent = parent
        self._self_memo = parent._self_memo
        self._self_bound = (instance,)

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, self._self_memo.call(*self._self_bound, *args, **kwargs))

    @property
    def __wrapped__(self) -> Callable[..., R]:
        return cast("Callable[..., R]", types.MethodType(self._self_memo.function, self.__self__))

    @property
    def __self__(self) -> object:
        return self._self_bound[0]

    @property
    def __func__(self) -> "CachedFunction[..., R]":
        return self._self_parent

    # `inspect` and others ask isinstance(x, MethodType) to find `__func__`, the signature, and whether it is async.
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return types.MethodType

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__wrapped__, name)

    @property
    def __doc__(self) -> str | None:  # type: ignore[override]
        return self.__wrapped__.__doc__

    @property
    def __module__(self) -> str:  # type: ignore[override]
        return self.__wrapped__.__module__

    def __eq__(self, other: object) -> bool:
        if type(other) is not BoundCachedFunction:
            return NotImplemented
        return self._self_memo is other._self_memo and self.__self__ is other.__self__

    def __hash__(self) -> int:
        return hash((id(self._self_memo), id(self.__self__)))

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self.__self__, self._self_memo.function.__name__)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    def __copy__(self) -> "BoundCachedFunction[P, R]":
        return self

    def __repr__(self) -> str:
        return f"<cached method {self._self_memo.title} of a {type(self.__self__).__qualname__}>"


if TYPE_CHECKING:
    # wrapt's own hints give every attribute the type Any, so that a checker would not see `f.uncache("wrong")`.
    class _Proxy:
        __wrapped__: Any
        __name__: str
        __qualname__: str

        def __init__(self, wrapped: object) -> None: ...

else:
    _Proxy = wrapt.BaseObjectProxy


class CachedFunction(_Proxy, CachedCall[P, R]):
    """A function whose results are kept: it looks and is called like the function itself, and can forget.

    `cached` makes it. In a class it binds to instances as functions do.
    """

    _self_bound = ()

    def __init__(self, memo: Memo, kind: type | None) -> None:
        super().__init__(memo.function)
        self._self_memo = memo
        self._self_kind = kind  # classmethod or staticmethod, if that is what was decorated

    def __set_name__(self, owner: type, name: str) -> None:
        if self._self_kind is not staticmethod:
            self._self_memo.serve_instances()

    # A class method first: its own first parameter is a type.
    @overload
    def __get__(
        self: "CachedFunction[Concatenate[type[S], Q], R]", instance: S | None, owner: type[S]
    ) -> BoundCachedFunction[Q, R]: ...
    @overload
    def __get__(self, instance: None, owner: type | None = None) -> "CachedFunction[P, R]": ...
    @overload
    def __get__(
        self: "CachedFunction[Concatenate[S, Q], R]", instance: S, owner: type | None = None
    ) -> BoundCachedFunction[Q, R]: ...
    def __get__(self, instance: Any, owner: Any = None) -> Any:
        """Bind to *instance*, as a function in a class does; a class method to its class."""
        if self._self_kind is classmethod:
            return BoundCachedFunction(self, type(instance) if owner is None else owner)
        if instance is None or self._self_kind is staticmethod:
            return self
        self._self_memo.serve_instances()
        return BoundCachedFunction(self, instance)

    def __reduce__(self) -> str:
        return self.__qualname__

    def __reduce_ex__(self, protocol: Any) -> str:
        return self.__qualname__

    def __copy__(self) -> "CachedFunction[P, R]":
        return self

    def __deepcopy__(self, memo: object) -> "CachedFunction[P, R]":
        return self

    def __repr__(self) -> str:
        return f"<cached function {self._self_memo.title}>"

    __str__ = __repr__
