"""Calls in threads of their own, and computations that wait until they are told to go on."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

__all__ = ["PATIENCE", "Held", "started"]

PATIENCE = 30.0  # seconds until a test says that something hangs


class Held:
    """Calls *answer*, but its first *times* calls wait for `go` before they return; *entered* tells that one waits."""

    def __init__(self, answer: Callable[..., Any], times: int = 1) -> None:
        self._answer = answer
        self._times = times
        self.computed = 0
        self.entered = threading.Event()
        self._go = threading.Event()

    def __call__(self, *args: Any) -> Any:
        value = self._answer(*args)
        self.computed += 1
        if self.computed <= self._times:
            self.entered.set()
            assert self._go.wait(PATIENCE), "nobody told it to go on"
        return value

    def wait(self) -> None:
        assert self.entered.wait(PATIENCE), "nobody came"

    def go(self) -> None:
        self._go.set()


def started(call: Callable[..., Any], *args: Any) -> "Future[Any]":
    """Start a thread that calls, and return what will come of it."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(call(*args))
        except BaseException as error:  # noqa: BLE001 - the test asks for it
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
