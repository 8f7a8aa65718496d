"""Classes of others, for which a function says what stands for their instances in keys."""

import threading
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import pytest

import memocache
from memocache import Cache, ConfigurationError, UnkeyableArgument, cached
from memocache._canonical import _registered, encode, encode_in_process
from memocache.keys import register
from tests.support.threads import PATIENCE, Held, at_once, start
from tests.unit.canonical.samples import Keyed, Point, distinct_from_each_other, refusal


class Money:
    def __init__(self, amount: Any, currency: str = "EUR") -> None:
        self.amount, self.currency = amount, currency


class Coin(Money):
    pass


class Own(Money):
    def __cache_key__(self) -> object:
        return "own"


class NoLonger(Own):
    __cache_key__ = None  # type: ignore[assignment]


class OwnHeir(Own):
    pass


class Cents(int):
    pass


class Pair(NamedTuple):
    x: Any
    session: Any


class Meta(type):
    pass


def parts(money: Any) -> object:
    return money.amount, money.currency


@pytest.fixture(autouse=True)
def nothing_registered() -> Iterator[None]:
    yield
    _registered.clear()


def test_what_is_registered_counts_by_what_the_function_returns() -> None:
    memocache.keys.register(Money, parts)
    distinct_from_each_other(
        [Money(1), Money(2), Money("1"), Money(1, "USD"), Coin(1), Own(1), (1, "EUR"), Keyed((1, "EUR")), Money]
    )
    for encoded in (encode, encode_in_process):
        assert encoded([Money(1)]) == encoded([Money(1)])
        assert encoded(Own(1)) == encoded(Own(2))
    with pytest.raises(UnkeyableArgument):
        encode(NoLonger(1))


def test_the_most_derived_class_wins() -> None:
    register(Money, parts)
    register(Coin, lambda coin: coin.currency)
    register(OwnHeir, lambda own: "registered")
    assert encode(Coin(1)) == encode(Coin(2)) != encode(Coin(1, "USD"))
    assert encode(Money(1)) != encode(Money(2))
    assert b"registered" in encode(OwnHeir(1))
    assert b"own" in encode(Own(1))
    register(Own, lambda own: "of others")  # the application knows best
    assert b"of others" in encode(Own(1))
    instance = Coin(1)
    instance.__cache_key__ = 1  # type: ignore[attr-defined]
    assert encode(instance) != encode(Coin(1))


def test_it_goes_before_the_form_that_a_class_would_have() -> None:
    np = pytest.importorskip("numpy")
    register(Pair, lambda pair: pair.x)
    register(Cents, int)
    assert encode(Pair(1, object())) == encode(Pair(1, None)) != encode(Pair(2, None))
    distinct_from_each_other([Cents(1), Cents(2), 1])
    register(np.ndarray, lambda array: array.shape)
    assert encode(np.zeros(2)) == encode(np.ones(2)) != encode(np.zeros(3))


def test_it_may_be_replaced_by_name_only() -> None:
    register(Money, parts)
    for key in (parts, len):
        assert refusal(register, Money, key, kind=ConfigurationError) == (
            "keys.register(Money): it is registered already; pass replace=True to replace that"
        )
    register(Money, lambda money: money.currency, replace=True)
    assert encode(Money(1)) == encode(Money(2))


async def later(money: Any) -> object:
    return money.amount


WANTED = "wanted: a function that takes an instance"
ALONE = "key cannot be called with an instance alone; wanted: a function that can"


@pytest.mark.parametrize(
    ("kind", "key", "message"),
    [
        (Money, (1, 2), f"Money): key is a tuple; {WANTED}"),
        (Money, None, f"Money): key is a NoneType; {WANTED}"),
        (Money, later, f"Money): key is a coroutine function; {WANTED}"),
        (Money, lambda: 1, f"Money): {ALONE}"),
        (Money, lambda a, b: 1, f"Money): {ALONE}"),
        (Meta, id, "Meta): its instances are classes, which count by their names"),
        *(
            (kind, id, f"{kind.__name__}): it has a form already, which stays; leave the registration out")
            for kind in (int, str, list, dict, tuple, object, Decimal, type(None))
        ),
    ],
)
def test_what_cannot_be_registered_is_refused(kind: Any, key: Any, message: str) -> None:
    assert refusal(register, kind, key, kind=ConfigurationError) == f"keys.register({message}"
    with pytest.raises(
        ConfigurationError, match=r"register\(\) got 'Money'; wanted: a class, such as register\(Money, la"
    ):
        register("Money", parts)  # type: ignore[arg-type]
    assert not _registered


def test_a_result_without_a_form_is_refused_with_the_name_of_the_class() -> None:
    register(Money, lambda money: money.amount)
    assert refusal(encode, [Coin([threading.Lock()])]) == (
        "a lock instance, at [0]{the key registered for Money}[0], has no stable form: it is a tool and no data, so "
        "leave it out of the key"
    )
    register(Money, lambda money: money, replace=True)
    with pytest.raises(UnkeyableArgument, match="a Money contains itself: pass a value without cycles"):
        encode(Money(1))

    def fails(money: Money) -> object:
        raise LookupError("boom")

    register(Money, fails, replace=True)
    with pytest.raises(LookupError, match="boom"):
        encode(Money(1))


def test_functions_may_be_decorated_before_or_after(cache: Cache) -> None:
    def total(money: Any, times: int = 1) -> int:
        return 7

    before = cached(cache=cache, namespace="before")(total)
    with pytest.raises(UnkeyableArgument, match=r"a __cache_key__ method or use memocache\.keys\.register; or"):
        before(Money(1))
    register(Money, parts)
    after = cached(cache=cache, namespace="after")(total)
    for f in (before, after):
        for money in (Money(1), Money(1), Money(2)):
            f(money)
        assert (f.info().misses, f.info().hits) == (2, 1)
        assert f.uncache(Money(1)) is True
        assert f.uncache(Money(1)) is False


class Shop:
    def __init__(self, name: str) -> None:
        self.name = name

    @cached
    def price(self, article: int = 1) -> object:
        return object()

    @cached
    def alone(self) -> object:
        return object()


def test_a_hit_in_process_does_not_go_by_what_counted_before() -> None:
    one, same, other = Shop("a"), Shop("a"), Shop("b")
    old = [one.price(), one.price(), one.alone(), one.alone(), same.price(), other.price()]
    assert old[0] is old[1] is not old[4]
    register(Shop, lambda shop: shop.name)
    for method in ("price", "alone"):
        first, second, third = (getattr(shop, method)() for shop in (one, same, other))
        assert first is second is not third
        assert all(each is not first for each in old)
        assert getattr(same, method).uncache() is True
        assert getattr(one, method)() is not first
    register(Shop, lambda shop: "all", replace=True)
    assert one.price() is other.price()


def test_a_call_that_began_before_is_not_found_afterwards() -> None:
    held = Held(object)

    class Late:
        @cached
        def slow(self) -> object:
            return held()

    late = Late()
    began_before = start(late.slow)
    held.wait()
    register(Late, lambda late: "late")
    held.go()
    old, fresh = began_before.result(PATIENCE), late.slow()
    assert fresh is not old
    assert late.slow.uncache() is True
    assert late.slow() not in (fresh, old)


def test_of_many_threads_one_registers() -> None:
    refused: list[object] = []

    def attempt() -> None:
        try:
            register(Point, lambda point: point.x)
        except ConfigurationError as error:
            refused.append(error)

    at_once(8, attempt)
    assert len(refused) == 7
