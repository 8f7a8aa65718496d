"""What the tests of this suite can ask for; and the report that they end with."""

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from memocache._chance import chance
from tests.reliability.caches import KINDS, Stand
from tests.reliability.ledger import Ledger, note_outcomes
from tests.reliability.outcomes import Outcomes
from tests.reliability.schedules import Killed

LEDGER = pytest.StashKey[Ledger]()
BEGAN = pytest.StashKey[float]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[LEDGER] = Ledger()
    config.stash[BEGAN] = time.perf_counter()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, in a quick run, the kinds of caches that are variants of others; in a long one, be patient."""
    if is_long(config):
        for item in items:
            item.add_marker(pytest.mark.timeout(900))
    else:
        left_out = [item for item in items if _is_of_variant(item)]
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def _is_of_variant(item: pytest.Item) -> bool:
    parameters: dict[str, object] = (
        item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    )
    return any(isinstance(each, str) and each in KINDS and KINDS[each].variant for each in parameters.values())


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    ledger = config.stash[LEDGER]
    if ledger.lines:
        terminalreporter.section("reliability")
        for line in ledger.report(time.perf_counter() - config.stash[BEGAN], long=is_long(config)):
            terminalreporter.write_line(line)


def is_long(config: pytest.Config) -> bool:
    return bool(config.getoption("--long"))


@pytest.fixture(scope="session")
def ledger(pytestconfig: pytest.Config) -> Ledger:
    return pytestconfig.stash[LEDGER]


@pytest.fixture(scope="session")
def scaled(pytestconfig: pytest.Config) -> Callable[[int, int], int]:
    """Returns the first of two numbers in a quick run, the second with --long."""
    return lambda quick, long: long if is_long(pytestconfig) else quick


@pytest.fixture(params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> str:
    """The name of a kind of cache: all of them, or those that a test or a module names."""
    return str(request.param)


@pytest.fixture(scope="session")
def _stands() -> Iterator[Callable[[str], Stand]]:
    with ExitStack() as running:
        started: dict[str, Stand] = {}

        def stand(name: str) -> Stand:
            if name not in started:
                started[name] = running.enter_context(KINDS[name].stand())
            return started[name]

        yield stand


@pytest.fixture
def stand(kind: str, _stands: Callable[[str], Stand]) -> Stand:
    """The kind of cache that the test is run for, standing; use *prefix*, and do not hurt it."""
    return _stands(kind)


@pytest.fixture
def own_stand(kind: str) -> Iterator[Stand]:
    """The same, of this test's own."""
    with KINDS[kind].stand() as stand:
        yield stand


@pytest.fixture
def outcomes(request: pytest.FixtureRequest, ledger: Ledger) -> Iterator[Outcomes]:
    """The outcomes of the calls that a test has counted; they must add up. It is the test that has them listened to."""
    outcomes = Outcomes(asyncio.CancelledError, Killed)
    yield outcomes
    note_outcomes(ledger, request.getfixturevalue("kind"), len(outcomes.calls), outcomes.odd(), outcomes.interrupted)
    assert outcomes.odd() == 0


@pytest.fixture(autouse=True)
def seed(pytestconfig: pytest.Config) -> int:
    """What all that happens by chance in a test follows from: --chance."""
    number = int(pytestconfig.getoption("--chance"))
    random.seed(number)
    chance.seed(number)
    return number
