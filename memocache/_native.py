"""The part that is compiled, where it was built and is wanted: `hit` is the module `_hit`, or None."""

import importlib
import os
from typing import Any, Final


def _found() -> Any:
    """Return the compiled module; None where it was not built, or where MEMOCACHE_PURE=1 says not to use it."""
    if os.environ.get("MEMOCACHE_PURE", "") not in ("", "0"):
        return None
    try:
        return importlib.import_module("memocache._hit")
    except ImportError:
        return None


hit: Final[Any] = _found()
