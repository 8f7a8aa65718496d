"""A cache of a user's own, as README shows it: in under 40 lines, and it passes the suite."""

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memocache import Cache
from memocache.testing import BackendContract
from tests.test_readme import blocks

MARK = "class FolderCache("
MOST_LINES = 40


def text() -> str:
    """Return README's example."""
    return next(block for block in blocks() if MARK in block)


def made() -> Callable[..., Cache]:
    module: dict[str, Any] = {"__name__": "own"}
    exec(compile(textwrap.dedent(text()), "README", "exec"), module)
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
