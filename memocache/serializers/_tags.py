"""The numbers that mark values in bytes. They lie in caches, so none is ever given a new meaning."""

from typing import Final

__all__ = [
    "BIG_INTEGER",
    "BYTEARRAY",
    "COMPLEX",
    "DATE",
    "DATETIME",
    "DECIMAL",
    "FRACTION",
    "FROZENSET",
    "MOMENT",
    "OBJECT",
    "PAIRS",
    "SET",
    "TEXT",
    "TIME",
    "TIMEDELTA",
    "TUPLE",
    "UUID",
    "ZONE",
]

# Their content is msgpack again.
TUPLE: Final = 1
SET: Final = 2
FROZENSET: Final = 3
PAIRS: Final = 4  # a dict whose keys msgpack cannot say: key, value, key, value ...
OBJECT: Final = 5  # [name of the type, fields by name | name or value of the member]

BYTEARRAY: Final = 16
TEXT: Final = 17  # with lone surrogates
BIG_INTEGER: Final = 18
COMPLEX: Final = 19
DECIMAL: Final = 20
FRACTION: Final = 21
UUID: Final = 22
DATE: Final = 23
TIME: Final = 24
DATETIME: Final = 25  # without a zone
MOMENT: Final = 26  # a datetime with a zone or a fold; in UTC it is msgpack's own timestamp
TIMEDELTA: Final = 27
ZONE: Final = 28
