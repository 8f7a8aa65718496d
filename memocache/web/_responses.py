"""The response of a view: as it is stored, and as it is sent: with Age, ETag, Vary and Cache-Control, or as 304.

The stored form is plain data, so that every serializer can write it and every worker can read it.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final, NamedTuple, cast

from memocache.web._rules import (
    MOST_VARY,
    RequestInfo,
    ResponseInfo,
    ViewRules,
    entity_tags,
    group_headers,
    is_header_name,
    is_header_value,
    join_lines,
    parse_date,
    parse_names,
    parse_seconds,
)

FORM: Final = 1
DATA: Final = "data"
RESPONSE: Final = "response"
VARY: Final = "vary"

# RFC 9110, section 7.6.1; and headers that each response has of its own.
NOT_STORED: Final = frozenset(
    {
        *("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade"),
        *("proxy-authenticate", "proxy-authorization", "proxy-authentication-info"),
        *("date", "content-length", "set-cookie"),
    }
)
TAGGED: Final = ("content-type", "content-encoding", "content-language")
WITH_CONDITIONS: Final = (200, 203)


class StoredResponse(NamedTuple):
    """The result of a view in a cache.

    The *kind* says what *payload* is: DATA, the plain data that the view returned; RESPONSE, (status, headers, body);
    or VARY, nothing: the responses of this URL depend on the request headers in *vary*, and have keys of their own.
    *created* is when the computation began, by the wall clock; the response is fresh for *lifetime* seconds, and may be
    served for *stale* seconds after that.
    """

    kind: str
    payload: Any
    created: float
    lifetime: float
    stale: float
    vary: tuple[str, ...]

    @classmethod
    def vary_marker(cls, names: Sequence[str], now: float) -> "StoredResponse":
        """Return the marker that the responses of a URL depend on the request headers *names*."""
        return cls(VARY, None, now, 0.0, 0.0, tuple(names))

    @property
    def is_vary_marker(self) -> bool:
        return self.kind == VARY

    def pack(self) -> list[Any]:
        """Return it as a list of types that JSON has, except what the view's data or a binary body contains."""
        kind, payload, *rest, vary = self
        if kind == RESPONSE:
            status, headers, body = payload
            payload = [status, [list(pair) for pair in headers], _text_or_bytes(body)]
        return [FORM, kind, payload, *rest, list(vary)]

    @classmethod
    def unpack(cls, packed: object) -> "StoredResponse | None":
        """Return the StoredResponse that was *packed*; None for another form, such as that of another version.

        Whoever may write to the cache may have written anything.
        """
        if not isinstance(packed, list) or len(packed) != 1 + len(cls._fields) or packed[0] != FORM:
            return None
        kind, payload, created, lifetime, stale, vary = packed[1:]
        if not all(type(each) in (int, float) and math.isfinite(each) for each in (created, lifetime, stale)):
            return None
        if not isinstance(vary, list) or len(vary) > MOST_VARY or not all(map(is_header_name, vary)):
            return None
        if kind == RESPONSE:
            payload = _unpack_payload(payload)
            if payload is None:
                return None
        elif kind not in (DATA, VARY):
            return None
        return cls(kind, payload, created, lifetime, stale, tuple(vary))


def _unpack_payload(payload: object) -> tuple[int, tuple[tuple[str, str], ...], bytes] | None:
    """Return the status, headers and body in *payload*; None if it has none."""
    if not isinstance(payload, list | tuple) or len(payload) != 3:
        return None
    status, headers, body = payload
    if type(status) is not int or not are_headers(headers) or not isinstance(body, str | bytes):
        return None
    pairs = cast("tuple[tuple[str, str], ...]", tuple(map(tuple, headers)))
    return status, pairs, body.encode() if isinstance(body, str) else body


def are_headers(pairs: object) -> bool:
    """Return True for a list of the names and values of headers."""
    return isinstance(pairs, list) and all(
        isinstance(pair, list | tuple) and len(pair) == 2 and is_header_name(pair[0]) and is_header_value(pair[1])
        for pair in pairs
    )


def _text_or_bytes(body: bytes) -> str | bytes:
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body


def storable_headers(headers: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the headers to store with a response: without those of one connection or of one moment."""
    named = {name.strip().lower() for line in group_headers(headers).get("connection", ()) for name in line.split(",")}
    dropped = NOT_STORED | named
    return tuple((name, value) for name, value in headers if name.lower() not in dropped)


@dataclass(frozen=True, slots=True)
class Rendered:
    """The response that the framework makes of a view's result, and what of it can be stored.

    *kind* and *payload* are as in StoredResponse.
    """

    response: ResponseInfo
    kind: str
    payload: Any

    def contains(self, shows: Callable[[bytes], bool], texts: Iterable[str]) -> bool:
        """Return True if the body *shows* it, or has one of the *texts* in it, as far as it is there."""
        body = self.payload
        if isinstance(body, tuple) and body:  # the body is the last part of a RESPONSE, and the first of Flask's data
            body = body[2 if self.kind == RESPONSE else 0]
        if not isinstance(body, str | bytes):
            return any(text in repr(body) for text in texts)  # which is not made for nothing
        content = body.encode("utf-8", "replace") if isinstance(body, str) else body
        return shows(content) or any(text.encode() in content for text in texts)


@dataclass(frozen=True, slots=True)
class ResponseHeaders:
    """The headers that a response gets after the view, and its status if the client has it already.

    Args:
        request: the request.
        rules: what the user has said about the view.
        stored: the stored form of the response.
        now: the present moment.
        hit: True if it comes from the cache; then it has an Age.
    """

    request: RequestInfo
    rules: ViewRules
    stored: StoredResponse
    now: float
    hit: bool

    def to_set(self, headers: Sequence[tuple[str, str]], body: bytes | None) -> dict[str, str]:
        """Return the headers to set on a response, in place of those with the same name.

        Args:
            headers: those that it has.
            body: its body, for the ETag; None if it is not there, as in a response to HEAD.
        """
        fields = group_headers(headers)
        new: dict[str, str] = {}
        if self.hit:
            new["Age"] = str(max(0, int(self.now - self.stored.created)) + parse_seconds(fields.get("age", ())))
        if body is not None and "etag" not in fields:
            new["ETag"] = entity_tag(headers, body)
        vary = {*self.rules.vary, *self.stored.vary}
        if "cache-control" not in fields and "expires" not in fields:
            new["Cache-Control"] = _cache_control(self.stored)
            # A browser must not show a response for everybody to a user who has logged in since.
            vary |= {"authorization", "cookie"}
        if self.rules.has_key_function:
            vary.add("cookie")
        line = _extend_vary(fields.get("vary", ()), vary)
        if line:
            new["Vary"] = line
        return new

    def is_unmodified(self, status: int, headers: Iterable[tuple[str, str]]) -> bool:
        """Return True if the client has this response already, so that 304 is sent: RFC 9110, section 13.2.2."""
        if status not in WITH_CONDITIONS or self.request.method not in ("GET", "HEAD"):
            return False
        fields = group_headers(headers)
        known = self.request.values("if-none-match")
        if known:
            tags = entity_tags(known)
            return "*" in tags or bool(tags & entity_tags(fields.get("etag", ())))
        since = parse_date(self.request.values("if-modified-since"))
        changed = parse_date(fields.get("last-modified", ()))
        return since is not None and changed is not None and changed <= since


def entity_tag(headers: Iterable[tuple[str, str]], body: bytes) -> str:
    """Return the ETag of these bytes with these types: the same in every worker.

    It is weak, since middleware outside may compress the bytes: RFC 9110, section 8.8.1.
    """
    digest = blake2b(body, digest_size=16)
    fields = group_headers(headers)
    for name in TAGGED:
        line = join_lines(fields.get(name, ())).encode("latin-1", "replace")
        digest.update(len(line).to_bytes(4, "big") + line)
    return f'W/"{digest.hexdigest()}"'


def _extend_vary(lines: Sequence[str], more: set[str]) -> str:
    """Return the field Vary with *more* names in it; empty if it has all of them already."""
    listed = parse_names(lines)
    if listed is None or "*" in listed or more <= set(listed):
        return ""
    return join_lines([*lines, *(name.title() for name in sorted(more - set(listed)))])


def _cache_control(stored: StoredResponse) -> str:
    # private: a cache outside the application does not see its fences, so only browsers may store the response.
    directives = ["private", f"max-age={int(min(stored.lifetime, 2**31))}"]
    if stored.stale:
        seconds = int(min(stored.stale, 2**31))
        directives += [f"stale-while-revalidate={seconds}", f"stale-if-error={seconds}"]
    return ", ".join(directives)
