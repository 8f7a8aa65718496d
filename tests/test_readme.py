"""README's examples run, and say what is true."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import memocache
from memocache import SimpleCache
from tests.servers import MemcachedServer

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def default_restored() -> Iterator[None]:
    yield
    memocache.configure(SimpleCache(threshold=10_000))


@pytest.mark.usefixtures("default_restored")
def test_the_examples_run_one_after_the_other(memcached_tcp: MemcachedServer, prefix: str) -> None:
    host, port = memcached_tcp.address
    module: dict[str, object] = {"__name__": "readme"}
    for number, block in enumerate(blocks(), 1):
        source = block.replace("127.0.0.1:11211", f"{host}:{port}").replace('"shop:"', f'"{prefix}"')
        exec(compile(source, f"README example {number}", "exec"), module)
    report, balance, shared = module["report"], module["balance"], module["shared"]
    assert isinstance(report, memocache.CachedFunction)
    assert isinstance(balance, memocache.CachedFunction)
    assert isinstance(shared, memocache.MemcachedCache)
    assert balance.info().stored == 1
    assert shared.get("motd") == "hello"


def test_the_first_example_does_what_its_comments_say() -> None:
    computed: list[int] = []
    source = blocks()[0].replace("    return {", "    computed.append(account_id)\n    return {")
    module: dict[str, object] = {"__name__": "readme.first", "computed": computed}
    lines = source.strip().splitlines()
    exec("\n".join(lines[:-1]), module)
    assert computed == [7]
    assert eval(lines[-1], module) is True
    exec(textwrap.dedent("report(7)"), module)
    assert computed == [7, 7]


def test_the_two_commands_are_there() -> None:
    commands = re.findall(r"^python3 -m venv .*$", README.read_text(), re.MULTILINE)
    assert [command.rpartition("&& ")[2] for command in commands] == [
        ".venv/bin/memocache demo",
        ".venv/bin/python -m pytest",
    ]


def test_every_public_name_of_a_cached_function_is_explained() -> None:
    text = README.read_text()
    for name in ("uncache", "uncache_all", "refresh", "peek", "put", "key", "info", "cache"):
        assert f".{name}" in text, name


def blocks() -> list[str]:
    return BLOCK.findall(README.read_text())
