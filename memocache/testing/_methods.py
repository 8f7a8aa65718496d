"""The methods that a user calls: get, set and the rest, as in werkzeug.contrib.cache and cachelib."""

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

import pytest
from freezegun import freeze_time

from memocache.backends.base import Cache

__all__ = ["MethodTests"]

ODD_KEYS = ["", " ", "a b", "a\r\nflush_all\r\n", "\x00", "schlüssel", "\udc80", "k" * 251, "k" * 100_000, "#" * 41]


class MethodTests:
    """What a user calls on a cache object."""

    counts_across_processes: ClassVar[bool]

    def test_get_gives_what_was_set(self, cache: Cache) -> None:
        assert cache.set("key", {"a": [1, 2]}) is True
        assert cache.get("key") == {"a": [1, 2]}

    def test_get_gives_none_for_nothing(self, cache: Cache) -> None:
        assert cache.get("nothing") is None

    @pytest.mark.parametrize("value", [None, False, 0, "", (), -1, 1 << 80, 0.5, b"\x00\xff", (1, "x")])
    def test_every_value_comes_back_in_its_type(self, cache: Cache, value: object) -> None:
        cache.set("key", value)
        got = cache.get("key")
        assert got == value
        assert type(got) is type(value)

    def test_has_tells_none_from_nothing(self, cache: Cache) -> None:
        cache.set("key", None)
        assert cache.has("key") is True
        assert cache.has("nothing") is False

    def test_set_replaces(self, cache: Cache) -> None:
        cache.set("key", 1)
        cache.set("key", 2)
        assert cache.get("key") == 2

    def test_add_stores_only_where_there_is_nothing(self, cache: Cache) -> None:
        assert cache.add("key", 1) is True
        assert cache.add("key", 2) is False
        assert cache.get("key") == 1

    def test_add_stores_where_a_value_has_expired(self, cache: Cache) -> None:
        with freeze_time("2030-01-01") as clock:
            cache.set("key", 1, timeout=10)
            clock.tick(timedelta(seconds=11))
            assert cache.add("key", 2) is True
            assert cache.get("key") == 2

    def test_delete_says_whether_there_was_something(self, cache: Cache) -> None:
        cache.set("key", 1)
        assert cache.delete("key") is True
        assert cache.delete("key") is False
        assert cache.get("key") is None

    def test_clear_deletes_everything(self, cache: Cache) -> None:
        cache.set_many({"a": 1, "b": 2})
        assert cache.clear() is True
        assert cache.get_many("a", "b") == [None, None]

    def test_many_at_once(self, cache: Cache) -> None:
        assert sorted(cache.set_many({"a": 1, "b": None})) == ["a", "b"]
        assert cache.get_many("b", "nothing", "a") == [None, None, 1]
        assert cache.get_dict("a", "nothing") == {"a": 1, "nothing": None}
        assert cache.delete_many("a", "nothing") == ["a"]
        assert cache.get("a") is None

    def test_a_key_asked_for_twice_comes_twice(self, cache: Cache) -> None:
        cache.set("a", 1)
        assert cache.get_many("a", "a") == [1, 1]

    def test_a_timeout_ends_a_value(self, cache: Cache) -> None:
        with freeze_time("2030-01-01") as clock:
            cache.set("key", 1, timeout=10)
            clock.tick(timedelta(seconds=9.9))
            assert cache.get("key") == 1
            clock.tick(timedelta(seconds=0.1))
            assert cache.get("key") is None
            assert cache.has("key") is False

    def test_a_timeout_of_none_is_the_default(self, cache: Cache) -> None:
        with freeze_time("2030-01-01") as clock:
            cache.set("key", 1)
            clock.tick(timedelta(seconds=299))
            assert cache.get("key") == 1
            clock.tick(timedelta(seconds=1))
            assert cache.get("key") is None

    def test_a_timeout_of_0_is_for_ever(self, cache: Cache) -> None:
        with freeze_time("2030-01-01") as clock:
            cache.set("key", 1, timeout=0)
            clock.tick(timedelta(days=3650))
            assert cache.get("key") == 1

    def test_a_timeout_below_0_stores_nothing_and_leaves_nothing(self, cache: Cache) -> None:
        cache.set("key", 1)
        assert cache.set("key", 2, timeout=-1) is False
        assert cache.get("key") is None

    def test_a_timeout_may_be_longer_than_30_days(self, cache: Cache) -> None:
        with freeze_time("2030-01-01") as clock:
            cache.set("key", 1, timeout=40 * 86400)
            clock.tick(timedelta(days=39))
            assert cache.get("key") == 1
            clock.tick(timedelta(days=2))
            assert cache.get("key") is None

    def test_inc_and_dec_count_from_0(self, cache: Cache) -> None:
        assert cache.inc("a") == 1
        assert cache.inc("a", 5) == 6
        assert cache.dec("a", 10) == -4
        assert cache.dec("b") == -1
        assert cache.get("a") == -4

    def test_inc_goes_beyond_64_bits(self, cache: Cache) -> None:
        cache.set("a", 1 << 64)
        assert cache.inc("a") == (1 << 64) + 1

    def test_inc_keeps_the_time_of_expiry(self, cache: Cache) -> None:
        with freeze_time("2030-01-01") as clock:
            cache.set("a", 1, timeout=10)
            clock.tick(timedelta(seconds=9))
            assert cache.inc("a") == 2
            clock.tick(timedelta(seconds=1))
            assert cache.get("a") is None

    @pytest.mark.parametrize("value", ["1", None, 1.5, True])
    def test_inc_refuses_what_is_no_int(self, cache: Cache, value: object) -> None:
        cache.set("a", value)
        with pytest.raises(TypeError, match=f"'a' holds a {type(value).__name__}; inc and dec need an int"):
            cache.inc("a")

    def test_inc_is_atomic(self, cache: Cache, peer: Cache) -> None:
        def count(counter: Cache) -> None:
            for _ in range(50):
                counter.inc("a")

        other = peer if self.counts_across_processes else cache
        threads = [threading.Thread(target=count, args=(each,)) for each in (cache, other, cache, other)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert cache.get("a") == 200

    @pytest.mark.parametrize("key", ODD_KEYS, ids=lambda key: ascii(key[:12]))
    def test_any_text_is_a_key(self, cache: Cache, key: str) -> None:
        cache.set("canary", "alive")
        cache.set(key, "odd")
        assert cache.get(key) == "odd"
        assert cache.get_many(key, "canary") == ["odd", "alive"]
        assert cache.delete(key) is True
        assert cache.get(key) is None
        assert cache.get("canary") == "alive"

    def test_odd_keys_are_all_different(self, cache: Cache) -> None:
        for number, key in enumerate(ODD_KEYS):
            cache.set(key, number)
        assert cache.get_many(*ODD_KEYS) == list(range(len(ODD_KEYS)))

    def test_the_default_timeout_is_known(self, cache: Cache) -> None:
        assert cache.default_timeout == 300

    def test_another_process_sees_what_was_set(self, cache: Cache, peer: Cache, catch_up: Callable[[], None]) -> None:
        cache.set("key", (1, "x"))
        assert cache.get("key") == peer.get("key") == (1, "x")
        peer.set("key", 2)
        catch_up()
        assert cache.get("key") == peer.get("key") == 2
        peer.delete("key")
        catch_up()
        assert cache.get("key") is None
