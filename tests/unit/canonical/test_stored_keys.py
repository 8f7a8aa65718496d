"""Keys in shared caches outlive a release: each call in keys_of_v1.txt has the key that it had when that was written.

Add lines, and change none: a key that is another one costs a new computation, and is not reached by an `uncache` of
the release before.
"""

from collections.abc import Iterator
from pathlib import Path

from tests.unit.canonical import stored_calls

FILE = Path(__file__).with_name("keys_of_v1.txt")


def stored_keys() -> Iterator[tuple[str, str]]:
    """The calls in the file, as they are spelt in Python, and the key of each."""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        call, _, key = line.rpartition(" -> ")
        yield call, key


def test_every_call_has_the_key_that_it_had() -> None:
    calls = dict(stored_keys())
    assert len(calls) >= 500
    found = {call: eval(call, vars(stored_calls).copy()) for call in calls}
    assert found == calls
