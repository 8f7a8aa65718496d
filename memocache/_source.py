"""Functions made of source code, whose lines tracebacks, debuggers and profilers can show."""

import itertools
import linecache
import weakref
from collections.abc import Callable
from typing import Any, Final

__all__ = ["function_of"]

_files: Final = itertools.count(1)
# The files of functions that are gone. Their lines are not taken away by the garbage collector itself, since that may
# run in the middle of somebody's going through the lines.
_gone: Final[list[str]] = []


def function_of(source: str, name: str, variables: dict[str, Any], like: Callable[..., Any]) -> Callable[..., Any]:
    """Return what *source* defines as *name*, with *variables* as its globals; it goes by the name of *like*."""
    title = str(getattr(like, "__name__", "call"))
    path = str(getattr(like, "__qualname__", title))
    filename = f"<memocache {getattr(like, '__module__', '')}.{path} {next(_files)}>"
    exec(compile(source, filename, "exec"), variables)  # noqa: S102 - as dataclasses write __init__
    written: Any = variables.pop(name)
    while _gone:
        linecache.cache.pop(_gone.pop(), None)
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)
    weakref.finalize(written, _gone.append, filename).atexit = False
    # So that errors about arguments have the function's name.
    written.__name__, written.__qualname__ = title, path
    written.__code__ = written.__code__.replace(co_name=title, co_qualname=path)
    written.__module__ = getattr(like, "__module__", None) or written.__module__
    return written  # type: ignore[no-any-return]
