"""Functions whose hints are texts, since annotations are not evaluated here."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import pydantic

if TYPE_CHECKING:
    from nowhere import Thing


class Model(pydantic.BaseModel):
    number: int
    rows: list[Row] = []
    near: Model | None = None


class Row(NamedTuple):
    at: int
    cells: tuple[str, ...]


@dataclasses.dataclass
class Report:
    title: str

    @classmethod
    def load(cls, title: str) -> list[Self]:
        return [cls(title)]


class Unseen:
    @dataclasses.dataclass
    class Report:
        title: str


def by_text(number: int) -> dict[str, list[Model] | None]:
    return {"models": [Model(number=number, rows=[Row(1, ("a",))], near=Model(number=2))], "none": None}


def without(number: int):  # type: ignore[no-untyped-def]
    return [Report(str(number)), Model(number=number)]


def for_checkers(number: int) -> Thing:
    return Report(str(number))


def anything(number: int) -> Any:
    return Report(str(number))


def not_found(number: int):  # type: ignore[no-untyped-def]
    return Unseen.Report(str(number))
