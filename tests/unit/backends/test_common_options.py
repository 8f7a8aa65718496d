"""Options that all shared caches have, and what they say of those that cannot work."""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from memocache import ForeignCache, MemcachedCache, PickleSerializer, RedisCache, SafeSerializer, SQLiteCache
from tests.support.refusals import refusal

WANTED_PREFIX = "wanted: at most 100 printable ASCII characters without spaces"
BAD_PREFIXES = [None, 5, b"p", "a b", "a\n", "\t", "\0", "\x7f", "\u00e9", "\u2028", "\ud800", "p" * 101]
WANTED_TIMEOUT = "wanted: seconds above 0 that one command may take"
WANTED_SERIALIZER = "wanted: an instance of a Serializer, such as SafeSerializer() or PickleSerializer(secret=...)"
WANTED_SECONDS = "wanted: seconds as a number, a timedelta, or text such as '90s', '5m', '1h30m' or '2d'"

CACHES: dict[str, Callable[..., Any]] = {
    "memcached": partial(MemcachedCache, ["h:1"]),
    "redis": partial(RedisCache, "redis://h"),
    "sqlite": partial(SQLiteCache, "/nowhere/c.db"),
    "foreign": partial(ForeignCache, {}),
}


@pytest.mark.parametrize("kind", CACHES)
@pytest.mark.parametrize(
    ("options", "message"),
    [
        *(({"key_prefix": given}, f"key_prefix={given!r}; {WANTED_PREFIX}") for given in BAD_PREFIXES),
        ({"default_timeout": -1}, "default_timeout=-1 is negative; wanted: seconds above 0, or 0 for ever"),
        ({"default_timeout": "1y"}, f"default_timeout='1y' is not a duration; {WANTED_SECONDS}"),
        ({"serializer": SafeSerializer}, f"serializer= got an ABCMeta; {WANTED_SERIALIZER}"),
        ({"serializer": PickleSerializer}, f"serializer= got an ABCMeta; {WANTED_SERIALIZER}"),
        ({"serializer": "json"}, f"serializer= got a str; {WANTED_SERIALIZER}"),
    ],
    ids=repr,
)
def test_options_that_cannot_work_are_refused(kind: str, options: dict[str, Any], message: str) -> None:
    assert refusal(CACHES[kind], **options) == message


@pytest.mark.parametrize("kind", [kind for kind in CACHES if kind != "foreign"])
@pytest.mark.parametrize(
    ("timeout", "message"),
    [
        *((given, f"timeout={given!r}; {WANTED_TIMEOUT}") for given in (0, -0.5, "0s")),
        (True, f"timeout=True is a bool; {WANTED_SECONDS}"),
        (None, f"timeout=None is a NoneType; {WANTED_SECONDS}"),
        (float("nan"), f"timeout=nan is not a finite number; {WANTED_SECONDS}"),
        (float("inf"), f"timeout=inf is not a finite number; {WANTED_SECONDS}"),
        ("soon", f"timeout='soon' is not a duration; {WANTED_SECONDS}"),
    ],
    ids=repr,
)
def test_a_deadline_that_cannot_be_is_refused(kind: str, timeout: Any, message: str) -> None:
    wanted = message.replace("one command", "one exchange") if kind == "redis" else message
    assert refusal(CACHES[kind], timeout=timeout) == wanted
