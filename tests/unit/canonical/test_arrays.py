import datetime as dt
import math
import sys
import textwrap
import tracemalloc
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from memocache._canonical import encode
from memocache.errors import UnkeyableArgument
from tests.support.processes import output_of, run_python
from tests.unit.canonical.samples import NAN, NOON, Named, distinct_from_each_other, refused_with, zone_from_file


@pytest.mark.parametrize(
    ("body", "modules"),
    [
        ("__module__ = 'numpy'", ("numpy", "pandas", "polars", "pyarrow")),
        ("__attrs_attrs__, __pydantic_fields__ = (), {}", ("attr", "pydantic")),
    ],
    ids=["arrays", "models"],
)
def test_nothing_is_imported_for_what_only_looks_like_it(body: str, modules: tuple[str, ...]) -> None:
    code = f"""
        import sys
        from memocache._canonical import encode
        class Pretender:
            {body}
        try:
            encode(Pretender())
        except TypeError:
            print("refused", any(name in sys.modules for name in {modules}))
    """
    assert output_of(run_python("-c", textwrap.dedent(code))) == ["refused False"]


def calls_in_encoding(value: Any) -> int:
    """Return how many calls it takes to encode *value* once more."""
    encode(value)
    calls: list[object] = []
    sys.setprofile(lambda frame, event, what: calls.append(what))
    try:
        encode(value)
    finally:
        sys.setprofile(None)
    return len(calls)


def test_arrays_of_different_type_shape_or_content_differ() -> None:
    np = pytest.importorskip("numpy")
    base = np.arange(6)
    distinct_from_each_other(
        [
            *(base, base[::-1], base.reshape(2, 3), base.reshape(3, 2), base.reshape(1, 6), base.tolist()),
            *(base.astype(kind) for kind in ("i4", "u8", ">i8", "f4", "f8", "f2", "c8", "c16", "U1", "S1", "bool")),
            *(base.astype(kind) for kind in ("M8[s]", "M8[ns]", "m8[s]", "O")),
            *(np.array([]), np.array([], "f4"), np.array([[]]), np.zeros((0, 2)), np.array([0.0]), np.array([-0.0])),
            *(np.array(["a b", "c"]), np.array(["a", "b c"]), np.array(["a b", "c"], "U9"), np.array([b"a b", b"c"])),
            *(np.array([1, "a", None], object), np.array([True, "a", None], object), np.array([1, ["a"]], object)),
            *(np.array([NAN]), np.array([1.0]), np.array([math.inf]), np.array([complex(0, NAN)])),
            *(np.array([complex(NAN, 0)]), np.array(["NaT"], "M8[s]"), np.array(["NaT"], "M8[D]")),
            *(np.array(1), np.int64(1), np.int32(1), 1, np.float64(1), 1.0, np.float32(1), np.bool_(True), True),
            *(np.str_("a"), "a", np.bytes_(b"a"), b"a", np.datetime64("2024-01-01"), np.datetime64("2024-01-01", "s")),
            *(np.complex128(1), np.timedelta64(1, "s"), np.timedelta64(1, "m"), np.void(b"abc"), np.void(b"abd")),
            *(np.dtype("i4"), np.dtype(">i4"), np.dtype("f4"), np.int32, np.float32, np.add, np.sum, np.ndarray),
            *(np.zeros(2, [("a", "i4")]), np.zeros(2, [("b", "i4")]), np.zeros(2, [("a", "i8")])),
            *(np.zeros(2, [("a", "i4"), ("b", "i4")]), np.zeros(2, [("b", "i4"), ("a", "i4")])),
            *(np.zeros(2, [("a", "i4", (2,))]), np.zeros(2, [("a", "i4", (1, 2))])),
            np.array([(1, [2])], [("a", "i4"), ("b", "O")]),
            *(np.zeros(2, [((title, "a"), "i4")]) for title in ("first", "second")),
        ]
    )


def test_arrays_of_the_same_content_are_the_same_however_they_lie_in_memory() -> None:
    np = pytest.importorskip("numpy")
    grid = np.arange(6.0).reshape(2, 3)
    big = np.zeros((4, 6))
    big[::2, ::2] = grid
    read_only = grid.copy()
    read_only.flags.writeable = False
    for alike in (grid.copy(), np.asfortranarray(grid), big[::2, ::2], read_only):
        assert encode(alike) == encode(grid)
    assert encode(np.array([1, "a"], object)) == encode(np.array([1, "x", "a", "x"], object)[::2])
    assert encode(np.array([1], np.longlong)) == encode(np.array([1], np.int64))
    negative = np.array([-NAN, 0.0])
    assert negative.tobytes() != np.array([NAN, 0.0]).tobytes()
    for kind in ("f8", "f4", "f2", ">f8", "c16", ">c8"):
        assert encode(negative.astype(kind)) == encode(np.array([NAN, 0.0]).astype(kind))
    assert encode(np.float64(-NAN)) == encode(np.float64(NAN))
    assert encode(np.array([complex(1, -NAN)])) == encode(np.array([complex(1, NAN)]))
    padded = np.dtype([("a", "i1"), ("b", "f8")], align=True)
    rows = [np.frombuffer(filling * 32, padded).copy() for filling in (b"\x00", b"\xff")]
    for row in rows:
        row["a"], row["b"] = 1, 2
    assert rows[0].tobytes() != rows[1].tobytes()
    assert encode(rows[0]) == encode(rows[1])


def test_arrays_that_hold_more_than_their_bytes_are_refused() -> None:
    np = pytest.importorskip("numpy")
    OwnArray = type("OwnArray", (np.ndarray,), {})
    cyclic_array = np.array([None], object)
    cyclic_array[0] = cyclic_array
    plain = r"instance has no stable form: pass a plain array, numpy.asarray\(array\)"
    refused_with(
        [
            (np.ma.array([1], mask=[True]), "a MaskedArray instance has no stable form: pass its .data and its .mask"),
            (np.array([1]).view(np.recarray), f"a recarray {plain}"),
            (np.array([1]).view(np.memmap), f"a memmap {plain}"),
            (np.array([1]).view(OwnArray), "an OwnArray instance has no stable form: give OwnArray a __cache_key__"),
            (np.longdouble(1), "a longdouble instance has no stable form"),
            (np.array([1], "G"), "a ndarray instance has no stable form"),
            ([np.array([1, Named("ann")])], r"a Named instance, at \[0\].items\[1\], has no stable form"),
            (np.random.default_rng(), "a Generator instance has no stable form"),
            (cyclic_array, "a ndarray contains itself"),
        ]
    )
    if hasattr(np.dtypes, "StringDType"):
        refused_with([(np.array(["a"], np.dtypes.StringDType()), "a ndarray instance has no stable form")])


def test_frames_of_different_type_labels_or_content_differ() -> None:
    pd = pytest.importorskip("pandas")
    numbers = pd.Series([1, 2])
    labelled = pd.Series([1, 2])
    labelled.attrs["unit"] = "m"
    stamp = pd.Timestamp(NOON)
    days = pd.date_range("2024-01-01", periods=2)
    pa = pytest.importorskip("pyarrow")
    moments = [pa.array([count], "int64").view("time64[ns]") for count in (1, 2)]
    distinct_from_each_other(
        [
            *(pd.Series(pd.arrays.ArrowExtensionArray(each)) for each in moments),
            *(each.set_flags(allows_duplicate_labels=False) for each in (numbers, numbers.to_frame())),
            *(numbers, labelled, numbers.rename("a"), numbers.rename(1), numbers.to_frame(), numbers.array, [1, 2]),
            *(numbers.astype(kind) for kind in ("i4", "f8", "Int64", "Int32", "str", "string", "category", "object")),
            *(numbers[::-1], numbers.iloc[:1], numbers.set_axis([1, 0]), numbers.set_axis(["a", "b"])),
            *(numbers.set_axis(pd.Index([0, 1])), numbers.set_axis(pd.Index([0.0, 1.0])), numbers.to_numpy()),
            *(pd.Series([1, None]), pd.Series([1, None], dtype="Int64"), pd.Series([1, None], dtype="object")),
            *(pd.Series(["a", None], dtype="object"), pd.Series(["a", NAN], dtype="object")),
            *(pd.Series(["a b", "c"]), pd.Series(["a", "b c"]), pd.Series(days), pd.Series(days, dtype="M8[s]")),
            *(pd.Series(days.tz_localize("UTC")), pd.Series(days.tz_localize("Europe/Paris"))),
            *(
                pd.Series(["a"]).astype(pd.CategoricalDtype(kinds, ordered))
                for kinds in (["a", "b"], ["b", "a"], ["a"])
                for ordered in (True, False)
            ),
            *(pd.Series(pd.arrays.SparseArray([0, 1])), pd.Series(pd.interval_range(0, 2))),
            *(pd.DataFrame({"a": [1], "b": [2]}), pd.DataFrame({"b": [2], "a": [1]})),
            pd.DataFrame({"a": [2], "b": [1]}),
            *(pd.DataFrame({"a": [1.0], "b": [2]}), pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1]}, index=["x"])),
            *(pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame([[2, 1]], columns=["a", "a"]), pd.DataFrame()),
            *(pd.DataFrame({"a": [1]}).rename_axis("i"), pd.DataFrame({"a": [1]}).rename_axis(columns="i")),
            *(pd.Index([1, 2]), pd.Index([1, 2], name="a"), pd.Index(["1", "2"]), pd.RangeIndex(2), pd.RangeIndex(3)),
            *(days, days.tz_localize("UTC"), pd.DatetimeIndex(list(days)), pd.RangeIndex(10**12)),
            *(pd.MultiIndex.from_tuples([(1, "a")]), pd.MultiIndex.from_tuples([(1, "a")], names=["x", "y"])),
            pd.MultiIndex.from_tuples([(1, "a")], names=["y", "x"]),
            *(pd.MultiIndex.from_tuples([(1, "b")]), pd.MultiIndex.from_tuples([(1, "a"), (1, "b")])),
            *(stamp.replace(fold=1), stamp, NOON, stamp.tz_localize("UTC"), stamp.tz_localize("Europe/Paris")),
            stamp + pd.Timedelta(1, "ns"),
            *(pd.Timedelta(1, "ns"), pd.Timedelta(1, "s"), dt.timedelta(seconds=1), pd.NaT, pd.NA, None, NAN),
            *(pd.Period("2024"), pd.Period("2024-01"), pd.Interval(0, 1), pd.Interval(0, 1, closed="both")),
        ]
    )


def test_frames_of_the_same_content_are_the_same() -> None:
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": [1, 2, 3], "b": ["x", None, "z"], "c": [1.0, NAN, 3.0]})
    assert encode(frame) == encode(frame.copy())
    assert encode(frame) == encode(pd.concat([frame[["a", "b"]], frame["c"]], axis=1))  # other blocks
    assert encode(frame[["a"]]) == encode(frame[["a", "b"]][["a"]])
    assert encode(frame["a"]) == encode(frame["a"].copy())
    assert encode(frame.rename(columns=str)) == encode(frame.iloc[:, [2, 0, 1]].iloc[:, [1, 2, 0]])
    masked = pd.Series([1, 2, 3], dtype="Int64")
    assert encode(masked.mask(masked > 1)) == encode(pd.Series([1, None, None], dtype="Int64"))
    sparse = pd.arrays.SparseArray([0, 1, 0])
    assert encode(sparse) == encode(pd.arrays.SparseArray([0, 1, 0], kind="block"))
    times = pd.Series(pd.to_datetime(["2024-01-01", None])).dt.tz_localize("Europe/Paris")
    assert encode(times) == encode(times.dt.tz_convert("UTC").dt.tz_convert("Europe/Paris"))


def test_a_multi_index_is_its_values_however_its_levels_lie() -> None:
    pd = pytest.importorskip("pandas")
    levels = pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])
    assert encode(levels[:1]) == encode(levels[:1].remove_unused_levels())
    assert encode(levels[::-1][::-1]) == encode(levels)
    turned = pd.MultiIndex([[2, 1], ["c", "b", "a"]], [[1, 0], [2, 1]])
    assert turned.equals(levels)
    assert encode(turned) == encode(levels)
    distinct_from_each_other(
        [
            *(levels, levels[::-1], levels[:1], levels[1:], levels[:0]),
            pd.MultiIndex.from_tuples([(1, "a"), (2, "a")]),
            *(pd.MultiIndex.from_arrays([keys, list("aba")]) for keys in ([1, 2, 1], [1, 1, 2], [2, 1, 1], [1, 2, 2])),
            *(pd.MultiIndex.from_arrays([keys, [1, 2, 3]]) for keys in (["a", None, "b"], ["a", "b", None])),
            *(pd.MultiIndex.from_arrays([keys, [1, 2, 3]]) for keys in ([None, "a", "b"], [None, None, "a"])),
            *(pd.MultiIndex.from_arrays([pd.date_range("2024", periods=2, tz=tz), [1, 2]]) for tz in ("UTC", None)),
        ]
    )


def test_large_arrays_and_frames_differ_where_one_element_does() -> None:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    numbers = np.arange(1000)
    columns = {
        "numbers": numbers,
        "floats": numbers / 7,
        "complex": numbers / 7 + 1j,
        "times": pd.date_range("2024", periods=1000),
        "zoned": pd.date_range("2024", periods=1000, tz="Europe/Paris"),
        "texts": [f"a {n}" for n in numbers],
        "text": pd.array([f"a {n}" for n in numbers], "string"),
        "kinds": pd.Categorical(numbers % 7),
        "Int64": pd.array(numbers, "Int64"),
        "Float64": pd.array(numbers, "Float64"),
        "flags": pd.array(numbers % 2 > 0, "boolean"),
        "periods": pd.period_range("2024", periods=1000),
        "intervals": pd.interval_range(0, 1000),
        "sparse": pd.arrays.SparseArray(numbers % 3),
        "objects": np.array([n if n % 2 else str(n) for n in numbers], object),
    }
    frame = pd.DataFrame(columns)
    others = []
    for name in columns:
        other = frame.copy()
        other[name] = other[name].take([*range(998), 999, 998]).set_axis(frame.index)
        others.append(other)
    distinct_from_each_other([frame, *others, frame[list(columns)[::-1]], frame.rename(columns={"kinds": "kind"})])
    assert encode(frame) == encode(frame.copy())
    distinct_from_each_other([frame.set_index(["texts", name]).index for name in columns if name != "texts"])
    nan, other_nan = np.full(100, NAN), np.full(100, -NAN)
    other_nan[::2] = NAN
    for kind in ("f2", "f4", ">f8", "c16"):
        assert encode(nan.astype(kind)) == encode(other_nan.astype(kind))


def test_a_time_zone_in_a_column_counts_by_its_rules_and_not_by_its_name() -> None:
    pd = pytest.importorskip("pandas")
    times = pd.Series(pd.date_range("2024", periods=2))
    distinct_from_each_other([times.dt.tz_localize(tz) for tz in ("Europe/Paris", "UTC", ZoneInfo("UTC"))])
    with pytest.raises(UnkeyableArgument, match=r"at \.data\.tz, has no stable form"):
        encode(times.dt.tz_localize(zone_from_file("Asia/Tokyo", key="Europe/Paris")))


@pytest.mark.parametrize("rows", [100, 100_000])
def test_the_elements_of_columns_are_not_gone_through_one_by_one(rows: int) -> None:
    np, pd = pytest.importorskip("numpy"), pytest.importorskip("pandas")
    times = pd.date_range("2024", periods=rows, tz="Europe/Paris", freq="min")
    frame = pd.DataFrame(
        {"a": np.arange(rows), "b": np.arange(rows) / 7, "time": times, "c": pd.Categorical(times.hour)}
    )
    frame["d"] = pd.array(np.arange(rows), "Int64")
    frame["e"] = times.tz_localize(None).to_period("h")
    frame["f"] = pd.interval_range(0, rows)
    frame.index = pd.MultiIndex.from_arrays([times, np.arange(rows) % 100, times.floor("D")])
    assert calls_in_encoding(frame) < 15_000


def test_frames_that_hold_something_without_a_form_are_refused() -> None:
    pd = pytest.importorskip("pandas")

    class OwnFrame(pd.DataFrame):
        pass

    refused_with(
        [
            (OwnFrame({"a": [1]}), "an OwnFrame instance has no stable form: give OwnFrame a __cache_key__ method"),
            (pd.Series([Named("ann")]), r"a Named instance, at .data.items\[0\], has no stable form: give Named"),
            (pd.DataFrame({"a": [1]}).groupby("a"), "a DataFrameGroupBy instance has no stable form: pass a value"),
            (pd.offsets.Day(1), "a Day instance has no stable form: pass a value that stands for it"),
        ]
    )


def test_a_nan_is_one_whatever_it_carries() -> None:
    np = pytest.importorskip("numpy")
    for kind, bits, odd in (("f8", "u8", 0x7FF0_0000_0000_0001), ("f4", "u4", 0x7F80_0001), ("f2", "u2", 0x7C01)):
        payload = np.array([odd, 0], bits).view(kind)
        assert np.isnan(payload[0])
        assert encode(payload) == encode(np.array([NAN, 0.0], kind))
        assert encode(payload[0]) == encode(np.array([NAN], kind)[0])
        record = np.zeros(2, [("a", kind)])
        record["a"] = [NAN, 0.0]
        assert encode(payload.view([("a", kind)])) == encode(record)
    assert encode(np.array([NAN, "a"], object)) == encode(np.array([-NAN, "a"], object))


def test_polars_data_of_different_type_name_or_content_differ() -> None:
    pl = pytest.importorskip("polars")
    times = pl.Series("a", [NOON, None])
    nano = pl.Datetime("ns")
    distinct_from_each_other(
        [
            *(pl.Series("a", [1, 2]), pl.Series("b", [1, 2]), pl.Series("a", [2, 1]), pl.Series("a", [1]), [1, 2]),
            *(pl.Series("a", [1, 2], dtype=kind) for kind in (pl.Int8, pl.UInt64, pl.Int128, pl.Float32, pl.Float64)),
            *(pl.Series("a", [1, None]), pl.Series("a", [1, 0]), pl.Series("a", [None, 1])),
            pl.Series("a", [None, None]),
            *(pl.Series("a", [1.0, None]), pl.Series("a", [1.0, NAN]), pl.Series("a", [1.0, 0.0]), pl.Series("a", [])),
            *(pl.Series("a", [True, None]), pl.Series("a", [True, False]), pl.Series("a", [-0.0])),
            pl.Series("a", [0.0]),
            *(pl.Series("a", ["a b", "c"]), pl.Series("a", ["a", "b c"]), pl.Series("a", ["a", ""])),
            *(pl.Series("a", ["a", None]), pl.Series("a", [b"a", None]), pl.Series("a", [b"a", b""])),
            *(pl.Series("a", ["a", None], dtype=pl.Categorical), pl.Series("a", ["a"], dtype=pl.Enum(["a", "b"]))),
            *(pl.Series("a", ["a"], dtype=pl.Enum(["b", "a"])), pl.Series("a", ["b"], dtype=pl.Enum(["a", "b"]))),
            *(times, times.dt.cast_time_unit("ns"), times.dt.replace_time_zone("UTC"), times.dt.date()),
            times.dt.time(),
            *(times.dt.replace_time_zone("Europe/Paris"), pl.Series("a", [dt.timedelta(1)])),
            pl.Series("a", [[1], [2]]),
            *(pl.Series("a", [[1, 2], []]), pl.Series("a", [[1, 2], None]), pl.Series("a", [[[1], [2]], []])),
            *(pl.Series("a", [[1, 2]], dtype=pl.Array(pl.Int64, 2)), pl.Series("a", [{"x": 1}])),
            pl.Series("a", [{"y": 1}]),
            *(pl.Series("a", [[number]], dtype=pl.List(pl.Int64)).cast(pl.List(nano)) for number in (1, 2)),
            *(pl.Series("a", [{"x": None}]), pl.Series("a", [None], dtype=pl.Struct({"x": pl.Null}))),
            *(pl.DataFrame({"a": [1, 2]}), pl.DataFrame({"a": [1], "b": [2]}), pl.DataFrame({"b": [2], "a": [1]})),
            *(pl.DataFrame(), pl.DataFrame({"a": []}), pl.Series("a", [1, "a"], dtype=pl.Object)),
            *(pl.Int64, pl.Int32, pl.DataFrame),
        ]
    )


def test_polars_data_of_the_same_content_are_the_same() -> None:
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": [1, None, 3], "b": ["x", None, "zé"], "c": [1.0, NAN, None], "d": [[1], None, []]})
    assert encode(frame) == encode(frame.clone())
    assert encode(frame) == encode(pl.concat([frame[:1], frame[1:]], rechunk=False))
    assert encode(frame[1:]) == encode(pl.DataFrame(frame.to_dict(as_series=False), schema=frame.schema)[1:])
    assert encode(frame["a"]) == encode(pl.Series("a", [1, 2, 3]).set(pl.Series([False, True, False]), None))
    assert encode(pl.Series([NAN])) == encode(pl.Series([-NAN]))
    pl.Series(["q", "r"], dtype=pl.Categorical)  # which takes numbers of categories
    first = pl.Series(["x", "y"], dtype=pl.Categorical)
    assert encode(first) == encode(pl.Series(["y", "x"], dtype=pl.Categorical)[::-1])


def test_polars_data_without_a_form_are_refused() -> None:
    pl = pytest.importorskip("polars")
    refused_with(
        [
            (pl.LazyFrame({"a": [1]}), r"a LazyFrame instance has no stable form: pass its rows, frame\.collect\(\)"),
            (pl.col("a"), "an Expr instance has no stable form: pass a value"),
            (pl.Series([Named("ann")], dtype=pl.Object), r"a Named instance, at \.items\[0\], has no stable form"),
            (pl.Series([["a"]], dtype=pl.List(pl.Categorical)), "a Series instance has no stable form: pass a value"),
            (type("Own", (pl.DataFrame,), {})({"a": [1]}), "an Own instance has no stable form: give Own"),
        ]
    )


LOOKALIKES = ["a: int8, b", "c"], ["a", "b: int8, c"], ["a", "b", "c"]
"""Names of fields of which pyarrow makes one text of a type."""


def test_arrow_data_of_different_type_or_content_differ() -> None:
    pa = pytest.importorskip("pyarrow")
    numbers, texts = pa.array([1, 2]), pa.array(["a", None])
    table = pa.table({"a": [1, 2]})
    distinct_from_each_other(
        [
            *(numbers, pa.array([2, 1]), pa.array([1]), pa.array([1, None]), pa.array([None, 1]), pa.array([1, 0])),
            *(numbers.cast(kind) for kind in ("int8", "uint64", "float", "double", "halffloat", "string", "bool")),
            *(numbers.cast(pa.decimal128(30, 2)), numbers.cast("timestamp[s]"), numbers.cast(pa.timestamp("s", "UTC"))),
            *(numbers.cast("timestamp[ns]"), numbers.cast("duration[s]"), numbers.cast("time64[ns]"), pa.nulls(2)),
            *(numbers.cast("int32").cast("date32[day]"), numbers.cast("date64[ms]"), pa.nulls(3)),
            pa.array([], "int64"),
            *(texts, pa.array(["a", ""]), pa.array(["a b", "c"]), pa.array(["a", "b c"]), pa.array([b"a", None])),
            *(texts.cast("large_string"), texts.cast("string_view"), pa.array([b"ab"], pa.binary(2))),
            pa.array([b"ab"]),
            *(texts.dictionary_encode(), pa.array(["a"]).dictionary_encode()),
            pa.array(["a", "b"]).dictionary_encode()[:1],
            *(pa.array([[1], [2]]), pa.array([[1, 2]]), pa.array([[1, 2], []]), pa.array([[1, 2], None])),
            *(pa.array([[1, 2]], pa.list_(pa.int64(), 2)), pa.array([[1, None]]), pa.array([[[1]], [[2]]])),
            *(pa.array([{"a": 1}]), pa.array([{"a": None}]), pa.array([None], pa.struct({"a": pa.int64()}))),
            *(pa.array([{"b": 1}]), pa.scalar(1), pa.scalar("1"), pa.scalar(None), pa.scalar(1, "int8")),
            *(pa.chunked_array([[1], [2]]), table, table.to_batches()[0], pa.table({"b": [1, 2]}), pa.table({})),
            *(table.replace_schema_metadata({"a": "b"}), pa.table({"a": [1], "b": [2]})),
            pa.table({"b": [2], "a": [1]}),
            *(table.schema, pa.schema([("a", "int64")], {"a": "b"})),
            pa.schema([pa.field("a", "int64", nullable=False)]),
            *(pa.int64(), pa.int8(), pa.list_(pa.int8()), pa.struct({"a": pa.int8()}), pa.Table),
            *(pa.array([{}] * length, pa.struct([])) for length in (1, 2)),
            *(pa.struct(dict.fromkeys(names, "int8")) for names in LOOKALIKES),
            *(pa.array([dict.fromkeys(names, 1)], pa.struct(dict.fromkeys(names, "int8"))) for names in LOOKALIKES),
        ]
    )


def test_arrow_data_of_the_same_content_are_the_same() -> None:
    np, pa = pytest.importorskip("numpy"), pytest.importorskip("pyarrow")
    columns = {
        "numbers": pa.array([1, 2, None, 4]),
        "floats": pa.array([1.0, NAN, None, -0.0]),
        "texts": pa.array(["a", "", None, "é"]),
        "bytes": pa.array([b"a", b"", None, b"x"]),
        "flags": pa.array([True, False, None, True]),
        "lists": pa.array([[1], [], None, [2, None]]),
        "records": pa.array([{"a": 1}, {"a": None}, None, {"a": 2}]),
        "kinds": pa.array(["a", "b", None, "a"]).dictionary_encode(),
        "times": pa.array([1, 2, None, 4], pa.timestamp("ns", "Europe/Paris")),
    }
    table = pa.table(columns)
    assert encode(table) == encode(pa.concat_tables([table[:1], table[1:3], table[3:]]))
    for name, column in columns.items():
        whole = pa.concat_arrays([column, column])
        assert encode(column) == encode(whole[4:]), name
        if name != "kinds":  # there the categories count that are not used
            assert encode(column[2:]) == encode(pa.array(column.to_pylist()[2:], column.type)), name
    garbage = pa.Array.from_buffers(pa.int64(), 2, [pa.py_buffer(b"\x01"), pa.py_buffer(np.array([1, 99]))])
    assert garbage.to_pylist() == [1, None]
    assert encode(garbage) == encode(pa.array([1, None]))
    assert encode(pa.array([-NAN])) == encode(pa.array([NAN]))
    chunks = pa.chunked_array([pa.array([each]).dictionary_encode() for each in "ab"])
    assert encode(chunks) == encode(pa.chunked_array([pa.array(["a", "b"]).dictionary_encode()]))


def test_arrow_data_without_a_form_are_refused() -> None:
    pa = pytest.importorskip("pyarrow")
    mapping = pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int64()))
    refused_with(
        [
            (mapping, "a MapArray instance has no stable form: pass a value that stands for it"),
            (pa.table({"a": mapping}), r"a ChunkedArray instance, at \.columns\[0\], has no stable form"),
        ]
    )


@pytest.mark.parametrize("name", ["polars", "pyarrow"])
def test_the_elements_of_foreign_columns_are_not_gone_through_one_by_one(name: str) -> None:
    pytest.importorskip(name)
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"a": range(20_000), "b": [f"a {n}" for n in range(20_000)], "c": [NOON] * 20_000})
    assert calls_in_encoding(frame if name == "polars" else frame.to_arrow()) < 5_000


@pytest.mark.parametrize("shape", [(2**25,), (2**12, 2**13), (3, 2**23), (2**25, 1), (1, 1, 2**25)], ids=str)
def test_an_array_that_is_one_value_many_times_takes_little_room(shape: tuple[int, ...]) -> None:
    np = pytest.importorskip("numpy")
    wide = np.broadcast_to(np.array(-NAN), shape)
    tracemalloc.start()
    try:
        found = encode(wide)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < wide.nbytes / 3
    assert found == encode(np.full(shape, NAN))


def test_an_array_of_nothing_takes_no_room() -> None:
    pa = pytest.importorskip("pyarrow")
    distinct_from_each_other([pa.nulls(10**10), pa.nulls(10**10 + 1)])
