"""Exchange: one call of a view in one request, as an adapter of a framework shows it to the rules."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from memocache.web._finish import additions, is_unmodified
from memocache.web._rules import Answer, Asked, Terms
from memocache.web._stored import Stored

__all__ = ["Exchange", "Finish", "Shown"]


@dataclass(frozen=True, slots=True)
class Shown:
    """How the framework is going to answer with what a view returned; and what is stored of that.

    *kind* and *payload* are as in Stored.
    """

    answer: Answer
    kind: str
    payload: Any


@dataclass(frozen=True, slots=True)
class Finish:
    """What is to be done with the response when the framework has made it of what the view returned."""

    asked: Asked
    terms: Terms
    stored: Stored
    now: float
    hit: bool

    def headers(self, headers: Sequence[tuple[str, str]], body: bytes | None) -> dict[str, str]:
        """Return the headers to set, in place of those of the same name; *body* None if it is not there."""
        return additions(headers, body, self.terms, self.stored, self.now, hit=self.hit)

    def is_unmodified(self, status: int, headers: Sequence[tuple[str, str]]) -> bool:
        """Return whether the response, with all its *headers*, is to become 304, without body."""
        return is_unmodified(self.asked, status, headers)


class Exchange(ABC):
    """One call of a view in one request.

    Args:
        asked: the request.
        terms: what the user has said of the view.
    """

    loop_stays: bool = True
    """For coroutine functions: whether the event loop goes on when the request is over."""

    def __init__(self, asked: Asked, terms: Terms) -> None:
        self.asked = asked
        self.terms = terms

    @abstractmethod
    def where(self, *, shared: bool) -> tuple[object, ...]:
        """Return what tells apart where views are called, such as the application and the endpoint, for the key.

        Where the cache is *shared*, these must be names that other processes know, too.
        """

    def complete(self, value: Any) -> Any:
        """Return *value*, which the view returned, when what the framework does with it before all else is done."""
        return value

    async def complete_in_task(self, value: Any) -> Any:
        """Do what `complete` does for a coroutine function, without blocking the event loop."""
        return self.complete(value)

    @abstractmethod
    def shown(self, value: Any) -> Shown | None:
        """Return how the framework will answer with *value*, which the view returned; None if it cannot be told."""

    @abstractmethod
    def is_private(self) -> bool:
        """Return whether something for this client only goes along, that is not in the response yet: its session."""

    @abstractmethod
    def rebuilt(self, status: int, headers: Sequence[tuple[str, str]], body: bytes) -> Any:
        """Return a response of its own from what was stored of one."""

    def given(self, value: Any) -> Any:
        """Return what the caller gets in place of *value*, which was computed for it."""
        return value

    @abstractmethod
    def finish(self, finish: Finish) -> None:
        """Have *finish* done with the response to this request, if that will be what this call returns."""

    @abstractmethod
    def in_background(self, compute: Callable[[], Any]) -> Callable[[], Any]:
        """Return what calls *compute* in a thread of its own as if in this request, which may be over by then.

        A coroutine function is computed in a task that has this one's context variables instead.
        """
