"""The race for the fence (see tests/support/race.py), on every cache."""

from collections.abc import Callable

from tests.reliability.caches import KINDS, Stand, reopened
from tests.reliability.ledger import Ledger, note_outcomes
from tests.reliability.outcomes import listening
from tests.support import race

RACE = "calls in a race with those who forget"


def racer(compute: race.Compute, where: str) -> race.Runner:
    stand = reopened(where)
    runner = race.Ours(compute, stand.open("race"))
    runner.delay = stand.kind.near  # type: ignore[attr-defined]
    return runner


def listened_to(compute: race.Compute, where: str) -> race.Runner:
    """Return the same, with somebody who listens: so no call is a hit in the fast index."""
    return listening(racer(compute, where))


def test_nothing_forgotten_is_given_out(
    own_stand: Stand, kind: str, ledger: Ledger, scaled: Callable[[int, int], int]
) -> None:
    seconds = scaled(1, 3)
    ways = [racer, listened_to] if own_stand.kind.has_fast_hits else [listened_to]
    ours = race.Tally()
    for way in ways:
        if own_stand.kind.shared:
            ours += race.in_processes(way, own_stand.spelt(), seconds / len(ways))
        else:
            with race.quick_switches():
                ours += race.in_threads(way, own_stand.spelt(), race.Truth(), seconds / len(ways), threads=8)
    ledger.add(RACE, kind, ours.reads, stale_reads=ours.stale)
    note_outcomes(ledger, kind, ours.listened, ours.odd)
    assert ours.stale == ours.odd == 0
    assert ours.listened > 50 * seconds
    assert ours.reads > 200 * seconds
    assert 0 < ours.computed < ours.reads


def test_the_naive_way_is_stale(ledger: Ledger) -> None:
    with KINDS["memcached"].stand() as stand:
        naive = race.in_processes(race.naive_memcached, stand.where, 2)
    ledger.naive(RACE, f"get, compute and set: {naive.stale:,} of {naive.reads:,} stale")
    assert naive.stale > 0
