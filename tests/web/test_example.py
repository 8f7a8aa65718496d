"""The example's page, in a real browser: a report that is kept, a button that forgets it."""

import importlib.util
import itertools
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from werkzeug.serving import make_server

from memocache import SimpleCache, configure
from tests.web.chromium import Chromium

APP = Path(__file__).parents[2] / "examples" / "reports" / "app.py"


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("example_reports", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)  # where Flask looks for its templates
    spec.loader.exec_module(module)
    numbers = itertools.count(1)
    monkeypatch.setattr(module, "slow_figures", lambda region: [("Tea", 1), ("Milk", 2), ("Runs", next(numbers))])
    configure(SimpleCache())
    return module


@pytest.fixture
def url(example: ModuleType) -> Iterator[str]:
    server = make_server("127.0.0.1", 0, example.app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.port}"
    server.shutdown()
    thread.join()


def runs(browser: Chromium) -> int:
    """Return the how manieth computation the page shows."""
    row = "[...document.querySelectorAll('tbody tr')].find(row => row.textContent.includes('Runs'))"
    return int(browser.value(f"{row}.querySelector('td').textContent"))


def test_the_report_is_kept_until_the_button_forgets_it(browser: Chromium, url: str) -> None:
    browser.open(f"{url}/")
    assert browser.value("location.pathname") == "/reports/north"
    assert browser.value("document.title") == "Sales in the North"
    assert runs(browser) == 1
    browser.open(f"{url}/reports/east")
    assert runs(browser) == 2
    browser.tell("Network.clearBrowserCache")  # what comes now comes from the server
    browser.open(f"{url}/reports/north")
    assert runs(browser) == 1
    browser.click("button")
    assert (browser.value("location.pathname"), runs(browser)) == ("/reports/north", 3)
    browser.open(f"{url}/reports/north")
    assert runs(browser) == 3
    browser.open(f"{url}/reports/east")
    assert runs(browser) == 2


def test_a_query_is_another_page_and_forgotten_with_it(browser: Chromium, url: str) -> None:
    browser.open(f"{url}/reports/south")
    browser.click("thead a")
    assert browser.value("location.search") == "?sort=sold"
    assert browser.value("document.querySelector('tbody th').textContent") in ("Milk", "Runs")
    assert runs(browser) == 2
    browser.click("button")
    assert (browser.value("location.search"), runs(browser)) == ("?sort=sold", 3)
    browser.tell("Network.clearBrowserCache")
    browser.open(f"{url}/reports/south")
    assert runs(browser) == 4


def test_it_can_be_used_by_keyboard_and_screen_reader(browser: Chromium, url: str) -> None:
    browser.open(f"{url}/reports/west")
    nodes = browser.accessible()
    for node in [
        *(("heading", "Sales in the West"), ("navigation", "Regions"), ("table", "Units sold by product")),
        *(("link", "West"), ("rowheader", "Tea"), ("columnheader", "Product"), ("button", "Compute anew")),
    ]:
        assert node in nodes
    before = runs(browser)
    for _ in range(6):  # four regions, the sorting, the button
        browser.press("Tab")
    assert browser.value("document.activeElement.textContent") == "Compute anew"
    assert browser.value("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    browser.press("Enter")
    browser._until_loaded()
    assert runs(browser) == before + 1


@pytest.mark.parametrize("width", [320, 1000])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_and_is_legible(browser: Chromium, url: str, width: int, scheme: str) -> None:
    browser.tell("Emulation.setDeviceMetricsOverride", width=width, height=700, deviceScaleFactor=1, mobile=width < 500)
    browser.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    browser.open(f"{url}/reports/north")
    assert browser.value("document.documentElement.scrollWidth <= innerWidth")
    contrasts = browser.value(CONTRASTS)
    assert len(contrasts) > 10
    assert min(contrasts) >= 4.5  # WCAG 2.2, success criterion 1.4.3


CONTRASTS = """
(() => {
  const rgb = colour => colour.match(/[\\d.]+/g).map(Number);
  const light = colour => {
    const [r, g, b] = rgb(colour).map(c => c / 255).map(c => c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if (rgb(colour)[3] !== 0) return colour;
    }
  };
  const texts = document.evaluate("//body//*[not(self::script)][text()[normalize-space()]]", document, null, 7);
  return Array.from({length: texts.snapshotLength}, (_, i) => texts.snapshotItem(i)).map(element => {
    const pair = [getComputedStyle(element).color, behind(element)].map(light).sort((a, b) => b - a);
    return (pair[0] + .05) / (pair[1] + .05);
  });
})()
"""


def test_an_unknown_region_is_not_found(example: ModuleType) -> None:
    client = example.app.test_client()
    assert [client.get("/reports/nowhere").status_code for _ in range(2)] == [404, 404]
    assert client.get("/reports/north").headers["Cache-Control"] == "private, max-age=300"
