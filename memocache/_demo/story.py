"""The demo's story: slow functions over real files, the lines of code that call them, and what to say about each."""

import ast
import inspect
import json
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

from memocache import CachedFunction, MemcachedCache, SimpleCache, cached, configure, default_cache
from memocache._demo.screen import Screen, open_screen
from memocache._demo.server import DemoError, Memcached, connect, find_program, start

__all__ = ["Measurement", "Story", "report", "tell"]

KEY_PREFIX: Final = "demo:"
CALL: Final = 'references("create_future")'
USES: Final[Mapping[type, str]] = {ast.Name: "id", ast.Attribute: "attr", ast.alias: "name"}
DEFINITIONS: Final = dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef), "name")

computations: list[str] = []  # so that the demo need not believe what the cache says of itself


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
        story.begin(version)
        story.show_process()
        story.show_timeout()
        with ExitStack() as servers:
            story.show_memcached(servers, running)
            story.show_threads()
        story.end(time.perf_counter() - began)
    finally:
        configure(former)
    return not story.surprises


class Story:
    """The story as it is told on *screen*; *surprises* counts the lines that did not do what they should."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.surprises = 0

    def begin(self, version: str) -> None:
        self.screen.title(f"memocache {version}: a slow function, and @cached")
        self.screen.say(
            "The function reads and parses every file of a part of Python's standard library, and lists the places "
            "where a name is used:"
        )
        self.screen.code(_head(references))

    def show_process(self) -> None:
        self.screen.section("1. In this process")
        first = self.step(CALL, "computed", lambda run: f"{len(run.value)} places, the first: {run.value[0]}")
        self.step(CALL, "hit", lambda run: f"the same call; {_times_as_fast(first, run)}")
        self.step('references(package="asyncio", name="create_future")', "hit", "the same call, spelt differently")
        self.step('references.uncache("create_future")', "True", "this very call is forgotten, and no other")
        self.step(CALL, "computed", "so it is computed again")
        self.show_info()

    def show_timeout(self) -> None:
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
            self.screen.say(
                f"Left out: {error}. To see this part, install one (on Debian or Ubuntu, as root: "
                "apt-get install memcached), or name one that is running: memocache demo --memcached HOST:PORT"
            )
            return
        whose = f"started for this demo, process {server.pid}" if server.pid else f"at {server.address}"
        self.screen.say(f"The same function; one line moves it to memcached {server.version}, {whose}.")
        move = f'configure(MemcachedCache(["{server.address}"], key_prefix="{KEY_PREFIX}"))'
        self.step(move, "done", "this is the default cache now")
        references.uncache_all()  # what an earlier demo has left on a server that was running already
        first = self.step(CALL, "computed", "memcached does not have it yet")
        self.step(CALL, "hit", lambda run: f"one round trip; {_times_as_fast(first, run)}")
        self.step_elsewhere(server, "hit", "process {} has just started, and need not compute")
        self.step('references.uncache("create_future")', "True", "forgotten here ...")
        self.step_elsewhere(server, "computed", "... and so in process {}, which computes it")
        self.step(CALL, "hit", "what that process has computed")
        self.show_info()

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
        figures = {"answers": len(answers), "computations": computed, "waits": waits, "hits": hits}
        self.screen.figures({name: str(figure) for name, figure in figures.items()})

    def end(self, seconds: float) -> None:
        self.screen.say("")
        self.screen.end(
            f"That took {seconds:.1f} seconds. Now yours: README.md tells how keys are made, how to forget, which "
            "cache to take when, and what happens when a cache is down; so does help(memocache.cached)."
        )

    def step(self, line: str, expected: str, note: str | Callable[[Measurement], str]) -> Measurement:
        """Show *line*, run it, and show what it did; see `result`."""
        self.screen.line(line)
        done = run(line)
        self.result(done, expected, note if isinstance(note, str) else note(done))
        return done

    def step_elsewhere(self, server: Memcached, expected: str, note: str) -> None:
        """Show CALL, run it in another process, and show what it did; *note* has a place for that one's number."""
        self.screen.line(CALL, prompt="another process >>>")
        code = "from memocache._demo.story import report; report()"
        # It shall find the same memocache, however this process found it.
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-P", "-c", code, server.address, CALL]
        process = subprocess.run(command, env=environ, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
        done = Measurement(*json.loads(process.stdout)) if process.returncode == 0 else Measurement(None, 0.0, "failed")
        self.result(done, expected, note.format(done.value))

    def result(self, done: Measurement, expected: str, note: str) -> None:
        """Show what a line did, with *note* if that is what was *expected*."""
        if done.outcome != expected:
            self.surprises += 1
            note = f"This should have been: {expected}. Is the machine very busy, or the cache in trouble?"
        self.screen.result(done.outcome, done.seconds, note)

    def show_info(self) -> None:
        self.screen.line("references.info()")
        info = references.info()
        figures = {name: str(getattr(info, name)) for name in ("hits", "misses", "waits", "failures", "stored")}
        figures["seconds saved"] = f"{info.seconds_saved:.2f}"
        if info.currsize is not None:
            figures["entries"] = f"{info.currsize} of {info.maxsize}"
        self.screen.figures(figures)


def _head(function: CachedFunction[..., Any]) -> str:
    """Return the source of *function* as far as its docstring, so that what is shown is what is there."""
    return inspect.getsource(function).partition('"""')[0].rstrip() + " ..."


def _times_as_fast(slow: Measurement, fast: Measurement) -> str:
    return f"{float(f'{slow.seconds / fast.seconds:.1e}'):,.0f} times as fast"
