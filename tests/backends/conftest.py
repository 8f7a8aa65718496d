"""The tests of caches are those of functions that are no views, whichever frameworks other tests have imported."""

from collections.abc import Iterator

import pytest

from memocache import _views


@pytest.fixture(autouse=True)
def no_frameworks() -> Iterator[None]:
    """Have what is imported for other tests be no matter."""
    kept = list(_views.frameworks)
    _views.frameworks.clear()
    yield
    _views.frameworks[:] = kept
