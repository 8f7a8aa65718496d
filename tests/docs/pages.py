"""The pages of docs/ and README: their examples, and a run of them one after the other."""

import doctest
import linecache
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"
README: Final = ROOT / "README.md"
PREFIX: Final = "page_"  # of the names of pages' modules

TIERS: Final = {
    "--web": (
        *("features/inspector.md", "features/views.md", "migrating/django-cache-page.md", "migrating/fastapi-cache.md"),
        *("recipes/django.md", "recipes/fastapi.md", "recipes/flask.md"),
    ),
    "--all": (
        *("migrating/cachier.md", "migrating/cashews.md", "migrating/joblib.md"),
        *("features/metrics.md", "recipes/models.md", "recipes/notebooks.md", "recipes/workers.md"),
    ),
}
"""The pages whose examples need a framework, or a library that takes time; all others are quick."""

FENCE: Final = re.compile(r"^(```+|:::+)(python|pycon)[^\n]*\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
CHECKS: Final = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL


class Example:
    """An example of a page: Python to be run, or lines with `>>>` and what they print."""

    def __init__(self, page: Path, line: int, kind: str, source: str) -> None:
        self.kind = kind
        self.source = source
        self.name = f"{page.relative_to(ROOT)}, line {line}"
        self._line = line

    def run(self, module: ModuleType, replaced: Mapping[str, str]) -> None:
        """Run it in the namespace of *module*; AssertionError if it does not print what it says."""
        source = self.source
        for old, new in replaced.items():
            source = source.replace(old, new)
        if self.kind == "python":
            lines = ("\n" * self._line + source).splitlines(keepends=True)
            linecache.cache[self.name] = len(source), None, lines, self.name  # for those that look at it
            exec(compile("".join(lines), self.name, "exec", dont_inherit=True), module.__dict__)
            return
        said: list[str] = []
        test = doctest.DocTestParser().get_doctest(source, module.__dict__, self.name, self.name, self._line)
        test.globs = module.__dict__  # not the copy of it: what one example defines, the next one has
        doctest.DocTestRunner(optionflags=CHECKS, verbose=False).run(test, out=said.append, clear_globs=False)
        assert not said, "".join(said)


def name_of(page: Path) -> str:
    """Return the name of a page in docs/."""
    return page.relative_to(DOCS).as_posix()


def pages(tier: str = "") -> list[Path]:
    """Return the pages of docs/ that have examples, of one tier."""
    every = sorted(page for page in DOCS.rglob("*.md") if examples(page))
    tiers = {name: option for option, names in TIERS.items() for name in names}
    return [page for page in every if tiers.get(name_of(page), "") == tier]


def examples(page: Path) -> list[Example]:
    """Return the examples of a page in their order."""
    text = page.read_text("utf-8")
    return [Example(page, text.count("\n", 0, match.start()) + 1, match[2], match[3]) for match in FENCE.finditer(text)]


@contextmanager
def page_module(page: Path) -> Iterator[ModuleType]:
    """Give a page a module of its own, by whose name its functions and classes are found."""
    name = PREFIX + re.sub(r"\W", "_", page.relative_to(ROOT).with_suffix("").as_posix())
    module = sys.modules[name] = ModuleType(name)
    del module.__spec__  # a traceback in Python 3.15 warns of one without a loader
    try:
        yield module
    finally:
        del sys.modules[name]


def run_page(page: Path, replaced: Mapping[str, str]) -> dict[str, Any]:
    """Run the examples of a page one after the other, and return what they have defined."""
    with page_module(page) as module:
        for example in examples(page):
            example.run(module, replaced)
        return module.__dict__
