"""The demo's screen: tidy plain text, or colours where the terminal has them and rich is installed."""

import shutil
import sys
import textwrap
from collections.abc import Mapping
from io import TextIOWrapper

try:
    from rich import box
    from rich.console import Console
    from rich.padding import Padding
    from rich.panel import Panel
    from rich.syntax import Syntax
    from rich.table import Table
    from rich.text import Text

    HAS_RICH = True
except ImportError:
    HAS_RICH = False

__all__ = ["Screen", "open_screen"]

NARROWEST, WIDEST = 60, 100
OUTCOME_STYLES = {"hit": "bold green", "computed": "bold yellow"}


class Screen:
    """A screen of plain text, for pipes, files and simple terminals. It shows each thing as soon as it happens."""

    def __init__(self) -> None:
        self._width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
        self._micro = "µs" if "µ".encode(sys.stdout.encoding or "ascii", "ignore") else "us"

    def title(self, text: str) -> None:
        self._print(f"{text}\n{'=' * len(text)}\n")

    def section(self, text: str) -> None:
        self._print(f"{text}\n{'-' * len(text)}")

    def say(self, text: str) -> None:
        """Show a paragraph."""
        self._print(textwrap.fill(text, self._width))

    def code(self, source: str) -> None:
        """Show Python code that stands in a file."""
        self._print(textwrap.indent(f"\n{source}\n", "    "))

    def line(self, source: str, prompt: str = ">>>") -> None:
        """Show a line of Python code that is about to be run."""
        self._print(f"{prompt} {source}")

    def result(self, outcome: str, seconds: float, note: str) -> None:
        """Show what the last line of code did."""
        start = f"    {outcome:<9}{self.duration(seconds):>8}   "
        self._print(textwrap.fill(note, self._width, initial_indent=start, subsequent_indent=" " * len(start)))

    def figures(self, figures: Mapping[str, str]) -> None:
        """Show a small table: names, and below them their values."""
        for cells in (figures.keys(), figures.values()):
            columns = zip(cells, figures.items(), strict=True)
            self._print("    " + "   ".join(cell.rjust(max(map(len, column))) for cell, column in columns))

    def end(self, text: str) -> None:
        self.say(text)

    def duration(self, seconds: float) -> str:
        """Return *seconds* with a fitting unit."""
        if seconds >= 1:
            return f"{seconds:.2f} s"
        number, unit = (seconds * 1e3, "ms") if seconds >= 1e-3 else (seconds * 1e6, self._micro)
        return f"{number:.{0 if number >= 10 else 1}f} {unit}"

    def _print(self, text: str) -> None:
        print("\n".join(line.rstrip() for line in text.split("\n")), flush=True)


class RichScreen(Screen):
    """A terminal with colours, panels and tables: a Screen by rich."""

    def __init__(self, console: "Console") -> None:
        super().__init__()
        self._console = console
        console.width = min(console.width, WIDEST)

    def title(self, text: str) -> None:
        self._console.print(Panel(Text(text, style="bold"), border_style="cyan", expand=False, padding=(0, 2)))

    def section(self, text: str) -> None:
        self._console.rule(Text(text, style="bold cyan"), align="left", style="cyan")

    def say(self, text: str) -> None:
        self._console.print(Text(text))

    def code(self, source: str) -> None:
        self._console.print(Padding(self._python(source), (1, 4)))

    def line(self, source: str, prompt: str = ">>>") -> None:
        row = Table.grid(padding=(0, 1))
        row.add_row(Text(prompt, style="dim"), self._python(source))
        self._console.print(row)

    def result(self, outcome: str, seconds: float, note: str) -> None:
        style = OUTCOME_STYLES.get(outcome, "bold")
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(min_width=8, no_wrap=True)
        row.add_column(min_width=8, justify="right", no_wrap=True)
        row.add_row(Text(outcome, style=style), self.duration(seconds), Text(note, style="dim"))
        self._console.print(Padding(row, (0, 0, 0, 4)))

    def figures(self, figures: Mapping[str, str]) -> None:
        table = Table(box=box.ROUNDED, border_style="dim")
        for name in figures:
            table.add_column(name, justify="right", overflow="fold")
        table.add_row(*figures.values())
        self._console.print(Padding(table, (0, 0, 0, 4)))

    def end(self, text: str) -> None:
        self._console.print(Panel(Text(text), border_style="cyan"))

    def _python(self, source: str) -> "Syntax":
        return Syntax(source, "python", theme="ansi_dark", background_color="default", word_wrap=True)


def open_screen() -> Screen:
    """Return a screen with colours if there are a terminal that has them and rich, else a plain one."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a character that the terminal lacks must not end the demo
    if HAS_RICH:
        console = Console(highlight=False)
        if console.is_terminal and not console.is_dumb_terminal:
            return RichScreen(console)
    return Screen()
