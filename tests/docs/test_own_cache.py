"""A cache of a user's own: as docs/ shows it, in under 40 lines, it passes the suite; and one that fails."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memocache import Cache, SimpleCache, cached
from memocache.backends.base import Entry, Lease
from memocache.errors import BackendError, BackendUnavailable, SerializationError
from memocache.testing import BackendContract
from tests.docs.pages import DOCS, examples

MARK = "class FolderCache("
MOST_LINES = 40


def text() -> str:
    """Return the example of docs/."""
    return next(each.source for each in examples(DOCS / "caches" / "own.md") if MARK in each.source)


def made() -> Callable[..., Cache]:
    module: dict[str, Any] = {"__name__": "own"}
    exec(compile(textwrap.dedent(text()), "docs", "exec"), module)
    kind = module["FolderCache"]
    assert issubclass(kind, Cache)
    return kind


def test_it_is_short() -> None:
    assert len(text().strip().splitlines()) < MOST_LINES


class TestFolderCache(BackendContract):
    counts_across_processes = False

    @pytest.fixture(autouse=True)
    def folder(self, tmp_path: Path) -> None:
        self.path = tmp_path / "cache"

    def make_cache(self) -> Cache:
        return made()(self.path)

    def make_peer(self, cache: Cache) -> Cache:
        return made()(self.path)


class FailingCache(SimpleCache):
    """In this process, and yet it may fail to store."""

    error: Exception | None = None

    def fill(self, lease: Lease, entry: Entry | None) -> bool:
        if entry is not None and self.error is not None:
            raise self.error
        return super().fill(lease, entry)


@pytest.mark.parametrize("error", [BackendUnavailable("down"), SerializationError("no form"), BackendError("full")])
@pytest.mark.parametrize("more", [{}, {"unless": lambda value: False}], ids=["simple", "with unless="])
def test_a_result_that_it_cannot_store_is_returned_all_the_same(
    error: Exception, more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    cache = FailingCache()
    f = cached(cache=cache, timeout=60, **more)(lambda x: [x])
    cache.error = error
    assert [f(1), f(1)] == [[1], [1]]
    assert (f.info().misses, f.info().failures, f.info().stored) == (2, 2, 0)
    assert str(error) in caplog.text
    cache.error = None
    assert f(1) is f(1)
    assert f.info().stored == 1
