"""Rules that hold for the package's text: one user of pickle, nothing that executes, examples that work."""

import ast
import doctest
import functools
import importlib
import pkgutil
from pathlib import Path

import pytest

import memocache.serializers
from memocache.serializers import JSONSerializer, PickleSerializer, SafeSerializer, Serializer

PACKAGE = Path(memocache.serializers.__file__).parents[1]
MODULES = [f"memocache.serializers.{module.name}" for module in pkgutil.iter_modules(memocache.serializers.__path__)]
UNPICKLERS = {"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill", "cloudpickle", "joblib", "copyreg"}


@functools.cache
def imported(text: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").partition(".")[0])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            if name in ("import_module", "__import__"):
                found.add(str(node.args[0].value).partition(".")[0])
    return found


@pytest.mark.parametrize(
    ("modules", "user"),
    [
        (UNPICKLERS, "serializers/signed_pickle.py"),
        ({"hmac"}, "serializers/_signing.py"),
        ({"backports", "compression"}, "serializers/_compression.py"),
    ],
)
def test_what_is_delicate_is_imported_in_one_module(modules: set[str], user: str) -> None:
    users = [
        path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py") if imported(path.read_text()) & modules
    ]
    assert users == [user]


@pytest.mark.parametrize("text", [
    "import pickle", "from pickle import loads", "import _pickle as p", "def f():\n    import pickle",
    "import_module('pickle')", "__import__('marshal')",
])  # fmt: skip
def test_the_search_for_pickle_finds_it(text: str) -> None:
    assert imported(text) & UNPICKLERS


def test_nothing_here_executes_or_imports_by_name() -> None:
    for path in (PACKAGE / "serializers").glob("*.py"):
        names = {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(ast.parse(path.read_text()))}
        assert not names & {"eval", "exec", "__import__", "import_module", "resolve_name", "locate", "find_class"}, path


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_work(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("kind", [Serializer, SafeSerializer, JSONSerializer, PickleSerializer])
def test_every_public_class_has_an_example(kind: type) -> None:
    assert kind.__doc__
    assert ">>>" in kind.__doc__


def test_the_public_names() -> None:
    assert memocache.serializers.__all__ == [
        "Serializer",
        "SafeSerializer",
        "JSONSerializer",
        "PickleSerializer",
        "register",
    ]
    assert [SafeSerializer.codec, JSONSerializer.codec, PickleSerializer.codec] == [1, 2, 3]
