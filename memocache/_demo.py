"""The demo: slow functions over real files, the lines of code that call them, and what to say about each.

It uses the public names of memocache only, as its users do.
"""

import ast
import inspect
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, NamedTuple

from memocache import CachedFunction, MemcachedCache, SimpleCache, cached, configure, default_cache

try:
    from rich import box, console, padding, panel, syntax, table, text
except ImportError:
    HAS_RICH = False
else:
    HAS_RICH = True

KEY_PREFIX: Final = "demo:"
CALL: Final = 'references("create_future")'
FORGET: Final = 'references.uncache("create_future")'
USES: Final[Mapping[type, str]] = {ast.Name: "id", ast.Attribute: "attr", ast.alias: "name"}
DEFINITIONS: Final = dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef), "name")
NARROWEST, WIDEST = 60, 100
FOLDERS: Final = ("/usr/bin", "/usr/sbin", "/usr/local/bin", "/opt/homebrew/bin")
START_SECONDS, ANSWER_SECONDS = 5.0, 2.0

BEGIN: Final = """\
The function reads and parses every file of a part of Python's standard library, and lists the places where a name is \
used:"""
END: Final = """\
That took {:.1f} seconds. Now yours: README.md and docs/ tell how keys are made, how to forget, which cache to take \
when, and what happens when a cache is down; so does help(memocache.cached)."""
LEFT_OUT: Final = """\
Left out: {}. To see this part, install one (on Debian or Ubuntu, as root: apt-get install memcached), or name one \
that is running: memocache demo --memcached HOST:PORT"""

computations: list[str] = []  # so that the demo need not believe what the cache says of itself


class DemoError(Exception):
    """The demo, or a part of it, cannot be shown; the message says why."""


# ---- the slow functions ----------------------------------------------------------------------------------------------


class Place(NamedTuple):
    """A line of a file."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}"


@cached(timeout=300)
def references(name: str, package: str = "asyncio") -> list[Place]:
    """Return the places where *name* is used in *package*."""
    return _search(package, name, USES)


@cached(timeout=0.5)
def definitions(name: str, package: str = "email") -> list[Place]:
    """Return the places where a function or class called *name* is defined in *package*."""
    return _search(package, name, DEFINITIONS)


def _search(package: str, name: str, attributes: Mapping[type, str]) -> list[Place]:
    """Parse all files of a part of the standard library, and return where nodes have *name* in one of *attributes*."""
    computations.append(name)
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(library.joinpath(package).rglob("*.py"))
    if not files:
        raise DemoError(f"{library} has no source files of {package}, which the demo would read")
    return sorted(
        Place(file.relative_to(library).as_posix(), getattr(node, "lineno", 0))
        for file in files
        for node in ast.walk(ast.parse(file.read_bytes()))
        if getattr(node, attributes.get(type(node), ""), None) == name
    )


NAMES: Final = {each.__name__: each for each in (references, definitions, configure, MemcachedCache, time.sleep)}


class Measurement(NamedTuple):
    """A run of a line of code: the value, the seconds, and in one word the outcome."""

    value: Any
    seconds: float
    outcome: str


def run(line: str, **names: object) -> Measurement:
    """Evaluate *line*, which may use NAMES and *names*."""
    # It is evaluated from its text, so that the line on the screen is the line that runs.
    code = compile(line, "<demo>", "eval")
    computed, hits = len(computations), _hits()
    began = time.perf_counter()
    value = eval(code, {**NAMES, **names})
    seconds = time.perf_counter() - began
    if len(computations) > computed:
        return Measurement(value, seconds, "computed")
    return Measurement(value, seconds, "hit" if _hits() > hits else "done" if value is None else str(value))


def _hits() -> int:
    return references.info().hits + definitions.info().hits


def report() -> None:
    """Run the line that is this process's second argument, on the memcached that is its first; print what happened."""
    address, line = sys.argv[1:]
    configure(MemcachedCache([address], key_prefix=KEY_PREFIX))
    print(json.dumps(run(line)._replace(value=os.getpid())))


# ---- its memcached ---------------------------------------------------------------------------------------------------


class Memcached(NamedTuple):
    """A memcached that answers; *pid* is the process if the demo has started it."""

    address: str
    version: str
    pid: int | None = None


def find_program() -> str | None:
    """Return the path of memcached: $MEMOCACHE_MEMCACHED (empty: none), else on the PATH and in the usual folders."""
    path = os.pathsep.join((os.environ.get("PATH", ""), *FOLDERS))
    return os.environ.get("MEMOCACHE_MEMCACHED", shutil.which("memcached", path=path)) or None


def connect(address: str) -> Memcached:
    """Return the memcached at *address*; DemoError if it does not answer."""
    host, _, port = address.rpartition(":")
    try:
        if address.startswith("/"):
            stream = socket.socket(socket.AF_UNIX)
        else:
            stream = socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS)
        with stream:
            if address.startswith("/"):
                stream.settimeout(ANSWER_SECONDS)
                stream.connect(address)
            stream.sendall(b"version\r\n")
            match = re.fullmatch(rb"VERSION ([\w.-]+)\r\n", stream.recv(100))
        if not match:
            raise ValueError("what is there does not speak memcached's text protocol")
    except (OSError, ValueError) as error:
        raise DemoError(f"no memcached answers at {address}: {error}") from error
    return Memcached(address, match[1].decode())


@contextmanager
def start(program: str | None) -> Iterator[Memcached]:
    """Start *program* on a socket in a directory of its own; stop it at the end. DemoError if it does not start."""
    if program is None:
        raise DemoError("there is no memcached on this machine")
    with tempfile.TemporaryDirectory(prefix="mc", ignore_cleanup_errors=True) as directory:
        address, errors = str(Path(directory, "socket")), Path(directory, "stderr")
        # Root must name a user; any other could not bind in a directory that is root's alone.
        user = ["-u", "root"] if os.geteuid() == 0 else []
        command = [program, "-s", address, "-a", "700", "-m", "32", "-t", "2", *user]
        try:
            with errors.open("wb") as stderr:
                process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr)
        except OSError as error:
            raise DemoError(f"{program} does not start: {error}") from error
        try:
            server, deadline = None, time.perf_counter() + START_SECONDS
            while server is None and process.poll() is None and time.perf_counter() < deadline:
                with suppress(DemoError):
                    server = connect(address)
                time.sleep(0.01)
            if server is None:
                process.kill()
                reason = errors.read_text(errors="replace").strip() or f"status {process.wait()}"
                raise DemoError(f"{program} does not start: {reason}")
            yield server._replace(pid=process.pid)
        finally:
            process.kill()  # it has nothing to save
            process.wait()


# ---- its screen ------------------------------------------------------------------------------------------------------


class Screen:
    """A screen of plain text, for pipes, files and simple terminals. It shows each thing as soon as it happens."""

    def __init__(self) -> None:
        self._width = min(max(shutil.get_terminal_size().columns, NARROWEST), WIDEST)
        self._micro = "µs" if "µ".encode(sys.stdout.encoding or "ascii", "ignore") else "us"

    def title(self, words: str) -> None:
        self._print(f"{words}\n{'=' * len(words)}\n")

    def section(self, words: str) -> None:
        self._print(f"{words}\n{'-' * len(words)}")

    def say(self, words: str) -> None:
        self._print(textwrap.fill(words, self._width))

    end = say

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

    def figures(self, figures: Mapping[str, object]) -> None:
        """Show a small table: names, and below them their values."""
        widths = [max(len(name), len(str(value))) for name, value in figures.items()]
        for cells in (figures.keys(), figures.values()):
            self._print("    " + "   ".join(f"{cell!s:>{width}}" for cell, width in zip(cells, widths, strict=True)))

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

    def __init__(self, terminal: "console.Console") -> None:
        super().__init__()
        terminal.width = min(terminal.width, WIDEST)
        self._rule, self._show = terminal.rule, terminal.print

    def title(self, words: str) -> None:
        self._show(panel.Panel(text.Text(words, "bold"), border_style="cyan", expand=False, padding=(0, 2)))

    def section(self, words: str) -> None:
        self._rule(text.Text(words, "bold cyan"), align="left", style="cyan")

    def say(self, words: str) -> None:
        self._show(text.Text(words))

    def code(self, source: str) -> None:
        self._show(padding.Padding(self._python(source), (1, 4)))

    def line(self, source: str, prompt: str = ">>>") -> None:
        row = table.Table.grid(padding=(0, 1))
        row.add_row(text.Text(prompt, "dim"), self._python(source))
        self._show(row)

    def result(self, outcome: str, seconds: float, note: str) -> None:
        row = table.Table.grid(padding=(0, 2, 0, 0))
        row.add_column(min_width=8, no_wrap=True)
        row.add_column(min_width=8, justify="right", no_wrap=True)
        style = {"hit": "bold green", "computed": "bold yellow"}.get(outcome, "bold")
        row.add_row(text.Text(outcome, style), self.duration(seconds), text.Text(note, "dim"))
        self._show(padding.Padding(row, (0, 0, 0, 4)))

    def figures(self, figures: Mapping[str, object]) -> None:
        cells = table.Table(box=box.ROUNDED, border_style="dim")
        for name in figures:
            cells.add_column(name, justify="right", overflow="fold")
        cells.add_row(*map(str, figures.values()))
        self._show(padding.Padding(cells, (0, 0, 0, 4)))

    def end(self, words: str) -> None:
        self._show(panel.Panel(text.Text(words), border_style="cyan"))

    def _python(self, source: str) -> "syntax.Syntax":
        return syntax.Syntax(source, "python", theme="ansi_dark", background_color="default", word_wrap=True)


def open_screen() -> Screen:
    """Return a screen with colours if there are a terminal that has them and rich, else a plain one."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a character that the terminal lacks must not end the demo
    if HAS_RICH and (terminal := console.Console(highlight=False)).is_terminal and not terminal.is_dumb_terminal:
        return RichScreen(terminal)
    return Screen()


# ---- the story -------------------------------------------------------------------------------------------------------


def tell(version: str, memcached: str | None) -> bool:
    """Tell the story of memocache *version*, and return False if a line did not do what it should.

    It uses the memcached at the address *memcached*; None: one of its own, if the program is there.
    """
    began = time.perf_counter()
    running = connect(memcached) if memcached else None
    story = Story(open_screen())
    former = default_cache()
    configure(SimpleCache())
    try:
        story.screen.title(f"memocache {version}: a slow function, and @cached")
        story.show_process()
        with ExitStack() as servers:
            story.show_memcached(servers, running)
            story.show_threads()
        story.screen.end(END.format(time.perf_counter() - began))
    finally:
        configure(former)
    return not story.surprises


class Story:
    """The story as it is told on *screen*; *surprises* counts the lines that did not do what they should."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.surprises = 0

    def show_process(self) -> None:
        self.screen.say(BEGIN)
        self.screen.code(_head(references))
        self.screen.section("1. In this process")
        first = self.step(CALL, "computed", lambda run: f"{len(run.value)} places, the first: {run.value[0]}")
        self.step(CALL, "hit", lambda run: f"the same call; {_times_as_fast(first, run)}")
        self.step('references(package="asyncio", name="create_future")', "hit", "the same call, spelt differently")
        self.step(FORGET, "True", "this very call is forgotten, and no other")
        self.step(CALL, "computed", "so it is computed again")
        self.show_info()
        self.screen.say("")
        self.screen.say("And with a timeout of half a second:")
        self.screen.code(_head(definitions))
        call = 'definitions("__init__")'
        self.step(call, "computed", lambda run: f"{len(run.value)} functions have this name")
        self.step(call, "hit", "fresh")
        self.step("sleep(0.6)", "done", "we wait ...")
        self.step(call, "computed", "the timeout is over")

    def show_memcached(self, servers: ExitStack, running: Memcached | None) -> None:
        self.screen.say("")
        self.screen.section("2. On memcached, for all processes")
        try:
            server = running or servers.enter_context(start(find_program()))
        except DemoError as error:
            self.screen.say(LEFT_OUT.format(error))
            return
        whose = f"started for this demo, process {server.pid}" if server.pid else f"at {server.address}"
        self.screen.say(f"The same function; one line moves it to memcached {server.version}, {whose}.")
        move = f'configure(MemcachedCache(["{server.address}"], key_prefix="{KEY_PREFIX}"))'
        self.step(move, "done", "this is the default cache now")
        references.uncache_all()  # what an earlier demo has left on a server that was running already
        first = self.step(CALL, "computed", "memcached does not have it yet")
        self.step(CALL, "hit", lambda run: f"one round trip; {_times_as_fast(first, run)}")
        self.step_elsewhere(server, "hit", "process {} has just started, and need not compute")
        self.step(FORGET, "True", "forgotten here ...")
        self.step_elsewhere(server, "computed", "... and so in process {}, which computes it")
        self.step(CALL, "hit", "what that process has computed")
        self.show_info("  # of this process, on both caches")

    def show_threads(self) -> None:
        self.screen.say("")
        self.screen.section("3. Eight threads ask at once for what is not there")
        before, computations_before = references.info(), len(computations)
        line = 'list(pool.map(references, ["get_running_loop"] * 8))'
        self.screen.line("pool = ThreadPoolExecutor(8)")
        self.screen.line(line)
        with ThreadPoolExecutor(8) as pool:  # when interrupted, it waits for its threads: they still need the server
            answers, seconds, _ = run(line, pool=pool)
        after, computed = references.info(), len(computations) - computations_before
        waits, hits = after.waits - before.waits, after.hits - before.hits
        # On a very fast machine the last of them may come when the result is there.
        once = computed == 1 and waits + hits == 7 and all(answer == answers[0] for answer in answers)
        late = f", {hits} came later" if hits else ""
        note = f"one thread computed, {waits} waited for its result{late}"
        self.result(Measurement(None, seconds, "once" if once else "wrong"), "once", note)
        self.screen.figures({"answers": len(answers), "computations": computed, "waits": waits, "hits": hits})
        self.screen.say("")

    def show_info(self, comment: str = "") -> None:
        self.screen.line(f"references.info(){comment}")
        info = references.info()
        figures = {name: getattr(info, name) for name in ("hits", "misses", "waits", "failures", "stored")}
        entries = {} if info.currsize is None else {"entries": f"{info.currsize} of {info.maxsize}"}
        self.screen.figures({**figures, "seconds saved": f"{info.seconds_saved:.2f}", **entries})

    def step(self, line: str, expected: str, note: str | Callable[[Measurement], str]) -> Measurement:
        """Show *line*, run it, and show what it did."""
        self.screen.line(line)
        done = run(line)
        self.result(done, expected, note if isinstance(note, str) else note(done))
        return done

    def step_elsewhere(self, server: Memcached, expected: str, note: str) -> None:
        """Show CALL, run it in another process, and show what it did; *note* has a place for that one's number."""
        self.screen.line(CALL, prompt="another process >>>")
        # It shall find the same memocache, however this process found it.
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-P", "-c", "from memocache._demo import report; report()", server.address, CALL]
        process = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
        done = Measurement(*json.loads(process.stdout)) if process.returncode == 0 else Measurement(None, 0.0, "failed")
        self.result(done, expected, note.format(done.value))

    def result(self, done: Measurement, expected: str, note: str) -> None:
        """Show what a line did, with *note* if that is what was *expected*."""
        if done.outcome != expected:
            self.surprises += 1
            note = f"This should have been: {expected}. Is the machine very busy, or the cache in trouble?"
        self.screen.result(done.outcome, done.seconds, note)


def _head(function: CachedFunction[..., Any]) -> str:
    """Return the source of *function* as far as its docstring, so that what is shown is what is there."""
    return inspect.getsource(function).partition('"""')[0].rstrip() + " ..."


def _times_as_fast(slow: Measurement, fast: Measurement) -> str:
    return f"{float(f'{slow.seconds / fast.seconds:.1e}'):,.0f} times as fast"
