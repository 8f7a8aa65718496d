"""A process that ends in the middle of a refresh: python -m tests.reliability.leaving STAND PREFIX AWAITED."""

import asyncio
import json
import sys
import threading
import time
from typing import Any

from memocache import cached
from tests.reliability.caches import reopened

TIMEOUT = 0.05


def main(stand: str, prefix: str, awaited: bool) -> None:
    """Be served an old value, and leave while it is being refreshed."""
    options: dict[str, Any] = {"cache": reopened(stand).open(prefix), "namespace": "f", "timeout": TIMEOUT, "stale": 60}
    refreshing = threading.Event()
    calls: list[int] = []

    def begin() -> bool:
        calls.append(1)
        if len(calls) > 1:
            refreshing.set()
        return refreshing.is_set()

    if not awaited:

        @cached(**options)
        def f(x: int) -> str:
            if begin():
                time.sleep(60)
            return "old"

        f(1)
        time.sleep(2 * TIMEOUT)
        print(f(1), flush=True)
        assert refreshing.wait(10)
        return

    @cached(**options)
    async def g(x: int) -> str:
        if begin():
            await asyncio.sleep(60)
        return "old"

    async def leave() -> None:
        await g(1)
        await asyncio.sleep(2 * TIMEOUT)
        print(await g(1), flush=True)
        while not refreshing.is_set():
            await asyncio.sleep(0)

    asyncio.run(leave())


if __name__ == "__main__":
    main(*map(json.loads, sys.argv[1:]))
