"""How far it is, for who watches a terminal; it draws between the rounds only, never during one."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["progress"]

WIDTH: Final = 30


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """Show a bar of *total* pieces on stderr, if that is a terminal; give what moves it by one and says at what."""
    if not sys.stderr.isatty():
        yield lambda what: None
        return
    try:
        import rich.console
        import rich.progress
    except ImportError:
        yield from _plain(total)
        return
    columns = (
        rich.progress.BarColumn(),
        rich.progress.TimeRemainingColumn(),
        rich.progress.TextColumn("{task.description}"),
    )
    # Without a thread that refreshes: it would be in the way of what is measured.
    with rich.progress.Progress(
        *columns, console=rich.console.Console(stderr=True), auto_refresh=False, transient=True
    ) as shown:
        task = shown.add_task("", total=total)

        def moved(what: str) -> None:
            shown.update(task, advance=1, description=what, refresh=True)

        yield moved


def _plain(total: int) -> Iterator[Callable[[str], None]]:
    done = 0

    def moved(what: str) -> None:
        nonlocal done
        done += 1
        filled = WIDTH * done // total
        print(f"\r[{'#' * filled:{WIDTH}}] {what:40.40}", end="", file=sys.stderr, flush=True)

    yield moved
    print(f"\r{'':{WIDTH + 43}}\r", end="", file=sys.stderr, flush=True)
