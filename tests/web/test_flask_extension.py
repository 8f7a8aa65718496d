"""The extension: caches from configurations, several applications, and the commands."""

import itertools
import weakref
from pathlib import Path
from typing import Any

import pytest
from flask import Blueprint, Flask
from flask.views import MethodView

from memocache import Cache, ConfigurationError, MemcachedCache, _current, _function, cached, default_cache
from memocache.web import flask as flask_adapter
from memocache.web._settings import cache_from_settings
from memocache.web.flask import Memocache
from tests.support.servers import MemcachedServer


@pytest.fixture(autouse=True)
def one_default(monkeypatch: pytest.MonkeyPatch) -> None:
    """No caches of other tests' applications to choose from."""
    from memocache.web import flask

    monkeypatch.setattr(flask, "_caches", type(flask._caches)())
    monkeypatch.setattr(_current.default, "_choose", None)


def made(**config: Any) -> Flask:
    app = Flask(__name__)
    app.config.update(config)
    return app


# ---- configurations ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, "None"),
        ({"CACHE_KEY_PREFIX": "shop"}, "None"),
        ({"CACHE_TYPE": "simple"}, "SimpleCache(threshold=10000, default_timeout=300)"),
        (
            {"CACHE_TYPE": "SimpleCache", "CACHE_THRESHOLD": 9, "CACHE_DEFAULT_TIMEOUT": 7, "CACHE_KEY_PREFIX": "x"},
            "SimpleCache(threshold=9, default_timeout=7)",
        ),
        ({"CACHE_TYPE": "flask_caching.backends.NullCache"}, "NullCache(default_timeout=300)"),
        (
            {"CACHE_TYPE": "MemcachedCache", "CACHE_MEMCACHED_SERVERS": ["10.0.0.1:1"], "CACHE_KEY_PREFIX": "shop"},
            "MemcachedCache([10.0.0.1:1], default_timeout=300, key_prefix='shop')",
        ),
        ({"CACHE_TYPE": "memcached"}, "MemcachedCache([127.0.0.1:11211], default_timeout=300, key_prefix='')"),
        (
            {"CACHE_TYPE": "simple", "MEMOCACHE_URL": "memory://?threshold=7"},
            "SimpleCache(threshold=7, default_timeout=300)",
        ),
    ],
    ids=repr,
)
def test_flask_caching_s_names(settings: dict[str, Any], expected: str) -> None:
    assert repr(cache_from_settings(settings)) == expected


def test_files(tmp_path: Path) -> None:
    directory = str(tmp_path / "a b")
    settings = {"CACHE_TYPE": "FileSystemCache", "CACHE_DIR": directory, "CACHE_OPTIONS": {"default_timeout": 5}}
    expected = f"SQLiteCache('{directory}/memocache.sqlite', default_timeout=5, key_prefix='')"
    assert repr(cache_from_settings(settings)) == expected


def test_redis() -> None:
    pytest.importorskip("redis")
    assert "h:7" in repr(cache_from_settings({"CACHE_TYPE": "RedisCache", "CACHE_REDIS_URL": "redis://h:7/1"}))
    settings = {"CACHE_TYPE": "redis", "CACHE_REDIS_HOST": "h", "CACHE_REDIS_PASSWORD": "p@:/", "CACHE_REDIS_DB": 3}
    assert "h:6379" in repr(cache_from_settings(settings))
    for host in ("::1", "[::1]"):
        assert "(::1:6379" in repr(cache_from_settings({**settings, "CACHE_REDIS_HOST": host}))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"CACHE_TYPE": "uwsgi"}, r"^CACHE_TYPE='uwsgi'; there are: SimpleCache, MemcachedCache, .* MEMOCACHE_URL"),
        ({"CACHE_TYPE": "FileSystemCache"}, r"^CACHE_TYPE='FileSystemCache' needs CACHE_DIR"),
        ({"CACHE_TYPE": "simple", "CACHE_THRESHOLD": 0}, r"^threshold=0"),
        ({"MEMOCACHE_URL": "nothing://"}, r"no such scheme"),
        ({"CACHE_STATUSES": [500]}, r"^CACHE_STATUSES=\[500\]; wanted: some of 404 and 410, in a list$"),
        ({"CACHE_STATUSES": 404}, r"^CACHE_STATUSES=404; wanted: some of 404 and 410, in a list$"),
        (
            {"CACHE_IGNORED_COOKIES": "theme"},
            r"^CACHE_IGNORED_COOKIES='theme'; wanted: names of cookies in a list, \* and \? standing for anything, "
            r'such as \["_ga\*"\]$',
        ),
    ],
    ids=repr,
)
def test_configurations_that_cannot_work(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Memocache(made(**settings))


# ---- applications ------------------------------------------------------------------------------------------------


def test_one_application_s_cache_is_the_default_everywhere() -> None:
    app = made(CACHE_TYPE="simple", CACHE_THRESHOLD=77)

    @cached
    def function() -> list[int]:
        return []

    extension = Memocache()
    extension.init_app(app)
    assert extension.cache_of(app) is default_cache() is function.cache
    assert function() is function()
    assert function._self_memoizer._fast_index.table  # and by shortcut, as ever


def test_without_a_type_the_default_stays() -> None:
    app, before = made(), default_cache()
    assert Memocache(app).cache_of(app) is before
    assert default_cache() is before


def test_each_of_several_applications_has_its_own() -> None:
    numbers = itertools.count(1)

    @cached
    def helper() -> int:
        return next(numbers)

    @cached
    def view() -> str:
        return f"{next(numbers)} {helper()}"

    extension = Memocache()

    def create_app(threshold: int) -> Flask:
        app = made(CACHE_TYPE="simple", CACHE_THRESHOLD=threshold)
        extension.init_app(app)
        app.add_url_rule("/", view_func=view)
        return app

    one, two = create_app(100), create_app(200)
    helper()
    assert one.test_client().get("/").text == "2 3"
    assert two.test_client().get("/").text == "4 1"  # the latest is the default outside
    for app, expected in ((one, "2 3"), (two, "4 1"), (one, "2 3")):
        assert app.test_client().get("/").text == expected
        with app.app_context():
            assert repr(helper.cache) == repr(extension.cache_of(app))
    with one.app_context():
        assert view.uncache()
        helper.uncache_all()
    assert [app.test_client().get("/").text for app in (one, two)] == ["5 6", "4 1"]


def test_an_ordinary_function_is_forgotten_in_one_round_trip_where_the_applications_are_known(
    memcached: MemcachedServer, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix)
    groups: list[str] = []
    real = cache.forget_tag
    monkeypatch.setattr(cache, "forget_tag", lambda group: groups.append(group) or real(group))

    @cached(cache=cache, namespace="helper")
    def helper(x: int) -> int:
        return x

    app = made()
    monkeypatch.setattr(flask_adapter.views, "_apps", type(flask_adapter.views._apps)())
    helper(1)
    assert helper.uncache(1)
    assert len(groups) == 1  # it may be a view of an application elsewhere
    Memocache(app)
    helper(1)
    assert helper.uncache(1)
    assert len(groups) == 1
    app.add_url_rule("/<int:x>", view_func=helper)
    helper.uncache(1)
    assert len(groups) == 2


# ---- commands ----------------------------------------------------------------------------------------------------


@pytest.fixture
def shop(memcached: MemcachedServer, prefix: str) -> Flask:
    app = made(CACHE_TYPE="memcached", CACHE_MEMCACHED_SERVERS=[memcached.address], CACHE_KEY_PREFIX=prefix)
    Memocache(app)
    numbers = itertools.count(1)
    blueprint = Blueprint("shop", __name__, url_prefix="/<lang>")

    @blueprint.url_value_preprocessor
    def no_lang(endpoint: str | None, values: dict[str, Any] | None) -> None:
        (values or {}).pop("lang")

    @blueprint.route("/<int:i>")
    @cached(namespace="report")
    def report(i: int) -> str:
        return f"{next(numbers)}"

    class Page(MethodView):
        @cached(namespace="page")
        def get(self, i: int) -> str:
            return f"{next(numbers)}"

    @app.route("/plain")
    def plain() -> str:
        return "plain"

    app.register_blueprint(blueprint)
    app.add_url_rule("/page/<int:i>", view_func=Page.as_view("page"))
    app.report = report  # type: ignore[attr-defined]
    return app


def run(app: Flask, *arguments: str, **options: Any) -> tuple[int, str]:
    result = app.test_cli_runner().invoke(args=["memocache", *arguments], **options)
    return result.exit_code, result.output


def test_uncache_a_url(shop: Flask) -> None:
    client = shop.test_client()
    targets = ["/en/1?a", "/en/1", "/en/2", "/page/1", "/page/2"]
    before = [client.get(target).text for target in targets]
    code, output = run(shop, "uncache", "/de/1?whatever")
    assert (code, output) == (0, f"forgotten: {shop.report.__qualname__}(i=1)\n")
    code, output = run(shop, "uncache", "http://localhost/page/1")
    assert (code, output.endswith("Page.get(i=1)\n")) == (0, True), output
    after = [client.get(target).text for target in targets]
    assert [a == b for a, b in zip(before, after, strict=True)] == [False, False, True, False, True]
    assert run(shop, "uncache", "/nothing") == (1, "Error: no view has the URL /nothing\n")
    assert run(shop, "uncache", "/plain") == (1, "Error: the view of /plain is not cached\n")


def test_ls_lists_functions_whose_cache_cannot_be_had(shop: Flask) -> None:
    caches: dict[str, Cache] = {}

    @cached(cache=lambda: caches["of this tenant"])
    def early() -> None: ...

    @cached(cache="not_yet")
    def unconfigured() -> None: ...

    code, output = run(shop, "ls")
    assert code == 0, output
    assert ".early cannot be had: KeyError: 'of this tenant'\n" in output
    assert ".unconfigured cannot be had: no cache is configured as 'not_yet'" in output
    assert ".report(i)  MemcachedCache([" in output


def test_clear_asks_first(tmp_path: Path) -> None:
    app = made(MEMOCACHE_URL=f"sqlite:///{tmp_path}/own/cache.db")
    cache: Cache = Memocache(app).cache_of(app)
    cache.set("a", 1)
    assert run(app, "clear", input="n\n")[0] == 1
    assert cache.has("a")
    assert run(app, "clear", "--yes") == (0, f"deleted: everything in {cache!r}\n")
    assert not cache.has("a")


def test_the_memory_of_other_processes_is_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_function, "_functions", weakref.WeakValueDictionary())  # without those of other tests
    app = made(CACHE_TYPE="simple")
    Memocache(app)
    code, output = run(app, "clear", "--yes")
    assert code == 2
    assert "lives in the memory of each process of the application, where no command can reach it" in output


@pytest.mark.parametrize(
    ("words", "use"),
    [
        ("cached memoize", "; use memocache.cached"),
        ("delete_memoized", "; use uncache() or uncache_all() of the function"),
        ("cache get set delete clear delete_many", "; use the cache object, cache_of(app)"),
        ("_cache cached_", ""),
    ],
)
def test_the_extension_answers_the_words_of_flask_caching_with_ours(words: str, use: str) -> None:
    extension = Memocache()
    for word in words.split():
        assert not hasattr(extension, word)
        with pytest.raises(AttributeError) as missing:
            getattr(extension, word)
        assert str(missing.value) == f"the extension Memocache has no attribute {word!r}{use}"
