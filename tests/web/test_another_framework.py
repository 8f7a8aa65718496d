"""The seam is enough: an adapter of sixty lines, for a framework that nobody has heard of, over HTTP."""

import ast
import threading
from collections.abc import Callable, Iterator
from http.client import HTTPConnection
from pathlib import Path
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest

import memocache
from memocache import Cache, _hooks, cached
from memocache._hooks import Adapter, adapters
from tests.support import another_framework
from tests.support.another_framework import AnotherAdapter
from tests.support.wsgi_framework import App, Request, Response

PACKAGE = Path(memocache.__file__).parent
ADAPTER = Path(another_framework.__file__)
SEAM = {"memocache._hooks", "memocache._clock", "memocache._living", "memocache.errors"}

Reply = tuple[int, dict[str, str], str]
Ask = Callable[..., Reply]


class Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def page(cache: Cache, count: Callable[[], int]) -> Callable[[Request], Response]:
    @cached(timeout=300, cache=cache, namespace="page", vary=("Accept-Language",))
    def page(request: Request) -> Response:
        headers = dict(pair.split("=") for pair in request.query.split("&") if "=" in pair)
        return Response(f"{count()}", headers)

    return page


@pytest.fixture
def ask(page: Callable[[Request], Response]) -> Iterator[Ask]:
    """Asks a real server that the adapter stands behind."""
    adapter: Adapter = AnotherAdapter()
    adapters.register(adapter)
    server = make_server("127.0.0.1", 0, App({"/": page}), handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()

    def ask(target: str = "/", method: str = "GET", **headers: str) -> Reply:
        connection = HTTPConnection("127.0.0.1", server.server_port, timeout=30)
        connection.request(method, target, headers={name.replace("_", "-"): value for name, value in headers.items()})
        response = connection.getresponse()
        body = response.read().decode()
        connection.close()
        return response.status, dict(response.getheaders()), body

    yield ask
    server.shutdown()
    thread.join()
    server.server_close()
    adapters.remove(adapter)


def bodies(ask: Ask, *targets: str) -> list[str]:
    return [ask(target)[2] for target in targets]


def test_a_miss_has_no_age_and_a_hit_has_one(ask: Ask) -> None:
    (status, first, body), (_, second, again) = ask(), ask()
    assert (status, body, again, "Age" in first, int(second["Age"]) >= 0) == (200, "1", "1", False, True)


def test_who_has_the_response_is_told_so(ask: Ask) -> None:
    tag = ask()[1]["ETag"]
    status, headers, body = ask(If_None_Match=tag)
    assert (status, headers["ETag"], body) == (304, tag, "")
    assert ask(If_None_Match='"other"')[0] == 200


def test_the_query_is_part_of_the_key(ask: Ask) -> None:
    assert bodies(ask, "/?a", "/?b", "/?a", "/?b") == ["1", "2", "1", "2"]


def test_headers_of_vary_are_part_of_the_key(ask: Ask) -> None:
    found = [ask(Accept_Language=language) for language in ("en", "de", "en", "de")]
    assert [body for _, _, body in found] == ["1", "2", "1", "2"]
    assert found[3][1]["Vary"] == "accept-language"


@pytest.mark.parametrize("control", ["private", "no-store"])
def test_what_is_for_one_client_is_not_stored(ask: Ask, control: str) -> None:
    target = f"/?Cache-Control={control}"
    assert bodies(ask, target, target) == ["1", "2"]


def test_what_sets_a_cookie_is_not_stored(ask: Ask) -> None:
    assert bodies(ask, "/?Set-Cookie=a", "/?Set-Cookie=a") == ["1", "2"]


def test_a_post_is_computed_and_forgets(ask: Ask) -> None:
    assert bodies(ask, "/", "/") == ["1", "1"]
    assert ask(method="POST")[2] == "2"
    assert bodies(ask, "/", "/") == ["3", "3"]


def test_uncache_forgets_whatever_the_request_was(ask: Ask, page: Callable[[Request], Response]) -> None:
    assert bodies(ask, "/", "/?a", "/") == ["1", "2", "1"]
    assert page.uncache(None) is True  # type: ignore[attr-defined]
    assert bodies(ask, "/", "/?a", "/") == ["3", "4", "3"]


def test_head_is_served_from_the_cache_and_stores_nothing(ask: Ask) -> None:
    tags = [ask(method="HEAD")[1]["ETag"] for _ in range(2)]
    assert tags[0] != tags[1]
    _, headers, body = ask()
    assert body == "3"
    _, again, nothing = ask(method="HEAD")
    assert (again["ETag"], nothing, "Age" in again) == (headers["ETag"], "", True)


def test_a_client_that_wants_it_anew_gets_it_and_so_do_others(ask: Ask) -> None:
    assert [ask()[2], ask(Cache_Control="no-cache")[2], ask()[2]] == ["1", "2", "2"]


# ---- and nothing goes past it ------------------------------------------------------------------------------------


def imports_of(path: Path) -> set[str]:
    """Return all that a file of the package imports of it, wherever in the file."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found |= {f"{node.module}.{each.name}" for each in node.names}
    return {name for name in found if name.split(".")[0] == "memocache"}


def is_allowed(name: str) -> bool:
    module, _, last = name.rpartition(".")
    if name == "memocache.cli":  # whose commands `flask memocache` has; it lies above the core
        return True
    return module in SEAM or module.startswith("memocache.web") or (module == "memocache" and last in memocache.__all__)


@pytest.mark.parametrize("path", [*sorted(PACKAGE.glob("web/*.py")), ADAPTER], ids=lambda path: path.name)
def test_adapters_import_of_the_core_only_the_seam(path: Path) -> None:
    assert [name for name in imports_of(path) if not is_allowed(name)] == []
    assert not any(
        map(is_allowed, ("memocache._memoizer.Memo", "memocache._memoizer", "memocache.backends.base.Cache"))
    )


def test_the_core_imports_nothing_of_the_web() -> None:
    above = (PACKAGE / "_shell.py",)  # the command line, which shows a page of web
    core = [path for path in PACKAGE.rglob("*.py") if PACKAGE / "web" not in path.parents and path not in above]
    assert {path.name for path in core if any(name.startswith("memocache.web") for name in imports_of(path))} == set()
    assert [path.name for path in core if '"memocache.web' in path.read_text()] == ["_hooks.py"]


def test_the_seam_is_narrow() -> None:
    assert len(_hooks.__all__) <= 12
    assert len(ADAPTER.read_text().splitlines()) <= 60
