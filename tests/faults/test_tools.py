"""Debuggers, profilers, coverage and the developer mode see nothing strange in the calls that are written.

What completes, documents, checks, sends or wraps functions does with cached ones what it does with the functions.
"""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

WATCHED = """
from memocache import SimpleCache, cached

class Shop:
    @cached(timeout=60)
    def price(self, article, amount=1):
        return article * amount

@cached(timeout=60, cache=SimpleCache(threshold=10))
def area(width, height=2):
    if width < 0:
        raise ValueError(width)
    return width * height

shop = Shop()
for _ in range(3):
    print(area(3), area(width=3, height=2), shop.price(4))
print(area.info().hits, shop.price.info().hits, area.uncache(3))
try:
    area(-1)
except ValueError as error:
    print("error", error)
"""


@pytest.mark.parametrize(
    "tool",
    [
        ["-X", "dev", "-W", "error"],
        ["-X", "tracemalloc", "-m", "cProfile"],
        ["-m", "profile"],
        ["-m", "trace", "--count", "--missing", "--coverdir", "counts"],
        ["-m", "trace", "--trace"],
        ["-m", "pdb", "-c", "continue"],
    ],
    ids=" ".join,
)
def test_it_works_under_tools_that_watch(tool: list[str], tmp_path: Path) -> None:
    script = tmp_path / "watched.py"
    script.write_text(WATCHED)
    words = [sys.executable, *tool, str(script)]
    run = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=100, input="quit\n")
    assert run.returncode == 0, run.stderr
    # Before Python 3.12 the collector has a callback of ours, which the profiler in Python takes for a bad call.
    assert [line for line in run.stderr.splitlines() if "Error" in line and "_note_collection" not in line] == []
    said = [line for line in run.stdout.splitlines() if line in ("6 6 4", "5 2 True", "error -1")]
    assert said == ["6 6 4"] * 3 + ["5 2 True", "error -1"]


SUBJECT = """
import sys

IS_CACHED = {is_cached}
if IS_CACHED:
    from memocache import cached
else:
    def cached(given):
        return given

@cached
def added(x: int, y: int = 0) -> int:
    'Return a sum.'
    return x + y

@cached
async def fetched(path: str) -> bytes:
    'Return a page.'
    return path.encode()

class Shop:
    'A shop.'

    number = 5

    @cached
    def price(self, article: int, amount: int = 1) -> int:
        'Return a price.'
        return self.number * article * amount

    @cached
    async def page(self, path: str) -> bytes:
        'Return a page of it.'
        return path.encode()

    @cached
    @staticmethod
    def above(x: int) -> int:
        'Return x of a static method.'
        return x

    @staticmethod
    @cached
    def below(x: int) -> int:
        'Return x of one below.'
        return x

    if sys.version_info < (3, 13):  # from then on class methods do not say what they are
        @cached
        @classmethod
        def of_class(cls, x: int) -> int:
            'Return x of a class.'
            return cls.number * x

    @property
    @cached
    def title(self) -> str:
        'The title.'
        return 'shop'

class Market(Shop):
    'A market.'

    @cached
    def price(self, article: int, amount: int = 1) -> int:
        return super().price(article, amount)
"""
# Each says the same of functions that are cached as of those that are not. What is cached can be forgotten besides.
TOOLS = {
    "pydoc": """
import pydoc, subject
for given in (subject.added, subject.fetched, subject.Shop, subject.Market, subject.Shop().price, subject.Shop().above):
    print(pydoc.plain(pydoc.render_doc(given)).partition(" object at ")[0])
""",
    "inspect": """
import inspect, subject, typing
shop = subject.Shop()
for owner in (subject, subject.Shop, shop):
    for name in ("added", "fetched", "price", "page", "above", "below", "of_class"):
        if (f := getattr(owner, name, None)) is not None:
            print(name, inspect.signature(f), inspect.getdoc(f), inspect.getsource(f), inspect.getsourcelines(f)[1])
            asked = inspect.isfunction, inspect.ismethod, inspect.isroutine, inspect.iscoroutinefunction
            print([ask(f) for ask in asked], inspect.ismethoddescriptor(f), inspect.isdatadescriptor(f))
            print(f.__module__, f.__qualname__, typing.get_type_hints(f), inspect.getfullargspec(f))
""",
    "IPython": """
import subject
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
shell = InteractiveShell.instance()
shell.user_ns.update(added=subject.added, Shop=subject.Shop, shop=subject.Shop())

def completed(text):
    with provisionalcompleter():
        return [each.text.lstrip(".") for each in shell.Completer.completions(text, len(text))]

for uses_jedi, names in (False, ["added", "shop.price", "Shop.price", "shop.below"]), (True, ["added", "shop.price"]):
    shell.Completer.use_jedi = uses_jedi
    print(completed("shop."), completed("added(")[: 0 if uses_jedi else 2])
    for name in names:
        more = completed(name + ".unc")
        assert more == (["uncache", "uncache_all", "uncache_where"] if subject.IS_CACHED else [])
for name in ("added", "shop.price", "Shop.above"):
    told = shell.object_inspect(name, 0)
    print(name, [told[key] for key in ("definition", "docstring", "isclass", "found")])
""",
    "sphinx": """
import pathlib
from sphinx.cmd.build import build_main
docs = pathlib.Path("docs")
docs.mkdir()
options = {"members": True, "inherited-members": True, "show-inheritance": True, "undoc-members": True}
extensions = ["sphinx.ext.autodoc", "sphinx.ext.autosummary"]
docs.joinpath("conf.py").write_text(f"extensions = {extensions}\\nautodoc_default_options = {options}\\n")
lines = ["Shop", "====", "", ".. autosummary::", "", "   subject.added", "   subject.Shop.price", ""]
lines += [".. automodule:: subject", "   :exclude-members: cached"]
docs.joinpath("index.rst").write_text("\\n".join(lines))
assert build_main(["-q", "-W", "-b", "text", "docs", "built"]) == 0
print(pathlib.Path("built", "index.txt").read_text())
""",
    "typeguard": """
from typeguard import TypeCheckError, typechecked
from subject import IS_CACHED, cached

@cached
@typechecked
def added(x: int, y: int = 0) -> int:
    return x + y

@typechecked
class Shop:
    @cached
    @typechecked
    def price(self, x: int) -> int:
        return x

    @cached
    @staticmethod
    @typechecked
    def above(x: int) -> int:
        return x

shop = Shop()
for f in (added, shop.price, Shop.above, shop.above):
    print(f(1), f(1))
    try:
        f("1")
    except TypeCheckError as error:
        print(error)
    assert not IS_CACHED or f.uncache(1)
""",
    "celery": """
import inspect, pickle
import celery
from subject import IS_CACHED, cached

app = celery.Celery("shop", broker="memory://", backend="cache+memory://")
app.conf.task_always_eager = True

@app.task(name="add")
@cached
def add(x: int, y: int = 0) -> int:
    'Return a sum.'
    return x + y

@cached
@app.task(name="under")
def under(x: int) -> int:
    return x

@app.task(name="bound", bind=True)
def bound(self, x: int) -> tuple[str, int]:
    return self.name, add(x)

print(add(1, y=2), add.delay(1, 2).get(), add.apply((1,), {"y": 2}).get(), add.s(1).apply().get(), under(1))
print(inspect.signature(add.run), inspect.signature(under), add.name, add.__name__, add.__doc__)
print(bound.delay(1).get(), under.delay(1).get(), pickle.loads(pickle.dumps(add)) == add)
try:
    add.delay(1, 2, 3)
except TypeError as error:
    print(error)
if IS_CACHED:
    assert add.run.info().misses == 2 and add.__wrapped__.uncache(1, 2) and under.uncache(1)
""",
    "joblib": """
import joblib
import subject

added, Shop, is_cached = subject.added, subject.Shop, subject.IS_CACHED
exec(compile(open("subject.py").read(), __file__, "exec"))  # once more, as a part of this script

def told(f, x):
    if not is_cached:
        return f(x), f(x), 1, True
    return f(x), f(x), f.info().hits, f.uncache(x)

if __name__ == "__main__":
    run = joblib.Parallel(n_jobs=1 if joblib.cpu_count() < 2 else 2, backend="loky")
    print(run(joblib.delayed(f)(x) for x in range(2) for f in (added, Shop().price, Shop.above, Shop.below)))
    print(run(joblib.delayed(told)(f, x) for x in range(2) for f in (added, Shop().price, Shop.above)))
    print(run(joblib.delayed(Shop.price)(Shop(), x) for x in range(2)))
""",
    "functools": """
import functools, inspect, pickle
from subject import IS_CACHED, added, Shop

@functools.wraps(added)
def logged(*args, **kwargs):
    return added(*args, **kwargs)

class Counted(Shop):
    twice = functools.partialmethod(Shop.price, 2)
    kept = functools.cached_property(Shop.title.fget)

print(logged(1, y=2), inspect.signature(logged), logged.__name__, logged.__doc__, logged.__wrapped__ is added)
print(Counted().twice(3), Counted().kept, functools.partial(added, 1)(2), functools.reduce(added, [1, 2, 3]))
print(list(map(added, [1, 2])), functools.update_wrapper(lambda: 1, added).__qualname__)
assert not IS_CACHED or logged.__wrapped__.uncache(1, y=2)
""",
}


def said_of(tool: str, folder: Path, *, is_cached: bool, is_pure: bool = False) -> str:
    """Return what *tool* prints about functions that are cached or not."""
    folder.mkdir()
    (folder / "subject.py").write_text(SUBJECT.format(is_cached=is_cached))
    (folder / "script.py").write_text(TOOLS[tool])
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "MEMOCACHE_PURE": "1" if is_pure else ""}
    environment["IPYTHONDIR"] = str(folder)
    run = subprocess.run(
        [sys.executable, "script.py"], cwd=folder, capture_output=True, text=True, timeout=100, env=environment
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("tool", TOOLS)
def test_what_looks_at_functions_sees_them_in_cached_ones(tool: str, tmp_path: Path) -> None:
    if find_spec(tool) is None:
        pytest.skip(f"{tool} is not installed")
    plain = said_of(tool, tmp_path / "plain", is_cached=False)
    assert plain.strip() != ""
    assert said_of(tool, tmp_path / "cached", is_cached=True) == plain
    assert said_of(tool, tmp_path / "pure", is_cached=True, is_pure=True) == plain
