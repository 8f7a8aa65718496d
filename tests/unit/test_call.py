"""The call that is written for a function: what it hits, what it never confuses, what it shows of itself."""

import gc
import linecache
import math
import random
import re
import sys
import threading
import traceback
from pathlib import Path

import pytest

from memocache import SimpleCache, SQLiteCache, UnkeyableArgument, cached
from memocache._native import hit
from tests.support.calls import CONFUSABLE, Bomb, Liar, LiarThroughout, LyingText, SlowBomb, Unhashable
from tests.support.race import quick_switches
from tests.support.refusals import refusal
from tests.support.threads import at_once


@cached
def shown(x):
    return f"{type(x).__name__} {x!r}"


@cached
def shown_both(x, y):
    return f"{type(x).__name__} {x!r} {y!r}"


HIT_FRAMES = 1 if hit is None else 0  # of the generated call


def frames_of(call) -> int:
    """Return how many Python frames *call* opens besides its own."""
    names: list[str] = []
    sys.setprofile(lambda frame, event, arg: names.append(frame.f_code.co_name) if event == "call" else None)
    try:
        call()
    finally:
        sys.setprofile(None)
    return len(names) - 1


# ---- hits --------------------------------------------------------------------------------------------------------


def test_an_in_process_hit_stays_within_one_frame() -> None:
    class Owner:
        @cached
        def method(self, x):
            return x

        @cached
        @staticmethod
        def static(x):
            return x

    bound, static = Owner().method, Owner.static
    assert [call("a") for call in (shown, bound, static)] == ["str 'a'", "a", "a"]
    assert frames_of(lambda: shown("a")) == frames_of(lambda: static("a")) == HIT_FRAMES
    assert frames_of(lambda: bound("a")) == 1


@pytest.mark.parametrize("seed", range(5))
def test_equal_values_of_different_types_and_signs_never_share(seed: int) -> None:
    @cached
    def f(x, y=0):
        return f"{type(x).__name__} {x!r} {y!r}"

    calls = [(x, y) for x in CONFUSABLE for y in (0, False, 0.0, -0.0)] * 3
    random.Random(seed).shuffle(calls)
    for x, y in calls:
        assert f(x, y) == f"{type(x).__name__} {x!r} {y!r}"


@pytest.mark.parametrize("seed", range(3))
def test_nor_in_methods(seed: int) -> None:
    class Owner:
        def __init__(self, name):
            self.name = name

        @cached
        def f(self, x):
            return f"{self.name} {type(x).__name__} {x!r}"

    calls = [(owner, x) for owner in map(Owner, "ab") for x in CONFUSABLE] * 3
    random.Random(seed).shuffle(calls)
    for owner, x in calls:
        assert owner.f(x) == f"{owner.name} {type(x).__name__} {x!r}"


def test_every_nan_is_the_same_call() -> None:
    assert shown(float("nan")) is shown(-math.nan) is shown(math.inf - math.inf)


# ---- hostile arguments -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Liar, LiarThroughout, Unhashable, Bomb, SlowBomb])
def test_arguments_that_lie_or_raise_get_their_own_results(kind: type) -> None:
    assert [shown(1), shown(1)] == ["int 1", "int 1"]
    for name in ("a", "b", "a", "1"):
        assert shown(kind(name)) == f"{kind.__name__} {name}"
        assert shown(kind(name)) is shown(kind(name))
        assert shown(1) == "int 1"
        assert [shown_both(1, 2), shown_both(1, 2)] == ["int 1 2"] * 2
        assert shown_both(kind(name), 2) == f"{kind.__name__} {name} 2"


def test_a_class_that_may_add_to_a_plain_one_is_refused() -> None:
    shown("a")
    with pytest.raises(UnkeyableArgument, match="its class may add to what a str is; pass a plain str or give"):
        shown(LyingText("a"))


def test_arguments_without_a_stable_form_are_refused_with_the_remedies() -> None:
    assert refusal(shown, [{"deep": object()}], kind=UnkeyableArgument) == (
        "shown: parameter 'x' has no stable key: an object instance, at [0]['deep'], has no stable form: "
        "pass a value that stands for it; or pass key= or ignore=('x',)"
    )


@pytest.mark.parametrize(
    ("one", "same"),
    [
        ("x" * 3_000_000, "x" * 3_000_000),
        (10**6000, 10**6000),
        (list(range(200_000)), list(range(200_000))),
        (dict.fromkeys(range(50_000)), dict.fromkeys(reversed(range(50_000)))),
    ],
    ids=["text", "number", "list", "dict"],
)
def test_huge_arguments_are_arguments(one, same) -> None:
    @cached
    def f(x):
        return object()

    assert f(one) is f(same)


# ---- what is written ---------------------------------------------------------------------------------------------


def test_parameters_may_be_called_as_our_own_variables_are() -> None:
    @cached
    def f(entry, table, /, run, begin=4, *value, function, type=7, _memocache_run=8, _memocache__table=9, **error):
        return [*map(str, (entry, table, run, begin, value, function, type, _memocache_run, _memocache__table, error))]

    first = f(1, 2, 3, function=6, Exception=5)
    assert first == ["1", "2", "3", "4", "()", "6", "7", "8", "9", "{'Exception': 5}"]
    assert f(1, 2, run=3, function=6, Exception=5) is first
    assert f(1, 2, 3, function=6) is not first


@pytest.mark.parametrize("name", ["_memocache_call", "_memocache_counted", "_memocache_begin", "class", "a b", "<x>"])
def test_functions_may_be_called_anything(name: str) -> None:
    def f(x):
        return x * 7

    f.__name__ = name
    decorated = cached(f)
    assert decorated(2) == 14
    assert decorated.__name__ == name
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'x'"):
        decorated()


def test_a_traceback_shows_the_lines_and_ends_in_the_function() -> None:
    @cached
    def broken(x):
        raise ValueError(x)

    with pytest.raises(ValueError, match="1") as raised:
        broken(1)
    linecache.checkcache()
    test, ours, function = traceback.extract_tb(raised.value.__traceback__)
    assert test.line == "broken(1)"
    assert (ours.name, ours.line) == ("broken", "_memocache_value = _memocache_function(x)")
    assert ours.filename.startswith("<memocache tests.unit.test_call.")
    assert function.line == "raise ValueError(x)"
    assert raised.value.__context__ is None


def test_the_lines_leave_with_the_function() -> None:
    def written() -> set[str]:
        return {name for name in linecache.cache if "the_lines_leave" in name}

    f = cached(lambda: 1)
    assert written() == set()  # before the first call, for those that are never called
    f()
    (lines,) = written()
    del f
    gc.collect()
    assert lines in linecache.cache  # somebody may be going through them just now
    g = cached(lambda: 2)
    assert g() == 2
    assert lines not in written()
    assert len(written()) == 1


# ---- defaults without a form --------------------------------------------------------------------------------------

NOT_GIVEN = object()
WITHOUT_FORM = [NOT_GIVEN, threading.Lock(), lambda value: value, iter([1]), re.compile]


@pytest.mark.parametrize("default", WITHOUT_FORM, ids=lambda default: type(default).__name__)
@pytest.mark.parametrize("shared", [False, True], ids=["in process", "shared"])
def test_a_default_without_a_form_may_be_left_out(default: object, shared: bool, tmp_path: Path) -> None:
    cache = SQLiteCache(tmp_path / "cache.db") if shared else SimpleCache()
    computed = []

    @cached(timeout=60, cache=cache, namespace="test.default")
    def get(name, default=default, *, again=default):
        computed.append(name)
        return name

    assert [get("a"), get("a"), get("b"), get("a", again=default), get("a", default)] == ["a", "a", "b", "a", "a"]
    assert computed == ["a", "b"]
    assert get.uncache("a") is True
    for other in (None, "default0:", b"default0:"):  # what has a form is another call, whatever it looks like
        get("a", other)
    assert len(computed) == 5
    assert len({get.key("a"), get.key("a", None), get.key("a", b"default0:")}) == 3


@pytest.mark.parametrize("given", [{"default": object()}, {"again": object()}])
def test_another_value_without_a_form_is_refused(given: dict[str, object]) -> None:
    @cached
    def get(name, default=NOT_GIVEN, again=NOT_GIVEN):
        return name

    assert get("a") == "a"
    with pytest.raises(UnkeyableArgument, match=f"get: parameter '{next(iter(given))}' has no stable key"):
        get("a", **given)


# ---- threads ------------------------------------------------------------------------------------------------------


def test_the_first_calls_may_come_at_once() -> None:
    def first_calls() -> list[BaseException]:
        problems: list[BaseException] = []
        f = cached(cache=SimpleCache(), namespace="first", tags=("tag:{x}",))(lambda x, y=1: x)

        def call() -> None:
            try:
                random.choice((f.key, f.uncache, f.peek, f))(1)
            except BaseException as problem:  # noqa: BLE001
                problems.append(problem)

        at_once(4, call)
        return problems

    with quick_switches():
        assert [problem for _ in range(800) for problem in first_calls()] == []
