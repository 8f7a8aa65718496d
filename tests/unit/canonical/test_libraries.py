"""Values of other libraries in keys: time zones, URLs, texts; and what is refused, with what to do instead."""

import asyncio
import concurrent.futures
import datetime as dt
import io
import logging
import pickle
import socket
import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from memocache import SimpleCache, UnkeyableArgument
from memocache._canonical import encode
from tests.unit.canonical.samples import NOON, PARIS, distinct_from_each_other, refusal, zone

pytz = pytest.importorskip("pytz")
tz = pytest.importorskip("dateutil.tz")
httpx = pytest.importorskip("httpx")
markupsafe = pytest.importorskip("markupsafe")
pydantic_core = pytest.importorskip("pydantic_core")
yarl = pytest.importorskip("yarl")


@pytest.fixture
def german() -> Iterator[Any]:
    """Django, with what sets its language."""
    django = pytest.importorskip("django")
    from django.utils import translation

    from tests.support import django_settings

    django_settings.configure()
    django.setup()
    with translation.override("en"):
        yield lambda: translation.override("de")


def pydantic_time(text: str) -> Any:
    return pydantic_core.SchemaValidator({"type": "datetime"}).validate_python(text)


def test_time_zones_that_are_not_the_same_differ() -> None:
    paris = pytz.timezone("Europe/Paris")
    distinct_from_each_other(
        [
            *(paris, pytz.timezone("Europe/Berlin"), pytz.utc, pytz.timezone("Etc/UTC"), pytz.FixedOffset(60)),
            *(pytz.FixedOffset(-60), pytz.timezone("Etc/GMT+3"), dt.UTC, zone(1), PARIS, "Europe/Paris", None),
            *(paris.localize(NOON), paris.localize(NOON.replace(month=1)), NOON.replace(tzinfo=PARIS)),
            *(NOON.replace(tzinfo=paris), paris.localize(dt.datetime(2024, 10, 27, 2, 30), is_dst=True)),
            paris.localize(dt.datetime(2024, 10, 27, 2, 30), is_dst=False),
            *(tz.gettz("Europe/Paris"), tz.gettz("Asia/Tokyo"), tz.gettz("Europe/Berlin"), tz.tzutc()),
            *(tz.tzoffset("CET", 3600), tz.tzoffset("X", 3600), tz.tzoffset("CET", 0), tz.tzstr("EST5EDT")),
            *(tz.tzstr("EST4EDT"), NOON.replace(tzinfo=tz.gettz("Europe/Paris")), NOON.replace(tzinfo=tz.tzutc())),
            *(pydantic_time("2024-06-01T12:00Z"), pydantic_time("2024-06-01T12:00+01:00"), NOON.replace(tzinfo=dt.UTC)),
            *(pydantic_time("2024-06-01T12:00-01:00"), pydantic_time("2024-06-01T12:00+01:00").tzinfo),
        ]
    )


def test_time_zones_of_the_same_rules_are_the_same() -> None:
    for make in (
        lambda: pytz.timezone("Europe/Paris"),
        lambda: pytz.FixedOffset(60),
        lambda: pytz.timezone("Europe/Paris").localize(NOON),
        lambda: tz.tzfile("/usr/share/zoneinfo/Europe/Paris"),
        lambda: tz.tzoffset("CET", dt.timedelta(hours=1)),
        lambda: pydantic_time("2024-06-01T12:00+01:00"),
    ):
        try:
            assert encode(make()) == encode(make())
        except OSError:
            pytest.skip("there are no files of time zones")
    assert encode(pytz.utc) == encode(pytz.timezone("UTC"))
    paris = tz.gettz("Europe/Paris")
    assert encode(pickle.loads(pickle.dumps(paris))) == encode(paris)


def test_a_time_zone_that_another_machine_does_not_know_is_refused() -> None:
    from pytz.tzfile import build_tzinfo

    with pytz.open_resource("Asia/Tokyo") as file:
        faked = build_tzinfo("Europe/Paris", file)
    with pytest.raises(UnkeyableArgument, match=r"has no stable form: make it by pytz\.timezone\(name\)"):
        encode(faked)
    with pytest.raises(UnkeyableArgument, match=r"a tzlocal .*: it is another one on another machine; pass tz.gettz"):
        encode(tz.tzlocal())


def test_urls_and_texts_are_their_text_and_their_class() -> None:
    texts = ["http://a/", "http://b/", "http://ann:secret@a/", "http://ann:other@a/"]
    kinds = [httpx.URL, yarl.URL, markupsafe.Markup, pydantic_core.Url, str]
    distinct_from_each_other([kind(text) for text in texts for kind in kinds])
    assert encode(markupsafe.Markup("<b>%s</b>") % "a") == encode(markupsafe.Markup("<b>a</b>"))
    assert encode(pydantic_core.MultiHostUrl("postgres://a,b/c")) != encode(
        pydantic_core.MultiHostUrl("postgres://a/c")
    )


def test_a_subclass_of_a_marked_text_may_be_more() -> None:
    class Own(markupsafe.Markup):  # type: ignore[misc, name-defined]
        pass

    with pytest.raises(UnkeyableArgument, match="its class may add to what a str is; pass a plain str or give Own"):
        encode(Own("a"))


def test_safe_and_lazy_texts_are_their_text_now_and_their_class(german: Any) -> None:
    from django.utils.functional import lazy
    from django.utils.safestring import mark_safe
    from django.utils.translation import gettext_lazy

    monday = gettext_lazy("Monday")
    in_english = encode(monday)
    distinct_from_each_other([mark_safe("a"), "a", markupsafe.Markup("a"), mark_safe("b"), monday, "Monday"])
    assert encode(gettext_lazy("Monday")) == in_english
    with german():
        assert str(monday) == "Montag"
        assert encode(monday) != in_english
        assert encode([monday]) != encode(["Montag"])
    assert encode(monday) == in_english
    numbers = lazy(lambda: [1, mark_safe("a")], list)
    assert encode(numbers()) == encode(numbers()) != encode([1, mark_safe("a")])
    with pytest.raises(UnkeyableArgument, match=r"an object instance, at \.value, has no stable form"):
        encode(lazy(object, object)())


def test_a_proxy_is_what_it_stands_for_now() -> None:
    werkzeug = pytest.importorskip("werkzeug.local")
    now: list[Any] = [[1]]
    proxy = werkzeug.LocalProxy(lambda: now[0])
    assert encode(proxy) == encode([1])
    now[0] = {"a": proxy.__class__}
    assert encode([proxy]) == encode([{"a": list}])
    now[0] = object()
    with pytest.raises(UnkeyableArgument, match="an object instance has no stable form"):
        encode(proxy)


def test_a_user_whom_nobody_knows_is_nobody(german: Any) -> None:
    """As request.user and current_user are before somebody has logged in: an argument like any other user."""
    from django.contrib.auth.models import AnonymousUser
    from django.utils.functional import SimpleLazyObject

    login = pytest.importorskip("flask_login")
    starlette = pytest.importorskip("starlette.authentication")
    distinct_from_each_other(
        [
            *(AnonymousUser(), login.AnonymousUserMixin(), starlette.UnauthenticatedUser(), None),
            *(starlette.SimpleUser(""), starlette.SimpleUser("ann"), starlette.SimpleUser("bob")),
        ]
    )
    assert encode(SimpleLazyObject(AnonymousUser)) == encode(AnonymousUser())
    assert encode(login.AnonymousUserMixin()) == encode(login.AnonymousUserMixin())
    assert encode(starlette.SimpleUser("ann")) == encode(starlette.SimpleUser("ann"))

    class Guest(AnonymousUser):  # type: ignore[misc]
        """Who has a basket, for all that we know."""

    with pytest.raises(UnkeyableArgument, match="has no stable form"):
        encode(Guest())


def test_a_tensor_is_refused_with_what_to_do() -> None:
    torch = pytest.importorskip("torch")
    for tensor in (torch.tensor([1.0]), torch.nn.Parameter(torch.tensor([1.0]))):
        with pytest.raises(UnkeyableArgument, match=r": pass its array, tensor\.detach\(\)\.cpu\(\)\.numpy\(\)$"):
            encode(tensor)


TOOL = "has no stable form: it is a tool and no data, so leave it out of the key"
FILE = "has no stable form: pass its path, or what is in it"


def test_tools_are_refused_with_what_to_do() -> None:
    requests = pytest.importorskip("requests")
    redis = pytest.importorskip("redis")
    pymemcache = pytest.importorskip("pymemcache")
    connection, plug, loop = sqlite3.connect(":memory:"), socket.socket(), asyncio.new_event_loop()
    client, executor = httpx.Client(), concurrent.futures.ThreadPoolExecutor()
    try:
        for tool in [
            *(connection, plug, loop, client, executor, requests.Session(), redis.Redis(), SimpleCache()),
            *(pymemcache.Client(("127.0.0.1", 9)), pymemcache.HashClient([]), logging.getLogger("x")),
            *(threading.Lock(), threading.RLock(), threading.Event(), threading.Condition(), asyncio.Lock()),
        ]:
            assert refusal(encode, tool).endswith(f"{type(tool).__name__} instance {TOOL}")
    finally:
        for each in (connection, plug, loop, client):
            each.close()  # type: ignore[attr-defined]


def test_files_rows_and_cursors_are_refused_with_what_to_do() -> None:
    connection = sqlite3.connect(":memory:")
    connection.row_factory = sqlite3.Row
    cursor = connection.execute("SELECT 1 AS one")
    row = cursor.fetchone()
    for value, message in [
        (io.BytesIO(b"a"), f"a BytesIO instance {FILE}"),
        (io.StringIO("a"), f"a StringIO instance {FILE}"),
        (row, "a Row instance has no stable form: pass tuple(row)"),
        (cursor, "a Cursor instance has no stable form: reading it would use it up; pass a tuple of its items"),
    ]:
        assert refusal(encode, value) == message
    connection.close()


def test_requests_and_responses_are_refused_with_what_to_do(german: Any) -> None:
    from django.http import HttpRequest, HttpResponse

    flask = pytest.importorskip("flask")
    starlette = pytest.importorskip("starlette.requests")
    request = "has no stable form: pass what the function reads of it, such as its path or the id of the user"
    response = "has no stable form: pass what it has brought, such as its text"
    for value, message in [
        (HttpRequest(), f"a HttpRequest instance {request}"),
        (flask.Request({"REQUEST_METHOD": "GET"}), f"a Request instance {request}"),
        (starlette.Request({"type": "http", "headers": []}), f"a Request instance {request}"),
        (HttpResponse(), f"a HttpResponse instance {response}"),
        (flask.Response(), f"a Response instance {response}"),
        (httpx.Response(200), f"a Response instance {response}"),
    ]:
        assert refusal(encode, value) == message
