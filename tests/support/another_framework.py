"""An adapter for another framework, written only against the seam: `_hooks`, `_clock` and public names."""

from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any

from memocache._clock import now
from memocache._hooks import Engine, HookedFunction
from tests.support.wsgi_framework import Request, Response


class AnotherAdapter:
    responses, requests, view_classes = (Response,), (Request,), ()
    is_view = staticmethod(lambda function: None)
    bind_context = staticmethod(lambda compute, in_task: compute)

    def decorated(self, function: HookedFunction, /) -> None: ...

    def call(self, function: HookedFunction, arguments: Sequence[object], /) -> Callable[[Engine], Any] | None:
        request = next((each for each in arguments if isinstance(each, Request)), None)
        return None if request is None else Call(function.vary, request).begin


class Call:
    def __init__(self, vary: tuple[str, ...], request: Request) -> None:
        self.vary, self.request, self.headers = vary, request, request.headers

    def begin(self, engine: Engine) -> Any:
        if "cookie" in self.headers or "authorization" in self.headers:
            return engine.bypass()
        engine.open()
        if self.request.method not in ("GET", "HEAD"):
            return engine.run(lambda: engine.change(lambda response: response.status >= 400))
        self.engine, named = engine, tuple(map(self.headers.get, self.vary))
        self.key = engine.key(self.request.path, self.request.query, named)
        return engine.run(self.read if self.request.method == "HEAD" else self.serve, self.decide, self.deliver)

    async def serve(self) -> Any:
        refresh = self.headers.get("cache-control") == "no-cache"
        decision, stored = await self.engine.read_through(self.key, refresh=refresh)
        return decision if stored is None else stored

    async def read(self) -> Any:
        entry = await self.engine.peek(self.key)
        return await self.engine.compute() if entry is None else self.engine.count(entry)

    def decide(self, response: Response, began: float) -> Any:
        is_shared = response.status == 200 and not {"Set-Cookie", "Cache-Control"} & response.headers.keys()
        lifetime, kept = self.engine.lifetime(response), [response.body, dict(response.headers), began]
        return self.engine.keep(response, kept, lifetime) if is_shared else self.engine.decline(response)

    def deliver(self, result: Any) -> Response:
        response = Response(*result[:2]) if isinstance(result, list) else result.value
        added = {"Age": str(int(now() - result[2]))} if isinstance(result, list) else {}
        tag = f'"{sha256(response.body.encode()).hexdigest()}"'
        added |= {"ETag": tag, "Vary": ", ".join(self.vary)}
        is_known = response.status == 200 and self.headers.get("if-none-match") == tag
        return Response(response.body, {**response.headers, **added}, 304 if is_known else response.status)
