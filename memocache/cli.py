"""The command line `memocache`: the demo, and a shell for the functions of an application."""

import argparse
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import NoReturn, TextIO

from memocache import __version__
from memocache._native import hit
from memocache._terminal import EndedBySignal, Terminal
from memocache.errors import MemocacheError, one_line

__all__ = ["add_commands", "main", "parser", "run"]

DESCRIPTION = "The caching decorator, from the command line: what is stored, and how to forget it."

HITS = f"hits in process are served in {'pure Python' if hit is None else 'C'}"
LITERALS = "The arguments of a call are Python literals; nothing is evaluated."
FAILED = 1
MISUSED = 2
BY_SIGNAL = 128  # plus its number, as shells count


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line *arguments*, those of the process if None, and return the exit code."""
    own = parser("memocache", with_demo=True)
    own.add_argument("--version", action="store_true", help="print the version and exit")
    options = own.parse_args(arguments)
    if options.version:
        print(f"memocache {__version__}; {HITS}")
        return 0
    return run(own, options)


def parser(name: str, *, with_demo: bool = False) -> argparse.ArgumentParser:
    """Return the parser of the command that goes by *name*: "memocache", or "flask memocache"."""
    parser = Parser(prog=name, description=DESCRIPTION, epilog=HITS)
    commands = add_commands(parser)
    if with_demo:
        _add_demo(commands)
    return parser


def run(
    parser: argparse.ArgumentParser, options: argparse.Namespace, out: TextIO | None = None, err: TextIO | None = None
) -> int:
    """Do what *options* of `add_commands` say, printing to *out* and *err*, and return the exit code."""
    if options.command is None:
        parser.print_help(sys.stderr)
        return MISUSED
    try:
        _log_to_nobody()
        with _exit_on_signals():
            if options.command == "demo":
                return _demo(options)
            plain = getattr(options, "no_color", False)
            out, err = out or sys.stdout or _nowhere(), err or sys.stderr or _nowhere()
            status = _shell(parser, options, Terminal(out, plain), Terminal(err, plain))
            out.flush()  # not at the end of the process, where the status would not tell that it failed
            return status
    except KeyboardInterrupt:
        print("\nInterrupted.", file=sys.stderr)
        return BY_SIGNAL + signal.SIGINT
    except OSError as error:
        if not isinstance(error, BrokenPipeError):  # whoever read has had enough, as `head` has
            print(f"memocache {options.command}: {error}", file=sys.stderr)
        # Python writes out the rest at its end, and would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _nowhere() -> TextIO:
    """Return what takes the place of a stream that is closed."""
    return open(os.devnull, "w")


def _log_to_nobody() -> None:
    """Have no line of our log on the terminal, unless the application wants it there: the commands tell themselves."""
    import logging

    logging.getLogger("memocache").addHandler(logging.NullHandler())


def _demo(options: argparse.Namespace) -> int:
    from memocache._demo import DemoError, tell

    try:
        return 0 if tell(__version__, options.memcached) else FAILED
    except DemoError as error:
        print(f"memocache demo: {error}", file=sys.stderr)
        return FAILED


def _shell(parser: argparse.ArgumentParser, options: argparse.Namespace, out: Terminal, err: Terminal) -> int:
    from memocache._shell import Shell, ShellError

    try:
        shell = Shell(options.application, getattr(options, "url", None), out.say)
        match options.command:
            case "stats":
                shell.stats(out.begin_screen, as_json=options.json, every=options.watch)
            case "ls" if options.function is None and options.url is None:
                shell.functions()
            case "ls":
                shell.entries(options.function, options.limit, as_json=options.json)
            case "entry":
                shell.entry(options.call)
            case "refresh":
                shell.refresh(options.call)
            case "uncache" if options.all:
                shell.uncache_all(options.all)
            case "uncache" if options.tag:
                shell.uncache_tag(options.tag)
            case "uncache" if options.call:
                shell.uncache(options.call)
            case "uncache":
                parser.error("uncache needs a call such as 'report(7)', or --all FUNCTION, or --tag TAG")
            case "clear":
                shell.clear(lambda question: options.yes or out.is_confirmed(question))
            case "doctor":
                shell.doctor()
            case "inspect":
                shell.inspect(options.port)
    except (ShellError, MemocacheError) as error:
        message = without_passwords(str(error)) if isinstance(error, ShellError) else str(error)  # as it was typed
        err.say(one_line(f"memocache {options.command}: {message}"), "bad")
        return error.status if isinstance(error, ShellError) else FAILED
    return 0


def without_passwords(text: str) -> str:
    """Return *text* with nothing of a URL in it that may be a password, wherever that was typed."""
    return re.sub(r"://.*[@?]\S*", "://...", text, flags=re.DOTALL)


class Parser(argparse.ArgumentParser):
    """A parser that shows no password."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong with the command as it was typed."""
        if message.startswith("unrecognized arguments: "):
            message += "; a call is one argument, in quotes: 'report(7, month=\"May\")'"
        super().error(without_passwords(message))


def add_commands(parser: argparse.ArgumentParser) -> "argparse._SubParsersAction[argparse.ArgumentParser]":
    """Add the commands to *parser*, which is ours, or Django's for `manage.py memocache`."""

    def application(parser: argparse.ArgumentParser, default: str | None) -> None:
        parser.add_argument(
            "-a",
            "--application",
            metavar="MODULE[:FACTORY]",
            default=default,
            help="the module that has, or imports, the cached functions; a FACTORY in it is called",
        )

    def add(name: str, what: str, more: str = "") -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}. {more}".strip())
        application(command, argparse.SUPPRESS)  # what stands before the command counts, too
        return command

    application(parser, None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    listing = add(
        "ls",
        "list the cached functions of the application, or what is stored",
        "Of a FUNCTION, or of a whole cache, that is: key, age, time to expire and size, in no order.",
    )
    listing.add_argument("function", metavar="FUNCTION", nargs="?", help="a function, or with --cache its full name")
    listing.add_argument("--cache", metavar="URL", dest="url", help="list what is stored in this cache")
    listing.add_argument(
        "--limit", metavar="N", type=_number, default=100, help="print at most N entries (100); 0: all of them"
    )
    listing.add_argument("--json", action="store_true", help="print a JSON object for each entry, one a line")
    figures = add(
        "stats",
        "show what all processes have counted, by function",
        "That is what they share on a cache (memocache.stats.share), also those that have ended: calls, hit ratio, "
        "seconds saved, computations a minute, the slowest one, and errors.",
    )
    figures.add_argument("--json", action="store_true", help="print a JSON object for each function, one a line")
    figures.add_argument(
        "--watch",
        metavar="SECONDS",
        type=_seconds,
        nargs="?",
        const=2.0,
        help="show them again every so many seconds (2), until it is interrupted",
    )
    for name, what in (("entry", "say what is stored for a call"), ("refresh", "compute a call now, and store it")):
        add(name, what, LITERALS).add_argument("call", metavar="CALL", help="such as 'report(7, month=\"May\")'")
    uncache = add("uncache", "forget a call, a function or a tag", LITERALS)
    path = "; for `flask memocache` also the path of a view, /page/7"
    uncache.add_argument("call", metavar="CALL", nargs="?", help="such as 'report(7, month=\"May\")'" + path)
    uncache.add_argument("--all", metavar="FUNCTION", help="forget every call of a function")
    uncache.add_argument("--tag", metavar="TAG", help="forget every call with this tag")
    uncache.add_argument("--cache", metavar="URL", dest="url", help="with --tag: on this cache alone")
    clear = add("clear", "delete everything in a cache, whoever put it there")
    clear.add_argument("--yes", action="store_true", help="do not ask")
    doctor = add("doctor", "look at the caches in use, and say what to do")
    inspect = add("inspect", "show a page about the caches in the browser, on this machine alone")
    inspect.add_argument("--port", type=int, default=0, help="on loopback; without it one that is free")
    for command in (clear, doctor, figures, inspect):
        command.add_argument("url", metavar="URL", nargs="?", help="of a cache; else the application's are meant")
    return commands


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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


def _number(text: str) -> int:
    if re.fullmatch(r"[0-9]{1,12}", text):
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of entries")


def _seconds(text: str) -> float:
    if re.fullmatch(r"[0-9]{1,6}(\.[0-9]+)?", text) and float(text) > 0:
        return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds above 0")


def _address(text: str) -> str:
    if text.startswith("/") or re.fullmatch(r"[^:\s]+:\d{1,5}|\[[\da-fA-F:]+\]:\d{1,5}", text):
        return text
    raise argparse.ArgumentTypeError(f"{text!r} is neither HOST:PORT nor the path of a socket")


@contextmanager
def _exit_on_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP end the program as an exception does, so that what it has started is stopped."""

    def end(number: int, frame: FrameType | None) -> None:
        raise EndedBySignal(BY_SIGNAL + number)

    with ExitStack() as former:
        if threading.current_thread() is threading.main_thread():  # only that may say what a signal does
            for number in {getattr(signal, name, signal.SIGTERM) for name in ("SIGTERM", "SIGHUP")}:
                former.callback(signal.signal, number, signal.signal(number, end))
        yield


if __name__ == "__main__":
    sys.exit(main())
