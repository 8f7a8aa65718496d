"""What can be done with a call besides making it, beyond what the contract asks of every cache."""

import copy
import pickle
import threading

import freezegun
import pytest

from memocache import MISSING, UnkeyableArgument, cached, cached_functions
from memocache._hooks import adapters
from tests.support.race import quick_switches


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


def test_uncache_refuses_what_can_be_no_key(numbered: Numbered) -> None:
    with pytest.raises(UnkeyableArgument, match="parameter 'x' has no stable key"):
        numbered.f.uncache(object())


# ---- peek --------------------------------------------------------------------------------------------------------


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


# ---- put and refresh ---------------------------------------------------------------------------------------------


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


@pytest.mark.parametrize("how", ["put", "refresh"])
@pytest.mark.parametrize(
    "options",
    [{"unless": lambda result: result is None}, {"timeout": lambda result: 0 if result is None else 60}],
    ids=["unless", "a timeout of 0"],
)
def test_what_is_not_to_be_stored_removes_what_was_there(options, how) -> None:
    results = [None, 1]
    f = cached(**options)(lambda x: results.pop())
    assert f(1) == 1
    assert (f.put(None, 1) if how == "put" else f.refresh(1)) is None
    assert f.peek(1) is MISSING
    assert f.info().currsize == 0


def test_put_shows_the_errors_of_the_user_s_functions_and_changes_nothing() -> None:
    f = Numbered(unless=lambda result: result[0] < 0).f
    f(1)
    with pytest.raises(TypeError):
        f.put(None, 1)
    assert f.peek(1) == (1, 0, 1)


# ---- all functions -----------------------------------------------------------------------------------------------


def test_the_functions_can_be_listed_while_others_are_decorated() -> None:
    kept, errors, is_over = [], [], threading.Event()

    def look() -> None:
        while not is_over.is_set():
            try:
                cached_functions(), adapters.functions()
            except RuntimeError as error:
                errors.append(error)
                return

    thread = threading.Thread(target=look)
    with quick_switches():
        thread.start()
        try:
            for number in range(300):
                kept.append(cached(lambda: 1))
                del kept[: -100 if number % 2 else 0]
        finally:
            is_over.set()
            thread.join()
    assert errors == []
