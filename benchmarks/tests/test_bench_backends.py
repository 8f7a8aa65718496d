from benchmarks.answer import QUICK
from benchmarks.backends import SUBJECTS, Backends
from benchmarks.tests.test_benchmarks import PEERS, WITHOUT_PEERS, run, table_of


def test_each_cache_is_compared_with_what_is_below_it() -> None:
    text = run("-m", "benchmarks.backends", "--quick")
    for cache, bare in (
        *(("SimpleCache", "dict"), ("MemcachedCache", "pymemcache"), ("RedisCache", "redis-py")),
        *(("SQLiteCache", "sqlite3"), ("ForeignCache of a cachelib.SimpleCache", "cachelib")),
        ("TieredCache over MemcachedCache", "pymemcache"),
    ):
        for call in ("hit", "miss: uncache, call", "uncache"):
            table = table_of(text, f"{call}, {cache}")
            assert any(line.startswith("> memocache ") for line in table)
            assert any(line.startswith(f"  {bare} ") and " 1.00 " in line for line in table)


def test_a_client_that_is_not_installed_is_a_note() -> None:
    text = run("-c", WITHOUT_PEERS, f"{PEERS},redis", "--quick", "backends")
    assert "RedisCache: skipped, not installed." in text
    assert "hit, MemcachedCache" in text


def test_the_bar_comes_to_its_end() -> None:
    told: list[str] = []
    question = Backends(subjects=SUBJECTS[:1])
    answer = question.ask(QUICK, told.append)
    assert len(told) == question.pieces(QUICK)
    assert [grid.title for grid in answer.grids] == [
        "hit, SimpleCache",
        "miss: uncache, call, SimpleCache",
        "uncache, SimpleCache",
    ]
