"""What type checkers make of the public names: the files beside this one, under mypy and under pyright.

What is wrong in the package itself is no matter here: `mypy` alone says it.
"""

import ast
import contextlib
import inspect
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from memocache import AsyncCachedFunction
from tests.docs.pages import DOCS, ROOT, examples
from tests.support.servers import skip_or_fail

FOLDER = Path(__file__).parent
*USES, LIMIT_OF_MYPY, LIMIT_OF_PYRIGHT = (
    FOLDER / f"{name}.py" for name in ("api", "extending", "functions", "limits_of_mypy", "limits_of_pyright")
)


def said_by_mypy(config: pytest.Config, *paths: Path) -> list[str]:
    """Return the errors that mypy finds in the files at *paths*; of what they import, it reads the signatures only."""
    if find_spec("mypy") is None:
        skip_or_fail("mypy is not installed")
    import mypy.api

    kept = getattr(config, "cache", None)  # there is none with -p no:cacheprovider
    cache = kept.mkdir("mypy") if kept else ROOT / ".mypy_cache"
    options = [f"--config-file={ROOT / 'pyproject.toml'}", f"--cache-dir={cache}", "--strict", "--no-error-summary"]
    options.append("--follow-imports=silent")
    limit = sys.getrecursionlimit()
    try:
        with contextlib.chdir(ROOT):
            answer: tuple[str, str, int] = mypy.api.run([*options, *map(str, paths)])
    finally:
        sys.setrecursionlimit(limit)  # mypy raises it, and the tests of recursion are about Python's own
    said, complaints, status = answer
    assert (status == 0) is (said + complaints == "")
    return (said + complaints).splitlines()


def said_by_pyright(config: pytest.Config, *paths: Path) -> list[str]:
    """Return the errors that pyright finds in the files at *paths*; without any, in those that pyproject.toml names."""
    if find_spec("pyright") is None:
        skip_or_fail("pyright is not installed")
    command = [sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable]
    environment = {**os.environ, "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    if paths:
        options = {"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": True, "extraPaths": [str(ROOT)]}
        project = paths[0].parent / "pyrightconfig.json"
        project.write_text(json.dumps({**options, "include": [path.name for path in paths]}))
        command += ["--project", str(project)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=environment, check=False)
    answer = json.loads(done.stdout)
    assert answer["summary"]["filesAnalyzed"] == (len(paths) or len(["__init__.py", *USES, LIMIT_OF_PYRIGHT]))
    return [f"{each['range']['start']['line'] + 1}: {each['message']}" for each in answer["generalDiagnostics"]]


def test_mypy_finds_the_types_that_are_promised(pytestconfig: pytest.Config) -> None:
    assert said_by_mypy(pytestconfig, *USES, LIMIT_OF_MYPY, LIMIT_OF_PYRIGHT) == []


def test_the_library_of_the_recipe_is_typed(pytestconfig: pytest.Config, tmp_path: Path) -> None:
    source = tmp_path / "geo.py"
    source.write_text("\n".join(each.source for each in examples(DOCS / "recipes" / "library.md")))
    assert said_by_mypy(pytestconfig, source) == []


def test_pyright_finds_the_types_that_are_promised(pytestconfig: pytest.Config) -> None:
    assert said_by_pyright(pytestconfig) == []


@pytest.mark.parametrize("check", [said_by_mypy, said_by_pyright])
def test_a_line_that_is_no_error_after_all_would_be_found(
    check: Callable[..., list[str]], pytestconfig: pytest.Config, tmp_path: Path
) -> None:
    copy = tmp_path / "api.py"
    copy.write_text(USES[0].read_text().replace('bare.uncache("wrong")', "bare.uncache(1)", 1))
    (said,) = check(pytestconfig, copy)
    assert "type: ignore" in said


def test_what_is_declared_is_what_there_is() -> None:
    tree = ast.parse((ROOT / "memocache" / "_declared.pyi").read_text())
    declared = {
        each.name: {member.name for member in each.body if isinstance(member, ast.FunctionDef)}
        for each in tree.body
        if isinstance(each, ast.ClassDef)
    }
    public = {name for name in dir(AsyncCachedFunction) if not name.startswith("_")}
    assert {name for name in declared["AsyncCachedFunction"] if not name.startswith("_")} == public
    awaited = {name for name in public if inspect.iscoroutinefunction(getattr(AsyncCachedFunction, name))}
    assert declared["Methods"] == awaited - {"refresh"}  # which returns what the function does


def test_what_a_checker_cannot_be_told_is_explained() -> None:
    for path in (LIMIT_OF_MYPY, LIMIT_OF_PYRIGHT):
        paragraphs = path.read_text().replace("\n    # ", "\n\n    # ").split("\n\n")
        assert [each for each in paragraphs if "ignore[" in each and not each.lstrip().startswith("# ")] == []
