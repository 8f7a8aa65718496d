"""Questions of right and wrong that any caching decorator can be asked: `benchmarks.peers` asks them.

A question is given a subject. It returns where the answer is right, and raises Wrong with what came instead. What else
comes out of it is a wrong answer, too, but NotAsked: it makes no sense for this subject.
"""

import array
import asyncio
import contextlib
import dataclasses
import enum
import functools
import gc
import multiprocessing
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from benchmarks.peers import Subject

AT_ONCE: Final = 6  # threads, or tasks
SHORT_LIVED: Final = 50  # instances
PATIENCE: Final = 2.0  # seconds that one thread waits for another one, in a question

QUESTIONS: Final[dict[str, Callable[["Subject"], None]]] = {}


class Wrong(Exception):
    """Not the right answer; the message says what came."""


class NotAsked(Exception):
    """Not a question for this subject; the message says why."""


def question(title: str) -> Callable[[Callable[["Subject"], None]], Callable[["Subject"], None]]:
    """Add a question under its *title*, which says what is right."""

    def added(ask: Callable[["Subject"], None]) -> Callable[["Subject"], None]:
        QUESTIONS[title] = ask
        return ask

    return added


def want(right: bool, came: object) -> None:
    """Raise Wrong with what *came* if it is not *right*."""
    if not right:
        raise Wrong(str(came))


def want_one(calls: list[Any]) -> None:
    want(len(calls) == 1, f"{len(calls)} computations")


# ---- keys --------------------------------------------------------------------------------------------------------


@question("equal calls, spelt in six ways, are computed once")
def spelt(subject: "Subject") -> None:
    calls = []

    def spelt_calls(a: int, b: int = 2) -> int:
        calls.append(1)
        return a + b

    f = subject.function(spelt_calls)
    f(1), f(1, 2), f(1, b=2), f(a=1, b=2), f(b=2, a=1), f(a=1)
    want_one(calls)


@question("no two calls share a value")
def shared(subject: "Subject") -> None:
    def told(*values: object) -> str:
        return f"{[(type(value).__name__, str(value)) for value in values]}"

    f = subject.function(told)
    groups: tuple[Iterable[tuple[object, ...]], ...] = (
        (("a b", "c"), ("a", "b c")),
        ((1,), ("1",)),
        ((True,), ("true",), (1,), (1.0,)),
        ((None,), ("None",), ("",)),
        (("1:2",), ("1", "2")),
    )
    mixed = [words for group in groups for words in group if f(*words) != told(*words)]
    want(not mixed, "another's value for " + ", ".join(repr(words)[1:-1].rstrip(",") for words in mixed))


@question("lists can be arguments")
def unhashable(subject: "Subject") -> None:
    calls = []

    def summed(numbers: list[int]) -> int:
        calls.append(1)
        return sum(numbers)

    f = subject.function(summed)
    want([f([1, 2]), f([3]), f([1, 2])] == [3, 3, 3] and len(calls) == 2, f"{len(calls)} computations of 2")


@question("an enum's members that it makes itself are told apart")
def made_members(subject: "Subject") -> None:
    def status(code: int) -> int:
        return int(code)

    f = subject.function(status)
    came = []
    with subject.may_refuse():
        came = [f(Code(499)), f(Code(599))]
    want(came in ([499, 599], []), came)


class Code(enum.IntEnum):
    """Statuses; those that are not known are all called alike."""

    OK = 200

    @classmethod
    def _missing_(cls, value: object) -> "Code":
        member = int.__new__(cls, value)  # type: ignore[call-overload]
        member._name_, member._value_ = "UNKNOWN", value
        return member  # type: ignore[no-any-return]


@question("a class that is defined anew is another argument")
def defined_anew(subject: "Subject") -> None:
    def limit_of(kind: Any) -> int:
        return int(kind.limit)

    f = subject.function(limit_of)
    came = []
    for limit in (1, 2):
        kind = type("Settings", (), {"limit": limit, "__module__": __name__})
        globals()["Settings"] = kind
        with subject.may_refuse():
            came.append(f(kind))
    want(came in ([1, 2], []), came)


@question("a dataclass on a type with content counts by that, too")
def on_content(subject: "Subject") -> None:
    def total(samples: Any) -> int:
        return int(sum(samples))

    f = subject.function(total)
    came = []
    with subject.may_refuse():
        came = [f(Samples([1, 2])), f(Samples([10, 20]))]
    want(came in ([3, 30], []), came)


@dataclasses.dataclass(eq=False)
class Samples(array.array):  # type: ignore[type-arg]
    """Numbers with a unit."""

    unit: str = "V"

    def __new__(cls, numbers: list[int]) -> "Samples":
        return array.array.__new__(cls, "i", numbers)

    def __init__(self, numbers: list[int]) -> None:
        self.unit = "V"


# ---- which function, which instance ------------------------------------------------------------------------------


@question("functions that wear one name keep their own values")
def one_name(subject: "Subject") -> None:
    def times(factor: int) -> Callable[[int], int]:
        @functools.wraps(price)
        def wrapper(number: int) -> int:
            return factor * price(number)

        return wrapper

    came = []
    with subject.may_refuse():
        net, gross = subject.plain(times(1)), subject.plain(times(2))
        came = [net(10), gross(10)]
    want(came in ([10, 20], []), came)


def price(number: int) -> int:
    return number


@question("two instances get a value each")
def two_instances(subject: "Subject") -> None:
    kind = _with_a_cached_method(subject, "Account")
    accounts = [kind(1), kind(2)]
    with subject.may_refuse():
        came = [subject.result(account.tell()) for account in accounts]
        want(came == [1, 2], came)


@question("fifty instances that come and go get a value each")
def short_lived(subject: "Subject") -> None:
    kind = _with_a_cached_method(subject, "Visit")
    with subject.may_refuse():
        wrong = sum(subject.result(kind(number).tell()) != number for number in range(SHORT_LIVED))
        want(not wrong, f"{wrong} of {SHORT_LIVED} wrong")


@question("an instance is not kept alive")
def kept_alive(subject: "Subject") -> None:
    kind = _with_a_cached_method(subject, "Order")
    order = kind(1)
    with subject.may_refuse():
        subject.result(order.tell())
    there = weakref.ref(order)
    del order
    gc.collect()
    want(there() is None, "it is")


def _with_a_cached_method(subject: "Subject", name: str) -> Any:
    """Return a class, which this module has by its *name*, as pickle wants it."""

    def __init__(self: Any, number: int) -> None:
        self.number = number

    def tell(self: Any) -> int:
        return int(self.number)

    globals()[name] = type(name, (), {"__init__": __init__, "tell": subject.method(tell), "__module__": __name__})
    return globals()[name]


@question("the function gets what the caller wrote")
def as_written(subject: "Subject") -> None:
    def by_ten(function: Callable[..., int]) -> Callable[..., int]:
        @functools.wraps(function)
        def wrapper(x: int, scale: int = 10) -> int:
            return function(x, scale)

        return wrapper

    def with_session(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **options: Any) -> Any:
            return function(*args, **{"session": "made", **options})

        return wrapper

    def by_word(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **options: Any) -> Any:
            return options["word"], function(*args, **options)

        return wrapper

    def scaled(x: int, scale: int = 1) -> int:
        return x * scale

    def loaded(x: int, session: Any = None) -> Any:
        return x, session

    def echoed(word: str) -> str:
        return word

    plain = [by_ten(scaled)(2), with_session(loaded)(1), by_word(echoed)(word="a")]
    fs = [subject.function(each) for each in (by_ten(scaled), with_session(loaded), by_word(echoed))]
    came = [fs[0](2), fs[1](1), fs[2](word="a")]
    want([*map(_listed, came)] == [*map(_listed, plain)], came)


def _listed(value: Any) -> Any:
    """Return *value* with lists for tuples, as JSON gives them back."""
    return [*value] if isinstance(value, tuple) else value


# ---- results -----------------------------------------------------------------------------------------------------


@question("None is a result like any")
def none(subject: "Subject") -> None:
    calls = []

    def nothing(number: int) -> None:
        calls.append(number)

    f = subject.function(nothing)
    f(1), f(1)
    want_one(calls)


@question("a caller's change of its list is not seen by the next, where copies are asked for")
def changed_list(subject: "Subject") -> None:
    def listed(number: int) -> list[int]:
        return [number]

    f = subject.function(listed, copy=True)
    f(1).append(2)
    came = f(1)
    want(came == [1], came)


@question("a generator function's items come twice")
def generated(subject: "Subject") -> None:
    def counted(number: int) -> Iterator[int]:
        yield from range(number)

    with subject.may_refuse():
        f = subject.function(counted)
        came = [[*f(3)], [*f(3)]]
        want(came == [[0, 1, 2]] * 2, came)


@question("an iterator that was used up is not handed out")
def used_up(subject: "Subject") -> None:
    def squares(number: int) -> Iterator[int]:
        return map(_squared, range(number))

    f = subject.function(squares)
    came = [[*f(3)], [*f(3)]]
    want(came == [[0, 1, 4]] * 2, came)


def _squared(x: int) -> int:
    return x * x


@question("after an exception the next call computes")
def after_an_exception(subject: "Subject") -> None:
    calls = []

    def failing(number: int) -> int:
        calls.append(number)
        if len(calls) == 1:
            raise ValueError("the first time")
        return number

    f = subject.function(failing)
    with contextlib.suppress(ValueError):
        f(1)
    came = f(1)
    want(came == 1 and len(calls) == 2, came)


# ---- at once -----------------------------------------------------------------------------------------------------


@question("six threads, one cold key: one computation")
def six_threads(subject: "Subject") -> None:
    if subject.only_awaited:
        raise NotAsked("for coroutine functions only")
    calls, all_here = [], threading.Barrier(AT_ONCE)
    slowly = threading.Event()

    def cold(number: int) -> int:
        calls.append(number)
        slowly.wait(0.3)  # long enough for the others to come; nobody sets it
        return number

    f = subject.function(cold)

    def call() -> None:
        all_here.wait(PATIENCE)
        f(1)

    threads = [threading.Thread(target=call, daemon=True) for _ in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    want_one(calls)


@question("six tasks, one cold key: one computation")
def six_tasks(subject: "Subject") -> None:
    calls = []

    async def awaited_cold(number: int) -> int:
        calls.append(number)
        await asyncio.sleep(0.2)
        return number

    f = subject.coroutine_function(awaited_cold)

    async def main() -> None:
        await asyncio.gather(*(f(1) for _ in range(AT_ONCE)))

    subject.run(main())
    want_one(calls)


@question("who waits is not cancelled with who computes")
def cancelled(subject: "Subject") -> None:
    async def awaited_long(number: int) -> int:
        await asyncio.sleep(0.2)
        return number

    f = subject.coroutine_function(awaited_long)

    async def main() -> object:
        first = asyncio.ensure_future(f(1))
        await asyncio.sleep(0.05)
        second = asyncio.ensure_future(f(1))
        await asyncio.sleep(0.05)
        first.cancel()
        return (await asyncio.gather(second, return_exceptions=True))[0]

    came = subject.run(main())
    want(came == 1, type(came).__name__)


@question("a function that calls itself with its own key ends")
def own_key(subject: "Subject") -> None:
    calls: list[int] = []
    made = SimpleNamespace()

    def recursive(number: int) -> int:
        calls.append(number)
        return number if len(calls) > 1 else int(made.f(number))

    if subject.only_awaited:
        raise NotAsked("for coroutine functions only")
    made.f = subject.function(recursive)
    came = made.f(1)
    want(came == 1, came)


@question("what was forgotten while it was computed is not served")
def fence(subject: "Subject") -> None:
    if subject.only_awaited:
        raise NotAsked("for coroutine functions only")
    world = ["old"]
    begun, forgotten = threading.Event(), threading.Event()

    def read(number: int) -> str:
        seen = world[0]
        begun.set()
        forgotten.wait(PATIENCE)
        return seen

    f = subject.function(read)
    thread = threading.Thread(target=f, args=(1,), daemon=True)
    thread.start()
    begun.wait(PATIENCE)
    world[0] = "new"
    subject.forget(f, 1)
    forgotten.set()
    thread.join(PATIENCE)
    came = f(1)
    want(came == "new", came)


# ---- views -------------------------------------------------------------------------------------------------------


@question("a page of Flask is nobody else's")
def pages(subject: "Subject") -> None:
    from flask import request

    app, decorate = subject.flask()
    calls = []

    @app.route("/page", methods=["GET", "POST"])
    @decorate
    def page() -> Any:
        calls.append(1)
        who = request.headers.get("Authorization", "nobody")
        body = f"{request.method} {request.args.get('page', 1)} {who} {len(calls)}"
        if request.args.get("fail"):
            return body, 500
        return body, 200, {"Set-Cookie": "session=mine"} if request.args.get("cookie") else {}

    client = app.test_client(use_cookies=False)
    wrong = []
    first = client.get("/page").text
    if client.get("/page?page=2").text.split()[1] != "2":
        wrong.append("another page of a list")
    if client.post("/page").text.split()[0] != "POST":
        wrong.append("POST")
    if client.get("/page", headers={"Authorization": "Ada"}).text.split()[2] != "Ada":
        wrong.append("another user")
    client.get("/page?cookie=1")
    if client.get("/page?cookie=1").text.split()[3] != str(len(calls)):
        wrong.append("another's cookie")
    client.get("/page?fail=1")
    if client.get("/page?fail=1").text.split()[3] != str(len(calls)):
        wrong.append("an error")
    want(bool(first) and not wrong, ", ".join(wrong))


@question("a page's ETag is the same in every worker")
def same_etag(subject: "Subject") -> None:
    subject.flask()
    workers = multiprocessing.get_context("spawn")
    tags = set()
    for _ in range(2):
        with workers.Pool(1) as pool:
            tags.add(pool.apply(_etag, (subject.name,)))
    want(len(tags) == 1 and None not in tags, "none" if None in tags else "two")


def _etag(name: str) -> str | None:
    from benchmarks.peers import SUBJECTS

    app, decorate = SUBJECTS[name]().flask()
    app.route("/page")(decorate(_hello))
    return app.test_client().get("/page").headers.get("ETag")  # type: ignore[no-any-return]


def _hello() -> str:
    return "hello"
