"""The distribution is memocache-toolkit, and nothing of ours asks the index for memocache, which is another project."""

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import memocache

NAME = "memocache-toolkit"
ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
FOR_USERS = ("asgi", "demo", "django", "flask", "gae", "otel", "prometheus", "redis", "zstd")
AFRESH = "; make a fresh environment, and pip install -e '.[test]' in it"

FOLDERS = ("memocache", "benchmarks", "examples", "tests/support", "docs", ".ci")
WORD = r"""(?:'[^'\n]*'|"[^"\n]*"|[^\s'"`()&|;,#]+)"""
INSTALL = re.compile(rf"""\bpip"?[ ]+install((?:[ ]+{WORD})+)""")
OURS = re.compile(r"(?:\.|(?:[\w$./-]*/)?memocache_toolkit-[\w.*-]+\.whl)(?:\[([\w,-]+)\])?")
BY_NAME = re.compile(r"\bmemocache(?:-toolkit)?\[[a-z][\w,-]*\]")


def texts() -> dict[str, str]:
    """Return what we have written, by file."""
    files = [*ROOT.glob("*.md"), *chain(*((ROOT / folder).rglob("*") for folder in FOLDERS))]
    return {
        str(file.relative_to(ROOT)): file.read_text("utf-8")
        for file in files
        if file.suffix in (".py", ".md") or file == ROOT / ".ci" / "run"
    }


def told(text: str) -> list[str]:
    """Return what *text* tells to install."""
    words = chain(*(re.findall(WORD, words) for words in INSTALL.findall(text)))
    return [word.strip("'\"") for word in words if not word.startswith("-")]


def wrong(text: str) -> list[str]:
    """Return what *text* must not tell to install: ourselves by name, or a library with other bounds than ours."""
    return [*BY_NAME.findall(text), *(each for each in told(text) if not is_ours(each) and each not in wanted(EXTRAS))]


def is_ours(told: str) -> bool:
    """Return whether that is this project as a folder or a wheel, with extras that there are."""
    match = OURS.fullmatch(told)
    return match is not None and {*(match[1] or "").split(",")} <= {"", *EXTRAS}


def wanted(extras: dict[str, list[str]]) -> set[str]:
    """Return what *extras* bring in, without the conditions."""
    requirements = {each.partition(";")[0].strip() for each in chain(*extras.values())}
    return {each for each in requirements if Requirement(each).name != NAME}


def names(requirements: list[str]) -> set[str]:
    return {canonicalize_name(Requirement(each).name) for each in requirements}


def test_what_is_installed_here_is_this_version_and_no_other_distribution_of_that_name() -> None:
    installed = {canonicalize_name(each.name): each.version for each in metadata.distributions()}
    assert NAME in installed, f"{NAME} is not installed here{AFRESH}"
    assert "memocache" not in installed, f"a distribution called memocache is installed here, too{AFRESH}"
    assert installed[NAME] == memocache.__version__, "installed with another version; pip install -e '.[test]' again"


def test_the_name_of_another_project_is_not_required() -> None:
    assert "memocache" not in names(metadata.requires(NAME) or [])
    assert "memocache" not in names([*PROJECT["dependencies"], *chain(*EXTRAS.values())])
    assert names(["MemoCache[redis]>=0.1; extra == 'all'"]) == {"memocache"}


def test_extras_that_name_extras_find_them() -> None:
    requirements = [Requirement(each) for each in chain(*EXTRAS.values())]
    assert [each for each in requirements if each.name == NAME and not each.extras <= {*EXTRAS}] == []


def test_pytest_is_given_the_plugin_once(pytestconfig: pytest.Config) -> None:
    points = metadata.entry_points(group="pytest11", name="memocache")
    assert [point.dist.name for point in points if point.dist] == [NAME], f"an older one is installed here, too{AFRESH}"
    assert points["memocache"].load() is pytestconfig.pluginmanager.get_plugin("memocache")


def test_the_version_is_there_without_a_look_into_the_metadata() -> None:
    script = "import sys, memocache; print(memocache.__version__, 'importlib.metadata' in sys.modules)"
    run = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert run.stdout == f"{memocache.__version__} False\n"


def test_nothing_of_ours_tells_to_install_what_is_not_meant() -> None:
    said = texts()
    assert {"README.md", "SECURITY.md", "CHANGELOG.md", "memocache/cli.py", "examples/reports/app.py"} <= {*said}
    assert {name: found for name, text in said.items() if (found := wrong(text))} == {}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("pip install memocache", ["memocache"]),
        ("`pip install -U memocache`, and", ["memocache"]),
        ("python -m pip install 'memocache>=0.1'", ["memocache>=0.1"]),
        ("pip install memocache-toolkit", ["memocache-toolkit"]),
        ('"$folder/bin/pip" install -q memocache', ["memocache"]),
        ("the extra memocache[redis]", ["memocache[redis]"]),
        ("pip install 'redis>=1'", ["redis>=1"]),
        ("pip install redis", ["redis"]),
        ("pip install '.[rediss]'", [".[rediss]"]),
        (f"(pip install '{EXTRAS['redis'][0]}'); `pip install -q -e '.[dev,bench]' && pytest`", []),
        ("pip install 'dist/memocache_toolkit-0.1.0-py3-none-any.whl[redis]'  # a wheel", []),
    ],
)
def test_what_would_be_found(text: str, found: list[str]) -> None:
    assert wrong(text) == found


def test_messages_name_the_library_of_every_extra_with_its_bound() -> None:
    sources = "".join(text for name, text in texts().items() if name.startswith("memocache/"))
    assert {*told(sources)} == wanted({extra: EXTRAS[extra] for extra in FOR_USERS})


def test_a_wheel_has_every_package_and_every_file() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent for path in (ROOT / "memocache").rglob("__init__.py")}
    assert {".".join(folder.relative_to(ROOT).parts) for folder in folders} == set(settings["packages"])
    named = {
        path
        for package, patterns in settings["package-data"].items()
        for pattern in patterns
        for path in ROOT.joinpath(*package.split(".")).glob(pattern)
    }
    data = {
        path
        for path in (ROOT / "memocache").rglob("*.*")
        if path.is_file() and path.suffix not in (".py", ".pyc", ".c", ".so", ".pyd")
    }
    assert data == named
