"""version=code(): what it refuses, how it is told in each process, and that it is a version like others."""

import functools
import importlib
import linecache
import math
import pickle
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import memocache
from memocache import MISSING, Cache, SimpleCache, SQLiteCache, TieredCache, cached
from tests.support.processes import output_of, run_python
from tests.support.refusals import refusal
from tests.unit.code.shop import imported

REFUSED = (
    "{}: version=code() cannot count {}, {}: it may change while the program runs; pass it to the function as an "
    "argument, make it a constant (a tuple, a frozen dataclass, a MappingProxyType), or, if results do not depend on "
    "it, pass ignore=({!r},) to code()"
)
HEAD = "import memocache\nfrom memocache import cached\n"


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ModuleType]]:
    """A function that writes a module of this text, and imports it."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it is told apart by seconds and size
    names = []

    def make(text: str, name: str = "made") -> ModuleType:
        (tmp_path / f"{name}.py").write_text(HEAD + textwrap.dedent(text))
        names.append(name)
        importlib.invalidate_caches()
        sys.modules.pop(name, None)
        return importlib.import_module(name)

    yield make
    for name in names:
        sys.modules.pop(name, None)


# ---- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["follow", "ignore"])
@pytest.mark.parametrize("given", [5, ("shop", 5), "shop prices", "", ("shop", ""), "shop/prices"], ids=repr)
def test_patterns_are_dotted_names(option: str, given: Any) -> None:
    assert refusal(memocache.code, **{option: given}) == (
        f"code({option}={given!r}); wanted: dotted names, such as {option}='shop' or {option}=('shop.*', 'tax')"
    )


@pytest.mark.parametrize("function", [math.floor, eval("lambda x: x")], ids=["in C", "evaluated"])
def test_a_function_without_source_is_refused_at_decoration(function: Callable[..., Any]) -> None:
    assert refusal(cached(version=memocache.code()), function) == (
        f"{function.__qualname__} has no source that version=code() could look at, as in a prompt, in python -c, in "
        "exec(), under %%time or in a frozen program; give version= a value, and change that with the code"
    )


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("{}", "a dict"),
        ("[1]", "a list"),
        ("{1}", "a set"),
        ("bytearray(b'x')", "a bytearray"),
        ("(1, [2])", "a list"),
        ("__import__('types').SimpleNamespace(a=1)", "a SimpleNamespace"),
        ("type('Rates', (), {})()", "a Rates"),
        ("iter(())", "a tuple_iterator"),
    ],
)
@pytest.mark.parametrize("used", ["TABLE", "[x for _ in [1] if TABLE]", "(lambda: TABLE)()", "max(x, TABLE.top)"])
def test_a_global_that_may_change_is_refused_at_decoration(
    made: Callable[..., ModuleType], table: str, kind: str, used: str
) -> None:
    text = f"TABLE = {table}\n@cached(version=memocache.code())\ndef f(x):\n    return {used}\n"
    assert refusal(made, text) == REFUSED.format("f", "made.TABLE", kind, "made.TABLE")


@pytest.mark.parametrize(
    ("text", "name", "kind"),
    [
        ("def g(x): return T\nT = {}\n", "made.T", "a dict"),
        ("T = {}\n", "made.T", "a dict"),
        ("def outer():\n    T = []\n    def g(x): return T\n    return g\ng = outer()\nT = 1\n", "made.T", "a list"),
        ("class A:\n    T = []\n    def g(self): return self.T\ng = A().g\nT = 1\n", "made.g", "an A"),
        ("class g:\n    def __init__(self, x): self.x = T\nT = {}\n", "made.T", "a dict"),
        ("import functools\ng = functools.partial(max, [])\nT = 1\n", "made.g", "a list"),
    ],
    ids=["in a helper", "defined below", "in a closure", "a method of an object", "in a class", "in a partial"],
)
def test_what_is_found_later_is_refused_at_the_first_call(
    made: Callable[..., ModuleType], text: str, name: str, kind: str
) -> None:
    module = made(f"@cached(version=memocache.code())\ndef f(x):\n    return g(x), T\n{text}g = vars().get('g', max)\n")
    for call in (module.f, module.f.uncache, module.f.peek, module.f.key, module.f.refresh):
        assert refusal(call, 1) == REFUSED.format("f", name, kind, name)


def test_a_list_of_a_class_that_a_method_uses_is_refused(made: Callable[..., ModuleType]) -> None:
    module = made(
        """
        class Report:
            ROWS = [1]
            @cached(version=memocache.code())
            def page(self):
                return self.ROWS
        """
    )
    name = "made.Report.ROWS"
    assert refusal(module.Report().page) == REFUSED.format("Report.page", name, "a list", name)


def test_a_global_that_the_function_assigns_to_is_no_constant(made: Callable[..., ModuleType]) -> None:
    text = "N = 0\n@cached(version=memocache.code())\ndef f(x):\n    global N\n    N += 1\n    return N\n"
    assert refusal(made, text) == REFUSED.format("f", "made.N", "which f assigns to", "made.N")


def test_a_name_that_is_not_there_yet_is_refused_until_it_is(made: Callable[..., ModuleType]) -> None:
    module = made("@cached(version=memocache.code())\ndef f(x):\n    return later(x) if x else x\n")
    assert refusal(module.f, 0) == (
        "f: version=code() finds no made.later, which made.f uses; define it before f is called, or pass "
        "ignore=('made.later',) to code()"
    )
    module.later = abs
    assert module.f(0) == 0


@pytest.mark.parametrize("ignore", ["made.T", "made", "made.*", ("other", "made.T")], ids=repr)
def test_what_is_ignored_does_not_count(made: Callable[..., ModuleType], ignore: Any) -> None:
    module = made(f"T = {{}}\n@cached(version=memocache.code(ignore={ignore!r}))\ndef f(x):\n    return T\n")
    assert module.f(1) == {}
    assert module.f.code().constants == {}


@pytest.mark.parametrize(
    "value",
    [
        *("1", "1.5", "'a'", "b'a'", "None", "True", "(1, (2, 'a'))", "frozenset({1, 2})", "range(3)", "object()"),
        *("__import__('decimal').Decimal(1)", "__import__('datetime').date(2026, 1, 1)"),
        "__import__('re').compile('a')",
        *("__import__('types').MappingProxyType({'a': (1,)})", "__import__('pathlib').Path('a')", "len", "int", "f"),
        *("__import__('logging').getLogger('a')", "__import__('typing').TypeVar('T')", "int | None", "(len, max)"),
        *("__import__('functools').partial(max, 1)", "__import__('random').choice", "__import__('math')"),
        *("__import__('signal').SIGTERM", "__import__('re').I | __import__('re').M", "__import__('uuid').UUID(int=1)"),
        "__import__('functools').lru_cache(lambda: 1)",
    ],
)
def test_constants_functions_and_modules_are_no_trouble(made: Callable[..., ModuleType], value: str) -> None:
    module = made(f"@cached(version=memocache.code())\ndef f(x):\n    return x or C\nC = {value}\n")
    assert module.f(1) == 1
    assert len(module.f.code().digest) == 32


@pytest.mark.parametrize("version", [[memocache.code()], {"a": memocache.code()}, (1, (memocache.code(),))], ids=str)
def test_code_is_a_version_or_a_part_of_a_tuple(version: object) -> None:
    said = refusal(lambda: cached(version=version)(functools.partial(_area)))
    assert said == "code() can be a version, or a part of one: version=(memocache.code(), 2)"


def test_the_rest_of_a_tuple_is_checked_at_decoration() -> None:
    said = refusal(lambda: cached(version=(memocache.code(), object()))(_area))
    assert "version= cannot be part of a key: an object instance, at" in said


def test_another_part_of_the_version_is_another_version() -> None:
    one, two, other = (cached(version=version, namespace="area")(_area) for version in VERSIONS)
    assert len({each.key(1, 2) for each in (one, two, other)}) == 3
    assert one.code().digest == two.code().digest != ""


def test_a_function_without_it_has_no_listing() -> None:
    said = refusal(cached(version=2)(_area).code)
    assert said == "_area has no version=memocache.code(), so that nobody looks at its code"


def _area(width: int, height: int) -> int:
    return width * height


VERSIONS = memocache.code(), (memocache.code(), 2), (memocache.code(), 3)


# ---- what is found ---------------------------------------------------------------------------------------------------


def test_a_listing_shows_what_counts(tmp_path: Path) -> None:
    with imported(tmp_path) as module:
        listing = module.report.code()
    assert set(listing.functions) >= {"shop.report.report", "shop.prices.taxed", "shop.prices.steps", "shop.greeting"}
    assert set(listing.classes) == {"shop.prices.Money", "shop.prices.Kind"}
    assert {"shop.report.LIMIT", "shop.prices.TAX", "shop.COUNTRY"} <= set(listing.constants)
    assert not any("log" in name or "UNUSED" in name for name in [*listing.functions, *listing.constants])
    assert "math.floor" in listing.names
    lines = str(listing).splitlines()
    assert lines[0] == listing.digest
    assert f"  function  {listing.functions['shop.prices.taxed']}  shop.prices.taxed" in lines


def test_only_its_own_module_is_followed_unless_more_are_named(made: Callable[..., ModuleType]) -> None:
    made("RATE = 2\ndef rate(x):\n    return x * RATE\n", "rates")
    text = """
        import rates
        def helper(x):
            return rates.rate(x) + rates.RATE
        @cached(version=memocache.code({}))
        def f(x):
            return helper(x)
    """
    alone = made(text.format("")).f.code()
    assert (*alone.functions, *alone.names) == ("made.f", "made.helper", "rates.rate")
    assert [*alone.constants] == ["rates.RATE"]
    for follow in ("'rates'", "'rates.*'", "'*'", "('x', 'rates.rate')"):
        assert [*made(text.format(f"follow={follow}")).f.code().functions][-1] == "rates.rate"


@pytest.mark.parametrize(
    "body",
    [
        "helper = x\n    return helper",
        "return [helper for helper in x]",
        "return {helper: 1 for helper in x}",
        "return (lambda helper: helper)(x)",
        "def helper(): return 1\n    return helper()",
        "class helper: pass\n    return helper",
        "for helper in x: pass\n    return helper",
        "with x as helper: return helper",
        "try: pass\n    except ValueError as helper: return helper",
        "match x:\n        case [helper, *rest]: return helper",
        "match x:\n        case {'a': 1, **helper}: return helper",
        "import os as helper\n    return helper",
        "return [y for y in x if (helper := y)], helper",
        "def inner():\n        nonlocal helper\n        helper = 2\n    helper = 1\n    return inner, helper",
        "return lambda *helper: helper",
        "return lambda *, helper: helper",
        "class A:\n        helper = 1\n        other = helper\n    return A",
        "del helper",
    ],
)
def test_a_local_name_is_not_taken_for_a_global(made: Callable[..., ModuleType], body: str) -> None:
    module = made(f"helper = {{}}\n@cached(version=memocache.code())\ndef f(x):\n    {body}\n")
    assert [*module.f.code().functions] == ["made.f"]


@pytest.mark.parametrize(
    "body",
    [
        "return [helper for _ in x]",
        "return [x for x in helper(x)]",
        "return (lambda y=helper: y)(x)",
        "def inner(): return helper\n    return inner",
        "class A:\n        helper = helper\n    return A",
        "class A:\n        helper = 1\n        def method(self): return helper\n    return A",
        "global helper\n    return helper(x)",
        "return f'{x:{helper(x)}}'",
        "match x:\n        case helper.real: return 1",
        "x[helper] = 1",
        "helper.cache = x",
        "return (lambda helper: 1), helper",
        "async def inner():\n        async with helper() as y: return y\n    return inner",
        "@helper\n    def inner(): return 1\n    return inner",
        "return (yield_ for yield_ in [helper])",
        "try: return 1\n    except helper: return 2",
        "return {**helper(x)}",
        "assert helper(x)",
    ],
)
def test_a_global_name_is_found_wherever_it_is_used(made: Callable[..., ModuleType], body: str) -> None:
    text = "def helper(x=None):\n    return x\n@cached(version=memocache.code())\ndef f(x):\n    "
    assert [*made(f"{text}{body}\n").f.code().functions] == ["made.f", "made.helper"]


def test_functions_that_call_each_other_are_followed_once(made: Callable[..., ModuleType]) -> None:
    module = made(
        """
        def even(n):
            return n == 0 or odd(n - 1)
        @cached(version=memocache.code())
        def odd(n):
            return n != 0 and even(n - 1)
        @cached(version=memocache.code())
        def both(n):
            return odd(n), even(n), both
        """
    )
    assert module.both(3)[:2] == (True, False)
    assert [*module.both.code().functions] == ["made.both", "made.odd", "made.even"]


def test_a_wrapper_counts_and_what_it_wraps(made: Callable[..., ModuleType]) -> None:
    text = """
        import functools
        def twice(factor):
            def decorate(function):
                @functools.wraps(function)
                def wrapper(*args):
                    return function(*args) * factor
                return wrapper
            return decorate
        @cached(version=memocache.code())
        @twice({})
        def f(x):
            return x + {}
    """
    digests = [made(text.format(*each)).f.code().digest for each in ((2, 1), (3, 1), (2, 2), (2, 1))]
    assert digests[0] == digests[3]
    assert len(set(digests)) == 3


def test_a_very_long_expression_is_no_trouble(made: Callable[..., ModuleType]) -> None:
    module = made(f"@cached(version=memocache.code())\ndef f(x):\n    return {' + '.join(['x'] * 2000)}\n")
    assert module.f(1) == 2000


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LIMIT = 1", "LIMIT = 2"),
        ("p.Limits.TOP = 1", "p.Limits.TOP = 2"),
        ("P = namedtuple('P', 'x y')", "P = namedtuple('P', 'x z')"),
        ("K = Enum('K', 'A B')", "K = Enum('K', 'A C')"),
        ("return 'a circle'", "return 'an oval'"),
        ("partial(max, key=abs)", "partial(max, default=abs)"),
        ("T = (1, 2)", "T = (3, 2)"),
        ("return 'once'", "return 'twice'"),
        ("yield 1", "yield 2"),
    ],
)
def test_less_usual_ways_to_use_something_count(made: Callable[..., ModuleType], old: str, new: str) -> None:
    made("class Limits:\n    TOP = 1\n", "p")
    text = """
        import functools
        import p
        from collections import namedtuple
        from enum import Enum
        from functools import partial
        p.Limits.TOP = 1
        LIMIT = 1
        P = namedtuple('P', 'x y')
        K = Enum('K', 'A B')
        T = (1, 2)
        greatest = partial(max, key=abs)
        @functools.singledispatch
        def name(x):
            return x
        @name.register
        def _(x: int):
            return 'a circle'
        @functools.lru_cache
        def once():
            return 'once'
        async def items():
            yield 1
        @cached(version=memocache.code())
        def f(x):
            return P(1, 2), K.A, name(x), greatest, T, once(), items(), LIMIT, p.Limits.TOP
    """
    assert text.count(old) == 1
    one, other = made(text).f.code(), made(text.replace(old, new)).f.code()
    assert one.digest != other.digest
    changed = dict(one.constants.items() ^ other.constants.items())
    assert set(changed) <= {"made.LIMIT", "p.Limits.TOP", "made.T", "made.greatest"}


HIDDEN = """
import functools
from dataclasses import dataclass
from typing import NamedTuple

class Own:
    def __init__(self, given):
        self._given = given
    def __get__(self, instance, owner=None):
        return self._given(instance, 1)

@dataclass(frozen=True)
class Frozen:
    what: object

class Named(NamedTuple):
    what: object

@dataclass
class Plain:
    what: object

class Deco:
    def __init__(self, function, number=0):
        self.function, self.number, self.seen = function, number, {{}}
        functools.update_wrapper(self, function)
    def __call__(self, x):
        return self.function(x) + self.number

{}
@cached(version=memocache.code())
def f(x):
    return {}

class A:
    LIMIT = 7
    def of(self, n):
        return n + 7
    {}
    @cached(version=memocache.code(), ignore=("self",))
    def g(self):
        return {}
"""


def differ_by_seven(made: Callable[..., ModuleType], text: str, others: str = "") -> bool:
    """Return whether the code of `f` or `A.g` is another one with 8 in the place of 7."""
    assert (text + others).count("7") >= 1
    digests = []
    for number in ("7", "8"):
        made(others.replace("7", number), "others")
        module = made(text.replace("7", number))
        digests.append((module.f.code().digest, module.A.g.code().digest))
    return digests[0] != digests[1]


@pytest.mark.parametrize(
    ("attribute", "use"),
    [
        *(("", use) for use in ("type(self).LIMIT", "__class__.LIMIT", "[type(self).LIMIT.real for _ in 'a']")),
        *(
            (f"made = {attribute}", "self.made")
            for attribute in (
                "functools.partialmethod(of, 3)",
                "functools.partialmethod(max, 7)",
                "functools.partialmethod(max, key=7)",
                "functools.singledispatchmethod(of)",
                "functools.singledispatchmethod(max); made.register(int, of)",
                "functools.cached_property(of)",
                "functools.cached_property(functools.cache(of))",
                "functools.cached_property(cached(of))",
                "Own(of)",
            )
        ),
    ],
)
def test_what_a_method_reaches_in_another_way_counts(made: Callable[..., ModuleType], attribute: str, use: str) -> None:
    assert differ_by_seven(made, HIDDEN.format("", "x", attribute, use))
    assert not differ_by_seven(made, HIDDEN.format("", "x", attribute, "0"))


@pytest.mark.parametrize(
    ("definition", "use"),
    [
        ("functools.cache(functools.cache(g))", "made(x)"),
        ("functools.cache(functools.partial(g))", "made(x)"),
        ("functools.cache(cached(g))", "made(x)"),
        ("functools.cache(G)", "made()"),
        ("Deco(max, 7)", "made(x)"),
        ("Deco(g, 1)", "made(x)"),
        ("Other(max)", "made(x)"),
        ("frozenset([g])", "[each(x) for each in made]"),
        ("Frozen(g)", "made.what(x)"),
        ("Frozen(Frozen((g,)))", "made.what.what[0](x)"),
        ("Named(g)", "made.what(x)"),
        *(
            (f"{table}\ndef helper(x, table=made):\n    return table", "helper(x)")
            for table in (
                "{'a': 7}",
                "[7]",
                "{7}",
                "bytearray([7])",
                "({'a': [7]},)",
                "[{7: {'b'}}]",
                "{'a': g}",
                "(g,)",
                "Plain(7)",
            )
        ),
    ],
)
def test_what_lies_in_a_constant_or_a_default_counts(
    made: Callable[..., ModuleType], definition: str, use: str
) -> None:
    text = f"def g(x):\n    return x + 7\nclass G:\n    x = 7\nclass Other(Deco):\n    RATE = 7\nmade = {definition}"
    assert differ_by_seven(made, HIDDEN.format(text, use, "", "0"))
    assert not differ_by_seven(made, HIDDEN.format(text, "x", "", "0"))


@pytest.mark.parametrize("kind", ["Enum", "IntEnum", "Flag"])
@pytest.mark.parametrize(
    ("imports", "use"),
    [
        ("from others import Kind", "Kind.HIGH"),
        ("from others import Kind", "Kind.NONE, Kind.HIGH.value"),
        ("import others", "others.Kind.HIGH"),
        ("import others", "others.Outer.Inner.HIGH"),
        ("from others import Kind; made = Kind.HIGH", "made"),
        ("from others import Kind; made = Kind.HIGH, 1", "made"),
        ("from others import Kind; made = frozenset({Kind.HIGH})", "made"),
        ("from others import Kind; made = Frozen(Kind.HIGH)", "made"),
        ("from others import Kind\ndef helper(kind=Kind.HIGH):\n    return kind.value", "helper()"),
    ],
)
def test_the_value_of_a_member_counts_where_its_class_is_not_followed(
    made: Callable[..., ModuleType], kind: str, imports: str, use: str
) -> None:
    others = f"from enum import *\nclass Kind({kind}):\n    NONE = 0\n    HIGH = 7\n"
    others += "class Outer:\n    class Inner:\n        HIGH = Kind.HIGH\n"
    assert differ_by_seven(made, HIDDEN.format(imports, use, "", "0").replace("7", "3"), others)
    mutable = others.replace("7", "[7]")
    assert kind != "Enum" or differ_by_seven(made, HIDDEN.format(imports, use, "", "0").replace("7", "3"), mutable)


@pytest.mark.parametrize(
    "definition",
    [
        "Deco(max); made.function = Deco(max); made.function.function = made",
        "Deco(max); made.__wrapped__ = made",
        "functools.cache(g); made.__wrapped__ = made",
        "[7]; made.append(made)\ndef helper(x, table=made):\n    return table",
    ],
)
def test_what_is_in_itself_is_no_trouble(made: Callable[..., ModuleType], definition: str) -> None:
    text = f"def g(x):\n    return x\nmade = {definition}"
    use = "helper(x)" if "helper" in definition else "made(x)"
    assert differ_by_seven(made, HIDDEN.format(text, use, "", "type(self).LIMIT"))


def test_for_which_class_a_function_is_registered_counts(made: Callable[..., ModuleType]) -> None:
    text = """
        import functools
        @functools.singledispatch
        def name(x):
            return x
        @name.register
        def _(x: {}):
            return "a number"
        @cached(version=memocache.code())
        def f(x):
            return name(x)
    """
    assert len({made(text.format(kind)).f.code().digest for kind in ("int", "float", "int")}) == 2


def test_a_function_that_was_rewritten_on_import_counts_as_it_is_compiled() -> None:
    def asserts(x: int) -> int:
        assert x, "which pytest has written anew"
        return x

    f = cached(version=memocache.code())(asserts)
    assert f(1) == 1
    assert [*f.code().functions] == [f"{__name__}.{asserts.__qualname__}"]


def test_an_older_class_of_that_name_is_nothing_to_go_by(cell: Any) -> None:
    head = "class Report:\n    ROWS = [1]\n    @cached(version=memocache.code())\n"
    text = f"{head}    def page(self):\n        return self.ROWS\n"
    cell(text)
    assert "cannot count __main__.Report.ROWS, a list" in refusal(cell.notebook.Report().page)
    cell(text.replace("[1]", "(1,)"))
    assert cell.notebook.Report().page() == (1,)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="their syntax came with Python 3.12")
def test_type_parameters_do_not_count(made: Callable[..., ModuleType]) -> None:
    text = "@cached(version=memocache.code())\ndef f{}(x{}):\n    return {}(x)\nclass A{}:\n    pass\n"
    texts = text.format("", "", "A", ""), text.format("[T: int]", ": T", "A", "[T]")
    assert len({made(each).f.code().digest for each in texts}) == 1


# ---- in which process ------------------------------------------------------------------------------------------------


SCRIPT = """
import sys
from tests.unit.code.shop import imported
from pathlib import Path
with imported(Path(sys.argv[1])) as module:
    print(module.report.code().digest, module.Report.page.code().digest, sep="\\n")
"""
# Of the package in shop.py, in every version of Python: what is stored was stored under these.
GOLDEN = ["52d3c3839b78993c5114c9ed93fa1fe0", "433902ba74b94d1d597d21d10b3a4bc7"]


@pytest.mark.parametrize("seed", ["0", "1", "random"])
def test_every_process_and_every_python_has_the_same_digests(seed: str, tmp_path: Path) -> None:
    assert output_of(run_python("-c", SCRIPT, str(tmp_path), seed=seed)) == GOLDEN


RUN = """
import sys
from memocache import MISSING, SQLiteCache, cached, code
from helpers import helper

@cached(timeout=None, cache=SQLiteCache(sys.argv[1]), namespace="f", version=code(follow="helpers"))
def f(x):
    print("computing")
    return helper(x)

if sys.argv[2:]:
    print(f.uncache(1), f.peek(1) is MISSING)
else:
    print(f(1))
"""


def test_a_changed_file_is_computed_anew_and_uncache_forgets_every_version(tmp_path: Path) -> None:
    def run(helper: str, *arguments: str) -> list[str]:
        (tmp_path / "helpers.py").write_text(helper)
        (tmp_path / "run.py").write_text(RUN)
        return output_of(run_python(str(tmp_path / "run.py"), str(tmp_path / "cache.db"), *arguments))

    old, new = "def helper(x):\n    return x + 1\n", "def helper(x):\n    return x + 2\n"
    assert run(old) == ["computing", "2"]
    assert run(f"# A comment.\n\n{old}") == ["2"]
    assert run(new) == ["computing", "3"]
    assert run(old) == ["2"]
    assert run(new, "uncache") == ["True True"]
    assert run(old) == ["computing", "2"]


def test_a_process_that_runs_old_code_does_not_use_the_version_of_the_new(
    made: Callable[..., ModuleType], tmp_path: Path
) -> None:
    text = "@cached(version=memocache.code())\ndef f(x):\n    return helper(x)\ndef helper(x):\n    return x + {}\n"
    old = made(text.format(1))
    path = tmp_path / "made.py"
    path.write_text(path.read_text().replace("x + 1", "x + 2"))  # as a deployment does, before the restart
    digest = old.f.code().digest
    assert old.f(1) == 2
    assert digest not in {made(text.format(n)).f.code().digest for n in (1, 2)}


def test_a_process_with_an_older_class_does_not_use_the_version_of_the_new(
    made: Callable[..., ModuleType], tmp_path: Path
) -> None:
    text = "class Limits:\n    TOP = {}\n@cached(version=memocache.code())\ndef f(x):\n    return Limits.TOP\n"
    old = made(text.format(1))
    path = tmp_path / "made.py"
    path.write_text(path.read_text().replace("TOP = 1", "TOP = 2"))
    digest = old.f.code().digest
    new = [made(text.format(n)).f.code().digest for n in (1, 2, 1)]
    assert digest not in new
    assert new[0] == new[2] != new[1]


def test_a_module_that_is_loaded_again_is_another_version(made: Callable[..., ModuleType], tmp_path: Path) -> None:
    helpers = made("def helper(x):\n    return x + 1\n", "helpers")
    module = made(
        "import helpers\n@cached(version=memocache.code('helpers'))\ndef f(x):\n    return helpers.helper(x)\n"
    )
    assert (module.f(1), module.f.info().misses) == (2, 1)
    (tmp_path / "helpers.py").write_text("def helper(x):\n    return x + 100\n")
    importlib.reload(helpers)
    assert (module.f(1), module.f(1), module.f.info().misses) == (101, 101, 2)
    assert module.f.info().hits == 1


@pytest.mark.parametrize(
    "change",
    [
        *("m.LIMIT = 5", "m.helper.__code__ = (lambda x: x + 5).__code__"),
        "m.A.top.__code__ = (lambda self: 5).__code__",
        "m.A.TOP = 5",
    ],
)
def test_what_autoreload_exchanges_in_a_module_counts_at_the_next_call(
    made: Callable[..., ModuleType], monkeypatch: pytest.MonkeyPatch, change: str, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
    m = made(
        "LIMIT = 1\ndef helper(x):\n    return x + LIMIT\n"
        "class A:\n    TOP = 1\n    def top(self):\n        return self.TOP\n",
        "m",
    )
    module = made("import m\n@cached(version=memocache.code('m'))\ndef f(x):\n    return m.helper(x) * m.A().top()\n")
    before = module.f(1)
    path = tmp_path / "m.py"
    path.write_text(path.read_text().replace(" = 1", " = 5"))
    exec(change, {"m": m})
    assert module.f(1) == module.f.__wrapped__(1) != before
    assert module.f.info().misses == 2
    assert module.f(1) == module.f.__wrapped__(1)
    assert module.f.info().misses == 2


@pytest.fixture
def cell() -> Iterator[Callable[[str], None]]:
    """A function that runs a cell of a notebook, in one module without a file."""
    notebook = ModuleType("__main__")
    notebook.memocache, notebook.cached = memocache, cached  # type: ignore[attr-defined]
    names = []

    def run(text: str) -> None:
        name = f"<cell {len(names)}>"
        names.append(name)
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), vars(notebook))

    run.notebook = notebook  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "__main__", notebook)
        yield run
    for name in names:
        del linecache.cache[name]


@pytest.mark.parametrize(
    ("changed", "computed"),
    [
        ("def helper(x):\n    return x + RATE", 1),
        ("def helper(x):\n    # the same\n    return x + RATE", 1),
        ("def helper(x):\n    return x - RATE", 2),
        ("RATE = 2", 1),
        ("RATE = 3", 2),
        ("@dataclass\nclass Point:\n    x: int = 0", 1),
        ("@dataclass\nclass Point:\n    x: int = 1", 2),
        ("OTHER = 3", 1),
    ],
)
@pytest.mark.parametrize("kind", ["in process", "file"])
def test_in_a_notebook_a_cell_that_is_run_again_counts_at_the_next_call(
    cell: Any, changed: str, computed: int, kind: str, tmp_path: Path
) -> None:
    cell.notebook.cache = SimpleCache() if kind == "in process" else SQLiteCache(str(tmp_path / "cache.db"))
    cell("RATE = 2\ndef helper(x):\n    return x + RATE\n")
    cell("from dataclasses import dataclass\n@dataclass\nclass Point:\n    x: int = 0\n")
    cell("calls = 0\ndef count():\n    global calls\n    calls += 1\n")
    cell(
        "@cached(cache=cache, namespace='f', version=memocache.code(ignore='__main__.count'))\n"
        "def f(x):\n    count()\n    return helper(x), Point().x\n"
    )
    f = cell.notebook.f
    f(1)
    cell(changed)
    f(1)
    f(1)
    assert cell.notebook.calls == computed
    assert f.info().misses == computed


# ---- on every cache --------------------------------------------------------------------------------------------------


TEXT = (
    "@cached(cache=cache, namespace={name!r}, version=memocache.code(), tags=('x:{{x}}',))\n"
    "{kind} f(x):\n    return {result}\n"
)


@pytest.fixture(params=["in process", "memcached", "file", "tiers", "given at each call"])
def any_cache(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Each kind of a cache, and a function that returns one."""
    if request.param == "memcached":
        server = request.getfixturevalue("memcached")
        return memocache.MemcachedCache([server.address], key_prefix=request.getfixturevalue("prefix"), timeout=5)
    if request.param == "in process":
        return SimpleCache()
    file = SQLiteCache(str(tmp_path / "cache.db"))
    if request.param == "given at each call":
        return lambda: file
    return file if request.param == "file" else TieredCache(SimpleCache(), file)


def test_versions_have_entries_of_their_own_and_are_forgotten_together(cell: Any, any_cache: Cache | Any) -> None:
    cell.notebook.cache = any_cache
    functions = []
    for result in ("x, 'old'", "x, 'new'"):
        cell(TEXT.format(name="f", kind="def", result=result))
        functions.append(cell.notebook.f)
    old, new = functions
    assert [old(1), new(1), old(1), new(1)] == [(1, "old"), (1, "new")] * 2
    assert [old.info().misses, new.info().misses] == [1, 1]
    assert old.key(1) != new.key(1)
    for forget in (lambda: old.uncache(1), lambda: new.uncache(x=1), old.uncache_all, lambda: new.uncache_where(x=1)):
        old(1), new(1)
        forget()
        assert [old.peek(1), new.peek(1)] == [MISSING, MISSING]
    old.put((0, ""), 1)
    assert (old(1), new(1), old.refresh(1), old.many([(1,)])) == ((0, ""), (1, "new"), (1, "old"), [(1, "old")])


def test_a_function_whose_code_changes_goes_on_counting(cell: Any, any_cache: Any) -> None:
    cell.notebook.cache = any_cache
    cell("def helper(x):\n    return x + 1\n")
    cell(
        "@cached(cache=cache, namespace='g', version=memocache.code())\ndef f(x):\n    return helper(x)\n"
        "class Shop:\n    m = f\n    def __cache_key__(self):\n        return 1\n"
    )
    f, shop = cell.notebook.f, cell.notebook.Shop
    for number in range(3):
        cell(f"def helper(x):\n    return {number}\n")
        assert [f(1), f(1), f(2)] == [number] * 3
        assert (f.info().calls, f.info().misses, f.info().hits) == (3 * number + 3, 2 * number + 2, number + 1)
    f.cache_clear()
    assert f.info().calls == 0
    cell("def helper(x):\n    return 7\n")
    assert [shop.m(1), f(1)] == [7, 7]
    assert f.info().calls == 2


def test_threads_that_call_first_all_have_its_version(cell: Any, any_cache: Any) -> None:
    cell.notebook.cache = any_cache
    for result in range(5):
        cell(TEXT.format(name="t", kind="def", result=f"x, {result}"))
        f, barrier = cell.notebook.f, threading.Barrier(8)

        def call(x: int, f: Any = f, barrier: threading.Barrier = barrier) -> Any:
            barrier.wait(10)
            return f(x % 2)

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(call, range(8))) == [(x % 2, result) for x in range(8)]
        assert f.info().misses == 2


async def test_a_coroutine_function_has_it_too(cell: Any, any_cache: Any) -> None:

    cell.notebook.cache = any_cache
    cell(TEXT.format(name="g", kind="async def", result="x, helper()") + "def helper():\n    return 1\n")
    f = cell.notebook.f

    assert [await f(1), await f(1)] == [(1, 1)] * 2
    cell("def helper():\n    return 2\n")
    assert [await f(1), await f(1)] == [(1, 2)] * 2
    assert f.info().misses == 2
    assert await f.uncache(1)
    assert await f.peek(1) is MISSING
    assert f.code().functions.keys() == {"__main__.f", "__main__.helper"}


def test_another_process_without_the_source_is_given_the_digest(cell: Any) -> None:
    cloudpickle = pytest.importorskip("cloudpickle")
    cell("@cached(version=memocache.code())\ndef f(x):\n    return x + 1\n")
    f = cell.notebook.f
    there = pickle.loads(cloudpickle.dumps(f))
    assert there(1) == 2
    assert there._self_memoizer.options.version == f._self_memoizer.code.version()
