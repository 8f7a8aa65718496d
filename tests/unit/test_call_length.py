"""The length of a call: how many files of the package somebody has to open who follows it."""

import sys
from typing import Final

from memocache import SimpleCache, cached
from memocache._native import hit
from tests.support.call_length import COMPILED, IN_C, trace, traces
from tests.support.redis_servers import RedisServer
from tests.support.selection import ROOT
from tests.support.servers import MemcachedServer

# The files that each call may enter, after calls with other arguments; the aim in the comment. Lower them, never raise.
MOST_FILES: Final = {
    "hit in process": 1,
    "miss in process": 11,
    "hit on memcached": 12,
    "miss on memcached": 18,
    "uncache on Redis": 12,
}


def test_no_call_enters_more_files_than_it_may(
    memcached: MemcachedServer, redis_server: RedisServer, prefix: str
) -> None:
    found = traces(memcached.address, redis_server.url, prefix)
    assert found.keys() == MOST_FILES.keys()
    assert {name: files for name, files in found.items() if len(files) > MOST_FILES[name]} == {}
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    if hit is not None:  # what is in C opens no file
        text = text.replace(f"{IN_C}, or {COMPILED}", IN_C).replace(" > `_entry`", "")
        found = {name: [file for file in files if file != "_entry.py"] for name, files in found.items()}
    for name, files in found.items():
        chain = " > ".join(file if file in (COMPILED, IN_C) else f"`{file.removesuffix('.py')}`" for file in files)
        assert f"| {name.replace('uncache', '`uncache`')} | {chain} |\n" in text.replace(f"{IN_C}, or ", "")


def test_files_are_listed_once_and_in_order() -> None:
    f = cached(cache=SimpleCache())(lambda x: x)
    f(0)  # the first call compiles
    files = trace(lambda: [f(1), f(2), f(3)])
    assert 0 == files.index(COMPILED) < files.index("keys.py") < files.index("backends/simple.py")
    assert len(files) == len(set(files))


def test_what_is_outside_of_the_package_does_not_count() -> None:
    former = sys.getprofile()
    assert trace(lambda: None) == []
    assert sys.getprofile() is former
