"""What can be done with a call besides making it: uncache, refresh, peek, put, key; and the figures."""

import copy
import pickle
import re
import sys
import threading

import freezegun
import pytest

from memocache import MISSING, SimpleCache, UnkeyableArgument, cached, cached_functions
from memocache._hooks import adapters


class Numbered:
    """A function that counts its computations: each gives (arguments, number)."""

    def __init__(self, **options):
        self.computed = 0

        @cached(**options)
        def f(x, y=0):
            self.computed += 1
            return x, y, self.computed

        self.f = f


@pytest.fixture
def numbered() -> Numbered:
    return Numbered()


# ---- uncache -----------------------------------------------------------------------------------------------------


def test_uncache_forgets_exactly_this_call_and_says_whether_there_was_one(numbered: Numbered) -> None:
    f = numbered.f
    f(1), f(2)
    assert f.uncache(y=0, x=1) is True
    assert f.uncache(1) is False
    assert f(2) == (2, 0, 2)
    assert f(1) == (1, 0, 3)


def test_uncache_without_arguments_is_the_call_without_arguments() -> None:
    @cached
    def f(*args):
        return object()

    kept, gone = f(1), f()
    assert f.uncache() is True
    assert f(1) is kept
    assert f() is not gone


def test_uncache_of_an_expired_result_has_nothing_to_forget() -> None:
    with freezegun.freeze_time() as clock:
        f = Numbered(timeout=5).f
        f(1)
        clock.tick(5)
        assert f.uncache(1) is False


def test_uncache_in_the_middle_of_the_computation_keeps_its_result_out() -> None:
    @cached
    def f(x):
        assert f.uncache(x) is True
        return object()

    assert f(1) is not f(1)
    assert f.info().stored == 0


def test_uncache_all_forgets_every_call_of_this_function_and_of_no_other(numbered: Numbered) -> None:
    f, other = numbered.f, Numbered().f
    f(1), f(2), other(1)
    assert f.uncache_all() is None
    assert [f.peek(1), f.peek(2)] == [MISSING, MISSING]
    assert other.peek(1) == (1, 0, 1)


def test_uncache_refuses_what_can_be_no_key(numbered: Numbered) -> None:
    with pytest.raises(UnkeyableArgument, match="parameter 'x' has no stable key"):
        numbered.f.uncache(object())


# ---- peek --------------------------------------------------------------------------------------------------------


def test_peek_shows_what_is_stored_and_never_computes(numbered: Numbered) -> None:
    f = numbered.f
    assert f.peek(1) is MISSING
    assert numbered.computed == 0
    f(1)
    assert f.peek(x=1) == (1, 0, 1)
    assert f.peek(1, 1) is MISSING


def test_peek_tells_a_stored_none_from_nothing() -> None:
    @cached
    def f():
        return None

    assert f.peek() is MISSING
    assert f() is None
    assert f.peek() is None


def test_peek_does_not_show_what_has_expired() -> None:
    with freezegun.freeze_time() as clock:
        f = Numbered(timeout=5).f
        f(1)
        clock.tick(4.9)
        assert f.peek(1) == (1, 0, 1)
        clock.tick(0.1)
        assert f.peek(1) is MISSING


def test_peek_counts_nothing(numbered: Numbered) -> None:
    f = numbered.f
    f(1)
    before = f.info()
    f.peek(1), f.peek(2)
    assert f.info() == before


def test_missing_is_one_false_thing_with_a_name() -> None:
    assert repr(MISSING) == "MISSING"
    assert not MISSING
    assert copy.deepcopy(MISSING) is MISSING
    assert pickle.loads(pickle.dumps(MISSING)) is MISSING
    assert type(MISSING)("MISSING") is MISSING
    # As the releases before have written it.
    assert pickle.loads(b"cmemocache._missing\nMISSING\n.") is MISSING


# ---- put ---------------------------------------------------------------------------------------------------------


def test_put_stores_a_result_without_computing(numbered: Numbered) -> None:
    f = numbered.f
    assert f.put("given", 1) is None
    assert f(1) == f(x=1, y=0) == "given"
    assert numbered.computed == 0


def test_put_replaces_what_is_there_also_where_a_shortcut_led_to_it(numbered: Numbered) -> None:
    f = numbered.f
    f(1), f(1)
    f.put("given", 1)
    assert [f(1), f(1)] == ["given", "given"]


def test_put_lives_as_long_as_a_computed_result() -> None:
    with freezegun.freeze_time() as clock:
        f = Numbered(timeout=5).f
        f.put("given", 1)
        clock.tick(5)
        assert f(1) == (1, 0, 1)


@pytest.mark.parametrize(
    "options",
    [{"unless": lambda result: result is None}, {"timeout": lambda result: 0 if result is None else 60}],
    ids=["unless", "a timeout of 0"],
)
def test_put_of_what_is_not_to_be_stored_removes_what_was_there(options) -> None:
    f = Numbered(**options).f
    f(1)
    f.put(None, 1)
    assert f.peek(1) is MISSING
    assert f.info().currsize == 0


def test_put_shows_the_errors_of_the_user_s_functions_and_changes_nothing() -> None:
    f = Numbered(unless=lambda result: result[0] < 0).f
    f(1)
    with pytest.raises(TypeError):
        f.put(None, 1)
    assert f.peek(1) == (1, 0, 1)


# ---- refresh -----------------------------------------------------------------------------------------------------


def test_refresh_computes_now_and_stores(numbered: Numbered) -> None:
    f = numbered.f
    assert f(1) == (1, 0, 1)
    assert f.refresh(x=1) == (1, 0, 2)
    assert f(1) == (1, 0, 2)
    assert f.refresh(2) == f(2) == (2, 0, 3)


def test_readers_are_served_the_old_result_during_a_refresh() -> None:
    seen = []

    @cached
    def f(x):
        seen.append(f.peek(x))
        return len(seen) if len(seen) < 2 else (f(x), len(seen))

    assert f(1) == 1
    assert f.refresh(1) == (1, 2)
    assert seen == [MISSING, 1]
    assert f(1) == (1, 2)


def test_a_refresh_that_raises_keeps_the_old_result() -> None:
    results = [1]

    @cached
    def f():
        return results.pop()

    assert f() == 1
    with pytest.raises(IndexError):
        f.refresh()
    assert f() == 1
    results.append(2)
    assert f.refresh() == f() == 2


def test_a_refresh_whose_result_is_not_to_be_stored_removes_the_old_one() -> None:
    results = [None, 1]

    @cached(unless=lambda result: result is None)
    def f():
        return results.pop()

    assert f() == 1
    assert f.refresh() is None
    assert f.peek() is MISSING


# ---- key and cache -----------------------------------------------------------------------------------------------


def test_the_key_opens_the_cache(numbered: Numbered, fresh_default: SimpleCache) -> None:
    f = numbered.f
    f(7)
    assert f.cache is fresh_default
    assert f.cache.get(f.key(7)) == (7, 0, 1)
    assert f.cache.has(f.key(x=7, y=0))
    assert not f.cache.has(f.key(8))
    assert f.cache.delete(f.key(7))
    assert f(7) == (7, 0, 2)


def test_the_key_is_short_readable_ascii(numbered: Numbered) -> None:
    key = numbered.f.key("Ω" * 10_000)
    shared = numbered.f.cache.shared
    assert re.fullmatch(r"v1:tests\.test_function\.[ -~]+:[0-9a-f]{32}" if shared else "v1:[0-9A-Za-z+/]{22}==", key)
    assert len(key) < 250


def test_the_functions_can_be_listed_while_others_are_decorated() -> None:
    kept, errors, is_over = [], [], threading.Event()

    def look() -> None:
        while not is_over.is_set():
            try:
                cached_functions(), adapters.functions()
            except RuntimeError as error:
                errors.append(error)
                return

    former = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=look)
    try:
        thread.start()
        for number in range(300):
            kept.append(cached(lambda: 1))
            del kept[: -100 if number % 2 else 0]
    finally:
        is_over.set()
        thread.join()
        sys.setswitchinterval(former)
    assert errors == []
