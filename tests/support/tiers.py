"""Two tiers to be tested: with a far cache that is looked at, and that something can be done in the middle of."""

from collections.abc import Callable
from typing import Any

from memocache import Cache, CachedFunction, MemcachedCache, SimpleCache, TieredCache, cached, uncache_tag
from memocache._entry import Entry

NEAR = 5


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

    def claim(self, *arguments: Any) -> Any:
        return self._watched("claim", *arguments)

    def fill(self, *arguments: Any) -> Any:
        return self._watched("fill", *arguments)

    def forget(self, *arguments: Any) -> Any:
        return self._watched("forget", *arguments)

    def forget_call(self, *arguments: Any) -> Any:
        return self._watched("forget_call", *arguments)

    def forget_tag(self, *arguments: Any) -> Any:
        return self._watched("forget_tag", *arguments)

    def peek(self, *arguments: Any) -> Any:
        return self._watched("peek", *arguments)

    def get_dict(self, *keys: str) -> Any:
        return self._watched("get_dict", *keys)


def _nothing() -> None:
    pass


class World:
    """A function of the *truth* on two tiers, as this process and as another one has it."""

    def __init__(
        self,
        *addresses: Any,
        prefix: str,
        near: SimpleCache | None = None,
        kind: type[Watched] = Watched,
        **options: Any,
    ) -> None:
        self.truth = 1
        self.computed = 0
        self.far = kind(addresses, key_prefix=prefix, timeout=5)
        self.cache = TieredCache(SimpleCache() if near is None else near, self.far, near_timeout=NEAR)
        self.elsewhere = TieredCache(SimpleCache(), kind(addresses, key_prefix=prefix, timeout=5), near_timeout=NEAR)
        self.f = self.on(self.cache, **options)
        self.g = self.on(self.elsewhere, **options)

    def on(self, cache: Cache, **options: Any) -> CachedFunction[[int], Any]:
        @cached(cache=cache, **{"namespace": "f", "timeout": 60, "tags": ("x:{x}",)} | options)
        def f(x: int) -> Any:
            self.computed += 1
            return [x, self.truth]

        return f

    def near(self) -> Any:
        """Have `f(1)` near, and return it."""
        self.f(1)
        value = self.f(1)
        self.far.asked.clear()
        assert self.f(1) is value
        assert self.far.asked == []
        return value


class Unfenced(TieredCache):
    """Tiers as they are mostly built: what was read from far is put into near, whatever has happened since."""

    def look(self, key: str, groups: tuple[str, ...], now: float, lease: float) -> Any:
        (entry,) = self._near.peek((key,), (groups,), now)
        if entry is not None:
            return entry
        found = self._far.look(key, groups, now, lease)
        if isinstance(found, Entry):
            self._near.fill(self._near.claim(key, groups, now, lease), self._near_entry(found, groups, now))
        return found


FORGETTINGS = [
    *("uncache", "uncache_all", "uncache_tag", "uncache_where", "delete", "delete_many"),
    *("clear", "put", "refresh", "set", "set_many", "unless"),
]


def change(f: CachedFunction[[int], Any], how: str, truth: int) -> None:
    """Forget or replace `f(1)` in one of the ways."""
    key, cache = f.key(1), f.cache
    ways: dict[str, Callable[[], object]] = {
        "uncache": lambda: f.uncache(1),
        "uncache_all": f.uncache_all,
        "uncache_tag": lambda: uncache_tag("x:1", cache),
        "uncache_where": lambda: f.uncache_where(x=1),
        "delete": lambda: cache.delete(key),
        "delete_many": lambda: cache.delete_many("nothing", key),
        "clear": cache.clear,
        "put": lambda: f.put([1, truth], 1),
        "refresh": lambda: f.refresh(1),
        "set": lambda: cache.set(key, [1, truth]),
        "set_many": lambda: cache.set_many({key: [1, truth]}),
        "unless": lambda: f.put(None, 1),
    }
    ways[how]()
