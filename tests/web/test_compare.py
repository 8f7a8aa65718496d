"""The table that sets the rules beside others': ours are right in every row, and the rows can tell."""

import warnings

import pytest

from tests.web.compare import PEERS, ROWS, main, memocache, outcome, says_how_old


@pytest.mark.parametrize("question", ROWS)
def test_ours_are_right(question: str) -> None:
    assert all(outcome(memocache, name) for name in ROWS[question])


def test_ours_say_how_old() -> None:
    assert says_how_old(memocache)


THEIRS = {
    "Flask-Caching `cached()`": ("flask_caching", 10),
    "Django's `cache_page`": ("django", 5),
    "fastapi-cache2 `cache()`": ("fastapi_cache", 8),
}


@pytest.mark.parametrize("peer", THEIRS)
def test_the_rows_tell_who_is_not(peer: str) -> None:
    module, least = THEIRS[peer]
    pytest.importorskip(module)
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for question, names in ROWS.items():
            if not all(outcome(PEERS[peer], name) for name in names):
                wrong.append(question)
        assert not says_how_old(PEERS[peer])
    assert len(wrong) >= least
    assert len(wrong) < len(ROWS)  # it is asked as it wants to be


def test_it_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ROWS) + 3
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
