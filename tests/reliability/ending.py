"""A process that can start no thread, as at its very end: python -m tests.reliability.ending STAND PREFIX WAY."""

import asyncio
import atexit
import json
import resource
import sys
import threading
from pathlib import Path
from typing import Any

from memocache import cached
from tests.reliability.caches import reopened


def main(stand: str, prefix: str, way: str) -> None:
    """Use cached functions for the first time when no thread can be started any more: *way* says where."""
    options: dict[str, Any] = {"cache": reopened(stand).open(prefix), "namespace": "f", "timeout": 60, "stale": 60}

    @cached(**options)
    def f(x: int) -> int:
        return x

    @cached(**{**options, "namespace": "g"})
    async def g(x: int) -> int:
        return x

    async def use() -> list[object]:
        return [await g(1), await g(1), await g.many([(1,), (2,)]), await g.uncache(1), await g.refresh(3)]

    def end() -> None:
        seen = [f(1), f(1), f.many([(1,), (2,)]), f.uncache(1), f.refresh(3)]
        found = asyncio.run(use(), debug=False)  # which would complain that it blocks
        print(json.dumps([seen, found, [dict(each.info().errors) for each in (f, g)]]), flush=True)

    if way.startswith("atexit"):
        atexit.register(end)
        if way == "atexit, in use":  # what weakref closes at the exit of the process, it closes before that
            assert [f(0), asyncio.run(g(0))] == [0, 0]
    elif way == "no room for a stack":
        threading.stack_size(1 << 30)
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 28), resource.RLIM_INFINITY))
        end()
    else:
        main_thread = threading.main_thread()
        threading.Thread(target=lambda: (main_thread.join(), end())).start()


if __name__ == "__main__":
    main(*map(json.loads, sys.argv[1:]))
