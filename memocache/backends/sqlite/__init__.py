"""SQLiteCache: values in a file, for the processes of one machine."""

from memocache.backends.sqlite.cache import SQLiteCache

__all__ = ["SQLiteCache"]

SQLiteCache.__module__ = __name__  # where users import it from, and what names it in keys and pickles
