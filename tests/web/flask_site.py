"""An application of Flask with one cached view, whose answers the tests decide; for us and for others' decorators."""

import itertools
from collections.abc import Callable
from typing import Any

from flask import Flask, Response, make_response

from memocache import Cache, cached
from tests.web.matrix import Ask, Reply

__all__ = ["FlaskSite", "ours"]

METHODS = ["GET", "POST", "PUT", "DELETE"]
Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


def ours(cache: Cache, terms: dict[str, Any] | None = None) -> Callable[[Flask], Decorator]:
    """Return what decorates the view with @cached, with the *terms* of a case."""
    given = terms or {}
    key = (lambda: "same") if given.get("keyed") else None
    return lambda app: cached(timeout=300, cache=cache, namespace="view", vary=given.get("vary", ()), key=key)


class FlaskSite:
    """An application that answers every request with *reply*, and a body that says how often it has computed one."""

    def __init__(self, decorator: Callable[[Flask], Decorator], terms: dict[str, Any] | None = None) -> None:
        self.app = Flask(__name__)
        self.app.config["CACHE_STATUSES"] = (terms or {}).get("statuses", ())
        self.reply = Reply()
        self.computed = 0
        numbers = itertools.count(1)

        def view() -> Response:
            self.computed = next(numbers)
            body = f"{self.computed}"
            made = make_response(iter([body]) if self.reply.streamed else body, self.reply.status)
            for name, value in self.reply.headers:
                made.headers.add(name, value)
            return made

        decorated = decorator(self.app)(view)
        for path in ("/page", "/page/"):
            self.app.add_url_rule(path, path, decorated, methods=METHODS)

    def ask(self, ask: Ask) -> Response:
        client = self.app.test_client(use_cookies=False)
        return client.open(
            ask.target,
            method=ask.method,
            headers=list(ask.headers),
            data=ask.body or None,
            base_url=f"{ask.scheme}://{ask.host}",
            environ_overrides={"REMOTE_USER": ask.user} if ask.user else {},
        )
