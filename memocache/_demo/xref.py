"""The slow functions of the demo: a cross-reference of Python's own standard library."""

import ast
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from memocache import cached

__all__ = ["NoSources", "Place", "definitions", "references", "runs"]

runs: list[str] = []  # one for each computation, so that the demo need not take the cache's word for it


class NoSources(Exception):
    """The sources of the standard library are not on this machine."""


class Place(NamedTuple):
    """A line of a file, and the function or class that it is in."""

    file: str
    line: int
    inside: str


@cached(timeout=300)
def references(name: str, package: str = "asyncio") -> list[Place]:
    """Return the places where *name* is used in *package*."""
    runs.append(name)
    return [place for node, place in _nodes(package) if _used(node) == name]


@cached(timeout=0.5)
def definitions(name: str, package: str = "email") -> list[Place]:
    """Return the places where a function or class called *name* is defined in *package*."""
    runs.append(name)
    return [place for node, place in _nodes(package) if _defined(node) == name]


def _nodes(package: str) -> Iterator[tuple[ast.AST, Place]]:
    """Parse all files of a part of the standard library."""
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(library.joinpath(package).rglob("*.py"))
    if not files:
        raise NoSources(f"{library} has no source files of {package}, which the demo would read")
    for file in files:
        tree = ast.parse(file.read_bytes())
        yield from _below(tree, file.relative_to(library).as_posix(), "")


def _below(node: ast.AST, file: str, inside: str) -> Iterator[tuple[ast.AST, Place]]:
    for child in ast.iter_child_nodes(node):
        yield child, Place(file, getattr(child, "lineno", 0), inside)
        name = _defined(child)
        within = f"{inside}.{name}".lstrip(".") if name else inside
        yield from _below(child, file, within)


def _used(node: ast.AST) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.name if isinstance(node, ast.alias) else None


def _defined(node: ast.AST) -> str | None:
    return node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) else None
