"""CachedFunction and its kinds: what a decorated function is, and can do. The only user of wrapt."""

import copy
import functools
import importlib
import sys
import types
import weakref
from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Final, Generic, ParamSpec, Self, TypeVar, cast

import wrapt

from memocache._counters import Info
from memocache._hooks import ADAPTERS, Decorated, load
from memocache._memoizer import Memoizer
from memocache._missing import Missing
from memocache._native import hit
from memocache.backends.base import Cache
from memocache.errors import with_article

if TYPE_CHECKING:
    from memocache._code import CodeListing
    from memocache._entry_info import EntryInfo

P = ParamSpec("P")
R = TypeVar("R", covariant=True)  # though `put` takes one: a method may be overridden by one that returns less


class CacheMethods(Decorated, Generic[P, R]):
    """The methods of a cached function that never wait, be it a coroutine function or not.

    Every method binds its arguments as the call itself does, so that each spelling of a call means the same entry.
    """

    __slots__ = ()

    if TYPE_CHECKING:
        _self_memoizer: Memoizer
        _self_bound: tuple[Any, ...]  # what stands before the arguments: a method's instance

    def key(self, /, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the key of this call in the cache: `f.cache.get(f.key(7))` is what `f(7)` would be served."""
        return self._self_memoizer.key((*self._self_bound, *args), kwargs)

    def info(self) -> Info:
        """Return the figures of this function on the cache in use, counted in this process; see Info."""
        return self._self_memoizer.info()

    @property
    def cache(self) -> Cache:
        """The cache object in use."""
        return self._self_memoizer.binding().cache

    def code(self) -> "CodeListing":
        """Return a listing of the code that is this function's version; print it to see what counts.

        >>> import memocache
        >>> @cached(version=memocache.code())
        ... def area(width, height):
        ...     return width * height
        >>> [*area.code().functions]
        ['memocache._function.area']

        Raises:
            ConfigurationError: if its version is something else.
        """
        return self._self_memoizer.code_listing()

    def cache_info(self) -> Info:
        """Return the same as `info`, under the name that functools gives it."""
        return self._self_memoizer.info()

    def __dir__(self) -> list[str]:
        """Return the names of the function's own attributes, and of the methods here."""
        methods = {name for name in dir(type(self)) if not name.startswith("_")}
        return sorted({*dir(cast(Any, self).__wrapped__), *methods.difference(THEIRS)})


class SyncMethods(CacheMethods[P, R]):
    """The methods of a cached function that is an ordinary function."""

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
        return cast(bool, self._self_memoizer.uncache(*self._self_bound, *args, **kwargs))

    def uncache_all(self) -> None:
        """Forget every call of this function; on a shared cache at once, however many there are.

        It is a fence, as `uncache` is.

        Raises:
            UncacheFailed: if the cache did not acknowledge it.
        """
        self._self_memoizer.uncache_all()

    def uncache_where(self, /, **some: Any) -> None:
        """Forget the calls with these arguments: `report.uncache_where(tenant_id=7)`.

        It needs a template in `tags=` that names just these parameters, and forgets all that has that tag, as
        `uncache_tag` does: calls of other functions with the same tag, too. It is a fence, as `uncache` is.

        Raises:
            ConfigurationError: if no template names these parameters and no others.
            UncacheFailed: if the cache did not acknowledge it.
        """
        self._self_memoizer.uncache_where(some)

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
        return cast("list[R]", self._self_memoizer.many(self._self_bound, calls))

    def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute this call now, store the result in place of what is there, and return it."""
        return cast(R, self._self_memoizer.refresh((*self._self_bound, *args), kwargs))

    def peek(self, /, *args: P.args, **kwargs: P.kwargs) -> R | Missing:
        """Return what is stored for this call, or MISSING; it never computes."""
        return cast(R, self._self_memoizer.peek((*self._self_bound, *args), kwargs))

    def entry(self, /, *args: P.args, **kwargs: P.kwargs) -> "EntryInfo | None":
        """Return what is known of the entry that is stored for this call, or None; in one round trip, on any cache.

        On a TieredCache it is that of the tier that processes share.
        """
        return cast("EntryInfo | None", self._self_memoizer.entry((*self._self_bound, *args), kwargs))

    def put(self, value: R, /, *args: P.args, **kwargs: P.kwargs) -> None:  # type: ignore[misc]
        """Store *value* as the result of this call."""
        self._self_memoizer.put(value, (*self._self_bound, *args), kwargs)

    def cache_clear(self) -> None:
        """Forget every call and count from zero, as functools does under this name.

        Raises:
            UncacheFailed: if the cache did not acknowledge it.
        """
        self._self_memoizer.clear()


class AsyncMethods(CacheMethods[P, R]):
    """The methods of a cached coroutine function: the same names, to be awaited."""

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
        return cast(bool, await self._self_memoizer.uncache(*self._self_bound, *args, **kwargs))

    async def uncache_all(self) -> None:
        """Forget every call of this function; on a shared cache at once, however many there are.

        It is a fence, as `uncache` is.

        Raises:
            UncacheFailed: if the cache did not acknowledge it.
        """
        await self._self_memoizer.uncache_all()

    async def uncache_where(self, /, **some: Any) -> None:
        """Forget the calls with these arguments: `await report.uncache_where(tenant_id=7)`.

        It needs a template in `tags=` that names just these parameters, and forgets all that has that tag, as
        `uncache_tag` does: calls of other functions with the same tag, too. It is a fence, as `uncache` is.

        Raises:
            ConfigurationError: if no template names these parameters and no others.
            UncacheFailed: if the cache did not acknowledge it.
        """
        await self._self_memoizer.uncache_where(some)

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
        return cast("list[R]", await self._self_memoizer.many(self._self_bound, calls))

    async def refresh(self, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute this call now, store the result in place of what is there, and return it."""
        return cast(R, await self._self_memoizer.refresh((*self._self_bound, *args), kwargs))

    async def peek(self, /, *args: P.args, **kwargs: P.kwargs) -> R | Missing:
        """Return what is stored for this call, or MISSING; it never computes."""
        return cast(R, await self._self_memoizer.peek((*self._self_bound, *args), kwargs))

    async def entry(self, /, *args: P.args, **kwargs: P.kwargs) -> "EntryInfo | None":
        """Return what is known of the entry that is stored for this call, or None; in one round trip, on any cache.

        On a TieredCache it is that of the tier that processes share.
        """
        return cast("EntryInfo | None", await self._self_memoizer.entry((*self._self_bound, *args), kwargs))

    async def put(self, value: R, /, *args: P.args, **kwargs: P.kwargs) -> None:  # type: ignore[misc]
        """Store *value* as the result of this call."""
        await self._self_memoizer.put(value, (*self._self_bound, *args), kwargs)

    async def cache_clear(self) -> None:
        """Forget every call and count from zero, as functools does under this name.

        Raises:
            UncacheFailed: if the cache did not acknowledge it.
        """
        await self._self_memoizer.clear()


def _of_function(name: str) -> property:
    """Return an attribute that is the function's own."""
    return property(
        lambda call: getattr(call.__wrapped__, name), lambda call, new: setattr(call.__wrapped__, name, new)
    )


# Where a class would answer with one of its own.
DOC: Final = _of_function("__doc__")
ANNOTATIONS: Final = _of_function("__annotations__")


if TYPE_CHECKING:
    from memocache._declared import AsyncBoundCachedFunction as AsyncBoundCachedFunction
    from memocache._declared import AsyncCachedFunction as AsyncCachedFunction
    from memocache._declared import BindingMethods, Methods
else:
    Methods = BindingMethods = SyncMethods


class BoundType(type):
    """The type of the classes of bound proxies: they take a function and an instance, as MethodType does.

    weakref.WeakMethod makes a method anew so.
    """

    def __call__(cls, function: Any, instance: object, /) -> Any:
        proxy: Any = type.__call__(cls)
        proxy._self_instance = instance
        proxy.__qualname__ = function.__qualname__
        return proxy


class BoundProxy(CacheMethods[P, R], metaclass=BoundType):
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
        return cast("Callable[..., Any]", types.MethodType(self._self_memoizer.function, self._self_instance))

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
        __annotate__ = _of_function("__annotate__")  # since Python 3.14

    def __get__(self, instance: object, owner: type | None = None) -> Self:
        return self  # bound already

    def __eq__(self, other: object) -> bool:
        if not issubclass(type(other), BoundProxy):
            return NotImplemented
        theirs = cast("BoundProxy[..., Any]", other)
        return self._self_memoizer is theirs._self_memoizer and self._self_instance is theirs._self_instance

    def __hash__(self) -> int:
        return hash((id(self._self_memoizer), id(self._self_instance)))

    def __reduce__(self) -> tuple[Any, ...]:
        function = self._self_parent._self_named_elsewhere()
        if function is not None:
            return _bound_anew, (function, self._self_instance, type(self._self_instance))
        return getattr, (self._self_instance, self._self_memoizer.function.__name__)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return self.__reduce__()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Not by name, as it is pickled: another method may have it, and a private one has another in its class.
        return cast("Any", type(self))(self, copy.deepcopy(self._self_instance, memo))  # type: ignore[no-any-return]

    def __repr__(self) -> str:
        owner: Any = self._self_instance
        of = f"class {owner.__qualname__}" if isinstance(owner, type) else with_article(type(owner))
        return f"<cached method {self._self_memoizer.title} of {of}>"


class BoundCachedFunction(BoundProxy[P, R], Methods[P, R]):
    """A cached method of one instance, or a cached class method of one class."""

    __slots__ = ()


if not TYPE_CHECKING:

    class AsyncBoundCachedFunction(BoundProxy[P, R], AsyncMethods[P, R]):
        """A cached coroutine method of one instance, or of one class."""

        __slots__ = ()


if TYPE_CHECKING:
    # wrapt's own hints give every attribute the type Any, so that a checker would not see `f.uncache("wrong")`.
    class _Proxy:
        __wrapped__: Any
        __name__: str
        __qualname__: str

        def __init__(self, wrapped: object) -> None: ...

else:
    _Proxy = wrapt.BaseObjectProxy


class CompiledOnFirstUse:
    """Stands for `__call__` in the class of a cached function, until that is asked for or called."""

    def __get__(self, function: "FunctionProxy | None", owner: type) -> Any:
        if function is None:
            return self
        # Python looks `__call__` up on the class. As a static method it costs nothing to bind there, and errors about
        # arguments are taken as the function's own.
        call = function._self_memoizer.call
        if "__call__" not in vars(type(function)):  # else it is called in C, and its class is that of others, too
            type(function).__call__ = staticmethod(call)  # type: ignore[method-assign]
        return call


# What other libraries call it -> what it is called here.
THEIRS: Final = {
    **dict.fromkeys(
        ("invalidate", "delete", "forget", "evict", "expire", "cache_delete", "cache_invalidate"), "uncache()"
    ),
    **dict.fromkeys(
        ("clear", "reset", "clear_cache", "invalidate_all", "cache_reset", "delete_memoized"), "uncache_all()"
    ),
    **dict.fromkeys(("make_cache_key", "get_cache_key", "cache_key"), "key()"),
    **dict.fromkeys(("original", "uncached"), "__wrapped__"),
    "call": "refresh()",
    **dict.fromkeys(("get", "cached_value", "check_call_in_cache"), "peek()"),
    **dict.fromkeys(("set", "precache_value"), "put()"),
    **dict.fromkeys(("stats", "cache_parameters"), "info()"),
}


def _remedy(name: str, kind: str) -> str:
    return f"a cached {kind} has no attribute {name!r}; use {THEIRS[name]}"


def _refused(name: str) -> property:
    def refuse(method: object) -> Any:
        raise AttributeError(_remedy(name, "method"), name=name, obj=method)

    return property(refuse)


# A `__getattr__` would make bound proxies slower. Not in their public classes, where `help` would show them.
TheirNames = type("TheirNames", (), {"__slots__": (), **{name: _refused(name) for name in THEIRS}})


class FunctionProxy(_Proxy):
    """A proxy that looks like the function itself."""

    # For each function there is a class of its own, made below, with `__get__` and, when there has been a call, with
    # `__call__`.
    _self_bound = ()
    if TYPE_CHECKING:
        _self_bound_class: type[BoundProxy[..., Any]] | None
        _self_method_type: Any  # what its class becomes where it is a method whose calls begin in C; else None
        _self_named_elsewhere: Callable[[], Any]  # the function of which this is a method, where it has another name
        _self_named_in: Callable[[], type | None]  # the class where it is one
    else:  # an annotation would be the function's own
        _self_bound_class = None
        _self_method_type = None
        _self_named_elsewhere = _self_named_in = staticmethod(lambda: None)
        __call__ = CompiledOnFirstUse()

    def __init__(self, memoizer: Memoizer, kind: type | None) -> None:
        super().__init__(memoizer.function)
        self._self_memoizer = memoizer
        memoizer.proxy = weakref.ref(self)
        self._self_kind = kind  # the kind of method, if that is what was decorated

    def __set_name__(self, owner: type, name: str) -> None:
        is_method = self._self_memoizer.owner.settle(owner)
        kind = self._self_kind
        if is_method and kind is None and self._self_method_type is not None:
            hit.become(self, self._self_method_type)
        # What looks into classes (inspect, pydoc, Sphinx, beartype) knows what is no ordinary method by its class. From
        # 3.13 on, a class method does not ask what is in it how to bind.
        if kind is staticmethod or (kind is classmethod and sys.version_info < (3, 13)):
            type.__setattr__(owner, name, cast(Any, kind)(self))

    if not TYPE_CHECKING:  # to a checker, no attribute but these is there

        def __getattr__(self, name: str) -> Any:
            return _attribute(self, name, "function")

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if not name.startswith("_self_"):
            self._self_show_attributes()

    def _self_show_attributes(self) -> None:
        """Let the bound proxies have the attributes that the user gave the function, if there are any."""
        own = getattr(self.__wrapped__, "__dict__", None)
        if self._self_bound_class is not None and (own is None or own.keys() - {"__wrapped__"}):
            self._self_bound_class.__getattr__ = _attribute_of_method  # type: ignore[attr-defined]

    def __reduce__(self) -> str | tuple[Any, ...]:
        function = self._self_named_elsewhere()
        return self.__qualname__ if function is None else (_bound_anew, (function, None, self._self_named_in()))

    def __reduce_ex__(self, protocol: Any) -> str | tuple[Any, ...]:
        return self.__reduce__()

    __dir__ = CacheMethods.__dir__

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<cached function {self._self_memoizer.title}>"

    __str__ = __repr__


class CachedFunction(FunctionProxy, BindingMethods[P, R]):
    """A function whose results are kept: it looks and is called like the function itself, and can forget.

    `cached` makes it. In a class it binds to instances as functions do.
    """


if not TYPE_CHECKING:

    class AsyncCachedFunction(FunctionProxy, AsyncMethods[P, R]):
        """A coroutine function whose results are kept: as CachedFunction, and what that can do is awaited.

        `key`, `info`, `cache` and `cache_info` need no waiting, and are as they are there.
        """


def cached_function(memoizer: Memoizer, kind: type | None) -> CachedFunction[..., Any]:
    """Return *memoizer*'s function as its users see it; it was decorated as a *kind* of method (None: as it is)."""
    made = _proxy(memoizer, kind)
    _functions[id(made)] = made
    return cast("CachedFunction[..., Any]", made)


def _proxy(memoizer: Memoizer, kind: type | None) -> FunctionProxy:
    members: dict[str, Any] = {"__slots__": (), "__get__": _binder(memoizer, kind), "__annotations__": ANNOTATIONS}
    if not memoizer.is_async:
        members["uncache"] = staticmethod(memoizer.uncache)  # the method would take a sixth longer
    public: Any = AsyncCachedFunction if memoizer.is_async else CachedFunction
    # Not above wrapt's proxies in Python, which it has without its own extension: their attributes lie elsewhere.
    if hit is None or FunctionProxy.__dictoffset__ <= 0:
        return cast("FunctionProxy", type(public.__name__, (public,), members)(memoizer, kind))
    made = _compiled_type(public)(memoizer, kind)
    hit.prepare(made, lambda: memoizer.call, members["__get__"], None if memoizer.is_async else memoizer.uncache)
    memoizer.serve_hits(made)
    return cast("FunctionProxy", made)


@functools.cache
def _compiled_type(public: Any) -> Any:
    """Return the class, below a *public* one, of the cached functions whose calls begin in C."""
    functions, methods = (hit.function_type(public, are_methods=each) for each in (False, True))
    for made in (functions, methods):
        made.__annotations__ = ANNOTATIONS
        made.__name__, made.__qualname__, made.__module__ = public.__name__, public.__qualname__, public.__module__
    functions._self_method_type = methods
    return functions


# By id, since a decorated function equals the one in it. Weakly: they may go.
_functions: Final["weakref.WeakValueDictionary[int, Any]"] = weakref.WeakValueDictionary()


def cached_functions() -> list[CachedFunction[..., Any]]:
    """Return the functions and methods that were decorated in this process and are still there.

    >>> @cached
    ... def area(width: int, height: int) -> int:
    ...     return width * height
    >>> area in cached_functions()
    True
    """
    # Of the references, which are copied in one step: another thread may be decorating.
    return [function for reference in _functions.valuerefs() if (function := reference()) is not None]


def _bound_anew(function: Any, instance: object, owner: type) -> Any:
    return function.__get__(instance, owner)


def _attribute(proxy: Any, name: str, kind: str) -> Any:
    """Return what the function in *proxy* has as *name*; the error says what is here in place of others' names."""
    try:
        return getattr(proxy.__wrapped__, name)
    except AttributeError as error:
        if name in THEIRS:
            error.args = (_remedy(name, kind),)
        raise


def _attribute_of_method(proxy: BoundProxy[..., Any], name: str) -> Any:
    return _attribute(proxy, name, "method")


def _binder(memoizer: Memoizer, kind: type | None) -> Callable[..., Any]:
    """Return the `__get__` of *memoizer*'s function."""
    make: Any = None
    qualname = ""
    method: Any = None
    method_owner: Any = None
    made: dict[str, Any] = {}  # in which threads that bind first at once keep what the first has made

    def bind(function: FunctionProxy, instance: object, owner: type | None = None) -> Any:
        """Bind to *instance*, as a function in a class does."""
        if instance is None or make is None:
            return prepare(function, instance, owner)
        proxy = make()
        proxy._self_instance = instance
        proxy.__qualname__ = qualname
        return proxy

    def prepare(function: FunctionProxy, instance: object, owner: type | None) -> Any:
        """Bind for the first time, or to no instance."""
        nonlocal make, qualname, method, method_owner
        cls = type(instance) if owner is None and instance is not None else owner
        if kind is None and cls is not None and not memoizer.owner.settle(cls):
            # It is not written in that class: elsewhere it is no method, and counts its arguments otherwise.
            if method is None:
                new = _proxy(memoizer.as_method(), types.MethodType)
                # Weakly, since the function has the method, and may live longer than the class.
                new._self_named_elsewhere, new._self_named_in = weakref.ref(function), weakref.ref(cls)
                new = made.setdefault("method", new)
                method_owner = new._self_memoizer.owner
                method = new  # last: other threads take it as soon as it is there
            method_owner.add(cls)
            bound = method if instance is None else method.__get__(instance, cls)
            if function._self_bound_class is None:
                function._self_bound_class = method._self_bound_class
                function._self_show_attributes()
            return bound
        if instance is None:
            return function
        function._self_bound_class = proxies = made.setdefault("proxies", _bound_proxies(memoizer, function))
        function._self_show_attributes()
        qualname = getattr(memoizer.function, "__qualname__", "")
        make = type.__call__.__get__(proxies)  # without BoundType's own
        return bind(function, instance)

    def bind_class(function: FunctionProxy, instance: object, owner: type | None = None) -> Any:
        """Bind to the class, as a class method does."""
        return bind(function, type(instance) if owner is None else owner)

    def bind_nothing(function: FunctionProxy, instance: object, owner: type | None = None) -> Any:
        """Bind to nothing, as a static method does."""
        return function

    return bind_class if kind is classmethod else bind_nothing if kind is staticmethod else bind


def _bound_proxies(memoizer: Memoizer, function: FunctionProxy) -> type[BoundProxy[..., Any]]:
    """Return the class of *function*'s bound proxies: what is the same for all instances is an attribute of it."""

    def call_generally(proxy: BoundProxy[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        return memoizer.call(proxy._self_instance, *args, **kwargs)

    members: dict[str, Any] = {
        "__slots__": (),
        "__call__": memoizer.bound_call() or call_generally,
        "__doc__": DOC,
        "__annotations__": ANNOTATIONS,
        "__module__": getattr(memoizer.function, "__module__", None),
        "_self_memoizer": memoizer,
        "_self_parent": staticmethod(cast("Callable[..., Any]", function)),
    }
    kind: Any = AsyncBoundCachedFunction if memoizer.is_async else BoundCachedFunction
    made: Any = BoundType(kind.__name__, (kind, TheirNames), members)
    return cast("type[BoundProxy[..., Any]]", made)


# Last, since an adapter needs all of the above: at once, where its framework has been imported already.
for _framework in ADAPTERS:
    wrapt.register_post_import_hook(load(_framework), _framework)

PICKLERS: Final = "cloudpickle.cloudpickle", "joblib.externals.cloudpickle.cloudpickle", "dill._dill"


def _teach(module: object) -> None:
    importlib.import_module("memocache._by_value").teach(module)


for _name in PICKLERS:
    wrapt.register_post_import_hook(_teach, _name)
