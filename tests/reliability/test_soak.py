"""However many keys are asked for, it takes no more memory, descriptors and threads."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.reliability.caches import KINDS, Stand
from tests.reliability.ledger import Ledger
from tests.reliability.process import run

DISTINCT = "distinct keys asked for"
WARM = 0.4  # of the keys, until the memory is what it will be
MOST_GROWN = 6  # MiB, for what an allocator does
NOT_WARM = 24  # MiB, in a quick run: the tables that are bounded have not been filled yet


def soaked(stand: Stand, keys: int, seconds: float, *, naive: bool = False) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads(run("soak", stand.spelt(), keys, seconds, naive, flags=[], may_complain=True))
    return seen


def grown(seen: dict[str, Any]) -> tuple[float, int, int]:
    """Return by how much memory (MiB), descriptors and threads have grown since it was warm."""
    steady = [sample[1:] for sample in seen["samples"] if sample[0] > WARM * seen["asked"]]
    assert len(steady) >= 4, "too few samples"
    half = len(steady) // 2
    memory = max(each[0] for each in steady[half:]) - max(each[0] for each in steady[:half])
    descriptors, threads = (max(each[n] for each in steady) - min(each[n] for each in steady) for n in (1, 2))
    return max(0, memory) / 1024, descriptors, threads


@pytest.mark.parametrize("kind", [kind.name for kind in KINDS.values() if kind.bounded])
def test_nothing_grows(own_stand: Stand, kind: str, ledger: Ledger, scaled: Callable[[int, int], int]) -> None:
    keys = scaled(100_000, 1_000_000) if not own_stand.kind.shared else 1_000_000
    seen = soaked(own_stand, keys, scaled(3, 120 if not own_stand.kind.shared else 15))
    memory, descriptors, threads = grown(seen)
    ledger.add(DISTINCT, kind, seen["asked"], wrong_values=seen["wrong"], flights_left=seen["flights"])
    ledger.most(DISTINCT, "at most {:.1f} MiB more in the last third of the time", memory)
    ledger.most(DISTINCT, "{:.0f} descriptors more", descriptors)
    assert seen["wrong"] == seen["flights"] == 0
    assert memory < scaled(NOT_WARM, MOST_GROWN)
    assert descriptors <= scaled(8, 0)  # in a few seconds on a busy machine a thread may connect late
    assert threads == 0


def test_the_naive_way_grows(ledger: Ledger) -> None:
    with KINDS["in process"].stand() as stand:
        seen = soaked(stand, 1_600_000, 20, naive=True)
    memory, _, _ = grown(seen)
    ledger.naive(DISTINCT, f"functools.cache: grew by {memory:.0f} MiB with {seen['asked']:,}")
    assert memory > MOST_GROWN
