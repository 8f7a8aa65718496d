"""The table that sets the rules beside others': ours are right in every row, and the rows can tell."""

import warnings

import pytest

from tests.web.compare import PEERS, ROWS, main, outcome, says_how_old


@pytest.mark.parametrize("question", ROWS)
def test_ours_are_right(question: str) -> None:
    assert all(outcome(PEERS["memocache"], name) for name in ROWS[question])


def test_the_rows_tell_who_is_not() -> None:
    pytest.importorskip("flask_caching")
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for question, names in ROWS.items():
            if not all(outcome(PEERS["Flask-Caching `cached()`"], name) for name in names):
                wrong.append(question)
    assert len(wrong) >= 10
    assert not says_how_old(PEERS["Flask-Caching `cached()`"])


def test_it_prints_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        main()
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(ROWS) + 3
    assert {line.count("|") for line in lines} == {lines[0].count("|")}
