"""Invalidation (promise 4): forgetting is a fence; by function, by tag, and by the cache's own leases; on any cache."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from memocache import MISSING, uncache_tag
from memocache._entry import Entry, EntryScope
from memocache._stored_exception import StoredException, allow_exception
from memocache.backends.base import Busy, Cache, Lease, call_verb
from memocache.testing._harness import PATIENCE, Decorator, Gate, start

TAGS = ("all:contract",)


def miss(cache: Cache, key: str = "key") -> Lease:
    """Look *key* up, which must be missing and leased to nobody, and return the lease."""
    lease = call_verb(cache.look, key, TAGS, time.time(), 60)
    assert isinstance(lease, Lease)
    return lease


def claim(cache: Cache, key: str = "key") -> Lease:
    """Return the lease to replace the entry of *key*."""
    lease = call_verb(cache.claim, key, TAGS, time.time(), 60)
    assert lease is not None
    return lease


def make_entry(value: object, key: str = "key", lifetime: float = 60.0) -> Entry:
    """Return an entry like those of a cached function."""
    return Entry(key, value, time.time() + lifetime, scope=EntryScope(TAGS))


def peek_value(cache: Cache, key: str = "key", now: float | None = None) -> object:
    """Return the value of *key* that is fresh, or MISSING."""
    (entry,) = call_verb(cache.peek, (key,), (TAGS,), time.time() if now is None else now)
    return MISSING if entry is None else entry.value


VERSIONS = (None, 1, 2)
ARGUMENTS = (1, 2, 3, 4, 5)


class Versions:
    """A function of the *truth* as the releases of a program have it: with each of VERSIONS, in one *namespace*."""

    def __init__(self, cache: Cache, decorate: Decorator, namespace: str, **options: Any) -> None:
        self.namespace = namespace
        self.truth = "old"
        made = [
            decorate(cache, answer=lambda a, b: self.truth, namespace=namespace, version=version, **options)
            for version in VERSIONS
        ]
        self.functions: dict[object, Any] = {
            version: function for version, (function, _) in zip(VERSIONS, made, strict=True)
        }
        self._logs = [log for _, log in made]

    def results(self) -> list[object]:
        """Return the results of all functions for all ARGUMENTS."""
        return [function(a) for function in self.functions.values() for a in ARGUMENTS]

    @property
    def computed(self) -> int:
        """The number of computations."""
        return sum(log.count for log in self._logs)


class InvalidationTests:
    """The tests of forgetting: what was forgotten stays forgotten, whoever is still computing it."""

    # ---- calls -------------------------------------------------------------------------------------------------------

    def test_uncache_forgets_exactly_one_call(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache)
        f(1)
        f(2)
        assert f.uncache(1) is True
        assert f.uncache(1) is False
        f(1)
        f(2)
        assert calls.arguments == [(1, 2), (2, 2), (1, 2)]

    def test_uncache_all_forgets_every_call_of_the_function_only(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache)
        g, others = decorate(cache)
        for function in (f, g):
            function(1)
            function(2)
        f.uncache_all()
        for function in (f, g):
            function(1)
            function(2)
        assert (calls.count, others.count) == (4, 2)

    def test_uncache_reaches_other_processes(
        self, cache: Cache, decorate: Decorator, peer: Cache, catch_up: Callable[[], None]
    ) -> None:
        here, calls = decorate(cache, namespace="contract.shared.uncache")
        there, elsewhere = decorate(peer, namespace="contract.shared.uncache")
        here.uncache_all()
        assert here(1) == there(1) == here(1)
        assert there.uncache(1) is True
        catch_up()
        assert here(1) == here(1)
        there.uncache_all()
        catch_up()
        here(1)
        assert (calls.count, elsewhere.count) == (3, 0)

    @pytest.mark.parametrize("forget", ["uncache", "uncache_all", "delete", "clear", "put", "set"])
    @pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
    def test_a_result_from_before_is_not_stored_after(
        self, cache: Cache, decorate: Decorator, peer: Cache, forget: str, elsewhere: bool
    ) -> None:
        namespace = f"contract.fence.{forget}.{elsewhere}"
        gate = Gate(lambda a, b: "old")
        f, calls = decorate(cache, answer=gate, namespace=namespace)
        other = decorate(peer, namespace=namespace)[0] if elsewhere else f
        other.uncache_all()
        before = gate.hold(f, 1)
        expected = forget_by(forget, other)
        calls.answer = lambda a, b: "new"
        assert start(f, 1).result(PATIENCE) == expected  # it does not join the computation from before
        gate.open()
        assert before.result(PATIENCE) == "old"
        assert f(1) == call_verb(other.peek, 1) == expected

    @pytest.mark.parametrize("forget", ["uncache", "uncache_all"])
    @pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
    def test_a_result_from_before_is_not_served_after_though_nobody_asked_in_between(
        self, cache: Cache, decorate: Decorator, peer: Cache, catch_up: Callable[[], None], forget: str, elsewhere: bool
    ) -> None:
        namespace = f"contract.fence.between.{forget}.{elsewhere}"
        gate = Gate(lambda a, b: "old")
        f, calls = decorate(cache, answer=gate, namespace=namespace)
        other = decorate(peer, namespace=namespace)[0] if elsewhere else f
        other.uncache_all()
        before = gate.hold(f, 1)
        forget_by(forget, other)
        if elsewhere:
            catch_up()
        gate.open()
        assert before.result(PATIENCE) == "old"
        calls.answer = lambda a, b: "new"
        assert f(1) == f.peek(1) == call_verb(other.peek, 1) == "new"

    def test_a_refresh_from_before_is_not_stored_after(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache, answer=lambda a, b: "first")
        f(1)
        gate = Gate(lambda a, b: "old")
        calls.answer = gate
        before = gate.hold(f.refresh, 1)
        assert f(1) == "first"  # readers go on being served
        f.uncache(1)
        calls.answer = lambda a, b: "new"
        assert start(f, 1).result(PATIENCE) == "new"
        gate.open()
        assert before.result(PATIENCE) == "old"
        assert f(1) == "new"

    def test_a_result_that_was_forgotten_meanwhile_is_no_failure(self, cache: Cache, decorate: Decorator) -> None:
        gate = Gate()
        f, _ = decorate(cache, answer=gate)
        before = gate.hold(f, 1)
        assert f.uncache(1) is True  # there was a computation to make void
        gate.open()
        before.result(PATIENCE)
        info = f.info()
        assert (info.misses, info.stored, info.failures) == (1, 0, 0)
        assert f.peek(1) is MISSING

    # ---- versions ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("forgetting", VERSIONS)
    @pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
    def test_uncache_forgets_the_call_in_every_version(
        self,
        cache: Cache,
        peer: Cache,
        decorate: Decorator,
        catch_up: Callable[[], None],
        forgetting: object,
        elsewhere: bool,
    ) -> None:
        versions = Versions(cache, decorate, f"contract.versions.{forgetting}.{elsewhere}")
        other = Versions(peer, decorate, versions.namespace) if elsewhere else versions
        other.functions[None].uncache_all()
        # So many that they lie on several servers, where there are some.
        assert versions.results() == ["old"] * len(VERSIONS) * len(ARGUMENTS)
        versions.truth = other.truth = "new"
        for a in ARGUMENTS:
            assert other.functions[forgetting].uncache(a) is True
        catch_up()
        assert versions.results() == ["new"] * len(VERSIONS) * len(ARGUMENTS)
        assert [f.cache.get(f.key(1)) for f in versions.functions.values()] == ["new"] * len(VERSIONS)
        computed = versions.computed
        assert versions.results() == ["new"] * len(VERSIONS) * len(ARGUMENTS)
        assert versions.computed == computed

    @pytest.mark.parametrize(
        ("computing", "forgetting"), [(old, new) for old in VERSIONS for new in VERSIONS if old != new]
    )
    @pytest.mark.parametrize("store", ["call", "refresh"])
    @pytest.mark.parametrize("elsewhere", [False, True], ids=["here", "elsewhere"])
    def test_what_another_version_computes_is_not_served_after_uncache(
        self,
        cache: Cache,
        peer: Cache,
        decorate: Decorator,
        catch_up: Callable[[], None],
        computing: object,
        forgetting: object,
        store: str,
        elsewhere: bool,
    ) -> None:
        namespace = f"contract.versions.fence.{computing}.{forgetting}.{store}.{elsewhere}"
        gate = Gate(lambda a, b: "old")
        f, calls = decorate(cache, answer=gate, namespace=namespace, version=computing)
        g, _ = decorate(peer if elsewhere else cache, namespace=namespace, version=forgetting)
        g.uncache_all()
        before = gate.hold(f if store == "call" else f.refresh, 1)
        g.uncache(1)
        catch_up()
        calls.answer = lambda a, b: "new"
        assert start(f, 1).result(PATIENCE) == "new"  # it does not join the computation from before
        gate.open()
        assert before.result(PATIENCE) == "old"
        assert f(1) == f.peek(1) == "new"

    def test_a_version_is_stored_read_and_replaced_for_itself(self, cache: Cache, decorate: Decorator) -> None:
        versions = Versions(cache, decorate, "contract.versions.apart")
        one, two = versions.functions[1], versions.functions[2]
        one.uncache_all()
        one.put("given", 1)
        assert [one.peek(1), two.peek(1), versions.functions[None].peek(1)] == ["given", MISSING, MISSING]
        versions.truth = "refreshed"
        assert two.refresh(1) == two(1) == "refreshed"
        assert one.many([(1,), (1,)]) == ["given", "given"]
        assert len({f.key(1) for f in versions.functions.values()}) == len(VERSIONS)
        cache.delete(one.key(1))
        assert [one.peek(1), two.peek(1)] == [MISSING, "refreshed"]
        one.uncache_all()
        assert two.peek(1) is MISSING

    def test_uncache_tells_of_what_was_there_without_a_version(self, cache: Cache, decorate: Decorator) -> None:
        functions = Versions(cache, decorate, "contract.versions.told").functions
        functions[None].uncache_all()
        functions[None](1)
        assert [functions[2].uncache(1), functions[2].uncache(1)] == [True, False]

    @pytest.mark.parametrize("how", ["uncache_tag", "uncache_where"])
    def test_a_tag_forgets_calls_in_every_version(self, cache: Cache, decorate: Decorator, how: str) -> None:
        versions = Versions(cache, decorate, f"contract.versions.{how}", tags=("a:{a}",))
        versions.functions[1].uncache_all()
        versions.results()
        if how == "uncache_tag":
            uncache_tag("a:1", cache)
        else:
            versions.functions[1].uncache_where(a=1)
        assert [f.peek(1) for f in versions.functions.values()] == [MISSING] * len(VERSIONS)
        assert [f.peek(2) for f in versions.functions.values()] == ["old"] * len(VERSIONS)

    # ---- tags --------------------------------------------------------------------------------------------------------

    def test_a_tag_forgets_the_calls_that_have_it(self, cache: Cache, decorate: Decorator) -> None:
        f, calls = decorate(cache, tags=("a:{a}", "b:{b}"))
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
        self, cache: Cache, peer: Cache, decorate: Decorator, catch_up: Callable[[], None]
    ) -> None:
        f, calls = decorate(cache, tags=("tenant:{a}",))
        g, others = decorate(peer, tags=("tenant:{b}", "everything"))
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

    def test_a_tag_holds_for_every_way_of_storing(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache, tags=("a:{a}",))
        for store in (f, f.refresh, lambda a: f.put("given", a), lambda a: f.many([(a,)])):
            store(1)
            assert f.peek(1) is not MISSING
            assert cache.get(f.key(1)) is not None
            uncache_tag("a:1", cache)
            assert f.peek(1) is MISSING
            assert cache.get(f.key(1)) is None

    def test_uncache_where_forgets_the_calls_with_these_arguments(self, cache: Cache, decorate: Decorator) -> None:
        f, _ = decorate(cache, tags=("a:{a}", "both:{a}:{b}"))
        for a, b in ((1, 1), (1, 2), (2, 2)):
            f(a, b)
        f.uncache_where(b=2, a=1)
        assert [f.peek(1, 1), f.peek(1, 2), f.peek(2, 2)] == [(1, 1), MISSING, (2, 2)]
        f.uncache_where(a=1)
        assert [f.peek(1, 1), f.peek(2, 2)] == [MISSING, (2, 2)]
        f.uncache_all()
        assert f.peek(2, 2) is MISSING

    @pytest.mark.parametrize("how", ["uncache_tag", "uncache_where", "uncache"])
    def test_forgetting_by_tag_is_a_fence(self, cache: Cache, peer: Cache, decorate: Decorator, how: str) -> None:
        gate = Gate(lambda a, b: "old")
        options: dict[str, Any] = {"namespace": f"contract.shared.tags.{how}", "tags": ("a:{a}",)}
        f, calls = decorate(cache, answer=gate, **options)
        other, _ = decorate(peer, **options)
        other.uncache_all()
        before = gate.hold(f, 1)
        ways: dict[str, Callable[[], object]] = {
            "uncache_tag": lambda: uncache_tag("a:1", peer),
            "uncache_where": lambda: other.uncache_where(a=1),
            "uncache": lambda: other.uncache(1),
        }
        ways[how]()
        calls.answer = lambda a, b: "new"
        assert start(f, 1).result(PATIENCE) == "new"
        gate.open()
        assert before.result(PATIENCE) == "old"
        assert f(1) == call_verb(other.peek, 1) == "new"

    def test_a_result_that_has_other_tags_is_none_of_these(self, cache: Cache, decorate: Decorator) -> None:
        one, _ = decorate(cache, answer=lambda a, b: "one", namespace="contract.tags", tags=("a:{a}",))
        two, _ = decorate(cache, answer=lambda a, b: "two", namespace="contract.tags", tags=("b:{b}",))
        one.uncache_all()
        assert [one(1), two(1)] == ["one", "two"]
        uncache_tag("b:2", cache)
        assert two.peek(1) is MISSING

    @pytest.mark.parametrize("options", [{"ignore": ("b",)}, {"key": "{a}"}], ids=["ignore", "key"])
    def test_a_call_is_not_served_what_has_another_tag(
        self, cache: Cache, decorate: Decorator, options: dict[str, Any]
    ) -> None:
        f, calls = decorate(cache, tags=("b:{b}",), **options)
        assert f(1, 1) == f(1, 1) == (1, 1)
        # Though both have one key: a forgetting of b:2 would leave the first result there.
        assert f(1, 2) == f(1, 2) == (1, 2)
        uncache_tag("b:2", cache)
        assert f(1, 2) == (1, 2)
        assert calls.count == 3

    @pytest.mark.parametrize("options", [{"ignore": ("b",)}, {"key": "{a}"}], ids=["ignore", "key"])
    def test_a_call_is_not_served_what_one_of_another_tag_is_computing(
        self, cache: Cache, decorate: Decorator, options: dict[str, Any]
    ) -> None:
        gate = Gate(lambda a, b: "old")
        f, calls = decorate(cache, answer=gate, tags=("b:{b}",), wait=2 * PATIENCE, **options)
        before = gate.hold(f, 1, 1)
        uncache_tag("b:2", cache)
        calls.answer = lambda a, b: "new"
        assert start(f, 1, 2).result(PATIENCE) == "new"
        gate.open()
        assert before.result(PATIENCE) == "old"
        assert f(1, 2) == "new"

    def test_the_verbs_know_tags_by_key(self, cache: Cache) -> None:
        moment = time.time()
        for key, tags in (("x", ("all:1", "tag:1")), ("y", ("all:1", "tag:2"))):
            lease = call_verb(cache.look, key, tags, moment, 60)
            assert isinstance(lease, Lease)
            assert call_verb(cache.fill, lease, Entry(key, key, moment + 60, scope=EntryScope(tags)))
        both = (("all:1", "tag:1"), ("all:1", "tag:2"))
        assert [each and each.value for each in call_verb(cache.peek, ("x", "y"), both, moment)] == ["x", "y"]
        assert call_verb(cache.peek, ("x", "y"), both[::-1], moment) == [None, None]
        call_verb(cache.forget_tag, "tag:2")
        assert [each and each.value for each in call_verb(cache.peek, ("x", "y"), both, moment)] == ["x", None]

    # ---- leases ------------------------------------------------------------------------------------------------------

    def test_a_miss_is_a_lease_and_then_busy(self, cache: Cache, peer: Cache) -> None:
        lease = miss(cache)
        busy = call_verb(cache.look, "key", TAGS, time.time(), 60)
        assert isinstance(busy, Busy)
        assert busy.flight is lease.flight
        assert isinstance(call_verb(peer.look, "key", TAGS, time.time(), 60), Busy)
        assert call_verb(cache.fill, lease, make_entry("value")) is True
        for each in (cache, peer):
            hit = call_verb(each.look, "key", TAGS, time.time(), 60)
            assert isinstance(hit, Entry)
            assert (hit.key, hit.value) == ("key", "value")

    def test_a_lease_fills_once(self, cache: Cache) -> None:
        lease = miss(cache)
        assert call_verb(cache.fill, lease, make_entry("value")) is True
        assert call_verb(cache.fill, lease, make_entry("again")) is False
        assert peek_value(cache) == "value"

    def test_a_lease_can_be_given_back(self, cache: Cache, peer: Cache) -> None:
        assert call_verb(cache.fill, miss(cache), None) is True
        assert call_verb(cache.fill, miss(peer), make_entry("value")) is True
        assert peek_value(cache) == "value"

    def test_a_lease_runs_out(self, cache: Cache, peer: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        lease = miss(cache)
        late = time.time() + 61
        monkeypatch.setattr("memocache._flight.ticks", lambda: late)
        newer = call_verb(peer.look, "key", TAGS, late, 60)
        assert isinstance(newer, Lease)
        assert call_verb(cache.fill, lease, make_entry("old")) is False
        assert call_verb(peer.fill, newer, make_entry("new", lifetime=100)) is True
        assert peek_value(cache, now=late) == "new"

    @pytest.mark.parametrize("how", ["forget", "forget_tag"])
    def test_forgetting_voids_the_lease(self, cache: Cache, peer: Cache, how: str) -> None:
        lease = miss(cache)
        call_verb(getattr(peer, how), "key" if how == "forget" else TAGS[0])
        assert call_verb(cache.fill, lease, make_entry("old")) is False or peek_value(cache) is MISSING
        assert peek_value(cache) is MISSING
        newer = miss(peer)
        assert call_verb(peer.fill, newer, make_entry("new")) is True
        assert peek_value(cache) == "new"

    def test_forgetting_voids_the_lease_also_when_another_has_taken_one(self, cache: Cache, peer: Cache) -> None:
        lease = miss(cache)
        call_verb(peer.forget, "key")
        newer = miss(peer)
        assert call_verb(cache.fill, lease, make_entry("old")) is False
        assert call_verb(peer.fill, newer, make_entry("new")) is True
        assert peek_value(cache) == "new"

    def test_claiming_leaves_the_entry_and_voids_the_lease(
        self, cache: Cache, peer: Cache, catch_up: Callable[[], None]
    ) -> None:
        lease = miss(cache)
        newer = claim(peer)
        assert call_verb(cache.fill, lease, make_entry("old")) is False
        assert call_verb(peer.fill, newer, make_entry("first")) is True
        newer = claim(cache)
        assert peek_value(peer) == "first"
        assert call_verb(cache.fill, newer, make_entry("second")) is True
        assert peek_value(cache) == "second"
        catch_up()
        assert peek_value(peer) == "second"

    def test_claiming_leaves_a_remembered_exception(self, cache: Cache, peer: Cache) -> None:
        failure = StoredException.of(LookupError("nobody"))
        allow_exception(LookupError)
        call_verb(cache.fill, miss(cache), make_entry(failure))
        newer = claim(peer)
        found = peek_value(cache)
        assert isinstance(found, StoredException)
        assert repr(found.rebuild()) == "LookupError('nobody')"
        assert call_verb(peer.fill, newer, make_entry("found")) is True
        assert peek_value(peer) == "found"

    def test_a_remembered_exception_that_anybody_may_have_written_runs_no_code_of_its_type(self, cache: Cache) -> None:
        ran = []

        class Acting(LookupError):
            def __init__(self, what: str) -> None:
                ran.append(what)

        allow_exception(LookupError)
        failure = StoredException.of(Acting("remove it"))
        ran.clear()
        call_verb(cache.fill, miss(cache), make_entry(failure))
        found = peek_value(cache)
        assert isinstance(found, StoredException)
        assert found.rebuild().args == ("remove it",)
        assert ran == []

    def test_what_was_claimed_is_void_after_forgetting(self, cache: Cache, peer: Cache) -> None:
        call_verb(cache.fill, miss(cache), make_entry("first"))
        newer = claim(cache)
        assert call_verb(peer.forget, "key") is True
        assert call_verb(cache.fill, newer, make_entry("old")) is False
        assert peek_value(cache) is MISSING

    def test_forget_says_whether_there_was_something(self, cache: Cache) -> None:
        assert call_verb(cache.forget, "key") is False
        lease = miss(cache)
        assert call_verb(cache.forget, "key") is True
        assert lease.flight is not None
        call_verb(cache.fill, miss(cache), make_entry("value"))
        assert call_verb(cache.forget, "key") is True
        assert call_verb(cache.forget, "key") is False

    def test_peek_takes_no_lease(self, cache: Cache) -> None:
        assert peek_value(cache) is MISSING
        miss(cache)

    def test_peek_sees_many(self, cache: Cache) -> None:
        for key in ("a", "b"):
            call_verb(cache.fill, miss(cache, key), make_entry(key.upper(), key))
        found = call_verb(cache.peek, ("a", "nothing", "b"), (TAGS,) * 3, time.time())
        assert [each and (each.key, each.value) for each in found] == [("a", "A"), None, ("b", "B")]

    def test_an_entry_that_ran_out_is_gone(self, cache: Cache) -> None:
        call_verb(cache.fill, miss(cache), make_entry("value", lifetime=60))
        assert isinstance(call_verb(cache.look, "key", TAGS, time.time() + 61, 60), Lease)


def forget_by(how: str, f: Any) -> str:
    """Forget `f(1)` in one of the ways, and return the result of the next call."""
    ways = {
        "uncache": lambda: f.uncache(1),
        "uncache_all": f.uncache_all,
        "delete": lambda: f.cache.delete(f.key(1)),
        "clear": f.cache.clear,
        "put": lambda: f.put("given", 1),
        "set": lambda: f.cache.set(f.key(1), "given"),  # no result of the function's: `put` would make it one
    }
    assert ways[how]() in (True, None)
    return "given" if how == "put" else "new"
