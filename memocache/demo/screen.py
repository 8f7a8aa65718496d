"""The demo's screen: what can be shown, tidy plain text, and the choice between it and colours."""

import shutil
import sys
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Mapping
from io import TextIOWrapper

__all__ = ["NARROWEST", "Plain", "Screen", "WIDEST", "open_screen"]

NARROWEST, WIDEST = 60, 100


class Screen(ABC):
    """What the story is shown on, line by line as it happens."""

    micro = "µs"

    @abstractmethod
    def title(self, text: str) -> None:
        """Show what this is."""

    @abstractmethod
    def section(self, text: str) -> None:
        """Begin a part of the story."""

    @abstractmethod
    def say(self, text: str) -> None:
        """Show a paragraph."""

    @abstractmethod
    def code(self, source: str) -> None:
        """Show Python code that stands somewhere in a file."""

    @abstractmethod
    def line(self, source: str, prompt: str) -> None:
        """Show a line of Python code that is about to be run."""

    @abstractmethod
    def result(self, outcome: str, seconds: float, note: str) -> None:
        """Show what the line before did."""

    @abstractmethod
    def figures(self, figures: Mapping[str, str]) -> None:
        """Show a small table: names and below them values."""

    @abstractmethod
    def end(self, text: str) -> None:
        """Show the last paragraph."""

    def duration(self, seconds: float) -> str:
        """Return *seconds* with a fitting unit."""
        for unit, size in (("s", 1.0), ("ms", 1e-3)):
            if seconds >= size:
                break
        else:
            unit, size = self.micro, 1e-6
        number = seconds / size
        return f"{number:.{2 if unit == 's' else 0 if number >= 10 else 1}f} {unit}"


class Plain(Screen):
    """Plain text, for pipes, files and simple terminals."""

    def __init__(self) -> None:
        self._width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
        try:
            self.micro.encode(sys.stdout.encoding or "ascii")
        except (UnicodeEncodeError, LookupError):
            self.micro = "us"

    def title(self, text: str) -> None:  # noqa: D102 - as in Screen
        self._print(text)
        self._print("=" * len(text))

    def section(self, text: str) -> None:  # noqa: D102
        self._print(f"\n{text}\n{'-' * len(text)}")

    def say(self, text: str) -> None:  # noqa: D102
        self._print(textwrap.fill(text, self._width))

    def code(self, source: str) -> None:  # noqa: D102
        self._print(textwrap.indent(f"\n{source}\n", "    "))

    def line(self, source: str, prompt: str) -> None:  # noqa: D102
        self._print(f"{prompt} {source}")

    def result(self, outcome: str, seconds: float, note: str) -> None:  # noqa: D102
        start = f"    {outcome:<9}{self.duration(seconds):>8}   "
        hanging = " " * len(start)
        self._print(textwrap.fill(note, self._width, initial_indent=start, subsequent_indent=hanging))

    def figures(self, figures: Mapping[str, str]) -> None:  # noqa: D102
        widths = [max(len(name), len(value)) for name, value in figures.items()]
        for cells in (figures.keys(), figures.values()):
            row = "   ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))
            self._print(f"    {row}")

    def end(self, text: str) -> None:  # noqa: D102
        self._print("")
        self.say(text)

    def _print(self, text: str) -> None:
        print("\n".join(line.rstrip() for line in text.split("\n")), flush=True)


def open_screen() -> Screen:
    """Return a screen with colours if there are a terminal that has them and rich, else a plain one."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a character that the terminal lacks must not end the demo
    try:
        from memocache.demo.colours import Colours
    except ImportError:
        return Plain()
    return Colours.on_terminal() or Plain()
