"""The application that the tests run in two workers of gunicorn or uWSGI: MEMOCACHE_URL is in the environment."""

import os
import secrets

from flask import Flask, Response, request

from memocache import cached

app = Flask(__name__)


@cached(timeout=300)
def settings() -> str:
    return "as they were when the application was loaded"


if os.environ.get("WARM"):
    settings()


@app.route("/page/<int:i>")
@cached(timeout=300)
def page(i: int) -> dict[str, object]:
    return {"i": i, "q": request.args.get("q"), "computed": secrets.token_hex(8)}


@app.route("/async/<int:i>")
@cached(timeout=300)
async def awaited(i: int) -> dict[str, object]:
    return {"i": i, "computed": secrets.token_hex(8)}


@app.route("/body")
@cached(timeout=300)
def body() -> dict[str, object]:
    return {"body": request.get_data(as_text=True), "computed": secrets.token_hex(8)}


@app.post("/forget/<int:i>")
def forget(i: int) -> str:
    return str(page.uncache(i))


@app.after_request
def worker(response: Response) -> Response:
    response.headers["X-Worker"] = str(os.getpid())
    return response
