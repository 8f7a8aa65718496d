"""The examples of the pages of docs/ that need other libraries; and the site that Sphinx makes."""

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.docs.conftest import PageRunner
from tests.docs.pages import DOCS, name_of, pages
from tests.support.servers import skip_or_fail

LIBRARIES = {
    "features/metrics.md": "prometheus_client",
    "migrating/cachier.md": "cachier",
    "migrating/cashews.md": "cashews",
    "migrating/joblib.md": "joblib",
    "recipes/models.md": "pandas",
    "recipes/notebooks.md": "pandas",
    "recipes/workers.md": "celery",
}
SPHINX = ("sphinx", "furo", "myst_parser", "sphinx_copybutton", "sphinx_design", "opentelemetry", "prometheus_client")

# What somebody would type, and the page that is to be found.
QUESTIONS = {
    "flask forget page": "recipes/flask",
    "flask application factory": "recipes/flask",
    "flask cache per user": "recipes/flask",
    "flask invalidate page": "recipes/flask",
    "django queryset": "recipes/django",
    "django commit": "recipes/django",
    "invalidate cache save": "recipes/django",
    "fastapi pydantic model": "recipes/fastapi",
    "starlette endpoint": "recipes/fastapi",
    "notebook kernel restarts": "recipes/notebooks",
    "pandas dataframe": "recipes/notebooks",
    "jupyter persist cache disk": "recipes/notebooks",
    "script runs": "recipes/scripts",
    "command line refresh option": "recipes/scripts",
    "celery worker": "recipes/workers",
    "celery schedule warm": "recipes/workers",
    "test timeout sleeping": "recipes/tests",
    "results leaking tests": "recipes/tests",
    "pytest clear cache tests": "recipes/tests",
    "disable cache pytest": "recipes/tests",
    "typed library": "recipes/library",
    "annotate cached function": "recipes/library",
    "mypy type hints": "recipes/library",
    "invalidate": "features/forgetting",
    "ttl": "features/timeouts",
    "share colleague": "recipes/notebooks",
    "multiprocessing workers": "recipes/notebooks",
    "template fragment": "recipes/django",
    "csrf cookies": "recipes/django",
    "negative caching": "glossary",
    "purge": "glossary",
    "flush": "glossary",
    "stampede": "features/waiting",
}


@pytest.mark.parametrize("page", pages("--all"), ids=name_of)
def test_the_examples_of_the_page_run(page: Path, run: PageRunner) -> None:
    need(LIBRARIES[name_of(page)], extra="test-all")
    run(page)


def need(*modules: str, extra: str) -> None:
    """Skip the test where one of the *modules* is not installed, and say what brings it."""
    if missing := [name for name in modules if find_spec(name) is None]:
        skip_or_fail(f"it needs {', '.join(missing)}: pip install -e '.[{extra}]'")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, made without a warning."""
    need(*SPHINX, extra="docs")
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "-n", "-b", "html", str(DOCS), str(target)]
    made = subprocess.run(command, capture_output=True, text=True, timeout=100, cwd=DOCS.parent)
    assert (made.returncode, made.stdout, made.stderr) == (0, "", "")
    return target


def test_the_site_asks_no_other_server_for_anything(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img|iframe)[^>]*?(?:src|href)="(https?:[^"]*)"', page.read_text())
        assert loaded == [], page.name


@pytest.mark.parametrize(("question", "page"), QUESTIONS.items())
def test_one_search_finds_the_recipe(question: str, page: str, site: Path) -> None:
    from sphinx.search.en import SearchEnglish

    stem = SearchEnglish({}).stem
    text = (site / "searchindex.js").read_text()
    index = json.loads(text.removeprefix("Search.setIndex(").removesuffix(")"))
    number = index["docnames"].index(page)
    for word in question.split():
        found = [index[part].get(stem(word), []) for part in ("terms", "titleterms")]
        assert number in [each for part in found for each in (part if isinstance(part, list) else [part])], word
