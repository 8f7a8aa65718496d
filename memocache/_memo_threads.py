"""What can be done with a call of an ordinary function: it blocks the thread until it is done."""

import time
from collections.abc import Callable
from typing import Any

from memocache._entry import Entry
from memocache._memo import Memo
from memocache._missing import MISSING
from memocache._readthrough import compute_only, lead, put, read_through, refresh
from memocache._registry import is_disabled
from memocache._site import Seen
from memocache._steps import Run, Served
from memocache.backends.base import Lease
from memocache.errors import BackendError

__all__ = ["ThreadMemo"]


class ThreadMemo(Memo):
    """An ordinary function that was decorated."""

    is_async = False

    def begin(self, counted: tuple[object, ...], compute: Callable[[], Any] | None = None) -> Run | Entry | Served:
        """Run a call as far as its computation, for the function's own call to go on with."""
        if is_disabled():
            return Run(compute_only())
        place = self._settled or self.place()
        site = place.site
        key = place.key(counted)
        alias = self._alias(counted) if site.direct else None
        # Looked at here, since a hit needs none of the steps, and with the clock's own function: see `now`.
        seen: Seen
        try:
            seen = site.cache.look(key, site.groups, time.time(), site.lease)
        except BackendError as error:
            site.unanswered(error)
            seen = None
        if isinstance(seen, Entry):
            return site.hit(seen, alias)
        if type(seen) is Lease:
            seen.alias = alias
            return Run(lead(site, seen))
        return Run(read_through(site, key, seen, alias), compute)

    def uncache(self, /, *args: Any, **kwargs: Any) -> bool:
        place = self.place()
        return self.forget(place.site.cache, self.known_key(place, (self._counted_of or self.bind)(*args, **kwargs)))

    def uncache_all(self) -> None:
        self.forget_all(self.place())

    def refresh(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        site, key = self.located(args, kwargs)
        run = Run(compute_only() if is_disabled() else refresh(site, key))
        if run.ready:
            return run.value
        try:
            value = self.function(*args, **kwargs)
        except BaseException as error:
            run.failed(error)
            raise
        return run.computed(value)

    def peek(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        site, key = self.located(args, kwargs)
        entry = None if is_disabled() else site.peek(key)
        return MISSING if entry is None else site.served(entry.value)

    def put(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        site, key = self.located(args, kwargs)
        if not is_disabled():
            Run(put(site, key, value))

    def clear(self) -> None:
        self.uncache_all()
        self.place().site.counters.reset()
