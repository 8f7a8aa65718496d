"""Python that was asked to complain about comparing bytes with text or numbers (`python -bb`)."""

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

CALLS = """
    import asyncio, sys
    from memocache import *

    cache = eval(sys.argv[1])
    cache.clear()
    values = ["a", b"a", "", b"", 0, 1, True, 1.0, ("a", b"a"), {"a": b"a"}, [b"", 0], b"\\x01", frozenset({"b"})]

    async def wait(result):
        return await result

    def check(f, run):
        for _ in range(2):
            for value in values:
                assert run(f(value)) == [repr(value), value], value
                assert run(f(value, b"a")) == [repr(value), value], value
        assert run(f.many([(value,) for value in values])) == [[repr(value), value] for value in values]
        for value in values:
            assert run(f.uncache(value))
            run(f.put(repr(value), value))
            assert run(f.peek(value)) == repr(value) == run(f.refresh(value))[0]
        run(f.uncache_all())

    @cached(cache=cache, namespace="f", tags=("all",))
    def f(value, other="a"):
        return [repr(value), value]

    check(f, lambda result: result)
    uncache_tag("all", cache=cache)
    cache.set("key", b"a")
    assert cache.get("key") == b"a" and cache.delete("key") and cache.inc("number") == 1

    class Shop:
        @cached(cache=cache, namespace="shop", ignore=("self",))
        def f(self, value, other="a"):
            return [repr(value), value]

    check(Shop().f, lambda result: result)

    @cached(cache=cache, namespace="g")
    async def g(value, other="a"):
        return [repr(value), value]

    with asyncio.Runner() as runner:
        check(g, lambda result: runner.run(wait(result)))
"""


@pytest.mark.parametrize("kind", ["simple", "sqlite", "dict", "tiered", "memcached", "redis"])
def test_bytes_and_text_are_compared_nowhere(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    def memcached() -> str:
        return f"MemcachedCache([{request.getfixturevalue('contract_memcached').address!r}], timeout=10)"

    caches: dict[str, Callable[[], Any]] = {
        "simple": lambda: "SimpleCache()",
        "sqlite": lambda: f"SQLiteCache({str(tmp_path / 'cache.db')!r}, timeout=10)",
        "dict": lambda: "ForeignCache({})",
        "tiered": lambda: f"TieredCache(SimpleCache(), {memcached()})",
        "memcached": memcached,
        "redis": lambda: f"RedisCache({request.getfixturevalue('redis_server').url!r}, key_prefix='bb', timeout=10)",
    }
    words = [sys.executable, "-bb", "-W", "error::BytesWarning", "-c", textwrap.dedent(CALLS), caches[kind]()]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parents[2])
    assert (done.returncode, "Warning" in done.stderr) == (0, False), done.stderr
