"""What is run as `__main__`: a module, a script, a prompt; and by which name a shared cache knows its functions."""

import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from tests.support.processes import ROOT, output_of, run_python

SCRIPT = """
    import multiprocessing, sys
    from memocache import SQLiteCache, cached

    file = {file!r}
    @cached(timeout=None, cache=SQLiteCache(file))
    def load(x):
        return f"{result} {{x}}"

    @cached(timeout=None, cache="sqlite://" + file)
    def by_url(x):
        return f"{result} {{x}}"

    def everything():
        return load(1), by_url(1), load.info().misses

    if __name__ == "__main__":
        print(*everything())
        if sys.argv[1:]:
            with multiprocessing.get_context("spawn").Pool(1) as pool:
                print(*pool.apply(everything))
"""

AT_A_SERVER = """
    from memocache import ConfigurationError, MemcachedCache, cached

    def load(x):
        return x

    for cache in MemcachedCache(["/nobody/listens"]), "memcached://127.0.0.1:1", {{"any": "object"}}:
        try:
            cached(cache=cache)(load)
        except ConfigurationError as error:
            print(error)
        assert cached(cache=cache, namespace="mine")(load).key(1).startswith("v1:mine:")
"""

IN_A_FILE = """
    from memocache import ConfigurationError, SQLiteCache, cached, configure

    def load(x):
        return x

    assert cached(load)(1) == 1
    file = SQLiteCache({file!r})
    for cache in file, "sqlite://" + {file!r}, "tiered+sqlite://" + {file!r}:
        late = cached(cache=lambda: file)(load)
        for decorate in (lambda: late(1)), (lambda: cached(cache=cache)(load)(1)):
            try:
                decorate()
            except ConfigurationError as error:
                print(error)
        assert cached(cache=cache, namespace="mine")(load)(1) == 1
"""

UNKNOWN = (
    "so that another process cannot know which function the entries in a shared cache belong to; "
    "pass namespace='...', different for each such function"
)


def write(path: Path, source: str, **parts: object) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source).format(**parts))
    return str(path)


def test_scripts_of_one_name_do_not_share_and_each_has_its_own_results_again(tmp_path: Path) -> None:
    file = str(tmp_path / "cache.db")
    one, other = (write(tmp_path / folder / "train.py", SCRIPT, file=file, result=folder) for folder in ("a", "b"))
    (tmp_path / "link.py").symlink_to(one)
    assert output_of(run_python(one, "and spawn")) == ["a 1 a 1 1", "a 1 a 1 0"]
    assert output_of(run_python(other)) == ["b 1 b 1 1"]
    assert output_of(run_python(str(tmp_path / "link.py"))) == ["a 1 a 1 0"]


def test_a_directory_and_an_archive_that_are_run_are_scripts(tmp_path: Path) -> None:
    file = str(tmp_path / "cache.db")
    for folder in ("a", "b"):
        main = write(tmp_path / folder / "__main__.py", SCRIPT, file=file, result=folder)
    with zipfile.ZipFile(tmp_path / "c.pyz", "w") as archive:
        archive.writestr("__main__.py", Path(main).read_text().replace('"b {x}', '"c {x}'))
    told = [output_of(run_python(str(tmp_path / name))) for name in ("a", "b", "c.pyz")]
    assert told == [["a 1 a 1 1"], ["b 1 b 1 1"], ["c 1 c 1 1"]]


def test_a_module_that_is_run_has_the_name_that_it_is_imported_by(tmp_path: Path) -> None:
    write(tmp_path / "pkg" / "mod.py", SCRIPT, file=str(tmp_path / "cache.db"), result="it")
    environment = {"PYTHONPATH": f"{ROOT}:{tmp_path}"}
    for arguments, misses in (["-m", "pkg.mod"], 1), (["-c", "from pkg import mod; print(*mod.everything())"], 0):
        run = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=True)
        assert run.stdout.splitlines() == [f"it 1 it 1 {misses}"]


def test_a_script_needs_a_namespace_at_a_server(tmp_path: Path) -> None:
    script = write(tmp_path / "train.py", AT_A_SERVER)
    refusal = f"load is defined in a script, whose name other machines do not know, {UNKNOWN}"
    assert output_of(run_python(script)) == [refusal] * 3


@pytest.mark.parametrize("how", ["-c", "stdin", "prompt"])
def test_what_has_no_file_needs_a_namespace_on_every_shared_cache(how: str, tmp_path: Path) -> None:
    source = textwrap.dedent(IN_A_FILE.format(file=str(tmp_path / "cache.db")))
    if how == "prompt":
        source = f"exec({source!r})\n"
    arguments = {"-c": ["-c", source], "stdin": ["-"], "prompt": ["-i", "-q"]}[how]
    environment = {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, *arguments], input=source, env=environment, capture_output=True, text=True, check=True
    )
    refusal = f"load is defined where there is no file, as in a prompt or a notebook, {UNKNOWN}"
    assert run.stdout.splitlines() == [refusal] * 6


def test_a_name_that_a_script_does_not_lead_to_is_refused(tmp_path: Path) -> None:
    source = """
        from memocache import ConfigurationError, SQLiteCache, cached

        @cached(cache=SQLiteCache({file!r}))
        def load(x):
            return x

        first = load
        del load
        try:
            first(1)
        except ConfigurationError as error:
            print(error)
    """
    script = write(tmp_path / "train.py", source, file=str(tmp_path / "cache.db"))
    told = output_of(run_python(script))
    assert told == [f"load is not what is found as train.load, {UNKNOWN}"]
