"""The queues behind the bound: their order, what they remember, and how well they choose."""

import lzma
import random
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import pytest

from memocache import SimpleCache, cached
from memocache._entry import Entry
from memocache.backends._s3fifo import MOST_GAPS, MOST_SHARE, SMALL_SHARE, Queue, S3Fifo

TRACES = Path(__file__).parents[2] / "benchmarks" / "traces"


def entry(key: object) -> Entry:
    return Entry(str(key), key, 100.0)


@pytest.mark.parametrize("seed", range(20))
def test_a_queue_keeps_its_order_whatever_is_dropped(seed: int) -> None:
    choose = random.Random(seed)
    queue, model = Queue(), OrderedDict[str, Entry]()
    for _ in range(3000):
        step = choose.choice(["append", "append", "drop", "drop", "pop", "renew"])
        if step == "append":
            new = entry(choose.randrange(30))
            if new.key not in model:
                queue.append(new)
                model[new.key] = new
        elif model:
            oldest = next(iter(model.values()))
            if step == "drop":
                key = choose.choice(list(model))
                queue.drop(key)
                del model[key]
            elif step == "pop":
                assert queue.oldest() is oldest
                queue.pop_oldest(oldest)
                del model[oldest.key]
            else:
                assert queue.oldest() is oldest
                queue.renew_oldest()
                model.move_to_end(oldest.key)
        assert dict(queue) == dict(model)
        assert len(queue._order) <= 2 * len(queue) + MOST_GAPS + 1
    while model:
        assert queue.oldest() is model.popitem(last=False)[1]
        queue.pop_oldest(queue.oldest())


def test_a_queue_that_was_mixed_up_still_gives_what_it_holds() -> None:
    queue = Queue()
    for key in "abc":
        queue.append(entry(key))
    queue._order.clear()
    given = set()
    while queue:
        given.add(queue.oldest().key)
        queue.pop_oldest(queue.oldest())
    assert given == set("abc")


def test_what_is_there_is_not_put_out_by_another_under_its_key() -> None:
    """Whom a signal handler's entry came before, ends: the queue would drop one of the two, and nobody hear of it."""
    s3fifo = S3Fifo(100)
    first, second = entry("a"), entry("a")
    assert s3fifo.insert(first, 0.0) == []
    assert s3fifo.insert(second, 0.0) == [second]
    assert second.expires_at < 0.0
    assert s3fifo.get("a") is first
    assert s3fifo.everything() == [first]


def test_the_same_when_one_goes_on_to_the_main_queue() -> None:
    s3fifo = S3Fifo(2)
    young, old, another = entry("a"), entry("a"), entry("b")
    s3fifo._small.append(young)
    s3fifo._main.append(old)
    young.hits = 2
    assert s3fifo.insert(another, 0.0) == [young]
    assert s3fifo.everything() == [another, old]


@pytest.mark.parametrize("how", ["get", "get_many", "get_dict", "get_call", "set_and_get", "inc", "call", "many"])
def test_what_is_asked_for_stays_while_others_come(how: str) -> None:
    cache = SimpleCache(threshold=100)
    f = cached(cache=cache)(lambda number: [number])
    hot = range(20)

    def set_and_get(number: int) -> object:
        found = cache.get(f"{number}")
        cache.set(f"{number}", [number])
        return found

    ways: dict[str, Callable[[int], object]] = {
        "get": lambda number: cache.get(f"{number}"),
        "get_many": lambda number: cache.get_many(f"{number}")[0],
        "get_dict": lambda number: cache.get_dict(f"{number}")[f"{number}"],
        "get_call": lambda number: cache.get(f.key(number)),
        "set_and_get": set_and_get,
        "inc": lambda number: cache.inc(f"{number}", 0) or None,
        "call": f,
        "many": lambda number: f.many([(number,)])[0],
    }
    for number in hot:
        if how in {"get_call", "call", "many"}:
            f(number)
        else:
            cache.set(f"{number}", number if how == "inc" else [number])
    lost = 0
    for turn in range(2000):
        number = turn % len(hot)
        found = ways[how](number)
        lost += found not in ([number], number or None)
        cache.set(f"other {turn}", turn)
    assert (lost, f.info().misses) == (0, len(hot) if how in {"get_call", "call", "many"} else 0)
    assert f.info().hits == (2000 if how in {"call", "many"} else 0)


@pytest.mark.parametrize("how", ["has", "peek"])
def test_what_is_only_looked_at_leaves(how: str) -> None:
    cache = SimpleCache(threshold=100)
    f = cached(cache=cache)(lambda number: [number])
    for number in range(20):
        f(number)
    ways: dict[str, Callable[[int], object]] = {"has": lambda number: cache.has(f.key(number)), "peek": f.peek}
    for turn in range(2000):
        ways[how](turn % 20)
        cache.set(f"other {turn}", turn)
        assert [cache.get(f"other {turn}") for _ in range(2)] == [turn] * 2, "which makes it one of those to keep"
    assert not any(cache.has(f.key(number)) for number in range(20))


def test_what_is_set_over_and_over_is_not_taken_for_old() -> None:
    cache = SimpleCache(threshold=100)
    for turn in range(2000):
        assert cache.inc("counter") == turn + 1
        cache.set(f"other {turn}", turn)


def test_what_is_remembered_is_bounded() -> None:
    fifo = S3Fifo(50)
    choose = random.Random(1)
    for _ in range(20_000):
        key = str(choose.randrange(200))
        found = fifo.get(key)
        if found is None:
            fifo.insert(entry(key), 0.0)
        else:
            found.hits += 1
        assert len(fifo) <= 50
        assert len(fifo._ghosts) <= 50
        assert len(fifo._ghost_order) <= 100
        assert fifo._small_ghosts == sum(moment > 0 for moment in fifo._ghosts.values())


def test_the_small_queue_grows_where_keys_come_back_to_it_and_shrinks_again() -> None:
    fifo = S3Fifo(100)
    began = fifo._small_limit
    assert began == 100 * SMALL_SHARE
    for turn in range(5000):
        ask(fifo, f"hot {turn % 50}")
        ask(fifo, f"new {turn}")
        ask(fifo, f"new {turn - 30}")  # once more, when the small queue has let it go
    grown = fifo._small_limit
    assert began < grown <= 100 * MOST_SHARE
    for turn in range(20_000):  # a loop that is too long: what comes back was in the main queue
        ask(fifo, f"loop {turn % 130}")
    assert 1 <= fifo._small_limit < grown


def ask(fifo: S3Fifo, key: object) -> bool:
    found = fifo.get(str(key))
    if found is None:
        fifo.insert(entry(key), 0.0)
        return False
    found.hits += 1
    return True


def requests(trace: str) -> list[str]:
    return lzma.decompress((TRACES / f"{trace}.txt.xz").read_bytes()).decode().split()


def hit_ratio(keys: Sequence[object], limit: int) -> float:
    fifo = S3Fifo(limit)
    return 100 * sum(ask(fifo, key) for key in keys) / len(keys)


def hit_ratio_of_lru(keys: Sequence[object], limit: int) -> float:
    kept = OrderedDict[object, None]()
    hits = 0
    for key in keys:
        if key in kept:
            hits += 1
            kept.move_to_end(key)
        else:
            kept[key] = None
            if len(kept) > limit:
                kept.popitem(last=False)
    return 100 * hits / len(keys)


@pytest.mark.parametrize(("trace", "share", "least"), [("multi1", 0.1, 50.0), ("loop", 0.3, 28.0), ("ps", 0.3, 64.0)])
def test_the_hit_ratio_on_a_real_trace(trace: str, share: float, least: float) -> None:
    keys = requests(trace)
    assert hit_ratio(keys, int(len(set(keys)) * share)) > least


def test_the_mean_over_the_small_traces() -> None:
    """Least recently used, the naive way, keeps a good deal less."""
    cases = [
        (keys, max(20, len(set(keys)) * share // 100))
        for keys in map(requests, ("cpp", "cs", "multi1", "ps"))
        for share in (2, 10, 30)
    ]
    assert fmean(hit_ratio(*case) for case in cases) > 41.0
    assert fmean(hit_ratio_of_lru(*case) for case in cases) < 29.0


@pytest.mark.parametrize("times", [1.2, 1.3, 1.7])
def test_a_loop_that_is_too_long_keeps_its_part(times: float) -> None:
    """All who come back have left the small queue, and a larger one would not have kept them: it must not grow."""
    room = 1000
    length = int(room * times)
    keys = list(range(length)) * 30
    assert hit_ratio(keys, room) > {1.2: 55.1, 1.3: 48.0, 1.7: 30.0}[times], "S3-FIFO as published: 55.1, 48.0, 31.9"
    assert hit_ratio_of_lru(keys, room) == 0


def test_to_and_fro_is_served_nearly_as_by_what_was_used_last() -> None:
    """All who were here last are asked for first."""
    keys = [*range(600), *reversed(range(600))] * 30
    lru = hit_ratio_of_lru(keys, 300)
    assert 45 < lru < 55
    assert hit_ratio(keys, 300) > 0.4 * lru


def test_who_is_asked_for_twice_within_the_room_is_found() -> None:
    """The second time they have long left a small queue of the size to begin with, and there is no third."""
    keys = [key for turn in range(20_000) for key in (turn, turn - 300) if key >= 0]
    assert hit_ratio_of_lru(keys, 1000) > 49
    assert hit_ratio(keys, 1000) > 45
