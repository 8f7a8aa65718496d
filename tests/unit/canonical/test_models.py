"""Models of pydantic and of attrs in keys: their class and their fields, and nothing that would have to be computed."""

import functools
from typing import Any, ClassVar, Generic, TypeVar

import pytest

from memocache import Cache, UnkeyableArgument, cached
from memocache._canonical import encode, encode_in_process
from tests.unit.canonical.samples import distinct_from_each_other

attrs = pytest.importorskip("attrs")
pydantic = pytest.importorskip("pydantic", "2")

T = TypeVar("T")
U = TypeVar("U")


class Never:
    """A value that none of the tests' models may look at."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError("the user's code was run")


def never(*args: Any) -> Any:
    raise AssertionError("the user's code was run")


# ---- pydantic --------------------------------------------------------------------------------------------------------


class Item(pydantic.BaseModel):
    name: Any = "x"
    price: Any = 1
    _seen: Any = pydantic.PrivateAttr(default=0)
    kinds: ClassVar[int] = 1

    @pydantic.computed_field  # type: ignore[prop-decorator]
    @property
    def total(self) -> Any:
        never()

    @functools.cached_property
    def once(self) -> object:
        return object()


class Other(pydantic.BaseModel):
    name: Any = "x"
    price: Any = 1


class Heir(Item):
    pass


class Hidden(pydantic.BaseModel):
    shown: int = 1
    hidden: int = pydantic.Field(1, exclude=True, repr=False)


class Open(pydantic.BaseModel, extra="allow"):
    name: str = "x"


class Tree(pydantic.BaseModel):
    leaf: int = 1
    parts: "list[Tree]" = pydantic.Field(default_factory=list)


class Box(pydantic.BaseModel, Generic[T]):
    x: T


class IntBox(Box[int]):
    pass


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Frozen(pydantic.BaseModel, frozen=True):
    x: int = 1


class Aliased(pydantic.BaseModel):
    x: int = pydantic.Field(1, alias="other name")


class Hostile(pydantic.BaseModel):
    x: Any = 1
    armed: ClassVar[bool] = False

    @pydantic.field_validator("x")
    @classmethod
    def validate_x(cls, x: Any) -> Any:
        return never() if cls.armed else x

    @pydantic.field_serializer("x")
    def serialize_x(self, x: Any) -> Any:
        never()

    def _refuse(self, *_: Any) -> Any:
        if Hostile.armed:
            never()

    __eq__ = __hash__ = __getattr__ = __repr__ = __str__ = __iter__ = __copy__ = __deepcopy__ = _refuse  # type: ignore
    __getstate__ = __reduce_ex__ = _refuse  # type: ignore[assignment]
    __class__ = property(_refuse)  # type: ignore[assignment]


@pydantic.dataclasses.dataclass
class Checked:
    x: int


class Contact(pydantic.BaseModel):
    url: pydantic.HttpUrl = pydantic.HttpUrl("http://ann:secret@example.com/a")
    password: pydantic.SecretStr = pydantic.SecretStr("secret")


def test_models_of_different_class_or_fields_differ() -> None:
    distinct_from_each_other(
        [
            *(Item(), Other(), Heir(), Item(name="y"), Item(price=2), Item(price="1"), Item(price=True), Item(name=1)),
            *(Item(name="x1", price=""), Item(name="x", price="1 "), {"name": "x", "price": 1}, Item(name=Item())),
            *(Hidden(), Hidden(hidden=2), Hidden(shown=2), Open(), Open(name="y"), Open(other=1), Open(other="1")),
            *(Open(__args__=1), Open(__pydantic_extra__=1), Open(**{"a b": 1}), Open(other=1, more=2)),
            *(Tree(), Tree(parts=[Tree()]), Tree(parts=[Tree(), Tree()]), Tree(parts=[Tree(parts=[Tree()])])),
            *(Box(x=1), Box[int](x=1), Box[float](x=1), Box[Any](x=1), IntBox(x=1), Box[list[int]](x=[1])),
            *(Box[Box[int]](x=Box[int](x=1)), Box[Item](x=Item()), Box[int], Box[str], Box, IntBox),
            *(Numbers([1]), Numbers([1, 2]), [1], Frozen(), Frozen(x=2), Aliased(), Aliased(**{"other name": 2})),
            *(Hostile(), Hostile(x="1"), Checked(1), Checked(2), Contact(), Contact(password="secre")),
            *(Contact(url="http://ann:other@example.com/a"), pydantic.SecretStr("a"), pydantic.SecretBytes(b"a"), "a"),
            *(pydantic.HttpUrl("http://a/"), pydantic.AnyUrl("http://a/"), pydantic.PostgresDsn("postgres://a/b")),
        ]
    )


def test_models_of_the_same_fields_are_the_same() -> None:
    for make in (Item, Heir, Hidden, Frozen, Hostile, Contact, lambda: Box[int](x=1), lambda: Open(b=1, a=2)):
        assert encode(make()) == encode(make())
        assert encode_in_process(make()) == encode_in_process(make())
    assert encode(Open(b=1, a=2)) == encode(Open(a=2, b=1))
    assert encode(Item(name="x", price=1)) == encode(Item()) == encode(Item.model_construct(price=1, name="x"))
    assert encode(Item.model_validate_json('{"price": 1}')) == encode(Item())
    assert encode(Item().model_copy(update={"price": 2})) == encode(Item(price=2))


def test_what_is_private_or_computed_does_not_count() -> None:
    seen, plain = Item(), Item()
    seen._seen = Never()
    assert seen.once is seen.once
    assert encode(seen) == encode(plain)


def test_no_code_of_a_models_class_is_run() -> None:
    models = Hostile(), Hostile(x=[Hostile()])
    Hostile.armed = True
    try:
        for model in models:
            assert encode(model)
            assert encode_in_process(model)
    finally:
        Hostile.armed = False


class HostileMeta(type(pydantic.BaseModel)):  # type: ignore[misc]
    def __getattr__(cls, name: str) -> Any:
        return never() if Hostile.armed else super().__getattr__(name)


class OfHostileMeta(pydantic.BaseModel, metaclass=HostileMeta):
    x: Any = 1

    def __getattribute__(self, name: str) -> Any:
        return never() if Hostile.armed else super().__getattribute__(name)


def test_neither_a_metaclass_nor_a_lookup_of_attributes_is_asked() -> None:
    model, other, refused = OfHostileMeta(), OfHostileMeta(x="1"), OfHostileMeta(x=object())
    Hostile.armed = True
    try:
        assert encode(model) == encode([model])[-len(encode(model)) :] != encode(other)
        assert encode_in_process(model) != encode_in_process(other)
        with pytest.raises(UnkeyableArgument, match=r"an object instance, at \.x, has no stable form"):
            encode(refused)
    finally:
        Hostile.armed = False


def test_a_model_that_was_made_without_its_constructor_is_what_it_holds() -> None:
    bare = Item.__new__(Item)
    distinct_from_each_other([bare, Item.model_construct(), Item.model_construct(price=[Item])])
    odd = Item.model_construct(price=[Item])
    del odd.__dict__["name"]
    distinct_from_each_other([odd, Item.model_construct(price=[Item])])
    odd.__dict__["unknown"] = 1
    distinct_from_each_other([odd, Item.model_construct(price=[Item])])


def cyclic() -> Tree:
    tree = Tree()
    tree.parts.append(tree)
    return tree


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Item(name=object()), r"an object instance, at \.name, has no stable form: pass a value"),
        (lambda: [Open(a={"b": object()})], r"at \[0\]\.__pydantic_extra__\['a'\]\['b'\], has no stable form"),
        (lambda: Box[U](x=1), r"a TypeVar instance, at \.__args__\[0\], has no stable form: pass a type"),
        (cyclic, "a Tree contains itself: pass a value without cycles"),
    ],
)
def test_a_model_of_what_has_no_form_is_refused(make: Any, message: str) -> None:
    with pytest.raises(UnkeyableArgument, match=message):
        encode(make())


def test_a_local_model_has_no_name_for_other_processes() -> None:
    class Local(pydantic.BaseModel):
        x: int = 1

    with pytest.raises(UnkeyableArgument, match=r"a Local instance has no stable form: its class is made inside"):
        encode(Local())
    assert encode_in_process(Local()) == encode_in_process(Local()) != encode_in_process(Local(x=2))


def test_a_model_that_is_defined_again_is_another_one() -> None:
    def defined() -> Any:
        class Local(pydantic.BaseModel):
            x: int = 1

        return Local

    one, other = defined(), defined()
    assert encode_in_process(one()) != encode_in_process(other())


# ---- attrs -----------------------------------------------------------------------------------------------------------


@attrs.define
class Point:
    x: Any
    _y: Any = 1
    __z: Any = 1
    note: Any = attrs.field(default=None, eq=False)

    @functools.cached_property
    def once(self) -> object:
        return object()


@attrs.define
class Place:
    x: Any


@attrs.define(slots=False)
class Loose:
    x: Any
    note: Any = attrs.field(default=None, eq=False)

    @functools.cached_property
    def double(self) -> Any:
        return 2 * self.x


@attrs.frozen(slots=False)
class FrozenLoose:
    x: Any

    @functools.cached_property
    def once(self) -> object:
        return object()


@attrs.frozen
class Generous(Generic[T]):
    x: T


@attrs.define
class Deep(Point):
    w: Any = 1


class Undecorated(Place):
    def __init__(self, x: Any, more: Any) -> None:
        super().__init__(x)
        self.more = more


class SlottedToo(Place):
    __slots__ = ("more",)


def unset(self: Any, name: str) -> Any:
    if HostilePoint.armed:
        never()
    raise AttributeError(name)


@attrs.define(eq=False, init=False, slots=False)
class HostilePoint:
    x: Any = attrs.field(converter=never, validator=never)
    missing: Any = attrs.field()
    armed: ClassVar[bool] = False

    __eq__ = __hash__ = __repr__ = __getstate__ = __copy__ = never  # type: ignore[assignment]
    __getattr__ = unset


@attrs.define
class Name(str):
    x: int = 1


@attrs.define
class Failure(Exception):
    x: int = 1


def test_attrs_objects_of_different_class_or_fields_differ() -> None:
    marked = SlottedToo(1)
    marked.more = 1
    distinct_from_each_other(
        [
            *(Point(1), Place(1), Deep(1), Point("1"), Point(1, 2), Point(1, 1, 2), Point(Point(1)), Deep(1, w=2)),
            *(Loose(1), Loose(2), FrozenLoose(1), Generous(1), Undecorated(1, 1), Undecorated(1, 2), marked),
            *(SlottedToo(1), {"x": 1}, (1,), Point, Place),
        ]
    )


def test_fields_that_are_not_compared_and_what_is_computed_do_not_count() -> None:
    for make in (Point, Loose):
        assert encode(make(1, note=Never())) == encode(make(1))
    point, lazy, loose = Point(1), FrozenLoose(1), Loose(1)
    assert (point.once, lazy.once, loose.double) == (point.once, lazy.once, 2)
    assert encode(point) == encode(Point(1))
    assert encode(lazy) == encode(FrozenLoose(1))
    assert encode(loose) == encode(Loose(1))
    loose.double = 3
    assert encode(loose) != encode(Loose(1))
    assert encode(Generous[int](1)) == encode(Generous(1))


def test_no_code_of_an_attrs_class_is_run() -> None:
    point = HostilePoint()
    vars(point)["x"] = 1
    HostilePoint.armed = True
    try:
        assert encode([point]) == encode([point])
    finally:
        HostilePoint.armed = False


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Point(object()), r"an object instance, at \.x, has no stable form"),
        (lambda: Name("a"), "a Name instance has no stable form: its class may add to what a str is; pass a plain str"),
        (lambda: Failure(), "a Failure instance has no stable form: a BaseException is more than its fields; give"),
    ],
)
def test_attrs_objects_that_are_more_than_their_fields_are_refused(make: Any, message: str) -> None:
    with pytest.raises(UnkeyableArgument, match=message):
        encode(make())


# ---- calls -----------------------------------------------------------------------------------------------------------


def test_calls_with_equal_models_share_a_result(cache: Cache) -> None:
    @cached(cache=cache, namespace="models")
    def total(items: Any) -> int:
        return total.info().misses

    assert [total(make()) for make in (Item, Item, Heir, Heir)] == [1, 1, 2, 2]
    assert [total(items=[Point(1)]), total([Point(1)]), total([Point(2)])] == [3, 3, 4]
    assert total.uncache(Item()) is True
    assert total(Item()) == 5
