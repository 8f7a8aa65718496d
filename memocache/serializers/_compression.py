"""Compression: fewer bytes for large values, read within a bound of memory. The one user of zstd."""

import functools
import sys
import zlib
from typing import Any, Final, Literal, TypeAlias

from memocache.errors import ConfigurationError, SerializationError

Method: TypeAlias = Literal["zlib", "zstd"]

METHODS: Final[dict[str, int]] = {"zlib": 1, "zstd": 2}
"""The ways to compress, each with the number by which the bytes name it."""

LARGEST: Final = 16 * 1024 * 1024
"""The size in bytes that may be compressed, and that compressed bytes may grow to."""

ZLIB, ZSTD = METHODS.values()
ZLIB_LEVEL: Final = 1  # the next ones take 1.2 to 3 times as long and save 2 to 7 % of rows like a database's
ZSTD_LEVEL: Final = 3
WINDOW_LOG: Final = 24  # zstd reserves as much memory as the bytes ask for: at most 2 ** 24
INSTALL: Final = "pip install 'backports.zstd>=1'"


def require(method: Method) -> None:
    """Raise ConfigurationError if *method* is none, or its library is not there."""
    if method not in [*METHODS]:
        raise ConfigurationError(f"compress={method!r}; wanted: 'zlib', 'zstd' or None")
    if method == "zstd":
        try:
            _zstd()
        except ImportError:
            raise ConfigurationError(f"compress='zstd' needs backports.zstd: {INSTALL}") from None


def compress(method: int, data: bytes) -> bytes:
    """Return *data* in its compressed form."""
    if method == ZLIB:
        return zlib.compress(data, ZLIB_LEVEL)
    packed: bytes = _zstd().compress(data, ZSTD_LEVEL)
    return packed


def decompress(method: int, data: bytes, size: int) -> bytes:
    """Return the *size* bytes that *data* was made of; it may be anybody's, and takes no more memory than that.

    Raises:
        SerializationError: *data* was made of anything else, or cannot be read here.
    """
    if not 0 < size <= LARGEST:
        raise SerializationError(f"the compressed bytes are to have {size} bytes, and at most {LARGEST} are allowed")
    opened = _decompressor(method)
    try:
        whole: bytes = opened.decompress(data, size + 1)
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        raise SerializationError(f"the compressed bytes are broken, {type(error).__name__}") from None
    if len(whole) != size or not opened.eof or opened.unused_data:
        raise SerializationError("the compressed bytes do not have the size that they say")
    return whole


def _decompressor(method: int) -> Any:
    if method == ZLIB:
        return zlib.decompressobj()
    if method != ZSTD:
        raise SerializationError("the bytes are compressed in a way that is not known here")
    try:
        zstd = _zstd()
    except ImportError:
        raise SerializationError(f"the value is compressed by zstd, which needs backports.zstd: {INSTALL}") from None
    return zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG})


@functools.cache
def _zstd() -> Any:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd
