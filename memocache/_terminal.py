"""Terminal: lines for whoever has typed a command, in colour where it is a terminal."""

import os
from typing import Final, TextIO

from memocache.errors import printable

STYLES: Final = {"head": "1", "good": "32", "trouble": "33", "bad": "31", "quiet": "2"}


class EndedBySignal(SystemExit):
    """The end of the program that a signal asks for, in whatever it is just doing."""


class Terminal:
    """A *stream* that lines are printed to; *plain*: never in colour."""

    def __init__(self, stream: TextIO, plain: bool = False) -> None:
        self._stream = stream
        self.is_coloured = (
            not plain and stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        )

    def say(self, text: str, style: str = "") -> None:
        """Print *text* as one line, whatever is in it: nothing there steers a terminal."""
        line = self._harmless(text)
        if style and self.is_coloured:
            line = f"\x1b[{STYLES[style]}m{line}\x1b[0m"
        self._stream.write(line + "\n")

    def is_confirmed(self, question: str) -> bool:
        """Return True if the answer to *question* is yes; a pipe answers nothing."""
        self._stream.write(self._harmless(f"{question} [y/N] "))
        self._stream.flush()
        try:
            return input().strip().lower() in ("y", "yes")
        except (EOFError, RuntimeError):  # nobody is there, or no standard input at all
            return False

    def _harmless(self, text: str) -> str:
        encoding = self._stream.encoding or "utf-8"
        return printable(text).encode(encoding, "backslashreplace").decode(encoding)

    def begin_screen(self) -> None:
        """Begin at the top of an empty screen, where it is a terminal; else with an empty line."""
        self._stream.write("\x1b[H\x1b[2J" if self._stream.isatty() else "\n")
        self._stream.flush()
