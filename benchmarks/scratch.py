"""A directory for what peers keep in files, and an end for what they leave open."""

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

__all__ = ["Scratch"]


class Scratch:
    """What the contestants of a question need while it is asked."""

    def __init__(self) -> None:
        self._left = ExitStack()

    @contextmanager
    def kept(self) -> Iterator[Sequence[str]]:
        """Keep it meanwhile; for a question's venue."""
        with self._left:
            yield ()

    def directory(self) -> str:
        """Return a new directory that goes away."""
        return self._left.enter_context(tempfile.TemporaryDirectory(prefix="mc"))

    def at_the_end(self, close: Callable[[], Any]) -> None:
        """Call *close*, before the directories made so far go away."""
        self._left.callback(close)
