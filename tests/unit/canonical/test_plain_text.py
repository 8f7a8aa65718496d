"""The quick way to the key of a call with numbers and short texts: the same key as the usual way."""

import random
from typing import Any

import pytest

from memocache import SimpleCache, cached, keys
from memocache._canonical import LONGEST_NAME, encode, plain_text

VALUES = [0, 7, -1, -255, 2**60, 2**64 - 1, -(2**63), 2**70, 10**40, "", "a", "a b", "x" * 16, "x" * 17, "x" * 60]
VALUES += ["é", "\n", "\x7f", "\ud800", "1:", "int1:7", True, None, 1.5, b"a", (1,), type("Number", (int,), {})(7)]
OTHERS = [[value, other] for value in VALUES for other in (7, "a", None)]


@pytest.mark.parametrize("values", [[], *([each] for each in VALUES), *OTHERS], ids=ascii)
def test_it_is_what_the_bytes_say(values: list[Any]) -> None:
    text = plain_text(values)
    if text is not None:
        assert text.encode() == b"".join(map(encode, values))
    has_others = any(
        type(value) is not int
        and not (type(value) is str and value.isascii() and value.isprintable() and len(value) <= LONGEST_NAME)
        for value in values
    )
    assert (text is None) is has_others


def test_keys_are_the_same_as_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    luck = random.Random(7)
    calls = [(value,) for value in VALUES[:-1]]
    calls += [(luck.choice(VALUES[:-1]), luck.choice(VALUES[:-1])) for _ in range(500)]
    functions = [cached(cache=SimpleCache(), version=version)(lambda a, b="b": [a, b]) for version in (None, 2)]
    quick = [f.key(*call) for f in functions for call in calls]
    monkeypatch.setattr(keys, "plain_text", lambda values: None)
    assert quick == [f.key(*call) for f in functions for call in calls]
