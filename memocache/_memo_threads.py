"""What can be done with a call of an ordinary function: it blocks the thread until it is done."""

import time
from collections.abc import Callable, Iterable
from typing import Any, cast

from memocache._entry import Entry
from memocache._leading import Led
from memocache._many import Looked, spelt
from memocache._memo import Memo
from memocache._missing import MISSING
from memocache._readthrough import compute_only, forget_group, peek, put, read_through, refresh
from memocache._registry import is_disabled
from memocache._site import Seen
from memocache._steps import Run, Served
from memocache._view_keys import forgetting, may_have_views
from memocache._views import frameworks, view_call
from memocache.backends.base import Lease
from memocache.errors import BackendError, UnkeyableArgument

__all__ = ["ThreadMemo"]


class ThreadMemo(Memo):
    """An ordinary function that was decorated."""

    is_async = False

    def begin(
        self,
        counted: tuple[object, ...],
        compute: Callable[[], Any] | None = None,
        *,
        tagged: tuple[object, ...] | None = None,
    ) -> Run | Entry | Served:
        """Run a call as far as its computation, for the function's own call to go on with."""
        if frameworks:
            view = view_call(self, counted, compute)
            if view is not None:
                return cast("Run", view.begin(self, counted, compute, tagged))
        if is_disabled():
            return Run(compute_only())
        place = self.places.settled or self.places.current()
        site = place.site
        key = place.key(counted)
        alias = self.alias(counted) if site.near is not None else None
        origin = site.origin if tagged is None else self.origin(site, tagged)
        # Looked at here, since a hit needs none of the steps, and with the clock's own function: see `now`.
        seen: Seen
        try:
            seen = site.cache.look(key, origin.groups, time.time(), site.lease)
        except BackendError as error:
            site.unanswered(error)
            seen = None
        if type(seen) is Lease:
            seen.alias = alias
            return Led(site, seen, origin)
        if isinstance(seen, Entry):
            return site.hit(seen, alias)
        return Run(read_through(site, key, origin, seen, alias), compute)

    def uncache(self, /, *args: Any, **kwargs: Any) -> bool:
        place = self.places.settled or self.places.current()
        if may_have_views(self, place):
            return bool(Run(forgetting(self, args, kwargs)[1]).value)
        try:
            key = self.known_key(place, (self._counted_of or self.bind)(*args, **kwargs))
        except UnkeyableArgument:
            return bool(Run(forgetting(self, args, kwargs)[1]).value)
        try:
            return place.site.cache.forget(key)  # as the steps of `forget` do, which would take half as long again
        except BackendError as error:
            raise place.site.not_forgotten(error) from error

    def uncache_all(self) -> None:
        place = self.place()
        Run(forget_group(place.site, place.keys.group))

    def uncache_where(self, some: dict[str, Any]) -> None:
        Run(forget_group(self.place().site, self.tags.where(some)))

    def refresh(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        run = Run(compute_only() if is_disabled() else refresh(*self.located(args, kwargs)))
        if run.ready:
            return run.value
        try:
            value = self.function(*args, **kwargs)
        except BaseException as error:
            run.failed(error)
            raise
        return run.computed(value)

    def many(self, first: tuple[Any, ...], calls: Iterable[object]) -> list[Any]:
        asked = [spelt(first, call) for call in calls]
        if is_disabled():
            return [self.function(*args, **kwargs) for args, kwargs in asked]
        looked = Looked(self, asked)
        entries = looked.fresh(Run(looked.peek()).value)
        return [
            looked.hit(entry) if entry is not None else self.call(*args, **kwargs)
            for entry, (args, kwargs) in zip(entries, asked, strict=True)
        ]

    def peek(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        site, key, origin = self.located(args, kwargs)
        (entry,) = (None,) if is_disabled() else Run(peek(site, (key,), (origin.groups,))).value
        return MISSING if entry is None else site.served(entry.value)

    def put(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        steps = put(*self.located(args, kwargs), value)
        if not is_disabled():
            Run(steps)

    def clear(self) -> None:
        self.uncache_all()
        self.place().site.counters.reset()
