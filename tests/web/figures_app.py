"""An application that shares its figures, for two workers: the cache for them is in FIGURES."""

import os

from flask import Flask, Response

from memocache import SimpleCache, cached, stats

app = Flask(__name__)


@cached(timeout=300, cache=SimpleCache(), namespace="shop.double")
def double(number: int) -> int:
    return 2 * number


double(0)  # before the workers are forked, if they are
stats.share(os.environ["FIGURES"], every=float(os.environ.get("EVERY", "3600")))


@app.get("/double/<int:number>")
def page(number: int) -> str:
    return str(double(number))


@app.after_request
def worker(response: Response) -> Response:
    response.headers["X-Worker"] = str(os.getpid())
    return response
