"""A cached function is called as the function itself is, and looks like it."""

import gc
import inspect
import pickle
import pydoc
import types
import typing
import weakref

import pytest

import memocache
from memocache import CachedFunction, cached


@cached
def area(width: int, height: int = 1) -> int:
    """Return the area.

    And more about it.
    """
    return width * height


# ---- the spellings of cached -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "decorator",
    [cached, cached(), cached(300), cached("5m", "{x}"), cached(None), cached(timeout=300), cached(key="{x}")],
    ids=["bare", "empty", "a timeout", "timeout and key", "None", "timeout=", "key="],
)
def test_every_spelling_of_the_decorator_decorates(decorator: typing.Any) -> None:
    computed = []

    @decorator
    def double(x: int) -> int:
        computed.append(x)
        return 2 * x

    assert isinstance(double, CachedFunction)
    assert [double(2), double(2), double(3)] == [4, 4, 6]
    assert computed == [2, 3]


def test_one_decorator_may_decorate_many_functions() -> None:
    for_a_minute = cached("1m")
    first, second = for_a_minute(lambda: 1), for_a_minute(lambda: 2)
    assert [first(), second(), first(), second()] == [1, 2, 1, 2]


# ---- calls -------------------------------------------------------------------------------------------------------


def test_equal_calls_share_a_result_however_they_are_spelt() -> None:
    @cached
    def f(a, b=2, *, c=3):
        return object()

    spellings = [f(1), f(1, 2), f(1, b=2), f(a=1), f(b=2, a=1), f(1, c=3), f(c=3, b=2, a=1), f(*(1,), b=2)]
    assert len(set(map(id, spellings))) == 1
    assert f(1, c=4) is not f(1)
    assert f(2, 1) is not f(1, 2)


def test_positional_only_parameters_are_left_so() -> None:
    @cached
    def f(a, /, b=2, **rest):
        return a, b, rest

    assert f(1) == f(1, b=2) == (1, 2, {})
    assert f(1, a=5) == (1, 2, {"a": 5})
    assert f(1, a=6) == (1, 2, {"a": 6})
    with pytest.raises(TypeError, match=r"f\(\) missing 1 required positional argument: 'a'"):
        f(a=1)


def test_gathered_arguments_count_one_by_one() -> None:
    @cached
    def f(*args, **kwargs):
        return args, kwargs, object()

    assert f(1, 2, x=1, y=2) is f(1, 2, y=2, x=1)
    assert f(1, 2) is not f((1, 2))
    assert f(1, 2)[0] == (1, 2)
    assert f() is f()
    assert f(a=1) is not f(b=1)
    assert f({"a": 1}) is not f(a=1)


def test_keyword_only_parameters_follow_gathered_ones() -> None:
    @cached
    def f(a, *args, b, c=3, **kwargs):
        return a, args, b, c, kwargs

    assert f(1, 2, b=3) == (1, (2,), 3, 3, {})
    assert f(1, b=3, d=4) == (1, (), 3, 3, {"d": 4})


def test_defaults_are_the_very_objects() -> None:
    marker = [1]

    @cached
    def f(x=marker):
        return x

    assert f() is marker


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [((), {}), ((1, 2, 3), {}), ((1,), {"depth": 3}), ((1,), {"width": 1})],
    ids=["missing", "too many", "unknown", "twice"],
)
def test_a_wrong_call_gets_the_error_of_the_function_itself(args, kwargs) -> None:
    with pytest.raises(TypeError) as plain:
        area.__wrapped__(*args, **kwargs)
    for call in (area, area.uncache, area.refresh, area.peek, area.key):
        with pytest.raises(TypeError) as ours:
            call(*args, **kwargs)
        assert str(ours.value) == str(plain.value)
    with pytest.raises(TypeError) as ours:
        area.put(1, *args, **kwargs)
    assert str(ours.value) == str(plain.value)


def test_a_parameter_may_be_called_self_or_value() -> None:
    @cached
    def f(self, value):
        return self, value

    assert f(self=1, value=2) == (1, 2)
    assert f.peek(self=1, value=2) == (1, 2)
    assert f.key(self=1, value=2) == f.key(1, 2)
    f.put(5, self=1, value=2)
    assert f(1, 2) == 5
    assert f.refresh(self=1, value=2) == (1, 2)
    assert f.uncache(self=1, value=2) is True


# ---- looks -------------------------------------------------------------------------------------------------------


def test_it_has_the_names_and_documents_of_the_function() -> None:
    plain = area.__wrapped__
    for name in ("__name__", "__qualname__", "__module__", "__doc__", "__annotations__", "__defaults__", "__code__"):
        assert getattr(area, name) == getattr(plain, name), name
    assert inspect.signature(area) == inspect.signature(plain)
    assert typing.get_type_hints(area) == {"width": int, "height": int, "return": int}
    assert inspect.getdoc(area) == inspect.getdoc(plain)
    assert inspect.getsource(area) == inspect.getsource(plain)
    assert inspect.unwrap(area) is plain


def test_it_passes_for_an_ordinary_function() -> None:
    assert isinstance(area, types.FunctionType)
    assert isinstance(area, CachedFunction)
    assert callable(area)
    assert inspect.isfunction(area)
    assert inspect.isroutine(area)
    assert not inspect.iscoroutinefunction(area)
    assert not inspect.isgeneratorfunction(area)
    assert area.__call__(2, 3) == 6


def test_its_annotations_survive_that_somebody_looks_at_those_of_its_class() -> None:
    assert CachedFunction.__annotations__ == {}
    assert area.__annotations__["width"] is int
    area.__annotations__ = {**area.__annotations__, "depth": int}
    assert area.__wrapped__.__annotations__.pop("depth") is int


@pytest.mark.parametrize("thing", ["CachedFunction", "BoundCachedFunction", "cached", "SimpleCache"])
def test_help_explains_what_is_public(thing: str) -> None:
    assert "memocache" in pydoc.plain(pydoc.render_doc(getattr(memocache, thing)))


def test_a_local_function_cannot_be_pickled_as_any_other() -> None:
    @cached
    def local():
        return 1

    with pytest.raises((AttributeError, pickle.PicklingError)):
        pickle.dumps(local)


def test_attributes_are_those_of_the_function() -> None:
    def f():
        return 1

    f.colour = "red"
    decorated = cached(f)
    assert decorated.colour == "red"
    decorated.size = 3
    assert f.size == 3
    assert not hasattr(decorated, "weight")


def test_its_repr_says_what_it_is() -> None:
    assert repr(area) == str(area) == "<cached function area>"


def test_it_can_be_held_weakly_and_leaves_with_its_last_reference() -> None:
    def make():
        @cached
        def f(x):
            return x

        f(1)
        f(1)
        return weakref.ref(f), weakref.ref(f.__wrapped__)

    gone = make()
    gc.collect()
    assert [reference() for reference in gone] == [None, None]
