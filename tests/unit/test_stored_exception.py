"""Remembered exceptions: what is kept of one, and what may be made of what a cache holds."""

import gc
import io
import os
import weakref
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.error import HTTPError

import pydantic
import pytest

from memocache import SerializationError, _stored_exception
from memocache._stored_exception import StoredException, allow_exception, own_copy
from tests.support.refusals import refusal


class NotFound(LookupError):
    """An ordinary one: its arguments make it again."""


class Named(LookupError):
    """One whose constructor takes other arguments than those it has."""

    def __init__(self, name: str) -> None:
        super().__init__(f"no user {name}")
        self.name = name


class Refusing(LookupError):
    """One that refuses its own arguments."""

    def __init__(self, *, code: int) -> None:
        super().__init__(code)


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stored_exception, "_allowed", [])
    monkeypatch.setattr(_stored_exception, "_by_name", {})


def test_no_constructor_runs_again() -> None:
    made = []

    class Counting(NotFound):
        def __init__(self, *args: object) -> None:
            made.append(args)

    assert StoredException.of(Counting(1)).rebuild().args == (1,)
    assert own_copy(Counting(2)).args == (2,)
    assert made == [(1,), (2,)]


class Slotted(LookupError):
    """One that has room for two attributes."""

    __slots__ = ("__private", "code")

    def __init__(self, code: int) -> None:
        self.code = code
        self.__private = [code]


class Copying(LookupError):
    """One that says how it is copied."""

    def __init__(self, *, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code

    def __reduce__(self) -> Any:
        return partial(Copying, code=self.code), ()


def raised(call: Callable[[], object]) -> Any:
    """Return what *call* raises."""
    try:
        call()
    except Exception as error:  # noqa: BLE001
        return error
    raise AssertionError


def opened(path: str) -> Any:
    return raised(lambda: os.stat(path))


def lacking(source: str) -> Any:
    return raised(lambda: exec(source, {}))


def invalid() -> Any:
    return raised(lambda: pydantic.TypeAdapter(int).validate_python("x"))


ERRORS: dict[str, tuple[Callable[[], Exception], tuple[str, ...]]] = {
    "plain": (lambda: NotFound("a", 1), ()),
    "refuses its own": (lambda: Refusing(code=7), ()),
    "OSError": (lambda: opened("/no/such file"), ("errno", "strerror", "filename", "filename2")),
    "OSError of two files": (lambda: OSError(18, "other device", "a", None, "b"), ("filename", "filename2")),
    "ImportError": (lambda: ImportError("no", name="it", path="/there"), ("msg", "name", "path")),
    "AttributeError": (lambda: lacking("'text'.nothing"), ("name", "obj")),
    "NameError": (lambda: lacking("nothing"), ("name",)),
    "SyntaxError": (lambda: lacking("compile('a b', 'file', 'exec')"), ("msg", "filename", "lineno", "offset", "text")),
    "UnicodeDecodeError": (lambda: lacking(r"b'\xff'.decode()"), ("encoding", "object", "start", "end", "reason")),
    "StopIteration": (lambda: StopIteration(7), ("value",)),
    "ExceptionGroup": (lambda: ExceptionGroup("some", [KeyError(1), OSError(2, "no", "f")]), ("message",)),
    "slots": (lambda: Slotted(7), ("code", "_Slotted__private")),
    "its own way": (lambda: Copying(code=7), ("code",)),
    "C": (invalid, ("title",)),
    "other arguments": (lambda: Named("ann"), ("name",)),
}


@pytest.mark.parametrize("which", ERRORS)
@pytest.mark.parametrize(
    "copied", [own_copy, lambda error: StoredException.of(error).rebuild()], ids=["waiter", "stored"]
)
def test_a_copy_has_all_that_the_exception_has(which: str, copied: Any) -> None:
    make, names = ERRORS[which]
    error = make()
    error.add_note("a note")
    error.more = 1  # type: ignore[attr-defined]
    error.__cause__ = KeyError("the cause")
    own = copied(error)
    assert own is not error
    assert type(own) is type(error)
    assert (str(own), repr(own)) == (str(error), repr(error))
    assert {name: getattr(own, name) for name in names} == {name: getattr(error, name) for name in names}
    if which not in ("its own way", "C"):  # which say themselves what is copied
        assert (own.args == error.args, own.more) == (which != "ExceptionGroup" or copied is own_copy, 1)
        assert own.__notes__ == ["a note"]
        assert own.__traceback__ is (error.__traceback__ if copied is own_copy else None)
    assert repr(own.__cause__) == "KeyError('the cause')"
    assert own.__suppress_context__
    own.add_note("another")
    assert error.__notes__ == ["a note"]


def test_a_copy_says_that_its_context_is_not_to_be_shown() -> None:
    error = NotFound()
    error.__suppress_context__ = True
    assert own_copy(error).__suppress_context__
    assert StoredException.of(error).rebuild().__suppress_context__


def holding(error: Any, name: str, found: object) -> Exception:
    setattr(error, name, found)
    return error


HOLDING: dict[str, Callable[[Exception], Exception]] = {
    "args": lambda found: NotFound("outer", found),
    "a list": lambda found: NotFound(["outer", found]),
    "an attribute": lambda found: holding(NotFound("outer"), "found", found),
    "a slot": lambda found: holding(Slotted(1), "code", found),
    "cause": lambda found: holding(NotFound("outer"), "__cause__", found),
    "a group": lambda found: ExceptionGroup("group", [found]),
    "cause of a cause": lambda found: holding(NotFound("outer"), "__cause__", HOLDING["cause"](found)),
}


@pytest.mark.parametrize("where", HOLDING)
def test_no_exception_in_what_is_stored_keeps_its_frames(where: str) -> None:
    class Big:
        pass

    def inner() -> tuple[Exception, Any]:
        big = Big()
        try:
            raise KeyError("inner")
        except KeyError as error:
            return error, weakref.ref(big)

    found, gone = inner()
    stored = StoredException.of(HOLDING[where](found))
    del found
    gc.collect()
    assert gone() is None
    assert "KeyError('inner')" in "".join(
        map(repr, [stored.rebuild(), vars(stored.rebuild()), getattr(stored.rebuild(), "code", ""), _causes(stored)])
    )


def _causes(stored: StoredException) -> list[BaseException]:
    causes, each = [], stored.rebuild().__cause__
    while each is not None:
        causes.append(each)
        each = each.__cause__
    return causes


class Unfaithful(LookupError):
    """One whose copy is another."""

    def __reduce__(self) -> Any:
        return LookupError, self.args


class Forgetful(LookupError):
    """One whose copy has no arguments."""

    def __reduce__(self) -> Any:
        return Forgetful, ()


class Raising(LookupError):
    """One that cannot be copied."""

    def __copy__(self) -> Any:
        raise RuntimeError


def with_cause(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


USED_UP: dict[Exception, str] = {
    HTTPError("http://a.b", 404, "no", None, io.BytesIO(b"no such thing")): "body",  # type: ignore[arg-type]
    NotFound(iter("ab")): "iterator",
    NotFound([NotFound(iter("ab"))]): "iterator of another",
    StopIteration(iter("ab")): "iterator of its value",
    with_cause(NotFound(1), NotFound(iter("ab"))): "iterator of its cause",
}
"""Exceptions with what their first reader uses up."""


@pytest.mark.parametrize(
    "error",
    [Unfaithful(1), Forgetful(1), Raising(1), NotFound(Raising(1)), *USED_UP],
    ids=["other", "empty", "raises", "inside", *USED_UP.values()],
)
def test_what_cannot_be_copied_faithfully_is_not_remembered(error: Exception) -> None:
    assert StoredException.of(error) is None


@pytest.mark.parametrize("error", [Unfaithful(1), Forgetful(1), Raising(1)], ids=["other", "empty", "raises"])
def test_what_cannot_be_copied_faithfully_is_shared_by_those_who_wait(error: Exception) -> None:
    assert own_copy(error) is error


def test_the_plain_form_has_slots_and_the_built_in_type_s_own_and_the_cause() -> None:
    allow_exception(LookupError)
    allow_exception(OSError)
    error: Any = opened("/no/such file")
    error.__cause__ = KeyError("built in")
    again: Any = StoredException.from_plain(StoredException.of(error).to_plain()).rebuild()
    assert (again.filename, str(again)) == ("/no/such file", str(error))
    assert repr(again.__cause__) == "KeyError('built in')"
    slotted: Any = StoredException.from_plain(StoredException.of(Slotted(7)).to_plain()).rebuild()
    assert (slotted.code, slotted._Slotted__private) == (7, [7])
    plain = StoredException.of(lacking("'text'.nothing")).to_plain()
    assert plain[2] == {"name": "nothing"}  # and not the object, which may have no form


def test_a_cause_that_may_not_be_made_here_is_left_out() -> None:
    allow_exception(NotFound)
    error = NotFound("a")
    error.__cause__ = Slotted(1)
    again = StoredException.from_plain(StoredException.of(error).to_plain()).rebuild()
    assert (again.args, again.__cause__, again.__suppress_context__) == (("a",), None, True)


def test_one_that_keeps_more_than_python_can_see_has_no_plain_form() -> None:
    with pytest.raises(SerializationError, match="keeps more than Python can see"):
        StoredException.of(invalid()).to_plain()


def test_the_plain_form_names_the_type() -> None:
    plain = StoredException.of(NotFound("a")).to_plain()
    assert plain == (f"{__name__}:NotFound", ("a",), {})
    allow_exception(LookupError)
    again = StoredException.from_plain(plain)
    error = again.rebuild()
    assert (type(error), error.args, vars(error)) == (NotFound, ("a",), {})


@pytest.mark.parametrize("junk", [None, "text", ("name", ()), ("name", (), {}, 1), (1, (), {}), ["name", (), {}]])
def test_what_is_no_plain_form_is_refused(junk: object) -> None:
    assert refusal(StoredException.from_plain, junk, kind=SerializationError) == (
        "what is stored is no exception's type, arguments and attributes"
    )


RAN: list[str] = []


class Acting(LookupError):
    """One whose own code does something when it is made."""

    def __new__(cls, *args: object) -> "Acting":
        RAN.append("new")
        return super().__new__(cls, *args)

    def __init__(self, *args: object) -> None:
        RAN.append("init")
        super().__init__(*args)

    def __setattr__(self, name: str, value: object) -> None:
        RAN.append(name)
        super().__setattr__(name, value)

    def __setstate__(self, state: object) -> None:
        RAN.append("setstate")


class ActingOSError(Acting, OSError):
    """One below two built-in types, of which only one can make it."""


class Closing(LookupError):
    """One that does something when it goes."""

    def __del__(self) -> None:
        RAN.append("del")


@pytest.mark.parametrize("kind", [Acting, ActingOSError])
def test_no_code_of_its_type_runs_where_bytes_make_it(kind: type[Exception]) -> None:
    RAN.clear()
    allow_exception(LookupError)
    stored = StoredException.from_plain(
        (f"{__name__}:{kind.__name__}", (2, "gone"), {"path": "/etc", "__notes__": ["n"]})
    )
    again = stored.rebuild()
    assert (type(again), again.args, vars(again)) == (kind, (2, "gone"), {"path": "/etc", "__notes__": ["n"]})
    assert RAN == []


def test_one_of_bytes_has_what_the_built_in_type_keeps() -> None:
    allow_exception(OSError)
    again = StoredException.from_plain((f"{__name__}:ActingOSError", (2, "gone"), {})).rebuild()
    assert isinstance(again, OSError)
    assert (again.errno, again.strerror) == (2, "gone")


@pytest.mark.parametrize(
    ("plain", "message"),
    [
        ((f"{__name__}:Closing", (), {}), "has a destructor"),
        (("builtins:UnicodeDecodeError", ("utf-8", 1), {}), "its arguments cannot be so"),
        (("builtins:ExceptionGroup", ("some", ["none"]), {}), "its arguments cannot be so"),
        ((f"{__name__}:NotFound", (), {"__notes__": 5}), "its arguments cannot be so"),
    ],
    ids=["destructor", "arguments", "group", "notes"],
)
def test_one_of_bytes_that_cannot_be_is_refused_when_it_is_read(plain: object, message: str) -> None:
    RAN.clear()
    allow_exception(Exception)
    with pytest.raises(SerializationError, match=message):
        StoredException.from_plain(plain)
    assert RAN == []


def test_what_no_function_has_named_is_refused() -> None:
    allow_exception(NotFound)
    for name in ("builtins:SystemExit", f"{__name__}:Named", "os:system"):
        assert refusal(StoredException.from_plain, (name, (), {}), kind=SerializationError) == (
            f"a call raised {name}, which no errors= of this process names; give all processes the same"
        )


def test_subclasses_are_allowed_however_deep_and_late() -> None:
    allow_exception(NotFound)
    with pytest.raises(SerializationError):
        StoredException.from_plain((f"{__name__}:Later", (), {}))

    class Between(NotFound):
        pass

    class Later(Between):
        pass

    Later.__qualname__ = "Later"
    for kind in (NotFound, Between, Later):
        assert type(StoredException.from_plain((f"{__name__}:{kind.__qualname__}", (), {})).rebuild()) is kind


def test_of_two_with_one_name_it_is_the_one_that_was_allowed_first() -> None:
    first, second = (type("Twice", (LookupError,), {"__module__": __name__}) for _ in range(2))
    allow_exception(first)
    allow_exception(second)
    allow_exception(first)
    assert _stored_exception._allowed == [first, second]
    assert type(StoredException.from_plain((f"{__name__}:Twice", (), {})).rebuild()) is first
