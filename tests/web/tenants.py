"""Requests of two tenants to views that tell them apart in different ways, interleaved; and whether they ever meet.

A site has for each of KINDS a view at /<kind>/<i>, which answers with JSON: {"tenant": ..., "i": i}. The tenant is in
the header X-Tenant, for "cookie" in the cookie of that name, and for "host" the first part of the host.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.web.matrix import Ask

KINDS = ("key", "vary", "learned", "cookie", "host")
TASKS = 8
EACH = 1250


@dataclass(frozen=True)
class Request:
    ask: Ask
    who: str
    i: int
    forgets: bool
    """Whether the view "learned" is to forget its call with *i* after it."""

    def is_wrong(self, answer: dict[str, Any]) -> bool:
        return (answer["tenant"], answer["i"]) != (self.who, self.i)


def requests(seed: int) -> Iterator[Request]:
    """Return the requests of one thread or task: of TASKS such, 10 000."""
    made = random.Random(seed)
    for _ in range(EACH):
        who, i, kind = made.choice(["alice", "bob"]), made.randrange(20), made.choice(KINDS)
        if kind == "cookie":
            ask = Ask(f"/{kind}/{i}", (("Cookie", f"tenant={who}"),))
        else:
            ask = Ask(f"/{kind}/{i}", (("X-Tenant", who),), host=f"{who}.example")
        yield Request(ask, who, i, made.random() < 0.01)
