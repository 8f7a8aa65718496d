"""An application that tells all that can be known of its caching, for two workers, and for the command `memocache`.

MEMOCACHE_URL is in the environment, and for the workers PROMETHEUS_MULTIPROC_DIR.
"""

import os
import secrets
from collections import Counter

import prometheus_client
from flask import Flask, Response, jsonify
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, MetricsData
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client.multiprocess import MultiProcessCollector

from memocache import Event, cached, default_cache, subscribe
from memocache.observe import otel, prometheus
from memocache.stats import share
from memocache.web.inspector import Inspector

app = Flask(__name__)
prometheus.register(every=0.05)
reader = InMemoryMetricReader()
otel.instrument(MeterProvider([reader]), TracerProvider())
share(default_cache(), every=0.05)
told: Counter[str] = Counter()


def listener(event: Event) -> None:
    told[f"{event.function.rpartition('.')[2]} {event.operation or event.kind}"] += 1


subscribe(listener, "hit", "stale", "miss", "wait", "stored", "uncached", "operation")


@cached(timeout=300, tags=("parity:{parity}",))
def token(number: int, parity: int) -> str:
    return secrets.token_hex(8)


@app.get("/token/<int:number>")
def plain(number: int) -> str:
    return token(number, number % 2)


@app.get("/page/<int:number>")
@cached(timeout=300)
def page(number: int) -> Response:
    return Response(secrets.token_hex(8), headers={"Vary": "Accept-Language"})


@app.get("/told")
def figures() -> Response:
    """Answer with the events of this worker, and with its calls as OpenTelemetry has them, both by function."""
    calls: Counter[str] = Counter()
    data = reader.get_metrics_data()
    for metric in data.resource_metrics[0].scope_metrics[0].metrics if isinstance(data, MetricsData) else ():
        for point in metric.data.data_points:
            if metric.name == "cache.calls":
                name = str(point.attributes["cache.function"]).rpartition(".")[2]
                calls[f"{name} {point.attributes['cache.outcome']}"] += point.value
            elif metric.name == "cache.operation.duration":
                calls[f" {point.attributes['cache.operation']}"] += point.count
    return jsonify(events=dict(told), telemetry=dict(+calls))


@app.get("/metrics")
def metrics() -> Response:
    registry = prometheus_client.CollectorRegistry()
    MultiProcessCollector(registry)
    return Response(prometheus_client.generate_latest(registry), content_type="text/plain")


inspector = Inspector(secret="a secret of the tests")


@app.route("/cache/", methods=["GET", "POST"])
def cache_page() -> object:
    return inspector.wsgi


@app.after_request
def worker(response: Response) -> Response:
    response.headers["X-Worker"] = str(os.getpid())
    return response
