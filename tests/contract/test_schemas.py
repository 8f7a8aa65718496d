"""Releases whose results have other fields, side by side on every shared cache: each has entries of its own."""

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple, TypedDict

import attrs
import msgspec
import pydantic
import pytest

from memocache import Cache, cached

Make = Callable[[], Cache]
FAMILIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "dataclass": lambda fields: dataclasses.make_dataclass("Thing", fields.items()),
    "attrs": lambda fields: attrs.make_class("Thing", {name: attrs.field(type=kind) for name, kind in fields.items()}),
    "pydantic": lambda fields: pydantic.create_model("Thing", **{name: (kind, ...) for name, kind in fields.items()}),
    "Struct": lambda fields: msgspec.defstruct("Thing", list(fields.items())),
    "NamedTuple": lambda fields: NamedTuple("Thing", fields.items()),  # type: ignore[misc]
    "TypedDict": lambda fields: TypedDict("Thing", fields),  # type: ignore[operator]
}
OLD = {"name": str, "count": int}
NEW = {
    "a renamed field": {"title": str, "count": int}, "another type": {"name": str, "count": float},
    "one more": {"name": str, "count": int, "more": bool}, "one less": {"name": str},
    "None allowed": {"name": str, "count": int | None}, "a type inside": {"name": str, "count": int | list[int]},
}  # fmt: skip
SAMPLES = {"name": "n", "title": "t", "more": True, "count": 3}


def release(cache: Cache, family: str, fields: dict[str, Any], *, deep: bool = False) -> Any:
    """The function of a release in which results have these *fields*, perhaps *deep* in another class."""
    kind = FAMILIES[family](fields)
    kind.__module__, kind.__qualname__ = "shop.models", "Thing"
    hint = dict[str, list[dataclasses.make_dataclass("Outer", [("thing", kind)])]] if deep else kind  # type: ignore[misc]

    def find(number: int) -> Any:
        computed.append(number)
        thing = kind(**{name: SAMPLES[name] for name in fields})
        return {"x": [hint.__args__[1].__args__[0](thing)]} if deep else thing

    find.__annotations__["return"] = hint
    computed: list[int] = []
    function: Any = cached(timeout=60, cache=cache, namespace="find")(find)
    function.computed = computed
    return function


@pytest.mark.parametrize("change", NEW)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_changed_field_is_a_miss_and_what_one_release_forgets_the_other_forgets(
    make: Make, family: str, change: str
) -> None:
    old, new = release(make(), family, OLD), release(make(), family, NEW[change])
    assert old(1) == old(1)
    assert new(1) == new(1)
    assert (old.computed, new.computed) == ([1], [1])
    assert release(make(), family, OLD).info().failures == new.info().failures == 0
    assert old.key(1) != new.key(1)
    assert new.uncache(1)
    old(1)
    new(1)
    assert (old.computed, new.computed) == ([1, 1], [1, 1])
    old.uncache_all()
    new(1)
    assert new.computed == [1, 1, 1]


@pytest.mark.parametrize("family", FAMILIES)
def test_so_is_one_deep_inside(make: Make, family: str) -> None:
    old = release(make(), family, OLD, deep=True)
    again = release(make(), family, dict(reversed(OLD.items())), deep=True)
    new = release(make(), family, NEW["another type"], deep=True)
    for each in (old, again, new):
        each(1)
        each(1)
    assert (old.computed, again.computed, new.computed) == ([1], [], [1])


def test_a_call_without_a_schema_has_the_key_that_it_had(make: Make) -> None:
    def find(number: int) -> dict[str, list[int]]:
        return {}

    assert "@" not in cached(cache=make(), namespace="find")(find).key(1)  # type: ignore[call-arg]


def test_a_version_stays_one(make: Make) -> None:
    cache = make()
    kind = dataclasses.make_dataclass("Thing", OLD.items())
    keys = set()
    for version in (None, 1, 2):

        @cached(timeout=60, cache=cache, namespace="find", version=version)
        def find(number: int) -> kind:  # type: ignore[valid-type]
            return kind("n", 1)

        keys.add(find.key(1))
        find(1)
        find(1)
        assert find.info().hits == 1
    assert len(keys) == 3


def test_coroutine_functions_have_one_too(make: Make) -> None:
    found = []
    for fields in (OLD, NEW["another type"]):
        kind = dataclasses.make_dataclass("Thing", fields.items())

        @cached(timeout=60, cache=make(), namespace="find")
        async def find(number: int) -> kind:  # type: ignore[valid-type]
            return kind("n", 1)  # noqa: B023

        async def use() -> None:
            await find(1)
            await find(1)
            found.append(await find.uncache(1))

        asyncio.run(use())
        assert (find.info().hits, find.info().misses) == (1, 1)
    assert found == [True, True]
