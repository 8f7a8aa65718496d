"""The gate: whether memocache needs more instructions than it did when the numbers in gate.json were stored.

`python -m benchmarks.gate` counts and compares, and fails if a row is beyond its limit. Instructions repeat, so that
they can be asserted, on a busy machine too; ratios of time are measured and quoted by `python -m benchmarks`, never
asserted. Stored numbers are those of one interpreter and of some versions of the libraries. Under others, the memocache
that they are of is taken out of git and counted beside the present one, in the same run; so it is with
`--against COMMIT`.

A tree, which is a folder with a package memocache in it, is counted in two processes, with its part in C and without:
`counted.py`, under callgrind, a tool of valgrind's. That has marks; what is executed between two of them is a stretch.
Of each row there are some stretches of a few hundred calls, after as many calls as the interpreter needs to know its
way, and the least of them counts, by call: what comes once in a while, as an answer that arrives in two pieces, is in
one of them and not in the others. The loop's own 30 instructions are in it; for the calls the garbage collector is off,
arguments are made beforehand, computations are free. An import is counted once, in a process that has imported nothing
else, with its bytecode there.

Hits in C are compared with those of functools.lru_cache, too, which are counted in the same process; that has no
timeout. An instruction is not a time, but both are short ways through the same interpreter.

Of calls on servers only the client's side is counted, the kernel's and the servers' own work never. Hashes are fixed,
the environment is empty, both trees lie under paths of the same length. What is left is where objects happen to lie in
memory: 0.1 % for a hit in the process, 0.4 % for one on a server, 1 % for a miss. A processor with other string
instructions makes 0.4 %.
"""

import argparse
import hashlib
import io
import json
import math
import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final
from zipfile import ZipFile

from benchmarks.harness import Unavailable
from benchmarks.report import versions
from benchmarks.servers import MEMCACHED, REDIS

ROOT: Final = Path(__file__).parent.parent
FILE: Final = Path(__file__).with_name("gate.json")
SCRIPT: Final = Path(__file__).with_name("counted.py")
STORE: Final = "python -m benchmarks.gate --store"
PACKAGE: Final = "memocache"
CALLGRIND: Final = ("-q", "--tool=callgrind", "--vgdb=no", "--combine-dumps=yes", "--dump-before=getppid")
LAST_LINES: Final = 15  # of what a process that failed wrote
LONGEST: Final = 900  # seconds: half a minute is usual, and on a busy machine a few

HIT: Final = 1.03  # what is done all the time
OTHER: Final = 1.15
PURE: Final = "pure-"  # rows without the part in C
LRU: Final = "lru_cache-"  # rows of functools.lru_cache; as in counted.py
TOO_MANY: Final = "TOO MANY"
FEWER: Final = "fewer"

# ---- what is compared --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    """A kind of call that is counted; *limit* is how many times as many instructions as before it may need.

    *bar* is how many times as many as those of functools.lru_cache.
    """

    name: str
    what: str
    limit: float
    bar: float | None = None


ROWS: Final = (
    Row("hit", "f(1)", HIT, 1.3),
    Row("hit-of-two", "f(1, 2)", HIT, 1.6),
    Row("hit-with-names", "f(1, b=2, c=4)", HIT, 1.5),
    Row("hit-of-method", "shop.total(1)", HIT, 2.0),
    Row("memcached", "a hit, the client's side", HIT),
    Row("redis", "a hit, the client's side", HIT),
    Row("miss", "f(n), which evicts", OTHER),
    Row("uncache", "f.uncache(n), which was there", OTHER),
    Row("import", "import memocache", OTHER),
    Row("pure-hit", "f(1), without the part in C", HIT),
    Row("pure-hit-of-two", "f(1, 2)", HIT),
    Row("pure-hit-with-names", "f(1, b=2, c=4)", HIT),
    Row("pure-hit-of-method", "shop.total(1)", HIT),
    Row("pure-miss", "f(n), which evicts", OTHER),
    Row("pure-uncache", "f.uncache(n), which was there", OTHER),
)
NAMES: Final = [row.name for row in ROWS]


@dataclass(frozen=True)
class Stored:
    """Numbers, and what they are of."""

    commit: str  # the last one that changed memocache/
    package: str  # git's name of memocache/ as it was then, the same where commits are made anew, as by a rebase
    environment: Mapping[str, str]  # what they depend on besides
    instructions: Mapping[str, int]  # a call, by row

    @staticmethod
    def read(file: Path) -> "Stored":
        """Return what *file* has."""
        try:
            stored = Stored(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise Unavailable(f"there are no stored numbers in {file} ({error}); store some: {STORE}") from error
        if set(stored.instructions) != set(NAMES):
            raise Unavailable(f"{file} does not have the rows that are counted; store them anew: {STORE}")
        return stored

    def write(self, file: Path) -> None:
        """Put them into *file*."""
        file.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")

    def other(self, present: Mapping[str, str]) -> str:
        """Return in which way *present* differs from the environment that they are of; "" if it does not."""
        names = dict.fromkeys([*self.environment, *present])
        found = {name: (self.environment.get(name), present.get(name)) for name in names}
        return "; ".join(f"{name}: {then}, now {now}" for name, (then, now) in found.items() if then != now)


@dataclass(frozen=True)
class Compared:
    """A row's instructions a call, before and now."""

    row: Row
    before: int
    now: int
    limit: float

    @property
    def ratio(self) -> float:
        """How many times as many it needs now."""
        return self.now / self.before

    @property
    def verdict(self) -> str:
        """Its limit's word: "TOO MANY", "fewer" if it is as far below as it may be above, or ""."""
        return TOO_MANY if self.ratio > self.limit else FEWER if self.ratio < 1 / self.limit else ""


def compared(before: Mapping[str, int], now: Mapping[str, int], limits: Mapping[str, float]) -> list[Compared]:
    """Return the rows that *now* has beside those *before*; *limits* go before the rows' own."""
    present = [row for row in ROWS if row.name in now]
    return [Compared(row, before[row.name], now[row.name], limits.get(row.name, row.limit)) for row in present]


def beside(now: Mapping[str, int]) -> list[Compared]:
    """Return the rows that *now* has beside those of functools.lru_cache, which it has, too."""
    present = [(row, row.bar, now[LRU + row.name]) for row in ROWS if row.bar and LRU + row.name in now]
    return [Compared(row, theirs, now[row.name], bar) for row, bar, theirs in present]


def table(rows: Sequence[Compared], before: str, *, stored: bool = True) -> str:
    """Return the table, and below it what to do; *before*: what the first numbers are of, the *stored* ones or not."""
    lines = _lines(rows, f"Instructions a call, before ({before}) and now", "before")
    return "\n".join([*lines, "", *_conclusion(rows, stored)])


def table_beside(rows: Sequence[Compared]) -> str:
    """Return the table of what is *beside* functools.lru_cache, and below it what to do."""
    lines = _lines(rows, "Instructions a call, of functools.lru_cache and now", "lru_cache")
    return "\n".join([*lines, "", *_conclusion(rows, stored=False)])


def _lines(rows: Sequence[Compared], title: str, other: str) -> Iterator[str]:
    yield from (title, "", f"{'':50} {other:>12} {'now':>12} {'ratio':>7} {'limit':>7}")
    for each in rows:
        name = f"{each.row.name:20} {each.row.what}"
        figures = f"{each.before:12,} {each.now:12,} {each.ratio:7.3f} {each.limit:7.3f}"
        yield f"{name:50} {figures}  {each.verdict}".rstrip()


def _conclusion(rows: Sequence[Compared], stored: bool) -> Iterator[str]:
    slow = [f"{each.row.name} ({each.ratio:.3f}, limit {each.limit:.3f})" for each in rows if each.verdict == TOO_MANY]
    quick = [each.row.name for each in rows if each.verdict == FEWER]
    if slow:
        yield f"More instructions than they may need: {', '.join(slow)}. Let them do less."
        if stored:
            yield f"If what they do now is worth it: commit that, store the new numbers, and say why: {STORE}"
    else:
        yield "All is within its limit."
    if quick and stored:
        yield f"Clearly fewer: {', '.join(quick)}. So that it stays so, store the new numbers: {STORE}"


# ---- how it is counted -------------------------------------------------------------------------------------------


def require_valgrind() -> str:
    """Return the path of valgrind."""
    found = shutil.which("valgrind")
    if found is None:
        raise Unavailable(
            "there is no valgrind on PATH, which counts the instructions (Debian, Ubuntu: apt-get install valgrind)"
        )
    return found


def environment() -> dict[str, str]:
    """Return what the numbers depend on, besides memocache: where any of it differs, they cannot be compared."""
    return {
        "python": " ".join(sys.version.split()),
        "platform": f"{platform.system()} {platform.machine()}, {' '.join(platform.libc_ver())}",
        "valgrind": _done([require_valgrind(), "--version"]).strip().removeprefix("valgrind-"),
        "compiler": _done([*compiler(), "--version"]).splitlines()[0],
        **{name: version or "not installed" for name, version in versions(["redis"]).items()},
        "counted.py": hashlib.blake2b(SCRIPT.read_bytes(), digest_size=8).hexdigest(),
    }


def compiler() -> list[str]:
    """Return the command of the compiler that Python was built with."""
    command = shlex.split(sysconfig.get_config_var("CC"))
    if shutil.which(command[0]) is None:
        raise Unavailable(f"there is no {command[0]} on PATH, which compiles the hits in C")
    return command


def _done(command: Sequence[str]) -> str:
    """Return what *command* writes, which cannot fail for anything but the machine."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def present_tree(folder: Path) -> Path:
    """Return a copy of the present memocache, inside *folder*."""
    tree = folder / "here"
    shutil.copytree(ROOT / PACKAGE, tree / PACKAGE, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
    return compiled(tree)


def tree_of(package: str, folder: Path) -> Path:
    """Return a copy of another memocache, inside *folder*; *package* is what git calls it, as `COMMIT:memocache`."""
    tree = folder / "then"
    with ZipFile(io.BytesIO(git("archive", "--format=zip", f"--prefix={PACKAGE}/", package))) as files:
        files.extractall(tree)
    return compiled(tree)


def compiled(tree: Path) -> Path:
    """Return *tree* with its part in C built, if it has one: what lies about may be of another commit."""
    source = tree / PACKAGE / "_hit.c"
    if source.exists():
        flags = shlex.split(" ".join(map(sysconfig.get_config_var, ("CFLAGS", "CCSHARED"))))
        built = source.with_suffix(sysconfig.get_config_var("EXT_SUFFIX"))
        include = sysconfig.get_path("include")
        _done([*compiler(), *flags, "-shared", f"-I{include}", str(source), "-o", str(built)])
    return tree


def git(*words: str) -> bytes:
    """Return what git writes."""
    try:
        return subprocess.run(["git", *words], cwd=ROOT, capture_output=True, check=True).stdout
    except FileNotFoundError:
        raise Unavailable("there is no git on PATH, which has the commit to compare with") from None
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise Unavailable(
            f"`git {' '.join(words)}` failed: {said} (if the clone is a shallow one: git fetch --unshallow)"
        ) from None


def instructions(tree: Path, rows: Collection[str]) -> dict[str, int]:
    """Return the instructions that a call of each of *rows* takes in *tree*."""
    pure = [row.removeprefix(PURE) for row in rows if row.startswith(PURE)]
    others = [row for row in rows if not row.startswith(PURE)]
    with ThreadPoolExecutor(2) as pool:  # other work beside it is no instruction of its own
        in_c = pool.submit(_instructions, tree, others, "0") if others else None
        in_python = pool.submit(_instructions, tree, pure, "1") if pure else None
    found = in_c.result() if in_c else {}
    return found | {PURE + row: count for row, count in (in_python.result() if in_python else {}).items()}


def _instructions(tree: Path, rows: Collection[str], pure: str) -> dict[str, int]:
    """Return the instructions of *rows*, with MEMOCACHE_PURE=*pure*."""
    with tempfile.TemporaryDirectory(prefix="mc") as directory:
        counts = Path(directory, "counts")
        counter = [require_valgrind(), *CALLGRIND, f"--callgrind-out-file={counts}"]
        _counted([], tree, rows, directory, pure)  # it writes the bytecode, and what fails does so at once
        said = _counted(counter, tree, rows, directory, pure)
        summaries = [line for line in counts.read_text().splitlines() if line.startswith("summary: ")]
    found = least(said.splitlines(), [int(line.split()[1]) for line in summaries])
    return {row: found[row] for row in rows}


def least(said: Iterable[str], stretches: Sequence[int]) -> dict[str, int]:
    """Return the least of each row, by call.

    The script has *said* a row and a number of calls for each of the *stretches* that count: every other.
    """
    lines = [line.split() for line in said]
    if len(stretches) != 2 * len(lines) + 1:
        raise Unavailable(
            f"callgrind saw {len(stretches) - 1} marks where {2 * len(lines)} were set: "
            "something else calls os.getppid(), or the C library does not show that name"
        )
    found: dict[str, float] = {}
    for (row, calls), count in zip(lines, stretches[1::2], strict=True):
        found[row] = min(found.get(row, count), count / int(calls))
    return {row: round(count) for row, count in found.items()}


def _counted(counter: Sequence[str], tree: Path, rows: Collection[str], directory: str, pure: str) -> str:
    """Return what the script writes when it is run, with new servers if any of *rows* needs them."""
    # Whatever else is in the environment, its length included, moves what is in memory.
    fixed = {"PATH": os.defpath, "PYTHONHASHSEED": "0", "PYTHONPATH": str(tree), "MEMOCACHE_PURE": pure}
    needed = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}  # by some interpreters
    words = [*counter, sys.executable, "-P", str(SCRIPT), str(tree), ",".join(rows)]
    with ExitStack() as stack:
        if {"memcached", "redis"} & set(rows):
            for server in (MEMCACHED, REDIS):
                stack.enter_context(server.running())
                words.append(server.address)
        try:
            done = subprocess.run(
                words, cwd=directory, env=fixed | needed, capture_output=True, text=True, timeout=LONGEST
            )
        except subprocess.TimeoutExpired:
            raise Unavailable(
                f"{SCRIPT.name} was not ready after {LONGEST} s; try it on a machine that does less"
            ) from None
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-LAST_LINES:])
        raise Unavailable(f"{SCRIPT.name} failed with status {done.returncode}:\n{last}")
    return done.stdout


# ---- the command line --------------------------------------------------------------------------------------------


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the status: 0, 1 if a row is beyond its limit, 2 if nothing was counted."""
    options = _options(words)
    try:
        require_valgrind()
        with tempfile.TemporaryDirectory(prefix="mc") as folder:
            if options.store:
                _store(Path(folder))
                return 0
            before, now, name = _counts(options.against, options.row or NAMES, Path(folder))
    except Unavailable as reason:
        print(f"The gate counted nothing: {reason}", file=sys.stderr)
        return 2
    found = compared(before, now, options.limits)
    print(table(found, name, stored=not options.against))
    if bars := beside(now):
        print(f"\n{table_beside(bars)}")
    return 1 if any(each.verdict == TOO_MANY for each in (*found, *bars)) else 0


def _counts(
    commit: str | None, rows: Collection[str], folder: Path
) -> tuple[Mapping[str, int], Mapping[str, int], str]:
    """Return the numbers of *commit*, or the stored ones; those of the present tree; and what to call the former."""
    here, then = present_tree(folder), None
    if commit:
        then, name = tree_of(f"{commit}:{PACKAGE}", folder), commit
    else:
        stored = Stored.read(FILE)
        before, name = stored.instructions, f"stored, of {stored.commit[:10]}"
        if other := stored.other(environment()):
            print(f"The stored numbers are of another environment ({other}): what they are of is counted here, too.\n")
            then = tree_of(stored.package, folder)
    if then:
        before = instructions(then, rows)
    return before, instructions(here, [*rows, *(LRU + row.name for row in ROWS if row.bar and row.name in rows)]), name


def _store(folder: Path) -> None:
    if git("status", "--porcelain", "--", PACKAGE):
        raise Unavailable(
            f"{PACKAGE}/ has changes that are in no commit, and numbers are stored with what they are of: commit first"
        )
    counts = instructions(present_tree(folder), NAMES)
    commit, package = git("log", "-1", "--format=%H", "--", PACKAGE), git("rev-parse", f"HEAD:{PACKAGE}")
    Stored(commit.decode().strip(), package.decode().strip(), environment(), counts).write(FILE)
    print(f"Stored in {FILE}: commit it.")


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gate",
        description="Count instructions, and fail where there are more than the limit, a ratio, allows.",
    )
    parser.add_argument("row", nargs="*", help=f"which to count, all if none is given: {', '.join(NAMES)}")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--store", action="store_true", help="count, and store the numbers instead of comparing them")
    what.add_argument("--against", metavar="COMMIT", help="count the memocache of that commit, too, and compare")
    parser.add_argument(
        "--limit", action="append", default=[], metavar="ROW=RATIO", help="instead of the row's own; may be repeated"
    )
    options = parser.parse_args(words)
    options.limits = {}
    for limit in options.limit:
        name, _, ratio = limit.partition("=")
        try:
            options.limits[name] = float(ratio)
        except ValueError:
            options.limits[name] = math.nan
        if not 0 < options.limits[name] < math.inf:
            parser.error(f"--limit {limit}; wanted: a row and a ratio, as --limit miss=1.10")
    for name in (*options.row, *options.limits):
        if name not in NAMES:
            parser.error(f"there is no row {name!r}; there are: {', '.join(NAMES)}")
    if options.store and (options.row or options.limits):
        parser.error("--store stores all rows, and compares none; leave out rows and limits")
    return options


if __name__ == "__main__":
    sys.exit(main())
