"""Annotations with names that are not there yet: Python 3.14 evaluates them when somebody asks for them."""

# ruff: noqa: F821

import asyncio
import functools
import inspect
import sys
from typing import Any

import pytest

from memocache import ForeignCache, SimpleCache, cached, uncaches

if sys.version_info < (3, 14):
    pytest.skip("annotations are evaluated at once", allow_module_level=True)

from annotationlib import Format, get_annotations


def passed_on(function: Any) -> Any:
    @functools.wraps(function)
    def wrapper(*args: Later, **kwargs: Later) -> Later:
        return function(*args, **kwargs)

    return wrapper


class Shop:
    """Its name is not there yet where its methods are decorated."""

    @cached(timeout=60)
    def same(self, other: Shop | None = None) -> Shop:
        return self

    @cached
    @classmethod
    def made(cls, x: Shop | int) -> tuple[type[Shop], Any]:
        return cls, x

    @cached
    @staticmethod
    def half(x: Later) -> Later:
        return x / 2

    @cached
    async def awaited(self, x: Later) -> list[Shop]:
        return [self]

    @cached
    @passed_on
    def wrapped(self, x: Later) -> Later:
        return x


def test_methods_may_name_their_class() -> None:
    shop = Shop()
    assert shop.same() is shop.same() is shop
    assert shop.same.info().hits >= 1
    assert shop.made(1) is Shop.made(x=1)
    assert Shop.half(3) == 1.5
    assert shop.wrapped(x=3) == shop.wrapped(3) == 3
    assert asyncio.run(shop.awaited(1)) == [shop]


def test_what_options_are_given_may_name_what_is_not_there_yet() -> None:
    def key(x: Later, y: Later) -> Later:
        return x

    def timeout(result: Later) -> Later:
        return 60

    def tags(x: Later) -> Later:
        return f"t{x}"

    @cached(key=key, timeout=timeout, tags=(tags,))
    def read(x: Later, y: Later = 1) -> Later:
        return x

    @uncaches(read, ("{x}",))
    def write(x: Later) -> Later:
        return x

    assert read(1) == read(x=1) == 1
    assert write(1) == 1
    assert read(1) == 1
    assert read.info().misses == 2


def test_caches_may_name_what_is_not_there_yet() -> None:
    class Cache:
        def __init__(self) -> None:
            self.inner: dict[str, Any] = {}

        def get(self, key: Later) -> Later:
            return self.inner.get(key)

        def set(self, key: Later, value: Later, ttl: Later) -> Later:
            self.inner[key] = value

        def delete(self, key: Later) -> Later:
            return self.inner.pop(key, None) is not None

    class OwnCache(SimpleCache):
        def __init__(self, threshold: Later = 10) -> None:
            super().__init__(threshold=threshold)

    for cache in (OwnCache(), ForeignCache(Cache())):

        @cached(cache=cache, timeout=60)
        def read(x: int) -> int:
            return x

        assert read(1) == read(1) == 1
        assert read.info().hits == 1


def test_annotations_are_the_functions_own() -> None:
    @cached
    def read(x: Later) -> list[Later]:
        return [x]

    with pytest.raises(NameError, match="Later"):
        read.__annotations__
    assert get_annotations(read, format=Format.STRING) == {"x": "Later", "return": "list[Later]"}
    assert str(inspect.signature(read, annotation_format=Format.STRING)) == "(x: 'Later') -> 'list[Later]'"
    assert get_annotations(Shop().half, format=Format.STRING) == {"x": "Later", "return": "Later"}
    assert get_annotations(Shop().awaited, format=Format.STRING) == {"x": "Later", "return": "list[Shop]"}
    assert Shop().same.__annotations__ == {"other": Shop | None, "return": Shop}
