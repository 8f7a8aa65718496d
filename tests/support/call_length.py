"""The length of a call: the files of the package that it enters, in order. `python -m tests.support.call_length`.

What it prints stands in ARCHITECTURE.md. tests/unit/test_call_length.py holds the lengths.
"""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import memocache
from memocache import Cache, MemcachedCache, RedisCache, SimpleCache, cached
from tests.support.redis_servers import RedisServer, find_redis
from tests.support.servers import MemcachedServer, find_memcached

FOLDER: Final = f"{Path(memocache.__file__).parent}{os.sep}"
GENERATED: Final = "<memocache "  # so begin the names of the files of generated code
COMPILED: Final = "(compiled call)"
IN_C: Final = "`_hit.c`"  # which the interpreter does not tell about


def trace(call: Callable[..., Any], *args: Any) -> list[str]:
    """Call *call* and return the files of the package whose functions were entered, in order of the first entry.

    The code that is generated for a cached function counts as one file, COMPILED.
    """
    files: dict[str, None] = {}

    def note(frame: FrameType, event: str, argument: object) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith((GENERATED, FOLDER)):
            files[COMPILED if name.startswith(GENERATED) else name.removeprefix(FOLDER)] = None

    former, collecting = sys.getprofile(), gc.isenabled()
    gc.disable()  # it would run the finalizers of other caches in between
    sys.setprofile(note)
    try:
        call(*args)
    finally:
        sys.setprofile(former)
        if collecting:
            gc.enable()
    return list(files)


def traces(memcached: Any, redis_url: str, prefix: str = "") -> dict[str, list[str]]:
    """Return the files that each kind of call enters, after calls with other arguments."""
    found = {}
    shared = MemcachedCache([memcached], key_prefix=prefix)
    for where, cache in {"in process": SimpleCache(), "on memcached": shared}.items():
        f = _function(cache)
        misses = trace(f, 2)
        found[f"hit {where}"] = trace(f, 2) or [IN_C]
        found[f"miss {where}"] = misses
    f = _function(RedisCache(redis_url, key_prefix=prefix))
    f(2)
    f.uncache(1)
    found["uncache on Redis"] = trace(f.uncache, 2)
    return found


def _function(cache: Cache) -> Any:
    f = cached(cache=cache, timeout=60, namespace="call length")(lambda x: x if x > 1 else sum(range(100_000)) and x)
    assert [f(1), f(1)] == [1, 1]  # computed for longer than all that come: the longest yet is not the usual one
    return f


def main() -> None:
    memcached, no_memcached = find_memcached()
    redis, no_redis = find_redis()
    if memcached is None or redis is None:
        sys.exit(no_memcached or no_redis)
    with MemcachedServer(binary=memcached) as memcached_server, RedisServer(binary=redis) as redis_server:
        for name, files in traces(memcached_server.address, redis_server.url).items():
            chain = " > ".join(file.removesuffix(".py") for file in files)
            print(f"{name}: {len(files)} file{'s' * (len(files) > 1)}\n    {chain}\n")


if __name__ == "__main__":
    main()
