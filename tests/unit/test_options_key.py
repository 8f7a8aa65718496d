"""The options key and ignore: what counts of the arguments."""

import asyncio
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import pytest

from memocache import MISSING, Cache, ConfigurationError, MemcachedCache, SimpleCache, UnkeyableArgument, cached
from memocache.keys import without_version

NO_SERVER = MemcachedCache(["/nobody/listens"])


def f(a, b=2, *args, c=3):
    return a, b, args, c, object()


def refusal(function: Callable[..., object] = f, **options: object) -> str:
    """Return with which words cached refuses *options* for *function*."""
    with pytest.raises(ConfigurationError) as refused:
        cached(**options)(function)
    return str(refused.value)


# ---- key, a template ---------------------------------------------------------------------------------------------


def test_a_template_names_what_counts() -> None:
    g = cached(key="{c} of {a}")(f)
    assert g(1) is g(1, 5) is g(1, 2, 3, 4, c=3)
    assert g(1) is not g(2)
    assert g(1) is not g(1, c=4)
    assert g.uncache(1, "whatever") is True


def test_templates_do_not_share_where_they_would_be_the_same_text() -> None:
    g = cached(key="{a}:{b}")(f)
    calls = [("1:2", "3"), ("1", "2:3"), (1, "2:3"), (1, 2), ("1", 2), (True, 2), (1.0, 2), (None, "None")]
    assert len({id(g(*call)) for call in calls}) == len(calls)
    for call in calls:
        assert g(*call)[:2] == call


def test_a_template_may_name_gathered_arguments() -> None:
    g = cached(key="{args}")(f)
    assert g(1, 2, 3, 4) is g(5, 6, 3, 4)
    assert g(1, 2, 3, 4) is not g(1, 2, 34)


def test_braces_are_escaped_as_in_any_format() -> None:
    g = cached(key="{{literally}} {a}")(f)
    assert g(1) is g(1, 5)
    assert g(1) is not g(2)


def test_a_template_for_a_method_counts_the_instance_only_if_it_names_it() -> None:
    class Owner:
        @cached(key="{x}")
        def shared(self, x):
            return object()

        @cached(key="{self}{x}")
        def own(self, x):
            return object()

    one, two = Owner(), Owner()
    assert one.shared(1) is two.shared(1)
    assert one.own(1) is one.own(1)
    assert one.own(1) is not two.own(1)


@pytest.mark.parametrize(
    ("template", "field"),
    [
        *(("{x}", "x"), ("{a}{x}", "x"), ("{a.}", "a."), ("{a[0]}", "a[0]"), ("{a!r}", "a!r"), ("{}", "")),
        *(("{a:>3}", "a:>3"), ("{0}", "0"), ("{ a}", " a"), ("{a:{b}}", "a:{b}"), ("{A}", "A"), ("{*args}", "*args")),
    ],
)
def test_a_template_names_parameters_and_their_attributes_only(template: str, field: str) -> None:
    assert refusal(key=template) == (
        f"f: key={template!r} has {{{field}}}, which is no parameter; there are: 'a', 'b', 'args', 'c'. "
        "A template names parameters, and attributes of them as in {user.id}, without indices or formats; "
        "for more, pass a function"
    )


@dataclasses.dataclass
class User:
    id: object
    name: str = "ann"
    boss: "User | None" = None


@pytest.mark.parametrize("cache", [SimpleCache(), MemcachedCache(["127.0.0.1:9"])], ids=["in process", "shared"])
def test_a_template_may_name_attributes(cache: Cache) -> None:
    @cached(key="user:{user.id}:{boss.boss.id}:{lang}", cache=cache)
    def show(user: User, *, boss: User, lang: str = "en") -> None: ...

    boss = User(1, boss=User(2))
    key = show.key(User(7), boss=boss)
    assert key == show.key(user=User(7, "eve"), boss=boss, lang="en")
    others = [
        *(show.key(User(8), boss=boss), show.key(User("7"), boss=boss), show.key(User(7), boss=User(1, boss=User(3)))),
        show.key(User(7), boss=boss, lang="de"),
    ]
    assert len({key, *others}) == 5
    with pytest.raises(UnkeyableArgument, match="show: the result of key= has no stable key: an object instance, at "):
        show.key(User(object()), boss=boss)
    with pytest.raises(AttributeError, match="'str' object has no attribute 'id'"):
        show.key("ann", boss=boss)


def test_what_an_attribute_was_when_it_was_asked_counts() -> None:
    @cached(key="{user.id}")
    def show(user: User) -> object:
        return user.id

    user = User(1)
    assert show(user) == show(user) == 1
    user.id = 2
    assert show(user) == show(User(2)) == 2
    assert show.uncache(User(1)) is True
    assert show.peek(user) == 2


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (lambda: 1, "too many positional arguments"),
        (lambda x: x, "too many positional arguments"),
        (lambda a, b: a, "got an unexpected keyword argument 'c'"),
        (lambda a, b, d, *, c: a, "missing a required argument: 'd'"),
    ],
)
def test_a_key_function_that_cannot_take_the_arguments_is_refused(key: Callable[..., object], error: str) -> None:
    assert refusal(key=key) == (
        f"f: key= cannot be called with the call's arguments, 'a', 'b', 'args', 'c': {error}; "
        "wanted: a function that takes the same, or a template such as 'user:{user_id}'"
    )


@pytest.mark.parametrize("key", [lambda *args, **named: args, lambda a, b, *, c: a, lambda a, *more, c, d=1: a])
def test_a_key_function_that_can_take_them_is_taken(key: Callable[..., object]) -> None:
    assert cached(key=key)(lambda a, b=1, *, c=2: a).key(1)


@pytest.mark.parametrize("template", ["", "users", "{{a}}"])
def test_a_template_that_names_nothing_is_refused(template: str) -> None:
    assert refusal(key=template) == (
        f"f: key={template!r} names no parameter, so that all calls would share one entry; "
        "there are: 'a', 'b', 'args', 'c'"
    )


def test_unless_there_is_nothing_to_name() -> None:
    assert cached(key="users")(lambda: 1)() == 1


@pytest.mark.parametrize("template", ["{a", "a}", "{a!}", "{a!rr}"])
def test_a_broken_template_is_refused(template: str) -> None:
    assert refusal(key=template).startswith(f"f: key={template!r} is no template: ")


# ---- key, a function ---------------------------------------------------------------------------------------------


def test_a_key_function_takes_the_call_s_own_arguments() -> None:
    seen = []
    g = cached(key=lambda *args, **kwargs: seen.append((args, kwargs)) or args[0] % 10)(f)
    assert g(1) is g(11, 5, 6, c=7) is g(a=21)
    assert g(1) is not g(2)
    assert seen[:3] == [((1, 2), {"c": 3}), ((11, 5, 6), {"c": 7}), ((21, 2), {"c": 3})]
    assert g.uncache(31) is True
    assert g.peek(1) is MISSING


@pytest.mark.parametrize("is_async", [False, True], ids=["function", "coroutine function"])
def test_a_key_function_is_called_once_for_whatever_is_done_with_a_call(is_async: bool) -> None:
    asked: list[int] = []

    def key(x: int) -> int:
        asked.append(x)
        return x

    def plain(x: int) -> int:
        return x

    async def awaited(x: int) -> int:
        return x

    f: Any = cached(key=key)(awaited if is_async else plain)

    async def done(answer: Any) -> Any:
        return await answer if is_async else answer

    for call in (
        *(lambda: f(1), lambda: f(1), lambda: f.refresh(1), lambda: f.put(2, 1), lambda: f.peek(1)),
        *(lambda: f.entry(1), lambda: f.many([(1,)]), lambda: f.uncache(1)),
    ):
        asyncio.run(done(call()))
        assert asked == [1]
        asked.clear()
    assert f.key(1) == f.key(x=1)
    assert asked == [1, 1]


def test_the_result_of_a_key_function_is_typed_as_arguments_are() -> None:
    g = cached(key=lambda a, *_, **__: a)(f)
    values = [1, True, 1.0, "1", None, (1,), [1]]
    assert [g(value)[0] for value in values] == values
    assert len({id(g(value)) for value in values}) == len(values)


def test_what_a_key_function_raises_the_caller_sees() -> None:
    error = KeyError("of the key function")

    def key(*args, **kwargs):
        raise error

    g = cached(key=key)(f)
    for call in (g, g.uncache, g.peek, g.refresh, g.key, functools.partial(g.put, 1)):
        with pytest.raises(KeyError) as raised:
            call(1)
        assert raised.value is error
    assert g.info().misses == 0


def test_a_key_function_that_gives_no_key_is_named() -> None:
    g = cached(key=lambda *args, **kwargs: object())(f)
    with pytest.raises(UnkeyableArgument, match=r"^f: the result of key= has no stable key: an object instance has no"):
        g(1)


def test_a_key_function_of_a_method_is_given_the_instance() -> None:
    class Owner:
        def __init__(self, name):
            self.name = name

        @cached(key=lambda self, x: (self.name, x))
        def m(self, x):
            return object()

    assert Owner("a").m(1) is Owner("a").m(x=1)
    assert Owner("a").m(1) is not Owner("b").m(1)
    assert Owner("a").m.uncache(1) is True


@pytest.mark.parametrize(("key", "kind"), [(5, "an int"), (b"{a}", "a bytes"), ([], "a list"), (True, "a bool")])
def test_any_other_key_is_refused(key: object, kind: str) -> None:
    assert refusal(key=key) == (
        f"f: key={key!r} is {kind}; wanted: a template such as 'user:{{user_id}}', "
        "or a function that takes the call's arguments and returns what is in the key"
    )


# ---- ignore ------------------------------------------------------------------------------------------------------


def untouchable() -> object:
    """Return an object that does not let anybody near it."""

    def touched(*args: object) -> object:
        raise AssertionError("it was touched")

    names = [
        *("getattribute", "getattr", "setattr", "hash", "eq", "ne", "lt", "bool", "len", "iter", "next", "contains"),
        *("repr", "str", "format", "call", "getitem", "index", "int", "float", "reduce", "reduce_ex", "getstate"),
        *("copy", "deepcopy", "sizeof", "dir", "instancecheck", "cache_key", "fspath", "get", "enter", "exit"),
    ]
    return type("Untouchable", (), {f"__{name}__": touched for name in names})()


def test_ignored_arguments_do_not_count_and_are_not_touched() -> None:
    g = cached(ignore=("a", "args"))(f)
    first = g(untouchable(), 5, untouchable())
    assert g(untouchable(), 5) is first
    assert g(b=5, a=untouchable()) is first
    assert g.peek(untouchable(), 5) is first
    assert g(untouchable(), 6) is not first
    assert g.refresh(untouchable(), 5) is not first
    g.put(1, untouchable(), 5)
    assert g.uncache(untouchable(), 5) is True


def test_an_ignored_instance_is_shared() -> None:
    class Owner:
        __slots__ = ()

        @cached(ignore=("self",))
        def m(self, x):
            return object()

    assert Owner().m(1) is Owner().m(1)
    assert Owner().m(1) is not Owner().m(2)


def test_all_may_be_ignored() -> None:
    g = cached(ignore=["a", "b", "args", "c"])(f)
    assert g(1) is g(2, 3, 4, c=5)


def test_ignore_takes_names_of_parameters() -> None:
    there_are = "which is no parameter; there are: 'a', 'b', 'args', 'c'"
    assert refusal(ignore=("a", "x")) == f"f: ignore= names 'x', {there_are}"
    assert refusal(ignore=(1,)) == f"f: ignore= names 1, {there_are}"
    assert refusal(lambda: 1, ignore=("a",)).endswith("ignore= names 'a', which is no parameter; there are: none")
    assert refusal(ignore="a") == "ignore='a' is one text; wanted: a tuple of names, ignore=('a',)"
    for nothing in (None, 5):
        assert refusal(ignore=nothing) == f"ignore={nothing}; wanted: a tuple of names, such as ignore=('db',)"


@pytest.mark.parametrize("key", ["{a}", lambda *args, **kwargs: 1], ids=["template", "function"])
def test_key_leaves_nothing_to_ignore(key: object) -> None:
    assert refusal(key=key, ignore=("b", "c")) == (
        "f: key= says what is in the key, so ignore=('b', 'c') has nothing to add; give one of the two"
    )


# ---- what the keys are -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "v1:golden:63e43f616b62d4cc20a8cb22954216bb"),
        ({"key": "user:{x}"}, "v1:golden:ab72ed542ea3dd3e1c6fd4b847ba6096"),
        ({"key": lambda x, y=2: (x,)}, "v1:golden:6f17aaaffacb7366a99a7b57eca263f4"),
        ({"version": 2}, "v1:golden:63e43f616b62d4cc20a8cb22954216bb@7BVXZFcmofMC"),
    ],
    ids=["all", "template", "function", "version"],
)
def test_keys_are_what_they_were(options: dict[str, object], key: str) -> None:
    """If this fails, what is in caches that run is lost when they are upgraded: give the scheme another number."""
    g = cached(namespace="golden", cache=NO_SERVER, **options)(lambda x, y=2: x)
    assert g.key(7) == key


@pytest.mark.parametrize("cache", [NO_SERVER, SimpleCache()], ids=["shared", "in process"])
def test_a_key_of_a_version_is_the_key_of_the_call_and_a_suffix(cache: Cache) -> None:
    plain, *versions = (
        cached(namespace="p" * 200, cache=cache, version=version)(lambda x: x) for version in (None, 1, True, "1", (1,))
    )
    keys = [f.key("x" * 50) for f in versions]
    assert len(set(keys)) == len(keys)
    assert {key.rpartition("@")[0] for key in keys} == {plain.key("x" * 50)}
    assert all(len("prefix".ljust(100) + key) <= 250 for key in keys)  # as long as a memcached takes them
    assert without_version(keys[0]) == (plain.key("x" * 50) if cache is NO_SERVER else keys[0])


@pytest.mark.parametrize("key", ["me@example.org", "v1:shop@123456789012", f"v1:a:{'0' * 32}@short", ""])
def test_a_key_of_the_users_has_no_version(key: str) -> None:
    assert without_version(key) == key


def test_functions_of_one_namespace_with_different_templates_share_nothing() -> None:
    g, h = (cached(namespace="one", key=key)(lambda x: object()) for key in ("user:{x}", "account:{x}"))
    assert g.key(1) != h.key(1)
    assert g(1) is not h(1)
