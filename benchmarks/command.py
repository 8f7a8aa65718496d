"""The command line: what to ask, how thoroughly, and where to put the answers."""

import argparse
import json
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

from benchmarks.answer import FULL, QUICK, Answer, Asked, Effort, Told, Unanswerable
from benchmarks.charts import draw, require
from benchmarks.machine import machine, versions
from benchmarks.progress import progress
from benchmarks.report import Report

__all__ = ["answered", "main"]


def main(questions: Sequence[Asked], words: Sequence[str] | None = None) -> None:
    """Ask those of *questions* that the command line names, all if it names none; print and write the answers."""
    options = _options(questions, words)
    asked = [each for each in questions if each.name in options.question or not options.question]
    effort = QUICK if options.quick else FULL
    described = machine()  # before: the load is to be that of others
    with progress(sum(each.pieces(effort) for each in asked)) as told:
        answers = [answered(each, effort, told) for each in asked]
    packages = versions(chain.from_iterable(each.packages for each in asked))
    report = Report(described, packages, answers)
    print(report.text())
    if options.json:
        options.json.write_text(json.dumps(report.data(), indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(report.markdown(), encoding="utf-8")
    if options.charts:
        draw(answers, options.charts)


def answered(asked: Asked, effort: Effort, told: Told = lambda done: None) -> Answer:
    """Return the answer of *asked*, or why there is none; *told* is called as often as was said, whatever happens."""
    left = asked.pieces(effort)

    def counted(what: str) -> None:
        nonlocal left
        left -= 1
        told(what)

    try:
        answer = asked.ask(effort, counted)
    except Unanswerable as reason:
        answer = Answer(asked.name, asked.title, skipped=str(reason))
    while left > 0:
        counted(f"{asked.name}: skipped")
    return answer


def _options(questions: Sequence[Asked], words: Sequence[str] | None) -> argparse.Namespace:
    names = [each.name for each in questions]
    parser = argparse.ArgumentParser(description="memocache side by side with its peers.")
    parser.add_argument("--quick", action="store_true", help="under a minute: whether it works, not how fast it is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here, each round included")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables here")
    parser.add_argument("--charts", type=Path, metavar="DIR", help="draw the tables here, one SVG each")
    if len(names) > 1:
        parser.add_argument("question", nargs="*", help=f"which to ask, all if none is given: {', '.join(names)}")
    options = parser.parse_args(words)
    options.question = getattr(options, "question", [])
    for name in options.question:
        if name not in names:
            parser.error(f"there is no question {name!r}; there are: {', '.join(names)}")
    if options.charts:
        try:
            require()  # before minutes are spent on what cannot be drawn
        except Unanswerable as reason:
            parser.error(str(reason))
    return options
