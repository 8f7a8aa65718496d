"""The examples of docs/ run, one after the other on each page, and print what the page says."""

import codeop
import inspect
import re
from pathlib import Path

import pytest

import memocache
from memocache import MISSING
from memocache._hooks import Decorated
from tests.docs.conftest import PageRunner
from tests.docs.pages import DOCS, README, TIERS, Example, examples, name_of, pages

IN_A_FILE = ("caches/own.md",)  # too long for a prompt; the page says so


@pytest.mark.parametrize("page", pages(), ids=name_of)
def test_the_examples_of_the_page_run(page: Path, run: PageRunner) -> None:
    names = run(page)
    memoizers = {name: each._self_memoizer for name, each in names.items() if isinstance(each, Decorated)}
    on_a_shared_cache = {name for name, each in memoizers.items() if getattr(each.options.cache, "shared", False)}
    # At a prompt, into which they are pasted, a function has no name that other processes know.
    assert {name for name in on_a_shared_cache if memoizers[name].options.namespace is None} == set()


def every_example() -> list[Example]:
    every = (page for page in DOCS.rglob("*.md") if name_of(page) not in IN_A_FILE)
    return [each for page in [README, *every] for each in examples(page) if each.kind == "python"]


def test_every_example_can_be_pasted_into_a_prompt() -> None:
    assert [each.name for each in every_example() if not is_pasteable(each.source)] == []
    assert not is_pasteable("class A:\n    x = 1\n\n    y = 2\n")


def is_pasteable(source: str) -> bool:
    """Return whether a prompt takes *source* line by line: an empty line ends a block there."""
    compiler, typed = codeop.CommandCompiler(), list[str]()
    for line in [*source.splitlines(), ""]:
        typed.append(line)
        try:
            if compiler("\n".join(typed), symbol="single") is not None:
                typed.clear()
        except SyntaxError:
            return False
    return not typed


def test_every_page_of_another_tier_has_examples() -> None:
    assert {option: sorted(map(name_of, pages(option))) for option in TIERS} == {
        option: sorted(names) for option, names in TIERS.items()
    }


def test_what_a_page_prints_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: PageRunner) -> None:
    monkeypatch.setattr("tests.docs.pages.ROOT", tmp_path)
    page = tmp_path / "page.md"
    page.write_text("```python\ndef f():\n    return 1\n```\n\n```pycon\n>>> f()\n2\n```\n")
    with pytest.raises(AssertionError, match=r"page\.md, line 6(.|\n)*Expected:\n *2\n *Got:\n *1"):
        run(page)


def test_pages_do_not_know_each_other(run: PageRunner) -> None:
    names = run(DOCS / "features" / "copy.md")
    assert "own_tags" in names
    assert "own_tags" not in run(DOCS / "features" / "many.md")


def test_forgetting_has_every_way_of_uncaches(run: PageRunner) -> None:
    page = run(DOCS / "features" / "forgetting.md")
    pay, statement, on_commit = page["pay"], page["statement"], page["on_commit"]
    months = ("current", "May", "June", "July")
    for month in months:
        statement(7, month)
    pay(7, 1)
    assert [statement.peek(7, month) for month in months] == [MISSING] * 4
    assert len(on_commit) == 2


def test_the_tests_of_the_recipe_pass(run: PageRunner, fresh_default: memocache.SimpleCache) -> None:
    page = run(DOCS / "recipes" / "tests.md")
    tests = {name: test for name, test in page.items() if name.startswith("test_")}
    assert len(tests) == 4
    for test in tests.values():
        page["report"].uncache_all()
        test(*[fresh_default] * len(inspect.signature(test).parameters))


def test_the_caches_hold_what_the_examples_put_there(run: PageRunner) -> None:
    page = run(DOCS / "caches" / "index.md")
    assert page["balance"].info().stored == 1
    assert page["shared"].get("motd") == "hello"
    assert page["setting"]("x") == page["setting"]("x") == "value of x"
    assert page["setting"].info().hits == 1
    page["carts"].close()


@pytest.mark.parametrize(
    ("name", "before", "after", "argument"),
    [
        ("lru-cache", "square_before", "square", 3),
        ("dogpile", "user_before", "user", 7),
        ("diskcache", "thumbnail_before", "thumbnail", "a.png"),
    ],
)
def test_what_was_moved_returns_the_same(name: str, before: str, after: str, argument: object, run: PageRunner) -> None:
    page = run(DOCS / "migrating" / f"{name}.md")
    assert page[before](argument) == page[after](argument)


def test_the_methods_of_cachelib_are_the_same(run: PageRunner) -> None:
    page = run(DOCS / "migrating" / "cachelib.md")
    assert page["old"].get_many("motd", "visitors") == page["new"].get_many("motd", "visitors") == ["hello", 2]


def test_the_table_of_options_has_them_all() -> None:
    text = (DOCS / "features" / "options.md").read_text()
    table = re.findall(r"^\| `(\w+)` \|[^|]*\|[^|]*\|[^|]*\|$", text, re.MULTILINE)
    assert table == list(inspect.signature(memocache.cached).parameters)


def test_every_public_name_is_in_the_api() -> None:
    text = (DOCS / "api.md").read_text()
    assert [name for name in memocache.__all__ if f"memocache.{name}\n" not in text] == []


def test_every_link_between_pages_leads_somewhere() -> None:
    missing = [
        f"{name_of(page)}: {target}"
        for page in DOCS.rglob("*.md")
        for target in re.findall(r"\]\(([^)#:\s]+)[^)\s]*\)", page.read_text())
        if not (page.parent / target).exists()
    ]
    assert missing == []


def test_examples_are_found_in_all_kinds_of_fences() -> None:
    assert [each.kind for each in examples(DOCS / "features" / "copy.md")] == ["python", "pycon"] * 2
