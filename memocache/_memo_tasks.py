"""What can be done with a call of a coroutine function: each is awaited, and none blocks the event loop."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from memocache._clock import now
from memocache._entry import Entry
from memocache._many import Looked, spelt
from memocache._memo import Memo
from memocache._missing import MISSING
from memocache._readthrough import forget_group, peek, put, read_through, refresh
from memocache._registry import is_disabled
from memocache._site import Site
from memocache._steps import Steps
from memocache._tasks import TaskRun, keep
from memocache._view_keys import forgetting
from memocache._views import frameworks, view_call
from memocache.errors import UncacheFailed

__all__ = ["TaskMemo", "forget_in_task"]


class TaskMemo(Memo):
    """A coroutine function that was decorated."""

    is_async = True

    async def begin(  # type: ignore[override]
        self,
        counted: tuple[object, ...],
        compute: Callable[[], Awaitable[Any]],
        *,
        tagged: tuple[object, ...] | None = None,
    ) -> Any:
        """Return the result of a call that is no hit in process: what is there, or what *compute* makes."""
        if frameworks:
            view = view_call(self, counted, compute)
            if view is not None:
                return await view.begin(self, counted, compute, tagged)
        if is_disabled():
            return await compute()
        place = self.places.settled or self.places.current()
        site = place.site
        key = place.key(counted)
        origin = site.origin if tagged is None else self.origin(site, tagged)
        alias = self.alias(counted) if site.near is not None else None
        if not site.direct:
            return await _taken(site, read_through(site, key, origin, alias=alias), compute)
        seen = site.look(key, origin.groups, now())
        if isinstance(seen, Entry):
            return site.hit(seen, alias).value
        return await _taken(site, read_through(site, key, origin, seen, alias), compute)

    async def uncache(self, /, *args: Any, **kwargs: Any) -> bool:
        site, steps = forgetting(self, args, kwargs)
        return bool(await _taken(site, steps))

    async def uncache_all(self) -> None:
        place = self.place()
        await _taken(place.site, forget_group(place.site, place.keys.group))

    async def uncache_where(self, some: dict[str, Any]) -> None:
        site, group = self.place().site, self.tags.where(some)
        await _taken(site, forget_group(site, group))

    async def refresh(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        compute = partial(self.function, *args, **kwargs)
        if is_disabled():
            return await compute()
        site, key, origin = self.located(args, kwargs)
        return await _taken(site, refresh(site, key, origin), compute)

    async def many(self, first: tuple[Any, ...], calls: Iterable[object]) -> list[Any]:
        asked = [spelt(first, call) for call in calls]
        if is_disabled():
            return await _in_order([_called(self.function, args, kwargs) for args, kwargs in asked])
        looked = Looked(self, asked)
        entries = looked.fresh(await _taken(looked.site, looked.peek()))
        return await _in_order(
            [
                _given(looked, entry) if entry is not None else self.call(*args, **kwargs)
                for entry, (args, kwargs) in zip(entries, asked, strict=True)
            ]
        )

    async def peek(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        site, key, origin = self.located(args, kwargs)
        (entry,) = (None,) if is_disabled() else await _taken(site, peek(site, (key,), (origin.groups,)))
        return MISSING if entry is None else site.served(entry.value)

    async def put(self, value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        site, key, origin = self.located(args, kwargs)
        if not is_disabled():
            await _taken(site, put(site, key, origin, value), partial(self.function, *args, **kwargs))

    async def clear(self) -> None:
        await self.uncache_all()
        self.place().site.counters.reset()


async def _called(function: Callable[..., Awaitable[Any]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call *function* when this is awaited: one that does not take its arguments leaves the other calls alone."""
    return await function(*args, **kwargs)


async def _given(looked: Looked, entry: Entry) -> Any:
    return looked.hit(entry)


async def _in_order(calls: list[Awaitable[Any]]) -> list[Any]:
    """Return the results of *calls*, made at once; when all are over, the first that failed raises."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


async def forget_in_task(todo: list[tuple[Site, Steps]]) -> None:
    """Take all the steps that forget something; also if this task is cancelled, since what they forget has changed."""
    task = asyncio.get_running_loop().create_task(_forgotten(todo))
    keep(task)
    await asyncio.shield(task)


async def _forgotten(todo: list[tuple[Site, Steps]]) -> None:
    failed = None
    for site, steps in todo:
        try:
            await _taken(site, steps)
        except UncacheFailed as error:  # the others can be forgotten all the same
            failed = error
    if failed is not None:
        raise failed


async def _nothing() -> None:
    """Stand for the computation of steps that have none."""


async def _taken(site: Site, steps: Steps, compute: Callable[[], Awaitable[Any]] = _nothing) -> Any:
    """Take *steps* as far as they go, and return what the caller gets."""
    return await TaskRun(steps, compute, None if site.direct else site.cache.awaited).result()
