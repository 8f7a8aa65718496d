"""Arrays and frames come back to the last bit and of the same types, or are refused; forged ones are bounded."""

import datetime
import random
import struct
import tracemalloc
import warnings
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from msgspec.msgpack import Ext, encode

from memocache.errors import SerializationError
from memocache.serializers import SafeSerializer
from memocache.serializers._extensions import Code
from tests.unit.serializers.samples import refusal
from tests.unit.serializers.test_hostile import mutants

SAFE = SafeSerializer()
ALIGNED = np.dtype([("a", "i1"), ("b", "f8", (2,)), ("c", "U3"), ("d", [("e", "M8[D]")])], align=True)
NAN = np.array([0x7FF8000000000123, 0xFFF8000000000001], "u8").view("f8")


def trip(value: Any) -> Any:
    return SAFE.loads(SAFE.dumps({"k": (value,)}, b""), b"")["k"][0]  # type: ignore[index]


ARRAYS = [
    np.arange(5), np.zeros((0, 3)), np.array(5.0), np.arange(6).reshape(2, 3).T,
    np.arange(24.0).reshape(2, 3, 4)[:, ::2],
    np.asfortranarray(np.arange(6).reshape(2, 3)), np.arange(10)[::-2], np.array([1, 2], ">i8"), NAN, -np.zeros(2),
    np.array(["a", "bcd", "\U0001f600"]), np.array([b"x", b""]), np.array(["2020", "NaT"], "M8[D]"),
    np.array([5, "NaT"], "m8[25us]"), np.zeros(3, ALIGNED), np.ones((2, 2), ALIGNED)["b"], np.array([1 + 2j, np.nan]),
    np.array([True, False]), np.array([1.5], "f2"), np.array([1, "a", None, (1, 2), [3], {"k": 1.5}], object),
    np.array([[1, 2], [3, datetime.date(2020, 1, 1)]], object), np.array([[1, "a"], [2, "b"]], object).T,
    np.array([b"ab"], "V2"),
]  # fmt: skip
SCALARS = [
    np.float64(1.5), np.float32("nan"), np.int8(3), np.bool_(True), np.str_("abc"), np.str_(""), np.bytes_(b"x"),
    np.datetime64("2020"), np.datetime64("NaT"), np.timedelta64(5, "ns"), np.complex64(1j), np.void(b"abc"),
    np.ones(1, ALIGNED)[0],
]  # fmt: skip


@pytest.mark.parametrize("value", [*ARRAYS, *SCALARS], ids=lambda value: f"{type(value).__name__} {value.dtype}"[:40])
def test_numpy_comes_back(value: Any) -> None:
    back = trip(value)
    assert (type(back), back.dtype, back.shape) == (type(value), value.dtype, value.shape)
    if value.dtype.hasobject:
        assert back.tolist() == value.tolist()
    else:
        assert back.tobytes() == value.tobytes()
    if isinstance(value, np.ndarray):
        assert back.flags.writeable
        assert back.flags.aligned
        assert back.flags.owndata or back.base.flags.owndata
        assert back.flags.f_contiguous == (value.flags.f_contiguous or value.ndim < 2)


def test_each_reader_has_an_array_of_its_own() -> None:
    data = SAFE.dumps(np.arange(3), b"")
    one: Any = SAFE.loads(data, b"")
    one[0] = 5
    assert SAFE.loads(data, b"").tolist() == [0, 1, 2]  # type: ignore[attr-defined]


def test_what_lies_between_fields_is_not_written() -> None:
    value = np.frombuffer(b"\xab" * ALIGNED.itemsize * 2, ALIGNED).copy()
    value["c"] = "x"
    data = SAFE.dumps(value, b"")
    assert trip(value)["b"].tobytes() == value["b"].tobytes()
    assert data.count(b"\xab") == 2 * (1 + 16 + 8)


FRAME = pd.DataFrame(
    {
        "i": [1, 2, 3], "f": [1.0, np.nan, 3], "s": ["a", None, "c"], "o": [1, "x", None],
        "t": pd.to_datetime(["2020", "2021", None]),
        "tz": pd.date_range("2021-10-31", periods=3, tz="Europe/Berlin", freq="h"),
        "utc": pd.date_range("2020", periods=3, tz=datetime.UTC), "d": pd.to_timedelta([1, 2, None], unit="s"),
        "c": pd.Categorical(["a", "b", None], categories=["z", "b", "a"], ordered=True),
        "I": pd.array([1, None, 3], "Int64"),
        "B": pd.array([True, None, False], "boolean"), "F": pd.array([1.0, None, 3], "Float32"),
        "p": pd.period_range("2020", periods=3, freq="M"), "iv": pd.interval_range(0, 3),
        "S": pd.array(["a", None, "b"], "string"), "pa": pd.array([1, None, 2], "int64[pyarrow]"),
        "texts": pd.Series(["a", "b", "c"], dtype=object), ("t", 1): [datetime.date(2020, 1, 1), (1, 2), [3]],
    }
)  # fmt: skip
FRAME.attrs["note"] = (1, 2)
PANDAS = [
    FRAME, FRAME[:0], FRAME.iloc[::2], pd.DataFrame(), pd.DataFrame(index=[1, 2]), pd.DataFrame(columns=["a"]),
    FRAME.set_index(["s", "i"]), FRAME.set_index("tz"), FRAME.set_index("c"), FRAME.set_index(["c", "tz"])[1:],
    pd.DataFrame([[1, 2.5]], columns=["a", "a"]), pd.DataFrame(np.ones((3, 4)).T), FRAME["texts"], FRAME["pa"],
    pd.Series([1, 2], name=("a", 1)).set_flags(allows_duplicate_labels=False), pd.Series([], dtype="M8[s]"),
    pd.date_range("2020", periods=3, freq="B", name="n"), pd.RangeIndex(2, 9, 3, name="r"), pd.Index([1.5, 2]),
    pd.MultiIndex.from_product([[1, 2], ["a", "b"]], names=["x", None]), pd.Index(["a", 1], dtype=object),
    pd.timedelta_range(0, periods=3, freq="h"), pd.IntervalIndex.from_breaks([0, 1, 2], closed="both"),
    pd.PeriodIndex(["2020-01"], freq="Q"), pd.CategoricalIndex(["a", "b"]), pd.Index(["x", None]),
    pd.Timestamp("2020-01-01 12:00:00.123456789"), pd.Timestamp("2020", tz="Asia/Tokyo"),
    pd.Timestamp("2020", tz="UTC"),
    pd.Timestamp("2021-10-31 02:30").tz_localize("Europe/Berlin", ambiguous=False), pd.Timestamp(5, unit="s"),
    pd.Timedelta("1ns"), pd.NaT, pd.NA, pd.Period("2020-01"), pd.Interval(1, 2.5, closed="both"),
    *(FRAME[name].array for name in FRAME),
]  # fmt: skip


def assert_same(one: Any, other: Any) -> None:
    assert type(one) is type(other)
    if isinstance(one, pd.DataFrame):
        pd.testing.assert_frame_equal(one, other, check_exact=True, check_freq=True, check_flags=True)
        assert (list(one.dtypes), one.attrs) == (list(other.dtypes), other.attrs)
    elif isinstance(one, pd.Series):
        pd.testing.assert_series_equal(one, other, check_exact=True, check_flags=True)
    elif isinstance(one, pd.Index):
        pd.testing.assert_index_equal(one, other, exact=True)
        assert (getattr(one, "freq", None), list(one.names)) == (getattr(other, "freq", None), list(other.names))
    elif isinstance(one, pd.api.extensions.ExtensionArray):
        pd.testing.assert_extension_array_equal(one, other)
    elif one is not other:
        assert one == other
        assert [getattr(one, name, None) for name in ("tz", "unit", "fold")] == [
            getattr(other, name, None) for name in ("tz", "unit", "fold")
        ]


@pytest.mark.parametrize("value", PANDAS, ids=lambda value: type(value).__name__)
def test_pandas_comes_back(value: Any) -> None:
    assert_same(value, trip(value))


TABLE = pa.table(
    {
        "a": [1, None], "b": ["x", "y"], "c": pa.array(["u", "v"]).dictionary_encode(), "l": [[1], [2, 3]],
        "s": [{"q": 1}, {"q": None}], "n": pa.nulls(2), "v": pa.array(["a", None], pa.string_view()),
    },
    metadata={"k": "v"},
)  # fmt: skip
ARROW = [
    TABLE, TABLE[:0], TABLE[1:], TABLE["a"], TABLE["b"].chunk(0), pa.table({}), pa.array([]), pa.array([1, 2, 3])[1:],
    TABLE.to_batches()[0], TABLE.to_batches()[0][:0], pa.chunked_array([[1], [2]]), pa.chunked_array([], pa.int8()),
]  # fmt: skip


@pytest.mark.parametrize("value", ARROW, ids=lambda value: type(value).__name__)
def test_arrow_comes_back(value: Any) -> None:
    back = trip(value)
    assert type(back) is type(value)
    assert back.equals(value)
    if hasattr(value, "schema"):
        assert back.schema.equals(value.schema, check_metadata=True)


POLARS = pl.DataFrame(
    {
        "a": [1, None], "": ["x", None], "c": [datetime.datetime(2020, 1, 1), None], "d": [[1], [2]],
        "e": [{"q": 1}, {"q": None}], "f": [b"x", b"y"], "t": [datetime.timedelta(1), None],
    }
).with_columns(
    pl.col("").cast(pl.Categorical).alias("cat"), pl.col("c").dt.replace_time_zone("Europe/Berlin").alias("tz"),
    pl.lit(None).alias("n"), pl.Series("en", ["x", "y"], dtype=pl.Enum(["y", "x"])),
)  # fmt: skip


@pytest.mark.parametrize("value", [
    POLARS, POLARS[:0], pl.DataFrame(), *POLARS, pl.Series([1.5]), pl.Series("x", [], dtype=pl.Int8)
], ids=lambda value: getattr(value, "name", "frame") or "unnamed")  # fmt: skip
def test_polars_comes_back(value: Any) -> None:
    back = trip(value)
    assert type(back) is type(value)
    assert back.equals(value)
    if isinstance(value, pl.DataFrame):
        assert back.schema == value.schema
    else:
        assert (back.name, back.dtype) == (value.name, value.dtype)


NO_DTYPE = ", which has no form as bytes; use astype() with a plain dtype"
OTHERWISE = "return plain data, or use PickleSerializer(secret=...)"


@pytest.mark.parametrize(("value", "message"), [
    (np.ma.array([1, 2], mask=[0, 1]), "numpy.ma.MaskedArray, which is an array of a class of its own;"
     " return numpy.asarray(value), a mask beside it"),
    (np.asarray([[1]]).view(np.matrix), "numpy.matrix, which is an array of a class of its own;"
     " return numpy.asarray(value), a mask beside it"),
    (np.array([1], "g"), f"numpy.ndarray, which has dtype {np.dtype('g')}{NO_DTYPE}"),
    (np.array(["a"], np.dtypes.StringDType()), f"numpy.ndarray, which has dtype StringDType(){NO_DTYPE}"),
    (np.zeros(1, [("a", "O")]), f"numpy.ndarray, which has dtype [('a', 'O')]{NO_DTYPE}"),
    (np.zeros(2, [("a", "i4", (0,))]), f"numpy.ndarray, which has dtype [('a', '<i4', (0,))]{NO_DTYPE}"),
    (np.zeros(2, "V0"), f"numpy.ndarray, which has dtype |V0{NO_DTYPE}"),
    (np.str_("a\0"), "numpy.str_, which ends with a NUL, which numpy drops; return a plain str or bytes"),
    (pd.Series([1, 0], dtype="Sparse[int]").array, "pandas.arrays.SparseArray, which has no form as bytes;"
     " use astype() with a plain dtype, such as object"),
    (pd.date_range("2020", periods=3, freq=pd.offsets.CustomBusinessDay(holidays=["2020-01-02"])),
     "pandas.DatetimeIndex, which has a frequency that its name does not tell; set index.freq = None"),
    (pl.Series([object()], dtype=pl.Object), "polars.series.series.Series, which has a column of a type that Arrow does"
     " not keep; cast it to another"),
    (POLARS.lazy(), "polars.lazyframe.frame.LazyFrame, which has not been computed; return frame.collect()"),
    (pa.nulls(10**9), "pyarrow.lib.NullArray, which holds nothing but nulls; return how many they are"),
    (pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"x" * 16], pa.binary(16))), "pyarrow.lib.UuidArray, which"
     " holds a type that is an extension of Arrow's; cast it to the type that it is stored as"),
    (pa.scalar(1), "pyarrow.lib.Int64Scalar, which has no form as bytes; " + OTHERWISE),
], ids=lambda value: None if isinstance(value, str) else type(value).__name__)  # fmt: skip
def test_what_has_no_form_is_refused(value: Any, message: str) -> None:
    assert refusal(SAFE.dumps, [value], b"") == f"value[0] is of type {message}"


def test_what_lies_in_an_array_of_objects_has_to_be_plain() -> None:
    for value in (np.array([print, 1], object), pd.Series([1, print]), pd.DataFrame({"a": [print]})):
        assert refusal(SAFE.dumps, [value], b"").endswith(
            " is of type builtin_function_or_method, which has no form as bytes; " + OTHERWISE
        )


# ---- forged ----------------------------------------------------------------------------------------------------------


def array(form: object, shape: Any, order: Any = 0, content: bytes = b"") -> bytes:
    head = encode([form, shape, order])
    return encode(Ext(Code.ARRAY, struct.pack(">I", len(head)) + head + content))


def built(name: str, content: object) -> bytes:
    return encode(Ext(Code.PARTS, encode([name, content])))


def fields(**changed: Any) -> Any:
    return {"names": ["a"], "formats": ["<f8"], "offsets": [0], "itemsize": 8, "aligned": False} | changed


LONG = Ext(Code.PARTS, encode(["range", [0, 10**10, 1, None]]))
FORGED = {
    "10 GB": array("<f8", [10**10], content=b"x" * 40), "negative": array("<f8", [-1]),
    "twice negative": array("<f8", [-1, -8], content=b"x" * 64), "object": array("O", [1], content=b"x" * 8),
    "objects": array("|O8", [1], content=b"x" * 8),
    "long text": array("<U4000000000", [0]), "no size": array("|S0", [5]),
    "too many dimensions": array("<f8", [1] * 99, content=b"x" * 8), "subarray": array(["<f8", [10**9]], [1]),
    "negative subarray": array(["<f8", [-1]], [1], content=b"x" * 8), "names": array("<f8,<f8", [1], content=b"x" * 16),
    "a field of objects": array(fields(formats=["O"]), [1], content=b"x" * 8),
    "a field outside": array(fields(offsets=[100]), [1], content=b"x" * 8),
    "a field before": array(fields(offsets=[-8]), [1], content=b"x" * 8),
    "another key": array(fields(metadata={"a": 1}), [1], content=b"x" * 9), "a number": array(5, [1]),
    "no bool": array("|b1", [1], content=b"\2"), "no character": array("<U1", [1], content=b"\xff" * 4),
    "none in a field": array(fields(formats=["<U2"]), [1], content=b"\xff" * 8),
    "head": encode(Ext(Code.ARRAY, b"\0")),
    "a repeated value": built("series", [None, LONG, 5, {}, True]), "a plain index": built("index", [LONG, None, None]),
    "a list of values": built("series", [None, LONG, [1, 2], {}, True]),
    "a frame of one": built("frame", [Ext(Code.PARTS, encode(["range", [0, 1, 1, None]])), LONG, [1], {}, True]),
    "items": built("objects", [[10**10], [1]]), "no index": built("frame", [5, 5, [], {}, True]),
    "an unknown builder": built("eval", ["1"]), "arrow in a frame": built("arrow", [1]),
    "no arrow": encode(Ext(Code.ARROW, b"")),
    "some arrow": encode(Ext(Code.ARROW, b"\0\0\0")), "text for arrow": encode(Ext(Code.ARROW, b"\0" + b"x" * 99)),
}  # fmt: skip


@pytest.mark.parametrize("name", FORGED)
def test_forged_arrays_are_refused_and_take_no_memory(name: str) -> None:
    tracemalloc.start()
    try:
        refusal(SAFE.loads, FORGED[name], b"")
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
@pytest.mark.parametrize("what", range(7))
def test_compressed_arrow_is_refused_before_it_grows(codec: Any, what: int) -> None:
    for table in (pa.table({"a": np.zeros(10**6)}), pa.table({"a": pa.array(["x" * 10**6]).dictionary_encode()})):
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=codec)) as stream:
            stream.write_table(table)
        data = encode(Ext(Code.ARROW, bytes([what]) + sink.getvalue().to_pybytes()))
        before = pa.total_allocated_bytes()
        assert refusal(SAFE.loads, data, b"") == "the bytes hold no table of Arrow"
        assert pa.total_allocated_bytes() <= before


class Registered(pa.ExtensionType):  # type: ignore[misc]
    """A type whose code would run as soon as a schema names it."""

    made: list[bytes] = []  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__(pa.int64(), "tests.registered")

    def __arrow_ext_serialize__(self) -> bytes:
        return b"x"

    @classmethod
    def __arrow_ext_deserialize__(cls, storage_type: Any, serialized: bytes) -> "Registered":
        cls.made.append(serialized)
        return cls()


def test_a_name_in_arrow_leads_to_no_code() -> None:
    pa.register_extension_type(Registered())
    try:
        table = pa.table({"a": pa.ExtensionArray.from_storage(Registered(), pa.array([1]))})
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, table.schema) as stream:
            stream.write_table(table)
        data = sink.getvalue().to_pybytes()
        refusal(SAFE.loads, encode(Ext(Code.ARROW, b"\0" + data)), b"")
        assert Registered.made == []
        pa.ipc.open_stream(data).read_all()  # the canary sings
        assert Registered.made == [b"x"]
    finally:
        pa.unregister_extension_type("tests.registered")


@pytest.mark.parametrize("seed", range(3))
def test_mutants_are_values_or_refused(seed: int) -> None:
    values = [*ARRAYS, *SCALARS, FRAME, FRAME.set_index(["s", "i"]), FRAME.set_index("tz"), *ARROW]
    blobs = [
        SAFE.dumps(value, b"") for value in [*values, *(each for each in PANDAS if not isinstance(each, pd.DataFrame))]
    ]
    kept = 0
    random.seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for data in mutants(blobs, 3000, seed):
            try:
                SAFE.loads(data, b"")
            except SerializationError:
                continue
            kept += 1
    assert 100 < kept < 2000
