"""What type checkers make of the public names: tests/typing/api.py, under mypy."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
API = ROOT / "tests" / "typing" / "api.py"

mypy = pytest.importorskip("mypy.api", reason="mypy is not installed")


def check(path: Path, config: pytest.Config) -> tuple[str, int]:
    """Return what mypy says of *path*, and its status."""
    kept = getattr(config, "cache", None)  # there is none with -p no:cacheprovider
    cache = kept.mkdir("mypy") if kept else ROOT / ".mypy_cache"
    options = [f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={cache}", "--strict", "--no-error-summary"]
    limit = sys.getrecursionlimit()
    try:
        said, complaints, status = mypy.run([*options, str(path)])
    finally:
        sys.setrecursionlimit(limit)  # mypy raises it, and the tests of recursion are about Python's own
    return said + complaints, status


def test_the_public_names_have_the_types_they_promise(pytestconfig: pytest.Config, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    assert check(API, pytestconfig) == ("", 0)


def test_a_line_that_is_no_error_after_all_would_be_found(
    pytestconfig: pytest.Config, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(ROOT)
    copy = tmp_path / "api.py"
    copy.write_text(API.read_text().replace('bare.uncache("wrong")', "bare.uncache(1)", 1))
    said, status = check(copy, pytestconfig)
    assert status == 1
    assert 'Unused "type: ignore" comment' in said
    assert len(said.splitlines()) == 1
