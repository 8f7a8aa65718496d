"""The calls that the gate counts: a script that `gate.py` runs under valgrind, in the tree on PYTHONPATH.

`os.getppid()` is a mark: at each, callgrind writes down what was counted since the one before. Nothing else calls it.
For each stretch between two marks that counts, a line says which row it is of, and how many calls it has.
Older trees run this, too: it imports little, and of memocache public names only.
"""

import functools
import gc
import os
import sys
from collections.abc import Callable, Iterator
from itertools import islice, repeat
from typing import Any, Final

BATCHES: Final = 4  # of each row; before the first, as many calls are made that do not count
HITS: Final = 500  # a batch
SHARED_HITS: Final = 100  # a batch
ROOM: Final = 200  # entries, and misses or forgettings a batch: what comes round once in a while comes in each
OF_LRU_CACHE: Final = "lru_cache-"  # a row whose name begins so is functools', which ours is compared with
FAR_OFF: Final = 3600  # seconds: nothing expires, no answer is late, though all takes 50 times as long

ROW: Final = {
    "id": 7,
    "name": "Ada Lovelace",
    "email": "ada@example.org",
    "active": True,
    "balance": 1815.12,
    "roles": ["admin", "author"],
    "city": "London",
}

computed = 0


def of_one(a: int) -> int:
    global computed
    computed += 1
    return a


def of_two(a: int, b: int) -> int:
    global computed
    computed += 1
    return a


def of_three(a: int, b: int = 1, c: int = 2) -> int:
    global computed
    computed += 1
    return a


def report(account: int) -> dict[str, object]:
    global computed
    computed += 1
    return ROW


def hit(row: str, decorate: Callable[[Any], Any]) -> None:
    f = decorate(of_one)

    def calls() -> None:
        for _ in repeat(None, HITS):
            f(1)

    batches(row, calls, HITS, computes=0)


def hit_of_two(row: str, decorate: Callable[[Any], Any]) -> None:
    f = decorate(of_two)

    def calls() -> None:
        for _ in repeat(None, HITS):
            f(1, 2)

    batches(row, calls, HITS, computes=0)


def hit_with_names(row: str, decorate: Callable[[Any], Any]) -> None:
    f = decorate(of_three)

    def calls() -> None:
        for _ in repeat(None, HITS):
            f(1, b=2, c=4)

    batches(row, calls, HITS, computes=0)


def hit_of_method(row: str, decorate: Callable[[Any], Any]) -> None:
    class Shop:
        @decorate
        def total(self, a: int) -> int:
            return of_one(a)

    shop = Shop()

    def calls() -> None:
        for _ in repeat(None, HITS):
            shop.total(1)

    batches(row, calls, HITS, computes=0)


def miss(memocache: Any, addresses: list[str]) -> None:
    f = in_process(memocache)(of_one)
    numbers = enough()
    for number in islice(numbers, 2 * ROOM):  # full, as it stays
        f(number)

    def calls() -> None:
        for number in islice(numbers, ROOM):
            f(number)

    batches("miss", calls, ROOM, computes=ROOM)


def uncache(memocache: Any, addresses: list[str]) -> None:
    f = in_process(memocache)(of_one)
    forget, some = f.uncache, list(range(ROOM // 2))

    def fill() -> None:
        before = computed
        for number in some:
            f(number)
        if computed - before != len(some):
            sys.exit(f"uncache: {computed - before} of {len(some)} calls were forgotten; wanted: all")

    def calls() -> None:
        for number in some:
            forget(number)

    batches("uncache", calls, len(some), computes=0, before=fill)


def memcached(memocache: Any, addresses: list[str]) -> None:
    shared_hit("memcached", memocache.MemcachedCache([addresses[0]], timeout=FAR_OFF), memocache)


def redis(memocache: Any, addresses: list[str]) -> None:
    shared_hit("redis", memocache.RedisCache(f"unix://{addresses[1]}", timeout=FAR_OFF), memocache)


def shared_hit(row: str, cache: Any, memocache: Any) -> None:
    f = memocache.cached(timeout=FAR_OFF, cache=cache, namespace="report")(report)

    def calls() -> None:
        for _ in repeat(None, SHARED_HITS):
            f(7)

    batches(row, calls, SHARED_HITS, computes=0)


def in_process(memocache: Any) -> Callable[[Any], Any]:
    decorate: Callable[[Any], Any] = memocache.cached(timeout=FAR_OFF, cache=memocache.SimpleCache(threshold=ROOM))
    return decorate


def enough() -> Iterator[int]:
    """Return other arguments for each miss, made beforehand."""
    return iter(list(range((2 + 1 + BATCHES) * ROOM)))


def batches(
    row: str, run: Callable[[], None], calls: int, *, computes: int, before: Callable[[], None] = lambda: None
) -> None:
    """Let the batches of *row* be counted; each is *calls* calls, of which so many are to be computed."""
    before()
    run()  # the interpreter has seen the loop and what it calls, the cache is full, the connection open
    # What is collected when depends on all that was made before; it is off, so that it cannot be the difference.
    gc.collect()
    gc.disable()
    for _ in range(BATCHES):
        before()
        had = computed
        os.getppid()
        run()
        os.getppid()
        if computed - had != computes:
            sys.exit(f"{row}: {computed - had} of {calls} calls were computed; wanted: {computes}")
        print(row, calls)
    gc.enable()


HITS_IN_PROCESS: Final = {
    "hit": hit,
    "hit-of-two": hit_of_two,
    "hit-with-names": hit_with_names,
    "hit-of-method": hit_of_method,
}
ROWS: Final = {"miss": miss, "uncache": uncache, "memcached": memcached, "redis": redis}


def main(tree: str, rows: str, *addresses: str) -> None:
    """Let *rows* be counted, a list with commas; memocache has to come from *tree*."""
    os.getppid()
    import memocache

    os.getppid()
    print("import", 1)
    if not str(memocache.__file__).startswith(tree + os.sep):
        sys.exit(f"memocache came from {memocache.__file__}; wanted: {tree}")
    for row in rows.split(","):
        kind = row.removeprefix(OF_LRU_CACHE)
        if kind in HITS_IN_PROCESS:
            is_ours = kind == row
            HITS_IN_PROCESS[kind](row, in_process(memocache) if is_ours else functools.lru_cache(maxsize=ROOM))
        elif row in ROWS:
            ROWS[row](memocache, list(addresses))


if __name__ == "__main__":
    main(*sys.argv[1:])
