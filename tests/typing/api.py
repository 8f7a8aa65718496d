"""What type checkers must make of the public names. Checked by mypy --strict and pyright, strict, too; never run.

A line that must be an error has a `type: ignore` with mypy's code. Were it none, each of the two would complain of the
comment. What one of them takes for an error and is none stands in limits_of_mypy.py and limits_of_pyright.py.
"""

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, assert_type

from flask import Flask
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response

import memocache
from memocache import (
    MISSING,
    Cache,
    EntryInfo,
    ForeignCache,
    GAEMemcachedCache,
    Info,
    MemcachedCache,
    NullCache,
    PickleSerializer,
    RedisCache,
    SimpleCache,
    SQLiteCache,
    TieredCache,
    __version__,
    cache_from_url,
    cached,
    code,
    configure,
    default_cache,
    disabled,
    uncache_tag,
    uncaches,
)
from memocache._missing import Missing
from memocache.testing import assert_cached, assert_computed
from memocache.web.asgi import MemocacheMiddleware
from memocache.web.django import MemocacheBackend
from memocache.web.flask import Memocache

# ---- the decorator -----------------------------------------------------------------------------------------------


@cached
def bare(x: int, name: str = "") -> list[str]:
    return [name] * x


@cached()
def empty(x: int) -> str:
    return str(x)


@cached(300)
def positional(x: int) -> str:
    return str(x)


@cached("5m", "{x}", cache=SimpleCache(), version=(1, "a"), ignore=("x",), wait=timedelta(seconds=5))
def with_options(x: int) -> str:
    return str(x)


@cached(timeout=lambda result: 5 if result else None, unless=lambda result: not result, copy=True)
def with_functions(x: int) -> str:
    return str(x)


def lifetime(result: str) -> timedelta | str | float | None:
    return len(result)


@cached(timeout=lifetime, cache=lambda: MemcachedCache(), copy=str.upper, namespace="n")
def with_more_functions(x: int) -> str:
    return str(x)


assert_type(bare(1, name="a"), list[str])
assert_type(empty(1), str)
assert_type(positional(1), str)
assert_type(with_options(1), str)
assert_type(with_functions(x=1), str)
assert_type(with_more_functions(1), str)
assert_type(cached(timeout=None)(lifetime)("a"), timedelta | str | float | None)


@cached(timeout=60, stale="1h", jitter=0.1, errors={LookupError: 30, ValueError: None}, tags=("x:{x}",))
def with_ageing(x: int) -> str:
    return str(x)


assert_type(with_ageing(1), str)
assert_type(with_ageing.uncache_where(x=1), None)
assert_type(with_ageing.many([(1,), {"x": 1}]), list[str])
assert_type(uncache_tag("x:1", SimpleCache()), None)
with_ageing.many([1])  # type: ignore[list-item]


@cached(timeout=60, view=True, vary=("Accept-Language",))
def page(number: int) -> str:
    return str(number)


assert_type(page(1), str)
assert_type(page.uncache(number=1), bool)
cached(view="yes")  # type: ignore[call-overload]
cached(vary=7)  # type: ignore[call-overload]
assert_type(Memocache(Flask("shop")).cache_of(Flask("shop")), Cache)
assert_type(Memocache().init_app(Flask("shop")), None)
assert_type(MemocacheBackend("memory://", {}).cache, Cache)
assert_type(MemocacheBackend("memory://", {}).incr("n"), int)
Starlette().add_middleware(MemocacheMiddleware, statuses=[404, 410], ignored_cookies=["ab_*"])
MemocacheMiddleware(Starlette(), statuses=(404,))


@cached(timeout=60)
async def endpoint(request: Request, i: int) -> Response:
    return Response()


ANY: Any = None


async def forget(request: Request) -> None:
    assert_type(await endpoint.uncache(ANY, 1), bool)
    assert_type(await endpoint.peek(ANY, 1), Response | Missing)
    assert_type(await endpoint.uncache(request, i=1), bool)
    assert_type(await endpoint(request, i=1), Response)


cached(errors={5: 30})  # type: ignore[dict-item]
cached(tags=5)  # type: ignore[call-overload]
cached(tags=("x:{x.y}", str.lower))
memocache.keys.register(Path, lambda path: path.name)
memocache.keys.register(Path, lambda path: path.nom, replace=True)  # type: ignore[attr-defined]
memocache.keys.register("Path", len)  # type: ignore[arg-type]

cached(timeout=5j)  # type: ignore[call-overload]
cached(ttl=5)  # type: ignore[call-overload]
cached(5, 5)  # type: ignore[call-overload]
cached(cache=5)  # type: ignore[call-overload]
cached(cache=SimpleCache)
cached(ignore=5)  # type: ignore[call-overload]
cached(unless=True)  # type: ignore[call-overload]
cached(namespace=5)  # type: ignore[call-overload]
cached(wait=None)  # type: ignore[call-overload]


class Store:
    """What somebody else's cache looks like."""

    def get(self, key: str) -> object: ...
    def set(self, key: str, value: object, timeout: int | None = None) -> bool | None: ...
    def delete(self, key: str) -> object: ...


@cached(timeout=60, cache=Store())
def on_store(x: int) -> str:
    return str(x)


@cached(timeout=60, cache={})
def on_dict(x: int) -> str:
    return str(x)


assert_type(on_store(1), str)
assert_type(on_dict(1), str)
assert_type(ForeignCache(Store(), 60, key_prefix="a:").get("key"), object)
configure(Store())
configure({})
uncache_tag("x:1", Store())
cached(cache=lambda: Store())
assert_type(configure(NullCache()), None)
assert_type(NullCache(60).get("key"), None)
assert_type(GAEMemcachedCache(60, "a:", namespace="tenant").get("key"), object)
GAEMemcachedCache(namespace=5)  # type: ignore[arg-type]
ForeignCache(5)  # type: ignore[arg-type]
ForeignCache(object())  # type: ignore[arg-type]

# ---- a function --------------------------------------------------------------------------------------------------

assert_type(bare.uncache(1), bool)
assert_type(bare.uncache(x=1, name="a"), bool)
assert_type(bare.uncache_all(), None)
assert_type(bare.refresh(1), list[str])
assert_type(bare.peek(1), list[str] | Missing)
if (peeked := bare.peek(1)) is not MISSING:
    assert_type(peeked, list[str])
assert_type(bare.put(["a"], 1, name="b"), None)
assert_type(bare.entry(1, name="b"), EntryInfo | None)
assert_type(bare.key(1), str)
assert_type(bare.info(), Info)
assert_type(bare.cache_info(), Info)


@cached(version=code(follow="shop.*", ignore=("shop.log",)))
def with_code(x: int) -> str:
    return str(x)


assert_type(with_code.code().digest, str)
cached(version=(code(), 2))
code(follow=5)  # type: ignore[arg-type]
assert_type(bare.cache_clear(), None)
assert_type(bare.cache, Cache)
assert_type(bare.cache.get(bare.key(1)), object)
assert_type(bare.__name__, str)

bare("wrong")  # type: ignore[arg-type]
bare()  # type: ignore[call-arg]
bare(1, colour="red")  # type: ignore[call-arg]
bare.uncache("wrong")  # type: ignore[arg-type]
bare.uncache()  # type: ignore[call-arg]
bare.refresh("wrong")  # type: ignore[arg-type]
bare.peek("wrong")  # type: ignore[arg-type]
bare.key("wrong")  # type: ignore[arg-type]
bare.put("wrong", 1)  # type: ignore[arg-type]
bare.put(["a"], "wrong")  # type: ignore[arg-type]
bare.put(value=["a"], x=1)  # type: ignore[call-arg]
bare.uncache_all(1)  # type: ignore[call-arg]
bare.typo  # type: ignore[attr-defined]
bare.typo(1)  # type: ignore[attr-defined]
bare + 1  # type: ignore[operator]
bare[0]  # type: ignore[index]
len(bare)  # type: ignore[arg-type]

as_callable: Callable[[int], list[str]] = bare
as_partial = partial(bare, 1)
assert_type(as_partial(), list[str])

# ---- coroutine functions -----------------------------------------------------------------------------------------


@cached
async def bare_coroutine(x: int, name: str = "") -> list[str]:
    return [name] * x


@cached(timeout="5m", unless=lambda result: not result)
async def coroutine(x: int) -> str:
    return str(x)


async def awaiting() -> None:
    assert_type(await bare_coroutine(1, name="a"), list[str])
    assert_type(await coroutine(1), str)
    assert_type(await coroutine.uncache(1), bool)
    assert_type(await coroutine.uncache_all(), None)
    assert_type(await coroutine.refresh(1), str)
    assert_type(await coroutine.peek(1), str | Missing)
    assert_type(await coroutine.put("a", 1), None)
    assert_type(await coroutine.cache_clear(), None)
    assert_type(await coroutine.entry(1), EntryInfo | None)
    assert_type(await coroutine.many([(1,)]), list[str])
    assert_type(await coroutine.uncache_where(x=1), None)
    assert_type(coroutine.key(1), str)
    assert_type(coroutine.info(), Info)
    assert_type(coroutine.cache, Cache)

    await coroutine("wrong")  # type: ignore[arg-type]
    await coroutine.uncache("wrong")  # type: ignore[call-overload]
    await coroutine.put(5, 1)  # type: ignore[call-overload]
    coroutine(1).upper()  # type: ignore[attr-defined]


# ---- bytes -------------------------------------------------------------------------------------------------------

assert_type(RedisCache.from_url("redis://127.0.0.1/0?prefix=shop:"), RedisCache)
RedisCache("rediss://cache", 60, "shop:", timeout=0.2, serializer=None, ssl_ca_certs="/ca.pem")
RedisCache(default_timeout=[])  # type: ignore[arg-type]
MemcachedCache(compress="zstd", compress_above=1024, secret=b"sixteen bytes or more")
MemcachedCache(secret=["the new secret, 16", b"the old secret, 16"])
PickleSerializer(secret=("the new secret, 16", "the old secret, 16"))
MemcachedCache(compress="gzip")  # type: ignore[arg-type]
MemcachedCache(secret=5)  # type: ignore[arg-type]
PickleSerializer(secret=None)  # type: ignore[arg-type]

# ---- around it ---------------------------------------------------------------------------------------------------

version: str = __version__
assert_type(default_cache(), Cache)
tiers = TieredCache(SimpleCache(), MemcachedCache(), near_timeout=timedelta(seconds=5))
assert_type(tiers.near, SimpleCache)
assert_type(tiers.far, Cache)
assert_type(tiers.get_many("a"), list[object])
TieredCache(MemcachedCache(), MemcachedCache())  # type: ignore[arg-type]
assert_type(configure(SimpleCache()), None)
assert_type(default_cache("sessions"), Cache)
assert_type(cache_from_url("memory://", threshold=5), Cache)
assert_type(configure("memcached://10.0.0.1", sessions="memory://", reports=SimpleCache(), old=None), None)
assert_type(uncache_tag("x:1", "sessions"), None)
cached(cache="sessions")(lifetime)
configure(5)  # type: ignore[arg-type]
configure(sessions=5)  # type: ignore[arg-type]
cache_from_url(b"memory://")  # type: ignore[arg-type]


assert_type(SQLiteCache("~/c.db", 60, "a:", timeout="1s", size_limit=2**30).close(), None)
SQLiteCache(Path("c.db"), default_timeout=None).set("k", 1, timeout=5)
SQLiteCache(b"c.db")  # type: ignore[arg-type]
SQLiteCache()  # type: ignore[call-arg]
with disabled() as nothing:
    assert_type(nothing, None)


@disabled()
def decorated(x: int) -> str:
    return str(x)


assert_type(decorated(1), str)

# ---- writers, and what tests may ask -----------------------------------------------------------------------------


@uncaches(positional, ("{x}",))
def change(x: int, new: str) -> bool:
    return bool(x)


def changed_calls(x: int, new: int) -> list[tuple[int]]:
    return [(x,), (new,)]


@uncaches(positional, changed_calls, after=print)
async def change_later(x: int, new: int) -> bool:
    return bool(x)


assert_type(change(1, "a"), bool)


async def awaited_change() -> None:
    assert_type(await change_later(1, 2), bool)


uncaches(len)  # type: ignore[arg-type]
uncaches(positional, 5)  # type: ignore[arg-type]
with assert_cached(positional), assert_computed(positional, times=2), disabled(everywhere=True):
    pass
assert_cached(len)  # type: ignore[arg-type]
