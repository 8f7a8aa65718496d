"""Groups of calls: tags=, uncache_tag, uncache_where; and many calls at once; on any cache."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from memocache import MISSING, uncache_tag
from memocache._entry import Entry, Origin
from memocache.backends.base import Cache, Lease
from memocache.testing._counted import Counted
from memocache.testing._flights import Held
from memocache.testing._threads import PATIENCE, started

__all__ = ["GroupTests"]


class GroupTests:
    """What is forgotten, or asked for, together."""

    # ---- tags ------------------------------------------------------------------------------------------------------

    def test_a_tag_forgets_the_calls_that_have_it(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache, tags=("a:{a}", "b:{b}"))
        for a, b in ((1, 1), (1, 2), (2, 2)):
            f(a, b)
        uncache_tag("a:1", cache)
        assert [f.peek(1, 1), f.peek(1, 2), f.peek(2, 2)] == [MISSING, MISSING, (2, 2)]
        f(1, 2)
        uncache_tag("b:2", cache)
        assert [f.peek(1, 2), f.peek(2, 2)] == [MISSING, MISSING]
        assert f(1, 2) == (1, 2)
        assert calls.count == 5

    def test_a_tag_reaches_other_functions_and_processes(
        self, cache: Cache, peer: Cache, counted: Counted, catch_up: Callable[[], None]
    ) -> None:
        f, calls = counted(cache, tags=("tenant:{a}",))
        g, others = counted(peer, tags=("tenant:{b}", "everything"))
        f(7)
        g(1, 7)
        g(1, 8)
        uncache_tag("tenant:7", peer)
        catch_up()
        f(7)
        g(1, 7)
        g(1, 8)
        assert (calls.count, others.count) == (2, 3)
        uncache_tag("everything", cache)
        catch_up()
        assert g.peek(1, 8) is g.peek(1, 7) is MISSING
        assert f.peek(7) == (7, 2)

    def test_a_tag_holds_for_every_way_of_storing(self, cache: Cache, counted: Counted) -> None:
        f, _ = counted(cache, tags=("a:{a}",))
        for store in (f, f.refresh, lambda a: f.put("given", a), lambda a: f.many([(a,)])):
            store(1)
            assert f.peek(1) is not MISSING
            assert cache.get(f.key(1)) is not None
            uncache_tag("a:1", cache)
            assert f.peek(1) is MISSING
            assert cache.get(f.key(1)) is None

    def test_uncache_where_forgets_the_calls_with_these_arguments(self, cache: Cache, counted: Counted) -> None:
        f, _ = counted(cache, tags=("a:{a}", "both:{a}:{b}"))
        for a, b in ((1, 1), (1, 2), (2, 2)):
            f(a, b)
        f.uncache_where(b=2, a=1)
        assert [f.peek(1, 1), f.peek(1, 2), f.peek(2, 2)] == [(1, 1), MISSING, (2, 2)]
        f.uncache_where(a=1)
        assert [f.peek(1, 1), f.peek(2, 2)] == [MISSING, (2, 2)]
        f.uncache_all()
        assert f.peek(2, 2) is MISSING

    @pytest.mark.parametrize("how", ["uncache_tag", "uncache_where", "uncache"])
    def test_forgetting_by_tag_is_a_fence(self, cache: Cache, peer: Cache, counted: Counted, how: str) -> None:
        held = Held(lambda a, b: "old")
        options: dict[str, Any] = {"namespace": f"contract.shared.tags.{how}", "tags": ("a:{a}",)}
        f, calls = counted(cache, answer=held, **options)
        other, _ = counted(peer, **options)
        other.uncache_all()
        before = started(f, 1)
        assert held.entered.wait(PATIENCE)
        if how == "uncache_tag":
            uncache_tag("a:1", peer)
        elif how == "uncache_where":
            other.uncache_where(a=1)
        else:
            other.uncache(1)
        calls.answer = lambda a, b: "new"
        assert started(f, 1).result(PATIENCE) == "new"
        held.go.set()
        assert before.result(PATIENCE) == "old"
        assert f(1) == other.peek(1) == "new"

    def test_a_result_of_other_groups_is_none_of_these(self, cache: Cache, counted: Counted) -> None:
        one, _ = counted(cache, answer=lambda a, b: "one", namespace="contract.groups", tags=("a:{a}",))
        two, _ = counted(cache, answer=lambda a, b: "two", namespace="contract.groups", tags=("b:{b}",))
        one.uncache_all()
        assert [one(1), two(1)] == ["one", "two"]
        uncache_tag("b:2", cache)
        assert two.peek(1) is MISSING

    @pytest.mark.parametrize("options", [{"ignore": ("b",)}, {"key": "{a}"}], ids=["ignore", "key"])
    def test_a_call_is_not_served_what_has_another_tag(
        self, cache: Cache, counted: Counted, options: dict[str, Any]
    ) -> None:
        f, calls = counted(cache, tags=("b:{b}",), **options)
        assert f(1, 1) == f(1, 1) == (1, 1)
        # Though both have one key: a forgetting of b:2 would leave the first result there.
        assert f(1, 2) == f(1, 2) == (1, 2)
        uncache_tag("b:2", cache)
        assert f(1, 2) == (1, 2)
        assert calls.count == 3

    def test_the_verbs_know_groups_by_key(self, cache: Cache) -> None:
        moment = time.time()
        for key, groups in (("x", ("all:1", "tag:1")), ("y", ("all:1", "tag:2"))):
            lease = cache.look(key, groups, moment, 60)
            assert isinstance(lease, Lease)
            assert cache.fill(lease, Entry(key, key, moment + 60, origin=Origin(groups)))
        both = (("all:1", "tag:1"), ("all:1", "tag:2"))
        assert [each and each.value for each in cache.peek(("x", "y"), both, moment)] == ["x", "y"]
        assert cache.peek(("x", "y"), both[::-1], moment) == [None, None]
        cache.forget_group("tag:2")
        assert [each and each.value for each in cache.peek(("x", "y"), both, moment)] == ["x", None]

    # ---- many ------------------------------------------------------------------------------------------------------

    def test_many_computes_what_is_missing(self, cache: Cache, counted: Counted) -> None:
        f, calls = counted(cache)
        f(1)
        f(3, 4)
        assert f.many([(1,), (2,), (3, 4), {"b": 4, "a": 3}, (2,)]) == [(1, 2), (2, 2), (3, 4), (3, 4), (2, 2)]
        assert sorted(calls.seen) == [(1, 2), (2, 2), (3, 4)]
        info = f.info()
        assert (info.misses, info.stored) == (3, 3)
        assert info.hits + info.waits == 4
        assert f.many([]) == []
        assert [f.peek(2), f(2)] == [(2, 2), (2, 2)]

    def test_many_takes_any_iterable_of_calls(self, cache: Cache, counted: Counted) -> None:
        f, _ = counted(cache)
        assert f.many((number,) for number in range(3)) == [(0, 2), (1, 2), (2, 2)]

    @pytest.mark.parametrize("junk", [7, "ab", [1, 2]])
    def test_many_says_how_a_call_is_spelt(self, cache: Cache, counted: Counted, junk: Any) -> None:
        f, calls = counted(cache)
        with pytest.raises(TypeError) as refused:
            f.many([(1,), junk])
        assert str(refused.value) == (
            f"many() got {junk!r}, a {type(junk).__name__}; "
            f"wanted: calls, each a tuple of arguments, such as ({junk!r},), or a dict of named ones"
        )
        assert calls.count == 0

    def test_the_first_call_that_fails_raises_and_the_others_stay_stored(self, cache: Cache, counted: Counted) -> None:
        f, _ = counted(cache, answer=lambda a, b: 1 / a if a < 3 else a.missing)
        with pytest.raises(ZeroDivisionError):
            f.many([(1,), (0,), (3,)])
        assert f.peek(1) == 1.0

    def test_many_joins_what_is_being_computed(self, cache: Cache, counted: Counted) -> None:
        held = Held()
        f, calls = counted(cache, answer=held)
        leader = started(f, 1)
        assert held.entered.wait(PATIENCE)
        waiter = started(f.many, [(1,)])
        held.go.set()
        assert [leader.result(PATIENCE), waiter.result(PATIENCE)] == [(1, 2), [(1, 2)]]
        assert calls.count == 1
