"""What is right, and pyright takes for an error. docs/features/typing.md has the ways round.

Mypy finds no error here, but for those that both find.
"""

from abc import ABC, abstractmethod
from typing import Protocol

from starlette.requests import Request

from memocache import CachedFunction, cached


class Priced(ABC):
    @abstractmethod
    def price(self, article: int) -> float: ...

    @cached
    def name(self, article: int) -> object:
        return ""


def of_class(cls: type[object], x: int) -> float:
    return x


class HasPrice(Protocol):
    def price(self, article: int) -> float: ...


@cached
def with_default(x: int, y: int = 0) -> float:
    return x + y


@cached
def page(request: Request, number: int) -> str:
    return str(number)


class Shop(Priced):
    # A descriptor never overrides a method, as with functools.cache.
    @cached
    def price(self, article: int) -> int:  # pyright: ignore[reportIncompatibleMethodOverride]
        return 1

    # The parameters of the two must be the same, and self is not.
    @cached
    def name(self, article: int) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return ""

    @cached
    @staticmethod
    def shown(item: object) -> str:
        return str(item)


# A static method whose first parameter is any object is taken for a class method.
Shop.shown(1)  # type: ignore[call-arg]

# In the place of a view's request there is None where it is forgotten.
page.uncache(None, 7)  # type: ignore[arg-type]

# Both see what a class makes of a function only in a decorator.
cached(classmethod(of_class))  # type: ignore[call-overload]

# It is not bound where a Protocol asks for a method.
shop: HasPrice = Shop()  # pyright: ignore[reportAssignmentType]


# A parameter more is one too many, though it may be left out.
one: CachedFunction[[int], float] = with_default  # pyright: ignore[reportAssignmentType]

# The parameters of a lambda are not known where any function will do.
cached(key=lambda x: x)  # pyright: ignore[reportUnknownLambdaType, reportUnknownArgumentType]
