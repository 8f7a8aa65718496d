"""The tiers of the tests: which of them a run takes, and what it says of those that it leaves out.

`python -m pytest` takes the quick tier. `--faults` and `--web` add one each, `--all` adds everything, and `--long` has
the reliability suite make all its attempts, too. Files and folders that are named are run whole, whatever their tier.

The quick tier is run by one process a core, where pytest-xdist is installed: `-n 0` has it run by one.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Tier:
    """A part of the tests that can be left out.

    Args:
        option: what takes it; "" for the quick one, which is always taken.
        about: what it tests.
        paths: its folders and files. What lies in none of all tiers' belongs to the quick one.
        needs: the modules without which it cannot be collected.
    """

    option: str
    about: str
    paths: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()


TIERS: Final = (
    Tier(
        "--faults",
        "connections, outages, clusters, full files, tools that watch; fences among threads and processes",
        ("tests/faults", "tests/race"),
    ),
    Tier(
        "--web",
        "views of Flask, Django, Starlette and FastAPI, over HTTP and in a browser",
        ("tests/web", "tests/docs/test_pages_web.py"),
        ("django", "fastapi", "fastapi_cache", "flask", "flask_caching", "gunicorn", "httpx", "uvicorn"),
    ),
    Tier(
        "--all",
        "these, variants of the caches, others' caches, kills, forged bytes, types, the demo, plugin, the benchmarks",
        (
            "tests/contract/test_arrays.py",
            "tests/contract/test_foreign.py",
            "tests/contract/test_gae.py",
            "tests/contract/test_generated.py",
            "tests/contract/test_shared_figures.py",
            "tests/contract/test_variants.py",
            "tests/docs/test_own_cache.py",
            "tests/docs/test_pages_more.py",
            "tests/reliability",
            "tests/typing",
            "tests/unit/backends/test_memcached_form.py",
            "tests/unit/canonical/test_later.py",
            "tests/unit/canonical/test_libraries.py",
            "tests/unit/canonical/test_rows.py",
            "tests/unit/serializers/test_arrays.py",
            "tests/unit/serializers/test_hostile.py",
            "tests/unit/test_cli.py",
            "tests/unit/test_plugin.py",
            "tests/unit/test_scripts.py",
            "tests/unit/test_urls_secrets.py",
            "benchmarks/tests",
        ),
        ("aiocache", "cachetools", "diskcache", "mypy"),
    ),
)
QUICK: Final = Tier("", "the quick tests")
# Quick tests that --no-quick leaves in: of their many examples a quick run has taken one of ten.
THOROUGH: Final = ("tests/unit/test_hit_references.py", "tests/unit/test_parity.py")
MOST_WORKERS: Final = 4  # each starts servers of its own

_is_quick = False


def tier_of(path: Path) -> Tier:
    """Return the tier of a file or folder of tests."""
    place = path.relative_to(ROOT).as_posix()
    for tier in TIERS:
        if any(place == each or place.startswith(f"{each}/") for each in tier.paths):
            return tier
    return QUICK


def examples(number: int) -> int:
    """Return how many examples of *number* a property is tried with: the quick tier takes one of ten."""
    return number // 10 if _is_quick else number


def missing(tiers: Iterable[Tier]) -> list[str]:
    """Return the modules that these tiers need and that are not installed."""
    return sorted({name for tier in tiers for name in tier.needs if find_spec(name) is None})


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("tiers", "which tests are run besides the quick ones")
    for tier in TIERS:
        group.addoption(tier.option, action="store_true", help=tier.about)
    group.addoption("--long", action="store_true", help="--all, and the reliability suite with all its attempts")
    group.addoption("--no-quick", action="store_true", help="leave out the quick tests, which were run before")
    group.addoption(
        "--every-example", action="store_true", help="try a property of a quick test as often as with --all"
    )


def _taken(config: pytest.Config) -> list[Tier]:
    """Return the tiers that the options of this run take."""
    if config.getoption("--all") or config.getoption("--long"):
        return list(TIERS)
    return [tier for tier in TIERS if config.getoption(tier.option)]


def _chooses(config: pytest.Config) -> bool:
    """Return whether the options choose, since no files are named."""
    return config.args_source is not pytest.Config.ArgsSource.ARGS


def _is_watched(config: pytest.Config) -> bool:
    """Return whether somebody wants to see or stop the tests as they run."""
    option = config.option
    return bool(option.usepdb or option.trace or option.collectonly or option.capture == "no")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Share the quick tier out among the cores; what is beyond it needs a machine that does nothing else."""
    if not config.pluginmanager.hasplugin("xdist") or config.option.numprocesses is not None:
        return
    if "PYTEST_XDIST_WORKER" in os.environ:  # this is one of them
        return
    workers = min(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1, MOST_WORKERS)
    if workers > 1 and _chooses(config) and not _taken(config) and not _is_watched(config):
        config.option.numprocesses = workers


def pytest_configure(config: pytest.Config) -> None:
    global _is_quick
    taken = _taken(config) if _chooses(config) else []
    _is_quick = _chooses(config) and not taken and not config.getoption("--every-example")
    if names := missing(taken):
        options = " ".join(tier.option for tier in taken if missing([tier]))
        raise pytest.UsageError(
            f"{options}: these tests need {', '.join(names)}, not installed here; pip install -e '.[test-all]'"
        )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what is of a tier that is not taken; what it imports need not be there then."""
    if not _chooses(config) or not collection_path.is_relative_to(ROOT):
        return None
    tier = tier_of(collection_path)
    if tier is QUICK:
        was_run = config.getoption("--no-quick") and collection_path.is_file()
        is_left_in = not _is_quick and collection_path.relative_to(ROOT).as_posix() in THOROUGH
        return True if was_run and not is_left_in else None
    return True if tier not in _taken(config) else None


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    left_out = [tier for tier in TIERS if tier not in _taken(config)]
    if not _chooses(config) or not left_out:
        return
    terminalreporter.section("left out")
    for tier in left_out:
        terminalreporter.write_line(f"{tier.option:<9} {tier.about}")
    terminalreporter.write_line("To run them too: python -m pytest --all (or one of the options; --long takes longer)")
