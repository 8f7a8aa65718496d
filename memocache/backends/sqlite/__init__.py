"""SQLiteCache: values in a file, for the processes of one machine."""

from memocache.backends.sqlite.cache import SQLiteCache

__all__ = ["SQLiteCache"]
