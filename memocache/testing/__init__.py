"""For tests: the suite that any cache must pass, and what you can assert of cached functions."""

from typing import TYPE_CHECKING

from memocache.testing._served import assert_cached, assert_computed

if TYPE_CHECKING:
    from memocache.testing._contract import BackendContract

__all__ = ["BackendContract", "assert_cached", "assert_computed"]


def __getattr__(name: str) -> object:
    if name != "BackendContract":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from memocache.testing._contract import BackendContract  # it needs freezegun, which not everybody has

    return BackendContract
