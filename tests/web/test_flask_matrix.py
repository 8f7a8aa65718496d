"""The matrix and the fuzzed headers, end to end through Flask; each view says how often it was computed."""

import itertools
from typing import Any

import pytest
from flask import Flask, Response, make_response

from memocache import SimpleCache, cached
from memocache.backends.base import Cache
from tests.web.fuzz import combinations
from tests.web.matrix import CASES, PLAIN, Ask, Case, Reply


class Site:
    """An application with one view, cached on *cache*, that answers every request with the reply it is given."""

    def __init__(self, cache: Cache, terms: dict[str, Any]) -> None:
        self.app = Flask(__name__)
        self.app.config["CACHE_STATUSES"] = terms.get("statuses", ())
        self.reply = Reply()
        self.numbers = itertools.count(1)
        key = (lambda: "same") if terms.get("keyed") else None
        methods = ["GET", "POST", "PUT", "DELETE"]

        @self.app.route("/page", methods=methods)
        @self.app.route("/page/", methods=methods)
        @cached(timeout=300, cache=cache, namespace="view", vary=terms.get("vary", ()), key=key)
        def view() -> Response:
            body = f"{next(self.numbers)}"
            made = make_response(iter([body]) if self.reply.streamed else body, self.reply.status)
            for name, value in self.reply.headers:
                made.headers.add(name, value)
            return made

    def ask(self, ask: Ask) -> Response:
        with self.app.test_client(use_cookies=False) as client:
            return client.open(
                ask.target,
                method=ask.method,
                headers=list(ask.headers),
                data=ask.body or None,
                base_url=f"{ask.scheme}://{ask.host}",
            )

    @property
    def computed(self) -> int:
        return int(repr(self.numbers)[6:-1]) - 1


@pytest.fixture
def cache() -> Cache:
    return SimpleCache()


def is_served(site: Site, first: Ask, second: Ask) -> bool:
    """Return whether *second* is answered with what the first has left."""
    one = site.ask(first)
    assert site.computed == 1
    two = site.ask(second)
    hit = site.computed == 1
    if hit and second.method != "HEAD":
        assert two.data == one.data
    assert two.status == one.status
    assert "Age" in two.headers or not hit
    return hit


@pytest.mark.parametrize("case", CASES, ids=str)
def test_matrix(case: Case, cache: Cache) -> None:
    site = Site(cache, case.terms)
    site.reply = case.reply
    assert is_served(site, case.first, case.second) is case.cached
    # A decorator that stores nothing would pass half of them.
    control = Site(SimpleCache(), {})
    assert is_served(control, PLAIN, PLAIN)


def test_fuzzed_headers() -> None:
    site = Site(SimpleCache(threshold=100_000), {})
    wrong = []
    for each in combinations(10_000):
        site.reply = each.reply
        before = site.computed
        one, two = site.ask(each.ask), site.ask(each.ask)
        hit = site.computed == before + 1
        if hit is not each.cached or (hit and one.data != two.data):
            wrong.append(each)
    assert not wrong, (len(wrong), wrong[0])
