"""By value: how cloudpickle and dill send a cached function of a script or a notebook to other processes.

They would take it for the function in it, which would be called uncached there, or refuse it. Functions that the other
process can import are sent by name, as pickle sends them.
"""

import functools
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

from memocache._canonical import found_as
from memocache._decorator import cached
from memocache._hooks import Decorated
from memocache.backends.simple import SimpleCache
from memocache.errors import ConfigurationError


def teach(module: Any) -> None:
    """Have the pickler of *module*, which is cloudpickle, a copy of it, or dill, send cached functions as such."""
    pickler = module.Pickler
    theirs = getattr(pickler, "reducer_override", _by_name_or_value)

    @functools.wraps(theirs)
    def reducer_override(self: Any, given: Any, /) -> Any:
        reduced = theirs(self, given)
        if reduced is NotImplemented or not issubclass(type(given), Decorated):
            return reduced
        return _reduced(given) or reduced or NotImplemented

    pickler.reducer_override = reducer_override


def _by_name_or_value(pickler: Any, given: Any, /) -> Any:
    """Return NotImplemented, as cloudpickle does, unless *given* is a cached function that no other process can import.

    That is for dill, which asks nobody.
    """
    if not issubclass(type(given), Decorated) or hasattr(given, "__self__"):
        return NotImplemented
    found = found_as(getattr(given, "__module__", ""), given.__qualname__)
    return NotImplemented if found is given and given.__module__ != "__main__" else None


def _reduced(function: Any) -> tuple[Any, ...] | None:
    """Return what makes *function* anew from what it was made of; None if its cache cannot be had elsewhere.

    A cache object on a server is one process's own, with its connections and perhaps a secret.
    """
    memoizer = function._self_memoizer
    options, in_process = dict(memoizer.options.given), None
    cache = options.get("cache")
    if type(cache) is SimpleCache:
        in_process = cache._threshold, cache.default_timeout
        del options["cache"]
    elif cache is not None and not isinstance(cache, str):
        return None
    with suppress(ConfigurationError):  # else it is told where it is called
        if memoizer.code is not None:  # its source is not there
            options["version"] = memoizer.code.version()
        if (used := memoizer.binding().cache).shared:  # what tells its name here does not do so there
            options["namespace"] = memoizer.namespace.text(shared=True, one_machine=used.one_machine)
    return _made, (function.__wrapped__, function._self_kind, options, in_process)


def _made(
    function: Callable[..., Any], kind: Any, options: Mapping[str, Any], in_process: tuple[int, float] | None
) -> Any:
    """Return *function*, decorated as a *kind* of method with these *options*, perhaps with a cache *in_process*."""
    if in_process is not None:
        options = {**options, "cache": SimpleCache(*in_process)}
    return cached(**options)(kind(function) if kind in (classmethod, staticmethod) else function)
