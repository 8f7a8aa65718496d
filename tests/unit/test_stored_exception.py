"""Remembered exceptions: what is kept of one, and what may be made of what a cache holds."""

import pytest

from memocache import SerializationError, _stored_exception
from memocache._stored_exception import StoredException, allow_exception


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


class Tagged(LookupError):
    """One that notes how it was made."""

    def __new__(cls, *args: object) -> "Tagged":
        made = super().__new__(cls, *args)
        made.seen = args  # type: ignore[attr-defined]
        return made


@pytest.fixture(autouse=True)
def nothing_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stored_exception, "_allowed", [])
    monkeypatch.setattr(_stored_exception, "_by_name", {})


def test_an_exception_comes_back_with_its_type_arguments_and_attributes() -> None:
    error = NotFound("a", 1)
    error.code = 404  # type: ignore[attr-defined]
    again = StoredException.of(error).rebuild()
    assert (type(again), again.args, vars(again)) == (NotFound, ("a", 1), {"code": 404})
    assert again is not error
    assert again.__traceback__ is None


def test_the_constructor_makes_it_where_it_can() -> None:
    made = []

    class Counting(NotFound):
        def __init__(self, *args: object) -> None:
            made.append(args)

    assert StoredException(Counting, (1,), {}).rebuild().args == (1,)
    assert made == [(1,)]


def test_one_whose_constructor_makes_another_of_its_arguments_is_made_without_it() -> None:
    again = StoredException.of(Named("ann")).rebuild()
    assert (type(again), again.args, vars(again)) == (Named, ("no user ann",), {"name": "ann"})


def test_one_that_refuses_its_own_arguments_is_made_without_its_constructor() -> None:
    again = StoredException.of(Refusing(code=7)).rebuild()
    assert (type(again), again.args) == (Refusing, (7,))


def test_its_arguments_are_there_when_it_is_made() -> None:
    class Odd(Tagged):
        def __init__(self, *, code: int) -> None:
            super().__init__(code)

    assert StoredException(Odd, (1, 2), {}).rebuild().seen == (1, 2)  # type: ignore[attr-defined]


def test_the_plain_form_names_the_type() -> None:
    plain = StoredException.of(NotFound("a")).to_plain()
    assert plain == (f"{__name__}:NotFound", ("a",), {})
    allow_exception(LookupError)
    again = StoredException.from_plain(plain)
    assert (again.kind, again.arguments, again.attributes) == (NotFound, ("a",), {})


@pytest.mark.parametrize("junk", [None, "text", ("name", ()), ("name", (), {}, 1), (1, (), {}), ["name", (), {}]])
def test_what_is_no_plain_form_is_refused(junk: object) -> None:
    with pytest.raises(SerializationError) as refused:
        StoredException.from_plain(junk)
    assert str(refused.value) == "what is stored is no exception's type, arguments and attributes"


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
        with pytest.raises(SerializationError) as refused:
            StoredException.from_plain((name, (), {}))
        assert str(refused.value) == (
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
        assert StoredException.from_plain((f"{__name__}:{kind.__qualname__}", (), {})).kind is kind


def test_of_two_with_one_name_it_is_the_one_that_was_allowed_first() -> None:
    first, second = (type("Twice", (LookupError,), {"__module__": __name__}) for _ in range(2))
    allow_exception(first)
    allow_exception(second)
    allow_exception(first)
    assert _stored_exception._allowed == [first, second]
    assert StoredException.from_plain((f"{__name__}:Twice", (), {})).kind is first
