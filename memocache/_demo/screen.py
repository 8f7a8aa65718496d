"""The demo's screen: what can be shown, as tidy plain text; and the choice between that and colours."""

import shutil
import sys
import textwrap
from collections.abc import Mapping
from contextlib import suppress
from io import TextIOWrapper

__all__ = ["WIDEST", "Screen", "open_screen"]

NARROWEST, WIDEST = 60, 100


class Screen:
    """What the story is shown on, piece by piece as it happens: plain text, for pipes, files and simple terminals."""

    def __init__(self) -> None:
        self._width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
        self._micro = "us"
        with suppress(UnicodeEncodeError, LookupError):
            "µ".encode(getattr(sys.stdout, "encoding", None) or "ascii")
            self._micro = "µs"

    def title(self, text: str) -> None:
        """Show what this is."""
        self._print(f"{text}\n{'=' * len(text)}\n")

    def section(self, text: str) -> None:
        """Begin a part of the story."""
        self._print(f"{text}\n{'-' * len(text)}")

    def gap(self) -> None:
        """Show an empty line."""
        self._print("")

    def say(self, text: str) -> None:
        """Show a paragraph."""
        self._print(textwrap.fill(text, self._width))

    def code(self, source: str) -> None:
        """Show Python code that stands in some file."""
        self._print(textwrap.indent(f"\n{source}\n", "    "))

    def line(self, source: str, prompt: str = ">>>") -> None:
        """Show a line of Python code that is about to be run."""
        self._print(f"{prompt} {source}")

    def result(self, outcome: str, seconds: float, note: str) -> None:
        """Show what the line before did."""
        start = f"    {outcome:<9}{self.duration(seconds):>8}   "
        hanging = " " * len(start)
        self._print(textwrap.fill(note, self._width, initial_indent=start, subsequent_indent=hanging))

    def figures(self, figures: Mapping[str, str]) -> None:
        """Show a small table: names, and below them their values."""
        widths = [max(len(name), len(value)) for name, value in figures.items()]
        for cells in (figures.keys(), figures.values()):
            row = "   ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
            self._print(f"    {row}")

    def end(self, text: str) -> None:
        """Show the last paragraph."""
        self.say(text)

    def duration(self, seconds: float) -> str:
        """Return *seconds* with a fitting unit."""
        if seconds >= 1:
            return f"{seconds:.2f} s"
        number, unit = (seconds * 1e3, "ms") if seconds >= 1e-3 else (seconds * 1e6, self._micro)
        return f"{number:.{0 if number >= 10 else 1}f} {unit}"

    def _print(self, text: str) -> None:
        print("\n".join(line.rstrip() for line in text.split("\n")), flush=True)


def open_screen() -> Screen:
    """Return a screen with colours if there are a terminal that has them and rich, else a plain one."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a character that the terminal lacks must not end the demo
    try:
        from memocache._demo.colours import Colours
    except ImportError:
        return Screen()
    return Colours.on_terminal() or Screen()
