"""Where the figures come from: the machine, Python, and the versions of what took part."""

import os
import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import memocache
from benchmarks.answer import OURS

__all__ = ["machine", "versions"]

UNDERNEATH = ("wrapt", "msgspec", "pymemcache")  # memocache's own dependencies


def machine() -> dict[str, str]:
    """Return what is known of the machine and of Python."""
    found = {
        "python": f"{platform.python_implementation()} {platform.python_version()}, {platform.python_compiler()}",
        "system": platform.platform(),
        "processor": f"{os.cpu_count()} x {_processor()}",
    }
    if hasattr(os, "getloadavg"):
        found["load"] = f"{os.getloadavg()[0]:.1f} in the minute before"
    return found


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())


def versions(packages: Iterable[str]) -> dict[str, str | None]:
    """Return the version of each of *packages*, and of what is underneath memocache; None if it is not installed.

    What comes with Python has no version of its own and is left out.
    """
    names = sorted({*packages, *UNDERNEATH} - sys.stdlib_module_names)
    return {name: _version(name) for name in names}


def _version(package: str) -> str | None:
    if package == OURS:  # whose distribution has another name: that one on the index is another project's
        return memocache.__version__
    try:
        return version(package)
    except PackageNotFoundError:
        return None
