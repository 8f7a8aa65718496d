"""On a shared cache a name must tell which function it is: other processes know no more of it."""

import functools
import importlib
import re
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from memocache import (
    Cache,
    ConfigurationError,
    ForeignCache,
    MemcachedCache,
    SimpleCache,
    SQLiteCache,
    TieredCache,
    cached,
)
from tests.support.refusals import refusal
from tests.support.servers import MemcachedServer

CACHES: list[Cache] = [ForeignCache({})]


def the_cache() -> Cache:
    return CACHES[-1]


shared = cached(cache=the_cache)


@pytest.fixture(autouse=True, params=["memcached", "sqlite", "tiers", "foreign"])
def shared_cache(request: pytest.FixtureRequest, memcached: MemcachedServer, prefix: str, tmp_path: Path) -> None:
    match request.param:
        case "memcached":
            cache: Cache = MemcachedCache([memcached.address], key_prefix=prefix, timeout=5)
        case "sqlite":
            cache = SQLiteCache(tmp_path / "cache.db")
        case "tiers":
            cache = TieredCache(SimpleCache(), MemcachedCache([memcached.address], key_prefix=prefix, timeout=5))
        case _:
            cache = ForeignCache({})
    CACHES.append(cache)


# ---- what is found by its name -----------------------------------------------------------------------------------


def retry(function: Callable[..., Any]) -> Any:
    @functools.wraps(function)
    def retried(*args: Any) -> Any:
        return function(*args)

    return retried


def nameless(function: Callable[..., Any]) -> Any:
    """A decorator that does not say what it wraps."""
    return lambda *args: function(*args)


class Task:
    """A task as task queues have them: an object that holds the function."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.run = function

    def __call__(self, *args: Any) -> Any:
        return self.run(*args)


@shared
@retry
def below(x: int) -> int:
    return x


@retry
@shared
def above(x: int) -> int:
    return x


@nameless
@shared
def hidden(x: int) -> int:
    return x


@Task
@shared
def task(x: int) -> int:
    return x


def plain(x: int) -> int:
    return x


elsewhere = shared(plain)
once_more = cached(60, cache=the_cache)(plain)


@shared
def renamed(x: int) -> int:
    return x


another_name = renamed


class Shop:
    @shared
    @staticmethod
    def static(x: int) -> int:
        return x

    @staticmethod
    @shared
    def static_above(x: int) -> int:
        return x

    @shared
    @classmethod
    def made(cls, x: int) -> int:
        return x

    @classmethod
    @shared
    def made_above(cls, x: int) -> int:
        return x

    @cached(cache=the_cache, ignore=("self",))
    def method(self, x: int) -> int:
        return x

    @retry
    @cached(cache=the_cache, ignore=("self",))
    def wrapped(self, x: int) -> int:
        return x

    @cached(cache=the_cache, ignore=("self",))
    def __private(self, x: int) -> int:
        return x

    def private(self, x: int) -> int:
        return self.__private(x)

    @property
    @cached(cache=the_cache, ignore=("self",))
    def shown(self) -> int:
        return 7

    class Inner:
        @shared
        @staticmethod
        def static(x: int) -> int:
            return x


class Branch(Shop):
    pass


def view_in_a_factory() -> Any:
    @shared
    def view(x: int, most: int = 5, *, order: str = "up") -> int:
        return x

    return view


def method_in_a_factory() -> Any:
    class Local:
        @shared
        @staticmethod
        def static(x: int) -> int:
            return x

    return Local.static


@pytest.mark.parametrize(
    "function",
    [
        *(below, above, hidden, task, elsewhere, once_more, another_name, shared(Path.home), shared(str.upper)),
        *(Shop.static, Shop.static_above, Shop.made, Shop.made_above, Shop().method, Shop().wrapped, Shop().private),
        *(Shop.Inner.static, Branch.static, Branch.made, view_in_a_factory(), method_in_a_factory()),
    ],
    ids=[
        *("below", "above", "hidden", "task", "elsewhere", "once_more", "another_name", "library", "builtin"),
        *("static", "static_above", "class", "class_above", "method", "wrapped_method", "private"),
        *("inner", "inherited", "inherited_class", "view_in_a_factory", "method_in_a_factory"),
    ],
)
def test_a_name_tells_where_it_leads_to_the_function(function: Any) -> None:
    arguments = {"Path.home": (), "str.upper": ("a",)}.get(getattr(function, "__qualname__", ""), (3,))
    assert function(*arguments) == function(*arguments)


def test_a_property_is_found_by_its_name() -> None:
    assert Shop().shown == 7


def test_one_function_decorated_twice_shares_on_purpose() -> None:
    assert elsewhere(1) == 1
    assert once_more.peek(1) == 1


def test_a_module_that_is_loaded_again_has_its_function_under_its_name(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (tmp_path / "loaded_again.py").write_text(
        "from tests.unit.backends.test_same_name import shared\n@shared\ndef f(x): return x\n"
    )
    module: Any = importlib.import_module("loaded_again")
    before = module.f
    importlib.reload(module)
    assert module.f is not before
    assert [before(1), module.f(1), module.f.info().misses] == [1, 1, 0]


# ---- what is not -------------------------------------------------------------------------------------------------


@shared
def area(x: int) -> str:
    return "first"


first = area


@shared
def area(x: int) -> str:
    return "second"


class Shapes:
    @shared
    @staticmethod
    def area(x: int) -> str:
        return "first of the class"

    first = area

    @shared
    @staticmethod
    def area(x: int) -> str:
        return "second of the class"


def scaled(factor: int) -> Any:
    @functools.wraps(plain)
    def wrapper(x: int) -> int:
        return plain(x) * factor

    return wrapper


class Scale:
    def __init__(self, factor: int) -> None:
        functools.update_wrapper(self, plain)
        self.factor = factor

    def __call__(self, x: int) -> int:
        return self.factor * x


@shared
@retry
@shared
def inner_and_outer(x: int) -> int:
    return x


@retry
@shared
def retried(x: int) -> int:
    return x


@shared
def gone(x: int) -> int:
    return x


kept = gone
del gone


def one_of_two(kind: int) -> Any:
    if kind == 1:

        @shared
        def chosen(x: int) -> int:
            return x
    else:

        @shared
        def chosen(x: int) -> int:
            return -x

    return chosen


def with_default_without_form(rate: Any) -> Any:
    @shared
    def local(x: int, rate: Any = rate) -> int:
        return x

    return local


class Unbound:
    """A proxy that stands for nothing, as those of web frameworks do outside of a request."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError


@shared
def behind_a_proxy(x: int) -> int:
    return x


proxied, behind_a_proxy = behind_a_proxy, Unbound()


class Table:
    @shared
    @staticmethod
    def row(x: int) -> int:
        return x

    try:
        row(1)
    except ConfigurationError as error:
        too_early = str(error)


def from_a_plugin() -> Any:
    names: dict[str, Any] = {"__name__": __name__, "shared": shared}
    exec("@shared\ndef plain(x): return -x", names)
    return names["plain"]


HERE = "tests.unit.backends.test_same_name"


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (first, "area"),
        (Shapes.first, "Shapes.area"),
        (shared(scaled(2)), "plain"),
        (shared(Scale(2)), "plain"),
        (shared(functools.update_wrapper(functools.partial(pow, 2), plain)), "plain"),
        (inner_and_outer.__wrapped__.__wrapped__, "inner_and_outer"),
        (shared(retried), "retried"),
        (kept, "gone"),
        (one_of_two(1), "one_of_two.<locals>.chosen"),
        (one_of_two(2), "one_of_two.<locals>.chosen"),
        (with_default_without_form(lambda: 2), "with_default_without_form.<locals>.local"),
        (from_a_plugin(), "plain"),
        (proxied, "behind_a_proxy"),
    ],
    ids=[
        *("redefined", "redefined_in_a_class", "closure", "object", "partial", "inner", "outer", "deleted"),
        *("either", "or", "default", "plugin", "proxied"),
    ],
)
def test_a_function_that_its_name_does_not_lead_to_is_refused_with_the_remedy(function: Any, name: str) -> None:
    for _ in range(2):
        for use in (function, function.uncache, function.key, function.peek):
            assert refusal(use, 1) == (
                f"{name} is not what is found as {HERE}.{name}, so that another process cannot know which function the "
                "entries in a shared cache belong to; pass namespace='...', different for each such function"
            )
    named = cached(cache=the_cache, namespace=f"the right {name}")(function.__wrapped__)
    assert named(1) == named.__wrapped__(1)


def test_before_its_class_is_there_a_method_has_no_name() -> None:
    assert Table.too_early.startswith(f"Table.row is not what is found as {HERE}.Table.row, so that another process")
    assert Table.row(1) == 1


def test_of_two_with_one_name_it_is_the_one_that_the_module_has() -> None:
    assert area(1) == "second"
    assert Shapes.area(1) == "second of the class"
    assert retried(1) == 1


def test_a_local_function_of_other_globals_is_refused() -> None:
    module = sys.modules["a_plugin"] = ModuleType("a_plugin")
    source = "def make():\n    @shared\n    def local(x): return RATE * x\n    return local\nfunction = make()"
    try:
        vars(module).update(shared=shared, RATE=1)
        exec(source, vars(module))
        other = vars(module) | {"RATE": 2}
        exec(source, other)
        assert vars(module)["function"](10) == 10
        with pytest.raises(ConfigurationError, match=re.escape("is not what is found as a_plugin.make.<locals>.local")):
            other["function"](10)
    finally:
        del sys.modules["a_plugin"]


def test_functions_that_are_found_by_no_name_share_by_a_namespace() -> None:
    one, two = (cached(cache=the_cache, namespace="scaled")(scaled(factor)) for factor in (1, 2))
    assert [one(10), two(10)] == [10, 10]
