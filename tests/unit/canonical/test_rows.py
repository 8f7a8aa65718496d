"""Rows of an ORM in keys: the model, the database and the primary key, where the database has such a row."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest

from memocache import Cache, UnkeyableArgument, cached
from memocache._canonical import encode, encode_in_process
from tests.unit.canonical.samples import distinct_from_each_other, refusal

sqlalchemy = pytest.importorskip("sqlalchemy")
orm = pytest.importorskip("sqlalchemy.orm")

UNSAVED = "has no stable form: it is no row of the database yet, or no more; save it first, or pass its id"
CHANGED = "has no stable form: it has changes that are not in the database; flush or commit them first, or pass its id"


# ---- SQLAlchemy ------------------------------------------------------------------------------------------------------


class Base(orm.DeclarativeBase):
    pass


class User(Base):
    __tablename__ = "user"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str]

    def __eq__(self, other: object) -> bool:
        raise AssertionError("the user's code was run")

    __hash__ = object.__hash__


class Admin(User):
    __tablename__ = "admin"
    id: orm.Mapped[int] = orm.mapped_column(sqlalchemy.ForeignKey("user.id"), primary_key=True)


class Line(Base):
    __tablename__ = "line"
    order: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    number: orm.Mapped[str] = orm.mapped_column(primary_key=True)
    text: orm.Mapped[str] = orm.mapped_column(default="")


class AsDataclass(orm.MappedAsDataclass, Base):
    __tablename__ = "as_dataclass"
    id: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    name: orm.Mapped[str] = orm.mapped_column(default="")


@dataclasses.dataclass
class MappedLater:
    id: int
    name: str = ""


Base.registry.map_imperatively(
    MappedLater,
    sqlalchemy.Table(
        "later",
        Base.metadata,
        sqlalchemy.Column("id", sqlalchemy.Integer, primary_key=True),
        sqlalchemy.Column("name", sqlalchemy.String),
    ),
)


@pytest.fixture
def session() -> Iterator[Any]:
    engine = sqlalchemy.create_engine("sqlite://")
    Base.metadata.create_all(engine)
    with orm.Session(engine) as session:
        session.add_all([User(id=1, name="ann"), User(id=2, name="eve"), Admin(id=3, name="max")])
        session.add_all([Line(order=1, number="1"), Line(order=11, number=""), AsDataclass(1), MappedLater(1)])
        session.commit()
        yield session
    engine.dispose()


def test_a_mapped_row_is_its_class_and_its_identity(session: Any) -> None:
    def rows() -> list[Any]:
        users = [session.get(User, 1), session.get(User, 2), session.get(Admin, 3)]
        others = [session.get(AsDataclass, 1), session.get(MappedLater, 1)]
        return [*users, session.get(Line, (1, "1")), session.get(Line, (11, "")), *others]

    distinct_from_each_other([*rows(), 1, (1,), User, AsDataclass])
    first = rows()
    before, before_here = list(map(encode, first)), list(map(encode_in_process, first))
    session.expire_all()
    assert list(map(encode, rows())) == before
    session.expunge_all()
    assert list(map(encode, first)) == before  # of no session any more
    assert list(map(encode, rows())) == before
    assert list(map(encode_in_process, rows())) == before_here
    deferred = session.scalars(sqlalchemy.select(User).where(User.id == 1).options(orm.load_only(User.id))).one()
    assert encode(deferred) == before[0]
    assert not session.dirty


def test_a_row_of_another_shard_is_another_one(session: Any) -> None:
    user = session.get(User, 1)
    before = encode(user)
    session.expunge(user)
    elsewhere = session.get(User, 1, identity_token="elsewhere")
    assert encode(elsewhere) != before


def test_what_the_database_does_not_have_as_it_is_is_refused(session: Any) -> None:
    def refusal(row: Any) -> str:
        for encoded in (encode, encode_in_process):
            with pytest.raises(UnkeyableArgument) as refused:
                encoded([row])
        return str(refused.value)

    user, plain = User(id=9, name="new"), AsDataclass(9)
    assert refusal(user) == f"a User instance, at [0], {UNSAVED}"
    assert refusal(plain) == f"an AsDataclass instance, at [0], {UNSAVED}"
    assert refusal(User.__new__(User)) == f"a User instance, at [0], {UNSAVED}"
    session.add(user)
    assert refusal(user) == f"a User instance, at [0], {UNSAVED}"
    session.flush()
    flushed = encode(user)
    user.name = "changed"
    assert refusal(user) == f"a User instance, at [0], {CHANGED}"
    session.commit()
    assert encode(user) == flushed
    session.delete(user)
    session.flush()
    assert refusal(user) == f"a User instance, at [0], {UNSAVED}"
    session.commit()
    assert refusal(user) == f"a User instance, at [0], {UNSAVED}"
    later = User(id=10, name="later")
    session.add(later)
    session.flush()
    session.rollback()
    assert refusal(later) == f"a User instance, at [0], {UNSAVED}"


def test_calls_with_one_row_share_a_result(cache: Cache, session: Any) -> None:
    @cached(cache=cache, namespace="rows", ignore=("session",))
    def orders(session: Any, user: Any) -> int:
        return orders.info().misses

    ann = session.get(User, 1)
    assert [orders(session, ann), orders(None, ann), orders(session, session.get(User, 2))] == [1, 1, 2]
    assert orders.uncache(session, ann) is True
    assert orders(session, ann) == 3


@pytest.mark.parametrize("cache", ["shared"], indirect=True)
def test_a_method_of_a_row_on_a_shared_cache_is_that_of_the_row(cache: Cache, session: Any) -> None:
    def orders(self: Any) -> int:
        return method.info().misses

    orders.__qualname__ = "User.orders"
    orders.__module__ = __name__
    method = cached(cache=cache, namespace="methods")(orders)
    ann, eve = session.get(User, 1), session.get(User, 2)
    assert [method(ann), method(ann), method(eve), method(eve)] == [1, 1, 2, 2]
    assert refusal(method, User(name="new")) == (
        f"User.orders: parameter 'self' has no stable key: a User instance {UNSAVED}; or pass key= or ignore=('self',)"
    )


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (lambda session: session, "a Session instance has no stable form: it is a tool and no data, so leave it out"),
        (lambda session: session.connection(), "a Connection instance .* so leave it out of the key"),
        (lambda session: session.get_bind(), "an Engine instance .* so leave it out of the key"),
        (lambda session: orm.sessionmaker(), "a sessionmaker instance .* so leave it out of the key"),
        (lambda session: orm.scoped_session(orm.sessionmaker()), "a scoped_session instance .* so leave it out of the"),
        (lambda session: session.query(User), "a Query instance .*: it does not tell which rows it will find; pass"),
        (lambda session: sqlalchemy.select(User), "a Select instance .*: it does not tell which rows it will find"),
        (lambda session: session.execute(sqlalchemy.select(User)), "Result instance .*: reading it would use it up"),
        (lambda session: session.execute(sqlalchemy.select(User.id)).first(), r"a Row instance .*: pass tuple\(row\)"),
    ],
)
def test_what_leads_to_rows_is_refused_with_what_to_do(session: Any, give: Any, message: str) -> None:
    with pytest.raises(UnkeyableArgument, match=message):
        encode(give(session))


def test_the_refusal_of_a_session_names_its_parameter(session: Any) -> None:
    @cached
    def orders(session: Any, user: Any = None) -> None: ...

    assert refusal(orders, session).partition(": ")[2] == (
        "parameter 'session' has no stable key: a Session instance has no stable form: it is a tool and no data, "
        "so leave it out of the key: pass key= or ignore=('session',)"
    )
    with pytest.raises(UnkeyableArgument, match=r"or pass its id; or pass key= or ignore=\('user',\)"):
        orders(None, User())


# ---- Django ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def django_models() -> Any:
    pytest.importorskip("django")
    import django

    from tests.support import django_settings

    django_settings.configure()
    django.setup()
    from django.contrib.auth import models
    from django.contrib.contenttypes.models import ContentType
    from django.db import connection

    with connection.schema_editor() as editor:
        for model in (ContentType, models.Permission, models.Group, models.User):
            editor.create_model(model)
    yield models
    connection.close()


def test_a_django_row_is_its_model_its_database_and_its_key(django_models: Any) -> None:
    group, other = django_models.Group.objects.create(name="a"), django_models.Group.objects.create(name="b")
    user = django_models.User.objects.create(username="ann")
    elsewhere = django_models.Group.objects.get(pk=group.pk)
    elsewhere._state.db = "elsewhere"
    distinct_from_each_other([group, other, user, elsewhere, group.pk, django_models.Group])
    before = encode(group)
    assert encode_in_process(group) == before
    assert encode(django_models.Group.objects.get(pk=group.pk)) == before
    assert encode(django_models.Group.objects.only("id").get(pk=group.pk)) == before
    group.name = "changed"  # which nobody can tell
    assert encode(group) == before


def test_a_django_row_that_was_not_saved_is_refused(django_models: Any) -> None:
    deleted = django_models.Group.objects.create(name="deleted")
    deleted.delete()
    for row in (django_models.Group(name="c"), django_models.Group(pk=7), deleted):
        assert refusal(encode, row) == f"a Group instance {UNSAVED}"


def test_a_lazy_user_is_the_user(django_models: Any) -> None:
    from django.utils.functional import SimpleLazyObject

    user = django_models.User.objects.create(username="eve")
    assert encode(SimpleLazyObject(lambda: user)) == encode(user)
    lazy = SimpleLazyObject(lambda: [user])
    assert encode([lazy]) == encode([[user]]) == encode([lazy])
    anonymous = SimpleLazyObject(django_models.AnonymousUser)
    assert encode([anonymous]) == encode([django_models.AnonymousUser()]) != encode([user])
    with pytest.raises(UnkeyableArgument, match=r"an object instance, at \[0\], has no stable form"):
        encode([SimpleLazyObject(object)])


@pytest.mark.parametrize(
    ("give", "message"),
    [
        (lambda models: models.Group.objects.all(), "a QuerySet instance .*: it does not tell which rows it will find"),
        (lambda models: models.Group.objects, "a GroupManager instance .* or the ids of the rows"),
    ],
)
def test_what_leads_to_django_rows_is_refused_with_what_to_do(django_models: Any, give: Any, message: str) -> None:
    with pytest.raises(UnkeyableArgument, match=message):
        encode(give(django_models))
