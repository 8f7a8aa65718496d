"""Syntax: the code of a function or class as its tree, and the names that it uses from outside itself.

The tree is written down the same in every version of Python. Comments, docstrings, annotations and positions are not in
it. Where the file does not say what runs here, since it was changed after it had been imported, or was rewritten while
it was, the compiled code stands for it.
"""

import __future__

import ast
import builtins
import collections
import functools
import importlib.util
import itertools
import linecache
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from hashlib import blake2b
from types import CodeType, FunctionType, ModuleType
from typing import Any, Final, NamedTuple, TypeAlias

from memocache._canonical import encode
from memocache._hints import variables_of
from memocache.errors import UnkeyableArgument

DECORATOR: Final = "memocache._decorator"  # where cached() and what it returns are from
FUTURES: Final = functools.reduce(
    int.__or__, (getattr(__future__, name).compiler_flag for name in __future__.all_feature_names)
)
FEW_FILES: Final = 4
MOST_PIECES: Final = 20_000
SUPER: Final = "super()"


class Reference(NamedTuple):
    """A name that code uses, with the attributes that it asks that for; of a *module*, if it imports that itself."""

    name: str
    attributes: tuple[str, ...] = ()
    module: str = ""


class Piece(NamedTuple):
    """The code of one function or class, and what it uses."""

    digest: bytes
    used: tuple[Reference, ...] = ()
    """The references of what runs when it is called."""
    used_before: tuple[Reference, ...] = ()
    """The references of its definition: decorators, bases, hints of fields. They count where they can be told."""
    of_self: tuple[Reference, ...] = ()
    """Attributes of its first argument, or of super()."""
    changed: tuple[str, ...] = ()
    """The globals that it assigns to."""


Place: TypeAlias = "tuple[str, int]"
_pieces: Final[dict[int, tuple[CodeType, Piece]]] = {}
"""By the id of its code, and with it."""
_class_pieces: Final[dict[int, tuple[weakref.ref[type], Piece]]] = {}
_noted: Final[dict[str, tuple[object, int]]] = {}
"""By the paths of files: the spec of the module, and the hash of the text, when a function in it was decorated."""


class File:
    """A file that functions are written in: its syntax tree, and what it compiles to."""

    def __init__(self, text: str, flags: int) -> None:
        flags |= ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as in a notebook
        tree: Any = compile(text, "", "exec", flags | ast.PyCF_ONLY_AST, dont_inherit=True)
        self.functions: dict[Place, list[ast.AST]] = {}
        self.classes: dict[str, list[ast.AST]] = {}
        self.codes: dict[Place, list[CodeType]] = {}
        self._find(tree)
        codes = [compile(tree, "", "exec", flags, dont_inherit=True)]
        for each in codes:
            self.codes.setdefault((each.co_qualname, each.co_firstlineno), []).append(each)
            codes += [inner for inner in each.co_consts if isinstance(inner, CodeType)]

    def _find(self, tree: ast.AST) -> None:
        waiting = [(tree, "")]
        while waiting:
            node, prefix = waiting.pop()
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
                decorators = [] if isinstance(node, ast.Lambda) else node.decorator_list
                name = prefix + ("<lambda>" if isinstance(node, ast.Lambda) else node.name)
                line = min([node.lineno, *(each.lineno for each in decorators)])
                self.functions.setdefault((name, line), []).append(node)
                prefix = f"{name}.<locals>."
            elif isinstance(node, ast.ClassDef):
                self.classes.setdefault(prefix + node.name, []).append(node)
                prefix = f"{prefix}{node.name}."
            waiting += [(each, prefix) for each in ast.iter_child_nodes(node)]

    def has(self, code: CodeType) -> bool:
        """Return whether this file compiles to this *code*."""
        return code in self.codes.get((code.co_qualname, code.co_firstlineno), ())


@functools.lru_cache(maxsize=256)
def _parsed(text: str, flags: int) -> File | None:
    with suppress(SyntaxError, ValueError, RecursionError, MemoryError):  # changed since it was run, perhaps
        return File(text, flags)
    return None


def release_files() -> None:
    """Let go of the trees of files, unless there are only a few."""
    if _parsed.cache_info().currsize > FEW_FILES:
        _parsed.cache_clear()


def note_text(path: str, names: dict[str, Any]) -> str:
    """Return the text of the file at *path*, and note it as that of which the module with these *names* is made."""
    text, spec = _source_text(path, names), names.get("__spec__")
    is_loaded_again = spec is None or path not in _noted or _noted[path][0] is not spec
    if is_loaded_again and path == names.get("__file__"):  # a cell never changes
        _noted[path] = spec, hash(text)
    return text


def _source_text(path: str, names: dict[str, Any] | None) -> str:
    linecache.checkcache(path)
    return "".join(linecache.getlines(path, names))


def function_piece(function: FunctionType) -> Piece:
    """Return the piece that *function* is."""
    code = function.__code__
    known = _pieces.get(id(code))
    if known is not None:
        return known[1]
    text, nodes = _source_text(code.co_filename, function.__globals__), None
    for flags in dict.fromkeys((0, code.co_flags & FUTURES)):  # the file says them itself, a notebook may not
        file = _parsed(text, flags)
        if nodes is None and file is not None and file.has(code):
            nodes = file.functions.get((code.co_qualname, code.co_firstlineno))
    piece = _compiled_piece(function) if nodes is None else _piece(nodes, names_of(function))
    if len(_pieces) >= MOST_PIECES:
        _pieces.clear()
    _pieces[id(code)] = code, piece
    return piece


def _compiled_piece(function: FunctionType) -> Piece:
    """Return what *function* is made of where no source tells it: only this version of Python makes the same."""
    names, codes, digest = names_of(function), [function.__code__], blake2b(digest_size=16)
    used: dict[Reference, None] = {}
    for code in codes:
        constants = [each for each in code.co_consts if not isinstance(each, CodeType)]
        digest.update(encode((code.co_code, code.co_names, code.co_varnames, code.co_freevars, code.co_flags)))
        digest.update(b"".join(map(_constant, constants)))
        codes += [each for each in code.co_consts if isinstance(each, CodeType)]
        for name in (*code.co_names, *code.co_freevars):
            value = names.get(name)
            used[Reference(name)] = None
            if isinstance(value, ModuleType):  # nothing says whose attributes the other names are
                used.update((Reference(name, (each,)), None) for each in code.co_names if each in vars(value))
    return Piece(digest.digest(), used_before=tuple(used))


def _constant(value: object) -> bytes:
    try:
        return encode(value)
    except UnkeyableArgument:  # a slice, or what a class may have
        return type(value).__qualname__.encode()


def class_piece(cls: type, *, again: bool) -> Piece:
    """Return the piece that *cls* is; looked at *again* where it may have been changed in place."""
    known = _class_pieces.get(id(cls))
    if known is not None and known[0]() is cls and not again:
        return known[1]
    piece = _made_class_piece(cls)
    if len(_class_pieces) >= MOST_PIECES:
        _class_pieces.clear()
    _class_pieces[id(cls)] = weakref.ref(cls), piece
    return piece


def _made_class_piece(cls: type) -> Piece:
    names = vars(sys.modules.get(cls.__module__, builtins))
    methods = [each for each in vars(cls).values() if type(each) is FunctionType and each.__globals__ is names]
    for path in _paths(names, methods):
        text = _source_text(path, names)
        file = _parsed(text, 0)
        if file is not None and (nodes := file.classes.get(cls.__qualname__)):
            # Of the body of a class there is no code to compare.
            is_same = _noted.get(path, (None, hash(text)))[1] == hash(text)
            if is_same and all(file.has(each.__code__) for each in methods if each.__code__.co_filename == path):
                return _piece(nodes, names)
            break  # it was changed since
    # It was made by a call, as namedtuple() makes one, or changed since.
    pieces = [_compiled_piece(each) for each in methods]
    used = dict.fromkeys(itertools.chain.from_iterable(each.used_before for each in pieces))
    own = [each for each in sorted(vars(cls)) if not each.startswith("__")]
    content = encode((*own, *(each.digest for each in pieces))) + b"".join(_constant(vars(cls)[each]) for each in own)
    return Piece(blake2b(content, digest_size=16).digest(), used_before=tuple(used))


def _paths(names: Mapping[str, Any], methods: list[FunctionType]) -> Iterator[str]:
    """Return the files in which a class with these *methods* may be written, in a module with these *names*."""
    if path := names.get("__file__"):
        yield path
    yield from dict.fromkeys(each.__code__.co_filename for each in methods)
    # The cells of a notebook, which are no files; the latest first.
    yield from [path for path, entry in reversed(linecache.cache.items()) if len(entry) > 1 and entry[1] is None]


def names_of(function: FunctionType) -> Mapping[str, Any]:
    """Return what the names outside *function* stand for."""
    variables = variables_of(function)
    return collections.ChainMap(variables, function.__globals__) if variables else function.__globals__


def _piece(nodes: list[ast.AST], names: Mapping[str, Any]) -> Piece:
    """Return the piece that these *nodes* are: one, or all that stand on one line, or have one name."""
    digest = blake2b(digest_size=16)
    outside = Scope(names, runs=False, is_outermost=True)
    for node in nodes:
        _write(node, names, digest.update)
    outside.read(nodes)
    parameters = getattr(nodes[0], "args", None)
    first = next((each.arg for each in (*parameters.posonlyargs, *parameters.args)), "") if parameters else ""
    own = first, SUPER, "__class__"
    return Piece(
        digest.digest(),
        tuple(outside.used),
        tuple(each for each in {**outside.direct, **outside.used_before} if each not in outside.used),
        tuple(each for each in outside.seen if each.attributes and each.name in own) if parameters else (),
        tuple(outside.changed),
    )


class Scope:
    """A scope of names: what is bound in it, and which names it uses that are bound elsewhere.

    Args:
        names: what global names stand for.
        runs: whether its code runs when the function is called; False for what defines a function or a class.
        is_class: whether it is the body of a class, whose names no function in it sees.
        is_outermost: whether there is no more in it than the function or class that is asked about.
    """

    def __init__(
        self, names: Mapping[str, Any], *, runs: bool, is_class: bool = False, is_outermost: bool = False
    ) -> None:
        self._names = names
        self._runs = runs
        self._is_class = is_class
        self._is_outermost = is_outermost
        self._bound: set[str] = set()
        self._bound_around: set[str] = set()  # by := in a comprehension
        self._elsewhere: set[str] = set()  # declared global or nonlocal
        self._globals: set[str] = set()
        self._imports: dict[str, Reference] = {}
        self.direct: dict[Reference, None] = {}
        """The references of its own code."""
        self.used: dict[Reference, None] = {}
        """The references of functions in it to what is outside them."""
        self.used_before: dict[Reference, None] = {}
        """The references of the definitions of classes in it."""
        self.seen: dict[Reference, None] = {}
        """The references of the scopes in it, those to their own names included."""
        self.changed: dict[str, None] = {}
        """The globals that scopes in it assign to."""

    def read(self, nodes: Iterable[Any]) -> None:
        """Read *nodes*, and what is in them, in the order in which they are evaluated."""
        waiting = list(nodes)[::-1]
        while waiting:
            waiting += [each for each in self._enter(waiting.pop()) if isinstance(each, ast.AST)][::-1]

    def _enter(self, node: Any) -> list[Any]:
        """Note what *node* itself binds and uses, and return the nodes in it that are of this scope."""
        reference = _reference(node)
        if reference is not None:
            if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
                self._bound.add(node.id)
            else:
                self._use(reference)
            return []
        fields = dict(_fields(node, self._names))
        parts = [each for value in fields.values() for each in (value if isinstance(value, list) else [value])]
        match node:
            case ast.Attribute(value=ast.Call(func=ast.Name("type"), args=[ast.Name() as instance])):
                self._use(Reference(instance.id, ("__class__", node.attr)))
                return [node.value]
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.Lambda():
                inner = Scope(self._names, runs=True)
                arguments = node.args
                inner._bound.update(
                    each.arg
                    for each in (
                        *(*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs),
                        *(each for each in (arguments.vararg, arguments.kwarg) if each is not None),
                    )
                )
                # Of the function that is asked about, the values of the defaults count.
                before = [] if self._is_outermost else [*arguments.defaults, *arguments.kw_defaults]
                return self._define(node, inner, fields, before)
            case ast.ClassDef():
                inner = Scope(self._names, runs=False, is_class=True)
                return self._define(node, inner, fields, [*node.bases, *node.keywords])
            case ast.ListComp() | ast.SetComp() | ast.DictComp() | ast.GeneratorExp():
                first, *others = node.generators
                inner = Scope(self._names, runs=self._runs)
                inner.read([first.target, *first.ifs, *others])
                inner.read(each for each in parts if not isinstance(each, ast.comprehension))
                self._bound |= inner._bound_around
                self._bound_around |= inner._bound_around
                self._take(inner)
                return [first.iter]
            case ast.comprehension():
                return [node.iter, node.target, *node.ifs]
            case ast.NamedExpr():
                self._bound.add(node.target.id)
                self._bound_around.add(node.target.id)
                return [node.value]
            case ast.Import() | ast.ImportFrom():
                self._import(node)
                return []
            case ast.Global() | ast.Nonlocal():
                self._elsewhere.update(node.names)
                self._globals.update(node.names if isinstance(node, ast.Global) else ())
                return []
            case ast.ExceptHandler() | ast.MatchAs() | ast.MatchStar() if node.name:
                self._bound.add(node.name)
            case ast.MatchMapping() if node.rest:
                self._bound.add(node.rest)
            case ast.Assign() | ast.AnnAssign():
                return [node.value, *[each for each in parts if each is not node.value]]
            case ast.AugAssign() if isinstance(node.target, ast.Name):
                self._use(Reference(node.target.id))
        return parts

    def _define(self, node: Any, inner: "Scope", fields: dict[str, Any], before: list[Any]) -> list[Any]:
        """Read the function or class that *node* defines, as *inner*; return what is evaluated *before*."""
        inner._bound.update(each.name for each in getattr(node, "type_params", ()))
        body = fields.get("body", [])
        inner.read(body if isinstance(body, list) else [body])
        self._take(inner)
        if not isinstance(node, ast.Lambda):
            self._bound.add(node.name)
        return [*fields.get("decorator_list", ()), *before]

    def _use(self, reference: Reference) -> None:
        if not (self._is_class and reference.name in self._bound):
            self.direct[reference] = None

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                self._use(Reference("", (), alias.name))
                target = Reference("", (), alias.name if alias.asname else alias.name.partition(".")[0])
            else:
                module = "." * node.level + (node.module or "")
                with suppress(ImportError):
                    module = importlib.util.resolve_name(module, self._names.get("__package__"))
                target = Reference("", (alias.name,), module)
                self._use(target)
            name = alias.asname or alias.name.partition(".")[0]
            self._imports[name] = target
            self._bound.add(name)

    def _take(self, inner: "Scope") -> None:
        """Note what *inner*, a scope in this one, uses from outside itself."""
        self.seen.update(inner.direct | inner.used)
        (self.used if inner._runs else self.used_before).update(
            inner.direct if inner._is_class else inner._from_outside(inner.direct)
        )
        self.used.update(inner.used if inner._is_class else inner._from_outside(inner.used))
        self.used_before.update(inner._from_outside(inner.used_before))
        self.changed.update(inner.changed | dict.fromkeys(sorted(inner._globals & inner._bound)))

    def _from_outside(self, references: Iterable[Reference]) -> dict[Reference, None]:
        """Return those of *references* whose names are not bound here, and what was imported here."""
        found: dict[Reference, None] = {}
        for each in references:
            if each.name in self._elsewhere or each.name not in self._bound:
                found[each] = None
            elif (target := self._imports.get(each.name)) is not None:
                found[Reference("", target.attributes + each.attributes, target.module)] = None
        return found


def _write(node: ast.AST, names: Mapping[str, Any], write: Callable[[bytes], object]) -> None:
    """Write the tree of *node*: no empty fields, nothing without effect, and no annotation but of a class's fields."""
    waiting: list[Any] = [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, bytes):
            write(part)
        elif isinstance(part, ast.Constant | ast.MatchSingleton):
            value: Any = part.value
            write(b"=" + encode(value))
        elif isinstance(part, ast.AST):
            write(b"(" + type(part).__name__.encode())
            waiting.append(b")")
            for name, value in reversed([*_fields(part, names)]):
                waiting += reversed(value) if isinstance(value, list) else [value]
                waiting.append(b"." + name.encode())
        else:
            write(b"'" + encode(part))


# By the type of a node, fields that do not count.
UNCOUNTED: Final[dict[type[ast.AST], tuple[str, ...]]] = {
    **dict.fromkeys((ast.FunctionDef, ast.AsyncFunctionDef), ("returns", "type_comment", "type_params")),
    ast.ClassDef: ("type_params",),
    ast.arg: ("annotation", "type_comment"),
    **dict.fromkeys((ast.For, ast.AsyncFor, ast.With, ast.AsyncWith, ast.Assign), ("type_comment",)),
}


def _fields(node: ast.AST, names: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Return the fields of *node* that count, with their values."""
    uncounted = UNCOUNTED.get(type(node), ())
    for name, value in ast.iter_fields(node):
        if name == "ctx" or name in uncounted:
            continue
        if isinstance(value, list) and value:
            if isinstance(value[0], ast.stmt):
                value = _statements(value, in_class=isinstance(node, ast.ClassDef))
            elif type(node).__name__ in ("JoinedStr", "TemplateStr"):
                value = _joined(value)
            elif name == "decorator_list":
                value = _decorators(value, names)
        if value:
            # A key of a dict, or a default, may be missing between others.
            yield name, [b"-" if each is None else each for each in value] if isinstance(value, list) else value


def _statements(body: list[Any], *, in_class: bool) -> list[Any]:
    """Return the statements of *body* that do something: no docstrings, no annotations but those of fields."""
    counted = []
    for each in body:
        if isinstance(each, ast.Pass) or (isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant)):
            continue
        if isinstance(each, ast.AnnAssign) and not in_class:
            if each.value is None:
                continue
            each = ast.Assign([each.target], each.value)
        counted.append(each)
    return counted


def _joined(values: list[Any]) -> list[Any]:
    """Return the parts of an f-string, texts joined: one version of Python leaves empty ones."""
    joined: list[Any] = []
    for each in values:
        if isinstance(each, ast.Constant) and joined and isinstance(joined[-1], ast.Constant):
            joined[-1] = ast.Constant(str(joined[-1].value) + str(each.value))
        elif not isinstance(each, ast.Constant) or each.value:
            joined.append(each)
    return joined


def _decorators(decorators: list[Any], names: Mapping[str, Any]) -> list[Any]:
    """Return the decorators whose work is in a cached result: those below @cached."""
    for position, each in reversed(list(enumerate(decorators))):
        reference = _reference(each.func if isinstance(each, ast.Call) else each)
        value = None if reference is None else _attribute_of(names.get(reference.name), reference.attributes)
        value = getattr(value, "func", value) if type(value) is functools.partial else value
        if getattr(value, "__module__", None) == DECORATOR:
            return decorators[position + 1 :]
    return decorators


def _reference(node: ast.AST) -> Reference | None:
    """Return what *node* refers to if it is a name, perhaps with attributes."""
    attributes: list[str] = []
    while isinstance(node, ast.Attribute):
        attributes.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        return Reference(node.id, tuple(reversed(attributes)))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "super" and attributes:
        return Reference(SUPER, tuple(reversed(attributes)))
    return None


def _attribute_of(value: Any, attributes: Iterable[str]) -> Any:
    for each in attributes:
        value = getattr(value, each, None) if isinstance(value, ModuleType) else None
    return value
