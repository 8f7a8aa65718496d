"""A cached function may call itself, 250 levels deep under the default recursion limit."""

import contextlib
import gc
import inspect
import subprocess
import sys
import textwrap
import threading
import warnings
from collections.abc import Iterator

import pytest

from memocache import SimpleCache, cached
from memocache._flight import enclosing
from tests.support.strict import run_strictly

DEEP = 250


@cached
def total(n):
    return n and n + total(n - 1)


@cached
def even(n):
    return n == 0 or odd(n - 1)


@cached
def odd(n):
    return n != 0 and even(n - 1)


class Tree:
    @cached
    def depth(self, n):
        return n and 1 + self.depth(n - 1)


def test_recursion_reaches_250_levels() -> None:
    assert sys.getrecursionlimit() <= 1000
    assert total(DEEP) == DEEP * (DEEP + 1) // 2
    assert even(DEEP)
    assert Tree().depth(DEEP) == DEEP
    assert total.info().misses == DEEP + 1


def test_recursion_reaches_250_levels_in_a_thread() -> None:
    results = []
    thread = threading.Thread(target=lambda: results.append((total(DEEP), even(DEEP))))
    thread.start()
    thread.join()
    assert results == [(DEEP * (DEEP + 1) // 2, True)]


def test_recursion_reaches_250_levels_in_a_script() -> None:
    script = f"""
        from memocache import cached

        @cached
        def total(n, step=1):
            return n and n + total(n - step)

        assert total({DEEP}) == sum(range({DEEP + 1}))
        print(total.info().misses)
    """
    assert run_strictly(textwrap.dedent(script)) == f"{DEEP + 1}\n"


def test_recursion_without_end_is_python_s_own_error_and_leaves_nothing_behind() -> None:
    @cached
    def f(n):
        return f(n + 1)

    with pytest.raises(RecursionError):
        f(0)
    assert f.info().currsize == 0
    assert f.uncache(0) is False


@pytest.mark.parametrize("held", [False, True], ids=["let go", "held"])
def test_no_flight_is_left_where_there_was_no_room_on_the_stack_to_end_it(held: bool) -> None:
    """Nobody waits for it, also while somebody keeps the exception, whose traceback keeps the frames."""

    cache = SimpleCache()

    @cached(cache=cache)
    def f(n):
        return f(n + 1)

    errors = []
    for start in range(7):  # each fails at another place
        with pytest.raises(RecursionError) as raised:
            _at_depth(start, f)
        if held:
            errors.append(raised.value)
        del raised
        assert enclosing.get() is None
        assert [flight.key for flight in cache._flights.values() if flight.state is None] == []


def _at_depth(depth, call):
    return call(0) if depth == 0 else _at_depth(depth - 1, call)


COLLECTED = """
    import gc
    import sys
    from contextvars import ContextVar
    from memocache import cached, SimpleCache, subscribe

    if sys.argv[1] == "heard":
        subscribe(lambda event: Part(0).name())
    for each in [ContextVar(str(number)) for number in range(40)]:
        each.set(1)

    class Part:
        def __init__(self, number):
            self.number = number

        @cached(timeout=60, cache=SimpleCache())
        def name(self):
            return self.number

    class Job(Part):
        def __init__(self, number):
            self.number, self.me, self.part = number, self, Part(-number)

        def __del__(self):
            assert self.name() == self.number
            assert self.part.name() == -self.number

    for threshold in range(2, 80):
        gc.set_threshold(threshold)
        for number in range(100):
            job = Job(number)
            assert job.name() == number
            assert job.part.name() == -number
    print("alive")
"""


@pytest.mark.parametrize("is_heard", ["heard", "unheard"])
def test_a_destructor_that_the_collector_runs_may_call_a_cached_function(is_heard: str) -> None:
    """Python 3.11 may collect in the middle of a ContextVar.set, and dies if a destructor sets one.

    From 3.14 on, nobody is told when what the collector has found is gone, and another instance has its id.
    """
    command = [sys.executable, "-c", textwrap.dedent(COLLECTED), is_heard]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (run.stderr, run.stdout, run.returncode) == ("", "alive\n", 0)


@contextlib.contextmanager
def room_for(levels: int) -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + levels)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def test_what_finds_no_room_leaves_nothing_that_was_never_awaited() -> None:
    @cached(cache=SimpleCache())
    def deep(n: int) -> None:
        deep(n - 1)  # until there is no room, wherever in ours that is

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        for levels in range(50, 150):
            with room_for(levels), pytest.raises(RecursionError):
                deep(1000)
        gc.collect()
    assert [str(each.message) for each in told] == []
