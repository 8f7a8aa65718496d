"""Threads that begin at the same moment, and processes that do a part of the work."""

import multiprocessing
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self, TypeVar

from benchmarks.harness import WrongWork

END = None
PATIENCE = 10.0  # seconds in which an idle process ends when it is told to

T = TypeVar("T")


def together(count: int, act: Callable[[], T]) -> list[T]:
    """Return what *act* returns in so many threads, which begin at the same moment.

    Raises:
        WrongWork: if it has raised in any of them.
    """
    barrier = threading.Barrier(count)
    results: list[T] = []

    def run() -> None:
        barrier.wait()
        results.append(act())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(results) != count:
        raise WrongWork(f"{count - len(results)} of {count} threads have failed")
    return results


class Worker:
    """A process that makes an object, and does what it is told with it: it has memory and a core of its own.

    Args:
        make: a function of a module, for the process is a new one, not a fork: it imports what it needs.
        arguments: of *make*.
    """

    def __init__(self, make: Callable[..., object], *arguments: object) -> None:
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(target=_work, args=(theirs, make, arguments), daemon=True)
        self._process.start()
        theirs.close()  # it is the process' now: should that die, reading ends

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.is_alive() and error is None:
            self._ours.send(END)
            self._process.join(PATIENCE)
        self._process.kill()
        self._process.join()
        self._process.close()
        self._ours.close()

    def begin(self, method: str, *arguments: object) -> None:
        """Let the object's *method* begin; `result` waits for its end."""
        self._ours.send((method, arguments))

    def result(self) -> Any:
        """Return what the method that began last has returned; raise what it has raised."""
        try:
            result = self._ours.recv()
        except EOFError:
            self._process.join()
            raise RuntimeError(f"a process of the benchmark died with status {self._process.exitcode}") from None
        if isinstance(result, BaseException):
            raise result
        return result

    def call(self, method: str, *arguments: object) -> Any:
        """Return what the object's *method* returns."""
        self.begin(method, *arguments)
        return self.result()


def _work(line: Connection, make: Callable[..., object], arguments: tuple[object, ...]) -> None:
    made: object = None
    for method, words in iter(line.recv, END):
        try:
            if made is None:
                made = make(*arguments)
            line.send(getattr(made, method)(*words))
        except Exception as error:  # noqa: BLE001 - it is raised on the other side
            line.send(error)
