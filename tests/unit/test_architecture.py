"""The rules of the package's source: no cycle of imports, one name a class, docstrings that say what a thing is.

The source is read, not imported. The bounds below list what breaks a rule today; they may only shrink.
"""

import ast
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[2]
ARCHITECTURE: Final = ROOT / "ARCHITECTURE.md"
TABLE: Final = "Where is ...?"


@dataclass(slots=True)
class Source:
    """The source of one module: what it imports of the package, the names of its classes, its vague docstrings.

    Imports inside functions count as well: they delay a cycle, they do not break it. Those under TYPE_CHECKING do not.
    """

    module: str
    imported: list[tuple[str, str]] = field(default_factory=list)  # module, and the name in it or ""
    classes: list[str] = field(default_factory=list)
    vague: list[str] = field(default_factory=list)

    def read(self, node: ast.AST) -> None:
        """Note what is below *node*."""
        match node:
            case ast.If(test=ast.Name("TYPE_CHECKING")):
                for each in node.orelse:
                    self.read(each)
                return
            case ast.Import():
                self.imported += [(alias.name, "") for alias in node.names]
            case ast.ImportFrom():
                assert node.level == 0, f"{self.module}:{node.lineno}: a relative import"
                self.imported += [(str(node.module), alias.name) for alias in node.names]
            case ast.ClassDef():
                self.classes.append(node.name)
            case ast.Expr(value=ast.Constant(value=str(text))) if re.match(r"\s*(What|Whether)\b", text):
                self.vague.append(f"{self.module}:{node.lineno}: {text.strip().splitlines()[0]}")
        if isinstance(node, ast.stmt | ast.Module | ast.ExceptHandler | ast.match_case):  # expressions have nothing
            for each in ast.iter_child_nodes(node):
                self.read(each)


@cache
def sources() -> dict[str, Source]:
    """Return the source of each module of the package, by its dotted name."""
    found = {}
    for path in sorted(ROOT.joinpath("memocache").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[module] = Source(module)
        found[module].read(ast.parse(path.read_bytes()))
    return found


@cache
def imports() -> dict[str, frozenset[str]]:
    """Return which modules of the package each of them imports. Packages that a module lies in are not counted."""
    names = sources().keys()
    graph = {}
    for module, source in sources().items():
        found = {f"{whole}.{name}" if f"{whole}.{name}" in names else whole for whole, name in source.imported}
        graph[module] = frozenset(found & names - {module})
    return graph


def cycles(graph: dict[str, frozenset[str]]) -> list[list[str]]:
    """Return the groups of nodes that can be reached from each other."""
    reach = {node: reachable(graph, node) for node in graph}
    groups = {
        frozenset(other for other in reach[node] if node in reach[other]) for node in graph if node in reach[node]
    }
    return sorted(map(sorted, groups))


def reachable(graph: dict[str, frozenset[str]], start: str) -> set[str]:
    found, waiting = set[str](), [*graph[start]]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += graph[node]
    return found


def chapters() -> dict[str, str]:
    """Return the private modules that one other module alone imports, and that one."""
    importers: dict[str, list[str]] = {}
    for module, imported in imports().items():
        for each in imported:
            importers.setdefault(each, []).append(module)
    return {
        module: by[0]
        for module, by in importers.items()
        if len(by) == 1 and re.fullmatch(r"_[^_]\w*", module.rpartition(".")[2])
    }


def entries(markdown: str) -> set[str]:
    """Return the modules that the table called TABLE in *markdown* names, such as `keys` or `backends/_pool.py`."""
    _, _, rest = markdown.partition(TABLE)
    rows = re.findall(r"^\|.*\|$", re.split(r"^#", rest, maxsplit=1, flags=re.MULTILINE)[0], re.MULTILINE)
    words = re.findall(r"`([\w/.]+)`", "\n".join(rows))
    return {word.removesuffix(".py").removeprefix("memocache/").replace("/", ".") for word in words}


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    assert cycles(imports()) == []


def test_no_two_classes_have_the_same_name() -> None:
    names = Counter(name for source in sources().values() for name in source.classes)
    assert [name for name, times in names.items() if times > 1] == []


def test_docstrings_say_what_a_thing_is() -> None:
    assert [line for source in sources().values() for line in source.vague] == []


def test_a_private_module_with_one_user_is_on_the_map() -> None:
    if not ARCHITECTURE.exists():
        pytest.skip("there is no ARCHITECTURE.md yet")
    listed = entries(ARCHITECTURE.read_text())
    assert [f"{m} ({by})" for m, by in chapters().items() if not any(f".{m}".endswith(f".{e}") for e in listed)] == []


# ---- the checks themselves -------------------------------------------------------------------------------------------


def source_of(text: str) -> Source:
    source = Source("m")
    source.read(ast.parse(text))
    return source


def test_a_cycle_is_found() -> None:
    graph = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b"), "d": frozenset("ad")}
    assert cycles(graph) == [["b", "c"], ["d"]]


def test_imports_count_wherever_they_run() -> None:
    source = source_of(
        "import a\nif TYPE_CHECKING:\n    import b\nelse:\n    import c\n"
        "def f():\n    try:\n        from d import e\n    except E:\n        import g\n"
    )
    assert source.imported == [("a", ""), ("c", ""), ("d", "e"), ("g", "")]


def test_classes_and_docstrings_are_found_at_any_depth() -> None:
    source = source_of(
        '"""What."""\nclass A:\n    """Whether so."""\n    x = 1\n    """What x is."""\n    class B: "A."\n'
    )
    assert source.classes == ["A", "B"]
    assert source.vague == ["m:1: What.", "m:3: Whether so.", "m:5: What x is."]


def test_the_whole_package_is_read() -> None:
    assert {"memocache", "memocache.cli", "memocache.backends.base"} <= sources().keys()
    assert "memocache.cli" in imports()["memocache.__main__"]
    assert len(chapters()) > 0


def test_the_map_is_read() -> None:
    text = (
        f"| `before` |\n## {TABLE}\n\n| a key | `keys.py` |\n|--|--|\n| `backends/_x.py`, `_y` |\n# Next\n| `after` |\n"
    )
    assert entries(text) == {"keys", "backends._x", "_y"}
