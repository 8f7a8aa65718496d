"""The tests that any cache must pass: ours, and yours."""

from memocache.testing._contract import BackendContract

__all__ = ["BackendContract"]
