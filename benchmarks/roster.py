"""Who takes part in a question that is not about the time of single calls, and who cannot."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

from benchmarks.answer import OURS, Row
from benchmarks.harness import Missing, imported

__all__ = ["Entrant", "Roster", "absent"]

Builder = Callable[..., Any]


@dataclass(frozen=True)
class Entrant:
    """A contestant that can take part: *build* is still to be given its *module*, and what the question wants of it."""

    name: str
    package: str
    build: Builder
    module: ModuleType

    @property
    def ours(self) -> bool:
        """Whether it is memocache."""
        return self.package == OURS

    def built(self, *wanted: Any) -> Any:
        """Return what the builder makes."""
        return self.build(self.module, *wanted)


@dataclass(frozen=True)
class Roster:
    """The contestants of a question, by name: package and builder."""

    contestants: dict[str, tuple[str, Builder]] = field(default_factory=dict)

    def contestant(self, name: str, package: str) -> Callable[[Builder], Builder]:
        """Add the decorated builder as a contestant.

        Args:
            name: as in the tables.
            package: on PyPI or in the standard library. The builder is given the module of that name; if there is
                none, the tables say so.
        """

        def add(build: Builder) -> Builder:
            self.contestants[name] = package, build
            return build

        return add

    @property
    def packages(self) -> Iterable[str]:
        """Those that take part."""
        return {package for package, _ in self.contestants.values()}

    def entrant(self, name: str) -> Entrant:
        """Return the contestant of that *name*.

        Raises:
            Missing: with the reason, for the tables.
        """
        package, build = self.contestants[name]
        return Entrant(name, package, build, imported(package))

    def entrants(self) -> tuple[list[Entrant], dict[str, str]]:
        """Return those who can take part, and why the others cannot, by name."""
        present: list[Entrant] = []
        missing: dict[str, str] = {}
        for name in self.contestants:
            try:
                present.append(self.entrant(name))
            except Missing as reason:
                missing[name] = str(reason)
        return present, missing


def absent(missing: Mapping[str, str]) -> list[Row]:
    """Return the rows of those who are *missing*, by name, with the reason."""
    return [Row(name, False, (), None, missing=why) for name, why in missing.items()]
