"""The fixtures of tests/ that the tests of the benchmarks ask for."""

from tests.conftest import (
    client_for,
    few_connections,
    fresh_default,
    memcached,
    memcached_binary,
    only_web_tests_have_frameworks,
)

__all__ = [
    "client_for",
    "few_connections",
    "fresh_default",
    "memcached",
    "memcached_binary",
    "only_web_tests_have_frameworks",
]
