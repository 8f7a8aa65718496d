"""The pictures of the inspector in docs/: `python -m tests.web.inspector_pictures` makes them anew, with Chromium.

The page is the real one; its figures are those of a shop that there is not.
"""

import math
import random
from pathlib import Path
from typing import Any

from memocache import Info
from memocache.web.inspector import Inspector, _contents
from tests.support.selection import ROOT
from tests.web.chromium import Chromium, find_chromium
from tests.web.inspector_site import SECRET, served

PICTURES = {"light": ("", 1000, 1020), "dark": ("?function=shop.reports.monthly_report", 1000, 1060)}
FUNCTIONS = (  # name, calls a minute, hit ratio, seconds of a computation
    ("shop.prices.exchange_rates", 900, 0.995, 0.32),
    ("shop.users.permissions", 500, 0.98, 0.03),
    ("shop.reports.monthly_report", 220, 0.96, 2.4),
    ("shop.search.suggestions", 140, 0.71, 0.12),
    ("shop.views.front_page", 60, 0.9, 0.8),
    ("shop.reports.Ledger.balance", 12, 0.4, 5.2),
)
NAME = "RedisCache('redis://cache:6379/0', default_timeout=300, key_prefix='shop:')"


class Shop(_contents.Contents):
    """The contents of a shop, made up."""

    def functions(self) -> _contents.Overview:
        chance = random.Random(7)
        found = [self._figures(chance, number, *each) for number, each in enumerate(FUNCTIONS)]
        return _contents.Overview(found, "Figures of all processes", [])

    def _figures(
        self, chance: random.Random, number: int, name: str, a_minute: int, ratio: float, cost: float
    ) -> _contents.FunctionFigures:
        minutes = []
        for minute in range(60):
            calls = a_minute * (1 + 0.3 * math.sin(minute / 9 + number)) * chance.uniform(0.9, 1.1)
            misses = calls * (1 - ratio) * chance.uniform(0.6, 1.4)
            if number in (0, 2) and 37 <= minute <= 39:  # a release: all is computed anew
                calls, misses = calls * 1.4, calls * 0.35
            stale = calls * 0.04 if number == 2 else 0
            minutes.append(Info(hits=int(calls - misses), misses=int(misses), waits=int(misses / 2), stale=int(stale)))
        totals: dict[str, Any] = {
            each: sum(getattr(info, each) for info in minutes) * 31 for each in ("hits", "misses", "waits", "stale")
        }
        failures = {"a value could not be stored": 3} if number == 3 else {}
        totals |= {"failures": sum(failures.values()), "errors": failures}
        info = Info(**totals, seconds_saved=totals["hits"] * cost, seconds_computed=totals["misses"] * cost)
        return _contents.FunctionFigures(name, info, NAME, tuple(minutes), cost * 3.1)

    def entries(self, name: str, search: str, first: int) -> _contents.Entries:
        chance = random.Random(1)
        keys = [f"{chance.getrandbits(128):032x}" for _ in range(6)]
        rows = [
            _contents.Row(key, key, 300 - left, left, 60.0, chance.uniform(1, 4), chance.randint(900, 9000))
            for key, left in zip(keys, (297.2, 251.0, 204.8, 133.5, 12.1, -8.0), strict=True)
        ]
        return _contents.Entries(rows, 50, "")


def main() -> None:
    program, reason = find_chromium()
    if program is None:
        raise SystemExit(reason)
    inspector = Inspector(secret=SECRET)
    inspector._contents = Shop(None)
    with served("wsgi", inspector) as url, Chromium(program) as browser:
        browser.open(f"{url}?{inspector.ticket()}")
        for scheme, (page, width, height) in PICTURES.items():
            browser.tell(
                "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False
            )
            browser.tell("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            browser.open(url + page)
            browser.screenshot(Path(ROOT, "docs", f"inspector-{scheme}.png"))


if __name__ == "__main__":
    main()
