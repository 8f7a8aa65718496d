"""Where Redis is, from a URL or from a client: one server, sentinels, or a cluster; and how to connect to them."""

from collections.abc import Mapping
from typing import Any, Final

from memocache._url import Kind, Url, similar, text, whole
from memocache.backends.redis.cluster import Cluster
from memocache.backends.redis.connection import RedisServer, Where
from memocache.backends.redis.settings import ClientSettings, settings_of
from memocache.backends.redis.topology import Sentinels, Servers, Single
from memocache.errors import ConfigurationError

__all__ = ["IN_URLS", "servers"]

PORT: Final = 6379
SENTINEL_PORT: Final = 26379
SENTINEL: Final = "sentinel_"
SCHEMES: Final = (
    *("unix", "redis", "redis+cluster", "redis+sentinel"),
    *("rediss", "rediss+cluster", "rediss+sentinel"),  # TLS
)


def _truth(name: str, given: str) -> bool:
    words = {"true": True, "1": True, "false": False, "0": False}
    if given.lower() not in words:
        raise ConfigurationError(f"{name}={given!r}; wanted: true or false")
    return words[given.lower()]


IN_URLS: Final[dict[str, Kind]] = {
    "db": whole,
    "username": text,
    "password": text,
    "client_name": text,
    "sentinel_username": text,
    "sentinel_password": text,
    "ssl_ca_certs": text,
    "ssl_ca_path": text,
    "ssl_certfile": text,
    "ssl_keyfile": text,
    "ssl_password": text,
    "ssl_cert_reqs": text,
    "ssl_check_hostname": _truth,
}
"""The options of a connection, those of redis-py's clients, as a URL may have them."""

OPTIONS: Final = (*IN_URLS, "credential_provider", "ssl_ca_data", "ssl_ciphers", "ssl_min_version")


def servers(given: Any, options: Mapping[str, Any], timeout: float) -> Servers:
    """Return the servers that a URL or a client stands for; ConfigurationError if it can be none."""
    for name in options:
        if name not in OPTIONS:
            raise ConfigurationError(
                f"RedisCache has no option {name!r}{similar(name, OPTIONS)}; "
                f"options of the connection are: {', '.join(OPTIONS)}"
            )
    if isinstance(given, str):
        url = Url(given)
        settings = _of_url(url, {**url.options(IN_URLS), **options})
    elif isinstance(given, Url):
        settings = _of_url(given, dict(options))
    else:
        found = settings_of(given)
        if found is None:
            raise ConfigurationError(
                f"RedisCache() got a {type(given).__name__}; wanted: a URL such as 'redis://127.0.0.1:6379/0', "
                "or a client of redis-py or valkey-py"
            )
        if options:
            raise ConfigurationError(
                f"RedisCache() got a client and {', '.join(options)}; give the options to the client itself"
            )
        settings = found
    return _made(settings, timeout)


def _made(settings: ClientSettings, timeout: float) -> Servers:
    leads = settings.kind == "sentinel"

    def make(address: Where) -> RedisServer:
        return RedisServer(address, settings.tls, settings.options, timeout, leads=leads)

    def make_sentinel(address: Where) -> RedisServer:
        return RedisServer(address, settings.tls, settings.sentinel_options or {}, timeout, leads=False)

    if settings.kind == "cluster":
        if settings.options.get("db"):
            raise ConfigurationError(f"db={settings.options['db']!r}; a cluster has the database 0 only")
        return Cluster(settings.addresses, make)
    if settings.kind == "sentinel":
        return Sentinels(settings.service, settings.addresses, make_sentinel, make)
    return Single(settings.addresses[0], make)


def _of_url(url: Url, options: dict[str, Any]) -> ClientSettings:
    """Return what *url* says, with these further *options*."""
    scheme, _, kind = url.scheme.partition("+")
    kind = kind or "single"
    if url.scheme not in SCHEMES:
        raise url.refused(
            "wanted: redis://host:port/db, rediss:// for TLS, unix:///path/to/socket, "
            "redis+cluster://host:port,host:port, or redis+sentinel://host:port,host:port/service/db"
        )
    for name, value in (("username", url.user), ("password", url.password)):
        if value:
            options.setdefault(name, value)
    if scheme == "unix":
        if url.places or url.path in ("", "/"):
            raise url.refused("wanted: unix:///path/to/socket")
        return ClientSettings("single", [url.path], False, options)
    is_tls = scheme == "rediss"
    if not is_tls and any(name.startswith("ssl_") for name in options):
        raise url.refused("it has options of TLS; for a server that speaks it write rediss instead of redis")
    sentinel = {name.removeprefix(SENTINEL): options.pop(name) for name in list(options) if name.startswith(SENTINEL)}
    parts = [part for part in url.path.split("/") if part]
    service = ""
    if kind == "sentinel":
        if not parts:
            raise url.refused("wanted: the name of the service behind the hosts, as in redis+sentinel://host/mymaster")
        service = parts.pop(0)
        if is_tls:
            sentinel.update({name: value for name, value in options.items() if name.startswith("ssl_")})
    elif sentinel:
        raise url.refused("it has options of sentinels; for these write redis+sentinel")
    if len(parts) > 1 or (parts and not parts[0].isdecimal()):
        raise url.refused("what is behind the hosts is no number of a database")
    if parts:
        options.setdefault("db", int(parts[0]))
    addresses: list[Where] = [*url.addresses(SENTINEL_PORT if kind == "sentinel" else PORT)]
    if kind == "single" and len(addresses) > 1:
        raise url.refused("it has several hosts; for those write redis+cluster or redis+sentinel")
    default: Where = ("127.0.0.1", SENTINEL_PORT if kind == "sentinel" else PORT)
    return ClientSettings(kind, addresses or [default], is_tls, options, service, sentinel)
