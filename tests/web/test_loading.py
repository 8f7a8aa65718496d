"""A framework's adapter is there when the framework is, whichever is imported first; and else nothing of it."""

import subprocess
import sys
import textwrap

import pytest


def printed(source: str) -> list[str]:
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=True, timeout=60
    )
    return run.stdout.split()


def test_nothing_is_loaded_without_a_framework() -> None:
    source = """
        import sys
        from memocache import cached
        f = cached(lambda: 1)
        f(), f(), f.uncache()
        names = ("memocache.web", "flask", "werkzeug", "django", "starlette")
        print([name for name in sys.modules if name.startswith(names)])
    """
    assert printed(source) == ["[]"]


@pytest.mark.parametrize(
    ("module", "framework", "adapter", "requirement"),
    [
        ("flask", "Flask", "flask", "Flask>=3.0"),
        ("django", "Django", "django", "Django>=5.2"),
        ("starlette", "Starlette", "asgi", "starlette>=0.40"),
    ],
)
def test_without_its_framework_an_adapter_says_what_to_install(
    module: str, framework: str, adapter: str, requirement: str
) -> None:
    source = f"""
        import sys
        sys.modules["{module}"] = None
        try:
            import memocache.web.{adapter}
        except ModuleNotFoundError as error:
            print(error)
    """
    assert " ".join(printed(source)) == f"memocache.web.{adapter} needs {framework}: pip install '{requirement}'"


def middle_of(module: str) -> str:
    """Return source that lets something decorate functions in the middle of the import of *module*."""
    return f"""
import sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "{module}":
            sys.meta_path.remove(self)
            from memocache import cached
            cached(lambda: 1)()
sys.meta_path.insert(0, Finder())
"""


# ---- whichever comes first: they print what is served for the queries a, a and b, and how often that was a hit ---

FLASK = "from flask import Flask"
FLASK_VIEW = """
from memocache import cached
@cached
def view():
    import flask
    return flask.request.query_string if flask.has_request_context() else b"none"
view(), view()  # by shortcut
"""
ASK_FLASK = """
app = Flask("x")
app.add_url_rule("/", view_func=view)
for query in "aab":
    print(app.test_client().get("/?" + query).text, view.info().hits)
"""
DJANGO = """
from django.test import RequestFactory
from django.http import HttpResponse
"""
SETTINGS = """
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"])
"""
DJANGO_VIEW = """
from memocache import cached
@cached
def view(request):
    from django.http import HttpResponse
    return HttpResponse(request.META["QUERY_STRING"] if request else "none")
"""
ASK_DJANGO = """
for query in "aab":
    print(view(RequestFactory().get("/?" + query)).content.decode(), view.info().hits)
"""
STARLETTE = "from starlette.applications import Starlette"
STARLETTE_VIEW = """
from memocache import cached
@cached
async def view(request):
    from starlette.responses import PlainTextResponse
    return PlainTextResponse(request.scope["query_string"] if request else b"none")
"""
ASK_STARLETTE = """
import asyncio
from starlette.routing import Route
app = Starlette(routes=[Route("/", view)])
async def sent(query):
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "query_string": query, "headers": []}
    messages = []
    async def send(message):
        messages.append(message)
    await app(scope, None, send)
    assert b"etag" in dict(messages[0]["headers"])
    return messages[1]["body"].decode()
for query in (b"a", b"a", b"b"):
    print(asyncio.run(sent(query)), view.info().hits)
"""
USED = "from memocache import cached\ncached(lambda: 1)()"
ORDERS = {
    "Flask first": (FLASK, FLASK_VIEW, ASK_FLASK),
    "Flask last": (FLASK_VIEW, FLASK, ASK_FLASK),
    "Flask's extension alone": ("from memocache.web.flask import Memocache", FLASK, FLASK_VIEW, ASK_FLASK),
    # Something that Flask imports decorates functions: werkzeug is there, and Flask not yet.
    "in the middle of Flask": ("import werkzeug.routing", middle_of("flask.json"), FLASK, FLASK_VIEW, ASK_FLASK),
    "Django first": (SETTINGS, DJANGO, DJANGO_VIEW, ASK_DJANGO),
    "Django last": (SETTINGS, DJANGO_VIEW, DJANGO, ASK_DJANGO),
    # Each comes to django.http in the middle of its own import.
    **{
        f"{module} first": (SETTINGS, USED, f"import {module}", DJANGO, DJANGO_VIEW, ASK_DJANGO)
        for module in ("django.shortcuts", "django.urls", "django.core.handlers.base", "django.views")
    },
    "Starlette first": (STARLETTE, STARLETTE_VIEW, ASK_STARLETTE),
    "Starlette last": (STARLETTE_VIEW, STARLETTE, ASK_STARLETTE),
    **{
        f"{module} last": (STARLETTE_VIEW, f"import {module}", STARLETTE, ASK_STARLETTE)
        for module in ("starlette.responses", "starlette.endpoints", "fastapi")
    },
    **{
        f"{modules} first": (f"import {modules}", STARLETTE, STARLETTE_VIEW, ASK_STARLETTE)
        for modules in ("memocache.web.asgi", "flask, starlette.requests, memocache.web.asgi")
    },
    "starlette.responses first": ("import starlette.responses", STARLETTE_VIEW, STARLETTE, ASK_STARLETTE),
    "in the middle of Starlette": (middle_of("starlette.websockets"), STARLETTE, STARLETTE_VIEW, ASK_STARLETTE),
}


@pytest.mark.parametrize("parts", ORDERS.values(), ids=ORDERS)
def test_whichever_comes_first(parts: tuple[str, ...]) -> None:
    before = 1 if ASK_FLASK in parts else 0  # by shortcut
    assert printed("\n".join(parts)) == ["a", f"{before}", "a", f"{before + 1}", "b", f"{before + 1}"]


def test_the_adapter_is_loaded_once() -> None:
    source = """
        from flask import Flask
        from memocache import cached, _hooks
        cached(lambda: 1)
        import memocache.web.flask
        print(len(_hooks.adapters))
    """
    assert printed(source) == ["1"]


@pytest.mark.parametrize("first", ["fastapi", "starlette.responses", "starlette.background"])
def test_what_is_refused_is_so_as_soon_as_there_is_anything_of_starlette(first: str) -> None:
    source = f"""
        import {first}
        from starlette.responses import Response
        from memocache import cached, ConfigurationError
        try:
            @cached
            def page(response: Response): ...
        except ConfigurationError as error:
            print("refused")
    """
    assert printed(source) == ["refused"]


@pytest.mark.parametrize("framework", ["starlette.requests", "django.http"])
def test_a_shortcut_from_before_a_framework_was_imported_hides_no_request(framework: str) -> None:
    source = f"""
        import sys
        from memocache import cached
        @cached(key="{{i}}")
        def page(asked, i):
            return "plain" if asked is None else "asked"
        page(None, 1), page(None, 1)
        import {framework}
        if "django" in "{framework}":
            from django.conf import settings
            settings.configure(ALLOWED_HOSTS=["*"])
            from django.test import RequestFactory
            request = RequestFactory().get("/")
        else:
            from starlette.requests import Request
            request = Request({{"type": "http", "method": "GET", "scheme": "http", "path": "/", "headers": []}})
        print(page(request, 1))
    """
    assert printed(source) == ["asked"]


def test_without_settings_django_can_be_imported() -> None:
    assert printed("from memocache import cached\ncached(lambda: 1)()\nimport django.http, django.views\nprint(1)") == [
        "1"
    ]
