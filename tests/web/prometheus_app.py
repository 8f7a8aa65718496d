"""An application with metrics, for two workers: PROMETHEUS_MULTIPROC_DIR is in the environment."""

import os

import prometheus_client
from flask import Flask, Response
from prometheus_client.multiprocess import MultiProcessCollector

from memocache import cached
from memocache.observe.prometheus import register

app = Flask(__name__)
register(every=0.05)


@cached(timeout=300, namespace="shop")
def double(number: int) -> int:
    return 2 * number


@app.get("/double/<int:number>")
def page(number: int) -> str:
    return str(double(number))


@app.get("/metrics")
def metrics() -> Response:
    registry = prometheus_client.CollectorRegistry()
    MultiProcessCollector(registry)
    return Response(prometheus_client.generate_latest(registry), content_type="text/plain")


@app.after_request
def worker(response: Response) -> Response:
    response.headers["X-Worker"] = str(os.getpid())
    return response
