"""The plugin of pytest, in sessions of pytest's own; and the two assertions."""

import asyncio
import functools
import threading

import pytest

from memocache import ConfigurationError, cached, disabled
from memocache.testing import assert_cached, assert_computed

SHOP = """
from memocache import SimpleCache, cached, default_cache

own = SimpleCache()

@cached
def price(name):
    computed.append(name)
    return name

@cached(cache=own)
def colour(name):
    computed.append(name)
    return name

computed = []
"""

LEAKY = """
import pytest
from shop import colour, computed, price

@pytest.mark.parametrize("round", [1, 2])
def test_each_starts_with_nothing(round):
    computed.clear()
    assert price("tea") == colour("tea") == price("tea") == colour("tea") == "tea"
    assert computed == ["tea", "tea"]
    for function in price, colour:
        info = function.info()
        assert (info.misses, info.hits, info.stored, info.currsize) == (1, 1, 1, 1)
"""


@pytest.fixture
def shop(pytester: pytest.Pytester) -> pytest.Pytester:
    pytester.makepyfile(shop=SHOP)
    return pytester


def outcome(pytester: pytest.Pytester, *options: str) -> dict[str, int]:
    return pytester.runpytest_subprocess(*options).parseoutcomes()


def test_without_the_fixture_tests_share_what_is_cached(shop: pytest.Pytester) -> None:
    """The negative control."""
    shop.makepyfile(test_leaky=LEAKY)
    assert outcome(shop) == {"passed": 1, "failed": 1}


def test_the_fixture_isolates_a_test(shop: pytest.Pytester) -> None:
    shop.makepyfile(test_leaky=LEAKY.replace("@pytest", '@pytest.mark.usefixtures("memocache_isolated")\n@pytest'))
    assert outcome(shop) == {"passed": 2}


def test_the_ini_option_isolates_all_tests(shop: pytest.Pytester) -> None:
    shop.makepyfile(test_leaky=LEAKY)
    shop.makeini("[pytest]\nmemocache_isolate = true")
    assert outcome(shop) == {"passed": 2}


def test_the_default_cache_is_put_back(shop: pytest.Pytester) -> None:
    shop.makepyfile("""
        from memocache import SimpleCache, configure, default_cache

        mine = SimpleCache(threshold=7)
        configure(mine)

        def test_inside(memocache_isolated):
            assert default_cache() is memocache_isolated is not mine

        def test_outside():
            assert default_cache() is mine
    """)
    assert outcome(shop) == {"passed": 2}


def test_what_is_on_a_server_stays_there(shop: pytest.Pytester) -> None:
    """Others may be using it: only the figures begin anew."""
    shop.makepyfile("""
        import pytest
        from memocache import MemcachedCache, cached

        unreachable = MemcachedCache(["127.0.0.1:1"], timeout=0.1)

        @cached(cache=unreachable)
        def f(x):
            return x

        @pytest.mark.parametrize("round", [1, 2])
        def test_figures(memocache_isolated, round):
            f(1)
            assert f.info().misses == 1
    """)
    assert outcome(shop) == {"passed": 2}


OFF = """
import threading
from shop import computed, price

def test_every_call_computes():
    price("tea"), price("tea")
    thread = threading.Thread(target=price, args=("tea",))
    thread.start()
    thread.join()
    assert computed == ["tea"] * 3
"""


def test_off_means_that_every_call_computes_in_every_thread(shop: pytest.Pytester) -> None:
    shop.makepyfile(test_off=OFF)
    assert outcome(shop, "--memocache-off") == {"passed": 1}
    assert outcome(shop) == {"failed": 1}


def test_the_plugin_brings_in_nothing_optional(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("""
        import sys

        def test_it():
            assert "memocache.testing.plugin" in sys.modules
            assert not {"freezegun", "wrapt", "pymemcache", "msgspec"} & set(sys.modules)
    """)
    assert outcome(pytester, "-p", "no:hypothesispytest", "-p", "no:time_machine") == {"passed": 1}


# ---- the assertions ----------------------------------------------------------------------------------------------


@pytest.fixture
def area():
    @cached(timeout=60)
    def area(width: int, height: int = 1) -> int:
        return width * height

    return area


def test_a_hit_is_cached_and_a_miss_is_computed(area) -> None:
    with assert_computed(area):
        area(2)
    with assert_cached(area):
        area(2), area(width=2, height=1)
    with assert_computed(area, times=2):
        area(2), area(3), area(4)
    with assert_computed(area, times=0):
        area(2)


NEVER_COMPUTED = "; wanted: served at least once, and never computed"
NEVER_SERVED = "; wanted: computed at least once, and never served"


@pytest.mark.parametrize(
    ("block", "widths", "complaint"),
    [
        (assert_cached, [2, 2], f"computed once and served from the cache once{NEVER_COMPUTED}"),
        (assert_cached, [], f"computed 0 times and served from the cache 0 times{NEVER_COMPUTED}"),
        (assert_computed, [2, 2], f"computed once and served from the cache once{NEVER_SERVED}"),
        (assert_computed, [], f"computed 0 times and served from the cache 0 times{NEVER_SERVED}"),
        (
            functools.partial(assert_computed, times=1),
            [5, 6],
            "computed 2 times and served from the cache 0 times; wanted: computed once",
        ),
    ],
    ids=["computes", "never called", "is served", "never called, either", "another number"],
)
def test_an_assertion_says_what_it_has_seen_and_what_it_wants(area, block, widths, complaint) -> None:
    def use() -> None:
        with block(area):
            for width in widths:
                area(width)

    with pytest.raises(AssertionError) as failure:
        use()
    assert str(failure.value).endswith(f".area was {complaint}")


def test_an_assertion_says_that_caching_is_switched_off(area) -> None:
    with pytest.raises(AssertionError) as failure, disabled(), assert_computed(area, times=1):
        area(1)
    assert str(failure.value).endswith(
        ".area was computed 0 times and served from the cache 0 times (with caching switched off, when nothing is "
        "counted); wanted: computed once"
    )


def test_an_exception_inside_is_the_caller_s(area) -> None:
    for block in (assert_cached, assert_computed):
        with pytest.raises(KeyError), block(area):
            raise KeyError


async def test_coroutine_functions_methods_and_waiters() -> None:
    class Shop:
        @cached
        async def price(self, name: str) -> str:
            await asyncio.sleep(0)
            return name

    shop = Shop()
    with assert_computed(shop.price, times=1):
        await asyncio.gather(shop.price("tea"), shop.price("tea"))
    with assert_cached(shop.price):
        await shop.price("tea")


@pytest.mark.parametrize("block", [assert_cached, assert_computed])
def test_what_is_not_cached_is_refused(block) -> None:
    with pytest.raises(ConfigurationError) as refusal, block(threading.Thread.start):
        pass
    assert str(refusal.value) == "'Thread.start' is not cached; wanted: a function that @cached has decorated"


@pytest.mark.parametrize("times", [-1, True, 1.5, "1"])
def test_a_number_of_times_is_a_number(area, times) -> None:
    with pytest.raises(ConfigurationError) as refusal, assert_computed(area, times=times):
        pass
    assert str(refusal.value) == f"assert_computed(times={times!r}); wanted: a number of computations, 0 for none"
