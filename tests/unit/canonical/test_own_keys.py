import dataclasses
import enum
import unittest.mock
from typing import Any

import pytest

from memocache._canonical import encode
from memocache.errors import UnkeyableArgument
from tests.unit.canonical.samples import ByInstance, Keyed


class ByAttribute:
    __cache_key__ = ("by", "attribute")


class ByProperty:
    @property
    def __cache_key__(self) -> Any:
        return ("by", "property")


class BySlot:
    __slots__ = ("__cache_key__",)


class KeyedInt(int):
    def __cache_key__(self) -> Any:
        return int(self)


class KeyedColour(enum.Enum):
    RED = 1

    def __cache_key__(self) -> Any:
        return "always"


@dataclasses.dataclass
class KeyedPair:
    x: Any
    connection: Any

    def __cache_key__(self) -> Any:
        return self.x


class KeyedType(type):
    def __cache_key__(cls) -> Any:
        return cls.version


class OfKeyedType(metaclass=KeyedType):
    version = 1


class NoLongerKeyed(Keyed):
    __cache_key__ = None


class SaysYesToAll:
    def __getattr__(self, name: str) -> Any:
        return lambda: 1


def test_the_own_key_is_what_counts() -> None:
    assert encode(KeyedPair(1, object())) == encode(KeyedPair(1, object())) != encode(KeyedPair(2, None))
    assert encode(ByAttribute()) == encode(ByAttribute())
    assert encode(ByProperty()) != encode(ByAttribute())
    assert encode(ByInstance(1)) == encode(ByInstance(1)) == encode(ByInstance(lambda: 1)) != encode(ByInstance(2))
    assert encode(KeyedInt(1)) != encode(KeyedInt(2))
    assert encode(KeyedInt(1)) != encode(1)
    slotted = BySlot()
    slotted.__cache_key__ = 1
    assert encode(slotted) == encode(slotted)


def test_the_own_key_goes_before_every_other_form() -> None:
    assert b"always" in encode(KeyedColour.RED)


def test_a_class_is_keyed_by_its_name_and_its_own_key_by_its_metaclass() -> None:
    assert encode(Keyed) == b"class39:tests.unit.canonical.stored_calls.Keyed"
    before = encode(OfKeyedType)
    OfKeyedType.version += 1
    assert encode(OfKeyedType) != before
    with pytest.raises(UnkeyableArgument, match=r"^an OfKeyedType instance has no stable form"):
        encode(OfKeyedType())


@pytest.mark.parametrize("error", [RuntimeError("boom"), UnkeyableArgument("boom"), RecursionError("boom")])
def test_an_error_of_the_own_key_comes_through_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught:
        encode([Keyed(1), ByInstance(unittest.mock.Mock(side_effect=error))])
    assert caught.value is error


def test_an_own_key_that_is_missing_an_attribute_says_so() -> None:
    with pytest.raises(AttributeError):
        encode(BySlot())


def test_only_a_declared_own_key_counts() -> None:
    for value in (SaysYesToAll(), NoLongerKeyed(1), unittest.mock.Mock(), unittest.mock.MagicMock()):
        with pytest.raises(UnkeyableArgument):
            encode(value)
