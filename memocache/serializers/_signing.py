"""Signer: signatures, by which bytes are known to be written by somebody who has the secret."""

import hashlib
import hmac
from collections.abc import Sequence
from typing import Final, TypeAlias

from memocache.errors import ConfigurationError

Secret: TypeAlias = bytes | str | Sequence[bytes | str]
"""One secret, or several: the first signs, and what any of them has signed is known."""

DIGEST: Final = "sha256"
SIGNATURE_SIZE: Final = hashlib.new(DIGEST).digest_size
SHORTEST_SECRET: Final = 16


class Signer:
    """The signer of bytes together with a context, by HMAC-SHA256 (RFC 2104).

    Args:
        secret: at least 16 bytes; or a list of such, the newest first.
        purpose: what is signed with it here, since the secret may sign other things elsewhere.

    Raises:
        ConfigurationError: the secret is too short, or none.
    """

    __slots__ = ("_keys",)

    def __init__(self, secret: Secret, purpose: bytes) -> None:
        self._keys = [hmac.digest(each, purpose, DIGEST) for each in _check_secrets(secret)]

    def signature(self, payload: bytes, context: bytes) -> bytes:
        """Return the signature of *payload* in this *context*."""
        return hmac.digest(self._keys[0], _message(payload, context), DIGEST)

    def verify(self, signature: bytes, payload: bytes, context: bytes) -> bool:
        """Return whether *signature* is that of *payload* in this *context*, by any of the secrets."""
        signed = _message(payload, context)
        return any(hmac.compare_digest(signature, hmac.digest(key, signed, DIGEST)) for key in self._keys)


def _message(payload: bytes, context: bytes) -> bytes:
    # With the length, lest bytes move from one to the other.
    return b"".join((len(context).to_bytes(8, "big"), context, payload))


def _check_secrets(secret: object) -> list[bytes]:
    given = list(secret) if isinstance(secret, list | tuple) else [secret]
    secrets = [each.encode("utf-8", "surrogatepass") if isinstance(each, str) else each for each in given]
    if not secrets or not all(isinstance(each, bytes) and len(each) >= SHORTEST_SECRET for each in secrets):
        raise ConfigurationError(
            f"secret= needs at least {SHORTEST_SECRET} bytes, or a list of such, the newest first; "
            "make one with secrets.token_bytes(32) and give the same to all processes"
        )
    return [each for each in secrets if isinstance(each, bytes)]
