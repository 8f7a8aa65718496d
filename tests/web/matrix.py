"""Pairs of a request and a response, and what a shared cache may do with them; for the rules and every framework.

A case is: the view answers the *first* request with *reply*. May the *second* request be answered with what the first
has left? *terms* are options of @cached that the view has: `vary`, and `keyed` for a key function that returns nothing
of the request. Where the case is about an adapter's own (`statuses`, `credential_headers`), that configures it.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from email.message import Message
from typing import Any

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Ask:
    """A request. *target* is its path and query."""

    target: str = "/page"
    headers: Headers = ()
    method: str = "GET"
    body: bytes = b""
    host: str = "good.example"
    scheme: str = "http"
    root: str = ""  # where the application is mounted
    user: str = ""  # whom the server in front of the application says it is from: REMOTE_USER, or scope["user"]

    def values(self, name: str) -> list[str]:
        found = [value for each, value in self.headers if each.lower() == name]
        if name == "content-length" and self.body and not found:
            found = [str(len(self.body))]
        return found


@dataclass(frozen=True)
class Reply:
    """A response of the view; its body is to be different each time."""

    status: int = 200
    headers: Headers = ()
    streamed: bool = False
    body: str = ""


@dataclass(frozen=True)
class Answer:
    """A response as its client sees it; names of headers are looked up in any case."""

    status: int
    headers: Message
    body: bytes

    @classmethod
    def of(cls, status: int, headers: Iterable[tuple[str, str]], body: bytes) -> "Answer":
        message = Message()
        for name, value in headers:
            message[name] = value
        return cls(status, message, body)

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass(frozen=True)
class Case:
    name: str
    first: Ask
    reply: Reply
    second: Ask
    cached: bool
    terms: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def ask(*headers: tuple[str, str], **more: Any) -> Ask:
    return Ask(headers=headers, **more)


def reply(*headers: tuple[str, str], **more: Any) -> Reply:
    return Reply(headers=headers, **more)


PLAIN = Ask()
HERE, THERE = ask(("Origin", "https://a.example")), ask(("Origin", "https://b.example"))
ALLOWED = reply(("Access-Control-Allow-Origin", "https://a.example"))
BEARER = ask(("Authorization", "Bearer a"))
KEY_A, KEY_B = ask(("X-API-Key", "a")), ask(("X-API-Key", "b"))
OK = Reply()


def _replies(cached: bool, *cases: tuple[str, Reply]) -> list[Case]:
    return [Case(name, PLAIN, each, PLAIN, cached) for name, each in cases]


def _pairs(cached: bool, *cases: tuple[Any, ...]) -> list[Case]:
    """Requests, the first and the second, with an ordinary reply or a given one."""
    return [
        Case(name, first, rest[0] if rest else OK, second, cached, rest[1] if len(rest) > 1 else {})
        for name, first, second, *rest in cases
    ]


def _passed(name: str, *headers: tuple[str, str], **more: Any) -> list[Case]:
    """A request that is neither answered from the cache nor stored."""
    odd = ask(*headers, **more)
    return _pairs(
        False, (f"{name} is not served", PLAIN, odd), (f"{name} is not stored", odd, PLAIN), (f"{name} twice", odd, odd)
    )


CASES: list[Case] = [
    # ---- responses that may be stored
    *_replies(
        True,
        ("plain", OK),
        ("203", reply(status=203)),
        ("301", reply(("Location", "/there"), status=301)),
        ("308", reply(("Location", "/there"), status=308)),
        ("public", reply(("Cache-Control", "public"))),
        ("max-age", reply(("Cache-Control", "max-age=60"))),
        ("MAX-AGE", reply(("CACHE-CONTROL", "MAX-AGE=60"))),
        ("max-age quoted", reply(("Cache-Control", 'max-age="60"'))),
        ("s-maxage goes before max-age", reply(("Cache-Control", "max-age=0, s-maxage=60"))),
        ("unknown directive", reply(("Cache-Control", 'community="UCI, no-store", immutable'))),
        ("a directive whose name contains no-store", reply(("Cache-Control", "x-no-store"))),
        ("empty list elements", reply(("Cache-Control", ", ,max-age=60,"))),
        ("Expires to come", reply(("Expires", "Fri, 31 Dec 2099 23:59:59 GMT"))),
        ("Vary", reply(("Vary", "Accept-Language"))),
        ("VARY twice", reply(("VARY", "ACCEPT-LANGUAGE"), ("vary", "X-One, accept-language"))),
        ("Vary with eight names", reply(("Vary", ", ".join(f"X-{number}" for number in range(8))))),
        ("empty Vary", reply(("Vary", ""))),
        ("Last-Modified", reply(("Last-Modified", "Fri, 01 Jan 2021 00:00:00 GMT"))),
        ("own ETag", reply(("ETag", '"mine"'))),
        ("a policy without a nonce", reply(("Content-Security-Policy", "script-src 'self'"))),
        ("Authorization among names of CORS", reply(("Access-Control-Allow-Headers", "Authorization"))),
    ),
    # ---- responses that may not
    *_replies(
        False,
        *((str(status), reply(status=status)) for status in (201, 202, 206, 300, 400, 401, 403, 404, 410, 418)),
        *((str(status), reply(status=status)) for status in (429, 500, 502, 503)),
        ("302", reply(("Location", "/there"), status=302)),
        ("307", reply(("Location", "/there"), status=307)),
        ("streamed", reply(streamed=True)),
        ("Set-Cookie", reply(("Set-Cookie", "session=secret"))),
        ("SET-COOKIE", reply(("SET-COOKIE", "session=secret"))),
        ("Set-Cookie that is public", reply(("Set-Cookie", "a=b"), ("Cache-Control", "public, max-age=60"))),
        ("WWW-Authenticate", reply(("WWW-Authenticate", "Basic"))),
        ("Clear-Site-Data", reply(("Clear-Site-Data", '"cache"'))),
        ("a policy with a nonce", reply(("Content-Security-Policy", "script-src 'self' 'nonce-r4nd0m'"))),
        ("a report with a nonce", reply(("content-security-policy-report-only", "SCRIPT-SRC 'NONCE-r4nd0m'"))),
        ("Content-Range", reply(("Content-Range", "bytes 0-1/5"))),
        ("private", reply(("Cache-Control", "private"))),
        ("PRIVATE", reply(("Cache-Control", "PRIVATE"))),
        ("private with fields", reply(("Cache-Control", 'private="set-cookie, x-user"'))),
        ("no-store", reply(("Cache-Control", "no-store"))),
        ("No-Store after others", reply(("Cache-Control", "max-age=60,No-Store"))),
        ("no-store in a line of its own", reply(("Cache-Control", "max-age=60"), ("cache-control", "no-store"))),
        ("no-store with an argument", reply(("Cache-Control", "no-store=1"))),
        ("no-store with tabs round it", reply(("Cache-Control", "public,\tno-store\t,max-age=60"))),
        ("no-cache", reply(("Cache-Control", "no-cache"))),
        ("no-cache with fields", reply(("Cache-Control", 'no-cache="set-cookie"'))),
        ("max-age=0", reply(("Cache-Control", "max-age=0"))),
        ("max-age twice", reply(("Cache-Control", "max-age=60, max-age=0"))),
        ("max-age that is none", reply(("Cache-Control", "max-age=soon"))),
        ("max-age below zero", reply(("Cache-Control", "max-age=-1"))),
        ("s-maxage=0", reply(("Cache-Control", "max-age=60, s-maxage=0"))),
        ("max-age past already", reply(("Cache-Control", "max-age=60"), ("Age", "60"))),
        ("semicolons for commas", reply(("Cache-Control", "public; no-store"))),
        ("quoted string without an end", reply(("Cache-Control", 'x="no-store'))),
        ("Expires in the past", reply(("Expires", "Thu, 01 Jan 1970 00:00:00 GMT"))),
        ("Expires that is no date", reply(("Expires", "0"))),
        ("Pragma", reply(("Pragma", "no-cache"))),
        ("Vary: *", reply(("Vary", "*"))),
        ("Vary: * among others", reply(("Vary", "Accept-Language, *"))),
        ("Vary: * in a line of its own", reply(("Vary", "Accept-Language"), ("Vary", "*"))),
        ("Vary: Cookie", reply(("Vary", "Cookie"))),
        ("VARY: COOKIE", reply(("VARY", "Accept, COOKIE"))),
        ("Vary: Authorization", reply(("Vary", "authorization"))),
        ("Vary that is no list of names", reply(("Vary", "Accept Language"))),
        ("Vary with nine names", reply(("Vary", ", ".join(f"X-{number}" for number in range(9))))),
    ),
    # ---- requests that are passed by
    *_passed("POST", method="POST"),
    *_passed("PUT", method="PUT", body=b"new"),
    *_passed("DELETE", method="DELETE"),
    *_passed("Authorization", ("Authorization", "Bearer secret")),
    *_passed("AUTHORIZATION", ("AUTHORIZATION", "Basic c2VjcmV0")),
    *_passed("X-API-Key", ("X-API-Key", "secret")),
    *_passed("x-auth-token", ("x-auth-token", "secret")),
    *_passed("X-Forwarded-User", ("X-Forwarded-User", "alice")),
    *_passed("X-Client-Cert", ("X-Client-Cert", "")),
    *_passed("Range", ("Range", "bytes=0-1")),
    *_passed("If-Match", ("If-Match", '"x"')),
    *_passed("If-Unmodified-Since", ("If-Unmodified-Since", "Fri, 01 Jan 2021 00:00:00 GMT")),
    *_passed("a user of the server's", user="alice"),
    *_passed("a GET with a body", body=b"query"),
    *_passed("request no-store", ("Cache-Control", "no-store")),
    *_passed("request NO-STORE", ("cache-control", "max-age=9, NO-STORE")),
    *_passed("a session cookie", ("Cookie", "session=alice")),
    *_passed("any cookie", ("Cookie", "theme=dark")),
    *_passed("a cookie beside a harmless one", ("Cookie", "_ga=GA1.2.3; session=alice")),
    *_passed("a cookie after a comma", ("Cookie", "_ga=GA1.2.3, session=alice")),
    *_passed("a cookie without a value", ("Cookie", "alice")),
    # ---- requests that may be
    *_pairs(
        True,
        ("HEAD from GET", PLAIN, ask(method="HEAD")),
        ("harmless cookies", ask(("Cookie", "_ga=1")), ask(("Cookie", "_ga=2; _gid=3"))),
        ("a cookie that begins like a harmless one", ask(("Cookie", "_ga_X1=1")), PLAIN),
        ("empty Cookie", ask(("Cookie", "")), PLAIN),
        ("request max-age", PLAIN, ask(("Cache-Control", "max-age=0"))),
        ("Content-Length: 0", PLAIN, ask(("Content-Length", "0"))),
        ("another header", PLAIN, ask(("User-Agent", "other"), ("Accept-Language", "de"), ("X-Forwarded-Host", "x"))),
        ("query in another order", ask(target="/page?a=1&b=2"), ask(target="/page?b=2&a=1")),
        ("host in capitals", PLAIN, ask(host="GOOD.example")),
        ("same variant", ask(("X-One", "1")), ask(("X-One", "1")), reply(("Vary", "X-One"))),
        ("the origin that is allowed", HERE, HERE, ALLOWED),
        ("any origin is allowed", HERE, THERE, reply(("Access-Control-Allow-Origin", "*"))),
        ("vary= the same", ask(("X-One", "1")), ask(("X-One", "1")), OK, {"vary": ("X-One",)}),
        ("vary= Cookie", ask(("Cookie", "a=1")), ask(("Cookie", "a=1; _ga=2")), OK, {"vary": ("Cookie",)}),
        ("vary= Authorization", BEARER, BEARER, OK, {"vary": ("Authorization",)}),
        ("vary= X-API-Key", KEY_A, KEY_A, OK, {"vary": ("X-API-Key",)}),
        ("a header of one's own that is not named", ask(("X-Customer", "a")), ask(("X-Customer", "b"))),
        ("key= says what matters", ask(("Cookie", "a=1")), ask(("Cookie", "a=2")), OK, {"keyed": True}),
        ("key= says whose page it is", ask(user="alice"), ask(user="alice"), OK, {"keyed": True}),
        ("404 by option", PLAIN, PLAIN, reply(status=404), {"statuses": (404,)}),
        ("410 by option", PLAIN, PLAIN, reply(status=410), {"statuses": (404, 410)}),
    ),
    # ---- requests that differ
    *_pairs(
        False,
        ("HEAD is not stored", ask(method="HEAD"), PLAIN),
        ("HEAD twice", ask(method="HEAD"), ask(method="HEAD")),
        ("request no-cache", PLAIN, ask(("Cache-Control", "no-cache"))),
        ("request Pragma", PLAIN, ask(("Pragma", "no-cache"))),
        ("another path", PLAIN, ask(target="/page/")),
        ("another query", ask(target="/page?q=1"), ask(target="/page?q=2")),
        ("no query", ask(target="/page?q=1"), PLAIN),
        ("values of one name in another order", ask(target="/page?q=1&q=2"), ask(target="/page?q=2&q=1")),
        ("one name spelt in two ways", ask(target="/page?q=1&%71=2"), ask(target="/page?%71=2&q=1")),
        ("a value twice", ask(target="/page?q=1"), ask(target="/page?q=1&q=1")),
        ("an empty value", ask(target="/page?q"), ask(target="/page")),
        ("another host", PLAIN, ask(host="evil.example")),
        ("another port", PLAIN, ask(host="good.example:8080")),
        ("another scheme", PLAIN, ask(scheme="https")),
        ("another variant", ask(("X-One", "1")), ask(("X-One", "2")), reply(("Vary", "X-One"))),
        ("no variant", ask(("X-One", "1")), PLAIN, reply(("Vary", "X-One"))),
        ("empty variant", ask(("X-One", "")), PLAIN, reply(("Vary", "X-One"))),
        ("encoded for one who asks", PLAIN, ask(("Accept-Encoding", "x")), reply(("Content-Encoding", "x"))),
        ("another origin is allowed", HERE, THERE, ALLOWED),
        ("an origin is allowed, and none is asked for", HERE, PLAIN, ALLOWED),
        ("vary= differs", ask(("X-One", "1")), ask(("X-One", "2")), OK, {"vary": ("X-One",)}),
        ("vary= Cookie differs", ask(("Cookie", "a=1")), ask(("Cookie", "a=2")), OK, {"vary": ("Cookie",)}),
        ("vary= Authorization says nothing of a user", ask(user="a"), ask(user="b"), OK, {"vary": ("Authorization",)}),
        ("vary= X-API-Key differs", KEY_A, KEY_B, OK, {"vary": ("X-API-Key",)}),
        ("vary= X-API-Key says nothing of Authorization", BEARER, BEARER, OK, {"vary": ("X-API-Key",)}),
        ("key= says nothing of X-API-Key", KEY_A, KEY_A, OK, {"keyed": True}),
        (
            *("a header of one's own that is named", ask(("X-Customer", "a")), ask(("x-customer", "a")), OK),
            {"credential_headers": ("X-Customer",)},
        ),
        ("key= says nothing of Authorization", BEARER, BEARER, OK, {"keyed": True}),
        ("404 where 410 may be", PLAIN, PLAIN, reply(status=404), {"statuses": (410,)}),
    ),
]  # fmt: skip
