"""Policy: for how long a result, or an exception, is kept; and durations as users write them."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from math import inf, isfinite, log
from types import CoroutineType
from typing import Any, Final, TypeAlias

from memocache._chance import chance
from memocache._entry import SECOND, Entry
from memocache._signature import ONE_VALUE, check_function
from memocache._stored_exception import allow_exception
from memocache.errors import ConfigurationError, title_of, with_article

Duration: TypeAlias = float | timedelta | str
Errors: TypeAlias = Mapping[type[Exception], float | timedelta | str | None]
Timeout: TypeAlias = "Duration | Callable[[Any], Duration | None] | None"

FOREVER: Final = inf
FOR_SOME_CALLS: Final = "To store nothing for some calls, use disabled()"
BETA: Final = 1.0  # above 1 for earlier
UNITS: Final = {
    **dict.fromkeys(("ms", "milliseconds", "millisecond"), 0.001),
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
    **dict.fromkeys(("w", "week", "weeks"), 604800.0),
}
NUMBER: Final = re.compile(r"\s*\d+(?:\.\d+)?\s*")
DURATION_PART: Final = re.compile(rf"({NUMBER.pattern})({'|'.join(UNITS)})(?![a-z])")
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
        return _parse_duration(given, option)
    if isinstance(given, bool) or not isinstance(given, int | float):
        raise ConfigurationError(f"{option}={given!r} is {with_article(type(given))}; wanted: {WANTED}")
    try:
        value = float(given)
    except OverflowError:  # an int beyond all floats
        value = inf
    if not isfinite(value):
        raise ConfigurationError(f"{option}={value!r} is not a finite number; wanted: {WANTED}")
    return value


def _parse_duration(text: str, option: str) -> float:
    if NUMBER.fullmatch(text):  # as it comes from an environment variable
        return seconds(float(text), option)
    total, position = 0.0, 0
    while match := DURATION_PART.match(text, position):
        total += float(match[1]) * UNITS[match[2]]
        position = match.end()
    if position == 0 or text[position:].strip():
        raise ConfigurationError(f"{option}={text!r} is not a duration; wanted: {WANTED}")
    if not isfinite(total):
        raise ConfigurationError(f"{option}={text!r} is not a finite number; wanted: {WANTED}")
    return total


class Policy:
    """The rules for a computed result: for how long it is fresh, then may be served stale; or that it is not stored."""

    __slots__ = ("_errors", "_fixed", "_from_result", "_jitter", "_unless", "stale")

    def __init__(
        self,
        timeout: "Timeout | Unset",
        unless: Callable[[Any], object] | None = None,
        *,
        errors: "Errors | None" = None,
        stale: Duration = 0,
        jitter: float = 0.0,
    ) -> None:
        """Check the options; ConfigurationError where they cannot work."""
        if unless is not None:
            if not callable(unless):
                raise ConfigurationError(
                    f"unless={unless!r} is {with_article(type(unless))}; wanted: a function that takes the result "
                    "and returns True where it must not be stored"
                )
            check_takes_result("unless=", unless, f"returns True where it must not be stored. {FOR_SOME_CALLS}")
        self._unless = unless
        self._from_result: Callable[[Any], object] | None = None
        self._fixed: float | None = None
        if isinstance(timeout, Unset):
            pass
        elif timeout is None:
            self._fixed = FOREVER
        elif callable(timeout):
            check_takes_result("timeout=", timeout, f"returns a duration. {FOR_SOME_CALLS}")
            self._from_result = timeout
        else:
            self._fixed = seconds(timeout, "timeout")
            if self._fixed <= 0:
                raise ConfigurationError(
                    f"timeout={timeout!r} would store nothing; wanted: a duration above 0, or None for ever. "
                    "To store nothing for some results, use unless= or a callable timeout; "
                    "for some calls, disabled()"
                )
        self.stale = seconds(stale, "stale")
        """For how many seconds after its timeout a result may be served, while it is refreshed."""
        if self.stale < 0:
            raise ConfigurationError(f"stale={stale!r} is negative; wanted: a duration, 0 for not at all")
        if self.stale and self._fixed == FOREVER:
            raise ConfigurationError(f"stale={stale!r} has nothing to add to timeout=None, for ever; give a timeout")
        self._jitter = _check_jitter(jitter)
        self._errors = _check_errors(errors)

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
            lifetime = default if self._fixed is None else self._fixed
        else:
            given = self._from_result(result)
            lifetime = FOREVER if given is None else seconds(given, f"timeout (given by {title_of(self._from_result)})")
        if self._jitter:
            lifetime *= chance.uniform(1 - self._jitter, 1 + self._jitter)
        return max(0.0, lifetime)

    def fixed_lifetime(self, default: float) -> float | None:
        """Return the lifetime of every result, if that depends on nothing and none may be served any longer."""
        if self._unless is not None or self._from_result is not None or self._jitter or self.stale:
            return None
        return default if self._fixed is None else self._fixed

    def error_lifetime(self, error: BaseException) -> float:
        """Return for how many seconds it is remembered that a call raised *error*: 0 for not at all."""
        if self._errors:
            for kind in type(error).__mro__:
                if kind in self._errors:
                    return self._errors[kind]
        return 0.0


def refresh_margin(entry: Entry, lifetime: float) -> float:
    """Return how many seconds before its timeout *entry*, fresh for a *lifetime*, is to be refreshed by this caller.

    The longer a computation takes and the more callers there are, the earlier is the first of them; so that it is done
    in time, and mostly by one. The rule is XFetch, of Vattani, Chierichetti and Lowenstein, "Optimal Probabilistic
    Cache Stampede Prevention", PVLDB 8(8), 2015. Here it is never more than half the lifetime, or what takes longer to
    compute than it is fresh would be computed all the time.
    """
    return min(entry.cost / SECOND * BETA * -log(1.0 - chance.random()), lifetime / 2)


def check_takes_result(option: str, function: Callable[..., object], and_returns: str) -> None:
    """Raise ConfigurationError unless the *function* given for *option* can be called with a result alone."""
    check_function(option, function, ONE_VALUE, "with a result", f"a function that takes the result and {and_returns}")


def _check_jitter(jitter: object) -> float:
    if isinstance(jitter, bool) or not isinstance(jitter, int | float) or not 0 <= jitter < 1:
        raise ConfigurationError(
            f"jitter={jitter!r}; wanted: the fraction by which timeouts vary, from 0 to below 1, such as 0.1"
        )
    return float(jitter)


def _check_errors(errors: object) -> dict[type, float]:
    if errors is None:
        return {}
    if not isinstance(errors, Mapping):
        raise ConfigurationError(
            f"errors={errors!r} is {with_article(type(errors))}; wanted: exception classes with how long to remember "
            "that a call raised one of them, such as errors={NotFound: 30}"
        )
    checked: dict[type, float] = {}
    for kind, given in errors.items():
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            raise ConfigurationError(f"errors= names {kind!r}; wanted: classes of exceptions, subclasses of Exception")
        checked[kind] = FOREVER if given is None else seconds(given, f"errors[{kind.__name__}]")
        if checked[kind] <= 0:
            raise ConfigurationError(
                f"errors[{kind.__name__}]={given!r} would remember nothing; "
                "wanted: a duration above 0, or None for ever"
            )
        allow_exception(kind)
    return checked
