"""Many calls at once: how they are spelt, and one look at the cache for all of them."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from memocache._clock import now
from memocache._entry import Entry
from memocache._memo import Memo
from memocache._readthrough import peek
from memocache._steps import Steps

__all__ = ["Looked", "spelt"]

Spelling: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]


def spelt(first: tuple[Any, ...], call: object) -> Spelling:
    """Return *call*, a tuple of positional or a dict of named arguments, with *first* before them."""
    if isinstance(call, tuple):
        return (*first, *call), {}
    if isinstance(call, dict):
        return first, call
    raise TypeError(
        f"many() got {call!r}, a {type(call).__name__}; "
        f"wanted: calls, each a tuple of arguments, such as ({call!r},), or a dict of named ones"
    )


class Looked:
    """What is stored for some *calls* of *memo*'s function, in one round trip."""

    def __init__(self, memo: Memo, calls: Sequence[Spelling]) -> None:
        located = [memo.located(args, kwargs) for args, kwargs in calls]
        self.site = located[0][0] if located else memo.place().site
        self._keys = [key for _, key, _ in located]
        self._groups = [origin.groups for _, _, origin in located]

    def peek(self) -> Steps:
        """Return what is there of each call."""
        return peek(self.site, self._keys, self._groups)

    def fresh(self, entries: Sequence[Entry | None]) -> list[Entry | None]:
        """Return those of *entries* that are fresh; what is older its own call shall have refreshed."""
        moment = now()
        return [entry if entry is not None and moment < entry.fresh else None for entry in entries]

    def hit(self, entry: Entry) -> Any:
        """Count that *entry* is served, and return the value that the caller gets."""
        if entry.counts:
            entry.hits += 1
        return self.site.hit(entry, None).value
