"""A page with a slow report, cached by one decorator, and a button that forgets it.

    pip install '.[flask]'
    python examples/reports/app.py

The first visit to a region takes two seconds, the next ones next to nothing. "Compute anew" forgets one region's page;
the others stay. With MEMOCACHE_URL=memcached://127.0.0.1:11211 all workers, and the next start, share the pages.
"""

import hashlib
import time
from datetime import datetime

from flask import Flask, abort, redirect, render_template, request, url_for
from werkzeug.wrappers import Response

from memocache import cached

REGIONS = {"north": "North", "east": "East", "south": "South", "west": "West"}
PRODUCTS = ("Bread", "Butter", "Coffee", "Honey", "Milk", "Tea")

app = Flask(__name__)


def slow_figures(region: str) -> list[tuple[str, int]]:
    """Return how much of each product was sold; the way a database under load would."""
    time.sleep(2)
    return [(product, hashlib.sha256(f"{region}{product}".encode()).digest()[0] + 20) for product in PRODUCTS]


@app.get("/")
def index() -> Response:
    return redirect(url_for("report", region="north"))


@app.get("/reports/<region>")
@cached(timeout="5m", namespace="reports.report")  # run as a script, this file has no name that other processes know
def report(region: str) -> str:
    if region not in REGIONS:
        abort(404)
    figures = slow_figures(region)
    if request.args.get("sort") == "sold":
        figures.sort(key=lambda figure: -figure[1])
    return render_template(
        "report.html",
        region=region,
        regions=REGIONS,
        figures=figures,
        most=max(sold for _, sold in figures),
        computed=datetime.now(),
    )


@app.post("/reports/<region>")
def forget(region: str) -> Response:
    report.uncache(region)  # with every query: sorted or not
    return redirect(url_for("report", region=region, **request.args), 303)


if __name__ == "__main__":
    app.run()
