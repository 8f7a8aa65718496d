import textwrap
import types
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

from memocache._canonical import encode, module_name
from memocache.errors import UnkeyableArgument
from tests.support.processes import output_of, run_python
from tests.unit.canonical.samples import Keyed, decorated, distinct_from_each_other, function


class WithClassMethod:
    @classmethod
    def made(cls) -> None: ...

    @staticmethod
    def helped() -> None: ...

    class Inner: ...


class HeirWithClassMethod(WithClassMethod): ...


def qualified_name(thing: Any) -> str:
    """The name by which *thing* stands in a key."""
    return encode(thing).partition(b":")[2].decode()


@pytest.mark.parametrize(
    ("thing", "name"),
    [
        (function, "tests.unit.canonical.stored_calls.function"),
        (Keyed, "tests.unit.canonical.stored_calls.Keyed"),
        (Keyed.method, "tests.unit.canonical.stored_calls.Keyed.method"),
        (decorated, "tests.unit.canonical.stored_calls.decorated"),
        (int, "builtins.int"),
        (len, "builtins.len"),
        (OrderedDict, "collections.OrderedDict"),
        (WithClassMethod.made.__func__, "tests.unit.canonical.test_names.WithClassMethod.made"),
        (WithClassMethod.helped, "tests.unit.canonical.test_names.WithClassMethod.helped"),
        (WithClassMethod.Inner, "tests.unit.canonical.test_names.WithClassMethod.Inner"),
    ],
)
def test_a_name_is_what_another_process_finds_it_by(thing: Any, name: str) -> None:
    assert qualified_name(thing) == name
    assert module_name(thing) == name.partition(".")[0] or name.startswith(module_name(thing) + ".")


def test_a_class_method_is_its_class_and_its_function() -> None:
    distinct_from_each_other([WithClassMethod.made, HeirWithClassMethod.made, WithClassMethod.helped])


SCRIPT = """
    import multiprocessing
    from memocache._canonical import encode, module_name

    def qualified_name(thing):
        return encode(thing).partition(b":")[2].decode()

    class User:
        __cache_key__ = 1

    def names():
        return [module_name(User), qualified_name(User), qualified_name(names), encode(User()).hex()]

    if __name__ == "__main__":
        print(*names())
        if {spawn}:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(*pool.apply(names))
"""


def test_a_script_has_the_name_that_it_is_imported_by(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    for place in ("tool.py", "package/tool.py"):
        (tmp_path / place).write_text(textwrap.dedent(SCRIPT.format(spawn=True)))
    prelude = f"import sys; sys.path[:0] = [{str(tmp_path)!r}]; "
    as_script = run_python(str(tmp_path / "tool.py"))
    as_module = run_python("-c", prelude + "import tool; print(*tool.names())")
    run_as_module = run_python(
        "-c", prelude + "import runpy; runpy.run_module('package.tool', run_name='__main__', alter_sys=True)"
    )
    imported_module = run_python("-c", prelude + "import package.tool as tool; print(*tool.names())")
    without_a_file = run_python("-c", textwrap.dedent(SCRIPT.format(spawn=False)))
    expected = output_of(as_module)
    assert expected[0].startswith("tool tool.User tool.names ")
    assert output_of(as_script) == expected * 2  # the script itself, and its spawned child
    expected = output_of(imported_module)
    assert expected[0].startswith("package.tool package.tool.User package.tool.names ")
    assert output_of(run_as_module)[0] == expected[0]
    assert output_of(without_a_file)[0].startswith("__main__ __main__.User __main__.names ")


@pytest.mark.parametrize("module", [None, 5, [], "no.such.module"])
def test_a_class_of_nowhere_is_refused(module: Any) -> None:
    nowhere = type("", (), {"__module__": module})
    for value in (nowhere, nowhere()):
        with pytest.raises(UnkeyableArgument, match="has no stable form"):
            encode(value)


def test_what_has_no_module_counts_as_built_in() -> None:
    assert module_name(str.lower) == "builtins"
    assert module_name(types.SimpleNamespace(__module__=None)) == "builtins"
