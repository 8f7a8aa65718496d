"""HTTP servers that the tests start, and a client that reaches any of their workers."""

import http.client
import os
import shutil
import socket
import sys
from email.message import Message
from pathlib import Path

import h2.config
import h2.connection
import h2.events

from tests.support.selection import ROOT
from tests.support.servers import Server, ServerFailed, skip_or_fail
from tests.web.matrix import Answer

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


class Uwsgi(WebServer):
    """An application of WSGI, which is loaded before the workers are forked, unless *option* says otherwise."""

    title = "uwsgi"

    def __init__(self, application: str, option: str, *, has_threads: bool = True, **environ: str) -> None:
        super().__init__(application, **environ)
        self._options = [f"--{option}", *(["--enable-threads", "--threads=4"] if has_threads else [])]

    def command(self) -> list[str]:
        host, port = self.address
        uwsgi = shutil.which("uwsgi", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
        if uwsgi is None:
            skip_or_fail("no uwsgi for the tests: pip install 'uWSGI>=2.0.28; sys_platform == 'linux''")
        options = ["--master", "--processes=2", *self._options, "--need-app", "--die-on-term"]
        places = [f"--virtualenv={sys.prefix}", f"--pythonpath={ROOT}", f"--http-socket={host}:{port}"]
        return [uwsgi, *options, *places, "--disable-logging", f"--module={self._application}"]


class Uvicorn(WebServer):
    """An application of ASGI."""

    title = "uvicorn"

    def command(self) -> list[str]:
        host, port = self.address
        options = ["--workers=2", f"--host={host}", f"--port={port}", "--log-level=warning"]
        return [sys.executable, "-m", "uvicorn", *options, self._application]

    def __exit__(self, *_: object) -> None:
        self.stop()  # its workers would not notice that it is gone


class Hypercorn(WebServer):
    """An application of ASGI, or of WSGI with "wsgi:" before its name, and one that is asked by HTTP/2."""

    title = "hypercorn"

    def command(self) -> list[str]:
        host, port = self.address
        return [sys.executable, "-m", "hypercorn", f"--bind={host}:{port}", "--log-level=warning", self._application]

    def ask_by_http_2(self, target: str, body: bytes = b"") -> Answer:
        """Return the answer to a GET with a *body*, of whose length its headers say nothing."""
        assert isinstance(self.address, tuple)
        host, port = self.address
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        headers = [(":method", "GET"), (":scheme", "http"), (":authority", f"{host}:{port}"), (":path", target)]
        with socket.create_connection((host, port), timeout=30) as client:
            connection.initiate_connection()
            connection.send_headers(1, headers, end_stream=not body)
            if body:
                connection.send_data(1, body, end_stream=True)
            client.sendall(connection.data_to_send())
            message, found, is_over = Message(), b"", False
            while not is_over:
                received = client.recv(65_536)
                assert received, "the server has closed the connection"
                for event in connection.receive_data(received):
                    if isinstance(event, h2.events.ResponseReceived):
                        for name, value in event.headers:
                            message[str(name)] = str(value)
                    elif isinstance(event, h2.events.DataReceived):
                        found += event.data
                    is_over = is_over or isinstance(event, h2.events.StreamEnded)
                client.sendall(connection.data_to_send())
        return Answer(int(message[":status"]), message, found)

    def __exit__(self, *_: object) -> None:
        self.stop()
