"""What tests of every framework do with an application that has one cached view, a site such as FlaskSite."""

from collections.abc import Callable
from typing import Any, Protocol

from memocache import SimpleCache
from tests.web.fuzz import Combination
from tests.web.matrix import PLAIN, Ask, Case, Reply

__all__ = ["Decorator", "Site", "check", "is_served", "wrong_in"]

Decorator = Any
"""Decorates a view, as `cached(timeout=300)` does."""


class Answer(Protocol):
    """A response as its client sees it; names of headers are looked up in any case."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Any: ...
    @property
    def data(self) -> bytes: ...


class Site(Protocol):
    """An application that answers every request with *reply*, and a body that says how often it has computed one."""

    reply: Reply
    computed: int

    def ask(self, ask: Ask) -> Any:
        """Return the Answer."""


def is_served(site: Site, first: Ask, second: Ask) -> bool:
    """Return whether *second* is answered with what the first has left."""
    one = site.ask(first)
    assert site.computed == 1
    two = site.ask(second)
    hit = site.computed == 1
    if hit and second.method != "HEAD":
        assert two.data == one.data
    assert two.status_code == one.status_code
    assert "Age" in two.headers or not hit
    return hit


def check(case: Case, make: Callable[..., Site], ours: Callable[..., Any]) -> None:
    """Assert that a site does in *case* what may be done; *make* makes one with what *ours* decorates its view with."""
    site = make(ours(SimpleCache(), case.terms), case.terms)
    site.reply = case.reply
    assert is_served(site, case.first, case.second) is case.cached
    # A decorator that stores nothing would pass half of them.
    assert is_served(make(ours(SimpleCache())), PLAIN, PLAIN)


def wrong_in(site: Site, combinations: list[Combination]) -> list[Combination]:
    """Return those that the site stores though it may not, or does not though it may."""
    wrong = []
    for each in combinations:
        site.reply = each.reply
        before = site.computed
        one, two = site.ask(each.ask), site.ask(each.ask)
        hit = site.computed == before + 1
        if hit is not each.cached or (hit and one.data != two.data):
            wrong.append(each)
    return wrong
