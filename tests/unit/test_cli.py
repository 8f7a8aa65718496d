"""The command line, and `memocache demo` as its users meet it: in a process of its own, on pipes and terminals."""

import inspect
import os
import pty
import re
import select
import shlex
import signal
import subprocess
import sys
import weakref
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import pytest
from freezegun import freeze_time

import memocache
from memocache import _demo, _function, cached, stats
from memocache._demo import Measurement, Screen, Story
from memocache._native import hit
from memocache.cli import main
from tests.support.servers import MemcachedBinary, MemcachedServer, free_port, wait_until

COMMAND = [sys.executable, "-m", "memocache.cli"]
WITHOUT_RICH = "import sys; sys.modules['rich'] = None; from memocache.cli import main; sys.exit(main(['demo']))"
NO_MEMCACHED = {"MEMOCACHE_MEMCACHED": ""}
SECONDS = 20.0
COLOUR = re.compile(r"\x1b\[[\d;]*[349]\d[\d;]*m")
STYLE = re.compile(r"\x1b\[[\d;]*m")


def environ(**changes: str) -> dict[str, str]:
    decided_elsewhere = {"NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "PYTHONIOENCODING"}
    kept = {name: value for name, value in os.environ.items() if name not in decided_elsewhere}
    return {**kept, "TERM": "xterm-256color", "PYTHONUTF8": "1", **changes}


def in_pipe(*arguments: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    command = [*COMMAND, *arguments]
    return subprocess.run(
        command, env=environ(**changes), capture_output=True, text=True, encoding="utf-8", timeout=60, check=False
    )


def on_terminal(command: list[str], **changes: str) -> tuple[int, str]:
    """Run *command* on a terminal of 80 columns; return the exit code and what it has shown."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        command, env=environ(COLUMNS="80", **changes), stdin=theirs, stdout=theirs, stderr=subprocess.STDOUT
    )
    os.close(theirs)
    shown = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            some = os.read(ours, 65536)
        except OSError:  # how Linux says that nobody has the terminal open any more
            break
        if not some:
            break
        shown += some
    os.close(ours)
    return process.wait(10), shown.decode("utf-8", "replace").replace("\r\n", "\n")


def results(shown: str) -> list[str]:
    """Return the outcomes of the lines of code, in their order."""
    return re.findall(r"^ {4}(\w+) +[\d.]+ (?:s|ms|µs|us) ", shown, re.MULTILINE)


IN_PROCESS = ["computed", "hit", "hit", "True", "computed"]
TIMEOUT = ["computed", "hit", "done", "computed"]
ON_MEMCACHED = ["done", "computed", "hit", "hit", "True", "computed", "hit"]
THREADS = ["once"]


# ---- the demo, all of it ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo_with_own_server(memcached_binary: MemcachedBinary) -> tuple[str, float]:
    began = perf_counter()
    run = in_pipe("demo", **memcached_binary.environ, MEMOCACHE_MEMCACHED=memcached_binary.path)
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout, perf_counter() - began


def test_it_tells_the_whole_story_in_time(demo_with_own_server: tuple[str, float]) -> None:
    shown, seconds = demo_with_own_server
    assert seconds < SECONDS
    assert results(shown) == IN_PROCESS + TIMEOUT + ON_MEMCACHED + THREADS
    sections = ["1. In this process", "2. On memcached", "3. Eight threads", "README.md"]
    assert sorted(sections, key=shown.index) == sections


def test_it_shows_the_figures(demo_with_own_server: tuple[str, float]) -> None:
    tables = [dict(zip(*rows, strict=True)) for rows in _tables(demo_with_own_server[0])]
    in_process, on_memcached, threads = tables
    assert (
        in_process.items() >= {"hits": "2", "misses": "2", "waits": "0", "stored": "2", "entries": "1 of 500"}.items()
    )
    assert on_memcached.items() >= {"hits": "4", "misses": "3", "failures": "0", "stored": "3"}.items()
    assert (threads["answers"], threads["computations"]) == ("8", "1")
    assert int(threads["waits"]) + int(threads["hits"]) == 7
    assert int(threads["waits"]) >= 4  # all seven, but for a machine that computes faster than it starts threads


def _tables(shown: str) -> Iterator[tuple[list[str], list[str]]]:
    lines = [re.split(r" {3,}", line.strip()) for line in shown.splitlines()]
    for names, values in pairwise(lines):
        if "waits" in names:
            yield names, values


def test_a_hit_is_much_faster_than_a_computation(demo_with_own_server: tuple[str, float]) -> None:
    in_process, on_memcached = re.findall(r"([\d,]+) times as fast", demo_with_own_server[0])
    assert int(in_process.replace(",", "")) > 1000
    assert int(on_memcached.replace(",", "")) > 10


def test_a_pipe_gets_plain_text_of_80_columns(demo_with_own_server: tuple[str, float]) -> None:
    shown = demo_with_own_server[0]
    assert "\x1b" not in shown
    assert "\r" not in shown
    assert max(map(len, shown.splitlines())) <= 80
    assert not re.search(r"[ \t]$", shown, re.MULTILINE)


def test_other_processes_take_part(demo_with_own_server: tuple[str, float]) -> None:
    shown = demo_with_own_server[0]
    assert shown.count("another process >>> references(") == 2
    assert len(set(re.findall(r"process (\d+)", shown))) == 3  # the server and two others


def test_its_server_is_gone_afterwards(demo_with_own_server: tuple[str, float]) -> None:
    _assert_gone(demo_with_own_server[0])


def _assert_gone(shown: str) -> None:
    started = re.search(r"started for this demo,\s+process (\d+)", shown)
    socket = re.search(r'MemcachedCache\(\["([^"]+)"', shown)
    assert started is not None
    assert socket is not None
    with pytest.raises(ProcessLookupError):
        os.kill(int(started[1]), 0)
    assert not Path(socket[1]).parent.exists()


def test_it_shows_the_code_that_runs(demo_with_own_server: tuple[str, float]) -> None:
    source = inspect.getsource(_demo)
    heads = re.findall(r"^ {4}(@cached.*)\n {4}(def .*:) \.\.\.$", demo_with_own_server[0], re.MULTILINE)
    assert len(heads) == 2
    for decorator, head in heads:
        assert f"{decorator}\n{head}\n" in source


def test_it_takes_a_memcached_that_is_running(memcached_tcp: MemcachedServer) -> None:
    host, port = memcached_tcp.address
    run = in_pipe("demo", "--memcached", f"{host}:{port}", **NO_MEMCACHED)
    assert (run.returncode, run.stderr) == (0, "")
    assert f"at {host}:{port}." in run.stdout
    assert results(run.stdout) == IN_PROCESS + TIMEOUT + ON_MEMCACHED + THREADS


# ---- with less ---------------------------------------------------------------------------------------------------


def test_without_rich_and_memcached_on_a_terminal_that_knows_only_ascii() -> None:
    without = {"PYTHONIOENCODING": "ascii:strict", "PYTHONUTF8": "0", **NO_MEMCACHED}
    code, shown = on_terminal([sys.executable, "-c", WITHOUT_RICH], **without)
    assert code == 0
    assert shown.isascii()
    assert "\x1b" not in shown
    assert " us " in shown
    assert "apt-get install memcached" in " ".join(shown.split())
    assert results(shown) == IN_PROCESS + TIMEOUT + THREADS


@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_terminal_gets_tables_and_colours_unless_no_color_is_set(no_color: str) -> None:
    pytest.importorskip("rich")
    code, shown = on_terminal([*COMMAND, "demo"], NO_COLOR=no_color, **NO_MEMCACHED)
    assert code == 0
    assert bool(COLOUR.search(shown)) is not bool(no_color)
    text = STYLE.sub("", shown)
    assert "\x1b" not in text
    assert "│ hits │" in text
    assert max(map(len, text.splitlines())) <= 80
    assert results(text) == IN_PROCESS + TIMEOUT + THREADS


def test_a_memcached_that_does_not_start_is_told_and_left_out(tmp_path: Path) -> None:
    program = tmp_path / "memcached"
    program.write_text("#!/bin/sh\necho out of order >&2\nexit 3\n")
    program.chmod(0o700)
    with pytest.raises(_demo.DemoError, match="does not start: out of order"), _demo.start(str(program)):
        pass
    with pytest.raises(_demo.DemoError, match="does not start"), _demo.start(str(tmp_path / "none")):
        pass


def test_memcached_is_looked_for_where_the_user_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MEMOCACHE_MEMCACHED", "/some/memcached")
    assert _demo.find_program() == "/some/memcached"
    monkeypatch.setenv("MEMOCACHE_MEMCACHED", "")
    assert _demo.find_program() is None
    monkeypatch.delenv("MEMOCACHE_MEMCACHED")
    program = tmp_path / "memcached"
    program.touch(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert _demo.find_program() == str(program)


def test_what_did_not_go_as_it_should_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    story = Story(Screen())
    story.result(Measurement(None, 0.5, "computed"), "hit", "the same call")
    assert story.surprises == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert shown.startswith("computed 500 ms This should have been: hit.")
    assert "the same call" not in shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(12.345, "12.35 s"), (1.0, "1.00 s"), (0.61, "610 ms"), (0.0012, "1.2 ms"), (0.00004, "40 "), (2e-6, "2.0 ")],
)
def test_durations_have_fitting_units(seconds: float, shown: str) -> None:
    assert Screen().duration(seconds).startswith(shown)


# ---- interrupted ---------------------------------------------------------------------------------------------------


def heed_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_tidily(number: signal.Signals, memcached_binary: MemcachedBinary, tmp_path: Path) -> None:
    output, errors = tmp_path / "output", tmp_path / "errors"
    extra = {**memcached_binary.environ, "MEMOCACHE_MEMCACHED": memcached_binary.path}
    with output.open("wb") as stdout, errors.open("wb") as stderr:
        process = subprocess.Popen(
            # A shell that runs this in the background has SIGINT ignored, and all its children inherit that.
            [*COMMAND, "demo"],
            env=environ(**extra),
            stdout=stdout,
            stderr=stderr,
            preexec_fn=heed_interrupts,
        )
    try:
        assert wait_until(lambda: "MemcachedCache" in output.read_text(), 60)
        process.send_signal(number)
        assert process.wait(10) == 128 + number
    finally:
        process.kill()
        process.wait()
    _assert_gone(output.read_text())
    assert errors.read_text() == ("\nInterrupted.\n" if number == signal.SIGINT else "")


@pytest.mark.parametrize("command", ["demo", "ls"])
def test_a_reader_that_has_had_enough_is_no_error(command: str, listed: str) -> None:
    arguments = ["demo"] if command == "demo" else ["ls", "--cache", listed]
    process = subprocess.Popen(
        [*COMMAND, *arguments], env=environ(**NO_MEMCACHED), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    with process, process.stderr:
        if command == "demo":
            process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(30) == 1


# ---- the command line ------------------------------------------------------------------------------------------------


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    language = "pure Python" if hit is None else "C"
    assert capsys.readouterr().out == f"memocache {memocache.__version__}; hits in process are served in {language}\n"


def test_help_without_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "demo" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["ls", "stats", "entry", "refresh", "uncache", "clear", "doctor", "inspect"])
def test_the_help_of_a_command_begins_with_what_it_does(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    listed = re.search(rf"^    {command} +(\w+ \w+ \w+)", capsys.readouterr().out, re.MULTILINE)
    with pytest.raises(SystemExit):
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert listed is not None
    assert f"\n\n{listed[1].capitalize()}" in shown
    assert "-a MODULE[:FACTORY]" in shown


@pytest.mark.parametrize("arguments", [["dance"], ["demo", "more"], ["demo", "--memcached", "localhost"]])
def test_what_is_misspelt_is_an_error_of_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert arguments[-1] in shown.err


def test_a_memcached_that_was_named_must_answer(capsys: pytest.CaptureFixture[str]) -> None:
    address = f"127.0.0.1:{free_port()}"
    assert main(["demo", "--memcached", address]) == 1
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"memocache demo: no memcached answers at {address}: ")


def test_a_library_without_sources_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/nowhere")
    assert main(["demo"]) == 1
    assert (
        capsys.readouterr().err
        == "memocache demo: /nowhere has no source files of asyncio, which the demo would read\n"
    )


def test_the_demo_is_imported_only_when_asked_for() -> None:
    look = "import sys, memocache.cli; print([name for name in sys.modules if name in ('rich', 'memocache._demo')])"
    run = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


# ---- figures ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a cache with the figures of one function, of hours ago: those of a minute change with the clock."""
    monkeypatch.setattr(stats, "_totals", None)
    monkeypatch.setattr(_function, "_functions", weakref.WeakValueDictionary())  # without those of other tests
    url = f"sqlite:///{tmp_path}/cache.db"
    function = cached(timeout=60, namespace="shop.report")(lambda x: x)
    with freeze_time(datetime.now(UTC) - timedelta(hours=3)), stats.share(url, every=3600):
        function(1), function(1)
    return url


def test_figures_are_in_colour_on_a_terminal_and_plain_elsewhere(figures: str) -> None:
    code, shown = on_terminal([*COMMAND, "stats", figures])
    assert code == 0
    assert shown.startswith("\x1b[1mfunction")
    for plain in (on_terminal([*COMMAND, "stats", figures], NO_COLOR="1")[1], in_pipe("stats", figures).stdout):
        assert plain.startswith("function")
        assert "\x1b" not in plain
        assert plain == STYLE.sub("", shown)


def test_figures_are_watched_until_it_is_interrupted(figures: str) -> None:
    command = [*COMMAND, "stats", "--watch", "0.01", figures]
    with subprocess.Popen(command, env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(9)]
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=60)
    assert [line.split()[0] if line.strip() else "" for line in lines] == ["", "function", "shop.report"] * 3
    assert (process.returncode, told) == (130, "\nInterrupted.\n")


@pytest.mark.parametrize("seconds", ["0", "-1", "soon", "1e9"])
def test_seconds_to_watch_that_cannot_be_are_refused(seconds: str) -> None:
    said = in_pipe("stats", f"--watch={seconds}")
    assert said.returncode == 2
    assert f"{seconds!r} is no number of seconds above 0" in said.stderr


# ---- the shell in a terminal, and in a pipe --------------------------------------------------------------------------


@pytest.fixture
def listed(tmp_path: Path) -> str:
    """The URL of a cache with one entry of each of 50 keys, one of them hostile."""
    url = f"sqlite:///{tmp_path}/own/cache.db"
    cache = memocache.cache_from_url(url)
    cache.set_many({f"{number}\x1b]0;owned\x07": number for number in range(50)})
    return url


@pytest.mark.parametrize("changes", [{}, {"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_terminal_gets_colours_unless_they_are_not_wanted(listed: str, changes: dict[str, str]) -> None:
    for command in (["ls", "--cache", listed], ["doctor", listed], ["uncache", "x(\x1b[31m)"]):
        _, shown = on_terminal([*COMMAND, *command], **changes)
        assert bool(STYLE.search(shown)) is not bool(changes)
        assert "\x1b" not in STYLE.sub("", shown)
        assert "\x07" not in shown


def test_a_pipe_gets_no_colours_and_what_its_encoding_has(listed: str) -> None:
    for encoding in ("ascii", "utf-8"):
        run = in_pipe("uncache", "größe\u2028(7)", PYTHONIOENCODING=encoding, PYTHONUTF8="0")
        assert (run.returncode, run.stdout) == (2, "")
        name = "gr\\xf6\\xdfe" if encoding == "ascii" else "größe"
        assert name in run.stderr
        assert "\x1b" not in run.stderr
    run = in_pipe("ls", "--cache", listed)
    assert (run.returncode, len(run.stdout.splitlines()), run.stderr) == (0, 51, "")
    assert "\x1b" not in run.stdout


@pytest.mark.parametrize(("redirection", "status", "said"), [(">&-", 0, ""), ("> /dev/full", 1, "No space left")])
def test_an_output_that_takes_nothing(listed: str, redirection: str, status: int, said: str) -> None:
    command = f"{shlex.join([*COMMAND, 'ls', '--limit', '3', '--cache', listed])} {redirection}"
    run = subprocess.run(command, shell=True, env=environ(), stderr=subprocess.PIPE, text=True, check=False)
    assert run.returncode == status
    assert said in run.stderr
    assert run.stderr.count("\n") == bool(said)


def test_a_question_is_asked_in_any_encoding_and_of_nobody(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/größe/cache.db"
    memocache.cache_from_url(url)
    for closed in ("< /dev/null", "<&-"):
        command = f"{shlex.join([*COMMAND, 'clear', url])} {closed}"
        env = environ(PYTHONIOENCODING="ascii", PYTHONUTF8="0")
        run = subprocess.run(command, shell=True, env=env, capture_output=True, text=True, check=False)
        assert (run.returncode, run.stderr) == (1, "memocache clear: nothing was deleted\n")
        assert "gr\\xf6\\xdfe/cache.db', default_timeout=300, key_prefix=''), whoever put it there, " in run.stdout
        assert "? [y/N]" in run.stdout


def test_a_server_that_is_down_is_told_once() -> None:
    run = in_pipe("stats", f"memcached://127.0.0.1:{free_port()}")
    assert (run.returncode, run.stdout, run.stderr.count("\n")) == (1, "", 1)
