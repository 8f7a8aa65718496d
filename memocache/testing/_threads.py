"""Calls in threads of their own."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

__all__ = ["PATIENCE", "started"]

PATIENCE = 30.0  # seconds until a test says that something hangs


def started(call: Callable[..., Any], *args: Any) -> "Future[Any]":
    """Return what *call* gives, from a thread of its own that has been started."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call(*args))
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
