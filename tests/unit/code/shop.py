"""A package with a cached report in it, and edits of it of which is known whether they change what the report is."""

import importlib
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Final, NamedTuple

FILES: Final = {
    "__init__.py": '''
        """The shop."""
        from shop.base import Base
        COUNTRY = "AT"

        def greeting(name):
            return f"Hello {name}, from {COUNTRY}"
    ''',
    "base.py": '''
        class Base:
            """What reports have in common."""

            PLACES = 2

            def rounded(self, amount):
                return round(amount, self.PLACES)

            def unused(self):
                return 1
    ''',
    "log.py": """
        LINES = []

        def note(text):
            LINES.append(text)
    """,
    "prices.py": '''
        """Prices."""
        import functools
        import logging
        import math
        from dataclasses import dataclass
        from enum import Enum
        from types import MappingProxyType

        TAX = 0.2
        STEPS = (1, 5, 10)
        DISCOUNTS = MappingProxyType({"vip": 0.1})
        UNUSED = 3
        REGISTRY = {}
        logger = logging.getLogger("shop")

        class Kind(Enum):
            FOOD = "food"
            BOOK = "book"

        @dataclass(frozen=True)
        class Money:
            """An amount of money."""

            amount: float
            currency: str = "EUR"

            def doubled(self):
                """Twice as much."""
                return Money(self.amount * 2, self.currency)

        def taxed(amount: float, kind: Kind = Kind.FOOD) -> float:
            """Return the amount with taxes."""
            # Books are cheap.
            if kind is Kind.BOOK:
                return amount
            logger.info("taxed %s", amount)
            return amount * (1 + TAX)

        def discounted(amount, who):
            return amount * (1 - DISCOUNTS.get(who, 0)) + steps(len(who))

        def steps(count):
            if count > 100:
                return discounted(count, "")
            return sum(step for step in STEPS if step < count)

        def unused():
            return REGISTRY

        def square(x):
            return math.floor(x) ** 2

        def checked(function):
            @functools.wraps(function)
            def check(*args):
                if len(args) > 3:
                    raise TypeError
                return function(*args)
            return check

        @checked
        def total(amounts):
            return sum(amounts)
    ''',
    "other.py": """
        def elsewhere(x):
            return x + 1
    """,
    "report.py": '''
        """The report."""
        import memocache
        import shop.prices as prices
        from shop import Base, greeting, log
        from shop.prices import Money, discounted, taxed

        LIMIT = 100
        NAMES = ("a", "b")
        TABLE = [1, 2]
        COUNT = 0

        def numbered(prefix):
            def number(x):
                return f"{prefix}{x:>4}"
            return number

        plain = numbered("no. ")
        smallest = lambda values: min(values, default=0)

        @memocache.cached(
            timeout=300, namespace="report", version=memocache.code(follow="shop.*", ignore=("shop.log",))
        )
        def report(account: int, month: str = "May") -> dict:
            """Return the report of a month."""
            from shop.other import elsewhere
            total: float = 0.0
            for NAME in NAMES:
                match NAME:
                    case "a" | "A":
                        total += taxed(account)
                    case _:
                        total -= prices.steps(account)
            log.note(month)
            worth = Money(total).doubled()
            key = lambda amount, unit=LIMIT: amount % unit
            rest = [prices.square(TAX) for TAX in range(3) if (last := TAX) < 2]
            try:
                total = discounted(worth.amount, greeting(month))
            except (ValueError, KeyError) as error:
                total = str(error)
            return {"total": total, "rest": rest, "last": last, "key": key(total), "plain": plain(account),
                    "least": smallest(rest), "sum": prices.total(rest), "next": elsewhere(account)}

        class Report(Base):
            WIDTH = 80

            @memocache.cached(namespace="page", version=memocache.code(follow="shop"), ignore=("self",))
            def page(self, text):
                return self._wrapped(text)[: self.WIDTH] + str(super().rounded(1.234))

            def _wrapped(self, text):
                return self.__indented(text)

            def __indented(self, text):
                return f"  {text}"

            @property
            def title(self):
                return "T"

            def unrelated(self):
                return self.title
    ''',
}


class Edit(NamedTuple):
    """An edit of one file: one text for another, and whether what is computed may be another."""

    name: str
    file: str
    old: str
    new: str
    changes: bool


@contextmanager
def imported(directory: Path, edit: Edit | None = None) -> Iterator[ModuleType]:
    """Write the package into *directory*, perhaps with an *edit*, and import its report."""
    package = directory / "shop"
    package.mkdir(exist_ok=True)
    for file, text in FILES.items():
        text = textwrap.dedent(text)
        if edit is not None and edit.file == file:
            assert text.count(edit.old) == 1, f"{edit.name}: {edit.old!r} is there {text.count(edit.old)} times"
            text = text.replace(edit.old, edit.new)
        (package / file).write_text(text)
    sys.path.insert(0, str(directory))
    writes_none, sys.dont_write_bytecode = sys.dont_write_bytecode, True  # which is told apart by seconds and size
    importlib.invalidate_caches()
    try:
        yield importlib.import_module("shop.report")
    finally:
        sys.path.remove(str(directory))
        sys.dont_write_bytecode = writes_none
        for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
            del sys.modules[name]


def _edits(changes: bool, file: str, *edits: tuple[str, str, str]) -> list[Edit]:
    return [Edit(name, file, old, new, changes) for name, old, new in edits]


EDITS: Final = [
    *_edits(
        False,
        "report.py",
        ("a docstring", "Return the report of a month.", "Return a report."),
        ("the docstring of the module", '"""The report."""', '"""A report."""'),
        ("a comment", "worth = Money", "# money\n    worth = Money"),
        ("an empty line", "    log.note(month)", "\n\n    log.note(month)"),
        ("lines joined", 'total(rest), "next"', 'total(rest),\n"next"'),
        ("parentheses", "amount % unit", "(amount % unit)"),
        ("the quotes of a text", '"a" | "A"', "'a' | \"A\""),
        ("how a number is written", "LIMIT = 100", "LIMIT = 0x64"),
        ("a text in two parts", 'f"{prefix}{x:>4}"', 'f"{prefix}" f"{x:>4}"'),
        ("the hint of a parameter", "account: int", "account: float"),
        ("the hint of the result", "-> dict:", "-> object:"),
        ("the hint of a variable", "total: float = 0.0", "total = 0.0"),
        ("a new hint of a variable", "    log.note(month)", "    rest: list\n    log.note(month)"),
        ("the timeout", "timeout=300", "timeout=60"),
        ("another option of cached", "timeout=300,", "timeout=300, stale=60,"),
        ("a function above it", "LIMIT = 100", "def early():\n    return TABLE\n\nLIMIT = 100"),
        ("a decorator above cached", "@memocache.cached(\n", "@(lambda f: f)\n@memocache.cached(\n"),
        ("a global that it does not use", "COUNT = 0", "COUNT = 1"),
        ("a list that it does not use", "TABLE = [1, 2]", "TABLE = [1, 3]"),
        ("an import that it does not use", "import shop.prices as prices", "import json\nimport shop.prices as prices"),
        ("a method that it does not use", "return self.title", "return 7"),
        ("a statement that does nothing", "    log.note(month)", "    pass\n    log.note(month)"),
        ("a tuple made in another way", 'NAMES = ("a", "b")', 'NAMES = tuple("ab")'),
    ),
    *_edits(
        False,
        "prices.py",
        ("the docstring of a helper", "with taxes", "and the taxes"),
        ("a comment in a helper", "# Books are cheap.", "# Books have no tax."),
        ("the hints of a helper", "amount: float, kind: Kind", "amount, kind: object"),
        ("a function that is not used", "return REGISTRY", "return 1"),
        ("a constant that is not used", "UNUSED = 3", "UNUSED = 4"),
        ("the docstring of a class", "An amount of money.", "Money."),
        ("the docstring of a method", "Twice as much.", "Two times."),
        ("a constant computed", "TAX = 0.2", "TAX = 1 / 5"),
        ("the name of a logger", 'getLogger("shop")', 'getLogger("prices")'),
    ),
    *_edits(False, "log.py", ("what is ignored", "LINES.append(text)", "print(text)")),
    *_edits(False, "base.py", ("a class that is not used", "return 1", "return 2")),
    *_edits(False, "__init__.py", ("the docstring of the package", "The shop.", "A shop.")),
    *_edits(
        True,
        "report.py",
        ("a constant in it", "total: float = 0.0", "total: float = 1.0"),
        ("a type of a number in it", "total: float = 0.0", "total: float = 0"),
        ("an operator", "total -= prices", "total += prices"),
        ("a case", 'case "a" | "A"', 'case "a"'),
        ("another capture", "case _:", "case [_]:"),
        ("a format", "{x:>4}", "{x:>5}"),
        ("a text in a closure", 'numbered("no. ")', 'numbered("No. ")'),
        ("a default", 'month: str = "May"', 'month: str = "June"'),
        ("a default of a lambda in it", "unit=LIMIT", "unit=7"),
        ("a global constant", "LIMIT = 100", "LIMIT = 200"),
        ("the type of a constant", "LIMIT = 100", "LIMIT = 100.0"),
        ("a part of a tuple", 'NAMES = ("a", "b")', 'NAMES = ("a", "c")'),
        ("a lambda that is called", "min(values, default=0)", "min(values, default=1)"),
        ("a condition of a comprehension", "if (last := TAX) < 2", "if (last := TAX) < 3"),
        ("another exception", "(ValueError, KeyError)", "(ValueError, TypeError)"),
        ("another function", "import Money, discounted, taxed", "import Money, discounted, square as taxed"),
        ("a function of a module", "prices.steps(account)", "prices.square(account)"),
        ("a new argument", "greeting(month)", 'greeting(month + "!")'),
        ("a method of a value", 'rest), "next"', 'rest).real, "next"'),
        (
            "the order of statements",
            "    log.note(month)\n    worth = Money(total).doubled()",
            "    worth = Money(total).doubled()\n    log.note(month)",
        ),
        ("a decorator below cached", "def report(", "@prices.checked\ndef report("),
        ("a parameter", "lambda values: min", "lambda *values: min"),
    ),
    *_edits(
        True,
        "prices.py",
        ("a helper", "amount * (1 + TAX)", "amount + TAX"),
        ("a helper of a helper", "sum(step for", "max(step for"),
        ("a constant of a helper", "TAX = 0.2", "TAX = 0.1"),
        ("a tuple of a helper", "(1, 5, 10)", "(1, 5, 20)"),
        ("a read-only dict", '{"vip": 0.1}', '{"vip": 0.2}'),
        ("a method of a class that it makes", "self.amount * 2", "self.amount * 3"),
        ("a default of a field", '"EUR"', '"USD"'),
        ("the hint of a field", "amount: float\n", "amount: int\n"),
        ("the decorator of a class", "dataclass(frozen=True)", "dataclass(frozen=True, order=True)"),
        ("a member of an enum", '"book"', '"books"'),
        ("a default of a helper", "kind: Kind = Kind.FOOD", "kind: Kind = Kind.BOOK"),
        ("a decorator of a helper", "len(args) > 3", "len(args) > 4"),
        ("a decorated helper", "return sum(amounts)", "return sum(amounts, 0)"),
        ("a function of somebody else", "math.floor(x)", "math.ceil(x)"),
    ),
    *_edits(True, "__init__.py", ("a constant of another module", '"AT"', '"DE"'), ("a function", "Hello", "Hi")),
    *_edits(True, "other.py", ("what it imports itself", "x + 1", "x + 2")),
]
METHOD_EDITS: Final = [
    *_edits(
        False,
        "report.py",
        ("a method that is not called", 'return "T"', 'return "U"'),
        ("the docstring of a method", "def _wrapped(self, text):", 'def _wrapped(self, text):\n        """Wrap."""'),
        ("another function", "LIMIT = 100", "LIMIT = 7"),
    ),
    *_edits(False, "base.py", ("an inherited method that is not called", "return 1", "return 2")),
    *_edits(
        True,
        "report.py",
        ("its own code", "rounded(1.234)", "rounded(1.235)"),
        ("a method that it calls", "self.__indented(text)", "self.__indented(text + text)"),
        ("a private method of that", 'f"  {text}"', 'f" {text}"'),
        ("a constant of its class", "WIDTH = 80", "WIDTH = 79"),
    ),
    *_edits(
        True,
        "base.py",
        ("an inherited method", "round(amount, ", "round(amount + 1, "),
        ("a constant of its base", "PLACES = 2", "PLACES = 1"),
    ),
]
