"""What is stored of a view's result: plain data, so that every serializer can take it, and every worker read it."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from memocache.web._headers import grouped

__all__ = ["DATA", "RESPONSE", "Packed", "Stored", "kept_headers"]

FORM: Final = 1
DATA: Final = "data"
RESPONSE: Final = "response"
VARY: Final = "vary"

# RFC 9110, section 7.6.1; and what is said anew each time.
NOT_KEPT: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("proxy-authenticate", "proxy-authorization", "proxy-authentication-info"),
        *("date", "content-length", "set-cookie"),
    }
)

Packed: TypeAlias = "list[Any]"
"""A Stored as it lies in a cache: a list of plain data."""


class Stored(NamedTuple):
    """A view's result as it is stored.

    *payload* is by *kind* the plain data that the view returned, or (status, headers, body) of its response; or, where
    the URL has variants, nothing: *vary* are the request headers that they are known by. *made* is when its computation
    began, by the wall clock; *lifetime* for how many seconds it is fresh, and *stale* for how many it may then be
    served.
    """

    kind: str
    payload: Any
    made: float
    lifetime: float
    stale: float
    vary: tuple[str, ...]

    @classmethod
    def only_vary(cls, names: Sequence[str], now: float) -> "Stored":
        """Return what says that the URL's variants are known by the headers *names*."""
        return cls(VARY, None, now, 0.0, 0.0, tuple(names))

    @property
    def is_only_vary(self) -> bool:
        return self.kind == VARY

    def packed(self) -> Packed:
        """Return it as it lies in a cache: of JSON's own types, unless the view's data or a body has others."""
        kind, payload, *rest, vary = self
        if kind == RESPONSE:
            status, headers, body = payload
            payload = [status, [list(pair) for pair in headers], _as_text(body)]
        return [FORM, kind, payload, *rest, list(vary)]

    @classmethod
    def unpacked(cls, packed: object) -> "Stored | None":
        """Return what is in *packed*; None if that is of another form, as one of another version may be."""
        if not isinstance(packed, list) or len(packed) != 1 + len(cls._fields) or packed[0] != FORM:
            return None
        kind, payload, made, lifetime, stale, vary = packed[1:]
        if kind == RESPONSE:
            status, headers, body = payload
            payload = (status, tuple(map(tuple, headers)), body.encode() if isinstance(body, str) else body)
        return cls(kind, payload, made, lifetime, stale, tuple(vary))


def _as_text(body: bytes) -> str | bytes:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


def kept_headers(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return those that are stored with a response: none that are about one connection, or said anew each time."""
    named = {name.strip().lower() for line in grouped(headers).get("connection", ()) for name in line.split(",")}
    dropped = NOT_KEPT | named
    return tuple((name, value) for name, value in headers if name.lower() not in dropped)
