"""A run of the tests takes what was asked for, and says what it left out."""

from dataclasses import replace

import pytest

from tests.support import selection
from tests.support.selection import ROOT, TIERS, tier_of

FILES = {
    "tests/unit/test_unit.py": "",
    "tests/unit/test_parity.py": "",
    "tests/faults/test_faults.py": "--faults",
    "tests/race/test_race.py": "--faults",
    "tests/web/test_web.py": "--web",
    "tests/reliability/test_kills.py": "--all",
    "tests/contract/test_caches.py": "",
    "tests/contract/test_variants.py": "--all",
}


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A project with a test in each tier."""
    monkeypatch.setattr(selection, "ROOT", pytester.path)
    monkeypatch.setattr(selection, "TIERS", tuple(replace(tier, needs=()) for tier in TIERS))
    pytester.makeini("[pytest]\ntestpaths = tests\naddopts = -n 0 -p tests.support.selection -p no:cacheprovider")
    for name in FILES:
        path = pytester.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("def test_it(): pass\n")
    return pytester


def run(project: pytest.Pytester, *arguments: str) -> tuple[set[str], str]:
    """Return the files that were run, and the last lines of the report."""
    result = project.runpytest_inprocess("-v", *arguments)
    said = result.stdout.str()
    return {name for name in FILES if f"{name}::" in said}, said.partition(" left out ")[2]


def test_the_quick_ones_are_run_and_the_others_named(project: pytest.Pytester) -> None:
    ran, left_out = run(project)
    assert ran == {name for name, option in FILES.items() if not option}
    for tier in TIERS:
        assert f"{tier.option:<9} {tier.about}" in left_out
    assert "To run them too: python -m pytest --all" in left_out


@pytest.mark.parametrize("option", ["--faults", "--web"])
def test_an_option_adds_its_own(project: pytest.Pytester, option: str) -> None:
    ran, left_out = run(project, option)
    assert ran == {name for name, its in FILES.items() if its in ("", option)}
    assert f"\n{option}" not in left_out


@pytest.mark.parametrize("option", ["--all", "--long"])
def test_all_is_all(project: pytest.Pytester, option: str) -> None:
    assert run(project, option) == (set(FILES), "")


def test_what_was_run_before_can_be_left_out(project: pytest.Pytester) -> None:
    thorough = {"tests/unit/test_parity.py"}  # a quick run takes one of ten of its examples
    assert run(project, "--all", "--no-quick")[0] == {name for name, option in FILES.items() if option} | thorough
    assert run(project, "--no-quick", "tests/unit/test_unit.py")[0] == {"tests/unit/test_unit.py"}


@pytest.mark.parametrize(("words", "number"), [((), 10), (("--every-example",), 100), (("--web",), 100)])
def test_a_property_is_tried_less_often_in_a_quick_run(
    project: pytest.Pytester, words: tuple[str, ...], number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "_is_quick", False)
    run(project, *words)
    assert selection.examples(100) == number


def test_what_is_named_is_run_whole(project: pytest.Pytester) -> None:
    assert run(project, "tests/web") == ({"tests/web/test_web.py"}, "")
    assert run(project, "tests/contract")[0] == {"tests/contract/test_caches.py", "tests/contract/test_variants.py"}


def test_a_tier_whose_libraries_are_missing_says_how_to_install_them(
    project: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = {"--web": ("pytest", "a_library_that_is_not_there")}
    monkeypatch.setattr(selection, "TIERS", tuple(replace(tier, needs=needs.get(tier.option, ())) for tier in TIERS))
    assert run(project)[0]  # which needs none of it
    result = project.runpytest_inprocess("--web")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(
        "ERROR: --web: these tests need a_library_that_is_not_there, not installed here; pip install -e '.[[]test-all]'"
    )


def test_every_tier_has_what_it_names() -> None:
    for tier in TIERS:
        for path in tier.paths:
            assert (ROOT / path).exists(), path
            assert tier_of(ROOT / path) is tier
