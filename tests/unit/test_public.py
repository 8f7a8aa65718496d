"""The public names: all there, all explained; and importing them brings in nothing optional."""

import doctest
import importlib
import inspect
import json
import pkgutil
import subprocess
import sys
import types
from types import ModuleType

import pytest

import memocache
from memocache import AsyncCachedFunction, CachedFunction, Info
from tests.support import django_settings

CACHES = (
    *("Cache", "SimpleCache", "MemcachedCache", "GAEMemcachedCache", "RedisCache", "SQLiteCache", "TieredCache"),
    *("ForeignCache", "NullCache"),
)
DOCUMENTED = {
    *("cached", "CachedFunction", "BoundCachedFunction", "AsyncCachedFunction", "AsyncBoundCachedFunction"),
    *("MISSING", "cache_from_url", "code", "configure", "default_cache", "disabled"),
    *("auncache_tag", "uncache_tag", "uncaches", "cached_functions"),
    *("Event", "subscribe", "watched", "EntryInfo"),
    *CACHES,
    *("Serializer", "SafeSerializer", "JSONSerializer", "PickleSerializer"),
    "Info",
    *("MemocacheError", "ConfigurationError", "UnkeyableArgument", "SerializationError"),
    *("BackendError", "BackendUnavailable", "ValueTooLarge", "UncacheFailed"),
}
OPTIONAL = ("rich", "freezegun", "time_machine", "pytest", "hypothesis", "numpy", "pandas", "mypy", "google", "django")
# What the quick tests are installed without; CI has them in all tests.
FRAMEWORKS = {
    **{"memocache.web." + name: name for name in ("aiohttp", "litestar", "quart", "rest_framework")},
    "memocache.observe.otel": "opentelemetry",
    "memocache.observe.prometheus": "prometheus_client",
}
MODULES = [module.name for module in pkgutil.walk_packages(memocache.__path__, "memocache.")]


def imported(name: str) -> types.ModuleType:
    """Return that module; skip the test if it is an adapter whose framework is not installed."""
    if name in FRAMEWORKS:
        pytest.importorskip(FRAMEWORKS[name])
    return importlib.import_module(name)


def test_all_names_are_the_documented_ones() -> None:
    assert set(memocache.__all__) == DOCUMENTED
    assert len(memocache.__all__) == len(DOCUMENTED)


def test_all_names_are_there_and_no_others() -> None:
    names = {name for name in dir(memocache) if not name.startswith("_")}
    assert "importlib" not in names
    assert {name for name in names if not isinstance(getattr(memocache, name), ModuleType)} == DOCUMENTED


@pytest.mark.parametrize("name", ["errors", "keys", "serializers", "stats"])
def test_what_has_more_public_names_is_there_without_its_own_import(name: str) -> None:
    script = f"import memocache; print(memocache.{name}.__name__, {name!r} in dir(memocache))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said == f"memocache.{name} True\n"


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_is_public(name: str) -> None:
    module = imported(name)
    for each in getattr(module, "__all__", ()):
        assert hasattr(module, each)
    assert module.__doc__


@pytest.mark.parametrize("name", sorted(DOCUMENTED - {"MISSING"}))
def test_every_public_name_is_explained(name: str) -> None:
    _check_docstring(getattr(memocache, name))


@pytest.mark.parametrize(
    "owner", [CachedFunction, AsyncCachedFunction, Info, *(getattr(memocache, name) for name in CACHES)]
)
def test_every_public_method_is_explained(owner: type) -> None:
    for name, thing in inspect.getmembers(owner):
        if not name.startswith("_") and (inspect.isroutine(thing) or isinstance(thing, property)):
            _check_docstring(thing)


@pytest.mark.parametrize("name", ["cached", "cache_from_url", "configure", "default_cache", "disabled", *CACHES[1:]])
def test_every_entry_point_has_an_example(name: str) -> None:
    text = getattr(memocache, name).__doc__
    assert ">>> " in text or "Example: " in text


@pytest.mark.usefixtures("only_own_functions")  # `uncache_tag` asks the caches of all
@pytest.mark.parametrize("name", ["memocache", *MODULES])
def test_the_examples_in_docstrings_run(name: str) -> None:
    django_settings.configure()  # without which doctest cannot look at what Django's adapter has imported
    module = imported(name)
    results = doctest.testmod(module, extraglobs={each: getattr(memocache, each) for each in memocache.__all__})
    assert results.failed == 0


def loaded_after(code: str) -> set[str]:
    """Return the top-level modules that a fresh interpreter has after *code*."""
    script = f"import sys, json\n{code}\nprint(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-I", "-c", script], capture_output=True, text=True, check=True, timeout=60)
    return {name.partition(".")[0] for name in json.loads(run.stdout)}


def test_what_is_imported_when() -> None:
    needed = {"wrapt", "msgspec", "pymemcache", "sqlite3"}
    for code, there in [
        ("import memocache", set()),
        ("import memocache; memocache.SimpleCache()", set()),
        ("import memocache; memocache.cached(lambda x: x)(1)", {"wrapt"}),
        ("import memocache; memocache.MemcachedCache()", {"msgspec", "pymemcache"}),
        ("import memocache; memocache.RedisCache", {"msgspec"}),
        ("import memocache; memocache.RedisCache()", {"msgspec", "redis"}),
        ("import memocache; memocache.ForeignCache({})", {"msgspec"}),
        ("import memocache; memocache.SQLiteCache", {"msgspec", "sqlite3"}),
        ("from memocache import *", needed),
    ]:
        loaded = loaded_after(code)
        assert loaded.isdisjoint(OPTIONAL)
        assert loaded & {*needed, "redis"} == there, code


def test_what_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.appengine.api", None)
    with pytest.raises(memocache.ConfigurationError) as refused:
        memocache.GAEMemcachedCache()
    needed = "the App Engine SDK: pip install 'appengine-python-standard>=2'"
    assert str(refused.value) == f"GAEMemcachedCache needs {needed}"


def test_a_name_that_is_not_there_is_answered_as_by_any_module() -> None:
    with pytest.raises(AttributeError, match="module 'memocache' has no attribute 'cache'"):
        memocache.cache


def _check_docstring(thing: object) -> None:
    first, _, rest = inspect.cleandoc(thing.__doc__ or "").partition("\n")
    assert first
    assert first.endswith("."), first
    assert len(first) <= 120
    assert not rest or rest.startswith("\n"), "an empty line follows the first one"
