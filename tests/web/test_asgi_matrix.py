"""The matrix and the fuzzed headers, end to end through Starlette and FastAPI, endpoints that block or are awaited."""

from collections.abc import Callable
from functools import partial

import pytest

from memocache import SimpleCache
from tests.web.asgi_sites import AsgiSite, DataSite, FastAPISite, StarletteSite, ours
from tests.web.fuzz import combinations
from tests.web.matrix import CASES, OK, PLAIN, Case
from tests.web.sites import check, is_served, wrong_in

SITES = {
    f"{site.__name__}, {'async' if is_async else 'sync'}": partial(site, is_async=is_async)
    for site in (StarletteSite, FastAPISite)
    for is_async in (True, False)
}
Make = Callable[..., AsgiSite]


@pytest.mark.parametrize("make", SITES.values(), ids=SITES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matrix(case: Case, make: Make) -> None:
    check(case, make, ours)


REQUESTS = [case for case in CASES if case.reply == OK and "statuses" not in case.terms]


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("case", REQUESTS, ids=str)
def test_requests_for_plain_data(case: Case, is_async: bool) -> None:
    site = DataSite(ours(SimpleCache(), case.terms), is_async=is_async)
    assert is_served(site, case.first, case.second) is case.cached
    assert is_served(DataSite(ours(SimpleCache()), is_async=is_async), PLAIN, PLAIN)


@pytest.mark.parametrize("make", SITES.values(), ids=SITES)
def test_fuzzed_headers(make: Make) -> None:
    """Of 10 000 for each framework, half are asked of endpoints that block."""
    half = list(SITES.values()).index(make) % 2
    wrong = wrong_in(make(ours(SimpleCache(threshold=100_000))), combinations(10_000)[half::2])
    assert not wrong, (len(wrong), wrong[0])
