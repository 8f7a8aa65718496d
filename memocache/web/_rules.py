"""What HTTP lets a shared cache store and serve; knows no framework.

The rules are those of RFC 9111, safe first: where that lets a cache choose, and where it lets one do what web
applications do not expect (Set-Cookie does not forbid storing, section 7.3), nothing is stored. Requests with a cookie
are passed by, as Varnish does.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from memocache._options import MOST_VARY
from memocache.web._headers import (
    Directives,
    cookie_names,
    grouped,
    is_harmless,
    moment,
    names_in,
    seconds_of,
    without_cookies,
)
from memocache.web._query import sorted_query

__all__ = [
    "HARMLESS_COOKIES",
    "MORE_STATUSES",
    "STATUSES",
    "Answer",
    "Asked",
    "Terms",
    "Verdict",
    "Way",
    "judge",
    "request_key",
    "way_of",
]

STATUSES: Final = frozenset({200, 203, 301, 308})
MORE_STATUSES: Final = frozenset({404, 410})
"""Those that may be stored where somebody says so."""
SERVER_ERRORS: Final = frozenset({500, 502, 503, 504})
"""Those instead of which what is stored may be served: RFC 5861, section 4."""
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # RFC 9110, section 9.2.1
HARMLESS_COOKIES: Final = (
    *("_ga", "_ga_*", "_gid", "_gat", "_gat_*", "_gac_*", "_gcl_*", "_gaexp", "__utm?", "__utm??"),  # Google
    *("_pk_*", "_fbp", "_fbc", "_hj*", "_clck", "_clsk", "_uet*", "_scid", "_ttp", "_tt_*", "__hs*", "hubspotutk"),
    *("amplitude_id*", "mp_*_mixpanel", "ajs_*", "plausible_ignore", "_parsely_*", "_vwo_*", "optimizely*"),
)
"""Cookies that measure, and mean nothing to the application."""

# A response with one of these is for one client, or not the whole of anything.
FOR_ONE: Final = {
    "set-cookie": "it sets a cookie",
    "set-cookie2": "it sets a cookie",
    "www-authenticate": "it asks who is there",
    "proxy-authenticate": "it asks who is there",
    "authentication-info": "it tells who is there",
    "content-range": "it is a part of something",
    "clear-site-data": "it clears what one client has stored",
}
PARTIAL: Final = ("range", "if-range", "if-match", "if-unmodified-since")
"""Request headers that ask for a part, or for nothing unless it is what the client knows: the view may look at them."""
FORBIDDING: Final = ("no-store", "private", "no-cache")


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, as much of it as the rules must know.

    *values* returns the lines of a header field by its lower-case name, as many as there are. *host* is the one that
    the framework has validated; *root* is where the application is mounted (SCRIPT_NAME, root_path). *identified* is
    whether the server in front has said who the client is, as REMOTE_USER does.
    """

    method: str
    scheme: str
    host: str
    root: str
    path: str
    query: bytes
    values: Callable[[str], Sequence[str]]
    identified: bool = False

    @property
    def is_safe(self) -> bool:
        """Whether it asks for nothing to be changed."""
        return self.method in SAFE


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, as much of it as the rules must know; *streamed* is one whose body is not there yet."""

    status: int
    headers: Sequence[tuple[str, str]]
    streamed: bool = False


@dataclass(frozen=True, slots=True)
class Terms:
    """What the user has said of a view and its application.

    Args:
        vary: request headers that matter, lower-case.
        keyed: whether `key=` is a function, which so says what of the cookies matters.
        harmless: the names of cookies that do not matter, * and ? standing for anything.
        statuses: those of responses that may be stored.
    """

    vary: tuple[str, ...] = ()
    keyed: bool = False
    harmless: tuple[str, ...] = HARMLESS_COOKIES
    statuses: frozenset[int] = STATUSES

    def counts(self, header: str) -> bool:
        """Return whether the request's *header*, lower-case, is part of the key, or what of it matters is."""
        return header in self.vary or (header == "cookie" and self.keyed)


class Way(Enum):
    """What becomes of a request."""

    BYPASS = auto()
    """Nothing is read or stored."""
    USE = auto()
    """What is stored is served; else it is computed and stored."""
    REFRESH = auto()
    """It is computed and stored, whatever is there."""
    READ = auto()
    """What is stored is served; else it is computed, and not stored: HEAD."""


def way_of(asked: Asked, terms: Terms) -> Way:
    """Return what becomes of a request."""
    values = asked.values
    if asked.method not in ("GET", "HEAD") or _passed_by(asked, terms):
        return Way.BYPASS
    control = Directives(values("cache-control"))
    if control.malformed or "no-store" in control:
        return Way.BYPASS
    is_head = asked.method == "HEAD"
    # RFC 9111, section 5.4: Pragma counts where there is no Cache-Control.
    if "no-cache" in control or (not control and any("no-cache" in each.lower() for each in values("pragma"))):
        return Way.BYPASS if is_head else Way.REFRESH
    return Way.READ if is_head else Way.USE


def _passed_by(asked: Asked, terms: Terms) -> bool:
    values = asked.values
    if any(map(values, PARTIAL)):
        return True
    authorization = values("authorization")
    # A user whom the server in front knows otherwise than from that header is in no part of the key.
    if (authorization or asked.identified) and not (authorization and terms.counts("authorization")):
        return True
    if values("transfer-encoding") or any(length.strip() not in ("", "0") for length in values("content-length")):
        return True  # it has a body
    return not terms.counts("cookie") and any(
        not is_harmless(name, terms.harmless) for name in cookie_names(values("cookie"))
    )


def request_key(asked: Asked, terms: Terms, learned: Iterable[str] = ()) -> tuple[object, ...]:
    """Return what of a request is part of the key: the URL, and the headers of *terms* and those that were *learned*.

    A header that is missing is another than one that is empty. HEAD has the key of GET.
    """
    names = sorted({*terms.vary, *learned})
    return (
        asked.scheme.lower(),
        asked.host.lower(),
        asked.root,
        asked.path,
        sorted_query(asked.query),
        tuple((name, _counted(asked.values(name), name, terms)) for name in names),
    )


def _counted(lines: Sequence[str], name: str, terms: Terms) -> tuple[str, ...]:
    return without_cookies(lines, terms.harmless) if name == "cookie" else tuple(line.strip() for line in lines)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a response may be stored.

    Args:
        lifetime: for how many seconds it is fresh; 0 if it must not be stored.
        stale: for how many seconds after that it may be served, while it is refreshed or if that fails.
        vary: the request headers that it depends on, lower-case, besides those of the terms.
        why: why it must not be stored.
        again: whether that is likely to be so the next time, too.
        failed: whether it is an error, instead of which what is stored may be served.
    """

    lifetime: float
    stale: float = 0.0
    vary: tuple[str, ...] = ()
    why: str = ""
    again: bool = True
    failed: bool = False


def judge(answer: Answer, terms: Terms, timeout: float, stale: float, now: float) -> Verdict:
    """Return whether *answer* may be stored, at most for *timeout*, and for *stale* after that."""
    headers = grouped(answer.headers)
    control = Directives(headers.get("cache-control", ()))
    forbidden = _forbidden(answer, terms, headers.keys()) or _forbidden_by(control)
    if forbidden:
        failed = answer.status in SERVER_ERRORS
        return Verdict(0.0, why=forbidden, again=answer.status != 304, failed=failed)
    if any("no-cache" in each.lower() for each in headers.get("pragma", ())):
        return Verdict(0.0, why="its Pragma is no-cache")
    vary = _vary(headers.get("vary", ()), terms, encoded="content-encoding" in headers)
    if isinstance(vary, str):
        return Verdict(0.0, why=vary)
    fresh = _freshness(control, headers.get("expires", ()), now)
    if fresh is not None:
        timeout = min(timeout, fresh - seconds_of(headers.get("age", ())))
    if timeout <= 0:
        return Verdict(0.0, why="it is not fresh")
    return Verdict(timeout, _staleness(control, stale), vary)


def _forbidden(answer: Answer, terms: Terms, names: Iterable[str]) -> str:
    if answer.status not in terms.statuses:
        return f"its status is {answer.status}"
    if answer.streamed:
        return "it is streamed"
    return next((FOR_ONE[name] for name in names if name in FOR_ONE), "")


def _forbidden_by(control: Directives) -> str:
    if control.malformed:
        return "its Cache-Control cannot be understood"
    return next((f"its Cache-Control is {each}" for each in FORBIDDING if each in control), "")


def _vary(lines: Sequence[str], terms: Terms, *, encoded: bool) -> tuple[str, ...] | str:
    """Return the names in Vary that are not part of the key yet; or why it forbids storing."""
    listed = names_in(lines)
    if listed is None:
        return "its Vary cannot be understood"
    if "*" in listed:
        return "its Vary is *"
    names = {*listed, "accept-encoding"} if encoded else set(listed)
    for name in ("cookie", "authorization"):
        if name in names and not terms.counts(name):
            return f"its Vary is {name.title()}"
    names -= {"cookie", *terms.vary}
    if len(names) > MOST_VARY:
        return f"its Vary names more than {MOST_VARY} headers"
    return tuple(sorted(names))


def _freshness(control: Directives, expires: Sequence[str], now: float) -> float | None:
    """Return for how many seconds a response says that it is fresh; RFC 9111, section 4.2.1: s-maxage goes first."""
    for name in ("s-maxage", "max-age"):
        given = control.seconds(name)
        if given is not None:
            return float(given)
    return (moment(expires) or 0.0) - now if expires else None


def _staleness(control: Directives, stale: float) -> float:
    """Return for how long a response may be served while it is refreshed; what it says itself goes before *stale*.

    RFC 9111, section 4.2.4, and RFC 5861. Of a response that says stale-if-error only, nothing is served stale: whoever
    is served that does not wait to see whether there is an error.
    """
    if "must-revalidate" in control or "proxy-revalidate" in control:
        return 0.0
    if "stale-while-revalidate" in control:
        return float(control.seconds("stale-while-revalidate") or 0)
    return 0.0 if "stale-if-error" in control or "s-maxage" in control else stale
