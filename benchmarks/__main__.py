"""The command line: which benchmarks to run, how thoroughly, and where to put the results."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.backends import backends, memcached
from benchmarks.calls import awaited, hit, miss, start
from benchmarks.charts import draw, require
from benchmarks.eviction import eviction
from benchmarks.harness import FULL, QUICK, Benchmark, Effort, Unavailable
from benchmarks.herd import fleet, herd, tasks
from benchmarks.report import Report, Result, machine, versions
from benchmarks.scale import processes, scale, threads

IN_PROCESS: Final = (hit, awaited, miss, start, eviction, scale, threads)
ALL: Final = (*IN_PROCESS, memcached, backends, processes, herd, tasks, fleet)


def main(benchmarks: Sequence[Benchmark] = ALL, words: Sequence[str] | None = None) -> None:
    """Run those of *benchmarks* that the command line names, all if it names none; print and write the results."""
    options = _options(benchmarks, words)
    chosen = [each for each in benchmarks if each.name in options.benchmark or not options.benchmark]
    described = machine()  # before: the load is to be that of others
    results = []
    for number, each in enumerate(chosen, start=1):
        if sys.stderr.isatty():
            print(f"{number} of {len(chosen)}: {each.title}", file=sys.stderr)
        results.append(result_of(each, QUICK if options.quick else FULL))
    report = Report(described, versions(set().union(*(each.packages for each in chosen))), results)
    print(report.text())
    if options.json:
        options.json.write_text(json.dumps(report.data(), indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(report.markdown(), encoding="utf-8")
    if options.charts:
        draw(results, options.charts)


def result_of(benchmark: Benchmark, effort: Effort) -> Result:
    """Return its result, or why there is none."""
    try:
        return benchmark.run(effort)
    except Unavailable as reason:
        return Result(benchmark.name, benchmark.title, skipped=str(reason))


def _options(benchmarks: Sequence[Benchmark], words: Sequence[str] | None) -> argparse.Namespace:
    names = [each.name for each in benchmarks]
    parser = argparse.ArgumentParser("python -m benchmarks", description="memocache side by side with its peers.")
    parser.add_argument("--quick", action="store_true", help="under a minute: whether it works, not how fast it is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here, each round included")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables here")
    parser.add_argument("--charts", type=Path, metavar="DIR", help="draw the tables here, one SVG each")
    parser.add_argument("benchmark", nargs="*", help=f"which to run, all if none is given: {', '.join(names)}")
    options = parser.parse_args(words)
    for name in options.benchmark:
        if name not in names:
            parser.error(f"there is no benchmark {name!r}; there are: {', '.join(names)}")
    if options.charts:
        try:
            require()  # before minutes are spent on what cannot be drawn
        except Unavailable as reason:
            parser.error(str(reason))
    return options


if __name__ == "__main__":
    main()
