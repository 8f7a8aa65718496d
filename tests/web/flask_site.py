"""Sites of Flask."""

import contextlib
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import flask
from flask import Flask, make_response
from werkzeug.exceptions import HTTPException, default_exceptions

from tests.web.matrix import Answer, Ask, Reply
from tests.web.sites import METHODS, Asked, Body, Options, Site, answer_of_wsgi


class FlaskSite(Site):
    """An application of Flask; its views are not given the request."""

    no_request = ()

    def set_up(self, options: Options) -> None:
        self.app = Flask("tests")
        self.app.secret_key = "secret" if options.has_sessions else None
        self.app.config.update(CACHE_STATUSES=options.statuses, TRUSTED_HOSTS=options.hosts, PROPAGATE_EXCEPTIONS=False)
        self.app.debug = options.is_debug
        self.app.config["CACHE_CREDENTIAL_HEADERS"] = options.credential_headers
        if options.ignored_cookies is not None:
            self.app.config["CACHE_IGNORED_COOKIES"] = options.ignored_cookies

    def route(self, path: str, view: Any, methods: Sequence[str] = METHODS) -> None:
        rule = path.replace("{", "<int:").replace("}", ">")
        self.app.add_url_rule(rule, path, view, methods=methods)

    def parameters(self, body: Body) -> list[inspect.Parameter]:
        return super().parameters(body)[1:]

    def arguments(self, given: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
        return flask.request, given

    def asked(self, request: Any) -> Asked:
        query = request.query_string.decode()
        return Asked(request.path, query, request.host, request.headers, request.cookies, lambda: flask.session)

    def response(self, reply: Reply) -> flask.Response:
        made = make_response(iter([reply.body]) if reply.streamed else reply.body, reply.status)
        for name, value in reply.headers:
            made.headers.add(name, value)
        return made

    def error(self, status: int) -> HTTPException:
        return default_exceptions[status]()

    def let_in(self, who: Callable[[Any], object], attribute: str = "user") -> None:
        @self.app.before_request
        def let_in() -> None:
            setattr(flask.g, attribute, who(flask.request))

    def ask(self, ask: Ask) -> Answer:
        return answer_of_wsgi(self.app, ask)

    @contextlib.contextmanager
    def other_request(self) -> Iterator[tuple[()]]:
        with self.app.test_request_context("/other"):
            yield ()
