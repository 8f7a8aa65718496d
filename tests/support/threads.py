"""Computations that wait until they are told to go on, for calls in threads of their own."""

import threading
from collections.abc import Callable
from typing import Any

from memocache.testing._harness import PATIENCE
from memocache.testing._harness import start as start
from tests.support.servers import wait_until


def at_once(number: int, work: Callable[[], object]) -> None:
    """Do *work* in so many threads, which begin together, until all have ended."""
    ready = threading.Barrier(number)

    def wait_and_work() -> None:
        ready.wait(PATIENCE)
        work()

    threads = [threading.Thread(target=wait_and_work) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


class Joins:
    """How many have begun to wait for a computation."""

    count = 0

    def wait(self, count: int) -> None:
        assert wait_until(lambda: self.count >= count, PATIENCE), f"{self.count} wait, not {count}"


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
