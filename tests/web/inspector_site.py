"""The inspector as frameworks mount it, over real HTTP in this process; and a client of it, as a browser is one."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from django.test.utils import override_settings
from werkzeug.serving import make_server

from memocache.web.inspector import Inspector
from tests.support.servers import wait_until
from tests.web.django_site import urls

SECRET = "a secret of the tests"


def by_wsgi(inspector: Inspector) -> Any:
    return inspector.wsgi


def by_flask(inspector: Inspector) -> Any:
    from flask import Flask

    app = Flask("shop")
    app.add_url_rule("/cache/", "cache", lambda: inspector.wsgi, methods=["GET", "POST"])
    return app


def by_django(inspector: Inspector) -> Any:
    from django.core.handlers.wsgi import WSGIHandler

    return WSGIHandler()


def by_asgi(inspector: Inspector) -> Any:
    return inspector.asgi


def by_fastapi(inspector: Inspector) -> Any:
    from fastapi import FastAPI

    app = FastAPI()
    app.mount("/cache", inspector.asgi)
    return app


FACES: dict[str, Callable[[Inspector], Any]] = {
    "wsgi": by_wsgi,
    "flask": by_flask,
    "django": by_django,
    "asgi": by_asgi,
    "fastapi": by_fastapi,
}


@contextmanager
def served(face: str, inspector: Inspector) -> Iterator[str]:
    """Serve the *inspector* mounted in that way; the address of the page."""
    middleware = ["django.middleware.csrf.CsrfViewMiddleware"]
    with override_settings(ROOT_URLCONF=urls(("cache/", inspector.django)), MIDDLEWARE=middleware):
        app = FACES[face](inspector)
        with (by_uvicorn if face in ("asgi", "fastapi") else by_werkzeug)(app) as port:
            yield f"http://127.0.0.1:{port}/cache/"


@contextmanager
def by_werkzeug(app: Any) -> Iterator[int]:
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def by_uvicorn(app: Any) -> Iterator[int]:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", lifespan="off", ws="none"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


class Visitor(httpx.Client):
    """A client with cookies, that sends forms as a browser does."""

    def __init__(self, url: str) -> None:
        super().__init__(timeout=30)
        self.url = url

    def enter(self, secret: str = SECRET) -> httpx.Response:
        return self.send_form(secret=secret)

    def page(self, query: str = "") -> httpx.Response:
        return self.get(self.url + query)

    @property
    def token(self) -> str:
        """The token of the forms on the page."""
        found = re.search(r'name="token" value="(\w+)"', self.page().text)
        assert found is not None
        return found[1]

    def send_form(self, headers: dict[str, str] | None = None, **fields: str) -> httpx.Response:
        origin = {"Origin": self.url.removesuffix("/cache/"), **(headers or {})}
        return self.post(self.url, data=fields, headers={name: value for name, value in origin.items() if value})
