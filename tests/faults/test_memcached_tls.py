"""memcached over TLS: what is checked of the server, what is shown to it, and what a bad one costs."""

import logging
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from memocache import ConfigurationError, MemcachedCache, UncacheFailed, cache_from_url, cached
from memocache._clock import ticks
from tests.support.servers import MemcachedBinary, MemcachedServer, TlsMemcachedServer
from tests.support.threads import at_once


def hits_of(cache: Any, prefix: str) -> int:
    f = cached(timeout=60, cache=cache, namespace=prefix)(lambda x: x)
    assert (f(1), f(1)) == (1, 1)
    return f.info().hits


def test_a_url_with_an_s_speaks_tls(tls_memcached: TlsMemcachedServer, prefix: str) -> None:
    cache = cache_from_url(tls_memcached.url)
    f = cached(timeout=60, cache=cache, namespace=prefix)(lambda x: "x" * x)
    for size in (1, 100, 20_000, 900_000):  # records of TLS have 16 KiB
        assert f(size) == f(size) == "x" * size
    assert f.info().hits == 4
    assert f.uncache(1) is True
    assert f.many([(1,), (100,)]) == ["x", "x" * 100]
    tiers = cache_from_url(f"tiered+{tls_memcached.url}")
    assert tiers.set(prefix, 1)


def test_a_context_does_too(tls_memcached: TlsMemcachedServer, prefix: str) -> None:
    context = ssl.create_default_context(cafile=tls_memcached.ca_file)
    assert hits_of(MemcachedCache([tls_memcached.address], tls_context=context), prefix) == 1


def test_threads_and_an_idle_connection(tls_memcached: TlsMemcachedServer, prefix: str) -> None:
    cache = cache_from_url(tls_memcached.url)
    f = cached(timeout=60, cache=cache, namespace=prefix)(lambda x: [x])
    f(1)
    wrong: list[int] = []
    at_once(8, lambda: wrong.extend(x for x in range(200) if f(x % 20) != [x % 20]))
    assert wrong == []
    assert f.info().failures == 0


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda url, other: url.replace("127.0.0.1", "localhost"), "CERTIFICATE_VERIFY_FAILED"),
        (lambda url, other: f"{url.partition('?')[0]}?ssl_ca_certs={other}", "CERTIFICATE_VERIFY_FAILED"),
        (lambda url, other: url.partition("?")[0], "CERTIFICATE_VERIFY_FAILED"),
    ],
    ids=["another name", "another authority", "the authorities of the system"],
)
def test_a_server_that_cannot_prove_who_it_is_is_down(
    change: Any, problem: str, tls_memcached: TlsMemcachedServer, prefix: str, tmp_path: Path, caplog: Any
) -> None:
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "other.pem"))
    with caplog.at_level(logging.WARNING, "memocache"):
        cache = cache_from_url(change(tls_memcached.url, tmp_path / "other.pem"))
        assert hits_of(cache, prefix) == 0
    assert any(problem in line for line in caplog.messages)
    f = cached(timeout=60, cache=cache, namespace=prefix)(lambda x: x)
    with pytest.raises(UncacheFailed):
        f.uncache(1)


def test_a_name_need_not_be_checked(tls_memcached: TlsMemcachedServer, prefix: str) -> None:
    url = tls_memcached.url.replace("127.0.0.1", "localhost") + "&ssl_check_hostname=false"
    assert hits_of(cache_from_url(url), prefix) == 1


def test_a_client_shows_its_certificate(memcached_binary: MemcachedBinary, tls_memcached: Any, prefix: str) -> None:
    with TlsMemcachedServer(asks_clients=True, binary=memcached_binary) as server:
        assert hits_of(cache_from_url(server.url), prefix) == 0
        assert hits_of(cache_from_url(f"{server.url}&ssl_certfile={server.pem('client')}"), prefix) == 1


def test_a_plain_server_and_a_plain_client_do_not_match(
    tls_memcached: TlsMemcachedServer, memcached_tcp: MemcachedServer, prefix: str
) -> None:
    context = ssl.create_default_context(cafile=tls_memcached.ca_file)
    assert hits_of(MemcachedCache([memcached_tcp.address], tls_context=context), prefix) == 0
    assert hits_of(MemcachedCache([tls_memcached.address]), prefix) == 0


@pytest.fixture
def silent() -> Iterator[tuple[str, int]]:
    """A server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()


def test_a_handshake_has_the_deadline_of_a_command(silent: tuple[str, int], prefix: str) -> None:
    cache = MemcachedCache([silent], tls_context=ssl.create_default_context(), timeout=0.3)
    f = cached(timeout=60, cache=cache, namespace=prefix)(lambda x: x)
    began = ticks()
    assert f(1) == 1
    assert ticks() - began < 0.3 + 1


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("memcached://h?ssl_ca_certs=x", "it has options of TLS; for a server that speaks it write memcacheds instead"),
        ("memcacheds://h?ssl_ca_certs=/no/such/file", "its certificates cannot be read: .*No such file"),
        ("memcacheds://h?ssl_keyfile=x", "it has ssl_keyfile= or ssl_password= without ssl_certfile="),
        ("memcacheds://h?ssl_check_hostname=maybe", "ssl_check_hostname='maybe'; wanted: true or false"),
        ("memcacheds://h?ssl_cert_reqs=none", "there is no option 'ssl_cert_reqs'"),
        ("memcacheds:///path/to/socket", "tls_context= is for hosts, and /path/to/socket is a socket of this one"),
    ],
)
def test_what_cannot_work_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        cache_from_url(url)


@pytest.mark.parametrize("given", [True, "ca.pem", {}])
def test_what_is_no_context_is_refused(given: Any) -> None:
    with pytest.raises(ConfigurationError) as refused:
        MemcachedCache(["h"], tls_context=given)
    assert str(refused.value) == (
        f"tls_context= got a {type(given).__name__}; wanted: an ssl.SSLContext, such as "
        "ssl.create_default_context(cafile='ca.pem')"
    )
