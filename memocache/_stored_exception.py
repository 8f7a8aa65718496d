"""StoredException: an exception that a call raised, in the form in which caches remember it; and copies of exceptions.

A copy is made without the constructors of its class, of all that Python keeps of an exception: its arguments, its
attributes and slots, and what a built-in type has besides, such as the file name of an OSError. A class that says how
that is done, or that keeps something where Python does not see it, is copied by `copy.copy`.
"""

import builtins
import contextlib
import copy
import struct
from types import GetSetDescriptorType, MemberDescriptorType
from typing import Any, Final, TypeAlias, TypeVar, cast

from memocache._canonical import module_name
from memocache._signature import is_read_once
from memocache.errors import SerializationError

E = TypeVar("E", bound=BaseException)

PlainException: TypeAlias = tuple[str, tuple[Any, ...], dict[str, Any]]
"""An exception as a value that has a form as bytes: the name of its type, its arguments, its attributes."""

DEEPEST: Final = 50  # causes of causes, and exceptions in exceptions
WORD: Final = struct.calcsize("P")
COPYING: Final = {"__copy__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__"}
CAUSE: Final = "__cause__"
SUPPRESS: Final = "__suppress_context__"
OWN: Final[Any] = vars(BaseException)  # the attributes of every exception, which a class may hide

_allowed: Final[list[type[Exception]]] = []
_by_name: Final[dict[str, type[Exception]]] = {}


class StoredException:
    """An exception that a call raised, without its traceback: that keeps frames alive, and grows when it is raised."""

    __slots__ = ("_error", "_is_forgeable")

    def __init__(self, error: Exception, *, is_forgeable: bool = False) -> None:
        self._error = error
        # Read from bytes that anybody may have written: then no code of its type runs to make another.
        self._is_forgeable = is_forgeable

    @classmethod
    def of(cls, error: Exception) -> "StoredException | None":
        """Return *error* as it is remembered; None if it cannot be copied faithfully."""
        kept = _without_frames(error)
        return None if kept is None or _copy_of(kept) is None else cls(kept)

    def rebuild(self) -> Exception:
        """Return a new exception like it, that has no traceback yet."""
        error = self._error
        return (_state_copy(error, error.args) if self._is_forgeable else _copy_of(error)) or error

    def to_plain(self) -> PlainException:
        """Return it as a value that has a form as bytes; SerializationError if it has none."""
        plain = _to_plain(self._error)
        if plain is None:
            raise SerializationError(
                f"{_type_name(type(self._error))} keeps more than Python can see, so that it is not remembered where "
                "it must be written down"
            )
        return plain

    @classmethod
    def from_plain(cls, plain: object) -> "StoredException":
        """Return the exception in *plain*, which anybody may have written; SerializationError if it is none of ours.

        Its type is one of those that functions of this process name in `errors=`, or a subclass; nothing is imported,
        and neither a constructor nor a destructor of such a class runs.
        """
        if not (isinstance(plain, tuple) and list(map(type, plain)) == [str, tuple, dict]):
            raise SerializationError("what is stored is no exception's type, arguments and attributes")
        name, arguments, attributes = plain
        kind = _find_allowed(name)
        if kind is None:
            raise SerializationError(
                f"a call raised {name}, which no errors= of this process names; give all processes the same"
            )
        if hasattr(kind, "__del__"):
            raise SerializationError(f"{name} has a destructor, which would run on whatever the bytes say")
        try:
            stored = cls(_from_plain(kind, arguments, attributes), is_forgeable=True)
            stored.rebuild()
        except Exception:  # noqa: BLE001 - whatever Python has against arguments that it never gave
            raise SerializationError(f"what is stored is no {name}: its arguments cannot be so") from None
        return stored


# ---- copies ----------------------------------------------------------------------------------------------------------


def own_copy(error: Exception) -> Exception:
    """Return *error* for one waiter to raise: a copy with the same cause, context and traceback.

    If every waiter raised the leader's exception itself, its traceback would grow by a piece of each of their stacks.
    An exception that does not copy faithfully is shared after all.
    """
    own = _copy_of(error)
    if own is None:
        return error
    OWN["__context__"].__set__(own, OWN["__context__"].__get__(error))
    OWN[SUPPRESS].__set__(own, OWN[SUPPRESS].__get__(error))
    return own.with_traceback(error.__traceback__)


def holds(error: BaseException, kinds: tuple[type, ...]) -> bool:
    """Return True if an argument or an attribute of *error* is of one of the *kinds*."""
    # isinstance would ask a proxy what it stands for.
    return any(issubclass(type(each), kinds) for each in (*OWN["args"].__get__(error), *vars(error).values()))


def _copy_of(error: E) -> E | None:
    """Return a copy of *error* with the same cause, and without a traceback; None if there is no faithful one."""
    try:
        if _is_seen_by_python(type(error)) and not _says_how(type(error)):
            return _state_copy(error, error.args)
        own = copy.copy(error)
        if own is error or type(own) is not type(error) or str(own) != str(error):
            return None
        _finish(own, error)
    except Exception:  # noqa: BLE001 - the user's class may raise anything
        return None
    return own


def _state_copy(error: E, arguments: tuple[Any, ...]) -> E:
    """Return a copy of *error* with these *arguments*, made without any code of its class."""
    own = _made_by_python(type(error), arguments)
    for member in _members(type(error)):
        value = _value(member, error)
        if value is not _value(member, own):
            with contextlib.suppress(AttributeError):  # it cannot be set, and follows from the arguments
                member.__set__(own, value)
    vars(own).update(vars(error))
    _finish(own, error)
    return own


def _finish(own: BaseException, error: BaseException) -> None:
    notes = vars(own).get("__notes__")
    if notes is not None:  # what one caller adds is not for the next
        vars(own)["__notes__"] = list(notes)
    OWN[CAUSE].__set__(own, OWN[CAUSE].__get__(error))
    OWN[SUPPRESS].__set__(own, OWN[SUPPRESS].__get__(error))


def _without_frames(error: E, depth: int = 0) -> E | None:
    """Return a copy of *error* in which no exception has a traceback or a context; None if there is none."""
    own = _copy_of(error) if depth < DEEPEST else None
    if own is None:
        return None

    def bare(value: Any) -> Any:
        if isinstance(value, BaseException):
            kept = _without_frames(value, depth + 1)
            if kept is None:
                raise ValueError("an exception in it cannot be copied")
            return kept
        if is_read_once(type(value)):  # such as the body of an HTTPError
            raise ValueError("its first reader uses it up")
        if type(value) in (tuple, list) and any(isinstance(each, BaseException) for each in value):
            return type(value)(map(bare, value))
        return value

    try:
        arguments = tuple(map(bare, error.args))
        if any(one is not other for one, other in zip(arguments, error.args, strict=True)):
            own = _state_copy(own, arguments)
        for name, value in vars(own).items():
            vars(own)[name] = bare(value)
        for member in _members(type(own)):
            value = _value(member, own)
            kept = bare(value)
            if isinstance(value, BaseException):
                member.__set__(own, kept)
        cause = bare(OWN[CAUSE].__get__(own))
        is_suppressed = OWN[SUPPRESS].__get__(own)
        OWN[CAUSE].__set__(own, cause)
        OWN[SUPPRESS].__set__(own, is_suppressed)
    except Exception:  # noqa: BLE001 - one of them cannot be copied
        return None
    return own


# ---- what Python keeps of an exception -------------------------------------------------------------------------------


def _built_in(kind: type) -> type:
    """Return the built-in type that exceptions of this *kind* are made by."""
    built_in: Any = kind
    while built_in.__module__ != "builtins" or getattr(builtins, built_in.__name__, None) is not built_in:
        built_in = built_in.__base__ or object
    return cast(type, built_in)


def _made_by_python(kind: type[E], arguments: tuple[Any, ...]) -> E:
    """Return an exception of this *kind* as the built-in type below it makes one; no other constructor runs."""
    built_in: Any = _built_in(kind)
    error: E = built_in.__new__(kind, *arguments)
    built_in.__init__(error, *arguments)  # some keep what they are given, such as OSError its number
    if type(error) is not kind:
        raise TypeError(f"{built_in.__name__} makes another exception of these arguments")
    OWN["args"].__set__(error, arguments)
    return error


def _members(kind: type) -> list[Any]:
    """Return the descriptors of what is kept besides arguments and attributes: slots, and a built-in type's own."""
    classes = kind.__mro__[: kind.__mro__.index(BaseException)]
    return [
        member
        for each in classes
        for name, member in vars(each).items()
        if type(member) in (MemberDescriptorType, GetSetDescriptorType) and name not in ("__dict__", "__weakref__")
    ]


def _value(member: Any, error: BaseException) -> Any:
    try:
        return member.__get__(error)
    except Exception:  # noqa: BLE001 - it was never set
        return None


def _is_seen_by_python(kind: type) -> bool:
    """Return whether exceptions of this *kind* have no more than Python can see, as those written in C may have."""
    built_in = _built_in(kind)
    below = kind.__mro__[: kind.__mro__.index(built_in)]
    slots = sum(type(each) is MemberDescriptorType for cls in below for each in vars(cls).values())
    room = any("__weakref__" in vars(cls) for cls in below) + slots
    return kind.__basicsize__ <= built_in.__basicsize__ + WORD * room


def _says_how(kind: type) -> bool:
    """Return whether a class that is not built in says how its exceptions are copied."""
    below = kind.__mro__[: kind.__mro__.index(_built_in(kind))]
    return any(vars(cls).keys() & COPYING for cls in below)


# ---- as bytes --------------------------------------------------------------------------------------------------------


def _to_plain(error: BaseException) -> PlainException | None:
    kind = type(error)
    if not _is_seen_by_python(kind):
        return None
    attributes = dict(vars(error))
    fresh = _made_by_python(kind, error.args)
    for member in _members(kind):
        value = _value(member, error)
        # As Python's own pickling: the object that lacks an attribute is for the moment only.
        if value is not _value(member, fresh) and member is not vars(AttributeError)["obj"]:
            attributes[member.__name__] = value
    cause = OWN[CAUSE].__get__(error)
    plain = None if cause is None else _to_plain(cause)
    if plain is not None:
        attributes[CAUSE] = plain
    if OWN[SUPPRESS].__get__(error):
        attributes[SUPPRESS] = True
    return _type_name(kind), error.args, attributes


def _from_plain(kind: type[E], arguments: tuple[Any, ...], attributes: dict[str, Any]) -> E:
    error = _made_by_python(kind, arguments)
    attributes = dict(attributes)
    cause, is_suppressed = attributes.pop(CAUSE, None), attributes.pop(SUPPRESS, False)
    for member in _members(kind):
        if member.__name__ in attributes:
            member.__set__(error, attributes.pop(member.__name__))
    vars(error).update(attributes)
    if cause is not None:
        name, its_arguments, its_attributes = cause
        its_kind = _find_allowed(name) or _find_built_in(name)
        if its_kind is not None and not hasattr(its_kind, "__del__"):  # another one may not be made here
            OWN[CAUSE].__set__(error, _from_plain(its_kind, its_arguments, its_attributes))
    OWN[SUPPRESS].__set__(error, bool(is_suppressed))
    return error


def _find_built_in(name: str) -> type[BaseException] | None:
    kind = getattr(builtins, name.removeprefix("builtins:"), None)
    is_one = isinstance(kind, type) and issubclass(kind, BaseException) and _type_name(kind) == name
    return kind if is_one else None


def allow_exception(kind: type[Exception]) -> None:
    """Allow exceptions of this *kind*, and of its subclasses, to be made again from what a cache holds."""
    if kind not in _allowed:
        _allowed.append(kind)


def _find_allowed(name: str) -> type[Exception] | None:
    """Return the allowed exception type that goes by *name*; if two do, the first."""
    if name not in _by_name:
        todo = list(_allowed)
        while todo:  # every time, since there may be new subclasses
            kind = todo.pop(0)
            _by_name.setdefault(_type_name(kind), kind)
            todo += type.__subclasses__(kind)
    return _by_name.get(name)


def _type_name(kind: type) -> str:
    return f"{module_name(kind)}:{kind.__qualname__}"
