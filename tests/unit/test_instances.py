"""What stands for a method's instance in a key, whatever sort of instance it is."""

import abc
import asyncio
import copy
import dataclasses
import enum
import functools
import gc
import pickle
import re
import sys
import threading
import weakref
from typing import Any

import pytest

from memocache import MISSING, ConfigurationError, MemcachedCache, UnkeyableArgument, cached, cached_functions
from tests.support.refusals import refusal
from tests.support.threads import at_once


class Slotted:
    __slots__ = ("__weakref__", "n")

    @cached
    def m(self):
        return self.n


class Unholdable:
    __slots__ = ("n",)

    @cached
    def m(self):
        return self.n


@dataclasses.dataclass(frozen=True)
class Frozen:
    n: int

    @cached
    def m(self):
        return self.n, object()


@dataclasses.dataclass(frozen=True, slots=True)
class FrozenSlots:
    n: int

    @cached
    def m(self):
        return self.n, object()


class EqualToAll:
    __hash__ = None

    def __eq__(self, other):
        return True

    @cached
    def m(self):
        return id(self)


class Proxy:
    def __getattr__(self, name):
        return name

    @cached
    def m(self):
        return id(self)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2

    @cached
    def m(self):
        return self.name


def test_slots_with_a_weak_reference_are_well() -> None:
    a, b = Slotted(), Slotted()
    a.n, b.n = 1, 2
    assert [a.m(), b.m(), a.m()] == [1, 2, 1]


def test_an_instance_that_cannot_be_held_weakly_is_refused_with_the_remedies() -> None:
    assert refusal(Unholdable().m, kind=UnkeyableArgument) == (
        "Unholdable.m: 'self' has no stable key and cannot be held weakly (give Unholdable '__weakref__' in "
        "__slots__); give Unholdable a __cache_key__ method, or pass key= or ignore=('self',)"
    )


@pytest.mark.parametrize("kind", [int, bytes])
def test_no_slot_is_advised_where_python_allows_none(kind: type) -> None:
    class Number(kind):
        m = cached(lambda self: self)

    if sys.version_info < (3, 15):
        with pytest.raises(TypeError, match="nonempty __slots__ not supported"):
            type("Slotted", (kind,), {"__slots__": ("__weakref__",)})
    owner = Number.__qualname__
    assert refusal(Number().m, kind=UnkeyableArgument).endswith(
        f"'self' has no stable key and cannot be held weakly; give {owner} a __cache_key__ method, or pass key= or "
        "ignore=('self',)"
    )


def test_frozen_dataclasses_are_instances_like_others() -> None:
    one, twin = Frozen(1), Frozen(1)
    assert one.m() is one.m()
    assert one.m() is not twin.m()


def test_a_dataclass_that_cannot_be_held_weakly_is_its_content() -> None:
    assert FrozenSlots(1).m() is FrozenSlots(1).m()
    assert FrozenSlots(2).m()[0] == 2


@pytest.mark.parametrize("kind", [EqualToAll, Proxy])
def test_the_instance_counts_and_not_what_it_says_it_equals_or_has(kind: type) -> None:
    a, b = kind(), kind()
    assert [a.m(), b.m(), a.m()] == [id(a), id(b), id(a)]


def test_members_of_an_enum_are_instances() -> None:
    assert [Colour.RED.m(), Colour.BLUE.m(), Colour.RED.m()] == ["RED", "BLUE", "RED"]


class Keyed:
    def __init__(self, key):
        self.key = key

    def __cache_key__(self):
        return self.key

    @cached
    def m(self, x=1):
        return object()


class KeyedSub(Keyed):
    pass


class KeyedByAttribute:
    @cached
    def m(self):
        return object()

    @cached
    def n(self):
        return object()


def test_instances_of_one_cache_key_and_class_share() -> None:
    assert Keyed(1).m() is Keyed(1).m(x=1)
    assert Keyed(1).m() is not Keyed(True).m()
    assert Keyed(1).m() is not KeyedSub(1).m()
    assert Keyed(1).m.uncache() is True


def test_the_cache_key_is_asked_for_each_call() -> None:
    keyed = Keyed(1)
    first = keyed.m()
    keyed.key = 2
    assert keyed.m() is not first
    keyed.key = 1
    assert keyed.m() is first


def test_a_cache_key_may_be_an_attribute() -> None:
    a, b, without = KeyedByAttribute(), KeyedByAttribute(), KeyedByAttribute()
    a.__cache_key__ = b.__cache_key__ = "same"
    assert a.m() is b.m() is not without.m()


def test_a_cache_key_may_come_later_and_change() -> None:
    keyed = KeyedByAttribute()
    keyed.m()
    keyed.__cache_key__ = 1
    first = keyed.n()
    assert keyed.n() is first
    keyed.__cache_key__ = 2
    assert keyed.n() is not first


def test_a_cache_key_without_a_stable_form_is_named() -> None:
    with pytest.raises(UnkeyableArgument, match=r"^Keyed\.m: parameter 'self' has no stable key: .*__cache_key__"):
        Keyed(object()).m()


def test_a_method_of_a_metaclass_knows_its_classes() -> None:
    class Meta(type):
        @cached
        def m(cls):
            return cls

        @property
        @cached
        def p(cls):
            return cls

    A, B = Meta("A", (), {}), Meta("B", (), {})
    assert [A.m(), B.m(), A.p, B.p] == [A, B, A, B]


def test_an_abstract_method_stays_abstract() -> None:
    class Base(abc.ABC):
        @cached
        @abc.abstractmethod
        def m(self): ...

    class Whole(Base):
        @cached
        def m(self):
            return 1

    with pytest.raises(TypeError, match="abstract"):
        Base()
    assert Whole().m() == 1


# ---- in a shared cache -------------------------------------------------------------------------------------------

NO_SERVER = MemcachedCache(["/nobody/listens"])


class Remote:
    @cached(cache=NO_SERVER)
    def total(self):
        return 1

    @cached(cache=NO_SERVER)
    @classmethod
    def made(cls):
        return 1

    @cached(cache=NO_SERVER, ignore=("self",))
    def plain(self, x):
        return 1


def test_an_instance_needs_a_stable_key_in_a_shared_cache() -> None:
    refusal = re.escape(
        "Remote.total: 'self' has no stable key; give Remote a __cache_key__ method, or pass key= or ignore=('self',)"
    )
    for call in (Remote().total, Remote().total.uncache, Remote().total.peek, Remote().total.key):
        with pytest.raises(UnkeyableArgument, match=f"^{refusal}$"):
            call()


def test_classes_and_ignored_instances_have_one() -> None:
    assert Remote.made.key() == Remote().made.key()
    assert Remote().plain.key(1) == Remote.plain.key(None, 1)


def test_a_local_class_has_none_and_the_error_says_why() -> None:
    class Local:
        made = Remote.__dict__["made"]

    with pytest.raises(UnkeyableArgument, match=r"^Remote\.made: parameter 'cls' has no stable key: .* is made"):
        Local.made.key()


def test_what_belongs_to_an_object_needs_a_namespace_in_a_shared_cache() -> None:
    with pytest.raises(ConfigurationError, match=r"^dict\.get belongs to an object, so that another process cannot"):
        cached(cache=NO_SERVER)({}.get)
    assert cached(cache=NO_SERVER, namespace="table")({}.get).key(1)


# ---- what is no instance -----------------------------------------------------------------------------------------


@dataclasses.dataclass
class Order:
    items: list[int]

    @cached
    def label(self):
        return object()

    @cached
    @staticmethod
    def sum_of(order):
        return sum(order.items)

    @staticmethod
    @cached
    def sum_above(order):
        return sum(order.items)

    @cached
    @staticmethod
    async def sum_later(order):
        return sum(order.items)

    @staticmethod
    @cached
    def __sum(order):
        return sum(order.items)

    private_sum = __sum


class UrgentOrder(Order):
    pass


class Report:
    @cached
    @staticmethod
    def total(order):
        return sum(order.items)

    @cached
    def total_of(self, order):
        return sum(order.items)


@cached
def described(order):
    return sum(order.items)


STATIC = [Order.sum_of, Order.sum_above, Order([]).sum_of, UrgentOrder.sum_above, Order.private_sum]
STATIC += [Report.total, Report().total_of, described]


@pytest.mark.parametrize("kind", [Order, UrgentOrder])
@pytest.mark.parametrize("has_token", [False, True], ids=["", "with a token"])
@pytest.mark.parametrize("number", range(len(STATIC)))
def test_an_argument_that_is_no_instance_is_its_content(number: int, has_token: bool, kind: type) -> None:
    total = STATIC[number]
    total.cache_clear()
    order, equal = kind([1]), kind([1])
    if has_token:
        assert order.label() is order.label()
    assert total(order) == total(order) == total(equal) == 1
    assert total.info().misses == 1
    order.items.append(2)
    assert total(order) == 3
    assert total(equal) == 1
    order.items.pop()
    assert total.uncache(order) is True
    assert total.peek(equal) is MISSING


def test_in_a_coroutine_method_too() -> None:
    async def sums() -> list[int]:
        order = Order([1])
        found = [await Order.sum_later(order)]
        order.items.append(2)
        return [*found, await order.sum_later(order)]

    assert asyncio.run(sums()) == [1, 3]


# ---- functions with a second name in a class ---------------------------------------------------------------------


@cached
def named_in_a_body(order):
    return sum(order.items), object()


@cached
def named_later(order):
    return sum(order.items), object()


class InABody(Order):
    hook = named_in_a_body


class Later(Order): ...


class OfAStaticMethod(Order): ...


class Elsewhere:
    @staticmethod
    @cached
    def describe(order):
        return sum(order.items), object()


Later.hook = named_later
OfAStaticMethod.hook = Elsewhere.describe
with_a_second_name = pytest.mark.parametrize(
    ("describe", "Named"),
    [(named_in_a_body, InABody), (named_later, Later), (Elsewhere.describe, OfAStaticMethod)],
    ids=["in a body", "later", "static elsewhere"],
)


@with_a_second_name
def test_a_name_in_a_class_does_not_change_what_the_function_counts(describe: Any, Named: Any) -> None:
    order, equal = Named([1]), Named([1])
    hooked = order.hook()
    assert describe(order) is describe(equal)  # by content
    assert order.hook() is hooked is not equal.hook()  # each instance by itself
    order.items.append(2)
    assert describe(order)[0] == 3
    assert order.hook() is hooked
    assert describe(equal)[0] == 1


@with_a_second_name
def test_through_the_class_it_is_the_same_as_through_an_instance(describe: Any, Named: Any) -> None:
    one, other = Named([1]), Named([1])
    first = one.hook()
    assert Named.hook(one) is first
    assert Named.hook(other) is not first
    assert Named.hook is Named.hook
    assert Named.hook == one.hook.__func__
    describe.unit = "kg"
    assert Named.hook.unit == one.hook.unit == "kg"
    assert Named.hook.uncache(one) is True
    assert one.hook.peek() is MISSING
    assert Named.hook(Order([1])) is describe(Order([1]))  # no instance of Named


@with_a_second_name
def test_both_names_are_counted_and_forgotten_together(describe: Any, Named: Any) -> None:
    one = Named([1])
    describe.cache_clear()
    one.hook(), one.hook(), describe(one), describe(one)
    assert (describe.info().misses, describe.info().hits) == (2, 2)
    assert one.hook.info() == Named.hook.info() == describe.info()
    describe.uncache_all()
    assert [one.hook.peek(), describe.peek(one)] == [MISSING] * 2
    assert sum(each == describe for each in cached_functions()) == 1


@with_a_second_name
def test_it_is_pickled_as_the_method_that_it_is(describe: Any, Named: Any) -> None:
    one = Named([1])
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps([describe, Named.hook], protocol)) == [describe, Named.hook]
        found = pickle.loads(pickle.dumps(Named.hook, protocol))
        assert found is Named.hook is not describe
        method = pickle.loads(pickle.dumps(one.hook, protocol))
        assert method.__func__ is Named.hook
        assert method.__self__ == one
        assert method() is Named.hook(method.__self__) is not one.hook()
    assert copy.copy(Named.hook) is copy.deepcopy(Named.hook) is Named.hook
    assert copy.deepcopy(one.hook).__self__ is not one


def test_a_class_that_gives_a_function_a_name_may_go() -> None:
    def classes() -> Any:
        class Named(Order):
            hook = named_in_a_body

        return Named, Named.hook

    Named, hook = classes()
    gone = weakref.ref(Named)
    assert Named([1]).hook()[0] == 1
    del Named
    gc.collect()
    assert gone() is None
    assert hook is not named_in_a_body


class MetByTwo:
    """A function of whose module two threads ask at the same time, each time that they do."""

    __slots__ = ("__dict__", "__qualname__", "__weakref__", "meeting")

    def __init__(self) -> None:
        self.__qualname__ = "Nowhere.label"
        self.meeting = threading.Barrier(2)

    @property
    def __module__(self) -> str:
        if threading.current_thread() is not threading.main_thread():
            self.meeting.wait(timeout=10)
        return __name__

    def __call__(self, order: Order) -> object:
        return object()


def test_threads_that_bind_it_first_at_once_have_one_method() -> None:
    label = cached(MetByTwo())

    class Named(Order):
        hook = label

    one, methods, bound = Named([1]), [], []

    def bind() -> None:
        bound.append(one.hook)
        methods.append(Named.hook)

    at_once(2, bind)
    assert methods[0] is methods[1] is Named.hook
    assert bound[0] == bound[1]
    label.unit = "kg"
    assert [each.unit for each in (*methods, *bound, one.hook)] == ["kg"] * 5
    assert bound[0]() is bound[1]() is one.hook() is not Named([1]).hook()
    assert (label.info().misses, label.info().hits) == (2, 2)
    assert one.hook.info() == label.info()


def test_a_method_that_has_a_name_in_another_class_counts_whatever_instance() -> None:
    class Other:
        name = Order.label

    one, two = Other(), Other()
    assert one.name() is one.name() is not two.name()
    assert Order([1]).label() is not Order([1]).label()


def test_a_method_of_a_closure_counts_its_instance() -> None:
    def made(n):
        @cached
        def method(self):
            return n, self.n, object()

        return method

    class Owner:
        one, two = made(1), made(2)

        def __init__(self, n):
            self.n = n

    a, b = Owner(1), Owner(2)
    assert [each()[:2] for each in (a.one, a.two, b.one, b.two)] == [(1, 1), (2, 1), (1, 2), (2, 2)]
    assert a.one() is a.one() is Owner.one(a)
    assert a.one.uncache() is True


class Held(Order):
    @functools.singledispatchmethod
    @cached
    def label_of(self, x):
        return "any", self.items[0]

    @label_of.register
    @cached
    def _(self, x: int):
        return "int", self.items[0]

    def _cents(self, x):
        return x, self.items[0]

    cents = functools.partialmethod(cached(_cents), 5)

    @functools.cached_property
    @cached
    def first(self):
        return self.items[0]


def test_a_method_that_another_descriptor_holds_counts_its_instance() -> None:
    one, other = Held([1]), Held([2])
    for _ in range(2):
        assert [each.label_of("a") for each in (one, other)] == [("any", 1), ("any", 2)]
        assert [each.label_of(7) for each in (one, other)] == [("int", 1), ("int", 2)]
        assert [each.cents() for each in (one, other)] == [(5, 1), (5, 2)]
        assert [each.first for each in (one, other)] == [1, 2]
    assert Held([1]) == one
    one.items.append(3)
    assert one.label_of(7) == ("int", 1)
