"""A shared cache that is looked at, and that something can be done in the middle of."""

from collections.abc import Callable
from typing import Any

from memocache import MemcachedCache

__all__ = ["Watched"]


class Watched(MemcachedCache):
    """Notes in *asked* what it is asked, and does what is in *before* and *after* by that name, once each."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked: list[str] = []
        self.before: dict[str, Callable[[], object]] = {}
        self.after: dict[str, Callable[[], object]] = {}

    def _watched(self, name: str, *arguments: Any) -> Any:
        self.asked.append(name)
        self.before.pop(name, _nothing)()
        answer = getattr(super(), name)(*arguments)
        self.after.pop(name, _nothing)()
        return answer

    def look(self, *arguments: Any) -> Any:
        return self._watched("look", *arguments)

    def take(self, *arguments: Any) -> Any:
        return self._watched("take", *arguments)

    def fill(self, *arguments: Any) -> Any:
        return self._watched("fill", *arguments)

    def forget(self, *arguments: Any) -> Any:
        return self._watched("forget", *arguments)

    def forget_group(self, *arguments: Any) -> Any:
        return self._watched("forget_group", *arguments)

    def peek(self, *arguments: Any) -> Any:
        return self._watched("peek", *arguments)

    def get_dict(self, *keys: str) -> Any:
        return self._watched("get_dict", *keys)


def _nothing() -> None:
    pass
