"""How many instructions a call takes, as callgrind, a tool of valgrind's, counts them: the same each time.

A tree, which is a folder with a package memocache in it, is counted in one process: `counted.py`, under callgrind. That
has marks; what is executed between two of them is a stretch. Of each row there are some stretches of a few hundred
calls, after as many calls as the interpreter needs to know its way, and the least of them counts, by call: what
comes once in a while, as an answer that arrives in two pieces, is in one of them and not in the others. The loop's own
30 instructions are in it; for the calls the garbage collector is off, arguments are made beforehand, computations are
free. An import is counted once, in a process that has imported nothing else, with its bytecode there.

Of calls on servers only the client's side is counted, the kernel's and the servers' own work never. Hashes are fixed,
the environment is empty, both trees lie under paths of the same length. What is left is where objects happen to lie in
memory: 0.1 % for a hit in the process, 0.4 % for one on a server, 1 % for a miss. A processor with other string
instructions makes 0.4 %.
"""

import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from benchmarks.answer import Unanswerable
from benchmarks.machine import versions
from benchmarks.server import MemcachedServer, RedisServer

__all__ = ["ROOT", "environment", "git", "instructions", "least", "present_tree", "require_valgrind", "tree_of"]

ROOT: Final = Path(__file__).parent.parent
SCRIPT: Final = Path(__file__).with_name("counted.py")
CALLGRIND: Final = ("-q", "--tool=callgrind", "--vgdb=no", "--combine-dumps=yes", "--dump-before=getppid")
LAST_LINES: Final = 15  # of what a process that failed wrote
LONGEST: Final = 900  # seconds: half a minute is usual, and on a busy machine a few


def require_valgrind() -> str:
    """Return the path of valgrind.

    Raises:
        Unanswerable: if there is none.
    """
    found = shutil.which("valgrind")
    if found is None:
        raise Unanswerable(
            "there is no valgrind on PATH, which counts the instructions (Debian, Ubuntu: apt-get install valgrind)"
        )
    return found


def environment() -> dict[str, str]:
    """Return what the numbers depend on, besides memocache: where any of it differs, they cannot be compared."""
    counter = subprocess.run([require_valgrind(), "--version"], capture_output=True, text=True, check=True)
    packages = versions(["redis"]).items()
    return {
        "python": " ".join(sys.version.split()),
        "platform": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        "valgrind": counter.stdout.strip().removeprefix("valgrind-"),
        **{name: version or "not installed" for name, version in packages},
        "counted.py": hashlib.blake2b(SCRIPT.read_bytes(), digest_size=8).hexdigest(),
    }


def present_tree(folder: Path) -> Path:
    """Return a copy of the present memocache, inside *folder*."""
    tree = folder / "here"
    shutil.copytree(ROOT / "memocache", tree / "memocache", ignore=shutil.ignore_patterns("__pycache__"))
    return tree


def tree_of(package: str, folder: Path) -> Path:
    """Return a copy of another memocache, inside *folder*; *package* is what git calls it, as `COMMIT:memocache`.

    Raises:
        Unanswerable: if git does not have it.
    """
    tree = folder / "then"
    with ZipFile(io.BytesIO(git("archive", "--format=zip", "--prefix=memocache/", package))) as files:
        files.extractall(tree)
    return tree


def git(*words: str) -> bytes:
    """Return what git writes.

    Raises:
        Unanswerable: if it fails.
    """
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise Unanswerable("there is no git on PATH, which has the commit to compare with") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise Unanswerable(
            f"`git {' '.join(words)}` failed: {said} (if the clone is a shallow one: git fetch --unshallow)"
        ) from None


def instructions(tree: Path, rows: Collection[str]) -> dict[str, int]:
    """Return the instructions that a call of each of *rows* takes in *tree*.

    Raises:
        Unanswerable: if they cannot be counted.
    """
    valgrind = require_valgrind()
    with tempfile.TemporaryDirectory(prefix="mc") as directory:
        # Once without valgrind: it writes the bytecode, and what fails does so at once.
        with _servers(rows) as addresses:
            _output([sys.executable, *_script(tree, rows, addresses)], tree, directory)
        counts = Path(directory, "counts")
        with _servers(rows) as addresses:
            words = [valgrind, *CALLGRIND, f"--callgrind-out-file={counts}"]
            said = _output([*words, sys.executable, *_script(tree, rows, addresses)], tree, directory)
        summaries = [line for line in counts.read_text().splitlines() if line.startswith("summary: ")]
    found = least(said.splitlines(), [int(line.split()[1]) for line in summaries])
    return {row: found[row] for row in rows}


def least(said: Iterable[str], stretches: Sequence[int]) -> dict[str, int]:
    """Return the least of each row, by call.

    Args:
        said: a row and a number of calls for each of the stretches that count: the second, the fourth, ...
        stretches: the instructions of all.

    Raises:
        Unanswerable: if there are more or fewer than there should be.
    """
    lines = [line.split() for line in said]
    if len(stretches) != 2 * len(lines) + 1:
        raise Unanswerable(
            f"callgrind saw {len(stretches) - 1} marks where {2 * len(lines)} were set: "
            "something else calls os.getppid(), or the C library does not show that name"
        )
    found: dict[str, float] = {}
    for (row, calls), count in zip(lines, stretches[1::2], strict=True):
        found[row] = min(found.get(row, count), count / int(calls))
    return {row: round(count) for row, count in found.items()}


def _script(tree: Path, rows: Collection[str], addresses: Iterable[str]) -> list[str]:
    return ["-P", str(SCRIPT), str(tree), ",".join(rows), *addresses]


def _output(words: list[str], tree: Path, directory: str) -> str:
    # Whatever else is in the environment, its length included, moves what is in memory.
    fixed = {"PATH": os.defpath, "PYTHONHASHSEED": "0", "PYTHONPATH": str(tree)}
    needed = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}  # by some interpreters
    try:
        done = subprocess.run(words, cwd=directory, env=fixed | needed, capture_output=True, text=True, timeout=LONGEST)
    except subprocess.TimeoutExpired:
        raise Unanswerable(
            f"{SCRIPT.name} was not ready after {LONGEST} s; try it on a machine that does less"
        ) from None
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        raise Unanswerable(f"{SCRIPT.name} failed with status {done.returncode}:\n{last}")
    return done.stdout


@contextmanager
def _servers(rows: Collection[str]) -> Iterator[list[str]]:
    """Have new servers meanwhile, if any of *rows* needs them; give their addresses."""
    if not {"memcached", "redis"} & set(rows):
        yield []
        return
    memcached, redis = MemcachedServer(), RedisServer()
    with memcached.running(), redis.running():
        yield [memcached.address, redis.address]
