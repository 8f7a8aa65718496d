"""What was done to one key and what came of it, with the order of events; and whether one order of steps explains it.

The search is that of Wing and Gong, "Testing and Verifying Concurrent Objects", J. Parallel Distrib. Comput. 17, 1993,
with the memory of states that Lowe gave it ("Testing for linearizability", Concurrency and Computation 29(4), 2017).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

NOTHING = None


@dataclass(frozen=True)
class Step:
    """One call, from the moment *begun* to the moment *ended*; moments are numbers that only grow, all different.

    A read returned *value*; if it computed that itself, the computation began at *computing*. A put stored *value*.
    """

    what: Literal["read", "put", "forget"]
    begun: int
    ended: int
    value: object = NOTHING
    computing: int | None = None

    @property
    def latest(self) -> int:
        """The moment by which it must have had its effect: a computation holds the key before it begins."""
        return self.ended if self.computing is None else self.computing


def is_linearizable(history: Iterable[Step]) -> bool:
    """Return whether a key that holds one value at most, or none, can have behaved like that.

    Each step has its effect at one moment between its beginning and its end:

    * a read that computed nothing returns what the key holds then;
    * a read that computes takes the key, when it holds nothing and before it computes; or its value is stored nowhere;
    * a put has the key hold its value; or it came to nothing, because somebody else came between;
    * after a forget the key holds nothing.

    So nobody is given a value whose computation began before a forget that had ended before he asked; and between two
    forgets, all are given the same.
    """
    steps = list(history)
    given = {step.value for step in steps if step.what == "read" and step.computing is None}
    # What nobody else was given may as well have been stored nowhere: to hold it would only exclude something.
    counts = [s for s in steps if s.what == "forget" or s.value in given]
    return _explained(sorted(counts, key=lambda step: step.begun))


def _explained(steps: Sequence[Step]) -> bool:
    everything = (1 << len(steps)) - 1
    seen: set[tuple[int, object]] = set()
    todo: list[tuple[int, object]] = [(0, NOTHING)]
    while todo:
        done, held = todo.pop()
        if done == everything:
            return True
        if (done, held) in seen:
            continue
        seen.add((done, held))
        left = [(number, step) for number, step in enumerate(steps) if not done >> number & 1]
        soonest = min(step.latest for _, step in left)
        for number, step in left:
            if step.begun > soonest:
                break  # one that is left had to have its effect before this one began
            if _is_possible(step, held):
                todo.append((done | 1 << number, NOTHING if step.what == "forget" else step.value))
    return False


def _is_possible(step: Step, held: object) -> bool:
    if step.what != "read":
        return True
    return held is NOTHING if step.computing is not None else held == step.value


def is_fenced(history: Sequence[Step]) -> bool:
    """Return whether nobody was given what was forgotten: less than is_linearizable asks.

    Between two forgets there may be several values, as where processes may compute at once.
    """
    made = {step.value: step for step in history if step.what == "put" or step.computing is not None}
    forgets = [step for step in history if step.what == "forget"]
    for read in (step for step in history if step.what == "read" and step.computing is None):
        source = made.get(read.value)
        if source is None or source.begun > read.ended:
            return False
        if any(source.latest < forget.begun and forget.ended < read.begun for forget in forgets):
            return False
    return True
