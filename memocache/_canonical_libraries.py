"""Forms of other libraries' values: models, rows of an ORM, time zones, URLs, texts; remedies for what has no form.

None of the libraries is imported here: a class is known if its library has been. What the user's classes compute is not
asked for, except the text of a lazy one.
"""

import functools
import sys
import types
import weakref
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any, Final

Parts = dict[str, object]


class Form:  # an ordinary class: to make a NamedTuple takes a hundredth of the import of it all
    """The form of a value in a key: its *parts*, and their *owner*, which is a class or a text."""

    __slots__ = ("owner", "parts", "tag")

    def __init__(self, owner: Any, parts: Parts, tag: bytes = b"object") -> None:
        self.owner = owner
        self.parts = parts
        self.tag = tag


class StandsFor:
    """The form of what is only in the place of another *value*."""

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value


Reader = Callable[[Any, Any], "Form | StandsFor | str"]
"""Takes a value and its class; returns its form, or the remedy where it has none."""

_readers: Final[dict[int, Reader]] = {}
"""The readers of the classes that were met, by their ids."""


def form_of(value: Any, kind: Any) -> Form | StandsFor | str | None:
    """Return the form of *value*, or the remedy where it has none; None if its class, *kind*, is unknown here."""
    reader = _readers.get(id(kind))
    if reader is None:
        reader = next((found for find in _FINDERS if (found := find(kind)) is not None), None)
        if reader is None:
            return None
        weakref.finalize(kind, _readers.pop, id(kind), None).atexit = False
        _readers[id(kind)] = reader
    return reader(value, kind)


def _imported(module: str, name: str) -> Any:
    """Return what a *module* has as *name*, if it has been imported, and has that already."""
    return getattr(sys.modules.get(module), "__dict__", {}).get(name)


def _derives(kind: Any, module: str, name: str) -> bool:
    base = _imported(module, name)
    return base is not None and any(each is base for each in kind.__mro__)


def class_attribute(kind: Any, name: str) -> Any:
    """Return what the class *kind* has as *name*, or None. Its metaclass is not asked."""
    for base in kind.__mro__:
        if name in base.__dict__:
            return base.__dict__[name]
    return None


def held_by(value: Any, kind: Any) -> Parts:
    """Return what lies in the slots and in the `__dict__` of *value*, by name; nothing is computed.

    The slots that attrs makes of cached properties are left out.
    """
    held: Parts = {}
    for base in kind.__mro__:
        fields = vars(base).get("__attrs_attrs__")
        names = None if fields is None else {each.name for each in fields}
        for name, member in vars(base).items():
            if type(member) is types.MemberDescriptorType and (names is None or name in names):
                with suppress(AttributeError):
                    held.setdefault(name, member.__get__(value, kind))
    return held | _dict_of(value, kind)


def _dict_of(value: Any, kind: Any) -> Parts:
    descriptor = class_attribute(kind, "__dict__")
    return dict(descriptor.__get__(value, kind)) if type(descriptor) is types.GetSetDescriptorType else {}


# ---- models ----------------------------------------------------------------------------------------------------------


def attrs_names(kind: Any) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """Return the names of those fields of an attrs class that are compared, and of all; None if it is none."""
    fields = class_attribute(kind, "__attrs_attrs__")
    if not isinstance(fields, tuple) or "attr" not in sys.modules:
        return None
    return tuple(each.name for each in fields if each.eq), tuple(each.name for each in fields)


def origin_of(kind: Any) -> tuple[Any, tuple[object, ...]] | None:
    """Return the generic pydantic model that *kind* is with arguments, and these; None if it is none."""
    made_of = vars(kind).get("__pydantic_generic_metadata__")
    if type(made_of) is not dict or made_of.get("origin") is None:
        return None
    return made_of["origin"], made_of["args"]


def _model(kind: Any) -> Reader | None:
    if not _derives(kind, "pydantic.main", "BaseModel"):
        return None
    slots = vars(_imported("pydantic.main", "BaseModel"))
    computed = {
        name
        for base in kind.__mro__
        for name, each in vars(base).items()
        if issubclass(type(each), functools.cached_property)
    }
    origin = origin_of(kind)
    owner, arguments = (kind, {}) if origin is None else (origin[0], {"__args__": origin[1]})

    def read(value: Any, kind: Any) -> Form:
        held = slots["__dict__"].__get__(value)
        parts: Parts = arguments | {name: held[name] for name in sorted(held) if name not in computed}
        with suppress(AttributeError):  # in what was made without its constructor
            extra = slots["__pydantic_extra__"].__get__(value)
            if extra:
                parts["__pydantic_extra__"] = extra
        return Form(owner, parts)

    return read


# ---- rows ------------------------------------------------------------------------------------------------------------

ROW: Final = ", or pass its id"
UNSAVED: Final = f"it is no row of the database yet, or no more; save it first{ROW}"
CHANGED: Final = f"it has changes that are not in the database; flush or commit them first{ROW}"


def _row(kind: Any) -> Reader | None:
    if class_attribute(kind, "_sa_class_manager") is not None:
        return _mapped_row
    return _django_row if _derives(kind, "django.db.models.base", "Model") else None


def _mapped_row(value: Any, kind: Any) -> Form | str:
    state: Any = _dict_of(value, kind).get("_sa_instance_state")
    if state is None or state.key is None or state.was_deleted:
        return UNSAVED
    if state.modified:
        return CHANGED
    return Form(kind, {"identity": tuple(state.key[1]), "identity_token": state.key[2]}, b"row")


def _django_row(value: Any, kind: Any) -> Form | str:
    held, options = _dict_of(value, kind), class_attribute(kind, "_meta")
    state: Any = held.get("_state")
    key = tuple(held.get(each.attname) for each in getattr(options, "pk_fields", None) or [options.pk])
    if state is None or state.adding or state.db is None or any(each is None for each in key):
        return UNSAVED
    return Form(options.label, {"database": state.db, "pk": key}, b"row")


# ---- time zones ------------------------------------------------------------------------------------------------------


def _pytz_zone(kind: Any) -> Reader | None:
    families = [_imported("pytz.tzinfo", name) for name in ("DstTzInfo", "StaticTzInfo")]
    is_made = kind.__module__ == "pytz.tzfile" and any(base is each for base in kind.__bases__ for each in families)
    is_other = any(kind is each for each in (type(_imported("pytz", "utc")), _imported("pytz", "_FixedOffset")))
    return _read_pytz_zone if "pytz" in sys.modules and (is_made or is_other) else None


def _read_pytz_zone(value: Any, kind: Any) -> Form | str:
    maker, arguments = value.__reduce__()
    if maker.__name__ == "_p":
        with suppress(KeyError):  # an unknown one, made from a file
            if type(sys.modules["pytz"].timezone(value.zone)) is kind:
                return Form("pytz", {"maker": "timezone", "args": arguments})
        return "make it by pytz.timezone(name)"
    return Form("pytz", {"maker": maker.__name__, "args": arguments})


def _dateutil_file(value: Any, kind: Any) -> Form:
    """Return the form of a zone of dateutil: its rules, since its name may be the path of a file."""
    held: dict[str, Any] = _dict_of(value, kind)
    rules: Parts = {"name": str(held["_filename"]).rpartition("zoneinfo/")[2]}
    if "_trans_list_utc" in held:  # up to dateutil 2
        sorts = {id(each): number for number, each in enumerate(held["_ttinfo_list"])}
        rules["transitions"] = tuple(held["_trans_list_utc"])
        rules["sorts"] = bytes(sorts[id(each)] for each in held["_trans_idx"])
        rules["offsets"] = [(each.delta, each.isdst, each.abbr, each.dstoffset) for each in held["_ttinfo_list"]]
    else:
        _, (*_, (sorts, transitions, offsets, are_summer, names, afterwards)), *_ = value.__reduce__()
        rules["transitions"], rules["sorts"] = tuple(transitions), bytes(sorts)
        rules["offsets"] = list(zip(offsets, map(bool, are_summer), names, strict=True))
        rules["afterwards"] = afterwards
    return Form(kind, rules)


# ---- exact classes, and those of a family ----------------------------------------------------------------------------


def _text(value: Any, kind: Any) -> Form:
    return Form(kind, {"text": str.__str__(value) if issubclass(kind, str) else str(value)})


def _held(*names: str) -> Reader:
    return lambda value, kind: Form(kind, {name: held_by(value, kind).get(name) for name in names})


def _lazy(value: Any, kind: Any) -> Form:
    """Return the form of what Django computes when it is asked, as a translation: what that is now."""
    _, (function, args, kwargs, *_) = value.__reduce__()
    return Form("django.utils.functional.Promise", {"value": function(*args, **kwargs)})


def _lazy_object(value: Any, kind: Any) -> StandsFor:
    if _dict_of(value, kind).get("_wrapped") is _imported("django.utils.functional", "empty"):
        kind._setup(value)
    return StandsFor(_dict_of(value, kind)["_wrapped"])


def _local_proxy(value: Any, kind: Any) -> StandsFor:
    return StandsFor(held_by(value, kind)["_get_current_object"]())  # type: ignore[operator]


_EXACT: Final[dict[tuple[str, str], Reader]] = {
    ("httpx", "URL"): _text,
    ("yarl", "URL"): _text,
    ("markupsafe", "Markup"): _text,
    ("django.utils.safestring", "SafeString"): _text,
    ("pydantic_core._pydantic_core", "Url"): _text,
    ("pydantic_core._pydantic_core", "MultiHostUrl"): _text,
    ("pydantic_core._pydantic_core", "TzInfo"): lambda value, kind: Form(kind, {"offset": value.utcoffset(None)}),
    ("dateutil.tz.tz", "tzutc"): _held(),
    ("dateutil.tz.tz", "tzoffset"): _held("_name", "_offset"),
    ("dateutil.tz.tz", "tzstr"): _held("_s", "_std_offset", "_dst_offset"),
    ("dateutil.tz.tz", "tzfile"): _dateutil_file,
    ("dateutil.tz.tz", "tzlocal"): lambda value, kind: "it is another one on another machine; pass tz.gettz(name)",
    ("werkzeug.local", "LocalProxy"): _local_proxy,
    ("django.contrib.auth.models", "AnonymousUser"): _held(),
    ("flask_login.mixins", "AnonymousUserMixin"): _held(),
    ("starlette.authentication", "UnauthenticatedUser"): _held(),
    ("starlette.authentication", "SimpleUser"): _held("username"),
}
_FAMILIES: Final[dict[tuple[str, str], Reader]] = {
    ("pydantic.types", "_SecretBase"): _held("_secret_value"),
    ("pydantic.networks", "_BaseUrl"): _held("_url"),
    ("pydantic.networks", "_BaseMultiHostUrl"): _held("_url"),
    ("django.utils.functional", "Promise"): _lazy,
    ("django.utils.functional", "LazyObject"): _lazy_object,
}


def _named(kind: Any) -> Reader | None:
    for place, reader in _EXACT.items():
        if kind is _imported(*place):
            return reader
    return next((reader for place, reader in _FAMILIES.items() if _derives(kind, *place)), None)


_FINDERS: Final = (_row, _model, _pytz_zone, _named)


# ---- what has no form ------------------------------------------------------------------------------------------------

LEAVE_OUT: Final = "it is a tool and no data, so leave it out of the key"
USED_UP: Final = "reading it would use it up; pass a tuple of its items"

# By the classes of which it is for the instances, and for those of the classes below them.
_REMEDY_NAMES: Final[dict[str, str]] = {
    LEAVE_OUT: """
        sqlalchemy.orm.session._SessionClassMethods sqlalchemy.orm.scoping.scoped_session
        sqlalchemy.ext.asyncio.session.AsyncSession sqlalchemy.ext.asyncio.session.async_sessionmaker
        sqlalchemy.ext.asyncio.scoping.async_scoped_session sqlalchemy.engine.interfaces.ConnectionEventsTarget
        sqlalchemy.ext.asyncio.engine.AsyncEngine sqlalchemy.ext.asyncio.engine.AsyncConnection
        django.db.backends.base.base.BaseDatabaseWrapper django.utils.connection.ConnectionProxy
        sqlite3.Connection psycopg.Connection psycopg.AsyncConnection psycopg2.extensions.connection
        asyncpg.connection.Connection pymysql.connections.Connection pymongo.common.BaseObject
        redis.client.Redis redis.asyncio.client.Redis redis.cluster.RedisCluster pymemcache.client.base.Client
        pymemcache.client.base.PooledClient pymemcache.client.hash.HashClient memocache.backends.base.Cache
        botocore.client.BaseClient boto3.resources.base.ServiceResource requests.sessions.Session
        httpx._client.BaseClient aiohttp.client.ClientSession urllib3.poolmanager.PoolManager
        starlette.background.BackgroundTask concurrent.futures._base.Executor _socket.socket
        _thread.lock _thread.RLock threading.Condition threading.Event threading.Semaphore threading.Thread
        asyncio.mixins._LoopBoundMixin asyncio.events.AbstractEventLoop logging.Logger logging.LoggerAdapter
        """,
    "pass what the function reads of it, such as its path or the id of the user": """
        django.http.request.HttpRequest rest_framework.request.Request werkzeug.sansio.request.Request
        starlette.requests.HTTPConnection aiohttp.web_request.BaseRequest quart.wrappers.base.BaseRequestWebsocket
        litestar.connection.base.ASGIConnection tornado.httputil.HTTPServerRequest
        """,
    "pass what it has brought, such as its text": """
        django.http.response.HttpResponseBase werkzeug.sansio.response.Response starlette.responses.Response
        requests.models.Response httpx.Response aiohttp.client_reqrep.ClientResponse
        """,
    "it does not tell which rows it will find; pass what it is made from, or the ids of the rows": """
        django.db.models.query.QuerySet django.db.models.manager.BaseManager sqlalchemy.orm.query.Query
        sqlalchemy.sql.elements.ClauseElement
        """,
    USED_UP: "sqlalchemy.engine.result.Result sqlite3.Cursor",
    "pass tuple(row)": "sqlalchemy.engine.row.Row sqlite3.Row",
    "pass its path, or what is in it": "_io._IOBase",
    "await it, and pass its result": "_asyncio.Future asyncio.futures.Future builtins.coroutine",
    "pass its array, tensor.detach().cpu().numpy()": "torch.Tensor",
    "pass its rows, frame.collect()": "polars.lazyframe.frame.LazyFrame",
    "pass its .data and its .mask": "numpy.ma.MaskedArray",
    "pass a plain array, numpy.asarray(array)": "numpy.memmap numpy.matrix numpy.rec.recarray numpy.recarray",
    "pass a type in its place": "typing.TypeVar typing.ParamSpec typing.TypeVarTuple typing.ForwardRef",
}
_REMEDIES: Final = {name: remedy for remedy, names in _REMEDY_NAMES.items() for name in names.split()}


def remedy_for(classes: Iterable[str]) -> str | None:
    """Return what to do with an instance of the first of these *classes* of which that is known."""
    return next((_REMEDIES[name] for name in classes if name in _REMEDIES), None)
