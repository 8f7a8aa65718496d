"""The hit in C: that it leaves to the written call what is not certain, and what may happen in the middle of it.

That it does what the written call does is compared in test_parity.py, its references are in test_hit_references.py.
"""

import contextlib
import datetime as dt
import gc
import importlib
import inspect
import os
import subprocess
import sys
import time
import types
import weakref
from collections.abc import Callable
from typing import Any, Final

import freezegun
import pytest
import time_machine

from memocache import CachedFunction, SimpleCache, cached
from memocache._entry import Entry, EntryScope
from memocache._native import hit
from tests.support.selection import ROOT
from tests.support.servers import skip_or_fail
from tests.support.threads import at_once

CALLS: Final = 10_000
SOURCE: Final = ROOT / "memocache" / "_hit.c"


@pytest.fixture(autouse=True)
def compiled() -> None:
    if hit is None and os.environ.get("MEMOCACHE_PURE"):
        pytest.skip("MEMOCACHE_PURE says to use nothing that is compiled")
    if hit is None:
        skip_or_fail("memocache._hit was not built: there was no compiler when it was installed")


def printed(code: str, **environ: str) -> str:
    """Return what *code* prints in an interpreter of its own, with *environ* in its environment besides."""
    words = [sys.executable, "-c", code]
    run = subprocess.run(words, env={**os.environ, **environ}, capture_output=True, text=True, check=True)
    return run.stdout


class Account:
    @cached(cache=SimpleCache())
    def rows(self, page, *, size=10):
        return [self, page, size]


# ---- references --------------------------------------------------------------------------------------------------


def test_a_function_in_a_cycle_goes() -> None:
    def made() -> "tuple[weakref.ref[Any], weakref.ref[Any]]":
        f = cached(cache=SimpleCache())(lambda a: f)
        assert f(1) is f(1) is f
        return weakref.ref(f), weakref.ref(f.__wrapped__)

    found = made()
    gc.collect()
    assert [each() for each in found] == [None, None]


def test_an_entry_in_a_cycle_goes_and_a_long_chain_of_entries_does_not_crash() -> None:
    class Value:
        pass

    value = Value()
    entry = Entry("key", value, 1.0)
    value.entry = entry  # type: ignore[attr-defined]
    gone = weakref.ref(value)
    del value, entry
    gc.collect()
    assert gone() is None
    chain: Any = None
    for _ in range(200_000):
        chain = Entry("key", chain, 1.0)
    del chain


PLAIN = [None, True, 7, 1.5, "text", b"bytes"]
OTHERS = [(), [], {}, object(), 1j, type("Number", (int,), {})(7), type("Text", (str,), {})("text"), int]


@pytest.mark.parametrize("value", PLAIN + OTHERS, ids=lambda value: type(value).__name__)
def test_the_garbage_collector_goes_through_entries_that_may_lead_to_others(value: Any) -> None:
    is_plain = any(value is each for each in PLAIN)
    entry = Entry("key", value, 1.0, scope=EntryScope(("all",)))
    assert isinstance(entry, Entry)
    assert gc.is_tracked(entry) is not is_plain
    assert gc.is_tracked(Entry(type("Key", (str,), {})("key"), value, 1.0))
    assert gc.is_tracked(Entry("key", value=value, serve_until=1.0))
    if is_plain:
        with pytest.raises(TypeError, match="cannot have such a key or value"):
            entry.__init__("key", [value], 2.0)  # type: ignore[misc]
    assert entry.value is value
    assert entry.serve_until == entry.expires_at == 1.0


@pytest.mark.parametrize("name", ["key", "value", "scope"])
def test_nobody_can_set_what_an_entry_leads_to(name: str) -> None:
    entry = Entry("key", 7, 1.0)
    with pytest.raises(AttributeError):
        setattr(entry, name, [entry])
    with pytest.raises(AttributeError):
        delattr(entry, name)


@pytest.mark.parametrize("value", [7, [7]], ids=str)
def test_a_cache_goes_with_its_function_and_entries(value: Any) -> None:
    cache = SimpleCache()
    f = cached(cache=cache, tags=("a:{a}",))(lambda a, b=2: value)
    assert [f(n) for n in range(9)] == [value] * 9
    entry = next(iter(f._self_table.values()))
    gone = [weakref.ref(each) for each in (cache, f, entry.scope)]
    del cache, f, entry
    gc.collect()
    assert [each() for each in gone] == [None] * 3


@pytest.mark.parametrize("name", ["_self_names", "_self_defaults", "_self_tokens"])
def test_what_a_call_reads_without_a_look_nobody_can_set(name: str) -> None:
    f = cached(cache=SimpleCache())(lambda a, b=2: [a, b])
    first = f(1)
    with pytest.raises(AttributeError):
        delattr(f, name)
    setattr(f, name, ())  # as any other attribute of that name
    assert f(a=1) is first


@pytest.mark.parametrize("name", ["_self_table", "_self_call", "_self_binder"])
@pytest.mark.parametrize("new", [None, (), 7, []])
def test_fields_of_other_types_do_not_crash(name: str, new: object) -> None:
    f = cached(cache=SimpleCache())(lambda a, b=2: [a, b])
    f(1)
    setattr(f, name, new)
    for call in (lambda: f(1), lambda: f(a=2), lambda: f.__get__(7, int)):
        with contextlib.suppress(TypeError):
            call()
    delattr(f, name)
    assert f(1) == [1, 2]


# ---- code of the user's in the middle of it ----------------------------------------------------------------------


class Key:
    """An argument that does something when it is compared."""

    def __init__(self, deed: Callable[[], object]) -> None:
        self.deed = deed

    def __hash__(self) -> int:
        return 7

    def __eq__(self, other: object) -> bool:
        self.deed()
        return True


@pytest.mark.parametrize("number", [1, 2])
def test_an_interrupt_in_a_comparison_reaches_the_caller(number: int) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    f = cached(cache=SimpleCache())((lambda a: a) if number == 1 else (lambda a, b=0: a))
    f(7)
    with pytest.raises(KeyboardInterrupt):
        f(Key(interrupt))


@pytest.mark.parametrize("number", [1, 2])
def test_what_is_forgotten_in_the_middle_of_its_look_up_does_not_crash(number: int) -> None:
    f = cached(cache=SimpleCache())((lambda a: [a]) if number == 1 else (lambda a, b=0: [a]))

    def forget() -> None:
        f.uncache_all()
        gc.collect()

    for _ in range(100):
        f(7)
        with pytest.raises(TypeError):  # no form: it is never served what was stored for 7
            f(Key(forget))


def test_a_destructor_in_the_middle_may_call_and_forget() -> None:
    f = cached(cache=SimpleCache())(lambda a: Last(a))
    over: list[bool] = []

    class Last:
        def __init__(self, number: int) -> None:
            self.number = number

        def __del__(self) -> None:
            if over:
                return
            if self.number < 50:
                f(self.number + 1)
            f.uncache(self.number)

    for number in range(20):
        f(number)
        f.uncache_all()
    over.append(True)
    gc.collect()


def test_threads_hit_and_forget_at_once() -> None:
    f = cached(cache=SimpleCache(threshold=8))(lambda a, b=0: [a, b])
    failed: list[object] = []

    def call() -> None:
        for number in range(CALLS):
            a = number % 16
            if f(a) != [a, 0]:
                failed.append(a)
            if number % 7 == 0:
                f.uncache(a)

    at_once(4, call)
    assert not failed


# ---- the clock ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("move", [freezegun.freeze_time, time_machine.travel])
def test_a_moved_clock_ends_an_entry(move: Any) -> None:
    f = cached(cache=SimpleCache(), timeout=60)(lambda a: [a])
    first = f(1)
    with move(dt.datetime.now() + dt.timedelta(seconds=30)):
        assert f(1) is first
    with move(dt.datetime.now() + dt.timedelta(seconds=90)):
        assert f(1) is not first


MOVED_EARLY: Final = """
import datetime as dt, time_machine
then = dt.datetime(2030, 1, 1)
with time_machine.travel(then, tick={tick}):
    from memocache import SimpleCache, cached
    f = cached(cache=SimpleCache(), timeout=60)(lambda a: [a])
    first = f(1)
with time_machine.travel(then + dt.timedelta(hours=1)):
    print(f(1) is first)
"""


@pytest.mark.parametrize("tick", [True, False])
def test_a_clock_that_was_moved_before_the_import_ends_an_entry(tick: bool) -> None:
    code = MOVED_EARLY.format(tick=tick)
    assert printed(code) == "False\n"


def test_a_clock_that_raises_is_left_to_the_written_call(monkeypatch: pytest.MonkeyPatch) -> None:
    f = cached(cache=SimpleCache(), timeout=60)(lambda a: [a])
    f(1)

    def broken() -> float:
        raise OSError("no clock")

    with monkeypatch.context() as patch:
        patch.setattr(time, "time", broken)
        with pytest.raises(OSError, match="no clock"):
            f(1)


# ---- calls that are none -----------------------------------------------------------------------------------------


def test_a_call_that_python_refuses_is_refused_though_its_arguments_lead_to_an_entry() -> None:
    f = cached(cache=SimpleCache())(lambda a, /, b, *, c=0: [a, b, c])
    f(1, 2, c=3)
    f(1, 2)
    refusals = (
        lambda: f(1, 2, 3),
        lambda: f(a=1, b=2),
        lambda: f(1, 2, b=2),
        lambda: f(1, 2, d=3),
        lambda: f(1),
        lambda: f(1, c=3),
    )
    for call in refusals:
        with pytest.raises(TypeError, match=r"<lambda>\(\) "):
            call()
    assert f.info().hits == 0


def test_a_name_that_is_not_interned_is_as_good() -> None:
    f = cached(cache=SimpleCache())(lambda width: [width])
    assert f(**{"".join(["wi", "dth"]): 1}) is f(1)


IMPORTED_AGAIN: Final = """
import sys
from memocache import SimpleCache, cached

class Account:
    @cached(cache=SimpleCache())
    def rows(self):
        return [self]

first, other = Account(), Account()
first.rows()
for name in [name for name in sys.modules if name.startswith("memocache") and name != "memocache._hit"]:
    del sys.modules[name]
from memocache import _function, _instances
_instances.token(other)  # the first one here, as that of `first` was the first one there
print(other.rows() == [other])
"""


def test_another_import_of_the_package_has_tokens_of_its_own() -> None:
    assert printed(IMPORTED_AGAIN) == "True\n"


IN_ANOTHER_INTERPRETER: Final = """
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
import sys
from memocache import SimpleCache, cached
from memocache._native import hit

f = cached(cache=SimpleCache())(lambda a: [a])
first = f(1)
code = f'''
import sys
sys.path[:] = {sys.path!r}
from memocache._native import hit
from memocache import SimpleCache, cached
f = cached(cache=SimpleCache())(lambda a: [a])
print(hit, f(1) is f(1), flush=True)
'''
try:
    other = interpreters.create("legacy")
except TypeError:
    other = interpreters.create(isolated=False)
interpreters.run_string(other, code)
interpreters.destroy(other)
print(hit is None, f(1) is first)
"""


def test_in_another_interpreter_calls_begin_in_python() -> None:
    assert printed(IN_ANOTHER_INTERPRETER) == "None True\nFalse True\n"


def test_it_may_be_imported_again() -> None:
    f = cached(cache=SimpleCache())(lambda a, b=2: [a, b])
    first = f(1)
    del sys.modules["memocache._hit"]
    try:
        again = importlib.import_module("memocache._hit")
    finally:
        sys.modules["memocache._hit"] = hit
    assert again.Entry is hit.Entry is Entry
    assert f(1) is first


# ---- what it is --------------------------------------------------------------------------------------------------


def test_a_method_is_called_without_being_bound() -> None:
    account = Account()
    account.rows(1)
    bound: list[object] = []
    sys.setprofile(lambda frame, event, arg: bound.append(frame.f_code.co_name) if event == "call" else None)
    try:
        account.rows(1)
    finally:
        sys.setprofile(None)
    assert bound == []
    assert account.rows.uncache(1)


def test_it_is_the_class_that_users_know() -> None:
    f = cached(lambda a: a)
    assert isinstance(f, CachedFunction)
    assert isinstance(f, types.FunctionType)
    assert isinstance(Account.__dict__["rows"], CachedFunction)
    with pytest.raises(TypeError, match="not an acceptable base type"):
        type("More", (type(f),), {})


def test_its_call_as_an_attribute_is_that_of_the_function() -> None:
    f = cached(cache=SimpleCache())(lambda a, b=2: [a, b])

    @cached(cache=SimpleCache())
    async def g(a: int) -> int:
        return a

    assert str(inspect.signature(f.__call__)) == "(a, b=2)"
    assert inspect.iscoroutinefunction(g.__call__)
    assert f.__call__(1) is f.__call__(a=1) is f(1)
    assert f.info().hits == 2


def test_who_asks_above_its_class_for_the_call_gets_its_own_and_changes_no_other() -> None:
    f = cached(cache=SimpleCache())(lambda a: ["f", a])
    assert super(type(f), f).__call__(1) == ["f", 1]
    g = cached(cache=SimpleCache())(lambda a: ["g", a])
    assert [f(1), g(1)] == [["f", 1], ["g", 1]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: hit.prepare(len, len, len, None), "this is no cached function"),
        (lambda: hit.serve(len, {}, (), (), 0, 0, -1, {}), "this is no cached function"),
        (lambda: hit.become(len, type(cached(len))), "this is no cached function"),
        (lambda: hit.become(cached(lambda: 0), int), "this is no type of that function's kind"),
        (
            lambda: hit.serve(cached(lambda: 0), {}, ("a",), (), 0, 1, -1, {}),
            "no parameters of a function that can be served",
        ),
        (lambda: hit.function_type(int, are_methods=False), "all kinds of cached functions have to be of one size"),
        (lambda: hit.function_type(type("Managed", (), {}), are_methods=False), "with a dict in it"),
    ],
)
def test_what_is_not_its_own_is_refused(call: Callable[[], object], message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_above_a_wrapt_without_its_extension_calls_begin_in_python() -> None:
    code = """if True:
        from memocache import SimpleCache, cached
        class Account:
            @cached(cache=SimpleCache())
            def rows(self):
                return [self]
        account = Account()
        account.rows()
        Account.rows.note = 1
        print(account.rows() == [account], type(Account.rows).__flags__ >> 11 & 1)
    """
    assert printed(code, WRAPT_DISABLE_EXTENSIONS="1") == "True 0\n"  # no vectorcall


def test_an_environment_variable_says_not_to_use_it() -> None:
    code = "from memocache._native import hit; from memocache import cached; print(hit, cached(lambda a: a)(1))"
    assert printed(code, MEMOCACHE_PURE="1") == "None 1\n"
