"""Logs: the events of cached functions as lines of a log, of Python's own logging or of structlog."""

import logging
from typing import Any

from memocache import Event, subscribe
from memocache._events import Kind, Subscription

__all__ = ["log_events"]


def log_events(logger: Any = None, *kinds: Kind, level: int = logging.INFO) -> Subscription:
    """Log each event of these *kinds*; return what ends it.

    A logger of structlog is given the kind as its event, `cache.miss`, and the rest by name. One of `logging` is given
    a line, and the same by name as its `extra`: `cache_kind`, `cache_function` and so on. No arguments and no values.

    >>> import logging
    >>> with log_events(logging.getLogger("shop.cache"), "miss", "failed"):
    ...     pass  # calls

    Args:
        logger: the logger; None for `logging.getLogger("memocache.events")`.
        kinds: see `subscribe`; none for all but operation. Who logs hits makes those in process slower.
        level: the level of the lines; what failed is logged as a warning at least.

    Raises:
        ConfigurationError: if a kind is none.
    """
    used = logging.getLogger("memocache.events") if logger is None else logger

    def log(event: Event) -> None:
        told = {name: value for name, value in fields_of(event).items() if value not in (None, "")}
        grade = max(level, logging.WARNING) if event.kind == "failed" else level
        if isinstance(used, logging.Logger | logging.LoggerAdapter):
            line = " ".join(
                str(told[name]) for name in ("kind", "operation", "function", "key", "error") if name in told
            )
            used.log(grade, "cache %s", line, extra={f"cache_{name}": value for name, value in told.items()})
        else:
            used.log(grade, f"cache.{told.pop('kind')}", **told)

    return subscribe(log, *kinds)


def fields_of(event: Event) -> dict[str, Any]:
    """Return what is logged of *event*, by name."""
    return {
        "kind": event.kind,
        "function": event.function,
        "key": event.key,
        "cache": event.cache if isinstance(event.cache, str) else type(event.cache).__name__,
        "seconds": event.seconds,
        "age": event.age,
        "size": event.size,
        "operation": event.operation,
        "server": event.server,
        "error": _error(event),
    }


def _error(event: Event) -> str | None:
    """Return the error of *event*; without the text of a user's own, in which there may be arguments."""
    if event.error is None:
        return None
    name = type(event.error).__qualname__
    return name if event.kind == "miss" else f"{name}: {event.error}"
