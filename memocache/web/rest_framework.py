"""Django REST framework: `@cached` on `get`, `list`, an `@action`, or below `@api_view`. The only file that imports it.

What such a view returns is rendered later, in the form that the client has asked for. So its data is stored, and each
request has it rendered; checks of permissions and throttles are above it, and are done each time. Above `dispatch`, or
above `as_view()`, the view is one of Django's, and what is stored is rendered.
"""

from typing import Any, Final

from rest_framework.request import Request
from rest_framework.response import Response

from memocache._hooks import Engine, HookedFunction, adapters
from memocache.web._discovery import ArgumentAdapter, RequestParameters
from memocache.web._responses import DATA, Rendered, ResponseHeaders, StoredResponse, are_headers, storable_headers
from memocache.web._rules import ResponseInfo
from memocache.web.django import DjangoViewRequest, response_headers

__all__ = ["RestViewRequest"]

CONTENT_TYPE: Final = "content-type"


class RestViewRequest(DjangoViewRequest):
    """A request of REST framework that a function was given."""

    def __init__(self, function: HookedFunction, parameters: RequestParameters, request: Request) -> None:
        super().__init__(function, parameters, request._request)
        self._rest_request = request

    def location(self, engine: Engine) -> tuple[object, ...]:
        """Return also the version and the form that were agreed on, by which the view may choose its data."""
        request = self._rest_request
        renderer = getattr(request, "accepted_renderer", None)
        form = getattr(renderer, "format", None), getattr(renderer, "media_type", None)
        return (*super().location(engine), str(request.version), form)

    def _must_render(self, value: Any) -> bool:
        # In the form that the client wants, which is told to a response later.
        return hasattr(value, "accepted_renderer") if isinstance(value, Response) else super()._must_render(value)

    def render(self, value: Any) -> Rendered | None:
        """Return the response that *value* is, with its data in place of its body."""
        if not isinstance(value, Response) or value.is_rendered:
            return super().render(value)
        if value.template_name is not None or value.exception or self._is_marked(value):
            return None
        own_type = [("Content-Type", value.content_type)] if value.content_type else []
        headers = [*own_type, *(pair for pair in response_headers(value) if pair[0].lower() != CONTENT_TYPE)]
        kept = [value.status_code, [list(pair) for pair in storable_headers(headers)], _plain(value.data)]
        return Rendered(ResponseInfo(value.status_code, headers), DATA, kept)

    def can_serve(self, stored: StoredResponse) -> bool:
        """Return True for a response, and for the data of one."""
        if stored.kind != DATA:
            return super().can_serve(stored)
        payload = stored.payload
        return (
            isinstance(payload, list)
            and len(payload) == 3
            and type(payload[0]) is int
            and payload[0] in self.rules.statuses
            and are_headers(payload[1])
        )

    def rebuild_data(self, payload: Any) -> Response:
        """Return a new response with the data in *payload*, to be rendered for this request."""
        status, pairs, data = payload
        headers = {name: value for name, value in pairs if name.lower() != CONTENT_TYPE}
        own_type = next((value for name, value in pairs if name.lower() == CONTENT_TYPE), None)
        response = Response(_plain(data), status, headers=headers, content_type=own_type)  # which others may add to
        return self._finished(response, self._headers_of_hit)

    def _is_response(self) -> bool:
        return True  # the headers are set on the response that this view has returned, and on no other

    def _finished(self, response: Any, headers: ResponseHeaders | None) -> Any:
        if getattr(response, "is_rendered", True):
            return super()._finished(response, headers)
        finish = super()._finished
        response.add_post_render_callback(lambda rendered: finish(rendered, headers))
        return response


def _plain(data: Any) -> Any:
    """Return a copy of the *data* of a serializer, in plain dicts and lists."""
    if isinstance(data, dict):
        return {name: _plain(value) for name, value in data.items()}
    return [_plain(value) for value in data] if isinstance(data, list | tuple) else data


adapters.register(ArgumentAdapter(Request, RestViewRequest, (), ()))
