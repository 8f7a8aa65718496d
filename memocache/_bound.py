"""What can be done with a cached function or method besides calling it; and BoundCachedFunction, a method's own."""

import types
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, Self, TypeVar, cast

from memocache._memo import Memo
from memocache._missing import Missing
from memocache.backends.base import Cache
from memocache.stats import Info

__all__ = [
    "ANNOTATIONS",
    "DOC",
    "AsyncBoundCachedFunction",
    "AsyncCachedCall",
    "BoundCachedFunction",
    "CachedCall",
    "Twin",
]

P = ParamSpec("P")
R = TypeVar("R")


class Call(Generic[P, R]):
    """What can be done with a call in no time, be the function a coroutine function or not.

    Every method binds its arguments as the call itself does, so that each spelling of a call means the same entry.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        _self_memo: Memo
        _self_bound: tuple[Any, ...]  # what stands before the arguments: a method's instance

    def key(self, /, *args: P.args, **kwargs: P.kwargs) -> str:
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


class CachedCall(Call[P, R]):
    """What can be done with a call of an ordinary function."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> R: ...

    def uncache(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
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
        return cast(bool, self._self_memo.uncache(*self._self_bound, *args, **kwargs))

    def uncache_all(self) -> None:
        """Forget every call of this function; on a shared cache at once, however many there are.

        It is a fence, as `uncache` is.

        Raises:
            UncacheFailed: if the cache did not acknowledge it.
        """
        self._self_memo.uncache_all()

    def uncache_where(self, **some: Any) -> None:
        """Forget the calls with these arguments: `report.uncache_where(tenant_id=7)`.

        It needs a template in `tags=` that names just these parameters, and forgets all that has that tag, as
        `uncache_tag` does: calls of other functions with the same tag, too. It is a fence, as `uncache` is.

        Raises:
            ConfigurationError: if no template names these parameters and no others.
            UncacheFailed: if the cache did not acknowledge it.
        """
        self._self_memo.uncache_where(some)

    def many(self, calls: Iterable[tuple[Any, ...] | dict[str, Any]], /) -> list[R]:
        """Return the results of many calls, in their order; what is stored is had in one round trip for all.

        What is missing is computed, one after the other, and stored. The first call that raises ends it; what was
        computed before stays stored.

        >>> @cached(timeout=60)
        ... def area(width, height=1):
        ...     return width * height
        >>> area.many([(3,), (3, 2), {"width": 3, "height": 1}])
        [3, 6, 3]

        Args:
            calls: each a tuple of positional arguments, or a dict of named ones.
        """
        return cast("list[R]", self._self_memo.many(self._self_bound, calls))

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute this call now, store the result in place of what is there, and return it."""
        return cast(R, self._self_memo.refresh((*self._self_bound, *args), kwargs))

    def peek(self, /, *args: P.args, **kwargs: P.kwargs) -> R | Missing:
        """Return what is stored for this call, or MISSING; it never computes."""
        return cast(R, self._self_memo.peek((*self._self_bound, *args), kwargs))

    def put(self, value: R, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store *value* as the result of this call."""
        self._self_memo.put(value, (*self._self_bound, *args), kwargs)

    def cache_clear(self) -> None:
        """Forget every call and count from zero, as functools does under this name.

        Raises:
            UncacheFailed: if the cache did not acknowledge it.
        """
        self._self_memo.clear()


class AsyncCachedCall(Call[P, R]):
    """What can be done with a call of a coroutine function: the same under the same names, to be awaited."""

    __slots__ = ()

    if TYPE_CHECKING:

        def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...

    async def uncache(self, /, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Forget exactly this call, and return whether there was anything to forget.

        It is a fence: no call that starts after it has returned, in any process that shares the cache, is given a
        result whose computation began before.

        >>> import asyncio
        >>> @cached(timeout=60)
        ... async def area(width, height=1):
        ...     return width * height
        >>> async def main():
        ...     return await area(3), await area.uncache(width=3, height=1)
        >>> asyncio.run(main())
        (3, True)

        Raises:
            UncacheFailed: if the cache did not acknowledge it.
            UnkeyableArgument: if an argument has no stable form.
        """
        return cast(bool, await self._self_memo.uncache(*self._self_bound, *args, **kwargs))

    async def uncache_all(self) -> None:
        """Forget every call of this function; on a shared cache at once, however many there are.

        It is a fence, as `uncache` is.

        Raises:
            UncacheFailed: if the cache did not acknowledge it.
        """
        await self._self_memo.uncache_all()

    async def uncache_where(self, **some: Any) -> None:
        """Forget the calls with these arguments: `await report.uncache_where(tenant_id=7)`.

        It needs a template in `tags=` that names just these parameters, and forgets all that has that tag, as
        `uncache_tag` does: calls of other functions with the same tag, too. It is a fence, as `uncache` is.

        Raises:
            ConfigurationError: if no template names these parameters and no others.
            UncacheFailed: if the cache did not acknowledge it.
        """
        await self._self_memo.uncache_where(some)

    async def many(self, calls: Iterable[tuple[Any, ...] | dict[str, Any]], /) -> list[R]:
        """Return the results of many calls, in their order; what is stored is had in one round trip for all.

        What is missing is computed, all at once, and stored. When all are over, the first of the calls that raised
        raises; what the others computed stays stored.

        >>> import asyncio
        >>> @cached(timeout=60)
        ... async def area(width, height=1):
        ...     return width * height
        >>> asyncio.run(area.many([(3,), (3, 2), {"width": 3, "height": 1}]))
        [3, 6, 3]

        Args:
            calls: each a tuple of positional arguments, or a dict of named ones.
        """
        return cast("list[R]", await self._self_memo.many(self._self_bound, calls))

    async def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute this call now, store the result in place of what is there, and return it."""
        return cast(R, await self._self_memo.refresh((*self._self_bound, *args), kwargs))

    async def peek(self, /, *args: P.args, **kwargs: P.kwargs) -> R | Missing:
        """Return what is stored for this call, or MISSING; it never computes."""
        return cast(R, await self._self_memo.peek((*self._self_bound, *args), kwargs))

    async def put(self, value: R, /, *args: P.args, **kwargs: P.kwargs) -> None:
        """Store *value* as the result of this call."""
        await self._self_memo.put(value, (*self._self_bound, *args), kwargs)

    async def cache_clear(self) -> None:
        """Forget every call and count from zero, as functools does under this name.

        Raises:
            UncacheFailed: if the cache did not acknowledge it.
        """
        await self._self_memo.clear()


def _of_function(name: str) -> property:
    """Return an attribute that is the function's own."""
    return property(
        lambda call: getattr(call.__wrapped__, name), lambda call, new: setattr(call.__wrapped__, name, new)
    )


# Where a class would answer with one of its own.
DOC: Final = _of_function("__doc__")
ANNOTATIONS: Final = _of_function("__annotations__")


class Twin(Call[P, R]):
    """A cached method of one instance, or a cached class method of one class."""

    # For each function there is a class of its own, with the rest of what is the same for all instances.
    __slots__ = ("__qualname__", "_self_instance")  # the former since no class can have a property of that name

    if TYPE_CHECKING:
        _self_instance: Any
        _self_parent: Any

    @property
    def _self_bound(self) -> tuple[Any, ...]:  # type: ignore[override]
        return (self._self_instance,)

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        return cast("Callable[..., Any]", types.MethodType(self._self_memo.function, self._self_instance))

    @property
    def __self__(self) -> object:
        return self._self_instance

    @property
    def __func__(self) -> Any:
        return self._self_parent

    # `inspect` and others ask isinstance(x, MethodType) to find `__func__`, the signature, and whether it is async.
    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return types.MethodType

    if TYPE_CHECKING:
        __name__: str
        __qualname__: str
    else:
        # One by one: a `__getattr__` would make every access slower, that of the call to the instance, too. There is
        # one only where the function has attributes of the user's.
        __name__ = _of_function("__name__")
        __dict__ = _of_function("__dict__")
        __code__ = _of_function("__code__")
        __defaults__ = _of_function("__defaults__")
        __kwdefaults__ = _of_function("__kwdefaults__")
        __globals__ = _of_function("__globals__")
        __closure__ = _of_function("__closure__")
        __type_params__ = _of_function("__type_params__")

    def __get__(self, instance: object, owner: type | None = None) -> Self:
        return self  # bound already

    def __eq__(self, other: object) -> bool:
        if not issubclass(type(other), Twin):
            return NotImplemented
        theirs = cast("Twin[..., Any]", other)
        return self._self_memo is theirs._self_memo and self._self_instance is theirs._self_instance

    def __hash__(self) -> int:
        return hash((id(self._self_memo), id(self._self_instance)))

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (self._self_instance, self._self_memo.function.__name__)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    def __copy__(self) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<cached method {self._self_memo.title} of a {type(self._self_instance).__qualname__}>"


class BoundCachedFunction(Twin[P, R], CachedCall[P, R]):
    """A cached method of one instance, or a cached class method of one class."""

    __slots__ = ()


class AsyncBoundCachedFunction(Twin[P, R], AsyncCachedCall[P, R]):
    """A cached coroutine method of one instance, or of one class."""

    __slots__ = ()
