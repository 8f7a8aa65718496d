"""Near tiers that tell each other what was forgotten, through a far cache that can publish."""

import gc
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from freezegun import freeze_time

from memocache import BackendUnavailable, SimpleCache, TieredCache
from tests.support.servers import MemcachedServer
from tests.support.tiers import FORGETTINGS, NEAR, Watched, World, change


class Publishing(Watched):
    """A far cache that publishes: within this process, at once, and what it has been told to."""

    listening: ClassVar[list[Callable[[str | None], object]]] = []
    announced: ClassVar[list[str]] = []
    works: ClassVar[bool] = True
    can_send = True

    def receive(self, heard: Callable[[str | None], object]) -> None:
        self.listening.append(heard)

    def send(self, text: str) -> None:
        if not self.works:
            raise BackendUnavailable("nobody is told anything")
        self.announced.append(text)
        self.tell(text)

    def tell(self, text: str | None) -> None:
        for heard in self.listening:
            heard(text)


@pytest.fixture
def world(memcached: MemcachedServer, prefix: str) -> Iterator[World]:
    yield World(memcached.address, prefix=prefix, kind=Publishing, unless=lambda result: result is None)
    Publishing.listening.clear()
    Publishing.announced.clear()
    Publishing.works = True


@pytest.mark.parametrize("forget", FORGETTINGS)
def test_the_others_forget_at_once(world: World, forget: str) -> None:
    world.near()
    world.truth = 2
    change(world.g, forget, world.truth)
    assert world.f(1) == [1, 2]


@pytest.mark.parametrize("forgetting", [None, 2])
def test_the_others_forget_what_another_version_has_forgotten(world: World, forgetting: int | None) -> None:
    f = world.on(world.cache, version=1)
    value = f(1)
    value = f(1)
    assert f(1) is value  # it is near
    world.truth = 2
    world.on(world.elsewhere, version=forgetting).uncache(1)
    assert f(1) == [1, 2]


def test_what_is_computed_is_not_told(world: World) -> None:
    world.near()
    world.cache.get("key")
    assert Publishing.announced == []


def test_ones_own_words_are_not_heard(world: World) -> None:
    world.near()
    world.f.uncache(1)
    value = world.near()
    world.far.tell(Publishing.announced[-1])  # it comes late
    assert world.f(1) is value


def test_where_words_may_have_been_lost_everything_is_forgotten(world: World) -> None:
    value = world.near()
    world.far.tell(None)
    assert world.f(1) == value
    assert world.f(1) is not value


@pytest.mark.parametrize(
    "junk", ["", " ", "key", "somebody", "somebody key", "somebody else 1", "somebody group all:x"]
)
def test_junk_changes_nothing(world: World, junk: str) -> None:
    value = world.near()
    world.far.tell(junk)
    assert world.f(1) is value


def test_what_could_not_be_told_is_forgotten_all_the_same(world: World) -> None:
    with freeze_time("2030-01-01") as clock:
        world.near()
        Publishing.works = False
        world.truth = 2
        assert world.g.uncache(1) is True
        assert world.g(1) == [1, 2]
        assert world.f(1) == [1, 1]
        clock.tick(timedelta(seconds=NEAR))
        assert world.f(1) == [1, 2]


def test_a_forked_process_is_another_one(world: World) -> None:
    world.near()
    world.f.uncache(2)
    of_the_parent = Publishing.announced[-1].replace(world.f.key(2), world.f.key(1))
    value = world.f(1)
    world.cache.after_fork()
    world.far.tell(of_the_parent)
    assert world.f(1) is not value


def test_a_tier_is_not_kept_alive_by_listening(world: World) -> None:
    near = SimpleCache()
    tier: Any = TieredCache(near, world.far)
    near.set("key", 1)
    del tier
    gc.collect()
    world.far.tell(None)
    assert near.get("key") == 1
