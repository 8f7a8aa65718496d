"""The inspector's page in a real browser: with and without a script, by keyboard, for screen readers; hostile text."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from memocache import SimpleCache, SQLiteCache, cached, configure
from memocache.stats import share
from memocache.web.inspector import Inspector
from tests.support.servers import skip_or_fail, wait_until
from tests.web.chromium import Chromium
from tests.web.inspector_site import SECRET, served

HOSTILE = (
    "<script>window.canary=1</script>",
    "\"><img src=x onerror='window.canary=1'>",
    "</style></title></textarea><svg onload=window.canary=1>",
    "javascript:window.canary=1",
    "a\x1b[31m\x00\u202e\u2066b\udcff",
    "&lt;script&gt;window.canary=1&lt;/script&gt;{{7*7}}${7*7}",
)


@pytest.fixture(scope="module")
def axe() -> str:
    """The source of axe-core, which a wheel has."""
    spec = importlib.util.find_spec("axe_playwright_python")
    if spec is None or not spec.submodule_search_locations:
        skip_or_fail("there is no axe-core; pip install axe-playwright-python")
    return Path(spec.submodule_search_locations[0], "axe.min.js").read_text("utf-8")


@pytest.fixture(autouse=True)
def fresh_page(no_other_functions: None, browser: Chromium) -> None:
    browser.tell("Network.clearBrowserCookies")
    browser.tell("Emulation.setScriptExecutionDisabled", value=False)
    browser.tell("Emulation.setDeviceMetricsOverride", width=1000, height=760, deviceScaleFactor=1, mobile=False)


@pytest.fixture
def shop() -> Iterator[Any]:
    configure(SimpleCache())

    @cached(timeout=300, tags=("tenant:{tenant}",), namespace="shop.reports.monthly")
    def monthly(tenant: int, month: str = "May") -> str:
        return f"{tenant} {month}"

    @cached(timeout=None, namespace="shop.prices")
    def prices(day: str) -> str:
        return day

    for tenant in range(70):
        monthly(tenant), monthly(tenant)
    prices("Monday")
    yield monthly
    del prices  # which is there until now


@pytest.fixture
def url(shop: Any, browser: Chromium) -> Iterator[str]:
    inspector = Inspector(secret=SECRET)
    with served("wsgi", inspector) as url:
        browser.open(f"{url}?{inspector.ticket()}")
        yield url


def texts(browser: Chromium, selector: str) -> list[str]:
    found: list[str] = browser.value(
        f"[...document.querySelectorAll({json.dumps(selector)})].map(each => each.textContent)"
    )
    return found


def type_into(browser: Chromium, selector: str, text: str) -> None:
    browser.value(f"document.querySelector({json.dumps(selector)}).focus()")
    browser.tell("Input.insertText", text=text)


# ---- what it does --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_script", [True, False])
def test_calls_functions_and_tags_are_forgotten(browser: Chromium, url: str, shop: Any, has_script: bool) -> None:
    browser.tell("Emulation.setScriptExecutionDisabled", value=not has_script)
    browser.open(f"{url}?function=shop.reports.monthly")
    assert len(texts(browser, "tbody tr")) == 50
    browser.click("tbody tr button")
    assert texts(browser, "[role=status]") == ["That call is forgotten."]
    assert shop.info().currsize == 69
    browser.open(url)
    browser.value("document.querySelector('#tag').value = 'tenant:69'")
    browser.click(".tag button")
    assert shop.info().currsize == 68
    browser.open(f"{url}?function=shop.reports.monthly")
    browser.value("document.querySelector('details').open = true")
    browser.click("details button")
    assert texts(browser, "[role=status]") == ["Every call of this function is forgotten."]
    assert shop.info().currsize == 0


def test_entries_are_shown_by_pages(browser: Chromium, url: str) -> None:
    browser.open(f"{url}?function=shop.reports.monthly")
    first = texts(browser, "tbody th")
    browser.click(".more a")
    more = texts(browser, "tbody th")
    assert (len(first), len(more), len({*first, *more})) == (50, 20, 70)
    assert texts(browser, ".more a") == []


@pytest.mark.parametrize("has_script", [True, False])
def test_a_search_finds_functions_and_entries(browser: Chromium, url: str, has_script: bool) -> None:
    browser.tell("Emulation.setScriptExecutionDisabled", value=not has_script)
    browser.open(f"{url}?function=shop.reports.monthly")
    key = texts(browser, "tbody th")[7]
    for address, query, found in (
        (url, "PRICES", ["shop.prices"]),
        (f"{url}?function=shop.reports.monthly", key[3:12], [key]),
        (url, "<script>", []),
    ):
        browser.open(address)
        type_into(browser, "#q", query)
        if has_script:  # it looks as one types
            wait_until(lambda found=found: texts(browser, ".results tbody th") == found)
            assert browser.value("document.activeElement.id") == "q"
        else:
            browser.press("Enter")
            browser._until_loaded()
            assert texts(browser, ".results tbody th") == found
            assert browser.value("document.querySelector('#q').value") == query


def test_whoever_knows_the_secret_enters(browser: Chromium, url: str) -> None:
    browser.tell("Network.clearBrowserCookies")
    browser.open(url)
    for secret, title in (("another secret of theirs", "Enter · memocache"), (SECRET, "What is cached · memocache")):
        type_into(browser, "#secret", secret)
        browser.press("Enter")
        browser._until_loaded()
        assert browser.value("document.title") == title
    browser.click("header button")
    assert browser.value("document.title") == "Enter · memocache"


# ---- for everybody -------------------------------------------------------------------------------------------------


@pytest.fixture
def fleet(tmp_path: Path, browser: Chromium) -> Iterator[str]:
    """The page of functions of other processes: their figures of the last hour are shared, and some have failed."""
    cache = SQLiteCache(str(tmp_path / "cache.db"))

    @cached(timeout=300, namespace="shop.reports.monthly", cache=cache)
    def monthly(tenant: int) -> str:
        return "x" * 1000

    @cached(timeout=0.001, stale="10h", namespace="shop.reports.old", cache=cache)
    def old() -> None: ...

    old()
    for tenant in range(5):
        monthly(tenant), monthly(tenant)
    share(cache)()
    inspector = Inspector(cache, secret=SECRET)
    with served("wsgi", inspector) as url:
        browser.open(f"{url}?{inspector.ticket()}")
        yield url


PAGES = ("", "?function=shop.reports.monthly", "?function=shop.reports.old", "?function=nobody", "?said=tag&q=nothing")


@pytest.mark.parametrize("width", [360, 1000])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(browser: Chromium, fleet: str, axe: str, scheme: str, width: int) -> None:
    browser.tell("Emulation.setDeviceMetricsOverride", width=width, height=760, deviceScaleFactor=1, mobile=width < 500)
    browser.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    assert violations(browser, axe, "data:text/html,<img src=x>") != []  # it does find what is there to find
    for page in PAGES:
        assert violations(browser, axe, fleet + page) == []
        assert browser.value("document.documentElement.scrollWidth <= innerWidth")
        assert ("old" in page) == ("stale, 9 h" in "".join(texts(browser, "td")))
    browser.tell("Network.clearBrowserCookies")
    assert violations(browser, axe, fleet) == []


def violations(browser: Chromium, axe: str, url: str) -> list[str]:
    browser.open(url)
    browser.value("[...document.querySelectorAll('details')].forEach(each => each.open = true)")
    browser.value(axe)
    found = browser.tell(
        "Runtime.evaluate",
        expression="axe.run().then(all => all.violations.map(each => each.id + ': ' + each.nodes.map(n => n.html)))",
        awaitPromise=True,
        returnByValue=True,
    )
    result: list[str] = found["result"]["value"]
    return result


def test_a_screen_reader_is_told_what_there_is(browser: Chromium, fleet: str) -> None:
    browser.open(fleet)
    nodes = browser.accessible()
    curve = "Calls a minute in the last hour: 11 calls, of which 6 were computed; 11 in the busiest minute"
    for node in (
        *(("heading", "What is cached"), ("heading", "Functions"), ("image", curve), ("searchbox", "Search functions")),
        *(("rowheader", "shop.reports.monthly"), ("columnheader", "Hit ratio"), ("textbox", "Tag")),
    ):
        assert node in nodes


def test_it_can_be_used_by_keyboard(browser: Chromium, url: str, shop: Any) -> None:
    browser.open(f"{url}?function=shop.prices")
    reached = []
    for _ in range(8):
        browser.press("Tab")
        reached.append(browser.value("document.activeElement.textContent || document.activeElement.id"))
        assert browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == [
        *("To the figures", "memocache", "Leave", "All functions", "q", "Search", "Forget", "Forget every call")
    ]
    browser.open(f"{url}?function=shop.prices")
    for _ in range(7):
        browser.press("Tab")
    browser.press("Enter")
    browser._until_loaded()
    assert texts(browser, "[role=status]") == ["That call is forgotten."]


# ---- hostile text --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_text_of_others_is_shown_as_text(
    browser: Chromium, tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In names of functions, here and shared, in keys, tags, messages, and in what is asked for."""
    cache = SQLiteCache(str(tmp_path / "cache.db"))

    def unknown() -> Any:
        raise LookupError(text)

    @cached(namespace=text, cache=cache)
    def ours(x: object) -> int:
        return 1

    @cached(namespace=f"here.{text}", key=lambda x: x)
    def here(x: str) -> object:
        return 1

    @cached(cache=unknown, namespace=f"unknown.{text}")
    def broken() -> None: ...

    plain = text.encode("utf-8", "replace").decode()
    ours(1)
    here(plain)
    share(cache)()
    inspector = Inspector(cache, secret=SECRET)
    pages = ["", "?function=" + _quoted(f"here.{text}"), "?function=" + _quoted(text), f"?q={_quoted(plain)}"]
    pages += [f"?said={_quoted(plain)}", f"?function={_quoted(plain + '!')}", f"?first={_quoted(plain)}"]
    with served("wsgi", inspector) as url:
        browser.open(f"{url}?{inspector.ticket()}")
        for page in pages:
            browser.open(url + page)
            assert browser.value("window.canary") is None
            assert browser.value("document.querySelectorAll('main img, main script, main svg[onload]').length") == 0
            assert browser.value("document.querySelectorAll('[href^=\"javascript:\"]').length") == 0
        del ours  # as if it were another process's
        browser.open(url)
        shown = "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)
        assert shown in "".join(texts(browser, "main"))
        browser.value(f"document.querySelector('#tag').value = {json.dumps(plain)}")
        browser.click(".tag button")
        assert texts(browser, "[role=status]") == ["Every call with that tag is forgotten."]
        assert browser.value("window.canary") is None


def _quoted(text: str) -> str:
    return quote(text, errors="replace")


def test_the_policy_stops_what_would_be_put_in(browser: Chromium, url: str) -> None:
    """The control of the tests above: what does get into the page cannot run there."""
    browser.open(url)
    browser.value(
        "const script = document.createElement('script'); script.textContent = 'window.canary = 1';"
        "document.body.append(script);"
        "document.querySelector('h1').insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.canary=1\">');"
        "document.querySelector('h1').setAttribute('style', 'display: none'); 0"
    )
    assert browser.value("window.canary") is None
    assert browser.value("getComputedStyle(document.querySelector('h1')).display") == "block"


def test_it_cannot_be_framed(browser: Chromium, url: str) -> None:
    browser.open(f"data:text/html,<iframe src='{url}' id=frame></iframe>")
    nodes = browser.tell("DOM.getDocument", depth=-1, pierce=True)
    assert "What is cached" not in json.dumps(nodes)
