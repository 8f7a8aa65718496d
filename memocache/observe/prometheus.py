"""Prometheus: metrics of the cached functions, in one process or in many (`PROMETHEUS_MULTIPROC_DIR`)."""

import threading
from collections.abc import Iterator
from typing import Any, Final

from memocache import Event, subscribe
from memocache._flight import start_thread
from memocache._fork import in_child
from memocache.errors import ConfigurationError
from memocache.observe._totals import COMPUTATIONS, OUTCOMES, ROUND_TRIPS, Totals, check_thread, labels_of, system_of

try:
    import prometheus_client
except ModuleNotFoundError as missing:
    raise ModuleNotFoundError(
        "memocache.observe.prometheus needs prometheus_client: pip install 'prometheus-client>=0.20'"
    ) from missing

__all__ = ["register"]

EVERY: Final = 5.0  # seconds: in multiprocess mode, where a scrape reaches one process only

_exporters: Final[list["Exporter"]] = []


def register(registry: Any = None, *, every: float = EVERY) -> "Exporter":
    """Have the figures of all cached functions among the metrics of *registry*; return what has an `end()`.

    There are `cache_calls_total` by outcome, `cache_computation_duration_seconds`, `cache_forgets_total`,
    `cache_entries`, `cache_evictions_total`, `cache_failures_total` and `cache_seconds_saved_total`, each with the
    labels `function` and `system`; and `cache_operation_duration_seconds` of what a shared cache was asked. Hits in
    process stay as fast as they are: they are counted by the functions, and read at each scrape, and every few seconds
    in a thread, so that in multiprocess mode the others' are there, too.

    Args:
        registry: the registry; None for prometheus_client's own.
        every: seconds between two readings in the background, above 0.

    Raises:
        ConfigurationError: if *registry* has metrics of these names already, or *every* is not above 0.
        ModuleNotFoundError: at the import, where prometheus_client is not installed.
    """
    check_thread("register", every)
    try:
        exporter = Exporter(prometheus_client.REGISTRY if registry is None else registry, every)
    except ValueError as error:
        raise ConfigurationError(
            f"the registry has metrics of these names already, perhaps by an earlier register(): {error}"
        ) from error
    _exporters.append(exporter)
    return exporter


class Exporter:
    """The metrics in one registry, and the thread that reads the figures for them."""

    def __init__(self, registry: Any, every: float) -> None:
        self._registry = registry
        self._every = every
        labels = ("function", "system")
        registry.register(self)  # first, so that a scrape reads before it collects the metrics
        self._made: list[Any] = [self]
        try:
            self._calls = self._metric("Counter", "cache_calls", "Calls by outcome", (*labels, "outcome"))
            self._sums = {
                "evicted": self._metric("Counter", "cache_evictions", "Entries that left a full cache", labels),
                "failures": self._metric("Counter", "cache_failures", "What was not done", labels),
                "seconds_saved": self._metric("Counter", "cache_seconds_saved", "Computation time saved", labels),
            }
            self._entries = self._metric(
                "Gauge", "cache_entries", "Entries in process", labels, multiprocess_mode="livesum"
            )
            self._duration = self._metric(
                "Histogram", "cache_computation_duration_seconds", "Computations", labels, buckets=COMPUTATIONS
            )
            self._operations = self._metric(
                "Histogram",
                "cache_operation_duration_seconds",
                "What a shared cache took",
                ("system", "operation", "server", "error"),
                buckets=ROUND_TRIPS,
            )
            self._forgets = self._metric("Counter", "cache_forgets", "Forgettings of calls and tags", labels)
        except ValueError:
            for metric in self._made:
                registry.unregister(metric)
            raise
        self._subscriptions = [subscribe(self._heard, "miss", "uncached"), subscribe(self._timed, "operation")]
        self.after_fork()

    def _metric(self, kind: str, name: str, what: str, labels: tuple[str, ...], **more: Any) -> Any:
        metric = getattr(prometheus_client, kind)(name, what, labels, registry=self._registry, **more)
        self._made.append(metric)
        return metric

    def after_fork(self) -> None:
        """Begin to read: in the beginning, and in a forked process, which has counted nothing of its own yet."""
        self._lock = threading.Lock()
        self._totals = Totals()
        if _exporters:
            self._totals.read()  # what the parent has counted is the parent's
        self._stop = threading.Event()
        start_thread("memocache prometheus", self._run, self._stop)

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(self._every):
            self.read()

    def describe(self) -> list[Any]:
        """Return nothing: this only reads at a scrape; the metrics describe themselves."""
        return []

    def collect(self) -> Iterator[Any]:
        """Read, so that a scrape of this process has the figures of this moment."""
        self.read()
        return iter(())

    def read(self) -> None:
        """Add what was counted since the last time."""
        with self._lock:
            for labels, added in self._totals.read().items():
                for name, number in added.items():
                    if name in OUTCOMES:
                        self._calls.labels(*labels, OUTCOMES[name]).inc(number)
                    elif name in self._sums:
                        self._sums[name].labels(*labels).inc(number)
            for labels, number in self._totals.entries.items():
                self._entries.labels(*labels).set(number)

    def end(self) -> None:
        """Take the metrics out of the registry, and read nothing any more."""
        if self not in _exporters:
            return
        _exporters.remove(self)
        self._stop.set()
        for subscription in self._subscriptions:
            subscription()
        self._totals.let_go()
        for metric in self._made:
            self._registry.unregister(metric)

    def _heard(self, event: Event) -> None:
        labels = labels_of(event.function, event.cache)
        if event.kind == "uncached":
            self._forgets.labels(*labels).inc()
        elif event.seconds is not None:
            self._duration.labels(*labels).observe(event.seconds)

    def _timed(self, event: Event) -> None:
        error = "" if event.error is None else type(event.error).__qualname__
        labels = system_of(event.cache), event.operation, event.server or "", error
        self._operations.labels(*labels).observe(event.seconds)


@in_child
def _after_fork() -> None:
    for exporter in _exporters:
        exporter.after_fork()
