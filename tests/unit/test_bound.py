"""A cached method of an instance looks like a method of an instance."""

import copy
import functools
import inspect
import pickle
import pydoc
import types
import typing

import pytest

from memocache import BoundCachedFunction, CachedFunction, ConfigurationError, cached


class Shop:
    def __init__(self, name: str = "shop") -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Shop) and self.name == other.name

    __hash__ = None

    @cached
    def price(self, article: int, amount: int = 1) -> int:
        """Return the price."""
        return article * amount

    price.__wrapped__.unit = "EUR"

    def plain(self, article: int, amount: int = 1) -> int:
        """Return the price."""
        return article * amount

    @cached
    @classmethod
    def made(cls, x: int) -> int:
        """Make one."""
        return x


PUBLIC = [name for name in dir(CachedFunction) if not name.startswith("_")]


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_of_a_function_is_the_bound_class_s_own(shop: Shop, name: str) -> None:
    # Else it would be looked up on the function, and work for another call.
    assert name in dir(BoundCachedFunction)
    assert inspect.getattr_static(BoundCachedFunction, name) is inspect.getattr_static(CachedFunction, name)
    assert hasattr(shop.price, name)


def test_what_is_public_of_a_function_is_what_is_documented() -> None:
    assert set(PUBLIC) == {
        *("uncache", "uncache_all", "uncache_where", "refresh", "peek", "put", "many", "key", "info", "cache"),
        *("entry", "code", "cache_info", "cache_clear"),
    }


def test_it_passes_for_an_ordinary_method(shop: Shop) -> None:
    method = shop.price
    assert isinstance(method, BoundCachedFunction)
    assert isinstance(method, types.MethodType)
    assert inspect.ismethod(method)
    assert inspect.isroutine(method)
    assert not inspect.isfunction(method)
    assert not inspect.iscoroutinefunction(method)
    assert callable(method)


def test_it_has_the_names_and_documents_of_the_method(shop: Shop) -> None:
    method, plain = shop.price, shop.plain
    assert inspect.signature(method) == inspect.signature(plain)
    assert typing.get_type_hints(method) == typing.get_type_hints(plain)
    assert inspect.getdoc(method) == method.__doc__ == "Return the price."
    assert method.__module__ == __name__
    assert (method.__name__, method.__qualname__) == ("price", "Shop.price")
    assert method.__annotations__ == {"article": int, "amount": int, "return": int}
    assert method.__self__ is shop
    assert method.__func__ is Shop.price
    assert method.__wrapped__(3, 2) == 6
    assert inspect.unwrap(method) == Shop.price.__wrapped__.__get__(shop)
    assert "@cached" in inspect.getsource(method)
    assert method.unit == "EUR"


def test_the_class_says_what_it_is_itself() -> None:
    assert BoundCachedFunction.__module__ == "memocache._function"
    assert BoundCachedFunction.__doc__.startswith("A cached method of one instance")
    assert pickle.loads(pickle.dumps(BoundCachedFunction)) is BoundCachedFunction


def test_help_shows_the_method(shop: Shop) -> None:
    text = pydoc.plain(pydoc.render_doc(shop.price))
    assert "price(article: int, amount: int = 1) -> int method of" in text


def test_equal_are_the_same_method_of_the_same_instance(shop: Shop) -> None:
    assert shop.price == shop.price
    assert hash(shop.price) == hash(shop.price)
    assert shop.price != Shop().price
    assert shop.price != shop.plain
    assert shop.price != Shop.price
    assert len({shop.price, shop.price, Shop().price}) == 2
    assert Shop.made == Shop.made


def test_it_has_no_attributes_of_its_own(shop: Shop) -> None:
    for method in (shop.plain, shop.price):
        with pytest.raises(AttributeError):
            method.note = 1
        with pytest.raises(AttributeError):
            method.__doc__ = "Another."
        with pytest.raises(AttributeError):
            method.nothing


def test_it_is_pickled_with_its_instance(shop: Shop) -> None:
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        method = pickle.loads(pickle.dumps(shop.price, protocol))
        assert isinstance(method, BoundCachedFunction)
        assert method.__self__ == shop
        assert method(2, 3) == 6
        assert pickle.loads(pickle.dumps(Shop.made, protocol)) == Shop.made


def test_copies_are_as_those_of_a_method(shop: Shop) -> None:
    assert copy.copy(shop.price) == shop.price
    deep = copy.deepcopy(shop.price)
    assert deep.__func__ is Shop.price
    assert deep.__self__ is not shop
    assert deep.__self__ == shop


def test_a_deep_copy_is_of_that_method_and_not_of_one_by_its_name(shop: Shop) -> None:
    class Market(Shop):
        @cached
        def price(self, article: int, amount: int = 1) -> int:
            return 2 * super().price(article, amount)

        @cached
        def __rent(self) -> str:
            return self.name

        size = cached(lambda self: len(self.name))

        def methods(self) -> list[typing.Any]:
            return [super().price, self.__rent, self.size, self.made]

    market = Market()
    market.kept = market.methods()
    copied = copy.deepcopy(market)
    copied.name = "copied"
    price, rent, size, made = copied.kept
    assert all(each.__self__ is copied for each in (price, rent, size))
    assert (price(3, 2), rent(), size(), made(1)) == (6, "copied", 6, 1)
    assert copied.kept == copied.methods()


def test_put_on_another_class_it_stays_bound(shop: Shop) -> None:
    class Other:
        price = shop.price

    assert Other().price.__self__ is shop
    assert Other().price(2) == 2


def test_a_partial_of_it_is_a_call_of_it(shop: Shop) -> None:
    triple = functools.partial(shop.price, amount=3)
    assert triple(2) == 6
    assert shop.price.peek(2, 3) == 6


def test_parameters_may_have_the_names_that_a_partial_uses() -> None:
    class Odd:
        @cached
        def m(this, self, func, args, call):
            return self, func, args, call

    odd = Odd()
    assert odd.m(self=1, func=2, args=3, call=4) == (1, 2, 3, 4)
    assert odd.m.peek(1, 2, call=4, args=3) == (1, 2, 3, 4)
    assert odd.m.uncache(self=1, func=2, args=3, call=4)


def test_its_repr_says_what_it_is(shop: Shop) -> None:
    assert repr(shop.price) == str(shop.price) == "<cached method Shop.price of a Shop>"

    class Invoice:
        @cached
        @classmethod
        def rates(cls) -> None: ...

        @cached
        def total(self) -> None: ...

    assert repr(Invoice().total).endswith(".Invoice.total of an Invoice>")
    assert repr(Invoice.rates) == f"<cached method {Invoice.__qualname__}.rates of class {Invoice.__qualname__}>"


def test_it_cannot_be_cached_again(shop: Shop) -> None:
    with pytest.raises(ConfigurationError, match=r"^Shop\.price is cached already; give one @cached all the options$"):
        cached(shop.price)
