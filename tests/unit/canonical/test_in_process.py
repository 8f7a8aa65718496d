"""Classes and functions as arguments: that object in process; what is found under its name on shared caches."""

import collections
import dataclasses
import enum
import functools
import gc
import sys
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from memocache import Cache, SimpleCache, UnkeyableArgument, cached
from memocache._canonical import encode, encode_in_process
from tests.unit.canonical.samples import DISTINCT, Text, distinct_from_each_other

HERE = sys.modules[__name__]


def define(name: str, made: Any) -> Any:
    """Return *made*, under this *name* in this module: as a cell of a notebook does that is run again."""
    made.__qualname__ = name
    setattr(HERE, name, made)
    return made


# ---- members of an Enum ----------------------------------------------------------------------------------------------


@classmethod  # type: ignore[misc]
def unknown(cls: Any, value: object) -> Any:
    """Return a member for any value."""
    kind = cls._member_type_
    made = object.__new__(cls) if kind is object else kind.__new__(cls, value)
    made._name_, made._value_ = "UNKNOWN", value
    return made


class Status(enum.Enum):
    OPEN = "open"
    _missing_ = unknown


class TextStatus(enum.StrEnum):
    OPEN = "open"
    _missing_ = unknown


class Number(enum.IntEnum):
    ONE = 1
    _missing_ = unknown


class Rule(enum.Enum):
    DOUBLE = enum.member(lambda n: 2 * n)
    HALF = enum.member(lambda n: n // 2)
    _missing_ = unknown


@pytest.mark.parametrize("members", [("archived", "deleted"), ("archived", "open")])
@pytest.mark.parametrize("kind", [Status, TextStatus])
def test_members_that_missing_makes_differ_by_their_values(cache: Cache, kind: Any, members: tuple[str, str]) -> None:
    @cached(cache=cache, namespace="test")
    def count(status: Any) -> str:
        return f"rows with {status.value}"

    for _ in range(2):
        assert [count(kind(each)) for each in members] == [f"rows with {each}" for each in members]
    assert count.info().misses == 2


def test_members_that_are_numbers_differ_by_their_values(cache: Cache) -> None:
    @cached(cache=cache, namespace="test")
    def double(number: Number) -> int:
        return 2 * number.value

    assert [double(Number(each)) for each in (1, 2, 3, 2)] == [2, 4, 6, 4]


def test_a_declared_member_counts_by_its_name() -> None:
    assert encode(Rule.DOUBLE) == encode(Rule["DOUBLE"]) != encode(Rule.HALF)
    with pytest.raises(UnkeyableArgument, match=r"a lambda, at \.value, has no stable form"):
        encode(Rule(lambda n: n))


def test_an_enum_that_is_defined_again_with_other_values_is_another_argument_in_process() -> None:
    @cached(cache=SimpleCache(), namespace="test")
    def rate(plan: Any) -> int:
        return int(plan.value * 2)

    for value in (1, 50):
        define("Plan", enum.Enum("Plan", {"GOLD": value}, module=__name__))
        assert rate(HERE.Plan.GOLD) == 2 * value


# ---- classes and functions that are defined again --------------------------------------------------------------------


def class_with(result: int) -> Any:
    class Rule:
        @staticmethod
        def apply() -> int:
            return result

    return Rule


def dataclass_with(factor: int) -> Any:
    @dataclasses.dataclass
    class Order:
        price: int

        def total(self) -> int:
            return factor * self.price

    return Order


def function_with(result: int) -> Any:
    def rule() -> int:
        return result

    return rule


@pytest.mark.parametrize(
    ("make", "given", "use"),
    [
        (class_with, lambda: HERE.Again, lambda rule: rule.apply()),
        (function_with, lambda: HERE.Again, lambda rule: rule()),
        (dataclass_with, lambda: HERE.Again(1), lambda order: order.total()),
    ],
    ids=["class", "function", "instance"],
)
def test_what_is_defined_again_is_another_argument(make: Any, given: Callable[[], Any], use: Any) -> None:
    @cached(cache=SimpleCache())
    def result_of(thing: Any) -> int:
        return int(use(thing))

    for result in (1, 2):
        define("Again", make(result))
        assert result_of(given()) == result_of(given()) == result
    assert result_of.info().hits == 2


def test_both_are_arguments_where_the_name_is_that_of_one() -> None:
    @cached(cache=SimpleCache())
    def call(rule: Any) -> int:
        return int(rule())

    old = define("replaced", function_with(1))
    new = define("replaced", function_with(2))
    assert (call(old), call(new), call(old)) == (1, 2, 1)
    with pytest.raises(UnkeyableArgument, match="it is not what is found as"):
        encode(old)


class Unbound:
    """A proxy that stands for nothing, as those of web frameworks do outside of a request."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError


@pytest.mark.parametrize("path", ["hidden", "hidden.Inner"])
def test_a_proxy_that_stands_for_nothing_is_not_it(path: str) -> None:
    rule = define("hidden", class_with(1))
    rule.__qualname__ = path
    HERE.hidden = Unbound()
    with pytest.raises(UnkeyableArgument, match="it is not what is found as"):
        encode(rule)
    assert encode_in_process(rule) != encode_in_process(class_with(1))


# ---- what is made inside a function ----------------------------------------------------------------------------------


def test_a_local_class_is_an_argument_in_process_by_the_class_object() -> None:
    class Local:
        def __cache_key__(self) -> int:
            return 1

    Pair = collections.namedtuple("Pair", "x y")  # found under no name

    @cached(cache=SimpleCache())
    def name(thing: Any) -> str:
        return str(type(thing))

    assert name(Local()) == name(Local()) == str(Local)
    assert name(Pair(1, 2)) == name(Pair(1, 2)) == str(Pair)
    assert (name(Local), name(Pair)) == (str(type), str(type))
    assert name(class_with) == name(function_with(1)) == str(type(define))
    assert (name.info().misses, name.info().hits) == (6, 2)


def decorated(decorate: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    """Return a local function, decorated, and as a method of an instance and of a class."""

    def rule(*first: object) -> int:
        return len(first)

    class Shop:
        method = decorate(rule)
        of_class = cached(classmethod(rule)) if decorate is cached else classmethod(decorate(rule))

        def __cache_key__(self) -> int:
            return 1

    return decorate(rule), Shop().method, Shop.of_class


@pytest.mark.parametrize("decorate", [cached, functools.lru_cache], ids=["cached", "lru_cache"])
def test_a_local_function_that_is_decorated_is_an_argument_in_process_as_others_are(
    decorate: Callable[[Any], Any],
) -> None:
    @cached(cache=SimpleCache())
    def call(function: Any) -> tuple[int, object]:
        return function(), object()

    ones, others = decorated(decorate), decorated(decorate)
    plain = [ones[0].__wrapped__, others[0].__wrapped__]
    found = [call(each) for each in (*ones, *others, *plain)]
    assert [result for result, _ in found] == [0, 1, 1] * 2 + [0, 0]
    assert len({id(mark) for _, mark in found}) == 8
    assert [call(each) for each in (ones[0], others[0])] == [found[0], found[3]]


def test_a_method_that_is_cached_is_an_argument_by_its_instance_and_its_function() -> None:
    @cached(cache=SimpleCache())
    def call(function: Any) -> object:
        return object()

    _, method, of_class = decorated(cached)
    same = type(method.__self__)()
    assert call(method) is call(same.method)
    assert call(of_class) is call(same.of_class) is not call(method)


def test_local_classes_of_one_name_are_different_arguments() -> None:
    @cached(cache=SimpleCache())
    def total(order: Any) -> int:
        return int(order.total())

    assert [total(dataclass_with(factor)(10)) for factor in (1, 2, 3)] == [10, 20, 30]


@pytest.mark.parametrize("cache", ["shared"], indirect=True)
def test_a_shared_cache_needs_names(cache: Cache) -> None:
    @cached(cache=cache, namespace="test")
    def call(thing: Any) -> None: ...

    for thing, message in [
        (dataclass_with(1), "the class dataclass_with.<locals>.Order has no stable form: it is made inside a function"),
        (dataclass_with(1)(1), "an Order instance has no stable form: its class is made inside a function"),
        (function_with(1), "the function function_with.<locals>.rule has no stable form: it is made inside a function"),
        (cached(function_with(1)), "the function function_with.<locals>.rule has no stable form: it is made inside"),
        (
            decorated(cached)[2],
            "the class decorated.<locals>.Shop, at .__self__, has no stable form: it is made inside",
        ),
    ]:
        with pytest.raises(UnkeyableArgument, match=message):
            call(thing)


@pytest.mark.parametrize("encoded", [encode, encode_in_process])
def test_a_lambda_is_refused_everywhere_since_it_is_mostly_a_new_one(encoded: Callable[[object], bytes]) -> None:
    with pytest.raises(UnkeyableArgument, match="a lambda has no stable form: pass a function"):
        encoded(lambda: 1)


def test_what_is_neither_a_class_nor_a_function_is_refused_with_the_same_words() -> None:
    for value in (Text("a"), object(), [iter([])]):
        with pytest.raises(UnkeyableArgument) as everywhere:
            encode(value)
        with pytest.raises(UnkeyableArgument) as here:
            encode_in_process(value)
        assert str(here.value) == str(everywhere.value)


def test_different_values_have_different_bytes_in_process_too() -> None:
    distinct_from_each_other(DISTINCT, encode_in_process)


def test_it_does_not_keep_a_class_alive() -> None:
    kind = dataclass_with(1)
    encode_in_process([kind, kind(1)])
    reference = weakref.ref(kind)
    del kind
    gc.collect()
    assert reference() is None


def test_numbers_that_all_have_one_hash_are_not_kept_in_a_table() -> None:
    modulus = sys.hash_info.modulus

    @cached(cache=SimpleCache(threshold=10_000))
    def double(number: int, other: int = 0) -> int:
        return 2 * number

    for number in (5, modulus, -modulus, modulus * 2**40, modulus - 1, 1 - modulus):
        assert double(number) == double(number) == 2 * number
    assert (double.info().misses, double.info().hits) == (6, 6)
    table = double._self_memoizer._fast_index.table  # type: ignore[attr-defined]
    assert set(table) == {(5, 0), (modulus - 1, 0), (1 - modulus, 0)}
