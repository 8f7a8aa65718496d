"""The gate: whether memocache needs more instructions than it did when the numbers in gate.json were stored.

`python -m benchmarks.gate` counts and compares, and fails if a row is beyond its limit. Instructions repeat, so that
they can be asserted, on a busy machine too; ratios of time are measured and quoted by `python -m benchmarks`, never
asserted. How they are counted: `instructions.py`; the calls: `counted.py`.

Stored numbers are those of one interpreter and of some versions of the libraries. Under others, the memocache that
they are of is taken out of git and counted beside the present one, in the same run; so it is with `--against COMMIT`.
"""

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from benchmarks.answer import Unanswerable
from benchmarks.instructions import environment, git, instructions, present_tree, require_valgrind, tree_of

__all__ = ["FILE", "ROWS", "Compared", "Row", "Stored", "compared", "main", "report"]

FILE: Final = Path(__file__).with_name("gate.json")
STORE: Final = "python -m benchmarks.gate --store"
PACKAGE: Final = "memocache"

HIT: Final = 1.03  # what is done all the time
OTHER: Final = 1.15

TOO_MANY: Final = "TOO MANY"
FEWER: Final = "fewer"


@dataclass(frozen=True)
class Row:
    """What is counted; *limit* is how many times as many instructions as before it may need."""

    name: str
    what: str
    limit: float


ROWS: Final = (
    Row("hit", "f(1)", HIT),
    Row("hit-of-two", "f(1, 2)", HIT),
    Row("hit-of-method", "shop.total(1)", HIT),
    Row("memcached", "a hit, the client's side", HIT),
    Row("redis", "a hit, the client's side", HIT),
    Row("miss", "f(n), which evicts", OTHER),
    Row("uncache", "f.uncache(n), which was there", OTHER),
    Row("import", "import memocache", OTHER),
)


@dataclass(frozen=True)
class Stored:
    """Numbers, and what they are of.

    Args:
        commit: the last one that changed memocache/.
        package: what git calls memocache/ as it was then, the same where commits are made anew, as by a rebase.
        environment: what they depend on besides.
        instructions: a call, by row.
    """

    commit: str
    package: str
    environment: Mapping[str, str]
    instructions: Mapping[str, int]

    @staticmethod
    def read(file: Path) -> "Stored":
        """Return what *file* has.

        Raises:
            Unanswerable: if it has nothing, or not what it should have.
        """
        try:
            stored = Stored(**json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError) as error:
            raise Unanswerable(f"there are no stored numbers in {file} ({error}); store some: {STORE}") from error
        if set(stored.instructions) != {row.name for row in ROWS}:
            raise Unanswerable(f"{file} does not have the rows that are counted; store them anew: {STORE}")
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
        """Return how many times as many it needs now."""
        return self.now / self.before

    @property
    def verdict(self) -> str:
        """Return "TOO MANY", "fewer" if it is as far below as it may be above, or ""."""
        if self.ratio > self.limit:
            return TOO_MANY
        return FEWER if self.ratio < 1 / self.limit else ""


def compared(before: Mapping[str, int], now: Mapping[str, int], limits: Mapping[str, float]) -> list[Compared]:
    """Return the rows that *now* has beside those *before*; *limits* go before the rows' own."""
    return [
        Compared(row, before[row.name], now[row.name], limits.get(row.name, row.limit))
        for row in ROWS
        if row.name in now
    ]


def report(rows: Sequence[Compared], before: str, *, stored: bool = True) -> str:
    """Return the table, and below it what to do.

    Args:
        rows: what was compared.
        before: what the first numbers are of.
        stored: whether those are the stored ones, which can be stored anew.
    """
    lines = [
        f"Instructions a call, before ({before}) and now",
        "",
        f"{'':44} {'before':>12} {'now':>12} {'ratio':>7} {'limit':>7}",
    ]
    for each in rows:
        name = f"{each.row.name:14} {each.row.what}"
        figures = f"{each.before:12,} {each.now:12,} {each.ratio:7.3f} {each.limit:7.3f}"
        lines.append(f"{name:44} {figures}  {each.verdict}".rstrip())
    return "\n".join([*lines, "", *_conclusion(rows, stored)])


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


def main(words: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the status: 0, 1 if a row is beyond its limit, 2 if nothing was counted."""
    options = _options(words)
    try:
        require_valgrind()
        if options.store:
            _store()
            return 0
        rows = options.row or [row.name for row in ROWS]
        before, now, name = _against(options.against, rows) if options.against else _beside_stored(rows)
    except Unanswerable as reason:
        print(f"The gate counted nothing: {reason}", file=sys.stderr)
        return 2
    found = compared(before, now, options.limits)
    print(report(found, name, stored=not options.against))
    return 1 if any(each.verdict == TOO_MANY for each in found) else 0


Numbers = Mapping[str, int]


def _against(commit: str, rows: Collection[str]) -> tuple[Numbers, Numbers, str]:
    """Return the numbers of *commit*, those of the present tree, and what to call the former."""
    with tempfile.TemporaryDirectory(prefix="mc") as folder:
        then, here = tree_of(f"{commit}:{PACKAGE}", Path(folder)), present_tree(Path(folder))
        return instructions(then, rows), instructions(here, rows), commit


def _beside_stored(rows: Collection[str]) -> tuple[Numbers, Numbers, str]:
    """Return the stored numbers, or what they are in this environment; the present tree's; what to call the former."""
    stored = Stored.read(FILE)
    before, other = stored.instructions, stored.other(environment())
    with tempfile.TemporaryDirectory(prefix="mc") as folder:
        here = present_tree(Path(folder))
        if other:
            print(
                f"The stored numbers are of another environment ({other}): what they are of is counted here, too.\n",
                flush=True,
            )
            before = instructions(tree_of(stored.package, Path(folder)), rows)
        return before, instructions(here, rows), f"stored, of {stored.commit[:10]}"


def _store() -> None:
    if git("status", "--porcelain", "--", PACKAGE):
        raise Unanswerable(
            f"{PACKAGE}/ has changes that are in no commit, and numbers are stored with what they are of: commit first"
        )
    with tempfile.TemporaryDirectory(prefix="mc") as folder:
        counts = instructions(present_tree(Path(folder)), [row.name for row in ROWS])
    commit = git("log", "-1", "--format=%H", "--", PACKAGE)
    package = git("rev-parse", f"HEAD:{PACKAGE}")
    Stored(commit.decode().strip(), package.decode().strip(), environment(), counts).write(FILE)
    print(f"Stored in {FILE}: commit it.")


def _options(words: Sequence[str] | None) -> argparse.Namespace:
    names = [row.name for row in ROWS]
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gate",
        description="Count instructions, and fail where there are more than the limit, a ratio, allows.",
    )
    parser.add_argument("row", nargs="*", help=f"which to count, all if none is given: {', '.join(names)}")
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
        if name not in names:
            parser.error(f"there is no row {name!r}; there are: {', '.join(names)}")
    if options.store and (options.row or options.limits):
        parser.error("--store stores all rows, and compares none; leave out rows and limits")
    return options


if __name__ == "__main__":
    sys.exit(main())
