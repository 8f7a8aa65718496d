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

TEXT = """\
import hashlib
import secrets
from pathlib import Path

from memocache import ForeignCache

class Folder:
    def __init__(self, path):
        self.path = Path(path)
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _file(self, key):
        return self.path / hashlib.sha256(key.encode()).hexdigest()

    def get(self, key):
        try:
            return self._file(key).read_bytes()
        except FileNotFoundError:
            return None

    def set(self, key, data):
        new = self.path / secrets.token_hex(16)
        new.write_bytes(data)
        new.replace(self._file(key))              # so that nobody reads half of it

    def delete(self, key):
        self._file(key).unlink(missing_ok=True)

    def clear(self):
        for file in self.path.iterdir():
            file.unlink(missing_ok=True)

class FolderCache(ForeignCache):
    def __init__(self, path, default_timeout=300):
        super().__init__(Folder(path), default_timeout)
"""


def text() -> str:
    """Return the example: README's, if that has one."""
    return next((block for block in blocks() if MARK in block), TEXT)


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
