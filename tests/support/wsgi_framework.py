"""A web framework of thirty lines, that nobody has heard of: views take a Request and return a Response."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]  # by lower-case name


@dataclass
class Response:
    body: str
    headers: dict[str, str] = field(default_factory=dict)
    status: int = 200


class App:
    def __init__(self, views: dict[str, Callable[[Request], Response]]) -> None:
        self.views = views

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        headers = {name[5:].lower().replace("_", "-"): value for name, value in environ.items() if name[:5] == "HTTP_"}
        request = Request(environ["REQUEST_METHOD"], environ["PATH_INFO"], environ.get("QUERY_STRING", ""), headers)
        response = self.views[request.path](request)
        start_response(f"{response.status} whatever", list(response.headers.items()))
        return [] if request.method == "HEAD" or response.status == 304 else [response.body.encode()]
