"""LocalServer: the inspector for whoever sits at this machine, on the loopback interface."""

import secrets
import socketserver
from collections.abc import Callable, Iterable
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

from memocache import Cache
from memocache.web.inspector import Inspector

HOST: Final = "127.0.0.1"
PATIENCE: Final = 30  # seconds for a request to arrive


class QuietHandler(WSGIRequestHandler):
    """A request, of which the terminal is told nothing."""

    timeout = PATIENCE

    def log_message(self, format: str, *args: object) -> None:
        """Do nothing."""


class LocalServer(socketserver.ThreadingMixIn, WSGIServer):
    """A server on loopback with the page of *cache*, or of the functions' caches; its `url` opens it once.

    The page is below a path that nobody can guess. So its cookie, which browsers keep for all ports of a host, is not
    sent to whatever else listens on this machine.
    """

    daemon_threads = True

    def __init__(self, cache: Cache | None, port: int = 0) -> None:
        self._inspector = Inspector(cache, secret=secrets.token_urlsafe())
        self._inspector._contents.is_application = False
        self._path = f"/{secrets.token_urlsafe(12)}/"
        super().__init__((HOST, port), QuietHandler)
        self._hosts = {f"{host}:{self.server_port}" for host in (HOST, "localhost")}
        self.url = f"http://{HOST}:{self.server_port}{self._path}?{self._inspector.ticket()}"
        self.set_app(self._answer)

    def server_bind(self) -> None:
        """Bind the address, without asking a name server who that is."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]
        self.setup_environ()

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        # A page on the web may have given its own name this address (DNS rebinding): then that is the host.
        if environ.get("HTTP_HOST") not in self._hosts or environ["PATH_INFO"] != self._path:
            start_response("404 Not Found", [("Content-Type", "text/plain"), ("Cache-Control", "no-store")])
            return [b"There is nothing here. The address of the page is in the terminal.\n"]
        return self._inspector.wsgi(environ, start_response)
