"""Keys in shared caches outlive a release: each call in these files has the key that it had when that was written.

Add lines, and change none: a key that is another one costs a new computation, and is not reached by an `uncache` of
the release before.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.unit.canonical import stored_calls

HERE = Path(__file__).parent


def stored_keys(file: str) -> Iterator[tuple[str, str]]:
    """The calls in the *file*, as they are spelt in Python, and the key of each."""
    for line in HERE.joinpath(file).read_text(encoding="utf-8").splitlines():
        call, _, key = line.rpartition(" -> ")
        yield call, key


def test_every_call_has_the_key_that_it_had() -> None:
    calls = dict(stored_keys("keys_of_v1.txt"))
    assert len(calls) >= 530
    found = {call: eval(call, vars(stored_calls).copy()) for call in calls}
    assert found == calls


def test_every_call_with_values_of_other_libraries_has_the_key_that_it_had() -> None:
    for library in ("attrs", "django", "flask_login", "httpx", "numpy", "polars", "pyarrow", "pydantic", "pytz"):
        pytest.importorskip(library)
    for library in ("sqlalchemy", "starlette", "yarl"):
        pytest.importorskip(library)
    from tests.unit.canonical import stored_library_calls

    calls = dict(stored_keys("keys_of_libraries_v1.txt"))
    assert len(calls) >= 40
    found = {call: eval(call, vars(stored_library_calls).copy()) for call in calls}
    assert found == calls
