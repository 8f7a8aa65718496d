"""README's examples run, each by itself, and README says what is true."""

import code
import contextlib
import inspect
import io
import re
from pathlib import Path
from typing import Any

import pytest

import memocache
from tests.docs.pages import README, examples

MOST_LINES = 250
WIDEST_ROW = 100


@pytest.fixture
def pasted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Paste an example into a prompt of its own, line by line; returns what it has defined."""
    monkeypatch.setenv("HOME", str(tmp_path))

    def paste(source: str) -> dict[str, Any]:
        names: dict[str, Any] = {"__name__": "__main__"}
        prompt = code.InteractiveConsole(names)
        said = io.StringIO()
        with contextlib.redirect_stderr(said):
            for line in [*source.splitlines(), ""]:
                prompt.push(line)
        assert said.getvalue() == ""
        return names

    return paste


def sources() -> list[str]:
    return [each.source for each in examples(README)]


def test_there_are_five_examples() -> None:
    assert len(sources()) == 5


@pytest.mark.parametrize("number", range(5))
def test_an_example_can_be_pasted_as_it_stands(number: int, pasted: Any) -> None:
    pasted(sources()[number])


def test_the_first_example_does_what_its_comments_say() -> None:
    computed: list[int] = []
    source = sources()[0].replace("    return {", "    computed.append(account_id)\n    return {")
    module: dict[str, object] = {"__name__": "readme.first", "computed": computed}
    lines = source.strip().splitlines()
    exec("\n".join(lines[:-1]), module)
    assert computed == [7]
    assert eval(lines[-1], module) is True
    exec("report(7)", module)
    assert computed == [7, 7]


def test_the_second_one_forgets_in_the_file(pasted: Any) -> None:
    names = pasted(sources()[1])
    assert names["in_stock"]("tea") == 2
    assert (names["in_stock"].info().hits, names["in_stock"].info().misses) == (1, 2)
    names["disk"].close()


def test_the_third_one_computes_once(pasted: Any) -> None:
    names = pasted(sources()[2])
    info = names["dashboard"].info()
    assert (info.misses, info.waits + info.hits, info.currsize) == (1, 99, 0)


def test_the_fourth_one_is_a_view(pasted: Any) -> None:
    names = pasted(sources()[3])
    client = names["app"].test_client()
    assert ["Age" in client.get("/reports/7?x=1").headers for _ in range(2)] == [False, True]
    names["page"].uncache(7)
    assert "Age" not in client.get("/reports/7?x=1").headers


def test_the_table_of_options_has_them_all() -> None:
    table = README.read_text().partition("## The options of `cached`")[2].partition("\n## ")[0]
    options = re.findall(r"^\| `(\w+)` \|[^|]*\|$", table, re.MULTILINE)
    assert options == list(inspect.signature(memocache.cached).parameters)


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


def test_it_is_short_and_narrow() -> None:
    lines = README.read_text().splitlines()
    assert len(lines) <= MOST_LINES
    assert [line for line in lines if line.startswith("|") and len(line) > WIDEST_ROW] == []


def test_every_link_leads_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#:\s]+)\)", README.read_text())
    assert [target for target in targets if not (README.parent / target).exists()] == []


def test_the_fifth_one_stores_what_its_hint_names(pasted: Any) -> None:
    names = pasted(sources()[4])
    names["prices"]("berlin")
    assert names["prices"]("berlin") == {"berlin": [names["Price"]("tea", 350)]}
    assert names["prices"].info().failures == 0
