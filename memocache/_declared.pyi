# Declared: what a type checker is told of cached functions, and what nobody runs. tests/typing/ says what it must make
# of it.
#
# There is one class, CachedFunction[P, R], also for coroutine functions, whose R is a coroutine: were it chosen by what
# a function returns, one that returns Any would be of each. What is marked NoResult comes first for those.

# A coroutine is a result as others, and only then the methods are awaited.
# mypy: disable-error-code="overload-overlap"

from collections.abc import Callable, Coroutine, Iterable
from enum import Enum
from typing import (
    Any,
    Concatenate,
    Generic,
    Never,
    ParamSpec,
    Protocol,
    TypeAlias,
    TypeVar,
    final,
    overload,
    runtime_checkable,
)

from memocache._code import CodeListing
from memocache._counters import Info
from memocache._entry_info import EntryInfo
from memocache._function import BoundCachedFunction, CachedFunction, SyncMethods
from memocache._missing import Missing
from memocache.backends.base import Cache

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R", covariant=True)  # `put` takes one, too; but a method may be overridden by one that returns less
S = TypeVar("S")
S_contra = TypeVar("S_contra", contravariant=True)
Owner = TypeVar("Owner")
X = TypeVar("X")
Nothing = TypeVar("Nothing", covariant=True)
Function = TypeVar("Function", covariant=True)
Calls: TypeAlias = Iterable[tuple[Any, ...] | dict[str, Any]]

@final
class NoResult:
    """The result of no function. What fits where this is the result has Any as its own."""

class Methods(SyncMethods[P, R]):
    """The methods of any cached function, each for a result of Any, for coroutines, and for all else."""

    @overload
    def uncache(self: Methods[Q, NoResult], /, *args: Q.args, **kwargs: Q.kwargs) -> bool: ...
    @overload
    def uncache(
        self: Methods[Q, Coroutine[Any, Any, Any]], /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Coroutine[Any, Any, bool]: ...
    @overload
    def uncache(self, /, *args: P.args, **kwargs: P.kwargs) -> bool: ...
    @overload
    def uncache_all(self: Methods[..., NoResult]) -> None: ...
    @overload
    def uncache_all(self: Methods[..., Coroutine[Any, Any, Any]]) -> Coroutine[Any, Any, None]: ...
    @overload
    def uncache_all(self) -> None: ...
    @overload
    def uncache_where(self: Methods[..., NoResult], /, **some: Any) -> None: ...
    @overload
    def uncache_where(self: Methods[..., Coroutine[Any, Any, Any]], /, **some: Any) -> Coroutine[Any, Any, None]: ...
    @overload
    def uncache_where(self, /, **some: Any) -> None: ...
    @overload
    def many(self: Methods[..., NoResult], calls: Calls, /) -> list[Any]: ...
    @overload
    def many(self: Methods[..., Coroutine[Any, Any, X]], calls: Calls, /) -> Coroutine[Any, Any, list[X]]: ...
    @overload
    def many(self, calls: Calls, /) -> list[R]: ...
    @overload
    def peek(self: Methods[Q, NoResult], /, *args: Q.args, **kwargs: Q.kwargs) -> Any | Missing: ...
    @overload
    def peek(
        self: Methods[Q, Coroutine[Any, Any, X]], /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Coroutine[Any, Any, X | Missing]: ...
    @overload
    def peek(self, /, *args: P.args, **kwargs: P.kwargs) -> R | Missing: ...
    @overload
    def entry(self: Methods[Q, NoResult], /, *args: Q.args, **kwargs: Q.kwargs) -> EntryInfo | None: ...
    @overload
    def entry(
        self: Methods[Q, Coroutine[Any, Any, Any]], /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Coroutine[Any, Any, EntryInfo | None]: ...
    @overload
    def entry(self, /, *args: P.args, **kwargs: P.kwargs) -> EntryInfo | None: ...
    @overload
    def put(self: Methods[Q, NoResult], value: Any, /, *args: Q.args, **kwargs: Q.kwargs) -> None: ...
    @overload
    def put(
        self: Methods[Q, Coroutine[Any, Any, X]], value: X, /, *args: Q.args, **kwargs: Q.kwargs
    ) -> Coroutine[Any, Any, None]: ...
    @overload
    def put(self, value: R, /, *args: P.args, **kwargs: P.kwargs) -> None: ...  # type: ignore[misc]
    @overload
    def cache_clear(self: Methods[..., NoResult]) -> None: ...
    @overload
    def cache_clear(self: Methods[..., Coroutine[Any, Any, Any]]) -> Coroutine[Any, Any, None]: ...
    @overload
    def cache_clear(self) -> None: ...

class AnyIfNever(Protocol[S_contra]):
    """Any instance, if S is Never; for another S there is none, since no text is an index."""

    def __format__(self, text: S_contra, /) -> str: ...  # type: ignore[override]
    def __reduce_ex__(self, index: S_contra, /) -> str | tuple[Any, ...]: ...  # type: ignore[override]

class Binds(Methods[P, R], Generic[P, R, Nothing, Function]):
    """A cached function as an attribute, which a checker must bind by its parameters and by what it is reached through.

    The type S of the first parameter is found in P by pyright, and by mypy only in Function, which is the same function
    once more. Each is kept out of the other's overloads: Nothing is Never, and to mypy so is S there; NoResult before Q
    in P fits nothing, and mypy does not compare it. In a generic function, what is generic is Never to mypy.
    """

    @overload  # a class method, in pyright
    def __get__(
        self: Binds[Concatenate[type[S], Q], R, S, Any], instance: S | None, owner: type[S]
    ) -> BoundCachedFunction[Q, R]: ...
    @overload  # a method, in pyright
    def __get__(
        self: Binds[Concatenate[S, Q], R, S, Any], instance: S, owner: Any = None
    ) -> BoundCachedFunction[Q, R]: ...
    @overload  # a class method, in mypy
    def __get__(
        self: Binds[Concatenate[NoResult, Q], R, Any, Callable[Concatenate[type[S], ...], Any]],
        instance: object,
        owner: type[S],
    ) -> BoundCachedFunction[Q, R]: ...
    @overload  # a class method that returns Self, in mypy
    def __get__(
        self: Binds[Concatenate[NoResult, Q], R, Any, Callable[Concatenate[type[Any], ...], Any]],
        instance: object,
        owner: type[Owner],
    ) -> BoundCachedFunction[Q, Owner]: ...
    @overload  # a method or a static method, through the class
    def __get__(self, instance: None, owner: type) -> CachedFunction[P, R]: ...
    @overload  # a method of an Enum, whose `__reduce_ex__` takes anything, in mypy
    def __get__(
        self: Binds[Concatenate[NoResult, Q], R, Any, Callable[Concatenate[S, ...], Any]],
        instance: S,
        owner: type[Enum],
    ) -> BoundCachedFunction[Q, R]: ...
    @overload  # a generic method, in mypy
    def __get__(
        self: Binds[Concatenate[NoResult, Q], R, Any, Callable[Concatenate[S, ...], X]],
        instance: AnyIfNever[X],
        owner: type[S],
    ) -> Any: ...
    @overload  # a method, in mypy
    def __get__(
        self: Binds[Concatenate[NoResult, Q], R, Any, Callable[Concatenate[S, ...], Any]],
        instance: S,
        owner: Any = None,
    ) -> BoundCachedFunction[Q, R]: ...
    @overload  # a method that returns Self, in mypy
    def __get__(
        self: Binds[Concatenate[NoResult, Q], R, Any, Callable[Concatenate[S, ...], Any]],
        instance: AnyIfNever[S],
        owner: type[Owner],
    ) -> BoundCachedFunction[Q, Owner]: ...
    @overload  # a static method, through an instance
    def __get__(self, instance: object, owner: Any = None) -> CachedFunction[P, R]: ...

class BindingMethods(Binds[P, R, Never, Callable[P, R]]): ...

@runtime_checkable
class AsyncCachedFunction(Protocol[P, X]):
    """A cached coroutine function, which to a checker is a CachedFunction[P, Coroutine[Any, Any, X]]."""

    @property
    def __wrapped__(self) -> Any: ...
    @property
    def __name__(self) -> str: ...
    @property
    def __qualname__(self) -> str: ...
    def __call__(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, X]: ...
    def key(self, /, *args: P.args, **kwargs: P.kwargs) -> str: ...
    def info(self) -> Info: ...
    def code(self) -> CodeListing: ...
    @property
    def cache(self) -> Cache: ...
    def cache_info(self) -> Info: ...
    def uncache(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, bool]: ...
    def uncache_all(self) -> Coroutine[Any, Any, None]: ...
    def uncache_where(self, /, **some: Any) -> Coroutine[Any, Any, None]: ...
    def many(self, calls: Calls, /) -> Coroutine[Any, Any, list[X]]: ...
    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, X]: ...
    def peek(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, X | Missing]: ...
    def entry(self, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, EntryInfo | None]: ...
    def put(self, value: X, /, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, None]: ...
    def cache_clear(self) -> Coroutine[Any, Any, None]: ...

@runtime_checkable
class AsyncBoundCachedFunction(AsyncCachedFunction[P, X], Protocol[P, X]):
    """A cached coroutine method of one instance, or of one class."""

    @property
    def __self__(self) -> object: ...
