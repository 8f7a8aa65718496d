"""RedisCache: values on Redis or Valkey, be it one server, one with sentinels, or a cluster."""

from memocache.backends.redis.cache import RedisCache

__all__ = ["RedisCache"]
