"""What is right, and mypy takes for an error or does not know. docs/features/typing.md has the ways round."""

from collections.abc import Sequence
from typing import Any, Self, TypeVar, assert_type

from memocache import cached

T = TypeVar("T")


class Shop:
    @cached
    def loaded(self, kind: type[T], key: int) -> T:
        return kind()

    @cached
    @classmethod
    def boxed(cls, item: T, times: int = 1) -> list[T]:
        return [item] * times

    @cached
    @staticmethod
    def first(items: Sequence[T]) -> T:
        return items[0]

    @cached
    @staticmethod
    def shown(item: object) -> str:
        return str(item)

    @cached
    def itself(self) -> Self:
        return self


# A generic method is unknown through an instance.
assert_type(Shop().loaded(int, 1), Any)
assert_type(Shop.loaded(Shop(), int, 1), int)

# A generic class method has no parameters.
Shop.boxed(1)  # type: ignore[arg-type]

# A generic static method is taken for a method, through an instance.
assert_type(Shop.first([1]), int)
Shop().first([1])  # type: ignore[call-arg]

# A static method whose first parameter is any object is taken for a class method.
Shop.shown(1)  # type: ignore[call-arg]

# So is a method that returns Self, through the class.
Shop.itself(Shop())  # type: ignore[call-arg]
