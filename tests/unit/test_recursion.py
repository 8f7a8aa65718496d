"""A cached function may call itself, 250 levels deep under the default recursion limit."""

import subprocess
import sys
import textwrap
import threading

import pytest

from memocache import cached

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
    run = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, timeout=60)
    assert (run.stderr, run.stdout) == ("", f"{DEEP + 1}\n")


def test_recursion_without_end_is_python_s_own_error_and_leaves_nothing_behind() -> None:
    @cached
    def f(n):
        return f(n + 1)

    with pytest.raises(RecursionError):
        f(0)
    assert f.info().currsize == 0
    assert f.uncache(0) is False
