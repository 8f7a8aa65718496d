"""Serializers: the ways from values to bytes and back, for caches outside the process."""

from memocache.serializers._records import register
from memocache.serializers.base import Serializer
from memocache.serializers.plain_json import JSONSerializer
from memocache.serializers.safe import SafeSerializer
from memocache.serializers.signed_pickle import PickleSerializer

__all__ = ["Serializer", "SafeSerializer", "JSONSerializer", "PickleSerializer", "register"]
