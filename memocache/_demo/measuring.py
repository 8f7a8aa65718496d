"""Runs a line of code as it is shown, and measures what happened."""

from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

from memocache import CachedFunction, Info

__all__ = ["Ran", "outcome", "run"]


@dataclass(frozen=True, slots=True)
class Ran:
    """What a line gave, in how many seconds, and in one word how."""

    value: Any
    seconds: float
    outcome: str


def run(line: str, names: Mapping[str, Any], function: "CachedFunction[..., Any] | None" = None) -> Ran:
    """Evaluate *line* with *names*; where it calls *function*, its figures tell the outcome."""
    # Evaluated from its text, so that the line on the screen is the line that was run.
    code = compile(line, "<demo>", "eval")
    visible = dict(names)
    before = function.info() if function else Info()
    began = perf_counter()
    value = eval(code, visible)
    seconds = perf_counter() - began
    if function:
        return Ran(value, seconds, outcome(before, function.info()))
    return Ran(value, seconds, "done" if value is None else str(value))


def outcome(before: Info, after: Info) -> str:
    """Return in one word what became of the call between two looks at the figures."""
    if after.misses > before.misses:
        return "computed"
    return "hit" if after.hits > before.hits else "waited"
