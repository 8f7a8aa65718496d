"""What the tests of keys can ask for."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from memocache import Cache, SimpleCache, SQLiteCache


@pytest.fixture(params=["in process", "shared"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Cache]:
    """A cache in process, and one that processes share."""
    if request.param == "in process":
        yield SimpleCache()
    else:
        with closing(SQLiteCache(tmp_path / "cache.db", timeout=10)) as cache:
            yield cache
