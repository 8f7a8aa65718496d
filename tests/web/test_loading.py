"""The adapter is there when Flask is, whichever is imported first; and else nothing of it."""

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


FIRST = "from flask import Flask"
SECOND = """
from memocache import cached
@cached
def view():
    import flask
    return flask.request.query_string if flask.has_request_context() else b"none"
view(), view()  # by shortcut
"""
THEN = """
app = Flask("x")
app.add_url_rule("/", view_func=view)
for query in "aab":
    print(app.test_client().get("/?" + query).text)
"""


@pytest.mark.parametrize("parts", [(FIRST, SECOND, THEN), (SECOND, FIRST, THEN)], ids=["flask first", "flask last"])
def test_whichever_comes_first(parts: tuple[str, ...]) -> None:
    assert printed("\n".join(parts)) == ["a", "a", "b"]


def test_the_extension_alone_is_enough() -> None:
    assert printed("from memocache.web.flask import Memocache\n" + FIRST + SECOND + THEN) == ["a", "a", "b"]


def test_without_flask_its_adapter_says_what_to_install() -> None:
    source = """
        import sys
        sys.modules["flask"] = None
        try:
            import memocache.web.flask
        except ModuleNotFoundError as error:
            print(error)
    """
    assert " ".join(printed(source)) == "memocache.web.flask needs Flask: pip install 'Flask>=3.0'"


def test_in_the_middle_of_a_circular_import() -> None:
    """Something that Flask imports decorates functions: werkzeug is there, and Flask not yet."""
    source = """
        import sys, types
        import werkzeug.routing
        from memocache import cached
        class Finder:
            def find_spec(self, name, path, target=None):
                if name == "flask.json":
                    sys.meta_path.remove(self)
                    cached(lambda: 1)()
        sys.meta_path.insert(0, Finder())
        from flask import Flask
        view = cached(lambda: "page")
        app = Flask("x")
        app.add_url_rule("/", "view", view)
        print(app.test_client().get("/").headers["Cache-Control"])
    """
    assert printed(source) == ["private,", "max-age=300"]


def test_the_adapter_is_loaded_once() -> None:
    source = """
        from flask import Flask
        from memocache import cached, _hooks
        cached(lambda: 1)
        import memocache.web.flask
        print(len(_hooks.adapters))
    """
    assert printed(source) == ["1"]


ASGI_FIRST = "from starlette.applications import Starlette"
ASGI_SECOND = """
from memocache import cached
@cached
async def view(request):
    from starlette.responses import PlainTextResponse
    return PlainTextResponse(request.scope["query_string"] if request else b"none")
"""
ASGI_THEN = """
import asyncio
from starlette.routing import Route
async def sent(query):
    scope = {"type": "http", "method": "GET", "scheme": "http", "path": "/", "query_string": query, "headers": []}
    messages = []
    async def send(message):
        messages.append(message)
    await Starlette(routes=[Route("/", view)])(scope, None, send)
    return messages
messages = [message for query in (b"a", b"b") for message in asyncio.run(sent(query))]
print(*(message["body"].decode() for message in messages[1::2]))
print(*(b"etag" in dict(message["headers"]) for message in messages[::2]))
"""
IN_THE_MIDDLE = """
import sys
class Finder:
    def find_spec(self, name, path, target=None):
        if name == "starlette.websockets":
            sys.meta_path.remove(self)
            from memocache import cached
            cached(lambda: 1)()
sys.meta_path.insert(0, Finder())
"""


@pytest.mark.parametrize(
    "parts",
    [
        (ASGI_FIRST, ASGI_SECOND),
        (ASGI_SECOND, ASGI_FIRST),
        (ASGI_SECOND, "import starlette.responses", ASGI_FIRST),
        (ASGI_SECOND, "import starlette.endpoints", ASGI_FIRST),
        (ASGI_SECOND, "import fastapi", ASGI_FIRST),
        ("import starlette.responses", ASGI_SECOND, ASGI_FIRST),
        ("import memocache.web.asgi", ASGI_FIRST, ASGI_SECOND),
        ("import flask, starlette.requests, memocache.web.asgi", ASGI_FIRST, ASGI_SECOND),
        (IN_THE_MIDDLE, ASGI_FIRST, ASGI_SECOND),
    ],
)
def test_starlette_whichever_comes_first(parts: tuple[str, ...]) -> None:
    assert printed("\n".join((*parts, ASGI_THEN))) == ["a", "b", "True", "True"]


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


SETTINGS = """
from django.conf import settings
settings.configure(ALLOWED_HOSTS=["*"])
"""
IMPORTED = """
from django.test import RequestFactory
from django.http import HttpResponse
"""
DECORATED = """
from memocache import cached
@cached
def page(request):
    from django.http import HttpResponse
    return HttpResponse(request.META["QUERY_STRING"] if request else "none")
"""
ASKED = """
for query in "aab":
    print(page(RequestFactory().get("/?" + query)).content.decode(), page.info().hits)
"""


@pytest.mark.parametrize("parts", [(IMPORTED, DECORATED), (DECORATED, IMPORTED)], ids=["django first", "django last"])
def test_whichever_comes_first_of_django_and_this(parts: tuple[str, ...]) -> None:
    assert printed("\n".join((SETTINGS, *parts, ASKED))) == ["a", "0", "a", "1", "b", "1"]


@pytest.mark.parametrize("module", ["django.shortcuts", "django.urls", "django.core.handlers.base", "django.views"])
def test_whichever_module_of_django_is_imported_first(module: str) -> None:
    """Each comes to django.http in the middle of its own import."""
    source = f"from memocache import cached\ncached(lambda: 1)()\nimport {module}"
    assert printed("\n".join((SETTINGS, source, IMPORTED, DECORATED, ASKED))) == ["a", "0", "a", "1", "b", "1"]


def test_without_django_its_adapter_says_what_to_install() -> None:
    source = """
        import sys
        sys.modules["django"] = None
        try:
            import memocache.web.django
        except ModuleNotFoundError as error:
            print(error)
    """
    assert " ".join(printed(source)) == "memocache.web.django needs Django: pip install 'Django>=5.2'"


def test_without_settings_django_can_be_imported() -> None:
    assert printed("from memocache import cached\ncached(lambda: 1)()\nimport django.http, django.views\nprint(1)") == [
        "1"
    ]
