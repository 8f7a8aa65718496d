"""Methods, class methods, static methods, properties: every instance has results of its own."""

import functools
import gc
import sys
import types
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import wrapt

from memocache import MISSING, SimpleCache, UnkeyableArgument, cached, configure


class Shop:
    def __init__(self, name: str = "shop") -> None:
        self.name = name

    @cached
    def price(self, article, amount=1):
        return self.name, article, amount, object()

    @property
    @cached
    def title(self):
        return self.name, object()

    late = functools.cached_property(cached(lambda self: (self.name, object())))

    @cached
    @classmethod
    def made_above(cls, x):
        return cls, x, object()

    @classmethod
    @cached
    def made_below(cls, x):
        return cls, x, object()

    @cached
    @staticmethod
    def sum_above(x, y=1):
        return x, y, object()

    @staticmethod
    @cached
    def sum_below(x, y=1):
        return x, y, object()


class Market(Shop):
    @cached
    def price(self, article, amount=1):
        return "market", *super().price(article, amount)


# ---- methods -----------------------------------------------------------------------------------------------------


def test_each_instance_has_results_of_its_own() -> None:
    a, b = Shop("a"), Shop("b")
    assert a.price(1) is a.price(article=1, amount=1) is Shop.price(a, 1) is Shop.price(self=a, article=1)
    assert a.price(1)[:3] == ("a", 1, 1)
    assert b.price(1)[:3] == ("b", 1, 1)


def test_a_method_forgets_for_one_instance() -> None:
    a, b = Shop(), Shop()
    kept = b.price(1)
    for uncache in (a.price.uncache, functools.partial(Shop.price.uncache, a), functools.partial(b.price.uncache)):
        a.price(1), b.price(1)
        assert uncache(article=1) is True
        assert uncache(1) is False
    assert a.price(1) is not kept
    assert b.price(1) is not kept


def test_all_that_can_be_done_with_a_call_can_be_done_with_a_method() -> None:
    shop = Shop()
    assert shop.price.peek(1) is MISSING
    first = shop.price(1)
    assert shop.price.peek(1) is first
    assert shop.price.cache.get(shop.price.key(1)) is first
    assert shop.price.key(1) == Shop.price.key(shop, 1) != Shop().price.key(1)
    second = shop.price.refresh(1)
    assert shop.price(1) is second is not first
    shop.price.put("given", 1)
    assert Shop.price.peek(shop, 1) == "given"
    assert Shop.price.put("given too", shop, article=1) is None
    assert shop.price(1) == "given too"
    assert shop.price.info() == Shop.price.info() == shop.price.cache_info()
    shop.price.uncache_all()
    assert shop.price.peek(1) is MISSING
    shop.price.cache_clear()
    assert shop.price.info().misses == 0


def test_inherited_overridden_and_super_methods_do_not_share() -> None:
    shop, market = Shop("s"), Market("m")
    assert market.price(1)[:3] == ("market", "m", 1)
    assert market.price(1) is market.price(1)
    assert Shop.price(market, 1)[:2] == ("m", 1)
    assert shop.price(1)[:2] == ("s", 1)
    assert market.price.uncache(1)
    assert market.price(1)[1:] == Shop.price(market, 1)
    assert market.title[0] == "m"


def test_short_lived_instances_never_meet_each_other_s_results() -> None:
    used: set[int] = set()
    again = 0
    for start in range(0, 150, 50):
        shops = [Shop(str(number)) for number in range(start, start + 50)]
        names = [shop.name for shop in shops]
        assert [shop.price(1)[0] for shop in shops] == names
        assert [shop.price(1)[0] for shop in shops] == names
        assert [shop.title[0] for shop in shops] == names
        ids = set(map(id, shops))
        again += len(used & ids)
        used |= ids
        del shops
    assert again  # else this would not test anything


def test_nothing_keeps_an_instance_alive() -> None:
    shop = Shop()
    gone = weakref.ref(shop)
    shop.price(1), shop.price(1), shop.price.peek(1), shop.price.key(1), shop.price.info(), repr(shop.price)
    shop.price.put(2, 1), shop.price.refresh(2), shop.price.uncache(2), shop.title, shop.late
    with pytest.raises(UnkeyableArgument):
        shop.price(object())
    del shop
    gc.collect()
    assert gone() is None


class Node:
    """An instance to which results refer."""

    def __init__(self, parent: "Node | None" = None) -> None:
        self.parent = parent

    @cached(timeout=60)
    def itself(self) -> "Node":
        return self

    @cached(timeout=60)
    def child(self) -> "Node":
        return Node(self)


@pytest.mark.parametrize(
    "leave",
    [
        lambda call, cache: call.uncache(),
        lambda call, cache: call.uncache_all(),
        lambda call, cache: cache.clear(),
        lambda call, cache: cache.set_many({str(number): number for number in range(100)}),
    ],
    ids=["uncache", "uncache_all", "clear", "evicted"],
)
@pytest.mark.parametrize("name", ["itself", "child"])
def test_a_result_keeps_the_instance_that_it_refers_to_until_it_leaves(name: str, leave: Any) -> None:
    cache = SimpleCache(threshold=20)
    configure(cache)
    node = Node()
    gone = weakref.ref(node)
    getattr(node, name)()
    del node
    gc.collect()
    kept = gone()
    assert kept is not None
    leave(getattr(kept, name), cache)
    del kept
    gc.collect()
    assert gone() is None


# ---- properties --------------------------------------------------------------------------------------------------


def test_a_property_over_a_cached_method_is_kept_for_each_instance() -> None:
    a, b = Shop("a"), Shop("b")
    assert a.title is a.title
    assert [a.title[0], b.title[0]] == ["a", "b"]
    old = a.title
    assert Shop.title.fget.uncache(a)
    assert a.title is not old


def test_cached_property_works_over_a_cached_function() -> None:
    a, b = Shop("a"), Shop("b")
    assert a.late is a.late
    assert [a.late[0], b.late[0]] == ["a", "b"]


# ---- class methods and static methods ----------------------------------------------------------------------------


BELOW = pytest.param(
    "made_below", marks=pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python binds it by itself: see README")
)


@pytest.mark.parametrize("name", ["made_above", BELOW])
def test_a_class_method_has_results_for_each_class(name: str) -> None:
    on_shop, on_market = getattr(Shop, name), getattr(Market, name)
    assert on_shop(1)[:2] == (Shop, 1)
    assert on_market(1)[:2] == (Market, 1)
    assert on_shop(1) is on_shop(x=1) is getattr(Shop(), name)(1)
    assert getattr(super(Market, Market), name)(1) is on_market(1)
    assert on_shop.uncache(1) is True
    assert on_shop.peek(1) is MISSING
    assert on_market.peek(1)[0] is Market
    assert getattr(Market(), name).uncache(1) is True
    assert on_market.__self__ is Market


def test_what_python_makes_a_class_method_or_a_static_one_by_its_name_is_one() -> None:
    class Vector:
        made = ()

        @cached
        def __new__(cls, size):
            return super().__new__(cls)

        @cached
        def __class_getitem__(cls, size):
            return cls, size, object()

        @cached(ignore=("cls",))
        def __init_subclass__(cls, label):
            Vector.made += (label,)

    class Row(Vector, label="row"):
        pass

    class Column(Vector, label="row"):
        pass

    assert Vector.made == ("row",)
    assert Vector[3] is Vector[3]
    assert Row[3][:2] == (Row, 3)
    assert Row.__class_getitem__.uncache(3) is True
    assert Row(3) is Row(3)
    assert type(Column(3)) is Column
    assert Row(3).__new__.uncache(Row, 3) is True


def test_a_class_method_below_works_where_python_binds_it_by_itself() -> None:
    # Since Python 3.13 a classmethod does not ask the function inside to bind.
    class Owner:
        @classmethod
        @cached
        def made(cls, x):
            return cls, x

    function = Owner.__dict__["made"].__func__
    assert types.MethodType(function, Owner)(1) == (Owner, 1)
    assert function.peek(Owner, 1) == (Owner, 1)


@pytest.mark.parametrize("name", ["sum_above", "sum_below"])
def test_a_static_method_is_a_function(name: str) -> None:
    function = getattr(Shop, name)
    assert function(1) is function(x=1, y=1) is getattr(Shop(), name)(1) is getattr(Market, name)(1)
    assert function(1)[:2] == (1, 1)
    assert function(True)[:2] == (True, 1)
    assert getattr(Shop(), name).uncache(1) is True
    assert function.uncache(1) is False


# ---- callables ---------------------------------------------------------------------------------------------------


class Adder:
    def __init__(self, n: int) -> None:
        self.n = n

    def __call__(self, x):
        return self.n + x, object()

    def add(self, x):
        return self.n + x, object()


@pytest.mark.parametrize(
    "made", [lambda adder: adder, lambda adder: adder.add], ids=["callable object", "bound method"]
)
def test_callables_that_belong_to_an_object_do_not_share(made: Callable[[Adder], Callable[..., object]]) -> None:
    one, two = cached(made(Adder(1))), cached(made(Adder(2)))
    assert one(1) is one(x=1)
    assert [one(1)[0], two(1)[0]] == [2, 3]
    assert one.uncache(1) is True
    assert two.uncache(1) is True


def test_what_another_decorator_made_of_a_bound_method_is_part_of_it() -> None:
    class Owner:
        def __init__(self, n):
            self.n = n

        @wrapt.decorator
        def negative(wrapped, instance, args, kwargs):
            return -wrapped(*args, **kwargs)

        @negative
        def m(self, x):
            return self.n + x

    one, two = cached(Owner(1).m), cached(Owner(2).m)
    assert [one(1), two(1), one(1), two(1)] == [-2, -3, -2, -3]


def test_built_in_methods_of_different_objects_do_not_share() -> None:
    small, large = cached({1: "one"}.get), cached({1: "ONE"}.get)
    assert [small(1), large(1), small(2, "none"), large(2, "NONE")] == ["one", "ONE", "none", "NONE"]
    assert [cached("ab".upper)(), cached("cd".upper)()] == ["AB", "CD"]


def test_partials_and_lambdas_do_not_share() -> None:
    partials = [cached(functools.partial(pow, base)) for base in (2, 3)]
    assert [f(4) for f in partials] == [16, 81]
    lambdas = [cached(lambda x, n=n: (n, x)) for n in (2, 3)]
    assert [f(4) for f in lambdas] == [(2, 4), (3, 4)]
    closures = [cached(lambda x: (n, x)) for n in (2, 3)]  # noqa: B023 - on purpose
    assert closures[0] != closures[1]


def test_a_function_put_on_a_class_later_binds() -> None:
    class Late:
        pass

    @cached
    def whose(self, x):
        return self, x

    Late.whose = whose
    a, b = Late(), Late()
    assert a.whose(1) is a.whose(x=1)
    assert a.whose(1)[0] is a
    assert b.whose(1)[0] is b
    assert a.whose.uncache(1)


def test_a_built_in_method_put_on_a_class_binds() -> None:
    class Text(str):
        up = cached(str.upper)

    assert Text("a").up() == "A"
    assert Text("b").up.uncache() is False


def test_a_method_that_gathers_its_instance_is_refused_with_the_remedy() -> None:
    class Owner:
        @cached
        def m(*args):
            return args

    with pytest.raises(
        UnkeyableArgument, match=r"^.*m: parameter 'args' has no stable key: an Owner instance, at \[0\],"
    ):
        Owner().m(1)


def test_only_the_instance_of_a_method_counts_as_itself() -> None:
    """Another of its kind, given as an argument, has no stable key, as it would have none anywhere else."""

    class Point:
        @cached
        def distance(self, other):
            return 1

    with pytest.raises(UnkeyableArgument, match=r"^.*distance: parameter 'other' has no stable key: an? "):
        Point().distance(Point())


def test_a_method_without_room_for_its_instance_fails_as_it_would_by_itself() -> None:
    class Owner:
        @cached
        def m(*, a):
            return a

    assert Owner.m(a=1) == 1
    with pytest.raises(TypeError, match=r"m\(\) takes 0 positional arguments but 1"):
        Owner().m(a=1)
