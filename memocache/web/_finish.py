"""What is added to a response after the view: Age, ETag, Vary, Cache-Control; and when it becomes 304 Not Modified."""

from collections.abc import Iterable, Sequence
from hashlib import blake2b
from typing import Final

from memocache.web._headers import entity_tags, grouped, joined, moment, names_in, seconds_of
from memocache.web._rules import Asked, Terms
from memocache.web._stored import Stored

__all__ = ["UNMODIFIED_HEADERS", "additions", "entity_tag", "is_unmodified"]

# RFC 9110, section 15.4.5: what a 304 response has of the headers that 200 would have.
UNMODIFIED_HEADERS: Final = frozenset(
    {"age", "cache-control", "content-location", "date", "etag", "expires", "last-modified", "set-cookie", "vary"}
)
TAGGED: Final = ("content-type", "content-encoding", "content-language")
WITH_CONDITIONS: Final = (200, 203)


def additions(
    headers: Sequence[tuple[str, str]], body: bytes | None, terms: Terms, stored: Stored, now: float, *, hit: bool
) -> dict[str, str]:
    """Return the headers to set on a response that is stored as *stored*, in place of those of the same name.

    Args:
        headers: those that it has.
        body: its body, for the ETag; None if that is not there, as in answer to HEAD it may not be.
        terms: what the user has said of the view.
        stored: what is stored of it.
        now: the present moment.
        hit: whether it is served from the cache, and so has an Age.
    """
    fields = grouped(headers)
    added: dict[str, str] = {}
    if hit:
        added["Age"] = str(max(0, int(now - stored.made)) + seconds_of(fields.get("age", ())))
    if body is not None and "etag" not in fields:
        added["ETag"] = entity_tag(headers, body)
    counting = {*terms.vary, *stored.vary}
    if "cache-control" not in fields and "expires" not in fields:
        added["Cache-Control"] = _cache_control(stored)
        # What is for everybody shall not be what a browser shows those who have logged in meanwhile.
        counting |= {"authorization", "cookie"}
    if terms.keyed:
        counting.add("cookie")
    vary = _vary(fields.get("vary", ()), counting)
    if vary:
        added["Vary"] = vary
    return added


def entity_tag(headers: Iterable[tuple[str, str]], body: bytes) -> str:
    """Return the strong ETag of these bytes in this form: the same in every worker."""
    digest = blake2b(body, digest_size=16)
    fields = grouped(headers)
    for name in TAGGED:
        form = joined(fields.get(name, ())).encode("latin-1", "replace")
        digest.update(len(form).to_bytes(4, "big") + form)
    return f'"{digest.hexdigest()}"'


def _vary(lines: Sequence[str], more: set[str]) -> str:
    """Return the field Vary with *more* names in it; empty where it says all that already."""
    listed = names_in(lines)
    if listed is None or "*" in listed or more <= set(listed):
        return ""
    return joined([*lines, *(name.title() for name in sorted(more - set(listed)))])


def _cache_control(stored: Stored) -> str:
    # private: what the cache of the application may serve, one outside it, that sees none of its fences, need not.
    directives = ["private", f"max-age={int(min(stored.lifetime, 2**31))}"]
    if stored.stale:
        seconds = int(min(stored.stale, 2**31))
        directives += [f"stale-while-revalidate={seconds}", f"stale-if-error={seconds}"]
    return ", ".join(directives)


def is_unmodified(asked: Asked, status: int, headers: Iterable[tuple[str, str]]) -> bool:
    """Return whether the client has what this response says already: RFC 9110, section 13.2.2, for GET and HEAD."""
    if status not in WITH_CONDITIONS or asked.method not in ("GET", "HEAD"):
        return False
    fields = grouped(headers)
    known = asked.values("if-none-match")
    if known:
        tags = entity_tags(known)
        return "*" in tags or bool(tags & entity_tags(fields.get("etag", ())))
    since = moment(asked.values("if-modified-since"))
    changed = moment(fields.get("last-modified", ()))
    return since is not None and changed is not None and changed <= since
