"""Which entries a tag has, in the cache in process: their keys, some of which may have left."""

import random
import sys

import pytest

from memocache import SimpleCache, cached
from memocache._entry import Entry, EntryScope
from memocache.backends import simple
from memocache.backends._s3fifo import S3Fifo
from memocache.backends.simple import TaggedEntries

BOTH = EntryScope(("all", "even"))
ODD = EntryScope(("all",))


class World:
    """A queue and its tags, used as the cache uses them; and plain sets beside them."""

    def __init__(self, limit: int) -> None:
        self.queue = S3Fifo(limit)
        self.tagged = TaggedEntries(self.queue)
        self.known: dict[str, Entry] = {}

    def store(self, number: int) -> None:
        entry = Entry(str(number), number, 100.0, scope=ODD if number % 2 else BOTH)
        self.drop(number)
        assert entry.scope is not None
        self.tagged.join(entry.key, entry.scope.tags)
        for gone in self.queue.insert(entry, 0.0):
            del self.known[gone.key]
            assert gone.scope is not None
            self.tagged.part(gone.scope.tags)
        self.known[entry.key] = entry

    def drop(self, number: int) -> None:
        entry = self.known.pop(str(number), None)
        if entry is not None and entry.scope is not None:
            assert self.queue.drop(entry) == [entry]
            self.tagged.part(entry.scope.tags)

    def check(self) -> None:
        for tag in ("all", "even", "none"):
            members = self.tagged.members(tag)
            assert len(members) == len(set(members))
            assert set(members) == {each for each in self.known.values() if each.scope and tag in each.scope.tags}


@pytest.mark.parametrize("limit", [1, 2, 10, 100])
@pytest.mark.parametrize("most_gaps", [0, simple.MOST_GAPS])
def test_a_tag_has_the_entries_that_a_set_would_have(
    limit: int, most_gaps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simple, "MOST_GAPS", most_gaps)
    world, luck = World(limit), random.Random(limit)
    for _ in range(3000):
        number = luck.randrange(2 * limit + 2)
        (world.store if luck.random() < 0.7 else world.drop)(number)
        world.check()
    for number in range(2 * limit + 2):
        world.drop(number)
    world.check()
    assert len(world.tagged) == 0


@pytest.mark.parametrize("limit", [10, 1000])
def test_what_has_left_takes_little_room(limit: int) -> None:
    world = World(limit)
    for number in range(20 * limit):
        world.store(number)
    assert len(world.tagged._keys["all"]) <= 2 * limit + simple.MOST_GAPS
    for number in range(20 * limit):
        world.drop(number)
    assert len(world.tagged) == 0


class Meanwhile(S3Fifo):
    """A queue in which a handler uses the cache before an entry is put in, so that gaps are closed."""

    cache: SimpleCache
    calls = 0

    def insert(self, entry: Entry, now: float, *, to_main: bool = False) -> list[Entry]:
        if entry.value == "interrupted" and not self.calls:
            self.calls += 1
            f = cached(cache=self.cache, namespace="f")(lambda number: number)
            for number in range(100):
                f(number)
                f.uncache(number)
        return super().insert(entry, now, to_main=to_main)


def test_an_entry_is_in_its_tags_though_gaps_were_closed_before_it_was_put_in() -> None:
    cache = SimpleCache()
    queue = Meanwhile(500)
    queue.cache = cache
    cache._queue, cache._tagged = queue, TaggedEntries(queue)
    answers = ["interrupted", "new"]
    f = cached(cache=cache, namespace="f")(lambda text: answers.pop(0))
    assert f("a") == f("a") == "interrupted"
    assert queue.calls == 1
    assert cache._tagged.closings > 0
    f.uncache_all()
    assert f("a") == "new"


def test_an_entry_takes_a_few_bytes_in_a_tag() -> None:
    world = World(10_000)
    for number in range(10_000):
        world.store(2 * number)
    assert sys.getsizeof(world.tagged._keys["all"]) < 10 * 10_000
