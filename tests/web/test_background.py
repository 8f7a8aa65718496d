"""What stale= computes in the background, when the request may be over: it leaves nothing open in any framework."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections
from django.http import HttpResponse
from django.test import AsyncClient
from fastapi import Depends, FastAPI, Request
from flask import Flask, g, has_request_context, request
from flask_sqlalchemy import SQLAlchemy
from freezegun import freeze_time
from sqlalchemy import text
from sqlalchemy.pool import QueuePool
from starlette.responses import PlainTextResponse

from memocache import Cache, ConfigurationError, cached
from tests.support.servers import wait_until
from tests.support.threads import PATIENCE
from tests.web.asgi_sites import get
from tests.web.django_site import DjangoSite

Count = Callable[[], int]
REFRESHES = 5
KINDS = ["view", "helper"]


over = threading.Semaphore(0)


def in_background() -> None:
    """In the background, wait until the request is over."""
    if threading.current_thread().name.startswith("memocache"):
        assert over.acquire(timeout=PATIENCE)


def refresh(ask: Callable[[], str], function: Any, clock: Any) -> None:
    """Have it refreshed in the background some times, when the request is over; it calls `in_background`."""
    assert ask() == "1"
    for n in range(1, REFRESHES + 1):
        clock.tick(61)
        assert ask() == f"{n}"
        over.release()
        wait_until(lambda n=n: function.info().stored == n + 1)  # type: ignore[misc]


# ---- Flask -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_flask_sqlalchemys_pool_is_as_it_was(kind: str, cache: Cache, count: Count, tmp_path: Path) -> None:
    app = Flask("tests")
    app.config.update(
        SQLALCHEMY_DATABASE_URI=f"sqlite:///{tmp_path}/data.sqlite",
        SQLALCHEMY_ENGINE_OPTIONS={"poolclass": QueuePool, "pool_size": 2, "max_overflow": 0, "pool_timeout": 1},
    )
    database = SQLAlchemy(app)

    @cached(cache=cache, namespace="page", timeout=60, stale=600)
    def page() -> str:
        in_background()
        database.session.execute(text("select 1"))
        return f"{count()}"

    app.add_url_rule("/", "page", page if kind == "view" else lambda: page())
    with freeze_time("2026-01-01") as clock:
        refresh(lambda: app.test_client().get("/").text, page, clock)
    with app.app_context():
        wait_until(lambda: database.engine.pool.checkedout() == 0)  # type: ignore[attr-defined]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refresh_has_contexts_of_its_own_which_are_torn_down(kind: str, cache: Cache, count: Count) -> None:
    app = Flask("tests")
    opened: list[object] = []
    closed: list[object] = []

    @app.before_request
    def prepare() -> None:
        g.language, g.database = "de", object()
        opened.append(g.database)

    @app.teardown_appcontext
    def close(error: object) -> None:
        closed.append(g.pop("database", None))

    @cached(cache=cache, namespace="page", timeout=60, stale=600)
    def page() -> str:
        in_background()
        assert has_request_context()
        assert (g.language, request.args["q"]) == ("de", "x")
        if "database" not in g:  # opened by whom it is needed
            g.database = object()
            opened.append(g.database)
        return f"{count()}"

    app.add_url_rule("/", "page", page if kind == "view" else lambda: page())
    with freeze_time("2026-01-01") as clock:
        refresh(lambda: app.test_client().get("/?q=x").text, page, clock)
    wait_until(lambda: len(closed) == len(opened))
    assert len(opened) == 1 + 2 * REFRESHES
    assert set(map(id, closed)) == set(map(id, opened))


def test_a_helper_outside_of_any_request_has_the_applications_context(cache: Cache, count: Count) -> None:
    app = Flask("tests")

    @cached(cache=cache, namespace="helper", timeout=60, stale=600)
    def helper() -> str:
        assert not has_request_context()
        return f"{count()} {g.get('name')}"

    with freeze_time("2026-01-01") as clock, app.app_context():
        g.name = "kept"
        assert helper() == "1 kept"
        clock.tick(61)
        assert helper() == "1 kept"
        wait_until(lambda: helper() == "2 kept")


# ---- Django ------------------------------------------------------------------------------------------------------


def is_closed(raw: Any) -> bool:
    try:
        raw.execute("select 1")
    except sqlite3.ProgrammingError:
        return True
    return False


@pytest.fixture
def database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """In a file: Django closes no connection to one in memory."""
    monkeypatch.setitem(connections.settings["default"], "NAME", f"{tmp_path}/data.sqlite")
    yield
    connection.close()


def query(used: list[Any]) -> None:
    with connection.cursor() as cursor:
        cursor.execute("select 1")
        used.append(connection.connection)


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("kind", KINDS)
def test_djangos_connections_are_closed(kind: str, cache: Cache, count: Count) -> None:
    used: list[Any] = []

    def computed(*args: Any) -> Any:
        in_background()
        query(used)
        return HttpResponse(f"{count()}") if args else f"{count()}"

    function = cached(cache=cache, namespace="page", timeout=60, stale=600)(
        (lambda request: computed(request)) if kind == "view" else lambda: computed()
    )
    site = DjangoSite(is_async=False)
    site.route("/", function if kind == "view" else lambda request: HttpResponse(function()))
    with freeze_time("2026-01-01") as clock:
        refresh(site.text, function, clock)
    assert len(used) == 1 + REFRESHES
    wait_until(lambda: all(map(is_closed, used[1:])))


@pytest.mark.usefixtures("database")
@pytest.mark.parametrize("kind", KINDS)
def test_djangos_connections_of_a_task_are_closed(kind: str, cache: Cache, count: Count) -> None:
    used: list[Any] = []

    async def view(request: Any) -> HttpResponse:
        await sync_to_async(query)(used)
        return HttpResponse(f"{count()}")

    async def helper() -> str:
        await sync_to_async(query)(used)
        return f"{count()}"

    function: Any = cached(cache=cache, namespace="page", timeout=60, stale=600)(view if kind == "view" else helper)
    site = DjangoSite(is_async=False)

    async def outer(request: Any) -> HttpResponse:
        return HttpResponse(await function())

    site.route("/", function if kind == "view" else outer)
    site.enter()

    async def all_of_it() -> None:
        client = AsyncClient()
        with freeze_time("2026-01-01") as clock:
            for n in (1, *range(1, REFRESHES + 1)):
                assert (await client.get("/")).content.decode() == f"{n}"
                while asyncio.all_tasks() - {asyncio.current_task()}:
                    await asyncio.wait(asyncio.all_tasks() - {asyncio.current_task()}, timeout=1)
                clock.tick(61)

    asyncio.run(all_of_it())
    assert len(used) == 1 + REFRESHES
    assert all(map(is_closed, used[1:]))


# ---- FastAPI -----------------------------------------------------------------------------------------------------


def opens() -> Iterator[int]:
    yield 1


async def opens_too() -> AsyncIterator[int]:
    yield 1


class Opens:
    def __call__(self) -> Iterator[int]:
        yield 1


def depends(on: int = Depends(opens)) -> int:
    return on


def depends_by_hint(on: Annotated[int, Depends(opens_too)]) -> int:
    return on


class Service:
    def __init__(self, on: int = Depends(depends)) -> None:
        self.on = on


def plain(request: Request) -> int:
    return 1


def of_default(i: int, db: int = Depends(opens)) -> None: ...
def of_annotation(i: int, db: Annotated[int, Depends(opens_too)]) -> None: ...
def of_text(i: int, db: "Annotated[int, Depends(depends)]") -> None: ...
def of_class(i: int, db: Annotated[Service, Depends()]) -> None: ...
def of_object(i: int, db: int = Depends(Opens())) -> None: ...
async def of_hint(i: int, db: int = Depends(depends_by_hint)) -> None: ...
def of_nothing(i: int, db: int = Depends(plain)) -> None: ...


@pytest.mark.parametrize("function", [of_default, of_annotation, of_text, of_class, of_object, of_hint])
@pytest.mark.parametrize("options", [{"ignore": ("db",)}, {"key": "{i}"}, {}], ids=["ignored", "no key", "key"])
def test_what_fastapi_closes_is_refused_with_stale(function: Any, options: dict[str, Any]) -> None:
    message = (
        rf"^{function.__name__}: 'db' comes from a dependency with yield, which is closed with the request, and stale= "
        r"computes when that may be over; leave stale= out, or open it in the function$"
    )
    with pytest.raises(ConfigurationError, match=message):
        cached(stale=60, **options)(function)
    cached(**options)(function)


def test_what_fastapi_does_not_close_is_not_refused() -> None:
    cached(stale=60, ignore=("db",))(of_nothing)


def test_a_session_that_is_opened_in_the_function_is_closed_there(cache: Cache, count: Count) -> None:
    app, is_open = FastAPI(), [0]

    @app.get("/")
    @cached(cache=cache, namespace="page", timeout=60, stale=600)
    async def page(request: Request) -> PlainTextResponse:
        is_open[0] += 1
        try:
            return PlainTextResponse(f"{count()}")
        finally:
            is_open[0] -= 1

    with freeze_time("2026-01-01") as clock:
        refresh(lambda: get(app).text, page, clock)
    assert is_open == [0]
    while over.acquire(blocking=False):  # it was in no thread
        pass
