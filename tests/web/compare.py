"""Sets the rules for views beside those of others, by running them: `python -m tests.web.compare`.

It prints a table in Markdown. A row is a question about cases of the matrix, each of which is two requests to one view
under the peer's decorator with a timeout and no other options. Peers that are not installed are left out.
"""

import contextlib
import secrets
import warnings
from collections.abc import Callable

from tests.web.matrix import CASES, PLAIN, Ask
from tests.web.sites import OnePage, ours


def memocache() -> OnePage:
    """With Flask, as with all: test_matrix has every case on every framework."""
    from memocache import SimpleCache
    from tests.web.flask_site import FlaskSite

    return ours(FlaskSite(), SimpleCache())


def flask_caching() -> OnePage:
    from flask_caching import Cache

    from tests.web.flask_site import FlaskSite

    site = FlaskSite()
    return OnePage(site, Cache(site.app, config={"CACHE_TYPE": "SimpleCache"}).cached(timeout=300))


def fastapi_cache() -> OnePage:
    from fastapi_cache import FastAPICache
    from fastapi_cache.backends.inmemory import InMemoryBackend
    from fastapi_cache.decorator import cache

    from tests.web.asgi_sites import FastAPISite

    FastAPICache.reset()
    # All of its caches in memory are one.
    FastAPICache.init(InMemoryBackend(), prefix=secrets.token_hex(8))
    return OnePage(FastAPISite(is_async=True), cache(expire=300))


def cache_page() -> OnePage:
    from django.views.decorators.cache import cache_page

    from tests.web.django_site import DjangoSite

    # All sites have the same URLs.
    return OnePage(DjangoSite(), cache_page(300, key_prefix=secrets.token_hex(8)))


PEERS: dict[str, Callable[[], OnePage]] = {
    "memocache": memocache,
    "Flask-Caching `cached()`": flask_caching,
    "Django's `cache_page`": cache_page,
    "fastapi-cache2 `cache()`": fastapi_cache,
}

# What is asked -> the cases that tell. What may be served is asked, too: who stores nothing is not right.
ROWS = {
    "a page, asked for twice, is computed once": ["plain", "public", "max-age", "301", "Last-Modified"],
    "HEAD is answered from GET": ["HEAD from GET"],
    "`?a=1&b=2` and `?b=2&a=1` share": ["query in another order"],
    "nobody is given another's `Set-Cookie`": ["Set-Cookie", "SET-COOKIE", "Set-Cookie that is public"],
    "cookies: no page of one user's session for another": [
        *("a session cookie is not served", "a session cookie is not stored", "any cookie is not stored"),
        *("Vary: Cookie", "VARY: COOKIE"),
    ],
    "`Authorization`: neither stored nor served": [
        *("Authorization is not served", "Authorization is not stored", "AUTHORIZATION is not stored"),
        *("Vary: Authorization", "WWW-Authenticate"),
    ],
    "POST, PUT, DELETE always reach the view": [
        *("POST is not served", "POST is not stored", "PUT is not served", "DELETE is not served")
    ],
    "errors and redirects for the moment are not kept": ["500", "503", "404", "403", "302", "206"],
    "`?page=2` is not page 1; repeated values keep their order": [
        *("another query", "no query", "a value twice", "values of one name in another order")
    ],
    "another host, scheme or path is another page": ["another host", "another port", "another scheme", "another path"],
    "`private`, `no-store`, `no-cache`, in any case and line": [
        *("private", "PRIVATE", "no-store", "No-Store after others", "no-store in a line of its own", "no-cache")
    ],
    "`max-age=0` and what has expired": ["max-age=0", "max-age twice", "Expires in the past"],
    "`Vary`: another language is another page; `*` is none": [
        *("another variant", "no variant", "Vary: *", "Vary: * among others")
    ],
    "a client's `no-cache` and `no-store`": ["request no-cache", "request no-store is not stored"],
    "ranges and streams": ["Range is not served", "Range is not stored", "Content-Range", "streamed"],
}


def outcome(make: Callable[[], OnePage], name: str) -> bool:
    """Return whether a peer does in a case what may be done."""
    case = next(case for case in CASES if case.name == name)
    page = make()
    page.reply = case.reply
    try:
        page.ask(case.first)
        before = page.computed
        page.ask(case.second)
    except Exception:  # noqa: BLE001 - whatever a peer raises, it is no page
        return False
    return (page.computed == before) is case.cached


def says_how_old(make: Callable[[], OnePage]) -> bool:
    """Return whether what is served has an Age and an ETag, which is answered with 304."""
    page = make()
    page.ask(PLAIN)
    headers = page.ask(PLAIN).headers
    if not all(name in headers for name in ("Age", "ETag", "Cache-Control")):
        return False
    return bool(page.ask(Ask(headers=(("If-None-Match", headers["ETag"]),))).status == 304)


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    peers = {}
    for name, make in PEERS.items():
        with contextlib.suppress(ImportError):
            make()
            peers[name] = make
    print("| |", " | ".join(peers), "|")
    print("|---|" + "---|" * len(peers))
    for question, names in ROWS.items():
        cells = []
        for make in peers.values():
            right = sum(outcome(make, name) for name in names)
            cells.append("yes" if right == len(names) else "**no**" if right == 0 else f"**{right} of {len(names)}**")
        print("|", question, "|", " | ".join(cells), "|")
    print(
        "| `Age`, `ETag`, `304` |",
        " | ".join("yes" if says_how_old(make) else "**no**" for make in peers.values()),
        "|",
    )


if __name__ == "__main__":
    main()
