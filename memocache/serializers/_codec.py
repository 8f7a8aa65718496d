"""ValueCodec: how a cache outside the process writes its values: by a serializer, compressed or not, signed or not.

A value that is neither compressed nor signed is the serializer's bytes, under its codec. Any other is wrapped, under a
codec of its own: how, the serializer's codec, and the size before compression; then the signature, if there is one, of
all of that and of what the bytes belong to; then the bytes.
"""

import struct
from math import inf
from typing import Final

from memocache._envelope import with_codec
from memocache.errors import ConfigurationError, SerializationError, with_article
from memocache.serializers._compression import LARGEST, METHODS, Method, compress, decompress, require
from memocache.serializers._signing import SIGNATURE_SIZE, Secret, Signer
from memocache.serializers.base import Serializer
from memocache.serializers.safe import SafeSerializer

WRAPPED: Final = 4
"""The codec of what is compressed or signed, whatever its serializer."""

COMPRESS_ABOVE: Final = 4096
"""Bytes; below, it is not the sending that takes the time."""

HEAD: Final = struct.Struct(">BBI")  # how it is compressed, and whether it is signed; codec; size before compression
SIGNED: Final = 0x80
NOT_COMPRESSED: Final = 0
NO_CODEC: Final = -1
PURPOSE: Final = b"memocache/value/1"
UNSIGNED: Final = "the value is not signed, and this cache has a secret=; give all processes the same"
UNEXPECTED: Final = "the value is signed, and this cache has no secret=; give all processes the same"


class ValueCodec:
    """The codec of one cache: from values to bytes and back. Reading knows from the bytes how they were written.

    Args:
        serializer: makes bytes of values; None for a SafeSerializer.
        compress: "zlib" or "zstd" for what has more than *compress_above* bytes, if it is smaller then; None for only
            (by zlib) what has more than *largest*.
        compress_above: bytes.
        secret: signs the bytes, together with key and times: what was not signed with it is not read. At least 16
            bytes; or a list of such, the first of which signs, while what any of them has signed is read.
        largest: bytes that the server takes for one value; None for any number.

    Raises:
        ConfigurationError: for options that cannot work.
    """

    def __init__(
        self,
        serializer: Serializer | None = None,
        compress: Method | None = None,
        compress_above: int = COMPRESS_ABOVE,
        secret: Secret | None = None,
        *,
        largest: int | None = None,
    ) -> None:
        if serializer is not None and not isinstance(serializer, Serializer):
            raise ConfigurationError(
                f"serializer= got {with_article(type(serializer))}; wanted: an instance of a Serializer, "
                "such as SafeSerializer() or PickleSerializer(secret=...)"
            )
        if isinstance(compress_above, bool) or not isinstance(compress_above, int) or compress_above < 0:
            raise ConfigurationError(f"compress_above={compress_above!r}; wanted: bytes, as an int from 0")
        if compress is None:
            self._method, self._above = METHODS["zlib"], inf if largest is None else largest
        else:
            require(compress)
            self._method, self._above = METHODS[compress], compress_above
        self._signer = None if secret is None else Signer(secret, PURPOSE)
        self.serializer = SafeSerializer() if serializer is None else serializer
        is_ours = type(self.serializer) is SafeSerializer
        self.plain_codec = self.serializer.codec if secret is None and is_ours else NO_CODEC
        """The codec of what needs no more than the serializer to be read, which reads any buffer."""

    def dumps(self, value: object, context: bytes) -> tuple[bytes, bytes]:
        """Return *value* as bytes; before it the *context* to put it in, which says whether it is wrapped.

        Raises:
            SerializationError: the value has no form.
        """
        data = self.serializer.dumps(value, context)
        how, size, body = NOT_COMPRESSED, 0, data
        if self._above < len(data) <= LARGEST:
            packed = compress(self._method, data)
            if HEAD.size + len(packed) < len(data):
                how, size, body = self._method, len(data), packed
        codec = self.serializer.codec
        if self._signer is not None:
            body = HEAD.pack(how | SIGNED, codec, size) + body
            signature = self._signer.signature(body, context)
            return with_codec(context, WRAPPED), body[: HEAD.size] + signature + body[HEAD.size :]
        if how == NOT_COMPRESSED:
            return context, data
        return with_codec(context, WRAPPED), HEAD.pack(how, codec, size) + body

    def loads(self, codec: int, payload: bytes, context: bytes) -> object:
        """Return the value in *payload*, which has this *codec* and *context*.

        Nothing is made of the bytes, nor are they decompressed, before a signature that has to be there is verified.

        Raises:
            SerializationError: it is not the value of this context, or not in a form that is read here.
        """
        if codec == self.plain_codec:
            return self.serializer.loads(payload, context)
        signer, payload = self._signer, bytes(payload)  # a large one is a view
        if codec == self.serializer.codec and signer is None:
            return self.serializer.loads(payload, context)
        if codec != WRAPPED:
            raise SerializationError(self._wrong_serializer(codec) if signer is None else UNSIGNED)
        if len(payload) < HEAD.size:
            raise SerializationError("the bytes end too early")
        how, codec, size = HEAD.unpack_from(payload)
        context, start = with_codec(context, codec), HEAD.size
        if signer is None:
            if how & SIGNED:
                raise SerializationError(UNEXPECTED)
        else:
            if not how & SIGNED:
                raise SerializationError(UNSIGNED)
            start += SIGNATURE_SIZE
            signature, signed = payload[HEAD.size : start], payload[: HEAD.size] + payload[start:]
            if not signer.verify(signature, signed, context):
                raise SerializationError("the value does not carry the signature of this cache's secret=")
        if codec != self.serializer.codec:
            raise SerializationError(self._wrong_serializer(codec))
        body, method = payload[start:], how & ~SIGNED
        return self.serializer.loads(body if method == NOT_COMPRESSED else decompress(method, body, size), context)

    def _wrong_serializer(self, codec: int) -> str:
        return (
            f"the value was written by another serializer (codec {codec}) than this cache has "
            f"(codec {self.serializer.codec}); give all processes the same"
        )
