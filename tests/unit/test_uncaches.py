"""@uncaches: what a function changes is forgotten once it has returned, and not if it raised."""

import asyncio
import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from memocache import MISSING, Cache, MemcachedCache, UncacheFailed, UnkeyableArgument, cached, uncaches
from tests.support.refusals import refusal
from tests.support.servers import MemcachedServer
from tests.support.threads import start


class Shop:
    """Prices, a cached function that reads one, and writers that change one."""

    def __init__(self, cache: Cache, *, awaited: bool, **options: Any) -> None:
        self.prices = {("tea", "EUR"): 3, ("tea", "GBP"): 2, ("cake", "EUR"): 5}
        self.cache = cache

        def price(name: str, currency: str = "EUR") -> int:
            return self.prices[name, currency]

        async def awaited_price(name: str, currency: str = "EUR") -> int:
            return self.prices[name, currency]

        self.price: Any = cached(cache=cache, namespace="price", **options)(awaited_price if awaited else price)

    def shown(self) -> list[int]:
        return [done(self.price(*each)) for each in self.prices]


def done(result: Any) -> Any:
    async def main() -> Any:
        return await result

    return asyncio.run(main()) if asyncio.iscoroutine(result) else result


def writer(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return *function*, or a coroutine function of the same parameters."""
    if kind == "function":
        return function

    @functools.wraps(function)
    async def awaited(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return awaited


@pytest.fixture(params=["function", "coroutine"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=[False, True], ids=["of a function", "of a coroutine function"])
def shop(request: pytest.FixtureRequest, cache: Cache) -> Shop:
    return Shop(cache, awaited=request.param, tags=("name:{name}",))


@pytest.mark.parametrize(
    ("options", "seen"),
    [
        ({}, [30, 2, 5]),
        ({"call": ("{name}", "{currency}")}, [30, 2, 5]),
        ({"call": ("{name}",)}, [30, 2, 5]),
        ({"call": {"name": "{name}", "currency": "GBP"}}, [3, 20, 5]),
        ({"call": {"currency": "{currency}", "name": "t{prefix}a"}}, [30, 2, 5]),
        ({"call": lambda name, currency, new, prefix="e": (name, currency)}, [30, 2, 5]),
        ({"call": lambda name, *more: {"name": name, "currency": "GBP"}}, [3, 20, 5]),
        ({"call": lambda name, *more, **others: [(name, "GBP"), ("cake",)]}, [3, 20, 50]),
        ({"call": lambda *args, **others: None}, [3, 2, 5]),
        ({"call": "name:{name}"}, [30, 20, 5]),
        ({"every": True}, [30, 20, 50]),
    ],
    ids=[
        *("same names", "tuple", "default left out", "dict", "text with a name in it"),
        *("function", "function to dict", "function to list", "function to None", "tag", "every"),
    ],
)
def test_what_is_said_is_forgotten(shop: Shop, kind: str, options: dict[str, Any], seen: list[int]) -> None:
    def change(name: str, currency: str, new: int, prefix: str = "e") -> str:
        shop.prices = {each: 10 * price for each, price in shop.prices.items()}
        return f"{name} costs {new}"

    decorated = uncaches(shop.price, **options)(writer(kind, change))
    assert shop.shown() == [3, 2, 5]
    assert done(decorated("tea", currency="EUR", new=30)) == "tea costs 30"
    assert shop.shown() == seen


def test_it_is_forgotten_after_the_change_and_not_before(shop: Shop, kind: str) -> None:
    """Who forgets first lets the old price be stored again: the negative control is below."""

    def change(name: str, currency: str, new: int) -> None:
        shop.prices[name, currency] = new

    def change_and_read(name: str, currency: str, new: int) -> None:
        during.append(start(lambda: done(shop.price(name))).result())
        change(name, currency, new)

    during: list[int] = []
    done(uncaches(shop.price)(writer(kind, change_and_read))("tea", "EUR", 4))
    assert during == [3]
    assert done(shop.price("tea")) == 4

    def naive(name: str, currency: str, new: int) -> None:
        done(shop.price.uncache(name))
        change_and_read(name, currency, new)

    naive("tea", "EUR", 5)
    assert done(shop.price("tea")) == 4


def test_who_raises_forgets_nothing(shop: Shop, kind: str) -> None:
    def change(name: str, currency: str, new: int) -> None:
        shop.prices[name, currency] = new
        raise LookupError(name)

    decorated = uncaches(shop.price)(writer(kind, change))
    assert shop.shown() == [3, 2, 5]
    with pytest.raises(LookupError):
        done(decorated("tea", "EUR", 4))
    assert shop.shown() == [3, 2, 5]


def test_after_a_commit(shop: Shop, kind: str) -> None:
    def change(name: str, currency: str, new: int) -> None:
        shop.prices[name, currency] = new

    on_commit: list[Callable[[], None]] = []
    decorated = uncaches(shop.price, after=on_commit.append)(writer(kind, change))
    assert shop.shown() == [3, 2, 5]
    done(decorated("tea", "EUR", 4))
    assert shop.shown() == [3, 2, 5]
    (forget,) = on_commit
    forget()
    assert shop.shown() == [4, 2, 5]


def test_a_hook_of_a_coroutine_function_may_be_awaited(shop: Shop) -> None:
    async def at_once(forget: Callable[[], None]) -> None:
        await asyncio.to_thread(forget)

    @uncaches(shop.price, after=at_once)
    async def change(name: str, currency: str, new: int) -> None:
        shop.prices[name, currency] = new

    assert shop.shown() == [3, 2, 5]
    done(change("tea", "EUR", 4))
    assert shop.shown() == [4, 2, 5]


def test_several_functions_are_named_one_above_the_other(cache: Cache) -> None:
    shop, other = Shop(cache, awaited=False), Shop(cache, awaited=False)

    @uncaches(shop.price)
    @uncaches(other.price, every=True)
    def change(name: str, currency: str, new: int) -> None:
        shop.prices[name, currency] = other.prices[name, currency] = new

    assert (shop.shown(), other.shown()) == ([3, 2, 5], [3, 2, 5])
    change("tea", "EUR", 4)
    assert (shop.shown(), other.shown()) == ([4, 2, 5], [4, 2, 5])


class Account:
    def __init__(self, number: int) -> None:
        self.number, self.balance = number, 0

    def __cache_key__(self) -> int:
        return self.number

    @cached
    def total(self, currency: str = "EUR") -> int:
        return self.balance

    @uncaches(total, ("{self}",))
    def deposit(self, amount: int) -> None:
        """Pay in."""
        self.balance += amount

    @uncaches(total, lambda cls, account, amount: (account,))
    @classmethod
    def move(cls, account: "Account", amount: int) -> None:
        account.balance += amount

    @uncaches(total, lambda account: (account,))
    @staticmethod
    def close(account: "Account") -> None:
        account.balance = 0


def test_methods() -> None:
    account, other = Account(1), Account(2)
    assert (account.total(), other.total()) == (0, 0)
    account.deposit(5)
    other.balance = 7
    assert (account.total(), other.total()) == (5, 0)
    Account.move(account, 5)
    assert account.total() == 10
    Account.close(account)
    assert account.total() == 0
    assert (Account.deposit.__doc__, Account.deposit.__name__) == ("Pay in.", "deposit")


def test_a_method_that_is_bound_already() -> None:
    account = Account(1)

    @uncaches(account.total, ())
    def deposit(amount: int) -> None:
        account.balance += amount

    assert account.total() == 0
    deposit(3)
    assert account.total() == 3


def test_it_looks_like_the_function_itself(kind: str) -> None:
    @cached
    def read(x: int) -> int:
        return x

    def change(name: str, currency: str, new: int) -> int:
        return new

    inner = writer(kind, change)
    decorated = uncaches(read, ("{new}",))(inner)
    assert decorated.__wrapped__ is inner  # type: ignore[attr-defined]
    assert inspect.iscoroutinefunction(decorated) == (kind == "coroutine")


@pytest.mark.parametrize("awaited", [False, True], ids=["of a function", "of a coroutine function"])
def test_who_is_not_heard_by_the_cache_is_told(own_memcached: MemcachedServer, kind: str, awaited: bool) -> None:
    shop = Shop(MemcachedCache([own_memcached.address], timeout=5), awaited=awaited)
    changed: list[int] = []
    decorated = uncaches(shop.price)(writer(kind, lambda name, currency, new: changed.append(new)))
    own_memcached.kill()
    with pytest.raises(UncacheFailed, match="did not acknowledge that the call was forgotten"):
        done(decorated("tea", "EUR", 4))
    assert changed == [4]


async def test_whoever_is_cancelled_has_forgotten_nevertheless(own_memcached: MemcachedServer) -> None:
    """The change has been made, so that the old result may not stay."""
    shop = Shop(MemcachedCache([own_memcached.address], timeout=30), awaited=True)
    changed = asyncio.Event()

    @uncaches(shop.price)
    async def change(name: str, currency: str, new: int) -> None:
        shop.prices[name, currency] = new
        changed.set()

    assert await shop.price("tea") == 3
    own_memcached.pause()
    task = asyncio.create_task(change("tea", "EUR", 4))
    await changed.wait()
    for _ in range(5):
        await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    own_memcached.resume()
    left = asyncio.all_tasks() - {asyncio.current_task()}
    assert len(left) == 1
    await asyncio.wait(left)
    assert await shop.price("tea") == 4


# ---- what cannot work is refused at decoration -------------------------------------------------------------------


@cached(tags=("tenant:{tenant}", "reports"))
def report(tenant: int, month: str = "now") -> int:
    return tenant


def change(tenant: int, new: int) -> None:
    """Change a report."""


def generator(tenant: int) -> Any:
    yield tenant


async def async_generator(tenant: int) -> Any:
    yield tenant


CALL = (
    "wanted: a tuple of arguments, a dict of named ones, the template of a tag, or a function that takes the "
    "arguments of the decorated one and returns a call as tuple or dict, or a list of such"
)


@pytest.mark.parametrize(
    ("decorate", "message"),
    [
        (
            lambda: uncaches(change),
            "uncaches() got 'change', which is not cached; wanted: a function that @cached has decorated, "
            "as in @uncaches(report)",
        ),
        (
            lambda: uncaches(report, after=5),
            "uncaches(report): after=5 is an int; wanted: a function that is given what forgets, and calls it once the "
            "change can be seen, such as transaction.on_commit",
        ),
        (lambda: uncaches(report, (1,), every=True), "uncaches(report): every=True leaves nothing for call= to say"),
        (lambda: uncaches(report, 5)(change), f"uncaches(report): call=5 is an int; {CALL}"),
        (
            lambda: uncaches(report)(change),
            "uncaches(report): the decorated function has no parameter 'month', so that it is not clear which call is "
            f"meant; say so with call=, or every=True; {CALL}",
        ),
        (
            lambda: uncaches(report, ("{tenant}", "{moon}"))(change),
            "uncaches(report): call=('{tenant}', '{moon}') has {moon}, which is no parameter; there are: 'tenant', "
            "'new'. A template names parameters, and attributes of them as in {user.id}, without indices or formats",
        ),
        (
            lambda: uncaches(report, ())(change),
            "uncaches(report): call=() is no call of report: missing a required argument: 'tenant'",
        ),
        (
            lambda: uncaches(report, "customer:{tenant}")(change),
            "uncaches(report): call='customer:{tenant}' is no tag of report, whose tags= has: 'tenant:{tenant}', "
            f"'reports'; for one call, {CALL}",
        ),
        (
            lambda: uncaches(report, ("{tenant}",))(generator),
            "uncaches(report): generator is a generator function, which returns before it has done anything; "
            "decorate what goes through its items",
        ),
        (
            lambda: uncaches(report, ("{tenant}",))(async_generator),
            "uncaches(report): async_generator is a generator function, which returns before it has done anything; "
            "decorate what goes through its items",
        ),
        (
            lambda: uncaches(report, ("{tenant}",))(contextlib.contextmanager(generator)),
            "uncaches(report): generator is a generator function, which returns before it has done anything; "
            "decorate what goes through its items",
        ),
        (
            lambda: uncaches(report, ("{tenant}",))(functools.partial(generator)),
            "uncaches(report): a partial is a generator function, which returns before it has done anything; "
            "decorate what goes through its items",
        ),
        (
            lambda: uncaches(report, ("{tenant}",))(property(change)),
            "uncaches(report) decorates functions and got a property; write it below @property, above a function",
        ),
    ],
)
def test_what_cannot_work_is_refused(decorate: Callable[[], Any], message: str) -> None:
    assert refusal(decorate) == message


def test_what_has_changed_nothing_yet_is_not_forgotten_too_early() -> None:
    changed = []

    async def change_later(tenant: int) -> None:
        changed.append(tenant)

    first = uncaches(report, ("{tenant}",))(lambda tenant: change_later(tenant))
    assert refusal(first, 1) == (
        "uncaches(report): test_what_has_changed_nothing_yet_is_not_forgotten_too_early.<locals>.<lambda> returned a "
        "coroutine, which has changed nothing yet, so that it would be forgotten too early; put @uncaches on the "
        "coroutine function (async def) itself"
    )
    assert not changed


def test_a_value_that_has_no_text_is_refused_at_the_call() -> None:
    @uncaches(report, ("tenant-{tenant}",))
    def rename(tenant: Any) -> None:
        """Rename it."""

    assert refusal(rename, [1], kind=UnkeyableArgument) == (
        "uncaches(report): call=('tenant-{tenant}',): parameter 'tenant' cannot be part of a text, since it is a list; "
        "wanted: text, numbers, dates, UUIDs or None"
    )


@pytest.mark.parametrize("call", [None, ("{query}",), {"query": "{query}"}], ids=["same names", "tuple", "dict"])
def test_the_call_is_that_of_the_arguments_as_they_were_given(cache: Cache, kind: str, call: Any) -> None:
    """A writer may note something in an argument, which names another call from then on."""
    rows = {"open": 1}

    @cached(timeout=60, cache=cache, namespace="test.rows")
    def count(query: dict[str, Any]) -> int:
        return rows[query["state"]]

    def add(query: dict[str, Any]) -> None:
        rows[query["state"]] += 1
        query["done"] = True

    assert count({"state": "open"}) == 1
    done(uncaches(count, call)(writer(kind, add))({"state": "open"}))
    assert count({"state": "open"}) == 2


def test_a_function_as_call_sees_what_was_written(cache: Cache, kind: str) -> None:
    owners: dict[str, int] = {}

    @cached(timeout=60, cache=cache, namespace="test.owners")
    def owned(owner: int) -> list[str]:
        return [name for name, each in owners.items() if each == owner]

    def give(name: str, owner: int) -> None:
        owners[name] = owner

    assert owned(7) == []
    done(uncaches(owned, lambda name, owner: (owners[name],))(writer(kind, give))("tea", 7))
    assert owned(7) == ["tea"]


def test_a_wrapper_is_called_by_its_own_parameters(cache: Cache, kind: str) -> None:
    # Whatever those are of what it wraps, which functools.wraps lets it claim.
    def connected(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(name: str) -> Any:
            return function("connection", name)

        return wrapper

    @cached(cache=cache, namespace="price")
    @connected
    def price(connection: str, name: str) -> list[str]:
        return read.append(name) or [name]

    read: list[str] = []
    change = connected(lambda connection, name: None)
    for call in (None, ("{name}",), {"name": "{name}"}):
        price("tea"), price("cake")
        done(uncaches(price, call)(writer(kind, change))("tea"))
        assert (price("tea"), price("cake")) == (["tea"], ["cake"])
    assert read == ["tea", "cake", "tea", "tea", "tea"]


def test_a_bound_method_below_a_wrapper_has_its_instance(cache: Cache) -> None:
    def logged(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return wrapper

    class Store:
        @logged
        def save(self, name: str) -> None: ...

    @cached(cache=cache, namespace="price", key="{name}")
    @logged
    def price(name: str) -> list[str]:
        return [name]

    for save in (Store().save, logged(Store().save)):
        for args, named in ((("tea",), {}), ((), {"name": "tea"})):
            price("tea")
            uncaches(price)(save)(*args, **named)
            assert price.peek("tea") is MISSING


def test_a_wrapper_may_fill_in_and_take_away_arguments(cache: Cache, kind: str) -> None:
    def connected(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, verbose: bool = False, **kwargs: Any) -> Any:
            changed.append(verbose)
            return function("connection", *args, **kwargs)

        return wrapper

    @cached(cache=cache, namespace="price")
    def price(name: str) -> list[str]:
        return read.append(name) or [name]

    read: list[str] = []
    changed: list[bool] = []
    change = writer(kind, connected(lambda connection, name: None))
    ways = [uncaches(price, lambda name, **_: (name,)), uncaches(price, every=True)]
    by_name = [uncaches(price), uncaches(price, ("{name}",))]
    for decorate in (*ways, *by_name):
        price("tea")
        done(decorate(change)(name="tea", verbose=True))
        assert price.peek("tea") is MISSING
        if decorate in ways:
            price("tea")
            done(decorate(change)("tea"))
            assert price.peek("tea") is MISSING
        else:
            before = len(changed)
            with pytest.raises(UnkeyableArgument, match=r"names \{name\}; it was left out, so that another decorator"):
                done(decorate(change)("tea"))
            assert len(changed) == before


def test_a_cached_function_is_found_below_what_wraps_it() -> None:
    @cached
    def price(name: str) -> object:
        return object()

    @functools.wraps(price)
    def logged(name: str) -> object:
        return price(name)

    class Task:
        """As a task of Celery is."""

        __wrapped__ = staticmethod(logged)

    for wrapped in (logged, Task(), functools.update_wrapper(functools.partial(logged), logged)):

        @uncaches(wrapped)
        def change(name: str) -> None: ...

        before, other = price("tea"), price("cake")
        change("tea")
        assert price("tea") is not before
        assert price("cake") is other


def test_a_tag_that_a_function_returns_can_be_forgotten_by_a_writer() -> None:
    @cached(tags=(lambda tenant: f"tenant:{tenant}",))
    def report(tenant: int, month: str) -> object:
        return object()

    @uncaches(report, "tenant:{tenant}")
    def change(tenant: int) -> None: ...

    first, other = report(1, "May"), report(2, "May")
    change(1)
    assert report(1, "May") is not first
    assert report(2, "May") is other
