"""The matrix and the fuzzed headers, end to end through Flask; each view says how often it was computed."""

import pytest

from memocache import Cache, SimpleCache
from tests.web.flask_site import FlaskSite, ours
from tests.web.fuzz import combinations
from tests.web.matrix import CASES, PLAIN, Case
from tests.web.sites import is_served, wrong_in


@pytest.fixture
def cache() -> Cache:
    return SimpleCache()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_matrix(case: Case, cache: Cache) -> None:
    site = FlaskSite(ours(cache, case.terms), case.terms)
    site.reply = case.reply
    assert is_served(site, case.first, case.second) is case.cached
    # A decorator that stores nothing would pass half of them.
    control = FlaskSite(ours(SimpleCache()))
    assert is_served(control, PLAIN, PLAIN)


def test_fuzzed_headers() -> None:
    wrong = wrong_in(FlaskSite(ours(SimpleCache(threshold=100_000))), combinations(10_000))
    assert not wrong, (len(wrong), wrong[0])
