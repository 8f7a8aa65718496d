"""`manage.py memocache` and `flask memocache`, in processes of their own, on the caches that processes share."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

FUNCTIONS = """
import os
from memocache import cached

@cached(timeout=300, cache=os.environ["SHOP_CACHE"], namespace="shop.report", tags=("tenant:{tenant}",))
def report(tenant, month="May"):
    return tenant

@cached(timeout=300)
def local(x):
    return x
"""

FLASK = """
from flask import Flask
from memocache.web.flask import Memocache

app = Flask("shop")
Memocache(app)
"""

FLASK_VIEW = """
@app.get("/page/<name>")
@cached(timeout=300, cache=os.environ["SHOP_CACHE"])
def page(name):
    return "page"
"""

DJANGO_VIEW = """
from django.http import HttpRequest, HttpResponse

@cached(timeout=300, cache=os.environ["SHOP_CACHE"])
def page(request: HttpRequest):
    return HttpResponse("page")

urlpatterns = []
"""

SETTINGS = """
SECRET_KEY = "secret"
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "memocache.web"]
"""

MANAGE = """
import sys
from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
"""

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(params=["django", "flask"])
def run(request: pytest.FixtureRequest, tmp_path: Path, url: str) -> Run:
    """Runs the command of the framework; returns the exit status, and what it has printed."""
    if request.param == "django":
        pytest.importorskip("django")
        for name, text in (("settings", SETTINGS), ("urls", FUNCTIONS + DJANGO_VIEW), ("manage", MANAGE)):
            (tmp_path / f"{name}.py").write_text(text)
        command = [sys.executable, "manage.py", "memocache"]
    else:
        pytest.importorskip("flask")
        (tmp_path / "app.py").write_text(FLASK + FUNCTIONS + FLASK_VIEW)
        command = [sys.executable, "-m", "flask", "memocache"]
    environ = {**os.environ, "SHOP_CACHE": url, "DJANGO_SETTINGS_MODULE": "settings", "PYTHONPATH": str(ROOT)}
    environ.pop("FLASK_APP", None)

    def run(*arguments: str) -> tuple[int, str, str]:
        done = subprocess.run(
            [*command, *arguments], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        return done.returncode, done.stdout, done.stderr

    return run


@pytest.fixture
def url(request: pytest.FixtureRequest, shared_url: Callable[[str], str]) -> str:
    return shared_url(getattr(request, "param", "sqlite"))


@pytest.mark.parametrize("url", ["redis", "memcached", "sqlite"], indirect=True)
def test_what_one_process_has_stored_others_list_and_forget(run: Run) -> None:
    call = "report(7, month='June')"
    assert run("refresh", call)[:2][0] == 0
    status, out, err = run("ls", "report")
    assert (status, err, len(out.splitlines())) == (0, "", 2)
    assert run("uncache", call) == (0, f"forgotten: {call}\n", "")
    assert run("ls", "report") == (1, "", "memocache ls: nothing is stored for report\n")


def test_pages_of_a_view_are_not_said_to_be_missing(run: Run) -> None:
    """Their keys are made from requests, which a command has not."""
    call = "page(None)"
    told = f"memocache entry: nothing is stored for {call}; if it is a view, its pages have keys made from requests\n"
    assert run("entry", call) == (1, "", told)
    assert run("uncache", call) == (0, f"forgotten: {call}\n", "")


def test_a_view_is_not_refreshed_without_a_request(run: Run) -> None:
    told = (
        "memocache refresh: page('x') is a call of a view, whose pages are computed for requests; forget it with "
        "uncache, and the next request computes it\n"
    )
    assert run("refresh", "page('x')") == (2, "", told)
    assert run("ls", "page")[0] == 1


def test_the_doctor_looks_at_the_caches_of_the_site(run: Run) -> None:
    status, out, err = run("doctor")
    assert (status, err) == (1, "memocache doctor: 1 thing to look at\n")
    assert "cache       SQLiteCache(" in out
    assert "! SimpleCache(" in out


def test_what_cannot_be_done_is_a_sentence(run: Run) -> None:
    assert ".report(tenant, month='May')  SQLiteCache(" in run("ls")[1]
    for arguments, status, told in (
        (["uncache", "local(1)"], 2, "lives in the memory of each process"),
        (["uncache", "report(open('x'))"], 2, "is not a call with literals"),
        (["-a", "no_such", "ls"], 2, "'no_such' cannot be imported: ModuleNotFoundError: No module named 'no_such'"),
        (["doctor", "memcached://127.0.0.1:1?prefix=x"], 1, "1 thing to look at"),
    ):
        code, _, err = run(*arguments)
        assert (code, err.count("Traceback")) == (status, 0), err
        assert told in err


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_module", "ModuleNotFoundError: No module named 'no_such_module'"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_a_django_site_that_cannot_be_imported(run: Run, tmp_path: Path, text: str, why: str) -> None:
    if not (tmp_path / "urls.py").exists():
        pytest.skip("Flask says so itself")
    (tmp_path / "urls.py").write_text(text)
    code, _, err = run("ls")
    assert code == 2
    assert f"ROOT_URLCONF='urls' cannot be imported: {why}" in err


@pytest.mark.parametrize("settings", [None, "settings"])
def test_the_command_of_memocache_itself_says_where_that_of_a_django_site_is(
    settings: str | None, tmp_path: Path
) -> None:
    pytest.importorskip("django")
    (tmp_path / "settings.py").write_text(SETTINGS)
    (tmp_path / "urls.py").write_text("from django.contrib.auth import models")
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    if settings is not None:
        environ["DJANGO_SETTINGS_MODULE"] = settings
    command = [sys.executable, "-m", "memocache", "-a", "urls", "ls"]
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stderr.endswith("; in a Django project: python manage.py memocache ...\n")
    assert done.stderr.count("\n") == 1
