"""HTTP servers that the tests start, and a client that reaches any of their workers."""

import http.client
import os
import sys

from tests.support.servers import Server, ServerFailed
from tests.web.matrix import Answer

__all__ = ["Gunicorn", "Uvicorn", "WebServer"]

TRIES = 2000


class WebServer(Server):
    """An application under a server with two workers; their pids are in the header X-Worker of each answer."""

    def __init__(self, application: str, **environ: str) -> None:
        super().__init__(tcp=True)
        self._application = application
        self._environ = environ

    @property
    def environ(self) -> dict[str, str]:
        return {**os.environ, **self._environ}

    def answers(self) -> bool:
        try:
            return self.ask("GET", "/").status > 0
        except (OSError, http.client.HTTPException):
            return False

    def ask(self, method: str, target: str, body: bytes | None = None, **headers: str) -> Answer:
        """Return the answer of whichever worker."""
        assert isinstance(self.address, tuple)
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, target, body, named)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def from_each(self, method: str, target: str, **headers: str) -> dict[str, Answer]:
        """Return an answer from each of the two workers, by worker."""
        answers: dict[str, Answer] = {}
        for _ in range(TRIES):
            answer = self.ask(method, target, **headers)
            answers.setdefault(answer.headers["X-Worker"], answer)
            if len(answers) == 2:
                return answers
        raise ServerFailed(f"in {TRIES} requests only {len(answers)} worker(s) answered")


class Gunicorn(WebServer):
    """An application of WSGI."""

    title = "gunicorn"

    def command(self) -> list[str]:
        host, port = self.address
        options = [
            "--workers=2",
            f"--bind={host}:{port}",
            "--worker-tmp-dir",
            str(self.directory),
            "--log-level=warning",
        ]
        return [sys.executable, "-m", "gunicorn", *options, "--no-control-socket", self._application]


class Uvicorn(WebServer):
    """An application of ASGI."""

    title = "uvicorn"

    def command(self) -> list[str]:
        host, port = self.address
        options = ["--workers=2", f"--host={host}", f"--port={port}", "--log-level=warning"]
        return [sys.executable, "-m", "uvicorn", *options, self._application]

    def __exit__(self, *_: object) -> None:
        self.stop()  # its workers would not notice that it is gone
