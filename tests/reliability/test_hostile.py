"""Bytes that somebody else has put into the cache, and arguments that somebody else has chosen."""

import json
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymemcache import Client

from memocache import cached
from tests.reliability.caches import KINDS, Stand
from tests.reliability.hostile import FORMS
from tests.reliability.ledger import Ledger
from tests.reliability.process import run
from tests.support.canary import Canary
from tests.support.servers import MemcachedServer

ENVELOPES = "entries that were tampered with"
KEYS = "hostile texts as arguments and keys"
MOST_GROWN = 64  # MiB; what is compressed may have 16, and be there more than once while it is read


@pytest.mark.parametrize("form", FORMS)
def test_what_was_tampered_with_is_refused_or_plain(
    form: str, tmp_path: Path, seed: int, ledger: Ledger, scaled: Callable[[int, int], int]
) -> None:
    count = scaled(10_000, 100_000)
    told = run("hostile", form, count, str(tmp_path / "executed"), seed, flags=[], may_complain=True)
    seen: dict[str, int] = json.loads(told)
    wrong, grown = seen.get("wrong", 0), seen["grown_kib"] // 1024
    ledger.add(ENVELOPES, form, seen["tried"], executed=seen["executed"], wrongly_accepted=wrong)
    ledger.most(ENVELOPES, "the process grew by {:.0f} MiB at most", grown)
    assert (wrong, seen["executed"]) == (0, 0)
    assert grown < MOST_GROWN
    assert seen["tried"] >= count * 0.9
    assert seen["missed"] > count / 4
    assert seen["refused"] > count / 10


def test_the_naive_way_executes_them(tmp_path: Path, ledger: Ledger) -> None:
    pickle.loads(pickle.dumps(Canary(tmp_path / "executed")))
    assert (tmp_path / "executed").exists()
    ledger.naive(ENVELOPES, "pickle.loads: executed at once")


PIECES = [
    *(" ", "\r\n", "\n", "\0", "\t", "\x7f", "\x1b[31m", "'", '"', "\\"),
    *("%s", "{0.__class__}", "{", "}", "*", ":", "#"),
    *("../", "/etc/passwd", "\ud800", "ü", "\U0010ffff", "\u202e", "None", "True", "1", "1.0", "-0", "", "a" * 300),
    *("flush_all", "flush_all\r\n", "\r\nflush_all\r\n", "get x"),
    *("set k 0 0 1\r\nx\r\n", "VALUE k 0 1\r\nx\r\nEND\r\n"),
    *("*1\r\n$8\r\nFLUSHALL\r\n", "FLUSHALL", "\r\nFLUSHALL\r\n", "'; DROP TABLE entries; --", "shutdown", "quit\r\n"),
]


def hostile_text(chance: random.Random) -> str:
    return "".join(chance.choices(PIECES, k=chance.randrange(1, 6)))


def test_hostile_texts_are_keys_as_all_others(
    own_stand: Stand, kind: str, seed: int, ledger: Ledger, scaled: Callable[[int, int], int]
) -> None:
    chance = random.Random(seed)
    cache, canary = own_stand.open("hostile"), own_stand.open("canary")
    if own_stand.kind.shared:
        canary.set("alive", 1)
    f: Any = cached(cache=cache, namespace="f")(lambda *texts, **more: (texts, len(more)))
    count = scaled(500, 1_500)
    wrong: list[object] = []
    for number in range(count):
        text, other = hostile_text(chance), hostile_text(chance)
        cache.set(text, number)
        if cache.get(text) != number:
            wrong.append(text)
        for texts in ((text,), (text, other), (text + other,), (other, text)):
            if f(*texts) != (texts, 0):
                wrong.append(texts)
        if f(text, **{"k" + other: 1}) != ((text,), 1):
            wrong.append(other)
    alive = not own_stand.kind.shared or canary.get("alive") == 1
    ledger.add(KEYS, kind, 6 * count, wrong_values=len(wrong), canaries_dead=int(not alive))
    assert wrong == []
    assert alive
    if isinstance(own_stand.server, MemcachedServer):
        assert own_stand.server.stats()["cmd_flush"] == "0"


def test_the_naive_way_takes_them_for_each_other(ledger: Ledger) -> None:
    with KINDS["memcached"].stand() as stand:
        client = Client(stand.where, timeout=5, default_noreply=False)
        wrong = refused = 0
        chance = random.Random(1)
        for _ in range(300):
            texts = (hostile_text(chance), hostile_text(chance))
            for given in (texts, (" ".join(texts),)):
                try:
                    found = client.get(" ".join(given).encode("utf-8", "replace"))
                    wrong += found is not None and found != repr(given).encode("utf-8", "replace")
                    client.set(" ".join(given).encode("utf-8", "replace"), repr(given).encode("utf-8", "replace"))
                except Exception:  # noqa: BLE001
                    refused += 1
        client.close()
    pairs = [("a", "b c"), ("a b", "c")]
    wrong += len(pairs) - len({" ".join(each) for each in pairs})
    ledger.naive(KEYS, f"arguments joined as text: {refused} of 600 refused by the client, {wrong} taken for another's")
    assert refused + wrong > 300
