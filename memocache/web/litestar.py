"""Litestar: its views are refused, and its responses are not stored. The only file that imports it."""

from litestar.connection import ASGIConnection
from litestar.response import Response
from litestar.response.base import ASGIResponse

from memocache._hooks import adapters
from memocache.web._unsupported import UnsupportedFramework

adapters.register(UnsupportedFramework("Litestar", (Response, ASGIResponse), (ASGIConnection,)))
