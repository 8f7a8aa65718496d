"""Types as arguments: with arguments of their own, unions, and what has its name in another module."""

import collections.abc
import sys
import textwrap
import types
import typing
from typing import Annotated, Any, Generic, Literal, NewType, Optional, TypeVar, Union

import pytest

from memocache._canonical import encode, encode_in_process
from memocache.errors import UnkeyableArgument
from tests.unit.canonical.samples import Box, Keyed, Point, distinct_from_each_other

# ruff: noqa: UP006, UP007, UP045 - the old spellings are what is tested

T = TypeVar("T")
UserId = NewType("UserId", int)
OrderId = NewType("OrderId", int)


class Typed(typing.TypedDict):
    x: int


class Speaks(typing.Protocol):
    def speak(self) -> None: ...


def test_types_that_are_not_the_same_differ() -> None:
    distinct_from_each_other(
        [
            *(int, list, list[int], list[str], list[list[int]], set[int], List_int, typing.List[str], dict[str, int]),
            *(typing.List, typing.Tuple, typing.Dict, typing.Type, tuple[int, ...], tuple[int], tuple[int, int], tuple),
            *(tuple[()], typing.Tuple[int, ...], type[int], type, "list[int]", [int], (int,), {int}, {int, str}),
            *(int | None, int | str, str | int, Union[int, str, None], Optional[str], Union, Optional),
            *(list[int | None], list[int] | None, Optional[typing.List[int]], types.GenericAlias),
            *([] if types.UnionType is typing.Union else [types.UnionType]),  # one type since Python 3.14
            *(Literal[1], Literal["1"], Literal[True], Literal[1, 2], Literal[2, 1], Literal[None], Literal),
            *(Literal[b"1"], Annotated[int, 1], Annotated[int, "1"], Annotated[str, 1], Annotated[int, 1, 2]),
            *(Annotated[int, Point(1, 2)], collections.abc.Callable[[int], str], typing.Callable[[int], str]),
            *(typing.Callable[[], str], typing.Callable[..., str], typing.Callable, collections.abc.Callable),
            *(typing.ClassVar[int], typing.Final[int], typing.ClassVar, Any, typing.NoReturn, typing.Never, Generic),
            *(UserId, OrderId, list[UserId], Box[int], Box[str], Box, Keyed, Typed, Speaks),
            *(collections.abc.Sequence[int], type(None), None, type(...), type(NotImplemented), types.FunctionType),
            *(types.MethodType, types.ModuleType, list[tuple[int, ...]], list[*tuple[int, ...]]),
        ]
    )


List_int = typing.List[int]


def test_a_union_is_the_same_however_it_is_spelt() -> None:
    for one, other in [
        (int | None, Optional[int]),
        (int | None, Union[int, None]),
        (int | str, Union[int, str]),
        (list[int | None], list[Optional[int]]),
    ]:
        assert encode(one) == encode(other)
        assert encode_in_process(one) == encode_in_process(other)


def test_a_class_without_a_name_of_its_own_is_found_in_the_types() -> None:
    assert encode(type(None)) == b"class14:types.NoneType"
    assert encode(type(lambda: 1)) == b"class18:types.FunctionType"


@pytest.mark.parametrize("value", [T, list[T], Optional[T], typing.ForwardRef("X"), typing.ParamSpec("P")])  # type: ignore[valid-type]
def test_a_variable_in_the_place_of_a_type_is_refused(value: Any) -> None:
    with pytest.raises(
        UnkeyableArgument, match=r"has no stable form: pass a (type in its place|value that stands for it)"
    ):
        encode(value)


def test_what_a_type_is_annotated_with_must_have_a_form() -> None:
    with pytest.raises(UnkeyableArgument, match=r"an object instance, at \.args\[1\], has no stable form"):
        encode(Annotated[int, object()])
    local = type("Local", (), {"__qualname__": "f.<locals>.Local"})
    with pytest.raises(UnkeyableArgument, match=r"at \[0\]\.args\[0\], has no stable form: it is made inside a func"):
        encode([list[local]])  # type: ignore[valid-type]


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no type statement")
def test_a_type_statement_counts_by_its_name() -> None:
    module = types.ModuleType("of_types")
    sys.modules["of_types"] = module
    try:
        exec(textwrap.dedent("type A = int\ntype B = int\ndef f():\n    type C = int\n    return C"), vars(module))
        distinct_from_each_other([module.A, module.B, int, list[module.A]])
        with pytest.raises(UnkeyableArgument, match="the type C has no stable form: define it at the top of a module"):
            encode(module.f())
    finally:
        del sys.modules["of_types"]
