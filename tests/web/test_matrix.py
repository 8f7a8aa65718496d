"""The matrix and the fuzzed headers, end to end through every framework."""

from functools import partial

import pytest

from memocache import SimpleCache
from tests.web.asgi_sites import DataSite
from tests.web.frameworks import SITES, Make
from tests.web.fuzz import combinations
from tests.web.matrix import CASES, OK, PLAIN, Case
from tests.web.sites import check, is_served, ours, wrong_in


@pytest.mark.parametrize("case", CASES, ids=str)
def test_matrix(case: Case, make: Make) -> None:
    check(case, make)


REQUESTS = [case for case in CASES if case.reply == OK and not {"statuses", "credential_headers"} & case.terms.keys()]


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
@pytest.mark.parametrize("case", REQUESTS, ids=str)
def test_requests_for_plain_data(case: Case, is_async: bool) -> None:
    make = partial(DataSite, is_async=is_async)
    assert is_served(ours(make(), SimpleCache(), case.terms), case.first, case.second) is case.cached
    assert is_served(ours(make(), SimpleCache()), PLAIN, PLAIN)


# Of 10 000, with which the rules are tried by themselves. Every quarter of them has each header, and each two together.
# What makes an event loop for every request is slow.
FEW = slice(500)


def test_fuzzed_headers(make: Make, request: pytest.FixtureRequest) -> None:
    site = make()
    share = FEW if site.loop_ends_with_request else slice([*SITES].index(request.node.callspec.id) % 4, None, 4)
    wrong = wrong_in(ours(site, SimpleCache(threshold=100_000)), combinations(10_000)[share])
    assert not wrong, (len(wrong), wrong[0])
