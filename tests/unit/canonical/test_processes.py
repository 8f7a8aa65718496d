import datetime as dt
import textwrap
from collections import defaultdict
from typing import Any

from tests.support.processes import output_of, run_python
from tests.unit.canonical.samples import NOON, PARIS, Colour, Frozen, Keyed, Pair, Point, Record


def big_value() -> Any:
    words = {f"word {number}" for number in range(300)}
    return {
        "set": words,
        "frozen": frozenset(words | {1, 2.5, None, (1, "a"), b"x", Colour.RED, Frozen(1)}),
        "dict": {word: {word, word.upper()} for word in words},
        "objects": [Pair(words, Keyed(words)), Record(words), Point(words, 1), len, int, Colour.GREEN],
        "times": {NOON, NOON.replace(tzinfo=PARIS), NOON.date(), dt.timedelta(1)},
        frozenset(words): defaultdict(list, dict.fromkeys(words, 1)),
    }


def test_every_process_makes_the_same_bytes_whatever_its_hash_seed() -> None:
    code = """
        from hashlib import sha256
        from memocache._canonical import encode
        from tests.unit.canonical.samples import DISTINCT
        from tests.unit.canonical.test_processes import big_value
        print(list(big_value()["set"])[:5])
        print(sha256(encode(big_value())).hexdigest())
        print(sha256(b"".join(map(encode, DISTINCT))).hexdigest())
    """
    processes = [run_python("-c", textwrap.dedent(code), seed=seed) for seed in ("0", "1", "2", "3", "4294967295")]
    orders, nested, all_kinds = zip(*map(output_of, processes), strict=True)
    assert len(set(orders)) == 5  # else the seeds did not do their work
    assert len(set(nested)) == 1
    assert len(set(all_kinds)) == 1
