"""How long a result is kept: durations as users write them, and what is worth storing."""

import re
from collections.abc import Callable
from datetime import timedelta
from math import inf, isfinite
from types import CoroutineType
from typing import Any, Final, TypeAlias

from memocache.errors import ConfigurationError

__all__ = ["FOREVER", "UNSET", "Duration", "Policy", "Timeout", "Unset", "seconds"]

Duration: TypeAlias = float | timedelta | str
Timeout: TypeAlias = "Duration | Callable[[Any], Duration | None] | None"

FOREVER: Final = inf
UNITS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
PART: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|[smhdw])")
WANTED: Final = "seconds as a number, a timedelta, or text such as '90s', '5m', '1h30m' or '2d'"


class Unset:
    """The type of UNSET: an option that was not given, where None means something."""

    def __repr__(self) -> str:
        return "UNSET"


UNSET: Final = Unset()


def seconds(given: object, option: str) -> float:
    """Return the duration *given* for *option* in seconds, 0 and below included; ConfigurationError if it is none."""
    if isinstance(given, timedelta):
        return given.total_seconds()
    if isinstance(given, str):
        return _spelt(given, option)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ConfigurationError(f"{option}={given!r} is a {type(given).__name__}; wanted: {WANTED}")
    try:
        value = float(given)
    except OverflowError:  # an int beyond all floats
        value = inf
    if not isfinite(value):
        raise ConfigurationError(f"{option}={value!r} is not a finite number; wanted: {WANTED}")
    return value


def _spelt(text: str, option: str) -> float:
    total, position = 0.0, 0
    while match := PART.match(text, position):
        total += float(match[1]) * UNITS[match[2]]
        position = match.end()
    if position == 0 or text[position:].strip():
        raise ConfigurationError(f"{option}={text!r} is not a duration; wanted: {WANTED}")
    if not isfinite(total):
        raise ConfigurationError(f"{option}={text!r} is not a finite number; wanted: {WANTED}")
    return total


class Policy:
    """What becomes of a computed result: for how long it is fresh, or that it is not stored."""

    __slots__ = ("_fixed", "_from_result", "_unless")

    def __init__(self, timeout: "Timeout | Unset", unless: Callable[[Any], object] | None) -> None:
        """Check *timeout* and *unless*; ConfigurationError where they cannot work."""
        if unless is not None and not callable(unless):
            raise ConfigurationError(
                f"unless={unless!r} is a {type(unless).__name__}; wanted: a function that takes the result "
                "and returns True where it must not be stored"
            )
        self._unless = unless
        self._from_result: Callable[[Any], object] | None = None
        self._fixed: float | None = None
        if isinstance(timeout, Unset):
            return
        if timeout is None:
            self._fixed = FOREVER
        elif callable(timeout):
            self._from_result = timeout
        else:
            self._fixed = seconds(timeout, "timeout")
            if self._fixed <= 0:
                raise ConfigurationError(
                    f"timeout={timeout!r} would store nothing; wanted: a duration above 0, or None for ever. "
                    "To store nothing for some results, use unless= or a callable timeout; "
                    "for some calls, disabled()"
                )

    def lifetime(self, result: object, default: float) -> float:
        """Return for how many seconds *result* is fresh; 0 if it is not to be stored.

        *default* is the cache's own timeout. Errors of the user's functions are the user's to see.
        """
        if type(result) is CoroutineType:
            result.close()
            raise ConfigurationError(
                "the cached function returned a coroutine, which can be awaited once only; "
                "put @cached on the coroutine function (async def) itself"
            )
        if self._unless is not None and self._unless(result):
            return 0.0
        if self._from_result is None:
            return default if self._fixed is None else self._fixed
        given = self._from_result(result)
        if given is None:
            return FOREVER
        return max(0.0, seconds(given, f"timeout (given by {_name(self._from_result)})"))


def _name(function: object) -> str:
    return str(getattr(function, "__qualname__", type(function).__name__))
