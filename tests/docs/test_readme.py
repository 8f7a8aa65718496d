"""README's examples run, and say what is true."""

import asyncio
import inspect
import re
import tempfile
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from freezegun import freeze_time

import memocache
from memocache import SimpleCache
from tests.support.redis_servers import RedisServer
from tests.support.servers import MemcachedServer

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def default_restored() -> Iterator[None]:
    yield
    memocache.configure(SimpleCache(threshold=10_000))


@pytest.mark.usefixtures("default_restored")
def test_the_examples_run_one_after_the_other(
    memcached_tcp: MemcachedServer,
    redis_server: RedisServer,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    host, port = memcached_tcp.address
    module: dict[str, object] = {"__name__": "readme"}
    for number, block in enumerate(blocks(), 1):
        source = block.replace("127.0.0.1:11211", f"{host}:{port}")
        source = source.replace("redis://127.0.0.1:6379/0", redis_server.url)
        # With a deadline that a busy machine keeps: half a second is enough for users, who are served all the same.
        source = source.replace('"shop:"', f'"{prefix}", timeout=60').replace("=shop:", f"={prefix}&timeout=60s")
        exec(compile(source, f"README example {number}", "exec"), module)
    report, balance, shared = module["report"], module["balance"], module["shared"]
    assert isinstance(report, memocache.CachedFunction)
    assert isinstance(balance, memocache.CachedFunction)
    assert isinstance(shared, memocache.MemcachedCache)
    assert balance.info().stored == 1
    assert shared.get("motd") == "hello"
    assert asyncio.run(tenants(module["app"])) == [1, 1, 2]
    pay, statement, on_commit = module["pay"], module["statement"], module["on_commit"]
    assert (statement(7), statement.info().hits) == ("7: current", 0)
    for month in ("current", "May", "June", "July"):
        statement(7, month)
    pay(7, 1)
    assert [statement.peek(7, month) for month in ("current", "May", "June", "July")] == [memocache.MISSING] * 4
    assert len(on_commit) == 2
    module["test_a_report_is_computed_once"](None)
    assert asyncio.run(module["cart"](7)) == ["tea"]
    assert module["setting"]("x") == module["setting"]("x") == "value of x"
    assert module["setting"].info().hits == 1
    module["carts"].close()
    with freeze_time():  # on a busy machine, there may be a second between two requests
        asked = module["web"].test_client()
        assert [asked.get("/reports/7?x=1").headers.get("Age") for _ in range(2)] == [None, "0"]
        module["page"].uncache(number=7)
        assert "Age" not in asked.get("/reports/7?x=1").headers
    for before, after, argument in [
        ("square_before", "square", 3),
        ("user_before", "user", 7),
        ("thumbnail_before", "thumbnail", "a.png"),
    ]:
        assert module[before](argument) == module[after](argument)
    assert module["old"].get_many("motd", "visitors") == module["new"].get_many("motd", "visitors") == ["hello", 2]


async def tenants(app: Any) -> list[int]:
    """Return the numbers of orders that the web application shows: twice, and after another one was made."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        seen = [(await client.get("/tenants/7")).json()["orders"] for _ in range(2)]
        assert (await client.post("/tenants/7/orders", params={"what": "cake"})).status_code == 200
        return [*seen, (await client.get("/tenants/7")).json()["orders"]]


def test_the_table_of_options_has_them_all() -> None:
    table = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\|[^|]*\|$", README.read_text(), re.MULTILINE)
    assert table == list(inspect.signature(memocache.cached).parameters)


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
    for name in ("uncache", "uncache_all", "uncache_where", "refresh", "peek", "put", "many", "key", "info", "cache"):
        assert f".{name}" in text, name


def blocks() -> list[str]:
    return BLOCK.findall(README.read_text())
