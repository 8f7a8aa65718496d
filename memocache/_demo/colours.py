"""The demo's screen in colours. The only user of rich, which may not be there."""

from collections.abc import Mapping
from typing import Final, Self

from rich import box
from rich.console import Console
from rich.padding import Padding
from rich.panel import Panel
from rich.syntax import Syntax
from rich.table import Table
from rich.text import Text

from memocache._demo.screen import WIDEST, Screen

__all__ = ["Colours"]

OUTCOMES: Final = {"hit": "bold green", "computed": "bold yellow"}
INDENT: Final = 4


class Colours(Screen):
    """A terminal, with panels and colours."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    @classmethod
    def on_terminal(cls) -> Self | None:
        """Return the terminal that stdout is, or None if it is none, or a very simple one."""
        console = Console(highlight=False)
        if not console.is_terminal or console.is_dumb_terminal:
            return None
        console.width = min(console.width, WIDEST)
        return cls(console)

    def title(self, text: str) -> None:
        """Show what this is, in a frame."""
        self._console.print(Panel(Text(text, style="bold"), border_style="cyan", expand=False, padding=(0, 2)))

    def section(self, text: str) -> None:
        """Begin a part of the story with a rule across the screen."""
        self._console.rule(Text(text, style="bold cyan"), align="left", style="cyan")

    def gap(self) -> None:
        """Show an empty line."""
        self._console.print()

    def say(self, text: str) -> None:
        """Show a paragraph."""
        self._console.print(Text(text))

    def code(self, source: str) -> None:
        """Show Python code that stands in some file, in the colours of an editor."""
        self._console.print(Padding(self._python(source), (1, INDENT)))

    def line(self, source: str, prompt: str = ">>>") -> None:
        """Show a line of Python code that is about to be run."""
        row = Table.grid(padding=(0, 1))
        row.add_row(Text(prompt, style="dim"), self._python(source))
        self._console.print(row)

    def result(self, outcome: str, seconds: float, note: str) -> None:
        """Show what the line before did: hits are green."""
        row = Table.grid(padding=(0, 2, 0, 0))
        row.add_column(min_width=8, no_wrap=True)
        row.add_column(min_width=8, justify="right", no_wrap=True)
        row.add_column()
        row.add_row(Text(outcome, style=OUTCOMES.get(outcome, "bold")), self.duration(seconds), Text(note, style="dim"))
        self._console.print(Padding(row, (0, 0, 0, INDENT)))

    def figures(self, figures: Mapping[str, str]) -> None:
        """Show a small table: names, and below them their values."""
        table = Table(box=box.ROUNDED, border_style="dim")
        for name in figures:
            table.add_column(name, justify="right", overflow="fold")
        table.add_row(*figures.values())
        self._console.print(Padding(table, (0, 0, 0, INDENT)))

    def end(self, text: str) -> None:
        """Show the last paragraph, in a frame."""
        self._console.print(Panel(Text(text), border_style="cyan"))

    def _python(self, source: str) -> Syntax:
        return Syntax(source, "python", theme="ansi_dark", background_color="default", word_wrap=True)
