"""aiohttp: its views are refused, and its responses are not stored. The only file that imports it."""

from aiohttp.web import BaseRequest, StreamResponse, View

from memocache._hooks import adapters
from memocache.web._unsupported import UnsupportedFramework

adapters.register(UnsupportedFramework("aiohttp", (StreamResponse,), (BaseRequest, View)))
