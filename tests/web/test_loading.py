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
        print([name for name in sys.modules if name.startswith(("memocache.web", "flask", "werkzeug"))])
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
    assert " ".join(printed(source)) == "memocache.web.flask needs Flask: pip install 'memocache[flask]'"


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
        from memocache import cached, _views
        cached(lambda: 1)
        import memocache.web.flask
        print(len(_views.frameworks))
    """
    assert printed(source) == ["1"]
