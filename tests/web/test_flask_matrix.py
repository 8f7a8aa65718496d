"""The matrix and the fuzzed headers, end to end through Flask; each view says how often it was computed."""

import pytest

from memocache import SimpleCache
from tests.web.flask_site import FlaskSite, ours
from tests.web.fuzz import combinations
from tests.web.matrix import CASES, Case
from tests.web.sites import check, wrong_in


@pytest.mark.parametrize("case", CASES, ids=str)
def test_matrix(case: Case) -> None:
    check(case, FlaskSite, ours)


def test_fuzzed_headers() -> None:
    wrong = wrong_in(FlaskSite(ours(SimpleCache(threshold=100_000))), combinations(10_000))
    assert not wrong, (len(wrong), wrong[0])
