"""Endpoints under load and over time: waiting, cancelling, growing old, two tenants; in process and on memcached."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException
from freezegun import freeze_time
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from memocache import Cache, MemcachedCache, cached
from memocache._flight import Flight
from tests.support.servers import MemcachedServer
from tests.web.asgi_sites import answer, run
from tests.web.matrix import Ask
from tests.web.tenants import TASKS, requests

PATIENCE = 30.0


@pytest.fixture
def joined(monkeypatch: pytest.MonkeyPatch) -> list[Flight]:
    """The flights that somebody waits for, besides whoever leads them."""
    found = []
    subscribe = Flight.subscribe

    def subscribed(self: Flight, wake: Any) -> bool:
        done = subscribe(self, wake)
        found.append(self)
        return done

    monkeypatch.setattr(Flight, "subscribe", subscribed)
    return found


class Held:
    """An endpoint that waits until it may answer."""

    def __init__(self) -> None:
        self.computed = 0
        self.entered = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, request: Request) -> Response:
        self.computed += 1
        self.entered.set()
        await asyncio.wait_for(self.go.wait(), PATIENCE)
        return PlainTextResponse(f"{self.computed}")


async def until(condition: Callable[[], bool]) -> None:
    async def polled() -> None:
        while not condition():
            await asyncio.sleep(0.001)

    await asyncio.wait_for(polled(), PATIENCE)


def asked(app: Any, target: str = "/") -> "asyncio.Task[Any]":
    return asyncio.get_running_loop().create_task(answer(app, Ask(target)))


async def waiting(app: Any, held: Held, joined: list[Flight], *, others: int) -> "list[asyncio.Task[Any]]":
    """Return the one that computes, and the *others* that wait for it."""
    first = asked(app)
    await held.entered.wait()
    before = len(joined)
    rest = [asked(app) for _ in range(others)]
    await until(lambda: len(joined) == before + others)
    return [first, *rest]


def site(cache: Cache, held: Held, **options: Any) -> Any:
    @cached(cache=cache, namespace="view", wait=60, **options)
    async def page(request: Request) -> Response:
        return await held(request)

    return Starlette(routes=[Route("/", page)])


# ---- waiting -----------------------------------------------------------------------------------------------------


def test_one_computes_and_all_are_served(cache: Cache, joined: list[Flight]) -> None:
    async def main() -> None:
        held = Held()
        app = site(cache, held)
        first, *others = await waiting(app, held, joined, others=8)
        held.go.set()
        answers = await asyncio.gather(first, *others)
        assert {each.text for each in answers} == {"1"}
        assert len({each.headers["ETag"] for each in answers}) == 1
        assert held.computed == 1

    run(main())


@pytest.mark.parametrize("who", ["the one that computes", "one that waits"])
def test_a_client_that_goes_leaves_the_others_alone(cache: Cache, joined: list[Flight], who: str) -> None:
    async def main() -> None:
        held = Held()
        app = site(cache, held)
        first, *others = await waiting(app, held, joined, others=2)
        gone = first if who == "the one that computes" else others.pop()
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        held.go.set()
        left = [each for each in (first, *others) if each is not gone]
        assert [each.text for each in await asyncio.gather(*left)] == ["1", "1"]
        assert (await asked(app)).text == "1"
        assert held.computed == 1

    run(main())


def test_when_the_last_client_goes_so_does_the_computation(cache: Cache) -> None:
    async def main() -> None:
        held = Held()
        app = site(cache, held)
        first = asked(app)
        await held.entered.wait()
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        held.go.set()
        assert (await asked(app)).text == "2"

    run(main())


def test_endpoints_in_threads_wait_for_each_other(cache: Cache, joined: list[Flight]) -> None:
    from tests.support.threads import Held as HeldInThread

    held = HeldInThread(lambda: "page")
    app = FastAPI()

    @app.get("/")
    @cached(cache=cache, namespace="view", wait=60)
    def page(request: Request) -> str:
        return str(held())

    async def main() -> None:
        first = asked(app)
        await until(held.entered.is_set)
        others = [asked(app) for _ in range(8)]
        held.go()
        assert {each.text for each in await asyncio.gather(first, *others)} == {'"page"'}
        assert held.computed == 1

    run(main())


def test_what_cannot_be_stored_is_not_serialised(cache: Cache) -> None:
    """All of them are inside the endpoint together: were they let in one by one, this would wait for ever."""
    inside = 0
    everybody = asyncio.Event()

    @cached(cache=cache, namespace="view", wait=60)
    async def page(request: Request) -> Response:
        nonlocal inside
        inside += 1
        if inside == 9:
            everybody.set()
        if inside > 1:
            await asyncio.wait_for(everybody.wait(), PATIENCE)
        response = PlainTextResponse("page")
        response.set_cookie("user", f"{inside}")
        return response

    app = Starlette(routes=[Route("/", page)])

    async def main() -> None:
        await asked(app)
        await asyncio.gather(*(asked(app) for _ in range(8)))

    run(main())
    assert inside == 9


def test_a_fence_while_a_response_is_computed(cache: Cache) -> None:
    async def main() -> None:
        truth, held = ["old"], Held()

        @cached(cache=cache, namespace="view")
        async def page(request: Request) -> Response:
            text = truth[0]
            await held(request)
            return PlainTextResponse(text)

        app = Starlette(routes=[Route("/", page)])
        first = asked(app)
        await held.entered.wait()
        truth[0] = "new"
        await page.uncache(None)  # type: ignore[arg-type]
        held.go.set()
        assert (await first).text == "old"
        assert [(await asked(app)).text for _ in range(2)] == ["new", "new"]

    run(main())


# ---- growing old -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_async", [True, False], ids=["async", "sync"])
def test_stale_is_served_while_one_refreshes(cache: Cache, count: Callable[[], int], is_async: bool) -> None:
    def view(request: Request, i: int) -> Response:
        return PlainTextResponse(f"{request.url.path}?{request.url.query} {count()}")

    async def awaited(request: Request, i: int) -> Response:
        return view(request, i)

    app = FastAPI()
    options = {"timeout": 60, "stale": 30, "cache": cache, "namespace": "view"}
    app.get("/{i}")(cached(**options)(awaited if is_async else view))

    def get() -> Any:
        return run(answer(app, Ask("/1?a=1")))

    with freeze_time("2030-01-01", real_asyncio=True) as clock:
        assert get().headers["Cache-Control"] == "private, max-age=60, stale-while-revalidate=30, stale-if-error=30"
        clock.tick(50)
        assert get().headers["Age"] == "50"
        clock.tick(20)
        old = get()
        assert (old.text, old.headers["Age"]) == ("/1?a=1 1", "70")

        async def refreshed() -> bool:
            while (await answer(app, Ask("/1?a=1"))).text != "/1?a=1 2":
                await asyncio.sleep(0.001)
            return True

        assert run(asyncio.wait_for(refreshed(), PATIENCE))
        clock.tick(100)
        assert get().text == "/1?a=1 3"


def test_an_error_leaves_what_is_stored(cache: Cache, count: Callable[[], int]) -> None:
    fails = False

    @cached(timeout=60, stale=30, cache=cache, namespace="view")
    async def page(request: Request) -> Response:
        number = count()
        if fails:
            raise HTTPException(503)
        return PlainTextResponse(f"{number}")

    app = Starlette(routes=[Route("/", page)])
    with freeze_time("2030-01-01", real_asyncio=True) as clock:
        assert run(answer(app, Ask("/"))).text == "1"
        fails = True
        clock.tick(70)
        assert [run(answer(app, Ask("/"))).text for _ in range(3)] == ["1"] * 3
        clock.tick(30)
        assert run(answer(app, Ask("/"))).status_code == 503


def test_a_loop_for_each_request(cache: Cache, count: Callable[[], int]) -> None:
    @cached(cache=cache, namespace="view", timeout=60, stale=30)
    async def page(request: Request) -> Response:
        return PlainTextResponse(f"{count()}")

    app = Starlette(routes=[Route("/", page)])
    assert [asyncio.run(answer(app, Ask("/"))).text for _ in range(3)] == ["1"] * 3


# ---- two tenants -------------------------------------------------------------------------------------------------


def test_two_tenants_never_meet(memcached: MemcachedServer, prefix: str) -> None:
    cache = MemcachedCache([memcached.address], key_prefix=prefix)
    app = FastAPI()

    def named(request: Request) -> str:
        return request.headers.get("X-Tenant", "nobody")

    @app.get("/key/{i}")
    @cached(cache=cache, namespace="by key", key=lambda request, i: named(request))
    async def by_key(request: Request, i: int) -> dict[str, Any]:
        return {"tenant": named(request), "i": i}

    @app.get("/vary/{i}")
    @cached(cache=cache, namespace="by vary", vary=("X-Tenant",))
    def by_vary(request: Request, i: int) -> dict[str, Any]:
        return {"tenant": named(request), "i": i}

    @app.get("/learned/{i}")
    @cached(cache=cache, namespace="by learned")
    async def by_learned(request: Request, i: int) -> Response:
        return JSONResponse({"tenant": named(request), "i": i}, headers={"Vary": "X-Tenant"})

    @app.get("/cookie/{i}")
    @cached(cache=cache, namespace="by cookie")
    async def by_cookie(request: Request, i: int) -> dict[str, Any]:
        return {"tenant": request.cookies.get("tenant", "nobody"), "i": i}

    @app.get("/host/{i}")
    @cached(cache=cache, namespace="by host")
    async def by_host(request: Request, i: int) -> dict[str, Any]:
        return {"tenant": request.url.hostname.partition(".")[0], "i": i}  # type: ignore[union-attr]

    async def wrong(seed: int) -> int:
        count = 0
        for each in requests(seed):
            count += each.is_wrong(json.loads((await answer(app, each.ask)).data))
            if each.forgets:
                await by_learned.uncache(None, each.i)  # type: ignore[arg-type]
        return count

    async def all_wrong() -> int:
        return sum(await asyncio.gather(*(wrong(seed) for seed in range(TASKS))))

    assert run(all_wrong()) == 0
    hits = [view.info().hits for view in (by_key, by_vary, by_learned, by_cookie, by_host)]
    assert all(each > 1000 for each in (*hits[:3], hits[4])), hits
    assert hits[3] == 0  # with cookies, of which nobody has said what matters
