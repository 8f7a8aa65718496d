"""PickleSerializer: for values of any type, with a signature. The one module that knows pickle."""

import io
import pickle
from collections import deque
from collections.abc import Collection, Iterator
from typing import Any, Final

from memocache.errors import SerializationError
from memocache.serializers._signing import SIGNATURE_SIZE, Secret, Signer
from memocache.serializers.base import TOO_DEEP_FOR_THE_STACK, NoByteForm, Serializer, path_step

__all__ = ["PickleSerializer"]

_PROTOCOL: Final = 5
_PURPOSE: Final = b"memocache/PickleSerializer/1"
_LONGEST_SEARCH: Final = 10_000
_NOT_FOUND: Final = ["..."]

_Step = tuple[Collection[object], str, int]


class PickleSerializer(Serializer):
    """A serializer for all that pickle keeps; it reads only what somebody with the same *secret* has written.

    Unpickling runs code that the bytes name. So the bytes carry an HMAC-SHA256 over themselves and their
    context, and not one of them is parsed before it has been verified. Whoever knows the secret and can write
    to the cache can run code in every process that reads from it.

    Args:
        secret: at least 16 bytes, the same in all processes. `secrets.token_bytes(32)` makes a good one. Or a list
            of such: the first signs, and what any of them has signed is read, so that a new one can be introduced.

    Example:
        >>> serializer = PickleSerializer(secret=b"only for this example!")
        >>> data = serializer.dumps(range(3), b"a key")
        >>> serializer.loads(data, b"a key")
        range(0, 3)
        >>> serializer.loads(data, b"another key")
        Traceback (most recent call last):
        memocache.errors.SerializationError: the bytes do not carry the signature of this secret and context
    """

    codec = 3

    def __init__(self, secret: Secret) -> None:
        self._signer = Signer(secret, _PURPOSE)

    def __repr__(self) -> str:
        return "PickleSerializer(secret=...)"

    def dumps(self, value: object, context: bytes) -> bytes:
        """Return *value* pickled and signed together with *context*."""
        try:
            payload = _dump(value)
            return self._signer.signature(payload, context) + payload
        except RecursionError:
            pass
        raise SerializationError(TOO_DEEP_FOR_THE_STACK)

    def loads(self, data: bytes, context: bytes) -> object:
        """Return the value of *data* if it was signed with this secret for this *context*."""
        try:
            signature, payload = data[:SIGNATURE_SIZE], data[SIGNATURE_SIZE:]
            if not self._signer.verify(signature, payload, context):
                raise SerializationError("the bytes do not carry the signature of this secret and context")
            return pickle.loads(payload)  # noqa: S301 - signed, as was just verified
        except SerializationError:
            raise
        except Exception as error:  # noqa: BLE001 - methods of the user's may raise anything
            raise SerializationError(f"the signed value could not be made, {type(error).__name__}") from None


def _dump(value: object) -> bytes:
    try:
        return pickle.dumps(value, protocol=_PROTOCOL)
    except RecursionError:
        raise
    except Exception as error:  # noqa: BLE001 - methods of the user's may raise anything
        problem = _explain(value, error)
    raise SerializationError(problem)


class _Witness(pickle.Pickler):
    """A pickler that remembers the last value it was given: when it fails, that is the culprit."""

    last: object = None

    def reducer_override(self, value: object) -> Any:
        """Note *value*, and leave it to pickle."""
        self.last = value
        return NotImplemented


def _explain(value: object, error: Exception) -> str:
    witness = _Witness(io.BytesIO(), protocol=_PROTOCOL)
    try:
        witness.dump(value)
    except Exception:  # noqa: BLE001 - it has failed before
        culprit = witness.last
    else:
        culprit = value
    kind = culprit if isinstance(culprit, type) else type(culprit)  # a class fails for all its instances
    refused = NoByteForm(kind, f"pickle cannot keep ({type(error).__name__})", "return plain data")
    try:
        refused.path = _path(value, culprit)
    except Exception:  # noqa: BLE001 - what overrides __dict__ or iteration may raise anything
        refused.path = _NOT_FOUND
    return str(refused)


def _path(value: object, culprit: object) -> list[str]:
    """Return the steps from *value* to *culprit*, the last first."""
    waiting: deque[tuple[object, tuple[_Step, ...]]] = deque([(value, ())])
    seen: dict[int, object] = {}
    while waiting and len(seen) < _LONGEST_SEARCH:
        holder, steps = waiting.popleft()
        if holder is culprit or type(holder) is culprit:
            return [path_step(*each) for each in reversed(steps)]
        if id(holder) in seen:
            continue
        seen[id(holder)] = holder
        for container, part, parts in _parts_of(holder):
            waiting.extend((inner, (*steps, (container, part, index))) for index, inner in enumerate(parts))
    return _NOT_FOUND


def _parts_of(holder: object) -> Iterator[tuple[Collection[object], str, Collection[object]]]:
    if isinstance(holder, dict):
        yield holder, "key", holder.keys()
        yield holder, "value", holder.values()
    elif isinstance(holder, list | tuple):
        yield holder, "item", holder
    elif isinstance(holder, set | frozenset):
        yield holder, "member", holder
    if not isinstance(holder, type):
        attributes = getattr(holder, "__dict__", None)
        if isinstance(attributes, dict):
            yield attributes, "field", attributes.values()
