import itertools
import random
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memocache._canonical import encode
from tests.support.selection import examples
from tests.unit.canonical.generators import altered, leaves, rebuilt, values
from tests.unit.canonical.oracle import same

EXAMPLES = examples(800)


def test_the_bytes_are_the_same_exactly_where_the_values_are() -> None:
    seen: Counter[bool] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.tuples(leaves, leaves, st.lists(leaves, min_size=2, max_size=4), values), st.integers(0, 2**32))
    def check(originals: tuple[Any, ...], seed: int) -> None:
        rng = random.Random(seed)
        family = []
        for value in originals:
            again = rebuilt(value, rng)
            assert same(value, again)
            family += [value, again, *(altered(rng.choice([value, again]), rng) for _ in range(4))]
            family += [altered(altered(value, rng), rng) for _ in range(2)]
        encoded = [(value, encode(value)) for value in family]
        for (a, a_bytes), (b, b_bytes) in itertools.combinations(encoded, 2):
            alike = same(a, b)
            assert (a_bytes == b_bytes) is alike, (a, b)
            seen[alike] += 1

    check()
    assert seen[True] >= 18 * EXAMPLES
    assert seen[False] >= 120 * EXAMPLES
