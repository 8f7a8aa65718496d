import datetime as dt
import math
import textwrap

import pytest

from memocache._canonical import encode
from memocache.errors import UnkeyableArgument
from tests.unit.canonical.processes import output_of, run_python
from tests.unit.canonical.samples import NAN, NOON, Named, distinct_from_each_other


def test_neither_numpy_nor_pandas_is_imported() -> None:
    code = """
        import sys
        from memocache._canonical import encode
        class Ndarray:
            __module__ = "numpy"
        try:
            encode([Ndarray()])
        except TypeError:
            print("refused", "numpy" in sys.modules or "pandas" in sys.modules)
    """
    assert output_of(run_python("-c", textwrap.dedent(code))) == ["refused False"]


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

    for value, message in [
        (np.ma.array([1], mask=[True]), "a MaskedArray instance has no stable form: pass a value"),
        (np.array([1]).view(np.recarray), "a recarray instance has no stable form"),
        (np.array([1]).view(OwnArray), "an OwnArray instance has no stable form: give OwnArray a __cache_key__"),
        (np.longdouble(1), "a longdouble instance has no stable form"),
        (np.array([1], "G"), "a ndarray instance has no stable form"),
        ([np.array([1, Named("ann")])], r"a Named instance, at \[0\].items\[1\], has no stable form"),
        (np.random.default_rng(), "a Generator instance has no stable form"),
    ]:
        with pytest.raises(UnkeyableArgument, match=message):
            encode(value)
    if hasattr(np.dtypes, "StringDType"):
        with pytest.raises(UnkeyableArgument, match="a ndarray instance has no stable form"):
            encode(np.array(["a"], np.dtypes.StringDType()))
    cyclic_array = np.array([None], object)
    cyclic_array[0] = cyclic_array
    with pytest.raises(UnkeyableArgument, match="a ndarray contains itself"):
        encode(cyclic_array)


def test_frames_of_different_type_labels_or_content_differ() -> None:
    pd = pytest.importorskip("pandas")
    numbers = pd.Series([1, 2])
    labelled = pd.Series([1, 2])
    labelled.attrs["unit"] = "m"
    stamp = pd.Timestamp(NOON)
    days = pd.date_range("2024-01-01", periods=2)
    distinct_from_each_other(
        [
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
            *(
                pd.DataFrame({"a": [1], "b": [2]}),
                pd.DataFrame({"b": [2], "a": [1]}),
                pd.DataFrame({"a": [2], "b": [1]}),
            ),
            *(pd.DataFrame({"a": [1.0], "b": [2]}), pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [1]}, index=["x"])),
            *(pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame([[2, 1]], columns=["a", "a"]), pd.DataFrame()),
            *(pd.DataFrame({"a": [1]}).rename_axis("i"), pd.DataFrame({"a": [1]}).rename_axis(columns="i")),
            *(pd.Index([1, 2]), pd.Index([1, 2], name="a"), pd.Index(["1", "2"]), pd.RangeIndex(2), pd.RangeIndex(3)),
            *(days, days.tz_localize("UTC"), pd.DatetimeIndex(list(days)), pd.RangeIndex(10**12)),
            *(pd.MultiIndex.from_tuples([(1, "a")]), pd.MultiIndex.from_tuples([(1, "a")], names=["x", "y"])),
            pd.MultiIndex.from_tuples([(1, "a")], names=["y", "x"]),
            *(pd.MultiIndex.from_tuples([(1, "b")]), pd.MultiIndex.from_tuples([(1, "a"), (1, "b")])),
            *(
                stamp.replace(fold=1),
                stamp,
                NOON,
                stamp.tz_localize("UTC"),
                stamp.tz_localize("Europe/Paris"),
                stamp + pd.Timedelta(1, "ns"),
            ),
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
    levels = pd.MultiIndex.from_tuples([(1, "a"), (2, "b")])
    assert encode(levels[:1]) == encode(levels[:1].remove_unused_levels())


def test_frames_that_hold_something_without_a_form_are_refused() -> None:
    pd = pytest.importorskip("pandas")

    class OwnFrame(pd.DataFrame):
        pass

    for value, message in [
        (OwnFrame({"a": [1]}), "an OwnFrame instance has no stable form: give OwnFrame a __cache_key__ method"),
        (pd.Series([Named("ann")]), r"a Named instance, at .data.items\[0\], has no stable form: give Named"),
        (pd.DataFrame({"a": [1]}).groupby("a"), "a DataFrameGroupBy instance has no stable form: pass a value"),
        (pd.offsets.Day(1), "a Day instance has no stable form: pass a value that stands for it"),
    ]:
        with pytest.raises(UnkeyableArgument, match=message):
            encode(value)
