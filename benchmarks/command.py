"""The command line: what to ask, how thoroughly, and where to put the answers."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import FULL, QUICK, Question, ask, pieces
from benchmarks.machine import machine, versions
from benchmarks.progress import progress
from benchmarks.report import Report

__all__ = ["main"]


def main(questions: Sequence[Question], words: Sequence[str] | None = None) -> None:
    """Ask those of *questions* that the command line names, all if it names none; print and write the answers."""
    options = _options(questions, words)
    asked = [each for each in questions if each.name in options.question or not options.question]
    effort = QUICK if options.quick else FULL
    described = machine()  # before: the load is to be that of others
    with progress(sum(pieces(each, effort) for each in asked)) as told:
        answers = [ask(each, effort, told) for each in asked]
    packages = versions(contestant.package for each in asked for contestant in each.contestants)
    report = Report(described, packages, answers)
    print(report.text())
    if options.json:
        options.json.write_text(json.dumps(report.data(), indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(report.markdown(), encoding="utf-8")


def _options(questions: Sequence[Question], words: Sequence[str] | None) -> argparse.Namespace:
    names = [each.name for each in questions]
    parser = argparse.ArgumentParser(description="memocache side by side with its peers.")
    parser.add_argument("--quick", action="store_true", help="a few seconds: whether it works, not how fast it is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here, each round included")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables here")
    if len(names) > 1:
        parser.add_argument("question", nargs="*", help=f"which to ask, all if none is given: {', '.join(names)}")
    options = parser.parse_args(words)
    options.question = getattr(options, "question", [])
    for name in options.question:
        if name not in names:
            parser.error(f"there is no question {name!r}; there are: {', '.join(names)}")
    return options
