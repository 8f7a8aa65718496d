"""OpenTelemetry: metrics of the cached functions, and spans of their computations."""

import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from memocache import Event, __version__, subscribe
from memocache.observe._totals import OUTCOMES, Labels, Totals, labels_of

try:
    from opentelemetry import metrics, trace
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "memocache.observe.otel needs OpenTelemetry: pip install 'opentelemetry-api>=1.25'"
    ) from missing

__all__ = ["instrument"]


def instrument(meter_provider: Any = None, tracer_provider: Any = None) -> Callable[[], None]:
    """Report the figures of all cached functions to OpenTelemetry, from now on; return what ends it.

    There are `cache.calls` by outcome, `cache.computation.duration`, `cache.forgets`, `cache.entries`,
    `cache.evictions`, `cache.failures` and `cache.seconds_saved`, each with the attributes `cache.function` and
    `cache.system`; and a span for each computation. No keys and no arguments. Hits stay as fast as they are: they are
    counted by the functions, and read when the metrics are.

    Args:
        meter_provider: the provider of the meter; None for the global one.
        tracer_provider: the provider of the tracer; None for the global one.

    Raises:
        ModuleNotFoundError: at the import, where OpenTelemetry is not installed.
    """
    observer = Observer(
        metrics.get_meter("memocache", __version__, meter_provider),
        trace.get_tracer("memocache", __version__, tracer_provider),
    )
    return observer.end


class Observer:
    """The instruments of one meter and one tracer, until it is ended."""

    def __init__(self, meter: Any, tracer: Any) -> None:
        self._totals = Totals()
        self._tracer = tracer
        self._on = True
        self._duration = meter.create_histogram("cache.computation.duration", "s", "Time that a computation took")
        self._forgets = meter.create_counter("cache.forgets", "{call}", "Forgettings of calls and of tags")
        for name, unit, what, read in (
            ("cache.calls", "{call}", "Calls by outcome; a refresh counts as a miss", self._calls),
            ("cache.evictions", "{entry}", "Entries that left a full in-process cache", self._sums("evicted")),
            ("cache.failures", "{failure}", "What was not done: see Info.failures", self._sums("failures")),
            ("cache.seconds_saved", "s", "Computation times of the results that were hit", self._sums("seconds_saved")),
        ):
            meter.create_observable_counter(name, [self._observed(read)], unit, what)
        meter.create_observable_up_down_counter(
            "cache.entries", [self._observed(self._entries)], "{entry}", "Entries in this process"
        )
        self._subscription = subscribe(self._heard, "miss", "uncached")

    def end(self) -> None:
        """Report nothing any more."""
        self._on = False
        self._subscription()

    def _observed(self, read: Callable[[], Iterable[Any]]) -> Callable[[Any], Iterable[Any]]:
        def observe(options: Any) -> Iterable[Any]:
            if not self._on:
                return ()
            self._totals.read()
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
        if event.error is not None:
            found["error.type"] = type(event.error).__qualname__
        if event.seconds is None:
            return
        self._duration.record(event.seconds, found)
        end = time.time_ns()
        span = self._tracer.start_span(
            f"cache.compute {event.function}", attributes=found, start_time=end - int(event.seconds * 1e9)
        )
        if event.error is not None:
            span.set_status(trace.StatusCode.ERROR)
        span.end(end)


def attributes(labels: Labels) -> dict[str, str]:
    """Return what OpenTelemetry calls *labels*."""
    return {"cache.function": labels.function, "cache.system": labels.system}
