"""CachedFunction: it looks like the function, and can forget. The only user of wrapt."""

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, Self, TypeVar, cast, overload

import wrapt

from memocache._bound import (
    ANNOTATIONS,
    DOC,
    AsyncBoundCachedFunction,
    AsyncCachedCall,
    BoundCachedFunction,
    CachedCall,
    Twin,
)
from memocache._memo import Memo
from memocache._views import ADAPTERS, load

__all__ = ["AsyncCachedFunction", "CachedFunction", "Face", "cached_function", "cached_functions"]

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")


if TYPE_CHECKING:
    # wrapt's own hints give every attribute the type Any, so that a checker would not see `f.uncache("wrong")`.
    class _Proxy:
        __wrapped__: Any
        __name__: str
        __qualname__: str

        def __init__(self, wrapped: object) -> None: ...

else:
    _Proxy = wrapt.BaseObjectProxy


class LaterCall:
    """Stands for `__call__` in the class of a cached function, until that is asked for or called."""

    def __get__(self, function: "Face | None", owner: type) -> Any:
        if function is None:
            return self
        # Python looks `__call__` up on the class. As a static method it costs nothing to bind there, and errors about
        # arguments count as the function's own.
        call = function._self_memo.call
        type(function).__call__ = staticmethod(call)  # type: ignore[method-assign]
        return call


class Face(_Proxy):
    """What a cached function is for those who look at it: the function itself."""

    # For each function there is a class of its own, made below, with `__get__` and, when there has been a call, with
    # `__call__`.
    _self_bound = ()
    if TYPE_CHECKING:
        _self_twins: type[Twin[..., Any]] | None
    else:  # an annotation would be the function's own
        _self_twins = None
        __call__ = LaterCall()

    def __init__(self, memo: Memo, kind: type | None) -> None:
        super().__init__(memo.function)
        self._self_memo = memo
        self._self_kind = kind  # classmethod or staticmethod, if that is what was decorated

    def __set_name__(self, owner: type, name: str) -> None:
        if self._self_kind is not staticmethod:
            self._self_memo.serve_instances()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if not name.startswith("_self_"):
            self._self_show_attributes()

    def _self_show_attributes(self) -> None:
        """Let the bound twins have the attributes that the user gave the function, if there are any."""
        own = getattr(self.__wrapped__, "__dict__", None)
        if self._self_twins is not None and (own is None or own.keys() - {"__wrapped__"}):
            self._self_twins.__getattr__ = _attribute_of_function  # type: ignore[attr-defined]

    def __reduce__(self) -> str:
        return self.__qualname__

    def __reduce_ex__(self, protocol: Any) -> str:
        return self.__qualname__

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<cached function {self._self_memo.title}>"

    __str__ = __repr__


class CachedFunction(Face, CachedCall[P, R]):
    """A function whose results are kept: it looks and is called like the function itself, and can forget.

    `cached` makes it. In a class it binds to instances as functions do.
    """

    if TYPE_CHECKING:
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
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...


class AsyncCachedFunction(Face, AsyncCachedCall[P, R]):
    """A coroutine function whose results are kept: as CachedFunction, and what that can do is awaited.

    `key`, `info`, `cache` and `cache_info` need no waiting, and are as they are there.
    """

    if TYPE_CHECKING:
        # A class method first: its own first parameter is a type.
        @overload
        def __get__(
            self: "AsyncCachedFunction[Concatenate[type[S], Q], R]", instance: S | None, owner: type[S]
        ) -> AsyncBoundCachedFunction[Q, R]: ...
        @overload
        def __get__(self, instance: None, owner: type | None = None) -> "AsyncCachedFunction[P, R]": ...
        @overload
        def __get__(
            self: "AsyncCachedFunction[Concatenate[S, Q], R]", instance: S, owner: type | None = None
        ) -> AsyncBoundCachedFunction[Q, R]: ...
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...


def cached_function(memo: Memo, kind: type | None) -> CachedFunction[..., Any] | AsyncCachedFunction[..., Any]:
    """Return the public face of *memo*'s function, which was decorated as a *kind* of method (None: as it is)."""
    members = {
        "__slots__": (),
        "uncache": staticmethod(memo.uncache),  # there, it would take a sixth longer
        "__get__": _binder(memo, kind),
        "__annotations__": ANNOTATIONS,
    }
    face: Any = AsyncCachedFunction if memo.is_async else CachedFunction
    made = type(face.__name__, (face,), members)(memo, kind)
    _functions[id(made)] = made
    return cast("CachedFunction[..., Any]", made)


# By id, since a decorated function equals the one in it. Weakly: they may go.
_functions: Final["weakref.WeakValueDictionary[int, Any]"] = weakref.WeakValueDictionary()


def cached_functions() -> list[CachedFunction[..., Any] | AsyncCachedFunction[..., Any]]:
    """Return the functions and methods that were decorated in this process and are still there.

    >>> @cached
    ... def area(width: int, height: int) -> int:
    ...     return width * height
    >>> area in cached_functions()
    True
    """
    return list(_functions.values())


def _attribute_of_function(twin: Twin[..., Any], name: str) -> Any:
    return getattr(twin.__wrapped__, name)


def _binder(memo: Memo, kind: type | None) -> Callable[..., Any]:
    """Return the `__get__` of *memo*'s function."""
    twins: Any = None
    qualname = ""

    def bind(function: Face, instance: object, owner: type | None = None) -> Any:
        """Bind to *instance*, as a function in a class does."""
        nonlocal twins, qualname
        if instance is None:
            return function
        if twins is None:
            twins, qualname = _twins(memo, function), getattr(memo.function, "__qualname__", "")
            function._self_twins = twins
            function._self_show_attributes()
        twin = twins()
        twin._self_instance = instance
        twin.__qualname__ = qualname
        return twin

    def bind_class(function: Face, instance: object, owner: type | None = None) -> Any:
        """Bind to the class, as a class method does."""
        return bind(function, type(instance) if owner is None else owner)

    def bind_nothing(function: Face, instance: object, owner: type | None = None) -> Any:
        """Bind to nothing, as a static method does."""
        return function

    return bind_class if kind is classmethod else bind_nothing if kind is staticmethod else bind


def _twins(memo: Memo, function: Face) -> type[Twin[..., Any]]:
    """Return the class of *function*'s bound twins: what is the same for all instances is an attribute of it."""
    memo.serve_instances()

    def call_generally(twin: Twin[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return memo.call(twin._self_instance, *args, **kwargs)

    members: dict[str, Any] = {
        "__slots__": (),
        "__call__": memo.bound_call() or call_generally,
        "__doc__": DOC,
        "__annotations__": ANNOTATIONS,
        "__module__": getattr(memo.function, "__module__", None),
        "_self_memo": memo,
        "_self_parent": staticmethod(cast("Callable[..., Any]", function)),
    }
    kind: Any = AsyncBoundCachedFunction if memo.is_async else BoundCachedFunction
    return type(kind.__name__, (kind,), members)


# Last, since an adapter needs all of the above: at once, where its framework has been imported already.
for _framework in ADAPTERS:
    wrapt.register_post_import_hook(load(_framework), _framework)
