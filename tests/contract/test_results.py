"""Results with fields on every shared cache: what the return hint names comes back, everything else is refused."""

import contextlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import msgspec
import pytest

from memocache import Cache, JSONSerializer, PickleSerializer, Serializer, SQLiteCache, cached
from tests.contract import hinted
from tests.contract.hinted import Model, Report, Row


@attrs.define
class Stop:
    name: str
    rows: list[Row]


class Line(msgspec.Struct):
    stops: dict[str, Stop]


def line(name: str) -> "Line | list[Stop]":
    return Line({name: Stop(name, [Row(1, ("a", "b"))])})


@pytest.mark.parametrize("function", [
    hinted.by_text, hinted.without, hinted.for_checkers, line
], ids=lambda function: function.__name__)  # fmt: skip
def test_results_come_back_in_another_process(make: Callable[[], Cache], function: Any) -> None:
    first = cached(timeout=60, cache=make(), namespace=function.__name__)(function)
    second = cached(timeout=60, cache=make(), namespace=function.__name__)(function)
    value = first(7)
    back = second(7)
    assert second.info().hits == 1
    assert back == value == function(7)
    assert type(back) is type(value)


def test_a_class_method_may_return_itself(make: Callable[[], Cache]) -> None:
    for hits in (0, 1):
        load = cached(timeout=60, cache=make(), namespace="load")(Report.load.__func__)  # type: ignore[attr-defined]
        assert load(Report, "x") == [Report("x")]
        assert load.info().hits == hits


OF_MANY = ("get_many", "get_dict", "delete_many")
NO_KEYS = [
    *((method, given) for method in ("get", "set", "add", "delete", "has", "inc", *OF_MANY) for given in (7, None)),
    *((method, ["a", "b"]) for method in OF_MANY),
]


@pytest.mark.parametrize(("method", "given"), NO_KEYS, ids=str)
def test_a_key_of_a_user_s_is_a_text(make: Callable[[], Cache], method: str, given: Any) -> None:
    """A file took the text of a list for a key, under which there was nothing to delete."""
    with pytest.raises(TypeError, match=r"^a key is a text, and this is |unhashable type: 'list'"):
        getattr(make(), method)(given, *([1] if method in ("set", "add") else []))


@pytest.mark.parametrize("function", [hinted.anything, hinted.not_found], ids=lambda function: function.__name__)
def test_what_would_never_be_read_is_not_stored(
    make: Callable[[], Cache], function: Any, caplog: pytest.LogCaptureFixture
) -> None:
    call = cached(timeout=60, cache=make(), namespace=function.__name__)(function)
    with caplog.at_level(logging.WARNING, "memocache"):
        for number in range(3):
            assert call(number).title == str(number)
    assert (call.info().stored, call.info().failures) == (0, 3)
    (record,) = caplog.records
    assert "annotate the function's return type with it, or pass types=[Report]" in record.getMessage()


def test_a_model_with_nonsense_in_it_is_returned_and_kept_or_refused(make: Callable[[], Cache]) -> None:
    values = [Model.model_construct(number="no number"), Model.model_construct(), Model.model_construct(number=print)]

    def broken(at: int) -> Model:
        return values[at]

    for hits in (0, 1):
        call = cached(timeout=60, cache=make(), namespace="broken")(broken)
        for at, value in enumerate(values):
            assert call(at).__dict__ == value.__dict__
        assert call.info().hits == hits
        assert call.info().failures == 2


class Text(Serializer):
    """A user's serializer, which is given bytes and nothing else."""

    codec = 130

    def dumps(self, value: object, context: bytes) -> bytes:
        return str(value).encode("utf-16")

    def loads(self, data: bytes, context: bytes) -> object:
        return data.decode("utf-16")


SERIALIZERS: dict[str, dict[str, Any]] = {
    "own": {"serializer": Text()}, "json": {"serializer": JSONSerializer()}, "safe": {},
    "pickle": {"serializer": PickleSerializer(secret="s" * 16)}, "signed": {"secret": "s" * 16},
    "compressed": {"compress": "zlib"}, "both": {"secret": "s" * 16, "compress": "zlib"},
}  # fmt: skip


@pytest.mark.parametrize("name", SERIALIZERS)
@pytest.mark.parametrize("size", [10, 70_000, 300_000])
def test_every_serializer_reads_values_of_every_size(tmp_path: Path, name: str, size: int) -> None:
    text = "".join(map(chr, range(32, 127))) * (size // 95) + "x"
    for _ in range(2):
        with contextlib.closing(SQLiteCache(tmp_path / "cache" / "cache.db", timeout=10, **SERIALIZERS[name])) as cache:
            assert cache.get("k") in (None, text)
            cache.set("k", text)
            assert cache.get("k") == cache.get_dict("k")["k"] == text
