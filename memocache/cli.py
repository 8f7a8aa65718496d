"""The command line: `memocache demo`."""

import argparse
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType

from memocache import __version__
from memocache._native import hit

__all__ = ["main"]

HITS = f"hits in process are served in {'pure Python' if hit is None else 'C'}"
FAILED = 1
MISUSED = 2
BY_SIGNAL = 128  # plus its number, as shells count


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line *arguments*, those of the process if None, and return the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.version:
        print(f"memocache {__version__}; {HITS}")
        return 0
    if options.command is None:
        parser.print_help(sys.stderr)
        return MISUSED
    from memocache._demo import DemoError, tell

    try:
        with _exit_on_signals():
            return 0 if tell(__version__, options.memcached) else FAILED
    except DemoError as error:
        print(f"memocache demo: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return BY_SIGNAL + signal.SIGINT
    except BrokenPipeError:
        # Whoever read has had enough, as `head` has. Python writes out the rest at its end, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="memocache", description="The caching decorator, from the command line.", epilog=HITS
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    demo = commands.add_parser(
        "demo",
        help="show what @cached does, on real work, in some seconds",
        description="Show what @cached does: a slow function over real files, in this process and on memcached. "
        "Colours need rich (pip install 'rich>=13'); NO_COLOR turns them off.",
    )
    demo.add_argument(
        "--memcached",
        metavar="HOST:PORT|/PATH",
        type=_address,
        help="a memcached that is running; without it the demo starts one of its own for the while, if it finds "
        "the program ($MEMOCACHE_MEMCACHED, else on the PATH)",
    )
    return parser


def _address(text: str) -> str:
    if text.startswith("/") or re.fullmatch(r"[^:\s]+:\d{1,5}|\[[\da-fA-F:]+\]:\d{1,5}", text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither HOST:PORT nor the path of a socket")


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the program as an exception does, so that what it has started is stopped."""

    def end(number: int, frame: FrameType | None) -> None:
        sys.exit(BY_SIGNAL + number)

    with ExitStack() as former:
        if threading.current_thread() is threading.main_thread():  # only that may say what a signal does
            for number in {getattr(signal, name, signal.SIGTERM) for name in ("SIGTERM", "SIGHUP")}:
                former.callback(signal.signal, number, signal.signal(number, end))
        yield


if __name__ == "__main__":
    sys.exit(main())
