"""Hooks: the seam between the core and adapters of web frameworks. The core knows no more of the web than this.

An adapter takes over the calls that are calls of views. The core asks the registered adapters about each function and
each call; an adapter that takes a call gets an Engine, which reads, computes, stores and forgets for it. An adapter
needs no more of the core than this file, `errors`, `_clock`, `_living` and the public names. Those in `memocache.web`
are loaded when their framework has been imported (see `_function`); before that the registry is an empty list, and
costs no more.
"""

import importlib
from collections.abc import Awaitable, Callable, Iterable, Sequence
from inspect import Parameter, Signature
from typing import TYPE_CHECKING, Any, Final, Protocol

from memocache._current import default
from memocache._living import Living
from memocache.backends.base import Cache

if TYPE_CHECKING:
    from memocache.backends._listing import Listing

__all__ = [
    *("ADAPTERS", "Adapter", "Decision", "Decorated", "Engine", "HookedFunction", "adapters"),
    *("check_view_options", "choose_default", "function_of", "load"),
]

ADAPTERS: Final = {
    "aiohttp.web": "memocache.web.aiohttp",
    "django.http": "memocache.web.django",
    "flask": "memocache.web.flask",
    "litestar": "memocache.web.litestar",
    "quart": "memocache.web.quart",
    "rest_framework.response": "memocache.web.rest_framework",
    "starlette.requests": "memocache.web.asgi",
}
"""Module that is imported wherever a framework is used -> the adapter of that framework."""
VIEW_OPTIONS: Final = "memocache.web._rules"

# The types of nearly all results; by id, since a metaclass may have a __hash__ of its own.
NO_RESPONSES: Final = frozenset(map(id, (int, str, bytes, bool, float, type(None), list, dict, set)))


class HookedFunction(Protocol):
    """A function that was decorated, as adapters see it."""

    function: Callable[..., Any]
    signature: Signature
    title: str  # its name in messages
    view: bool | None  # the option `view=`
    vary: tuple[str, ...]  # the option `vary=`, in lower case
    has_key_function: bool  # True if `key=` is a function
    is_called_as_written: bool  # True if its arguments may come in another order than that of the parameters
    is_refreshed_later: bool  # True if it may be computed in the background, by `stale=`
    is_method: bool  # True if it is written in the body of a class
    notes: dict[Any, Any]  # facts that each adapter keeps about it

    @property
    def full_name(self) -> str:
        """The function's name with its module, or its `namespace=`."""

    @property
    def slowest(self) -> float:
        """The seconds of the longest computation that this process has seen."""

    @property
    def is_async(self) -> bool:
        """True for a coroutine function."""

    def is_in_key(self, parameter: str, /) -> bool:
        """Return True if the argument for *parameter* is part of the key as it is."""

    def types_of(self, parameter: Parameter, /) -> Iterable[type | None]:
        """Return the classes in the annotation of *parameter*; None stands for any. Raises if it cannot be resolved."""

    def hint_of(self, parameter: Parameter, /) -> Any:
        """Return the annotation of *parameter* without texts in it. Raises if it cannot be resolved."""

    def become_view(self) -> None:
        """Have no entry in the fast index any more, since the request decides what is served."""

    def forget(self, args: tuple[Any, ...], kwargs: dict[str, Any], /) -> bool:
        """Forget one call, whatever the request was; block until it is done, also for a coroutine function."""

    def listing(self, limit: int, /) -> "Listing":
        """Return the entries of the function on the cache in use, of which *limit* are described."""

    def warn(self, what: str, /) -> None:
        """Count a failure, and log the first of each kind."""


class Decorated:
    """The base of all that `cached` makes of a function."""

    __slots__ = ()


class Decision(Protocol):
    """The fate of a computed *value*: for how many seconds it is to be stored (0: not at all), and whether it was."""

    value: Any
    lifetime: float
    is_stored: bool


class Engine(Protocol):
    """One call of a cached function, for the adapter that has taken it over.

    Use `bypass` alone; or first `open`, and then the rest. What may wait is awaited in the coroutine that `run` drives,
    in a thread or in a task of asyncio; that can await nothing else.
    """

    cache: Cache  # the one in use
    notes: dict[Any, Any]  # facts that adapters keep about the function on this cache, in this process

    def bypass(self, deliver: Callable[[Any], Any] | None = None) -> Any:
        """Return what a hook returns for a call that only computes; *deliver* makes what the caller gets of that."""

    def open(self) -> None:
        """Find the cache and the key of the call; everything below needs that."""

    def run(
        self,
        serve: Callable[[], Awaitable[Any]],
        decide: Callable[[Any, float], Any] | None = None,
        deliver: Callable[[Any], Any] | None = None,
        is_own: Callable[[Exception], bool] | None = None,
        *,
        detaches: bool = True,
    ) -> Any:
        """Return what a hook returns for a call: a run of the coroutine function *serve*.

        Args:
            serve: reads, computes and stores; its result goes to the caller.
            decide: makes the Decision for a computed value, of that and the time when the computation began. For a
                coroutine function it is one, too. None: values are not stored.
            deliver: makes what the caller gets of the result of *serve*.
            is_own: returns True if what was raised is for its own caller only, though the option `errors=` names it.
            detaches: True if something may be computed in the background, when the request may be over.
        """

    def key(self, *parts: object) -> str:
        """Return the key of the call with these *parts* of the request."""

    def token(self, value: object, /) -> int:
        """Return a number for *value* that no other object has in this process."""

    def lifetime(self, value: Any, /) -> float:
        """Return for how many seconds the options let *value* be fresh; 0 or less if it must not be stored."""

    @property
    def stale(self) -> float:
        """The option `stale=`, in seconds."""

    def copy(self, value: Any, /) -> Any:
        """Return *value*, or a copy if `copy=` says so."""

    def keep(self, value: Any, kept: Any, lifetime: float, stale: float = 0.0) -> Decision:
        """Return the Decision to store *kept* for a computed *value*."""

    def decline(self, value: Any, error: Exception | None = None) -> Decision:
        """Return the Decision not to store *value*; with *error*, it failed, and what is stored is served on."""

    def compute(self) -> Awaitable[Decision | None]:
        """Compute only, which counts as a miss; None if it raised, which the caller is going to see."""

    def change(self, is_error: Callable[[Any], bool], /) -> Awaitable[Any]:
        """Compute, and forget what is stored for the call unless it raised, or the value is an error."""

    def read_through(
        self,
        key: str,
        *,
        refresh: bool = False,
        waits: bool = True,
        follow: Callable[[Any], tuple[str, bool] | None] | None = None,
    ) -> Awaitable[tuple[Decision | None, Any]]:
        """Look, or compute and store; return the Decision if it was computed here, or else what was found stored.

        (None, None) if the computation raised, which the caller is going to see. The call has one outcome, however many
        keys are tried.

        Args:
            key: the key to look under first.
            refresh: True to compute always.
            waits: False to compute alone meanwhile, rather than to wait for another's computation.
            follow: takes what is stored, and returns None if that is a result. Else it only leads to another key, which
                is returned, and whether to wait there; or it cannot be used, and is to be replaced: then the same key.
        """

    def peek(self, key: str, /) -> Awaitable[Any]:
        """Return the entry, which has a *value*, if there is a fresh one; no figure changes."""

    def count(self, entry: Any, /) -> Any:
        """Count a hit of an *entry* that `peek` has returned, and return its value."""

    def store(
        self, key: str, kept: Any, lifetime: float, stale: float, proof: tuple[str, Callable[[Any], bool]]
    ) -> Awaitable[bool]:
        """Store *kept* of a value that was computed under another key, unless it was forgotten since; return if it was.

        The *proof* is the other key, and a function that knows what was stored there.
        """


class Adapter(Protocol):
    """The answers about one web framework that the core needs."""

    @property
    def responses(self) -> tuple[type, ...]:
        """The types of responses."""

    @property
    def requests(self) -> tuple[type, ...]:
        """The types of requests, if views are given one as an argument."""

    @property
    def view_classes(self) -> tuple[type, ...]:
        """The types of objects whose methods are views and that are made anew for each request."""

    def decorated(self, function: HookedFunction, /) -> None:
        """Raise ConfigurationError if *function*, just decorated, is a view that cannot be cached."""

    def call(self, function: HookedFunction, arguments: Sequence[object], /) -> Callable[[Engine], Any] | None:
        """Return what begins the present call, if it is one of a view in a request; that returns what `run` returns."""

    def is_view(self, function: HookedFunction, /) -> bool | None:
        """Return True or False if that is known; None if it may be one, as of an application that is not here."""

    def bind_context(self, compute: Callable[[], Any], in_task: bool, /) -> Callable[[], Any]:
        """Return a function that does what *compute* does, in the background, when the present request may be over.

        It is called in another thread, or, if it is to be awaited there, *in_task*; be the cached function a view or
        not. What it opens, it closes.
        """


class AdapterRegistry(list[Adapter]):
    """The adapters that are loaded, with the questions that the core asks them; and the functions."""

    def __init__(self) -> None:
        super().__init__()
        self._functions: Living[HookedFunction] = Living()
        self._responses: tuple[type, ...] = ()
        self._requests: tuple[type, ...] = ()
        self._view_classes: tuple[type, ...] = ()

    def register(self, adapter: Adapter) -> None:
        """Ask *adapter* from now on, too."""
        self._responses += adapter.responses
        self._requests += adapter.requests
        self._view_classes += adapter.view_classes
        self.append(adapter)

    def decorated(self, function: HookedFunction) -> None:
        """Raise ConfigurationError if *function*, just decorated, is a view that cannot be cached."""
        self._functions.add(function)
        for adapter in self[:]:
            adapter.decorated(function)

    def functions(self) -> list[HookedFunction]:
        """Return the functions that were decorated in this process and are still there."""
        return list(self._functions)

    def find_call(
        self, function: HookedFunction, key_args: Sequence[object], compute: Any = None
    ) -> Callable[[Engine], Any] | None:
        """Return what begins the present call of *function*, if an adapter takes it over; else None.

        *compute* is there where *key_args* are not all the arguments.
        """
        arguments = key_args if compute is None else (*compute.args, *compute.keywords.values())
        for adapter in self:
            begin = adapter.call(function, arguments)
            if begin is not None:
                return begin
        return None

    def is_view(self, function: HookedFunction) -> bool | None:
        """Return True if *function* is a view, False if it is none; None if it may be one, here or elsewhere."""
        answer = function.view
        if answer is None:
            told = [adapter.is_view(function) for adapter in self]
            answer = True if True in told else None if None in told else False
        return answer

    def bind_context(self, compute: Callable[[], Any], in_task: bool) -> Callable[[], Any]:
        """Return a function that does what *compute* does, in the background, when the present request may be over."""
        for adapter in self:
            compute = adapter.bind_context(compute, in_task)
        return compute

    @property
    def of_one_request(self) -> tuple[type, ...]:
        """The types of what belongs to one request: responses, and requests themselves."""
        return self._responses + self._requests

    def refusal(self, value: object) -> str:
        """Return why *value* must not be stored by a function that is no view; empty if it is no response.

        A tuple of a response, a status and headers is one.
        """
        kind = type(value[0] if type(value) is tuple and value else value)
        # isinstance would ask a proxy what it stands for.
        if id(kind) in NO_RESPONSES or not issubclass(kind, self._responses):
            return ""
        return (
            "a function that is no view returned a response, which belongs to one request, so it was not stored; "
            "return the data, or, where its framework is supported, put @cached on the view itself (view=True if it is "
            "not found to be one; an endpoint of Starlette or FastAPI is one if it takes the request)"
        )

    def lasting(self, value: Any) -> Any:
        """Return the part of an argument that is the same in each request; also inside *args and **kwargs."""
        kind = type(value)
        if issubclass(kind, self._requests):
            return None
        if kind is tuple:
            return tuple(map(self.lasting, value))
        if kind is dict:
            return {name: self.lasting(each) for name, each in value.items()}
        return f"{kind.__module__}.{kind.__qualname__}" if issubclass(kind, self._view_classes) else value


adapters: Final = AdapterRegistry()
"""The adapters that are loaded."""


def load(framework: str) -> Callable[[object], None]:
    """Return a function that loads the adapter of *framework*, to be called when that has been imported."""

    def load_adapter(module: object) -> None:
        try:
            importlib.import_module(ADAPTERS[framework])
        except ImportError:
            if not _is_being_imported(module):
                raise
            adapters.append(LaterAdapter(framework, module))  # a module that it imports has decorated a function

    return load_adapter


class LaterAdapter:
    """A stand-in for the adapter of a framework that is just being imported."""

    responses: tuple[type, ...] = ()
    requests: tuple[type, ...] = ()
    view_classes: tuple[type, ...] = ()

    def __init__(self, framework: str, module: object) -> None:
        self._framework = framework
        self._module = module

    def decorated(self, function: HookedFunction, /) -> None:
        """Load the adapter and ask that, if it can be loaded."""
        if self._is_over():
            adapters.decorated(function)

    def call(self, function: HookedFunction, arguments: Sequence[object], /) -> Callable[[Engine], Any] | None:
        """Load the adapter and ask that, if it can be loaded."""
        return adapters.find_call(function, arguments) if self._is_over() else None

    def _is_over(self) -> bool:
        """Return True if the framework has been imported; then the adapter takes this one's place."""
        if _is_being_imported(self._module):
            return False
        if self in adapters:
            adapters.remove(self)
        importlib.import_module(ADAPTERS[self._framework])
        return True

    def is_view(self, function: HookedFunction, /) -> None:
        """Return None: nobody knows yet."""

    def bind_context(self, compute: Callable[[], Any], in_task: bool, /) -> Callable[[], Any]:
        """Return *compute*: nothing of the framework can be in use."""
        return compute


def _is_being_imported(module: object) -> bool:
    return bool(getattr(getattr(module, "__spec__", None), "_initializing", False))  # importlib's own flag


def check_view_options(view: Any, vary: Any) -> tuple[bool | None, tuple[str, ...]]:
    """Return the options view= and vary= of `cached` after the web's rules have checked them: ConfigurationError."""
    if view is None and type(vary) is tuple and not vary:
        return None, ()  # nothing to check, so nothing of the web is loaded
    checked: tuple[bool | None, tuple[str, ...]] = importlib.import_module(VIEW_OPTIONS).check_options(view, vary)
    return checked


def choose_default(choose: Callable[[], Cache | None]) -> None:
    """Let *choose* say at each call which cache is the default one; None from it stands for the configured one."""
    default.choose(choose)


def function_of(value: Any) -> HookedFunction | None:
    """Return the function that *value* has been made of by `cached`; None for anything else."""
    return value._self_memoizer if issubclass(type(value), Decorated) else None
