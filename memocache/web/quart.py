"""Quart: its views are refused, and its responses are not stored. The only file that imports it."""

from collections.abc import Iterable
from typing import Final
from weakref import WeakKeyDictionary

from quart import Quart, current_app, has_request_context
from quart.wrappers import Response
from quart.wrappers.base import BaseRequestWebsocket

from memocache._hooks import HookedFunction, adapters
from memocache.web._discovery import RouteIndex
from memocache.web._unsupported import UnsupportedFramework

_indexes: Final[WeakKeyDictionary[Quart, RouteIndex]] = WeakKeyDictionary()


def _views() -> Iterable[HookedFunction]:
    """Return the cached functions that are views of the present application, if this is in a request."""
    if not has_request_context():
        return ()
    app: Quart = current_app._get_current_object()  # type: ignore[attr-defined]
    index = _indexes.setdefault(app, RouteIndex())
    index.update(app.view_functions, thorough=False)
    return index.endpoints


adapters.register(UnsupportedFramework("Quart", (Response,), (BaseRequestWebsocket,), _views))
