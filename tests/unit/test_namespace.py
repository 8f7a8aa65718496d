"""The options namespace and version; and how functions without a name of their own are told apart."""

import functools
import gc
import re
import sys
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest

from memocache import MISSING, ConfigurationError, MemcachedCache, SimpleCache, cached, configure, keys
from tests.unit.test_options_key import NO_SERVER, f, refusal


def test_functions_of_one_namespace_share_entries_and_fences() -> None:
    one, two = (cached(namespace="prices")(lambda x: object()) for _ in range(2))
    assert one.key(1) == two.key(1)
    assert one(1) is two(1)
    assert one(1) is two(1)
    assert two.uncache(1) is True
    assert one.peek(1) is MISSING
    one(1), two(2)
    one.uncache_all()
    assert [one.peek(1), two.peek(2)] == [MISSING, MISSING]
    assert cached(namespace="others")(lambda x: object()).key(1) != one.key(1)


def test_a_shared_result_that_is_forgotten_is_no_hit_in_the_middle_of_its_computation() -> None:
    one = cached(namespace="fenced")(lambda: two.uncache() and object())
    two = cached(namespace="fenced")(lambda: None)
    assert one() is not one()


def test_the_key_begins_with_the_namespace_made_readable() -> None:
    assert re.fullmatch(r"v1:a_b_c_d:[0-9a-f]{32}", cached(namespace="a b\nc\N{SNOWMAN}d", cache=NO_SERVER)(f).key(1))
    assert len(cached(namespace="n" * 1000, cache=NO_SERVER)(f).key(1)) < 200


def test_in_process_the_key_takes_no_more_room_than_it_needs() -> None:
    def short(x: object, y: int = 0) -> None: ...

    key = cached(namespace="here")(f).key("a" * 100)
    assert re.fullmatch(r"v1:[0-9A-Za-z+/]{22}==", key)
    assert cached(namespace="there")(f).key("a" * 100) != key
    assert cached(namespace="a b")(f).key("a" * 100) != cached(namespace="a_b")(f).key("a" * 100)
    here = cached(namespace="here")(short)
    assert re.fullmatch(r"[0-9a-f]+:int1:1int1:0", here.key(1))
    assert here.key(1) == cached(namespace="here")(short).key(1, 0)
    others = [cached(namespace="there")(short), cached(namespace="here", version=2)(short)]
    others += [cached(namespace="here", key="{x}")(short), cached(namespace="here", ignore=["y"])(short)]
    assert len({other.key(1) for other in [here, *others]}) == 5
    for told in ("a" * 12, "\n", "\N{SNOWMAN}", "\x7f"):  # too long, or not to be printed
        assert here.key(told).startswith("v1:")


def test_more_functions_than_have_numbers_have_digests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memocache.keys._head_numbers", {})
    monkeypatch.setattr("memocache.keys.MOST_HEADS", 1)
    first, second, again = (cached(namespace=name)(lambda x: x) for name in ("first", "second", "first"))
    assert first.key(1) == again.key(1)
    assert not first.key(1).startswith("v1:")
    assert second.key(1).startswith("v1:")


@pytest.mark.parametrize("namespace", ["", 5, b"x", ["x"]], ids=repr)
def test_a_namespace_is_a_text(namespace: object) -> None:
    assert refusal(namespace=namespace) == f"namespace={namespace!r}; wanted: a text that is not empty"


@pytest.mark.parametrize("cache", [None, SimpleCache(), NO_SERVER], ids=["default", "in process", "shared"])
def test_a_version_without_a_stable_form_is_refused_at_decoration(cache: object) -> None:
    assert refusal(version=object(), cache=cache) == (
        "f: version= cannot be part of a key: an object instance has no stable form: pass a value that stands for it"
    )


# ---- closures ----------------------------------------------------------------------------------------------------


def make(n: object, cache: object = None, namespace: str | None = None) -> Callable[[int], object]:
    @cached(cache=cache, namespace=namespace)
    def closure(x):
        return n, x

    return closure


def test_closures_never_share_in_process() -> None:
    closures = [make(n) for n in range(5)]
    assert [g(1) for g in closures for _ in range(2)] == [(n, 1) for n in range(5) for _ in range(2)]
    assert len({g.key(1) for g in closures}) == 5
    closures[0].uncache_all()
    assert closures[1].peek(1) == (1, 1)


def module_wide(x: int) -> int:
    return x


def test_a_function_that_is_decorated_twice_shares_its_entries_in_process_too() -> None:
    cache = SimpleCache()
    one, other = cached(cache=cache)(module_wide), cached(60, cache=cache)(module_wide)
    assert one.key(1) == other.key(1)
    one(1)
    other(1)
    assert (one.info().misses, other.info().misses) == (1, 0)


def by_id(user: dict[str, int]) -> int:
    return user["id"]


def by_age(user: dict[str, int]) -> int:
    return user["age"]


def load(user: dict[str, int]) -> dict[str, int]:
    return user


def local_load() -> Any:
    def load(user: dict[str, int]) -> dict[str, int]:
        return user

    return load


@pytest.mark.parametrize("make", [lambda: load, local_load], ids=["of the module", "local"])
def test_a_function_that_is_decorated_with_two_key_functions_never_mixes_their_calls(make: Any) -> None:
    cache = SimpleCache()
    one, same, other, plain = (
        cached(cache=cache, key=key)(make()) for key in (by_id, lambda user: user["id"], by_age, None)
    )
    assert one({"id": 1, "age": 2}) == {"id": 1, "age": 2}
    for each in (same, other, plain):
        assert each({"id": 3, "age": 1}) == {"id": 3, "age": 1}


@pytest.mark.parametrize("make", [lambda: load, local_load], ids=["of the module", "local"])
@pytest.mark.parametrize("is_known", [True, False], ids=["at decoration", "at the call"])
def test_in_a_shared_cache_the_second_key_function_needs_a_namespace(make: Any, is_known: bool) -> None:
    configure(NO_SERVER)
    cache = NO_SERVER if is_known else None
    one = cached(cache=cache, key=by_id)(make())
    assert one.key({"id": 1}) == cached(cache=cache, key=by_id)(make()).key({"id": 1})
    with pytest.raises(ConfigurationError) as refused:
        cached(cache=cache, key=by_age)(make())({"age": 1})
    assert str(refused.value) == (
        f"{one.__qualname__} is decorated more than once for one cache, with different functions as key=, {HAS}"
        "different for each such function"
    )
    assert cached(cache=cache, key=by_age, namespace="ages")(make()).key({"age": 1}) != one.key({"id": 1})
    for others in ({"key": "{user}"}, {}, {"cache": MemcachedCache(["/nobody/else"]), "key": by_age}):
        cached(**{"cache": cache, **others})(make()).key({"age": 1})


def made() -> Callable[[int], int]:
    def local(x):
        return x

    return cached(local)


def test_local_functions_of_one_code_have_entries_of_their_own_in_process() -> None:
    assert made().key(1) != made().key(1)


HAS = (
    "so that another process cannot know which function the entries in a shared cache belong to; pass namespace='...', "
)


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (make(1).__wrapped__, "make.<locals>.closure is made inside another function and uses its variables"),
        (
            functools.lru_cache(make(1).__wrapped__),
            "make.<locals>.closure is made inside another function and uses its variables",
        ),
        (lambda x: x, "<lambda> has no name"),
        (functools.partial(f, 1), "partial has no name"),
        ({}.get, "dict.get belongs to an object"),
    ],
    ids=["closure", "decorated closure", "lambda", "partial", "built-in method"],
)
def test_in_a_shared_cache_they_need_a_namespace_at_decoration(function: Callable[..., object], why: str) -> None:
    assert refusal(function, cache=NO_SERVER) == f"{why}, {HAS}different for each such function"
    assert cached(cache=NO_SERVER, namespace="mine")(function).key(1).startswith("v1:mine:")


@pytest.mark.parametrize("cache", [None, lambda: NO_SERVER], ids=["the default", "a function"])
def test_where_the_shared_cache_is_not_known_before_it_is_the_first_call_that_is_refused(cache: object) -> None:
    g = make(1, cache=cache)
    configure(NO_SERVER)
    for call in (g, g.uncache, g.key):
        with pytest.raises(ConfigurationError, match=r"pass namespace='\.\.\.', different for each such function$"):
            call(1)
    for look in (g.info, lambda: g.cache):
        with pytest.raises(ConfigurationError, match="is made inside another function and uses its variables"):
            look()


def test_a_local_function_without_variables_goes_by_its_name() -> None:
    @cached(cache=NO_SERVER)
    def plain(x):
        return x

    assert plain.key(1).startswith("v1:tests.unit.test_namespace.test_a_local_function_without_variables")


def test_functions_of_one_namespace_forget_for_each_other() -> None:
    functions = [cached(namespace="together")(lambda x: object()) for _ in range(3)]
    for forgetting in functions:
        first = functions[0](1)
        assert [f(1) for f in functions * 2] == [first] * 6  # the second time by the shortcuts of all three
        assert forgetting.uncache(1)
        assert functions[1](1) is not first
        assert len({f(1) for f in functions * 2}) == 1


# ---- functions that look like another one ------------------------------------------------------------------------


def price(x: int) -> int:
    return x


def scaled(factor: int) -> Any:
    @functools.wraps(price)
    def wrapper(x):
        return price(x) * factor

    return wrapper


class Scale:
    """A callable that goes by the name of a function."""

    def __init__(self, factor: int) -> None:
        functools.update_wrapper(self, price)
        self.factor = factor

    def __call__(self, x: int) -> int:
        return x * self.factor


def labelled(factor: int) -> Any:
    return functools.update_wrapper(functools.partial(lambda factor, x: factor * x, factor), price)


def run_as_plugin(factor: int, source: str = "def limit(x): return FACTOR * x") -> Any:
    names = {"__name__": "plugin", "FACTOR": factor}
    exec(source, names)
    return names["limit"]


def of_other_code(factor: int) -> Any:
    return run_as_plugin(factor, f"def limit(x): return {factor} * x")


def with_default(factor: int) -> Any:
    return run_as_plugin(factor, "def limit(x, factor=FACTOR): return factor * x")


def with_named_default(factor: int) -> Any:
    return run_as_plugin(factor, "def limit(x, *, factor=FACTOR): return factor * x")


def with_an_attribute(factor: int) -> Any:
    function = run_as_plugin(factor, "def limit(x): return limit.factor * x")
    function.factor = factor
    return function


def of_a_class(factor: int) -> Any:
    """A method that a template was made into, without an instance."""

    class Shop: ...

    Shop.price = staticmethod(scaled(factor))
    return Shop.price


LOOK_ALIKES = [
    *(scaled, Scale, labelled, run_as_plugin, of_other_code, with_default, with_named_default, with_an_attribute),
    of_a_class,
]


@pytest.mark.parametrize("make", LOOK_ALIKES, ids=lambda make: make.__name__)
@pytest.mark.parametrize("outer", [lambda f: f, functools.lru_cache, staticmethod], ids=["plain", "lru", "static"])
def test_functions_that_go_by_one_name_have_entries_of_their_own_in_process(make: Any, outer: Any) -> None:
    options: dict[str, Any] = {"ignore": ("factor",)} if "default" in make.__name__ else {}
    one, two = (cached(cache=SimpleCache(), **options)(outer(make(factor))) for factor in (1, 2))
    assert one.key(10) != two.key(10)
    cache = SimpleCache()
    functions = [cached(cache=cache, **options)(outer(make(factor))) for factor in (1, 2, 3)]
    assert [f(10) for f in functions * 2] == [10, 20, 30] * 2
    assert functions[0].uncache(10) is True
    functions[1].uncache_all()
    assert [f.peek(10) for f in functions] == [MISSING, MISSING, 30]


def test_a_name_of_functions_that_are_gone_is_no_way_to_their_entries() -> None:
    cache = SimpleCache()
    for factor in range(5):
        limit = cached(cache=cache)(run_as_plugin(factor))
        assert limit(10) == factor * 10
        del limit
        gc.collect()


@pytest.mark.parametrize(
    "source",
    [
        "def limit(x): return FACTOR * x",
        "def limit(x, path='data.csv', *, most=1_000_000): return FACTOR * x",
        "class Limits:\n    def limit(x): return FACTOR * x\nlimit = Limits.limit",
    ],
    ids=["plain", "defaults", "in a class"],
)
def test_a_cell_that_is_run_again_as_it_is_keeps_its_results(source: str) -> None:
    names: dict[str, Any] = {"__name__": "a_notebook", "FACTOR": 2, "cached": cached(cache=SimpleCache())}
    keys_seen = set()
    for _ in range(3):
        exec(source, names)
        limit = names["shown"] = names["cached"](names["limit"])
        assert limit(10) == 20
        keys_seen.add(limit.key(10))
        gc.collect()
    assert len(keys_seen) == 1
    assert limit.info().misses == 0
    exec(source.replace("* x", "+ x"), names)
    assert names["cached"](names["limit"])(10) == 12


def test_names_that_come_and_go_take_a_bounded_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_known_paths", set())
    monkeypatch.setattr(keys, "MOST_NAMES", 3)
    cache = SimpleCache()

    def plugin(number: int) -> Any:
        names: dict[str, Any] = {"__name__": "plugins"}
        exec(f"def fn_{number % 5}(x): return x + {number}", names)
        return cached(cache=cache)(names[f"fn_{number % 5}"])

    functions = [plugin(number) for number in range(10)]
    assert len(keys._known_paths) == 3
    for _ in range(2):  # none is given another's, of the same name or not
        assert [f(100) for f in functions] == [100 + number for number in range(10)]
    assert all(f.info().misses == 1 for f in functions)
    living = len(keys._living)
    del functions
    gc.collect()
    assert len(keys._living) <= living - 10


def in_class(cache: SimpleCache) -> Any:
    class Shop:
        @cached(cache=cache)
        def total(self, x: int) -> int:
            return x

    return Shop().total


GONE: dict[str, Callable[[SimpleCache], Any]] = {
    "function": lambda cache: make(1, cache),
    "lambda": lambda cache: cached(cache=cache)(lambda x: x),
    "with stale results and tags": lambda cache: cached(cache=cache, stale=60, tags=("x:{x}",))(lambda x: x),
    "method": in_class,
}


@pytest.mark.parametrize("kind", GONE)
def test_functions_that_are_gone_leave_nothing_behind(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "_head_numbers", {})

    def blocks_after_two_hundred() -> int:
        for _ in range(200):
            function = GONE[kind](SimpleCache())
            assert function(7) == function(7)
            function.uncache(7)
            del function
        make(1)(7)  # what the last have left is tidied up by the next
        gc.collect()
        return sys.getallocatedblocks()

    blocks = [blocks_after_two_hundred() for _ in range(12)][1:]
    # The interpreter has something to do itself in one round or the other; but not one block for each of them.
    assert sorted(after - before for before, after in pairwise(blocks))[5] < 120
