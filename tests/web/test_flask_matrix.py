"""The matrix and the fuzzed headers, end to end through Flask; each view says how often it was computed."""

import pytest

from memocache import Cache, SimpleCache
from tests.web.flask_site import FlaskSite, ours
from tests.web.fuzz import combinations
from tests.web.matrix import CASES, PLAIN, Ask, Case


@pytest.fixture
def cache() -> Cache:
    return SimpleCache()


def is_served(site: FlaskSite, first: Ask, second: Ask) -> bool:
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
    site = FlaskSite(ours(cache, case.terms), case.terms)
    site.reply = case.reply
    assert is_served(site, case.first, case.second) is case.cached
    # A decorator that stores nothing would pass half of them.
    control = FlaskSite(ours(SimpleCache()))
    assert is_served(control, PLAIN, PLAIN)


def test_fuzzed_headers() -> None:
    site = FlaskSite(ours(SimpleCache(threshold=100_000)))
    wrong = []
    for each in combinations(10_000):
        site.reply = each.reply
        before = site.computed
        one, two = site.ask(each.ask), site.ask(each.ask)
        hit = site.computed == before + 1
        if hit is not each.cached or (hit and one.data != two.data):
            wrong.append(each)
    assert not wrong, (len(wrong), wrong[0])
