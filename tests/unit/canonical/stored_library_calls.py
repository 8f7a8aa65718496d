"""Values of other libraries whose keys are stored in keys_of_libraries_v1.txt. Nothing may be renamed or moved."""

# ruff: noqa: F401  # the calls in the file are spelt with the imports

import datetime as dt
from typing import Any, Generic, TypeVar

import attrs
import flask_login
import httpx
import polars as pl
import pyarrow as pa
import pydantic
import pydantic_core
import pytz
import sqlalchemy
import yarl
from dateutil import tz
from markupsafe import Markup
from sqlalchemy import orm
from starlette import authentication

from tests.unit.canonical.stored_calls import NOON, elsewhere, one

T = TypeVar("T")


class Item(pydantic.BaseModel):
    name: Any = "x"
    price: Any = 1
    _seen: Any = 1


class Open(pydantic.BaseModel, extra="allow"):
    x: Any = 1


class Box(pydantic.BaseModel, Generic[T]):
    x: T


class Numbers(pydantic.RootModel[list[int]]):
    pass


@attrs.define
class Point:
    x: Any
    _y: Any = 1
    note: Any = attrs.field(default=None, eq=False)


@attrs.frozen(slots=False)
class Loose:
    x: Any


class Base(orm.DeclarativeBase):
    pass


class Line(Base):
    __tablename__ = "line"
    order: orm.Mapped[int] = orm.mapped_column(primary_key=True)
    number: orm.Mapped[str] = orm.mapped_column(primary_key=True)


def row(*identity: Any) -> Any:
    """Return a row as a session has it that has read it."""
    line = Line(order=identity[0], number=identity[1])
    orm.make_transient_to_detached(line)
    return line


def stored(django_model: Any, key: Any, database: str = "default") -> Any:
    """Return a row of a *django_model* as it is read from that *database*."""
    made = django_model(pk=key)
    made._state.adding, made._state.db = False, database
    return made


def pydantic_time(text: str) -> Any:
    return pydantic_core.SchemaValidator({"type": "datetime"}).validate_python(text)


def django_models() -> Any:
    import django

    from tests.support import django_settings

    django_settings.configure()
    django.setup()
    from django.contrib.auth import models

    return models
