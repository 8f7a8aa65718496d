"""Edits of a package: each is known to change what a cached function is, or not."""

import inspect
import linecache
from pathlib import Path

import pytest

from tests.unit.code.shop import EDITS, METHOD_EDITS, Edit, imported


def digests(directory: Path, edit: Edit | None = None) -> tuple[str, str]:
    """Return the digests of the function and of the method."""
    with imported(directory, edit) as module:
        return module.report.code().digest, module.Report.page.code().digest


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return digests(tmp_path_factory.mktemp("before"))


def test_there_are_sixty_edits_and_more_of_both_sorts() -> None:
    assert len(EDITS) >= 60
    assert min(sum(edit.changes for edit in EDITS), sum(not edit.changes for edit in EDITS)) >= 30
    assert len({(edit.file, edit.name, edit.changes) for edit in EDITS}) == len(EDITS)


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: f"{edit.file}: {edit.name}")
def test_an_edit_changes_the_digest_exactly_where_it_may_change_results(
    edit: Edit, before: tuple[str, str], tmp_path: Path
) -> None:
    assert (digests(tmp_path, edit)[0] != before[0]) is edit.changes


def test_the_text_of_the_function_alone_would_be_wrong_about_many_edits(tmp_path: Path) -> None:
    def naive(edit: Edit | None = None) -> str:
        with imported(tmp_path, edit) as module:
            linecache.checkcache()
            return inspect.getsource(module.report.__wrapped__)

    before = naive()
    some = EDITS[::4]
    wrong = [edit.name for edit in some if (naive(edit) != before) is not edit.changes]
    assert len(wrong) > len(some) // 3


@pytest.mark.parametrize("edit", METHOD_EDITS, ids=lambda edit: f"{edit.file}: {edit.name}")
def test_a_method_follows_its_own_class(edit: Edit, before: tuple[str, str], tmp_path: Path) -> None:
    assert (digests(tmp_path, edit)[1] != before[1]) is edit.changes
