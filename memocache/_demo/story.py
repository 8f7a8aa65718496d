"""The story that the demo tells: what to run, and what to say about it."""

import inspect
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, Final

from memocache import CachedFunction, Info, MemcachedCache, SimpleCache, configure, default_cache
from memocache._demo.measuring import Ran, run
from memocache._demo.screen import Screen, open_screen
from memocache._demo.server import Memcached, NoServer, find_program, running, started
from memocache._demo.xref import Place, definitions, references, runs

__all__ = ["tell"]

KEY_PREFIX: Final = "demo:"
CALL: Final = 'references("create_future")'
NAMES: Final = {
    "references": references,
    "definitions": definitions,
    "configure": configure,
    "MemcachedCache": MemcachedCache,
    "sleep": time.sleep,
}


def tell(version: str, memcached: str | None) -> bool:
    """Tell the story; return whether everything went as it should.

    Args:
        version: that of memocache.
        memcached: the address of a running one; None to start one, if there is one.

    Raises:
        NoServer: if there is none at the address given.
        NoSources: if there are no files to work on.
    """
    began = time.perf_counter()
    given = running(memcached) if memcached else None
    story = Story(open_screen())
    former = default_cache()
    configure(SimpleCache())
    try:
        _beginning(story, version)
        _in_process(story)
        _timeout(story)
        with ExitStack() as servers:
            _on_memcached(story, servers, given)
            _eight_threads(story)
        _ending(story, time.perf_counter() - began)
    finally:
        configure(former)
    return not story.surprises


class Story:
    """What has been told so far, and how to go on."""

    def __init__(self, screen: Screen) -> None:
        self.screen = screen
        self.surprises = 0

    def call(self, line: str, function: "CachedFunction[..., Any] | None" = None, **names: object) -> Ran:
        """Show *line* and run it, with *names* besides NAMES; see `run`."""
        self.screen.line(line)
        return run(line, {**NAMES, **names}, function)

    def call_elsewhere(self, server: Memcached) -> Ran:
        """Show CALL and run it in another process; the Ran's value is that one's number."""
        self.screen.line(CALL, prompt="another process >>>")
        command = [sys.executable, "-P", "-m", "memocache._demo.elsewhere", server.address, KEY_PREFIX, CALL]
        # It shall find the same memocache, however this process found it.
        environ = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            print(done.stderr, file=sys.stderr)
            return Ran(None, 0.0, "failed")
        report = json.loads(done.stdout)
        return Ran(report["process"], report["seconds"], report["outcome"])

    def result(self, ran: Ran, expected: str, note: str) -> None:
        """Show what *ran* did, with *note* if that is what was *expected*."""
        if ran.outcome != expected:
            self.surprises += 1
            note = f"This should have been: {expected}. Is the machine very busy, or the cache in trouble?"
        self.screen.result(ran.outcome, ran.seconds, note)


def _beginning(story: Story, version: str) -> None:
    story.screen.title(f"memocache {version}: a slow function, and @cached")
    story.screen.say(
        "The function reads and parses every file of a part of Python's standard library, and lists the places "
        "where a name is used:"
    )
    story.screen.code(_head(references))


def _in_process(story: Story) -> None:
    story.screen.section("1. In this process")
    first = story.call(CALL, references)
    story.result(first, "computed", _places(first.value))
    again = story.call(CALL, references)
    story.result(again, "hit", f"the same call; {_times_as_fast(first, again)}")
    spelt = story.call('references(package="asyncio", name="create_future")', references)
    story.result(spelt, "hit", "the same call, spelt differently")
    gone = story.call('references.uncache("create_future")')
    story.result(gone, "True", "this very call is forgotten, and no other")
    anew = story.call(CALL, references)
    story.result(anew, "computed", "so it is computed again")
    story.screen.line("references.info()")
    story.screen.figures(_figures(references.info()))


def _timeout(story: Story) -> None:
    story.screen.gap()
    story.screen.say("And with a timeout of half a second:")
    story.screen.code(_head(definitions))
    first = story.call('definitions("__init__")', definitions)
    story.result(first, "computed", f"{len(first.value)} functions have this name")
    story.result(story.call('definitions("__init__")', definitions), "hit", "fresh")
    story.result(story.call("sleep(0.6)"), "done", "we wait ...")
    story.result(story.call('definitions("__init__")', definitions), "computed", "the timeout is over")


def _on_memcached(story: Story, servers: ExitStack, given: Memcached | None) -> None:
    story.screen.gap()
    story.screen.section("2. On memcached, for all processes")
    try:
        server = given or servers.enter_context(started(_program()))
    except NoServer as error:
        story.screen.say(
            f"Left out: {error}. To see this part, install one (on Debian or Ubuntu, as root: "
            "apt-get install memcached), or name one that is running: memocache demo --memcached HOST:PORT"
        )
        return
    whose = f"started for this demo, process {server.pid}" if server.pid else f"at {server.address}"
    story.screen.say(f"The same function; one line moves it to memcached {server.version}, {whose}.")
    moved = story.call(f'configure(MemcachedCache(["{server.address}"], key_prefix="{KEY_PREFIX}"))')
    story.result(moved, "done", "this is the default cache now")
    references.uncache_all()  # what an earlier demo has left on a server that was running already
    _shared(story, server)


def _program() -> str:
    program = find_program()
    if program is None:
        raise NoServer("there is no memcached on this machine")
    return program


def _shared(story: Story, server: Memcached) -> None:
    first = story.call(CALL, references)
    story.result(first, "computed", "memcached does not have it yet")
    again = story.call(CALL, references)
    story.result(again, "hit", f"one round trip; {_times_as_fast(first, again)}")
    there = story.call_elsewhere(server)
    story.result(there, "hit", f"process {there.value} has just started, and need not compute")
    gone = story.call('references.uncache("create_future")')
    story.result(gone, "True", "forgotten here ...")
    there = story.call_elsewhere(server)
    story.result(there, "computed", f"... and so in process {there.value}, which computes it")
    story.result(story.call(CALL, references), "hit", "what that process has computed")
    story.screen.line("references.info()")
    story.screen.figures(_figures(references.info()))


def _eight_threads(story: Story) -> None:
    story.screen.gap()
    story.screen.section("3. Eight threads ask at once for what is not there")
    before, runs_before = references.info(), len(runs)
    story.screen.line("pool = ThreadPoolExecutor(8)")
    with ThreadPoolExecutor(8) as pool:  # when interrupted, it waits for its threads: they still need the server
        asked = story.call('list(pool.map(references, ["get_running_loop"] * 8))', pool=pool)
    after, computations = references.info(), len(runs) - runs_before
    waits, hits = after.waits - before.waits, after.hits - before.hits
    # On a very fast machine the last of them may come when the result is there.
    once = computations == 1 and waits + hits == 7 and all(answer == asked.value[0] for answer in asked.value)
    ran = Ran(None, asked.seconds, "once" if once else "wrong")
    late = f", {hits} came later" if hits else ""
    story.result(ran, "once", f"one thread computed, {waits} waited for its result{late}")
    figures = {"answers": len(asked.value), "computations": computations, "waits": waits, "hits": hits}
    story.screen.figures({name: str(figure) for name, figure in figures.items()})


def _ending(story: Story, seconds: float) -> None:
    story.screen.gap()
    story.screen.end(
        f"That took {seconds:.1f} seconds. Now yours: README.md tells how keys are made, how to forget, which cache to "
        "take when, and what happens when a cache is down; so does help(memocache.cached)."
    )


def _head(function: CachedFunction[..., Any]) -> str:
    """Return the source of *function* as far as its docstring, so that what is shown is what is there."""
    return inspect.getsource(function).partition('"""')[0].rstrip() + " ..."


def _places(places: list[Place]) -> str:
    if not places:
        return "no places"
    return f"{len(places)} places, the first: {places[0].file}:{places[0].line}"


def _times_as_fast(slow: Ran, fast: Ran) -> str:
    times = slow.seconds / fast.seconds
    return f"{float(f'{times:.1e}'):,.0f} times as fast"


def _figures(info: Info) -> Mapping[str, str]:
    figures = {
        "hits": str(info.hits),
        "misses": str(info.misses),
        "waits": str(info.waits),
        "failures": str(info.failures),
        "stored": str(info.stored),
        "seconds saved": f"{info.seconds_saved:.2f}",
    }
    if info.currsize is not None:
        figures["entries"] = f"{info.currsize} of {info.maxsize}"
    return figures
