"""Tasks that are cancelled at any moment hurt nobody else: no cross-talk, nothing left behind, no complaints."""

import asyncio
import gc
import random
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from memocache import Cache, cached
from memocache._flight import Flight
from tests.reliability.caches import Stand
from tests.reliability.ledger import Ledger
from tests.reliability.outcomes import Outcomes

WORKERS = 30
KEYS = 6
STORM = "tasks cancelled at random moments"
TURNS = "tasks cancelled at every turn of the loop"
PATIENCE = 60


@pytest.fixture
def cache(stand: Stand, prefix: str) -> Cache:
    return stand.open(prefix)


async def answer(x: int) -> list[int]:
    """Take a random time, in turns of the loop."""
    for _ in range(random.randrange(8)):
        await asyncio.sleep(0)
    return [x]


def complaints(main: Callable[[], Awaitable[None]]) -> list[str]:
    """Run *main* in a loop of its own, and return what asyncio has complained of."""
    said: list[str] = []

    async def run() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: said.append(str(context)))
        await asyncio.wait_for(main(), PATIENCE)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:  # those that nobody waits for any more may have to clean up
            await asyncio.wait(left, timeout=PATIENCE)

    asyncio.run(run())
    gc.collect()
    return said


def flights_left() -> list[str]:
    gc.collect()
    return [each.key for each in gc.get_objects() if type(each) is Flight and each.state is None]


class Storm:
    """Workers that call *f* all the time, and somebody who cancels them at random moments."""

    def __init__(
        self, f: Callable[[int], Awaitable[list[int]]], forget: Callable[[int], Awaitable[Any]], count: int
    ) -> None:
        self.f = f
        self.forget = forget
        self.count = count
        self.calls: dict[asyncio.Task[list[int]], int] = {}
        self.cancelled = self.answered = 0
        self.wrong: list[object] = []

    async def __call__(self) -> None:
        while self.cancelled < self.count or self.answered < self.count:
            for _ in range(WORKERS - len(self.calls)):
                x = random.randrange(KEYS)
                self.calls[asyncio.create_task(self.f(x))] = x
            for _ in range(random.randrange(6)):
                await asyncio.sleep(0)
            if random.random() < 0.3:
                await self.forget(random.randrange(KEYS))
            for task in random.sample(list(self.calls), 3):
                if task.cancel():
                    await self.end(task, was_cancelled=True)
            for task in [each for each in self.calls if each.done()]:
                await self.end(task, was_cancelled=False)
        for task in list(self.calls):
            await self.end(task, was_cancelled=False)

    async def end(self, task: "asyncio.Task[list[int]]", *, was_cancelled: bool) -> None:
        x = self.calls.pop(task)
        try:
            value = await task
        except asyncio.CancelledError:
            self.cancelled += 1
            if not was_cancelled:
                self.wrong.append(f"{x} was cancelled by somebody else")
        else:
            self.answered += 1
            if value != [x]:
                self.wrong.append((x, value))


def test_a_storm_of_cancellations(
    cache: Cache, stand: Stand, kind: str, ledger: Ledger, outcomes: Outcomes, scaled: Callable[[int, int], int]
) -> None:
    f = cached(cache=cache, namespace="storm")(answer)
    ways = [True, False] if stand.kind.has_fast_hits else [True]
    count = scaled(500, 1_000) // len(ways)
    for listened in ways:
        storm = Storm(outcomes.counted(f) if listened else f, f.uncache, count)
        with outcomes.listening(listened):
            said = complaints(storm)
        left = flights_left()
        ledger.add(
            STORM, kind, storm.cancelled, wrong_values=len(storm.wrong), complaints=len(said), flights_left=len(left)
        )
        assert (storm.wrong, said, left) == ([], [], [])
        assert storm.cancelled >= count
        assert storm.answered >= count
    assert f.info().failures <= f.info().misses  # leases that a forgetting made void, and no others
    for x in range(KEYS):
        assert asyncio.run(f(x)) == [x]


def test_the_storm_finds_what_a_naive_single_flight_does_wrong(ledger: Ledger) -> None:
    """The negative control: whoever is cancelled takes the computation of all others along."""
    tasks: dict[int, asyncio.Task[list[int]]] = {}

    async def naive(x: int) -> list[int]:
        if x not in tasks:
            tasks[x] = asyncio.create_task(answer(x))
        return await tasks[x]

    async def forget(x: int) -> None:
        tasks.pop(x, None)

    storm = Storm(naive, forget, 1_000)
    complaints(storm)
    ledger.naive(STORM, f"one task for all: {len(storm.wrong)} cancelled by others of {storm.answered}")
    assert len(storm.wrong) > 10


@pytest.mark.parametrize("of", ["the only one", "the first of two", "the second of two"])
def test_cancelled_at_every_turn_of_the_loop(
    cache: Cache, kind: str, of: str, ledger: Ledger, outcomes: Outcomes
) -> None:
    async def main() -> None:
        for turns in range(80):
            await f.uncache(turns)
            tasks = [asyncio.create_task(f(turns)) for _ in range(1 if of == "the only one" else 2)]
            for _ in range(turns):
                await asyncio.sleep(0)
            victim = tasks.pop(-1 if of == "the second of two" else 0)
            victim.cancel()
            given = await asyncio.gather(victim, *tasks, return_exceptions=True)
            assert given[1:] == [[turns]] * len(tasks)
            assert given[0] == [turns] or isinstance(given[0], asyncio.CancelledError)
            assert await f(turns) == [turns]

    f = outcomes.counted(cached(cache=cache, namespace="turns", wait=PATIENCE)(answer))
    with outcomes.listening():
        assert complaints(main) == []
    assert flights_left() == []
    assert f.info().failures == 0
    ledger.add(TURNS, kind, 80, wrong_values=0)
