"""OpenTelemetry: metrics of the cached functions, and spans of their computations."""

import inspect
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from weakref import WeakKeyDictionary

from memocache import Event, __version__, subscribe
from memocache._flight import collecting
from memocache._memoizer import trace_with
from memocache.errors import ConfigurationError
from memocache.observe._totals import COMPUTATIONS, OUTCOMES, ROUND_TRIPS, Labels, Totals, labels_of, system_of

try:
    from opentelemetry import context, metrics, trace
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "memocache.observe.otel needs OpenTelemetry: pip install 'opentelemetry-api>=1.25'"
    ) from missing

__all__ = ["instrument"]


def instrument(meter_provider: Any = None, tracer_provider: Any = None) -> Callable[[], None]:
    """Report the figures of all cached functions to OpenTelemetry, from now on; return what ends it.

    There are `cache.calls` by outcome, `cache.computation.duration`, `cache.forgets`, `cache.entries`,
    `cache.evictions`, `cache.failures` and `cache.seconds_saved`, each with the attributes `cache.function` and
    `cache.system`; and `cache.operation.duration` of what a shared cache was asked. Each of these operations is a span,
    and each computation runs in one. No keys and no arguments. Hits in process stay as fast as they are: they are
    counted by the functions, and read when the metrics are.

    Args:
        meter_provider: the provider of the meter; None for the global one.
        tracer_provider: the provider of the tracer; None for the global one.

    Raises:
        ConfigurationError: if they are reported to this meter provider already.
        ModuleNotFoundError: at the import, where OpenTelemetry is not installed.
    """
    is_global = meter_provider is None or meter_provider is metrics.get_meter_provider()
    provider = metrics if is_global else meter_provider
    if (observer := _observers.get(provider)) is None:
        observer = _observers[provider] = Observer(metrics.get_meter("memocache", __version__, meter_provider))
    return observer.begin(trace.get_tracer("memocache", __version__, tracer_provider))


class Observer:
    """The instruments of one meter, which it has for good: they report from a beginning to its end, and again."""

    def __init__(self, meter: Any) -> None:
        self._served: set[str] = set()  # the metrics that had their figures of the latest reading
        self._lock = threading.Lock()
        self._subscriptions: list[Callable[[], None]] = []  # none: it has ended
        self._duration = meter.create_histogram(
            "cache.computation.duration", "s", "Time that a computation took", **buckets(meter, COMPUTATIONS)
        )
        self._operations = meter.create_histogram(
            "cache.operation.duration", "s", "Time that a shared cache took", **buckets(meter, ROUND_TRIPS)
        )
        self._forgets = meter.create_counter("cache.forgets", "{call}", "Forgettings of calls and of tags")
        for name, unit, what, read in (
            ("cache.calls", "{call}", "Calls by outcome; a refresh counts as a miss", self._calls),
            ("cache.evictions", "{entry}", "Entries that left a full in-process cache", self._sums("evicted")),
            ("cache.failures", "{failure}", "What was not done: see Info.failures", self._sums("failures")),
            ("cache.seconds_saved", "s", "Computation times of the results that were hit", self._sums("seconds_saved")),
        ):
            meter.create_observable_counter(name, [self._observed(name, read)], unit, what)
        meter.create_observable_up_down_counter(
            "cache.entries", [self._observed("cache.entries", self._entries)], "{entry}", "Entries in this process"
        )

    def begin(self, tracer: Any) -> Callable[[], None]:
        """Report from now on, and computations to *tracer*; return what ends it."""
        if self._subscriptions:
            raise ConfigurationError(
                "instrument() reports to this meter provider already, and twice would be counted double; call it once, "
                "or first what it returned"
            )
        self._tracer, self._totals = tracer, Totals()
        begun = self._subscriptions = [
            subscribe(self._heard, "miss", "uncached"),
            subscribe(self._timed, "operation"),
            trace_with(self._traced),
        ]

        def end() -> None:
            if self._subscriptions is begun:  # and not those of the next beginning
                self._subscriptions = []
                for subscription in begun:
                    subscription()
                self._totals.let_go()

        return end

    def _observed(self, name: str, read: Callable[[], Iterable[Any]]) -> Callable[[Any], Iterable[Any]]:
        def observe(options: Any) -> Iterable[Any]:
            if not self._subscriptions:
                return ()
            with self._lock:
                if name in self._served or not self._served:  # it is another collection, of whichever reader
                    self._totals.read()
                    self._served.clear()
                self._served.add(name)
                return list(read())

        return observe

    def _calls(self) -> Iterator[Any]:
        for labels, sums in self._totals.counts.items():
            for name, outcome in OUTCOMES.items():
                yield metrics.Observation(sums[name], {**attributes(labels), "cache.outcome": outcome})

    def _sums(self, name: str) -> Callable[[], Iterator[Any]]:
        def read() -> Iterator[Any]:
            for labels, sums in self._totals.counts.items():
                yield metrics.Observation(sums[name], attributes(labels))

        return read

    def _entries(self) -> Iterator[Any]:
        for labels, number in self._totals.entries.items():
            yield metrics.Observation(number, attributes(labels))

    def _heard(self, event: Event) -> None:
        found = attributes(labels_of(event.function, event.cache))
        if event.kind == "uncached":
            self._forgets.add(1, found)
            return
        if event.seconds is not None:
            self._duration.record(event.seconds, found | error_type(event.error))

    def _traced(self, function: Callable[..., Any], name: str, is_async: bool) -> Callable[..., Any]:
        """Return what does what *function*, called *name*, does, in a span."""

        def traced(*args: Any, **kwargs: Any) -> Any:
            with self._span(name):
                return function(*args, **kwargs)

        async def traced_in_task(*args: Any, **kwargs: Any) -> Any:
            with self._span(name):
                return await function(*args, **kwargs)

        return traced_in_task if is_async else traced

    @contextmanager
    def _span(self, name: str) -> Iterator[None]:
        """Be in a span of a computation of the function called *name*; texts of its exceptions may be secret."""
        if collecting and threading.get_ident() in collecting:  # no ContextVar may be set there
            yield
            return
        span = self._tracer.start_span(f"cache.compute {name}", attributes={"cache.function": name})
        token = context.attach(trace.set_span_in_context(span))
        try:
            yield
        except BaseException as error:
            span.set_attributes(error_type(error))
            span.set_status(trace.StatusCode.ERROR)
            raise
        finally:
            context.detach(token)
            span.end()

    def _timed(self, event: Event) -> None:
        system = system_of(event.cache)
        found: dict[str, Any] = {"cache.system": system, "cache.operation": str(event.operation)}
        if event.server is not None:
            found |= address(event.server)
        found |= error_type(event.error)
        seconds, end = event.seconds or 0.0, time.time_ns()
        self._operations.record(seconds, found)
        name, start = f"cache.{event.operation} {system}", end - int(seconds * 1e9)  # it has just ended
        span = self._tracer.start_span(name, attributes=found, kind=trace.SpanKind.CLIENT, start_time=start)
        if event.error is not None:
            span.set_status(trace.StatusCode.ERROR)
        span.end(end)


_observers: Final[WeakKeyDictionary[Any, Observer]] = WeakKeyDictionary()
"""By provider; by the module `metrics` that of the global one."""


def buckets(meter: Any, boundaries: Sequence[float]) -> dict[str, Any]:
    """Return the advice to divide a histogram at these *boundaries*, if the API of *meter* takes any."""
    name = "explicit_bucket_boundaries_advisory"
    return {name: boundaries} if name in inspect.signature(meter.create_histogram).parameters else {}


def address(server: str) -> dict[str, Any]:
    """Return what OpenTelemetry calls the address of a *server*: a host and its port, or the path of a socket."""
    host, _, port = server.rpartition(":")
    if server.startswith("/") or not port.isdecimal():
        return {"server.address": server}
    return {"server.address": host.strip("[]"), "server.port": int(port)}


def error_type(error: BaseException | None) -> dict[str, str]:
    """Return what OpenTelemetry calls the class of an *error*, if there is one."""
    return {} if error is None else {"error.type": type(error).__qualname__}


def attributes(labels: Labels) -> dict[str, str]:
    """Return what OpenTelemetry calls *labels*."""
    return {"cache.function": labels.function, "cache.system": labels.system}
