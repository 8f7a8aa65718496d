"""The query of a URL, as bytes that say which query it is."""

from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["sorted_query"]

MOST_PAIRS: Final = 1000


def sorted_query(query: bytes) -> tuple[bytes, ...]:
    """Return the pairs of *query* sorted by name; those of one name stay in their order, since a view may see that.

    Names are the same if a framework may read them as the same: percent-encoded or not, or where their bytes are not
    UTF-8 and so are replaced. Nothing else is changed: "a" is not "a=".

    >>> sorted_query(b"q=2&page=3&q=1")
    (b'page=3', b'q=2', b'q=1')
    """
    pairs = query.split(b"&", MOST_PAIRS)  # beyond, as they come
    return tuple(sorted(pairs, key=_name))


def _name(pair: bytes) -> str:
    return unquote_to_bytes(pair.partition(b"=")[0].replace(b"+", b" ")).decode("utf-8", "replace")
