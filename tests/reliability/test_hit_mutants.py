"""Hits in C that are wrong in one place: what compares the two calls has to notice each."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Final

import pytest

from memocache._native import hit
from tests.support.selection import ROOT
from tests.support.servers import skip_or_fail

SOURCE: Final = (ROOT / "memocache" / "_hit.c").read_text()

MUTANTS: Final = {
    "types": ("same_types(lookup, entry, bound) &&", "1 &&"),
    "one type": ("return types == (PyObject *)Py_TYPE(bound[lookup->instance == 0 ? 1 : 0]);", "return 1;"),
    "expiry": ("now < entry->serve_until", "now < 1e300"),
    "counts": ("entry->hits++;", ";"),
    "default": (
        "bound[i] = PyTuple_GET_ITEM(hit->defaults, i);",
        "bound[i] = given ? args[0] : PyTuple_GET_ITEM(hit->defaults, i);",
    ),
    "names": ("if (PyTuple_GET_ITEM(hit->names, i) == name) {", "if (PyTuple_GET_ITEM(hit->names, i) == name || 1) {"),
    "twice": ("if (i == hit->lookup.number || bound[i] != NULL) {", "if (i == hit->lookup.number) {"),
    "instance": (
        "i == lookup->instance ? token : Py_NewRef(bound[i])",
        "Py_NewRef(i == lookup->instance ? Py_None : bound[i])",
    ),
}

RUN: Final = """
import sys, importlib.util
spec = importlib.util.spec_from_file_location("memocache._hit", sys.argv[1])
sys.modules["memocache._hit"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(sys.modules["memocache._hit"])
import pytest
class AsManyAsQuick:
    def pytest_collection(self):
        from tests.support import selection
        selection._is_quick = True
sys.exit(pytest.main(["-n", "0", "-q", "-x", "-p", "no:cacheprovider", "--no-header", "-k", "Generated and threads",
                      "tests/unit/test_parity.py"], [AsManyAsQuick()]))
"""


def compiled(source: str, folder: Path) -> Path:
    """Return the module that *source* makes."""
    compiler = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0]) or shutil.which("cc")
    if compiler is None or hit is None:
        skip_or_fail("there is no compiler, or nothing compiled to compare with")
    file, module = folder / "_hit.c", folder / f"_hit{sysconfig.get_config_var('EXT_SUFFIX')}"
    file.write_text(source)
    include = sysconfig.get_paths()["include"]
    words = [compiler, "-O1", "-fPIC", "-shared", f"-I{include}", str(file), "-o", str(module)]
    subprocess.run(words, check=True)
    return module


def compared(module: Path) -> int:
    """Return the status of the comparison with that *module* in use."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    words = [sys.executable, "-c", RUN, str(module)]
    run = subprocess.run(words, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    assert run.returncode in (0, 1), run.stdout
    return run.returncode


def test_what_is_right_passes(tmp_path: Path) -> None:
    assert compared(compiled(SOURCE, tmp_path)) == 0


@pytest.mark.parametrize("name", MUTANTS)
def test_what_is_wrong_in_one_place_is_noticed(name: str, tmp_path: Path) -> None:
    right, wrong = MUTANTS[name]
    assert SOURCE.count(right) == 1
    assert compared(compiled(SOURCE.replace(right, wrong), tmp_path)) == 1
