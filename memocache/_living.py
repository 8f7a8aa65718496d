"""Living: a set of objects that it does not keep alive, which threads may add to while others go through it."""

import weakref
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")


class Living(weakref.WeakSet[T]):
    """The objects of one sort that there are; who goes through them sees those that there were at one moment."""

    def __iter__(self) -> Iterator[T]:
        while True:
            try:
                return iter(list(super().__iter__()))
            except RuntimeError:  # another thread has just added one
                continue
