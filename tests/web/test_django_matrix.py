"""The matrix and the fuzzed headers, end to end through Django, views that block or are awaited."""

from collections.abc import Callable
from functools import partial

import pytest

from memocache import SimpleCache
from tests.web.django_site import DjangoSite, ours
from tests.web.fuzz import combinations
from tests.web.matrix import CASES, Case
from tests.web.sites import check, wrong_in

SITES = {"sync": partial(DjangoSite, is_async=False), "async": partial(DjangoSite, is_async=True)}
Make = Callable[..., DjangoSite]


@pytest.mark.parametrize("make", SITES.values(), ids=SITES)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_matrix(case: Case, make: Make) -> None:
    check(case, make, ours)


def test_fuzzed_headers() -> None:
    wrong = wrong_in(DjangoSite(ours(SimpleCache(threshold=100_000))), combinations(10_000))
    assert not wrong, (len(wrong), wrong[0])


def test_fuzzed_headers_where_a_view_is_awaited() -> None:
    wrong = wrong_in(DjangoSite(ours(SimpleCache(threshold=100_000)), is_async=True), combinations(500))
    assert not wrong, (len(wrong), wrong[0])
