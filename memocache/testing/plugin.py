"""The plugin of pytest: it is there as soon as memocache is installed, and does nothing unless it is asked to.

- The fixture `memocache_isolated` gives a test a default cache of its own, has every function forget what it holds in
  this process, and sets its figures to zero; afterwards the default cache is the one of before. With the ini option
  `memocache_isolate = true` every test has it.
- `--memocache-off` has every call of a cached function compute, in all threads and tasks.
"""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from memocache import SimpleCache

__all__ = ["memocache_isolated"]

_off = pytest.StashKey[ExitStack]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add our options."""
    group = parser.getgroup("memocache")
    group.addoption(
        "--memocache-off", action="store_true", help="have every call of a cached function compute, and store nothing"
    )
    parser.addini(
        "memocache_isolate", "give every test the fixture memocache_isolated (default: false)", "bool", default=False
    )


def pytest_configure(config: pytest.Config) -> None:
    """Switch all cached functions off, if that is asked for."""
    if config.getoption("memocache_off"):
        from memocache import disabled

        stack = config.stash[_off] = ExitStack()
        stack.enter_context(disabled(everywhere=True))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Switch them on again."""
    if _off in config.stash:
        config.stash[_off].close()


@pytest.fixture
def memocache_isolated() -> "Iterator[SimpleCache]":
    """A default cache of this test's own; no function holds anything in this process, and all figures are zero."""
    # Imported here: the plugin is loaded wherever memocache is installed, also where no test uses it.
    from memocache import SimpleCache, cached_functions, configure
    from memocache._current import DEFAULT_THRESHOLD, default

    before = default.cache
    cache = SimpleCache(threshold=DEFAULT_THRESHOLD)
    for function in cached_functions():
        function._self_memoizer.forget_in_process()
    configure(cache)
    yield cache
    configure(SimpleCache(threshold=DEFAULT_THRESHOLD) if before is None else before)


@pytest.fixture(autouse=True)
def _memocache_isolated_if_configured(request: pytest.FixtureRequest) -> None:
    if request.config.getini("memocache_isolate"):
        request.getfixturevalue("memocache_isolated")
