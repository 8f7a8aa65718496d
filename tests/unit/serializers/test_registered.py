"""Classes of other people: written and read as their users say, by nobody else's name."""

from typing import Any

import pytest
from msgspec.msgpack import Ext, encode

from memocache.errors import ConfigurationError
from memocache.serializers import SafeSerializer, _records, register
from memocache.serializers._extensions import Code
from tests.unit.serializers.samples import Owner, refusal

SAFE = SafeSerializer()


class Money:
    def __init__(self, amount: Any, currency: str) -> None:
        self.amount, self.currency = amount, currency

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and vars(other) == vars(self)

    __hash__ = None  # type: ignore[assignment]


class Coin(Money):
    pass


class Purse:
    def __init__(self, coins: list[Money]) -> None:
        self.coins = coins


@pytest.fixture(autouse=True)
def nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_records, "_registered", {})


def dump(money: Money) -> object:
    return money.amount, money.currency


def load(parts: Any) -> Money:
    return Money(*parts)


async def later(money: Money) -> object:
    return money.amount


def test_a_registered_class_comes_back() -> None:
    register(Money, dump, load)
    register(Purse, lambda purse: purse.coins, Purse)
    for amount in (5, {1: (2, 3)}, "\ud800", None):
        assert SAFE.loads(SAFE.dumps([Money(amount, "EUR")], b""), b"") == [Money(amount, "EUR")]
    back: Any = SAFE.loads(SAFE.dumps(Purse([Money(1, "EUR"), Money(2, "USD")]), b""), b"")
    assert back.coins == [Money(1, "EUR"), Money(2, "USD")]


def test_it_is_read_where_it_is_registered_only() -> None:
    register(Money, dump, load)
    data = SAFE.dumps(Money(1, "EUR"), b"")
    _records._registered.clear()
    assert "was not named" in refusal(SAFE.loads, data, b"")


def test_a_subclass_is_registered_by_itself() -> None:
    register(Money, dump, load)
    assert refusal(SAFE.dumps, [Coin(1, "EUR")], b"") == (
        f"value[0] is of type {__name__}.Coin, which has no form as bytes; register it, as Money is; or return that"
    )
    register(Coin, dump, lambda parts: Coin(*parts))
    assert SAFE.loads(SAFE.dumps(Coin(1, "EUR"), b""), b"") == Coin(1, "EUR")


def test_a_dump_that_cannot_be_written_is_refused() -> None:
    register(Money, lambda money: {"parts": [money.amount]}, load)
    assert refusal(SAFE.dumps, [Money(print, "EUR")], b"").startswith(
        "value[0].dump()['parts'][0] is of type builtin_function_or_method, which has no form as bytes"
    )
    register(Money, lambda money: money, load, replace=True)
    assert "levels deep or in a cycle" in refusal(SAFE.dumps, Money(1, "EUR"), b"")
    register(Money, lambda money: 1 / 0, load, replace=True)
    assert refusal(SAFE.dumps, Money(1, "EUR"), b"") == (
        f"value is of type {__name__}.Money, which is registered with a dump that raised ZeroDivisionError;"
        " let it return plain data"
    )


@pytest.mark.parametrize(("load", "problem"), [
    (lambda parts: 1 / 0, "its load raised ZeroDivisionError"), (lambda parts: None, "its load returned a NoneType"),
    (lambda parts: Coin(*parts), "its load returned a Coin"),
])  # fmt: skip
def test_what_cannot_be_loaded_is_no_value(load: Any, problem: str) -> None:
    register(Money, dump, load)
    data = SAFE.dumps(Money(1, "EUR"), b"")
    assert refusal(SAFE.loads, data, b"") == f"the bytes hold {__name__}.Money of another shape: {problem}"


def test_forged_content_meets_the_load_and_nothing_else() -> None:
    register(Money, dump, load)
    for content in ([], {"a": 1}, None, "x", [1, 2, 3]):
        forged = encode(Ext(Code.OBJECT, encode([f"{__name__}.Money", content])))
        assert "of another shape: its load raised TypeError" in refusal(SAFE.loads, forged, b"")


def test_a_record_may_be_registered_before_and_after_it_was_named() -> None:
    serializer = SafeSerializer(types=[Owner])
    before = serializer.dumps(Owner("o"), b"")
    register(Owner, lambda owner: owner.name, Owner)
    after = serializer.dumps(Owner("o"), b"")
    assert before != after
    assert serializer.loads(after, b"") == Owner("o")


@pytest.mark.parametrize(("arguments", "message"), [
    (("Money", dump, load), "register() got 'Money'; wanted: a class, such as register(Money, dump, load)"),
    ((Money, None, load), "register(Money): dump is a NoneType; wanted: a function"),
    ((Money, dump, 5), "register(Money): load is an int; wanted: a function"),
    ((Money, later, load), "register(Money): dump is a coroutine function; wanted: a function"),
    ((dict, dump, load), "register(dict): it is kept as it is; leave the registration out"),
])  # fmt: skip
def test_what_cannot_be_registered_is_refused(arguments: Any, message: str) -> None:
    assert refusal(register, *arguments, kind=ConfigurationError) == message


def test_a_second_registration_is_refused() -> None:
    register(Money, dump, load)
    assert refusal(register, Money, dump, load, kind=ConfigurationError) == (
        f"register(Money): {__name__}.Money is registered already; pass replace=True to replace that"
    )
    register(Money, lambda money: money.currency, lambda currency: Money(0, currency), replace=True)
    assert SAFE.loads(SAFE.dumps(Money(1, "EUR"), b""), b"") == Money(0, "EUR")
