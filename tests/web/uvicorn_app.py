"""The application that test_asgi_http runs in two workers of uvicorn: MEMOCACHE_URL is in the environment."""

import os
import secrets
from typing import Any

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memocache import cached
from memocache.web.asgi import MemocacheMiddleware

METHODS = ["GET", "HEAD"]

app = FastAPI()
app.add_middleware(MemocacheMiddleware)


@app.api_route("/page/{i}", methods=METHODS)
@cached(timeout=300)
async def page(request: Request, i: int) -> Response:
    return JSONResponse({"i": i, "q": request.query_params.get("q"), "computed": secrets.token_hex(8)})


@app.api_route("/threads/{i}", methods=METHODS)
@cached(timeout=300)
def threads(request: Request, i: int) -> Response:
    return JSONResponse({"i": i, "computed": secrets.token_hex(8)})


@app.api_route("/data/{i}", methods=METHODS)
@cached(timeout=300)
async def data(request: Request, i: int) -> dict[str, Any]:
    return {"i": i, "computed": secrets.token_hex(8)}


@app.get("/body")
@cached(timeout=300)
async def body(request: Request) -> Response:
    return JSONResponse({"body": (await request.body()).decode(), "computed": secrets.token_hex(8)})


@app.post("/forget/{i}")
async def forget(request: Request, i: int) -> bool:
    return await page.uncache(request, i)


@cached(timeout=300)
async def inner(request: Request) -> Response:
    return JSONResponse({"i": request.path_params["i"], "computed": secrets.token_hex(8)})


app.mount("/starlette", Starlette(routes=[Route("/{i}", inner)]))


class Worker:
    """Says which process has answered."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["X-Worker"] = str(os.getpid())
            await send(message)

        await self.app(scope, receive, named)


app.add_middleware(Worker)
