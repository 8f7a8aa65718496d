"""The figures and events of cached functions, as OpenTelemetry, Prometheus and logs have them."""

import asyncio
import functools
import gc
import json
import logging
import re
import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from contextvars import ContextVar, copy_context
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from freezegun import freeze_time

from memocache import (
    Cache,
    ConfigurationError,
    Event,
    ForeignCache,
    MemcachedCache,
    NullCache,
    SimpleCache,
    SQLiteCache,
    TieredCache,
    cached,
    disabled,
    subscribe,
)
from memocache.observe._totals import Totals, system_of
from memocache.observe.logs import log_events
from tests.support.refusals import refusal
from tests.support.servers import MemcachedServer, free_port, wait_until

ROOT = Path(__file__).parents[2]
METRIC = re.compile(r"\bcache_[a-z_]+")


def driven(namespace: str) -> Any:
    """Return a function that was called with three hits and two misses, and of which one call was forgotten."""

    @cached(timeout=60, cache=SimpleCache(threshold=10), namespace=namespace)
    def f(x: int) -> float:
        return 1 / x

    for x in (1, 1, 2, 1, 2):
        f(x)
    f.uncache(1)
    return f


class OwnCache(ForeignCache):
    """Somebody's own."""


@pytest.mark.parametrize(
    ("make", "system"),
    [
        *((SimpleCache, "memory"), (NullCache, "none"), (MemcachedCache, "memcached")),
        (lambda: TieredCache(SimpleCache(), MemcachedCache()), "tiered"),
        (lambda: ForeignCache(OrderedDict()), "OrderedDict"),
        (lambda: OwnCache({}), "OwnCache"),
    ],
)
def test_a_cache_goes_by_its_sort_and_anothers_object_by_its_class(make: Callable[[], Cache], system: str) -> None:
    assert system_of(make()) == system


def test_the_totals_of_a_function_only_grow() -> None:
    totals = Totals()
    f = driven("totals")
    totals.read()
    totals.read()
    (labels,) = [each for each in totals.counts if each.function == "totals"]
    assert labels.system == "memory"
    assert (totals.counts[labels]["hits"], totals.counts[labels]["misses"], totals.entries[labels]) == (3, 2, 1)
    f.cache_clear()
    f(5)
    totals.read()
    assert (totals.counts[labels]["hits"], totals.counts[labels]["misses"], totals.entries[labels]) == (3, 3, 1)
    f(6), f(6)
    del f
    gc.collect()
    for _ in range(2):
        totals.read()
        assert (totals.counts[labels]["hits"], totals.counts[labels]["misses"]) == (4, 4)
    assert labels not in totals.entries


def test_nobody_who_reads_no_more_keeps_the_cache_of_a_function_that_goes() -> None:
    totals, cache = Totals(), SimpleCache()
    f = cached(timeout=60, cache=cache)(lambda x: x)
    f(1)
    totals.read()
    totals.let_go()
    here = weakref.ref(cache)
    del f, cache
    gc.collect()
    assert here() is None
    totals.read()


def test_what_was_counted_before_a_function_counts_from_zero_is_in_the_totals() -> None:
    totals, f = Totals(), driven("zero")
    totals.read()
    f(1)
    f.cache_clear()
    f(1)
    (added,) = [more for labels, more in totals.read().items() if labels.function == "zero"]
    assert (added["hits"], added["misses"]) == (0, 2)


def test_hits_of_an_entry_that_leaves_while_they_are_read_are_counted_once() -> None:
    class Leaving(SimpleCache):
        """A cache whose entry leaves after the counters were read, and before it is asked what it holds itself."""

        is_leaving = False

        def usage(self, tag: str, counters: Any) -> Any:
            return (
                super().usage(tag, counters)._replace(**({"hits": 0, "seconds_saved": 0.0} if self.is_leaving else {}))
            )

    cache, totals = Leaving(), Totals()
    f = cached(timeout=60, cache=cache, namespace="leaving")(lambda x: x)
    labels = "leaving", "Leaving"
    f(1), f(1), f(1)
    for leaving, hits in ((False, 2), (True, 2), (False, 2)):
        cache.is_leaving = leaving
        totals.read()
        assert totals.counts[labels]["hits"] == hits  # type: ignore[index]
    f(1)
    totals.read()
    assert totals.counts[labels]["hits"] == 3  # type: ignore[index]


def test_a_function_whose_cache_needs_a_request_is_counted_outside_of_one() -> None:
    request: ContextVar[SimpleCache] = ContextVar("request")
    f = cached(timeout=60, cache=lambda: request.get(), namespace="request")(lambda x: x)

    def serve() -> None:
        request.set(cache)
        f(1), f(1)

    cache = SimpleCache()
    copy_context().run(serve)
    with pytest.raises(LookupError):
        f.info()
    totals = Totals()
    totals.read()
    assert (totals.counts["request", "memory"]["hits"], totals.counts["request", "memory"]["misses"]) == (1, 1)  # type: ignore[index]


def test_functions_of_one_name_in_two_modules_are_two() -> None:
    def rate(module: str) -> Any:
        def rate() -> None: ...

        rate.__module__, rate.__qualname__ = module, "rate"
        return cached(cache=SimpleCache(), timeout=60)(rate)

    named, told = [rate("shop.one"), rate("shop.two")], list[Event]()
    with subscribe(told.append, "miss"):
        for each in named:
            each()
    totals = Totals()
    totals.read()
    names = ["shop.one.rate", "shop.two.rate"]
    assert [event.function for event in told] == names
    assert {labels.function for labels in totals.counts} >= set(names)


def test_a_function_that_was_not_called_makes_no_cache_for_it() -> None:
    made: list[SimpleCache] = []

    def make() -> SimpleCache:
        made.append(SimpleCache())
        return made[-1]

    @cached(timeout=60, cache=make)
    def f(x: int) -> int:
        return x

    Totals().read()
    assert made == []
    assert f(1) == 1


# ---- OpenTelemetry ---------------------------------------------------------------------------------------------------


def points(reader: Any, metric: str, function: str | None = None) -> list[Any]:
    """Return what a collection by *reader* has of a *metric* of that *function*."""
    data = reader.get_metrics_data()
    return [
        point
        for resource in (data.resource_metrics if data else ())
        for scope in resource.scope_metrics
        for each in scope.metrics
        if each.name == metric
        for point in each.data.data_points
        if point.attributes.get("cache.function") == function
    ]


class Shop:
    def __cache_key__(self) -> int:
        return 1


def spans(telemetry: Any, name: str) -> list[Any]:
    return [span for span in telemetry.spans.get_finished_spans() if span.name == name]


def test_opentelemetry_has_the_figures_and_a_span_for_each_computation(telemetry: Any) -> None:
    f = driven("otel")
    with pytest.raises(ZeroDivisionError):
        f(0)

    def found(metric: str) -> list[Any]:
        return points(telemetry.readers[0], metric, "otel")

    calls = {point.attributes["cache.outcome"]: point.value for point in found("cache.calls")}
    assert calls == {"hit": 3, "miss": 3, "stale": 0, "wait": 0}
    durations = {point.attributes.get("error.type"): point.count for point in found("cache.computation.duration")}
    assert durations == {None: 2, "ZeroDivisionError": 1}
    for metric in ("cache.forgets", "cache.entries"):
        assert [(point.value, point.attributes["cache.system"]) for point in found(metric)] == [(1, "memory")]
    ours = spans(telemetry, "cache.compute otel")
    assert [span.status.status_code.name for span in ours] == ["UNSET", "UNSET", "ERROR"]
    assert [dict(span.attributes) for span in ours[1:]] == [
        {"cache.function": "otel"},
        {"cache.function": "otel", "error.type": "ZeroDivisionError"},
    ]
    assert not any(span.events or span.status.description for span in ours)  # the text of an exception may be secret
    telemetry.end()
    f(7)
    assert len(telemetry.spans.get_finished_spans()) == 3
    assert not found("cache.calls")
    end = telemetry.begin()
    f(8)
    assert len(telemetry.spans.get_finished_spans()) == 4
    end()


@pytest.mark.parametrize("is_global", [False, True])
def test_opentelemetry_is_reported_to_once_and_again(is_global: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("opentelemetry.sdk")
    from opentelemetry.sdk.metrics import MeterProvider
    from opentelemetry.sdk.metrics.export import InMemoryMetricReader

    from memocache.observe import otel

    monkeypatch.setattr(otel, "_observers", type(otel._observers)())
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader])
    if is_global:
        for module in ("metrics", "metrics._internal"):
            monkeypatch.setattr(f"opentelemetry.{module}.get_meter_provider", lambda: provider)
    f = cached(timeout=60, cache=SimpleCache(), namespace="again")(lambda x: x)

    def figures() -> tuple[int, int]:
        """Return how many calls and how many computations are reported."""
        calls = sum(point.value for point in points(reader, "cache.calls", "again"))
        return calls, sum(point.count for point in points(reader, "cache.computation.duration", "again"))

    def instrument(given: Any = None) -> Callable[[], None]:
        return otel.instrument(given if is_global else provider)

    first = instrument()
    f(1)
    with pytest.raises(ConfigurationError, match="reports to this meter provider already, and twice would be counted"):
        instrument(provider)
    f(1)
    assert figures() == (2, 1)
    first()
    assert figures()[0] == 0
    second = instrument()
    first()  # once more, which ends nothing
    f(2)
    assert figures() == (3, 2)
    second()


def test_opentelemetry_reads_the_figures_once_a_collection(telemetry: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    read, readings = Totals.read, list[None]()
    monkeypatch.setattr(Totals, "read", lambda self: readings.append(None) or read(self))
    f, seen = driven("once"), list[int]()
    for number, reader in enumerate([*telemetry.readers, *telemetry.readers], 1):
        f(number)
        calls = sum(point.value for point in points(reader, "cache.calls", "once"))
        assert len(readings) == number
        seen.append(calls - number)
    assert seen == [seen[0]] * 4  # each has the latest figures


def test_opentelemetry_has_the_operations_of_shared_caches(
    telemetry: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    port, socket = free_port(), f"{tmp_path}/socket:7"
    with caplog.at_level(logging.CRITICAL, "memocache"):
        servers = (MemcachedCache([("::1", port)]), MemcachedCache([f"127.0.0.1:{port}"]), MemcachedCache([socket]))
        for cache in (SQLiteCache(tmp_path / "cache.db"), *servers, SimpleCache()):
            f = cached(timeout=60, cache=cache, namespace="f")(lambda x: x)
            f(1)
    operations = points(telemetry.readers[0], "cache.operation.duration")
    assert {tuple(point.attributes.values()): point.count for point in operations} == {
        ("sqlite", "get"): 1,
        ("sqlite", "set"): 1,
        ("memcached", "get", "::1", port, "BackendUnavailable"): 1,
        ("memcached", "get", "127.0.0.1", port, "BackendUnavailable"): 1,
        ("memcached", "get", socket, "BackendUnavailable"): 1,
    }
    clients = [span for span in telemetry.spans.get_finished_spans() if span.kind.name == "CLIENT"]
    assert [(span.name, span.status.status_code.name) for span in clients] == [
        ("cache.get sqlite", "UNSET"),
        ("cache.set sqlite", "UNSET"),
        *[("cache.get memcached", "ERROR")] * 3,
    ]


def test_spans_are_children_of_the_callers_span(telemetry: Any, memcached: MemcachedServer, prefix: str) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix, timeout=5)

    @cached(timeout=60, cache=cache, namespace="inner")
    def inner(x: int) -> int:
        return x

    @cached(timeout=60, cache=cache, namespace="outer")
    async def outer(x: int) -> int:
        with telemetry.tracer.start_as_current_span("work"):
            return await asyncio.to_thread(inner, x)

    with telemetry.tracer.start_as_current_span("request"):
        asyncio.run(outer(1))
    finished = telemetry.spans.get_finished_spans()
    ids = {span.context.span_id: span.name.partition(" ")[0] for span in finished}
    parents = [(ids[span.context.span_id], ids[span.parent.span_id]) for span in finished if span.parent is not None]
    assert parents == [
        ("cache.get", "request"),  # in a thread of the pool
        ("cache.get", "work"),
        ("cache.compute", "work"),
        ("cache.set", "work"),
        ("work", "cache.compute"),
        ("cache.compute", "request"),
        ("cache.set", "request"),
    ]


@pytest.mark.parametrize("answers", [True, False], ids=["in process", "no answer"])
@pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine"])
@pytest.mark.parametrize("way", ["call", "as written", "method", "refresh", "many", "disabled", "stale"])
def test_a_function_runs_inside_the_span_of_its_computation(
    telemetry: Any, way: str, is_async: bool, answers: bool, caplog: pytest.LogCaptureFixture
) -> None:
    if way == "stale" and not answers:
        pytest.skip("without a cache nothing is stale")
    caplog.set_level(logging.CRITICAL, "memocache")
    cache = SimpleCache() if answers else MemcachedCache([f"127.0.0.1:{free_port()}"])

    def work(x: object) -> object:
        with telemetry.tracer.start_as_current_span("work"):
            return x

    async def work_in_task(x: object) -> object:
        return work(x)

    function: Any = work_in_task if is_async else work
    if way == "as written":
        function = functools.wraps(function)(partial(function))
    f: Any = cached(timeout=60, stale=600, cache=cache, namespace="f")(function)
    calls = {"refresh": lambda: f.refresh(1), "many": lambda: f.many([(1,)]), "method": f.__get__(Shop(), Shop)}
    call = calls.get(way, partial(f, 1))

    async def call_and_wait() -> None:
        await call()
        while not spans(telemetry, "cache.compute f"):
            await asyncio.sleep(0)  # until the background is done

    def run() -> None:
        asyncio.run(call_and_wait()) if is_async else call()

    with freeze_time("2026-01-01") as clock, disabled() if way == "disabled" else nullcontext():
        if way == "stale":
            run()
            telemetry.spans.clear()
            clock.tick(61)
        with telemetry.tracer.start_as_current_span("request"):
            run()
        wait_until(lambda: bool(spans(telemetry, "cache.compute f")))
    (inner,), (ours,), (outer,) = (spans(telemetry, name) for name in ("work", "cache.compute f", "request"))
    assert (inner.parent.span_id, ours.parent.span_id) == (ours.context.span_id, outer.context.span_id)


@pytest.mark.parametrize("is_collected", [False, True])
def test_a_call_in_a_destructor_has_a_span_unless_the_garbage_collector_runs_it(
    telemetry: Any, is_collected: bool
) -> None:
    f = cached(timeout=60, cache=SimpleCache(), namespace="f")(lambda x: x)

    class Leaving:
        def __del__(self) -> None:
            f(1)

    leaving: Any = Leaving()
    if is_collected:
        leaving.itself = leaving
    del leaving
    gc.collect()
    assert f.info().misses == 1
    assert len(spans(telemetry, "cache.compute f")) == (sys.version_info >= (3, 12) or not is_collected)


# ---- Prometheus ------------------------------------------------------------------------------------------------------


@pytest.fixture
def prometheus() -> Iterator[Any]:
    """A registry of Prometheus, while it has our figures; what reads them, and what ends that."""
    client = pytest.importorskip("prometheus_client")
    from memocache.observe.prometheus import register

    registry = client.CollectorRegistry()
    exporter = register(registry, every=3600)
    yield SimpleNamespace(
        registry=registry, register=register, read=lambda: client.generate_latest(registry).decode(), end=exporter.end
    )
    exporter.end()


def test_a_scrape_of_prometheus_has_the_figures(prometheus: Any, tmp_path: Path) -> None:
    f = driven("prometheus")
    labels = {"function": "prometheus", "system": "memory"}
    text = prometheus.read()

    def value(name: str, **more: str) -> float | None:
        return prometheus.registry.get_sample_value(name, {**labels, **more})

    assert [value("cache_calls_total", outcome=each) for each in ("hit", "miss", "stale", "wait")] == [3, 2, 0, 0]
    assert value("cache_entries") == f.info().currsize == 1
    assert value("cache_forgets_total") == 1
    assert value("cache_computation_duration_seconds_count") == 2
    assert "cache_seconds_saved_total{" in text
    cached(timeout=60, cache=SQLiteCache(tmp_path / "cache.db"), namespace="g")(lambda x: x)(1)
    for operation in ("get", "set"):
        more = {"system": "sqlite", "operation": operation, "server": "", "error": ""}
        assert prometheus.registry.get_sample_value("cache_operation_duration_seconds_count", more) == 1


def test_prometheus_is_reported_to_once_and_again(prometheus: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        prometheus.register(prometheus.registry)
    assert str(refused.value).startswith("the registry has metrics of these names already")
    prometheus.end()
    prometheus.end()
    prometheus.register(prometheus.registry, every=3600).end()  # the names are free again


def test_the_dashboard_shows_every_metric_that_there_is_and_no_other(prometheus: Any, tmp_path: Path) -> None:
    dashboard = json.loads((ROOT / "examples" / "grafana.json").read_text(encoding="utf-8"))
    panels = dashboard["panels"]
    shown = {name for panel in panels for target in panel["targets"] for name in METRIC.findall(target["expr"])}
    f = driven("dashboard")
    cached(timeout=60, cache=SQLiteCache(tmp_path / "cache.db"), namespace="g")(lambda x: x)(1)
    prometheus.read()
    there = {sample.name for metric in prometheus.registry.collect() for sample in metric.samples}
    del f
    assert shown == {name for name in there if not name.endswith(("_created", "_sum", "_count"))}
    assert len({panel["id"] for panel in panels}) == len({panel["title"] for panel in panels}) == len(panels)
    places = [(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels]
    assert len(set(places)) == len(panels)


@pytest.mark.parametrize("every", [0, -1, float("nan"), float("inf"), 1e300, True, "5", None])
def test_prometheus_reads_at_an_interval_above_0(every: Any) -> None:
    pytest.importorskip("prometheus_client")
    from memocache.observe.prometheus import register

    assert refusal(register, every=every) == f"register() got every={every!r}; wanted: seconds above 0, such as 10"


# ---- logs ------------------------------------------------------------------------------------------------------------


def test_events_are_lines_of_a_log(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "shop.cache"), log_events(logging.getLogger("shop.cache"), "hit", "miss"):
        f = driven("logs")
        with pytest.raises(ZeroDivisionError):
            f(0)
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == f"cache miss logs {f.key(1)}"
    assert lines[-1] == f"cache miss logs {f.key(0)} ZeroDivisionError"  # without its text
    assert [record.cache_kind for record in caplog.records] == ["miss", "hit", "miss", "hit", "hit", "miss"]  # type: ignore[attr-defined]


def test_structlog_is_given_names() -> None:
    structlog = pytest.importorskip("structlog")
    with structlog.testing.capture_logs() as told, log_events(structlog.get_logger(), "uncached"):
        f = driven("structlog")
    line = {"event": "cache.uncached", "log_level": "info", "function": "structlog", "cache": "SimpleCache"}
    assert told == [{**line, "key": f.key(1)}]
