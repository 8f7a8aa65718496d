"""Combinations of headers, each written in one of the ways in which it may arrive; and whether they forbid caching.

What they mean is known from how they are made, not from reading them: so this can disagree with the rules.
"""

import functools
import random
from dataclasses import dataclass

from tests.web.matrix import Ask, Reply

FORBIDDING_RESPONSES = [
    *(("Cache-Control", each) for each in ("no-store", "private", "no-cache", "max-age=0", "s-maxage=0")),
    ("Cache-Control", 'private="x"'),
    *(("Vary", each) for each in ("*", "Cookie", "Authorization")),
    *(("Set-Cookie", "a=b"), ("WWW-Authenticate", "Basic"), ("Content-Range", "bytes 0-1/9"), ("Pragma", "no-cache")),
]  # fmt: skip
HARMLESS_RESPONSES = [
    *(("Cache-Control", each) for each in ("public", "max-age=60", "immutable", 'x="a, no-store"', "no-transform")),
    *(("Vary", each) for each in ("Accept-Language", "X-One", "Accept")),
    *(("X-Custom", "no-store"), ("Content-Language", "en"), ("Link", "</private>; rel=no-cache"), ("ETag", '"x"')),
]  # fmt: skip
FORBIDDING_REQUESTS = [
    *(("Authorization", "Bearer x"), ("Range", "bytes=0-1"), ("Cache-Control", "no-store"), ("Cookie", "session=x")),
    *(("Cookie", "_gat=1; csrftoken=y"), ("Cookie", "lonely")),
]
HARMLESS_REQUESTS = [
    *(("Accept-Language", "de"), ("X-One", "private"), ("Cookie", "_ga=1; _gid=2"), ("Accept", "*/*")),
    *(("Cache-Control", "max-age=0"), ("X-Forwarded-For", "10.0.0.1"), ("User-Agent", "no-store")),
]


@dataclass(frozen=True)
class Combination:
    """A request and the response to it; and whether the two may be stored, and then served to the same request."""

    ask: Ask
    reply: Reply
    cached: bool


@functools.cache
def combinations(count: int, seed: int = 1) -> list[Combination]:
    """Return *count* of them, the same each time."""
    made = random.Random(seed)
    return [_combination(made, number) for number in range(count)]


def _combination(made: random.Random, number: int) -> Combination:
    asked = _some(made, HARMLESS_REQUESTS)
    replied = _some(made, HARMLESS_RESPONSES)
    wrong = made.choice(["", "", "request", "response", "both"])
    if wrong in ("request", "both"):
        asked += _some(made, FORBIDDING_REQUESTS, least=1)
    if wrong in ("response", "both"):
        replied += _some(made, FORBIDDING_RESPONSES, least=1)
        # s-maxage goes before max-age, which the two must not show here.
        if all(pair == ("Cache-Control", "max-age=0") for pair in replied if pair in FORBIDDING_RESPONSES):
            replied = [pair for pair in replied if not pair[1].startswith("s-maxage")]
    ask = Ask(f"/page?n={number}", tuple(_written(made, asked)))
    return Combination(ask, Reply(headers=tuple(_written(made, replied))), not wrong)


def _some(made: random.Random, pairs: list[tuple[str, str]], least: int = 0) -> list[tuple[str, str]]:
    return made.sample(pairs, made.randint(least, 3))


def _written(made: random.Random, pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return *pairs* in any order and case, lists joined or in lines of their own, with spaces, repeated, and huge."""
    made.shuffle(pairs)
    lines: list[tuple[str, str]] = []
    for name, value in pairs:
        is_list = name in ("Cache-Control", "Vary")
        if is_list:
            value = _cased(made, value)
            value = made.choice(["", " ", "\t", ", ", ",,"]) + value + made.choice(["", " ", "\t", ",", " ,"])
            if made.random() < 0.05 and name == "Cache-Control":
                value = ", ".join([f"x-{each}=1" for each in range(200)]) + "," + value
        written = _cased(made, name)
        earlier = [at for at, (other, _) in enumerate(lines) if other.lower() == name.lower()]
        if is_list and earlier and made.random() < 0.5:
            at = made.choice(earlier)
            lines[at] = (lines[at][0], lines[at][1] + "," + value)
        elif name == "Cookie" and earlier:
            lines[earlier[0]] = (lines[earlier[0]][0], lines[earlier[0]][1] + "; " + value)
        else:
            lines.append((written, value))
            if is_list and made.random() < 0.1:
                lines.append((_cased(made, name), value))
    return lines


def _cased(made: random.Random, text: str) -> str:
    return made.choice([text, text.upper(), text.lower(), "".join(made.choice([c.upper(), c.lower()]) for c in text)])
