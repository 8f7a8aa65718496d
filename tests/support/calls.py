"""Functions of many signatures, and what can be done with them, drawn by chance: for comparing ways to do it.

A Subject is data: `defined` makes the same functions of it again and again, ordinary ones or coroutine functions, each
decorated as somebody else likes. So are its Operations, which follow from a seed; whatever they are done with, its
computations only note what they were given, and do what they are told to.
"""

import functools
import inspect
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import BoundArguments, Parameter, Signature
from random import Random
from types import CodeType
from typing import Any, Final, TypeAlias

# ---- arguments ---------------------------------------------------------------------------------------------------

CONFUSABLE: Final = [
    *(0, False, 0.0, -0.0, 0j, "0", b"0", "", None, "None", ()),
    *(1, True, 1.0, 1 + 0j, "1", b"1", math.nan, math.inf, -math.inf, "nan"),
    *((0.0,), (-0.0,), (1,), (True,), [1], {1: 1}, {1: True}, {True: 1}),
]


class Named:
    """Keyable by a name, whatever its other special methods do."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __cache_key__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return self.name


class Liar(Named):
    def __hash__(self) -> int:
        return hash(1)

    def __eq__(self, other: object) -> bool:
        return True


class LyingType(type):
    def __eq__(cls, other: object) -> bool:
        return True

    __hash__ = type.__hash__


class LiarThroughout(Liar, metaclass=LyingType):
    pass


class Unhashable(Named):
    __hash__ = None


class Bomb(Named):
    def __hash__(self) -> int:
        raise RuntimeError("hash")

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("eq")


class SlowBomb(Bomb):
    def __hash__(self) -> int:
        return hash(1)


class LyingText(str):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = str.__hash__


class Unkeyable:
    def __repr__(self) -> str:
        return "Unkeyable()"


NUMBERS: Final[tuple[Any, ...]] = (1, 2, 3)
# Values that one parameter is given in turn: those that a table takes for one another are together.
POOLS: Final[tuple[tuple[Any, ...], ...]] = (
    NUMBERS,
    (0, False, 0.0, -0.0, 0j),
    (1, True, 1.0, "1"),
    ("a", "b", "", None),
    ("a", LyingText("a"), b"a"),
    (math.nan, float("nan"), math.inf, "nan"),
    ((1,), (True,), [1], [1.0], {"k": 1}),
    (1, Liar("liar"), LiarThroughout("liar"), "liar"),
    (1, Unhashable("unhashable"), Bomb("bomb"), SlowBomb("slow bomb")),
    (1, Unkeyable(), [Unkeyable()]),
)


# ---- subjects ----------------------------------------------------------------------------------------------------


class Missing(LookupError):
    """An exception whose constructor takes other arguments than those that it has."""

    def __init__(self, number: int, what: str) -> None:
        super().__init__(f"no {what}, {number}")
        self.number = number


class Stall:
    """What a method's class is derived from."""

    __slots__ = ("__dict__", "__weakref__", "number")

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"stall {self.number}"


class EqualStall(Stall):
    """An instance that equals every other."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1


class KeyedStall(Stall):
    """An instance whose key changes while it lives."""

    __slots__ = ()

    def __cache_key__(self) -> object:
        return "stall", self.number // 2


class ListStall(list[int]):
    """An instance that is what a plain value is, and can be held weakly."""

    def __init__(self, number: int) -> None:
        super().__init__([number])
        self.number = number


class HeavyStall:
    """An instance that cannot be held weakly, and has no key."""

    __slots__ = ("number",)

    __init__ = Stall.__init__
    __repr__ = Stall.__repr__


FORMS: Final = {
    "function": """\
@decorated
{define} f({parameters}):
    return {answer}
""",
    "method": """\
class Owner(Stall):
    __slots__ = ()
    @decorated
    {define} f(self, {parameters}):
        return {answer}
""",
    "assigned method": """\
class Owner(Stall):
    __slots__ = ()
{define} f(self, {parameters}):
    return {answer}
Owner.f = decorated(f)
""",
    **{
        f"{kind} {where}": f"""\
class Owner(Stall):
    __slots__ = ()
    {first}
    {second}
    {{define}} f({instance}{{parameters}}):
        return {{answer}}
"""
        for kind, instance in (("classmethod", "cls, "), ("staticmethod", ""))
        for where, first, second in (("inside", "@decorated", f"@{kind}"), ("outside", f"@{kind}", "@decorated"))
    },
}
DEEDS: Final = {
    "new": "return a new list",
    "empty": "return None, False, 0 and the like in turn",
    "none": "return None",
    "missing": "raise an exception with attributes",
    "wrong": "raise an exception with a cause",
    "quit": "raise what is no Exception",
    "slow": "let some seconds pass",
    "uncache": "forget the call that is computed",
    "put": "store something for that call",
    "again": "make that call once more",
    "other": "make another call",
}
OTHER: Final = """\
class Other(Owner):
    __slots__ = ()
"""
VARIADIC: Final = (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
BOUND: Final = frozenset({"method", "assigned method", "classmethod inside", "classmethod outside"})
"""The forms whose function has the instance or the class as its first parameter."""


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """What is called: a function with these *parameters*, in this *form*, decorated with these *options*.

    Args:
        parameters: as they stand in a `def`; without a method's instance or class.
        options: those of `cached`.
        form: what it is: one of FORMS.
        deeds: what a computation does, one of DEEDS by chance.
        base: what a method's class is derived from.
        functions: how many functions there are, of one namespace.
        pools: what the parameters are given; by chance if there are none.
        threshold: how many entries its cache holds.
        is_by_name: whether its cache goes by a name, and others may come under that.
        has_shortcut: whether a call may find what is stored without making its key.
    """

    parameters: str
    options: Mapping[str, Any] = field(default_factory=dict)
    form: str = "function"
    deeds: Sequence[str] = ("new",)
    base: type = Stall
    functions: int = 1
    pools: Sequence[tuple[Any, ...]] = ()
    threshold: int = 1000
    is_by_name: bool = False
    has_shortcut: bool = True

    def __str__(self) -> str:
        options = ", ".join(f"{name}={_shown(value)}" for name, value in self.options.items())
        base = f" of {self.base.__name__}" if self.base is not Stall else ""
        rest = [
            *([f"computing {'|'.join(dict.fromkeys(self.deeds))}"] if set(self.deeds) != {"new"} else []),
            *([f"threshold={self.threshold}"] if self.threshold < 1000 else []),
            *([f"{self.functions} functions"] if self.functions > 1 else []),
            *(["cache by name"] if self.is_by_name else []),
        ]
        return " ".join([f"{self.form}{base} ({self.parameters})", *([options] if options else []), *rest])

    @property
    def signature(self) -> Signature:
        """The parameters that a caller gives arguments for."""
        return _signature(self.parameters)

    @property
    def is_method(self) -> bool:
        return self.form != "function"


@functools.cache
def _signature(parameters: str) -> Signature:
    made: dict[str, Any] = {}
    exec(f"def f({parameters}): ...", made)
    return inspect.signature(made["f"])


def _shown(value: object) -> str:
    if inspect.isfunction(value):
        return value.__name__
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_shown(name)}: {each}" for name, each in value.items()) + "}"
    return value.__name__ if isinstance(value, type) else repr(value)


def defined(
    subject: Subject, decorated: Callable[[Any], Any], computed: Callable[[dict[str, Any]], Any], *, is_async: bool
) -> Any:
    """Return the function of *subject*, or the class that has it as its `f` and a subclass of that: new ones.

    It returns what *computed* does, which is told its arguments by the names of its parameters; for a coroutine
    function, what that can be awaited for.
    """
    made: dict[str, Any] = {"__name__": __name__, "Stall": subject.base, "decorated": decorated, "computed": computed}
    exec(_code(subject.form, subject.parameters, is_async), made)
    return (made["Owner"], made["Other"]) if subject.is_method else made["f"]


def publish(*classes: type) -> None:
    """Put *classes* where those of a key are looked for, under their names in this module; instead of any others."""
    globals().update({each.__name__: each for each in classes})


@functools.cache
def _code(form: str, parameters: str, is_async: bool) -> CodeType:
    source = (FORMS[form] + OTHER * (form != "function")).format(
        define="async def" if is_async else "def",
        parameters=parameters,
        answer=f"{'await ' if is_async else ''}computed(locals())",
    )
    return compile(source, "<subject>", "exec")


# ---- which subjects there are ------------------------------------------------------------------------------------


def first_of(a: Any, b: Any = 2) -> Any:
    """Stand for key=: some calls that differ count as one."""
    return (a, str(b)) if b else a


def raising(a: Any, b: Any = 2) -> Any:
    """Stand for key= that refuses some calls."""
    if a == 1:
        raise ValueError(f"no key for {a!r}")
    return a


def is_empty(result: object) -> bool:
    """Stand for unless=."""
    return not result


def by_result(result: object) -> float | None:
    """Stand for timeout=: for ever, not at all, or ten seconds."""
    if result is None:
        return None
    return 10 if result else 0


def uneven(result: Any) -> str:
    """Stand for timeout= that cannot cope with some results."""
    return f"{10 if result else 'ten'}s"


VALUES: Final = ("new", "new", "new", "empty")
FALLIBLE: Final = ("new", "new", "new", "missing", "wrong")
BUSY: Final = ("new", "new", "new", "empty", "missing", "slow", "uncache", "again", "put", "other")
MANY: Final[tuple[Any, ...]] = tuple(range(12))

CHOSEN: Final = (
    # Signatures
    Subject("", deeds=VALUES),
    Subject("a"),
    Subject("a", pools=((0, False, 0.0, -0.0, 1, True, 1.0),)),
    Subject("a, b=2", pools=((1, True, 1.0), (2, 2.0, "2"))),
    Subject("a, b=2, /", deeds=VALUES),
    Subject("a, /, b, *, c=True"),
    Subject("*, a, b=None"),
    Subject("a=0.0, b=-0.0, *, c='', d=None", deeds=VALUES),
    Subject("entry, table=1, *, clock=True, _memocache_run=None"),
    Subject("*args", has_shortcut=False),
    Subject("a, *args", has_shortcut=False),
    Subject("a, /, **rest", has_shortcut=False),
    Subject("a=1, *args, b=0, **rest", has_shortcut=False),
    Subject("a, /, b=1, *args, c, d=-0.0, **rest", deeds=VALUES, has_shortcut=False),
    # What computations do
    Subject("a, b=2", deeds=VALUES, pools=(NUMBERS, NUMBERS)),
    Subject("a, b=2", deeds=FALLIBLE, pools=(NUMBERS, NUMBERS)),
    Subject("a, b=2", deeds=("new", "new", "quit")),
    Subject("a, /, *, b=2", {"timeout": 10}, deeds=BUSY, pools=(NUMBERS, NUMBERS)),
    Subject("a", deeds=BUSY, pools=(NUMBERS,)),
    # Options
    Subject("a, b=2", {"timeout": 10, "jitter": 0.5}, pools=(NUMBERS, NUMBERS)),
    Subject("a, b=2", {"timeout": None, "version": 3}),
    Subject("a", {"timeout": by_result}, deeds=("new", "empty")),
    Subject("a", {"timeout": uneven}, deeds=("new", "new", "empty")),
    Subject("a, b=2", {"timeout": 10, "unless": is_empty}, deeds=("new", "empty")),
    Subject("a, b=2", {"timeout": 10, "errors": {Missing: 20, KeyError: None}}, deeds=FALLIBLE),
    Subject("a, b=2", {"timeout": 10, "stale": 40}, deeds=FALLIBLE, pools=(NUMBERS, (2, 2.0))),
    Subject("a", {"timeout": 10, "stale": 40, "errors": {Missing: 5}}, deeds=BUSY, pools=(NUMBERS,)),
    Subject("a, b=2", {"ignore": ("b",)}, pools=(NUMBERS, POOLS[-1])),
    Subject("a, *args, **rest", {"ignore": ("args", "rest")}),
    Subject("a, b=2, c=3", {"key": "it:{c}:{a}"}),
    Subject("a, b=2", {"key": first_of}, has_shortcut=False),
    Subject("a, b=2", {"key": raising}, has_shortcut=False),
    Subject("a, b=2", {"copy": True}, has_shortcut=False),
    Subject("a, /, b=2", {"timeout": 10, "copy": list}, deeds=("new", "new", "none"), has_shortcut=False),
    Subject("a, b=2", {"tags": ("tag:{a}", "all")}, pools=((*NUMBERS, "1"), (2, 2.0))),
    Subject(
        "a, *, b=2",
        {"tags": ("{a}",), "key": "{b}", "timeout": 10},
        pools=((1, True, (1,)), NUMBERS),
        has_shortcut=False,
    ),
    # Caches
    Subject("a", threshold=6, pools=(MANY,)),
    Subject("a, b=2", {"timeout": 10}, threshold=6, pools=(MANY, (2,))),
    Subject("a, b=2", is_by_name=True),
    Subject("a", {"timeout": 10, "stale": 40}, is_by_name=True, functions=2, pools=(NUMBERS,)),
    Subject("a, b=2", functions=2, pools=((1, True, 1.0), (2, 2.0))),
    # Methods
    Subject("", form="method", deeds=VALUES),
    Subject("a", form="method"),
    Subject("a, b=2", {"timeout": 10}, form="method", deeds=FALLIBLE),
    Subject("a, /, *, b=2", form="method", base=EqualStall),
    Subject("a", form="method", base=KeyedStall, has_shortcut=False),
    Subject("a", form="method", base=ListStall),
    Subject("a", form="method", base=HeavyStall, has_shortcut=False),
    Subject("a, b=2", {"ignore": ("self",)}, form="method"),
    Subject("a, *args", form="method", has_shortcut=False),
    Subject("a, b=2", form="assigned method"),
    Subject("a, b=2", form="classmethod inside"),
    Subject("a", {"tags": ("tag:{a}",)}, form="classmethod outside", pools=(NUMBERS,)),
    Subject("a, b=2", form="staticmethod inside"),
    # Below @staticmethod, a function is not known for one when its call is written.
    Subject("a", form="staticmethod outside", deeds=VALUES, has_shortcut=False),
)


def _drawn_signature(chance: Random) -> str:
    """Draw parameters of all kinds, some with defaults: as they stand in a `def`."""
    names, has_default = iter("abcdefghijkl"), False

    def parameter(is_named: bool) -> str:
        nonlocal has_default
        has_default = chance.random() < 0.4 or (has_default and not is_named)
        return next(names) + (f"={chance.choice(DEFAULTS)}" if has_default else "")

    only_positional = [parameter(is_named=False) for _ in range(chance.choice((0, 0, 1, 2)))]
    usual = [parameter(is_named=False) for _ in range(chance.choice((0, 1, 1, 2, 3, 6)))]
    only_named = [parameter(is_named=True) for _ in range(chance.choice((0, 0, 1, 2)))]
    star = chance.choice((["*args"], ["*"] * bool(only_named), ["*"] * bool(only_named)))
    rest = ["**rest"] if chance.random() < 0.2 else []
    return ", ".join([*only_positional, *["/"] * bool(only_positional), *usual, *star, *only_named, *rest])


def _drawn_subjects(number: int, chance: Random) -> Iterator[Subject]:
    """Draw so many subjects, no two of which have the same signature."""
    for parameters in itertools.islice(dict.fromkeys(_drawn_signature(chance) for _ in range(10 * number)), number):
        yield Subject(
            parameters,
            chance.choice(({}, {}, {"timeout": 10}, {"timeout": 10, "version": 1})),
            form=chance.choice(("function", "function", "function", "method", "classmethod inside")),
            deeds=chance.choice((("new",), VALUES, FALLIBLE)),
            has_shortcut="*args" not in parameters and "**" not in parameters,
        )


DEFAULTS: Final = ("1", "2", "0.0", "-0.0", "None", "True", "''", "()")
SUBJECTS: Final = (*CHOSEN, *_drawn_subjects(50, Random("signatures")))


# ---- operations --------------------------------------------------------------------------------------------------

Spelling: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]

INSTANCES: Final = 3
CALLING: Final = {"call": 70, "uncache": 5, "put": 4, "refresh": 4, "peek": 4, "many": 3}
BY_KEY: Final = {"key": 2, "delete": 1, "set": 1}
"""What a key is for, where it is the same whoever makes it: elsewhere an instance has a number in it."""
OTHERS: Final = {"tick": 12, "info": 4, "uncache_all": 1, "clear": 1, "cache_clear": 1}
MAY_BE_DISABLED: Final = frozenset({"call", "put", "refresh", "peek", "many"})
TICKS: Final = (1, 5, 9, 10, 11, 40, 61)  # seconds; the options above have timeouts of 10


@dataclass(frozen=True, slots=True, eq=False)
class Operation:
    """One thing that is done: what *verb* says, with a call of these *args* and *kwargs* or with what is *given*.

    Args:
        verb: the name of what a cached function can do, or "call", "tick", "clear", "renew", "configure", ...
        given: seconds, a value, a tag, spellings: what the verb needs besides a call.
        which: the function or the instance.
        is_by_class: whether a method is reached through its class.
        disabled: "here" or "everywhere" if it is done while caching is.
        in_thread: whether it is done in a thread of its own.
    """

    verb: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)
    given: Any = None
    which: int = 0
    is_by_class: bool = False
    disabled: str = ""
    in_thread: bool = False

    def __str__(self) -> str:
        spelt = [*map(repr, self.args), *(f"{name}={value!r}" for name, value in self.kwargs.items())]
        if self.given is not None:
            spelt.insert(0, repr(self.given))
        where = "class" if self.is_by_class else f"{self.which}"
        how = f", disabled {self.disabled}" * bool(self.disabled) + ", in a thread" * self.in_thread
        return f"{self.verb}({', '.join(spelt)}) of {where}{how}"


def operations(subject: Subject, chance: Random, calls: int) -> Iterator[Operation]:
    """Draw what is done with *subject*, until there are so many *calls*; then its figures are asked for."""
    caller = _Caller(subject, chance)
    verbs = {**CALLING, **OTHERS}
    if subject.form not in BOUND:
        verbs |= BY_KEY
    if subject.is_method:
        verbs |= {"renew": 4, "change": 2}
    if subject.is_by_name:
        verbs["configure"] = 3
    if "tags" in subject.options:
        verbs |= {"uncache_tag": 3, "uncache_where": 3}
    while calls:
        (verb,) = chance.choices([*verbs], [*verbs.values()])
        calls -= verb == "call"
        which = chance.randrange(INSTANCES if subject.is_method else subject.functions)
        disabled = ""
        if verb in MAY_BE_DISABLED and chance.random() < 0.04:
            disabled = chance.choice(["here", "everywhere"])
        args, kwargs = caller.spelling() if verb in CALLING or verb in BY_KEY else ((), {})
        given: Any = None
        if verb == "many":
            given = [caller.of_many() for _ in range(chance.randrange(4))]
            args, kwargs = (), {}
        elif verb in ("put", "set"):
            given = chance.choice([["put"], None, 0, "put"])
        elif verb == "tick":
            given = chance.choice(TICKS)
        elif verb == "uncache_tag":
            given = f"tag:{caller.value()}"
        elif verb == "uncache_where":
            kwargs = {caller.first: caller.value()}
        is_by_class = subject.is_method and chance.random() < 0.2
        yield Operation(verb, args, kwargs, given, which, is_by_class, disabled, chance.random() < 0.05)
    for which in range(subject.functions):
        yield Operation("info", which=which)


def plainest(subject: Subject) -> Operation:
    """Return the call of *subject* that gives 2 for every parameter."""
    given = {name: 2 for name, each in subject.signature.parameters.items() if each.kind not in VARIADIC}
    args, kwargs = spelt(subject.signature, given)
    return Operation("call", args, kwargs)


class _Caller:
    """Draws calls of one subject: often one that there was before, spelt anew."""

    def __init__(self, subject: Subject, chance: Random) -> None:
        self._chance = chance
        self._parameters = [*subject.signature.parameters.values()]
        pools = subject.pools or [chance.choice(POOLS) for _ in self._parameters]
        if not subject.pools:  # most are of what may be served without a key
            pools = [pool if chance.random() < 0.6 else chance.choice(POOLS[:4]) for pool in pools]
        self._pools = {each.name: pool for each, pool in zip(self._parameters, pools, strict=True)}
        self.first = self._parameters[0].name if self._parameters else ""
        self._drawn: list[dict[str, Any]] = []

    def value(self) -> Any:
        """Draw a value of the first parameter."""
        return self._chance.choice(self._pools[self.first])

    def spelling(self) -> Spelling:
        """Draw a call; a few are none that the function takes."""
        chance = self._chance
        if self._drawn and chance.random() < 0.6:
            values = chance.choice(self._drawn[-5:])
        else:
            values = self._values()
            self._drawn.append(values)
        args, kwargs = self._spelt(values)
        return self._wrong(args, kwargs) if chance.random() < 0.05 else (args, kwargs)

    def of_many(self) -> Any:
        """Draw a call as `many` takes it: all of its arguments in one way."""
        args, kwargs = self.spelling()
        return kwargs if kwargs and not args else args

    def _values(self) -> dict[str, Any]:
        """Draw what the parameters are given; what has a default may be left out."""
        chance, values, is_complete = self._chance, dict[str, Any](), True
        for each in self._parameters:
            pool = self._pools[each.name]
            if each.kind is Parameter.VAR_POSITIONAL:
                values[each.name] = tuple(chance.choices(pool, k=chance.randrange(3))) if is_complete else ()
            elif each.kind is Parameter.VAR_KEYWORD:
                # A parameter that is positional only leaves its name to others.
                free = [one.name for one in self._parameters if one.kind is Parameter.POSITIONAL_ONLY]
                names = chance.sample(["k", "m", *free], chance.randrange(3))
                values[each.name] = {name: chance.choice(pool) for name in names}
            elif each.default is Parameter.empty or chance.random() < 0.6:
                if is_complete or each.kind is not Parameter.POSITIONAL_ONLY:
                    values[each.name] = chance.choice(pool)
            elif each.kind is not Parameter.KEYWORD_ONLY:
                is_complete = False
        return values

    def _spelt(self, values: Mapping[str, Any]) -> Spelling:
        chance, args, kwargs = self._chance, list[Any](), dict[str, Any]()
        by_position = True
        needs_position = any(values[each.name] for each in self._parameters if each.kind is Parameter.VAR_POSITIONAL)
        for each in self._parameters:
            if each.kind is Parameter.VAR_POSITIONAL:
                args += values[each.name]
            elif each.kind is Parameter.VAR_KEYWORD:
                kwargs |= values[each.name]
            elif each.kind is Parameter.POSITIONAL_ONLY:
                if each.name in values:
                    args.append(values[each.name])
            elif each.name in values or chance.random() < 0.2:
                value = values.get(each.name, each.default)
                by_position = by_position and each.kind is not Parameter.KEYWORD_ONLY
                by_position = by_position and (needs_position or chance.random() < 0.7)
                if by_position and self._reaches(each, values):
                    args.append(value)
                else:
                    by_position = False
                    kwargs[each.name] = value
            else:
                by_position = False
        names = chance.sample([*kwargs], len(kwargs))
        return tuple(args), {name: kwargs[name] for name in names}

    def _reaches(self, parameter: Parameter, values: Mapping[str, Any]) -> bool:
        """Return whether all that stands before *parameter* and has no other name is given."""
        before = self._parameters[: self._parameters.index(parameter)]
        return all(each.name in values for each in before if each.kind is Parameter.POSITIONAL_ONLY)

    def _wrong(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Spelling:
        """Return something that the function does not take, if it does not take everything."""
        match self._chance.randrange(4):
            case 0:
                return args[:-1], kwargs
            case 1:
                return (*args, *NUMBERS), kwargs
            case 2:
                return args, {**kwargs, "unknown": 1}
            case _:
                return args, {self.first or "unknown": 1, **kwargs}


def spelt(signature: Signature, arguments: Mapping[str, Any]) -> Spelling:
    """Return a spelling of the call whose parameters have these *arguments*."""
    bound = BoundArguments(signature, dict(arguments))
    return bound.args, bound.kwargs


def shrunk(done: Sequence[Operation], differs: Callable[[Sequence[Operation]], bool]) -> list[Operation]:
    """Return fewer of the operations that were *done*, with which it still *differs*."""
    left, size = list(done), len(done) // 2
    while size:
        start = 0
        while start < len(left):
            fewer = left[:start] + left[start + size :]
            if differs(fewer):
                left = fewer
            else:
                start += size
        size //= 2
    return left
