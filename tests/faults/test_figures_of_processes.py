"""The figures of processes that end, fork and are killed, on a cache that they share."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from memocache.stats import read
from tests.support.selection import ROOT
from tests.support.servers import wait_until

BEGINNING = """
import multiprocessing, os, signal, sys, threading
from memocache import SimpleCache, cached, stats

url = sys.argv[1]

@cached(timeout=60, cache=SimpleCache(), namespace="shop.report")
def report(x):
    return x

def call(times):
    for _ in range(times):
        report(1)

def said(text):
    print(text, flush=True)
    sys.stdin.readline()
"""


Start = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def start(url: str) -> Iterator[Start]:
    """Starts a process with the function, and ends it after the test."""
    with ExitStack() as processes:

        def start(script: str) -> "subprocess.Popen[str]":
            process = processes.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", BEGINNING + script, url],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    env={**os.environ, "PYTHONPATH": str(ROOT)},
                )
            )
            processes.callback(process.kill)
            return process

        yield start


def calls(url: str) -> int:
    return sum(figures.totals.calls for figures in read(url))


def test_processes_that_have_ended_are_counted(url: str, start: Start) -> None:
    processes = [start("stats.share(url, every=3600); call(25)") for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    (figures,) = read(url)
    assert (figures.totals.calls, figures.totals.misses) == (100, 4)
    assert sum(minute.calls for minute in figures.minutes) == 100


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("ending", ["sys.exit(3)", "raise LookupError", "os.kill(os.getpid(), signal.SIGINT)"])
def test_whatever_ends_it_but_a_killing_the_rest_is_sent(url: str, start: Start, ending: str) -> None:
    start(f"stats.share(url, every=3600); call(5); sys.stderr = open(os.devnull, 'w'); {ending}").wait()
    assert calls(url) == 5


def test_who_is_killed_loses_what_was_not_sent_and_nothing_else(url: str, start: Start) -> None:
    process = start(
        "stats.share(url, every=0.05); call(7); said('called')\n"
        "stats.share(url, every=3600); call(100); said('called again')"
    )
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdout.readline()
    assert wait_until(lambda: calls(url) == 7, 20)
    process.stdin.write("\n")
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert calls(url) == 7


def test_a_child_counts_for_itself(url: str, start: Start) -> None:
    script = """
call(3)
stats.share(url, every=3600)
call(3)
child = os.fork()
if not child:
    call(5)
    sys.exit()
call(1)
os.waitpid(child, 0)
"""
    assert start(script).wait() == 0
    assert calls(url) == 12


def test_a_child_that_shares_counts_nothing_of_its_parents(url: str, start: Start) -> None:
    script = """
call(3)
children = []
for _ in range(2):
    children.append(os.fork())
    if not children[-1]:
        stats.share(url, every=3600)
        call(5)
        sys.exit()
for child in children:
    os.waitpid(child, 0)
"""
    assert start(script).wait() == 0
    assert calls(url) == 10


def test_a_child_sends_in_a_thread_of_its_own(url: str, start: Start) -> None:
    script = """
stats.share(url, every=0.05)
child = os.fork()
if not child:
    call(5)
    signal.pause()
said(child)
os.kill(child, signal.SIGKILL)
"""
    process = start(script)
    assert process.stdout is not None
    process.stdout.readline()
    assert wait_until(lambda: calls(url) == 5, 20)
    process.communicate("\n")
    assert calls(url) == 5


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
def test_workers_of_multiprocessing_send_the_rest(url: str, start: Start, tmp_path: Path, method: str) -> None:
    (tmp_path / "worker.py").write_text(BEGINNING + "stats.share(url, every=3600)\n")
    script = f"""
sys.path.insert(0, {str(tmp_path)!r})
import worker
worker.call(1)
if __name__ == "__main__":
    context = multiprocessing.get_context({method!r})
    workers = [context.Process(target=worker.call, args=(5,)) for _ in range(2)]
    for each in workers:
        each.start()
    for each in workers:
        each.join()
"""
    assert start(script).wait() == 0
    assert calls(url) == 11


def test_a_fork_in_the_middle_of_a_sending_is_no_harm(url: str, start: Start) -> None:
    script = """
sharing = stats.share(url, every=3600)
children = []
stop = threading.Event()
def send():
    while not stop.is_set():
        sharing.flush()
thread = threading.Thread(target=send)
thread.start()
for _ in range(20):
    call(1)
    child = os.fork()
    if not child:
        call(1)
        sys.exit()
    children.append(child)
stop.set()
thread.join()
for child in children:
    os.waitpid(child, 0)
"""
    assert start(script).wait() == 0
    assert calls(url) == 40


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_the_end_of_a_process_does_not_wait_for_a_cache_that_is_down(start: Start, url: str) -> None:
    script = "stats.share('memcached://127.0.0.1:1', every=3600); call(5)"
    process = start(script)
    assert process.wait(20) == 0
