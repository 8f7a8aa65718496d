"""A schema's digest: the same for the same type in every process and version of Python, another for another type."""

import dataclasses
import enum
import sys
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, ForwardRef, Generic, Literal, NewType, Optional, TypeVar, Union

import pydantic
import pytest

from memocache.serializers import _records, register
from memocache.serializers._schema import schema_digest
from tests.support.processes import output_of, run_python
from tests.unit.serializers.samples import RECORDS, Color, Defined, Model, Owner, Page, Paged, Point, Report, S

T = TypeVar("T")
Cents = NewType("Cents", int)
Euros = NewType("Euros", int)


def digest(hint: object) -> str | None:
    found = schema_digest([hint])
    return None if found is None else found.hex()


def of(annotation: object, name: str = "value", **options: Any) -> str | None:
    """The digest of a dataclass with one field that has this *annotation*."""
    return digest(
        dataclasses.make_dataclass("Thing", [(name, annotation)], namespace={"__module__": __name__}, **options)
    )


@pytest.mark.parametrize("hint", [
    int, None, Any, "Report", list[int], dict[str, int | None], Color, Callable[[int], str], type, ..., Literal[1],
    enum.Enum, Mapping[str, "Report"], tuple[()], Cents, T,
], ids=str)  # fmt: skip
def test_what_names_no_class_with_fields_has_none(hint: object) -> None:
    assert digest(hint) is None


# Each stands for entries on people's servers.
GOLDEN = {
    "dataclass": (Report, "731115d2d710cbd0074eb160a1280299"),
    "pydantic": (Model, "2c6d49928e942132f48d6fd353c1ab5e"),
    "generic": (Paged[Model], "a422a55b4f1d8d32098021d4a8d9e23c"),
    "attrs": (Defined, "cdcfbcb064a41e8558c7aa1fd48c2711"),
    "Struct": (S, "777cb00c1036aff8d466cbe1c2be76a9"),
    "NamedTuple": (Point, "25674e3751ecb6cce7cb6615dbf9efeb"),
    "inside": (dict[str, list[Owner | None]], "ed636c69d82dcef53271ffed484a2572"),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_digests_stay(name: str) -> None:
    hint, wanted = GOLDEN[name]
    assert digest(hint) == wanted


def test_all_samples_differ() -> None:
    hints = [*RECORDS, *(list[kind] for kind in RECORDS), Page[int], Page[str]]  # type: ignore[valid-type]
    found = [text for text in map(digest, hints) if text is not None]
    assert len(set(found)) == len(found) > 25


def test_another_process_has_the_same() -> None:
    program = (
        "from tests.unit.serializers.test_schema import *\n"
        "print([digest(hint) for hint in (Report, Paged[Model], dict[str, Owner | None], S, Defined)])"
    )
    here = str([digest(hint) for hint in (Report, Paged[Model], dict[str, Owner | None], S, Defined)])
    processes = [run_python("-c", program, seed=seed) for seed in "123"]
    assert [output_of(process) for process in processes] == [[here]] * 3


ALIKE = [
    (int, Annotated[int, "note"]), (Optional[int], int | None), (Union[int, str], str | int),  # noqa: UP007, UP045
    (list[int], typing.List[int]), (dict[str, int], typing.Dict[str, int]), (list, typing.List),  # noqa: UP006
    (Mapping[str, int], typing.Mapping[str, int]), (Literal[1, "a"], Literal["a", 1]), (Path, typing.cast(Any, Path)),
    (Callable[[int], str], typing.Callable[[int], str]), ("list[Nowhere]", ForwardRef("list[Nowhere]")),
]  # fmt: skip
UNLIKE = [
    int, str, float, Decimal, Path, bool, None, Any, object, Cents, Euros, list, list[int], list[str], list[list[int]],
    set[int], tuple[int], tuple[int, ...], tuple[int, int], dict[str, int], dict[int, str], int | None, int | str,
    Literal[1], Literal[True], Literal["1"], Literal[Color.RED], Literal[Color.BLUE], Color, Owner, Page, Page[int],
    Page[Owner], Paged[Model], "Nowhere", "Elsewhere", Callable[[int], str], Callable[[str], str], type[Owner], T,
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), ALIKE, ids=lambda each: str(each)[:40])
def test_ways_to_write_one_type_are_one(one: object, other: object) -> None:
    assert of(one) == of(other)


def test_each_other_type_is_another() -> None:
    found = [of(hint) for hint in UNLIKE]
    assert None not in found
    assert len(set(found)) == len(UNLIKE)


def test_names_count_and_defaults_order_and_methods_do_not() -> None:
    assert of(int, "value") != of(int, "amount")
    fields = [("a", int), ("b", str)]
    made = [
        dataclasses.make_dataclass("Thing", fields), dataclasses.make_dataclass("Thing", fields[::-1], frozen=True),
        dataclasses.make_dataclass("Thing", [("a", int), ("b", str, "x")], namespace={"m": lambda self: 1, "c": 5}),
    ]  # fmt: skip
    assert len({digest(kind) for kind in made}) == 1
    assert digest(dataclasses.make_dataclass("Other", fields)) != digest(made[0])


def test_a_private_attribute_of_a_model_counts() -> None:
    def model(**private: Any) -> Any:
        return type("Thing", (pydantic.BaseModel,), {"__annotations__": {"a": int}, "__module__": "shop", **private})

    assert digest(model()) != digest(model(_p=3)) != digest(model(_q=3))


def test_what_cannot_be_read_is_left_out() -> None:
    class Mock:
        def __getattr__(self, name: str) -> "Mock":
            return Mock()

    class Hostile(type):
        @property
        def __dataclass_fields__(cls) -> Any:
            raise LookupError

    assert digest(Mock()) is None
    assert digest(Hostile("Thing", (), {})) is None
    assert of(Mock()) == of(Mock())
    deep: Any = int
    for _ in range(90):
        deep = list[deep]
    assert of(deep) is not None


@dataclasses.dataclass
class Node(Generic[T]):
    value: T
    next: "Node[T] | None"
    others: "dict[str, Tree]"


@dataclasses.dataclass
class Tree:
    nodes: list[Node[int]]
    up: "Tree | None"


def test_types_that_name_each_other_have_one() -> None:
    assert len({digest(hint) for hint in (Node, Tree, Node[int], Node[str], list[Tree])}) == 5


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the type statement is new in Python 3.12")
def test_aliases_are_looked_through() -> None:
    scope: dict[str, Any] = {"Owner": Owner}
    exec("type One = list[Owner]\ntype Json = dict[str, Json] | None\ntype Broken = list[Missing]", scope)
    assert digest(scope["One"]) == digest(list[Owner])
    assert digest(scope["Json"]) is None
    assert of(scope["Broken"]) == of(scope["Broken"]) != of(scope["Json"])


def test_a_registered_class_is_known_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_records, "_registered", {})
    assert digest(Owner) is not None
    register(Owner, lambda owner: owner.name, Owner)
    assert digest(Owner) is None


def test_registered_classes_of_one_name_in_one_package_are_two(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_records, "_registered", {})
    kinds = [type("Money", (), {"__module__": f"shop.{module}"}) for module in ("old", "new")]
    for kind in kinds:
        register(kind, vars, lambda parts: parts)
    assert of(kinds[0]) != of(kinds[1])
