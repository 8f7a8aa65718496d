"""The comparison of right and wrong: we answer right on each cache, and the questions do find what is wrong."""

from collections.abc import Iterator

import pytest

from benchmarks.harness import Unavailable
from benchmarks.peers import SUBJECTS, asked, main, markdown, running
from benchmarks.questions import QUESTIONS
from benchmarks.report import OURS
from tests.support.servers import skip_or_fail

# There, a class is its name, since other processes have nothing else; docs/comparison.md shows it as wrong.
ON_SHARED_CACHES = {"a class that is defined anew is another argument": "[1, 1]"}


@pytest.fixture(scope="module", autouse=True)
def servers() -> Iterator[None]:
    try:
        with running():
            yield
    except Unavailable as reason:
        skip_or_fail(str(reason))


@pytest.mark.parametrize("name", [name for name, subject in SUBJECTS.items() if subject.package == OURS])
def test_memocache_answers_right(name: str) -> None:
    wrong = {title: told for title, (verdict, told) in asked(name).items() if verdict != "right"}
    assert wrong == ({} if name == "memocache on SimpleCache" else ON_SHARED_CACHES)


def test_what_is_wrong_is_found() -> None:
    found = asked("functools.lru_cache")
    wrong = {title: told for title, (verdict, told) in found.items() if verdict == "wrong"}
    assert wrong["equal calls, spelt in six ways, are computed once"] == "6 computations"
    assert wrong["what was forgotten while it was computed is not served"] == "old"
    assert found["six tasks, one cold key: one computation"] == ("not asked", "knows no coroutine functions")
    assert found["after an exception the next call computes"] == ("right", "")


def test_what_hangs_does_not_end_the_comparison() -> None:
    found = asked("cachetools with a condition")
    assert found["a function that calls itself with its own key ends"] == ("wrong", "hangs")
    assert [*found] == [*QUESTIONS]


def test_the_table_has_each_question_and_one_name_for_all_of_ours() -> None:
    ours = [name for name, subject in SUBJECTS.items() if subject.package == OURS]
    found = dict.fromkeys([*ours, "cachier"], dict.fromkeys(QUESTIONS, ("right", "")))
    found["aiocache"] = dict.fromkeys(QUESTIONS, ("wrong", "a|b"))
    lines = markdown(found).splitlines()
    for title in QUESTIONS:
        assert f"| {title} | memocache on each cache, cachier | aiocache (a\\|b) |" in lines
    assert f"| cachier | {len(QUESTIONS)} | 0 | 0 |" in lines


def test_a_subject_that_there_is_not_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["beaker"])
    assert stopped.value.code == 2
    assert "there is no subject 'beaker'; there are: memocache on SimpleCache" in capsys.readouterr().err
