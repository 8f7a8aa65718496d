"""RedisCache: values on Redis or Valkey, be it one server, one with sentinels, or a cluster."""

from memocache.backends.redis.cache import RedisCache

__all__ = ["RedisCache"]

RedisCache.__module__ = __name__  # where users import it from, and what names it in keys and pickles
