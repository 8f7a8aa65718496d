"""Every exception that memocache raises of its own.

    MemocacheError
      ConfigurationError   (also ValueError)   an option, a URL or a set-up that cannot work
      UnkeyableArgument    (also TypeError)    an argument that has no stable form, so that it cannot be part of a key
      SerializationError                       a value that has no form as bytes, or bytes that are no value
      BackendError
        BackendUnavailable                     the cache is down, slow, or talks garbage
        ValueTooLarge                          the cache does not take a value of this size
        UncacheFailed                          a forgetting that the cache did not acknowledge

A decorated function raises ConfigurationError and UnkeyableArgument to its caller. Of the rest only `uncache` and
its kin raise, and only UncacheFailed: everything else that goes wrong in a cache means that the call is computed.
The user's own methods of a cache object (`get`, `set`, ...) raise what happened.
"""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import logging

LONGEST: Final = 1000  # characters of a message


class MemocacheError(Exception):
    """The base of all errors of this package. Its message is one line, whatever the names in it."""

    def __str__(self) -> str:
        return one_line(super().__str__())


def one_line(text: str) -> str:
    """Return *text* for a log or a terminal: in one line, not too long, and without characters that steer it.

    It may tell names that others have chosen: keys, what a server answers, what somebody wrote into a file.
    """
    if len(text) > LONGEST:
        text = f"{text[: LONGEST // 2]} ... {text[-LONGEST // 2 :]}"  # what to do stands at the end
    return printable(text)


def told(error: BaseException) -> str:
    """Return what an *error* says, for a log; of one that is not ours with its class, since many have no text."""
    if isinstance(error, MemocacheError):
        return str(error)
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - the user's class may raise anything
        text = ""
    return one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def printable(text: str) -> str:
    """Return *text* with escapes in place of what steers a terminal, ends the line or is no character."""
    if text.isprintable():
        return text
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


class ConfigurationError(MemocacheError, ValueError):
    """An option, a URL or a set-up that cannot work."""


class UnkeyableArgument(MemocacheError, TypeError):
    """An argument that has no stable form, so that it cannot be part of a key."""


class SerializationError(MemocacheError):
    """A value that has no form as bytes, or bytes that are no value."""


class BackendError(MemocacheError):
    """The cache did not do what it was asked."""


class BackendUnavailable(BackendError):
    """The cache is down, slow, or talks garbage."""


class LeftAlone(BackendUnavailable):
    """A server failed a moment ago, and was told of then, so that it is not asked now."""


class ValueTooLarge(BackendError):
    """The cache does not take a value of this size."""


class UncacheFailed(BackendError):
    """A forgetting that the cache did not acknowledge: the old value may still be served."""


def title_of(function: object) -> str:
    """Return the name of a *function* in a message."""
    return str(getattr(function, "__qualname__", None) or with_article(type(function)))


def logger() -> "logging.Logger":
    """Return the logger of the package."""
    import logging  # not before something goes wrong: it takes a tenth of the whole import

    return logging.getLogger("memocache")


def with_article(kind: type) -> str:
    """Return the name of a *kind* of values in a message: "a list", "an int"."""
    name = kind.__name__
    return f"{'an' if name[:1] in 'aeioAEIO' else 'a'} {name}"
