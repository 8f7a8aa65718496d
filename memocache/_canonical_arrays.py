"""Arrays: the plain values that a value of numpy, pandas, polars or pyarrow consists of. None is imported without need.

Large content is hashed where it lies, as a buffer, so that a key takes no longer than reading the array once.
"""

import importlib
import sys
from collections.abc import Callable, Iterator
from hashlib import sha256
from typing import Any, Final

PLAIN_KINDS: Final = "biufcSUMm"  # of dtypes whose bytes are their content: no pointers, no padding
BLOCK: Final = 2**24  # bytes of an array that are looked at together
MOST_BYTES: Final = 64  # of an array that stand in a key as they are

Parts = dict[str, object]


def parts(value: Any, kind: type, module_name: str) -> Parts | None:
    """Return the parts of *value* by name, or None if its class, *kind* of *module_name*, is unknown here."""
    home = module_name.partition(".")[0]
    if home not in _PARTS or home not in sys.modules:
        return None
    return _PARTS[home](value, kind, sys.modules[home])


# numpy


def _numpy_parts(value: Any, kind: type, np: Any) -> Parts | None:
    if kind is np.ndarray:
        return _array_parts(value, np, most_bytes=MOST_BYTES)
    if issubclass(kind, np.generic):
        return _array_parts(np.asarray(value), np, most_bytes=sys.maxsize)
    if issubclass(kind, np.dtype) and _is_plain(value):
        return {"str": value.str}
    return None


def _is_plain(dtype: Any) -> bool:
    extended = dtype.char in "gG"  # long doubles: their padding is whatever was in memory
    return dtype.type.__module__ == "numpy" and dtype.kind in PLAIN_KINDS and not extended


def _array_parts(array: Any, np: Any, *, most_bytes: int) -> Parts | None:
    dtype = array.dtype
    if dtype.names is not None:
        # Field by field, since there may be padding in between; a field may have a title besides its name.
        return {"shape": array.shape, "fields": [(name, *dtype.fields[name][2:], array[name]) for name in dtype.names]}
    if dtype.type is np.object_:
        return {"shape": array.shape, "items": array.ravel().tolist()}
    if (dtype.kind == "V" and dtype.type is np.void) or _is_plain(dtype):
        head: Parts = {"dtype": dtype.str, "shape": array.shape}
        if array.nbytes <= most_bytes:
            return head | {"bytes": _one_nan(array, np).tobytes()}
        digest = sha256()  # which processors help with
        for block in _blocks(array):
            digest.update(np.ascontiguousarray(_one_nan(block, np)).reshape(-1).view(np.uint8))
        return head | {"digest": digest.digest()}
    return None


def _blocks(array: Any) -> Iterator[Any]:
    """Return *array* in pieces: what is made of one takes little room, though an array may be a row many times over."""
    if array.nbytes <= BLOCK or not array.ndim:
        yield array
    elif array.nbytes > BLOCK * len(array):
        for each in array:
            yield from _blocks(each)
    else:
        rows = BLOCK * len(array) // array.nbytes
        for first in range(0, len(array), rows):
            yield array[first : first + rows]


def _one_nan(array: Any, np: Any) -> Any:
    """Return *array* with every NaN the same: 0.0 / 0.0 has another sign than nan."""
    if array.dtype.kind == "c":
        flat = np.ascontiguousarray(array)
        return _one_nan(flat.view(flat.real.dtype), np)
    if array.dtype.kind == "f":
        missing, nan = np.isnan(array), array.dtype.type("nan")
        bits = array.dtype.str.replace("f", "u")
        usual = array.view(bits) == np.array(nan, array.dtype).view(bits)
        if np.count_nonzero(missing) != np.count_nonzero(usual):
            return np.where(missing, nan, array).astype(array.dtype)
    return array


# pandas


def _pandas_parts(value: Any, kind: type, pd: Any) -> Parts | None:
    if kind is pd.DataFrame:
        data = _columns(value, sys.modules["numpy"])
        return {"columns": value.columns, "index": value.index, "data": data} | _notes(value)
    if kind is pd.Series:
        return {"name": value.name, "index": value.index, "data": _content(value)} | _notes(value)
    if issubclass(kind, pd.Index):
        return _index_parts(value, kind, pd)
    if issubclass(kind, pd.api.extensions.ExtensionArray):
        return _column_parts(value, pd)
    if kind is pd.Timestamp:
        return {"time": value.asm8, "tzinfo": value.tzinfo, "fold": value.fold}
    if kind is pd.Timedelta:
        return {"duration": value.asm8}
    if kind is pd.Period:
        return {"ordinal": value.ordinal, "freq": value.freqstr}
    if kind is pd.Interval:
        return {"left": value.left, "right": value.right, "closed": value.closed}
    if value is pd.NaT or value is pd.NA:
        return {}
    return None


def _notes(value: Any) -> Parts:
    """Return what a frame or a series says of itself."""
    notes: Parts = {"attrs": value.attrs}
    return notes if value.flags.allows_duplicate_labels else notes | {"allows_duplicate_labels": False}


def _columns(frame: Any, np: Any) -> list[object]:
    """Return the columns of a *frame*: those of one numpy dtype together, as they mostly lie in memory."""
    positions: dict[object, list[int]] = {}
    for position, dtype in enumerate(frame.dtypes):
        positions.setdefault(dtype if isinstance(dtype, np.dtype) else position, []).append(position)
    return [
        (np.array(those), _together(frame, those)) if len(those) > 1 else (those[0], _content(frame.iloc[:, those[0]]))
        for those in positions.values()
    ]


def _together(frame: Any, positions: list[int]) -> Any:
    """Return the columns at these *positions*, all of one numpy dtype, as the rows of an array."""
    first, last = positions[0], positions[-1]
    # A slice is a view, while a list of positions is a copy.
    columns = slice(first, last + 1) if last - first + 1 == len(positions) else positions
    return frame.iloc[:, columns].to_numpy().T


def _index_parts(index: Any, kind: type, pd: Any) -> Parts:
    names = list(index.names)
    if kind is pd.RangeIndex:
        return {"names": names, "range": range(index.start, index.stop, index.step)}
    if kind is pd.MultiIndex:
        np = sys.modules["numpy"]
        return {"names": names, "levels": [_level_parts(index, level, np) for level in range(index.nlevels)]}
    return {"names": names, "freq": getattr(index, "freqstr", None), "data": _content(index)}


def _level_parts(index: Any, level: int, np: Any) -> Parts:
    """Return the parts of a *level* of a MultiIndex: its values in the order in which they are met, and where they are.

    How it was made decides which values it has without using them, and in which order.
    """
    codes, values = np.asarray(index.codes[level]), index.levels[level]
    count, size = len(values), len(codes)
    highest = np.maximum.accumulate(codes)
    if size and codes.min() == 0 == codes[0] and highest[-1] == count - 1 and np.diff(highest).max(initial=0) <= 1:
        met = np.arange(count)  # as they usually are, at once
        numbers = codes
    else:
        first = np.full(count + 1, size)  # where each value is met first; at the end, where there is none: code -1
        first[codes[::-1]] = np.arange(size - 1, -1, -1)
        met = np.flatnonzero(first < size)
        met = met[np.argsort(first[met], kind="stable")]
        place = np.zeros(count + 1, np.int64)
        place[met] = np.arange(len(met))
        numbers = place[codes]
    return {
        "codes": numbers.astype(np.min_scalar_type(len(met))),
        "missing": np.flatnonzero(met == count),
        "values": _content(values[met[met < count]]),
    }


def _content(series: Any) -> Any:
    return series.to_numpy() if isinstance(series.dtype, sys.modules["numpy"].dtype) else series.array


def _column_parts(array: Any, pd: Any) -> Parts | None:
    np = sys.modules["numpy"]
    dtype = array.dtype
    if isinstance(dtype, np.dtype):
        return {"data": np.asarray(array)}
    if type(dtype) is pd.CategoricalDtype:
        return {"categories": dtype.categories, "ordered": dtype.ordered, "codes": array.codes}
    if type(dtype).__module__.partition(".")[0] != "pandas":
        return None
    return {"dtype": repr(dtype)} | _extension_parts(array, dtype, np, pd)


def _extension_parts(array: Any, dtype: Any, np: Any, pd: Any) -> Parts:
    """Return the parts of an *array* of one of pandas' own dtypes, whose repr names all else that they are."""
    if isinstance(dtype, pd.DatetimeTZDtype):  # the name of a time zone does not tell where its rules are from
        return {"tz": dtype.tz, "data": np.asarray(array, f"M8[{dtype.unit}]")}
    if isinstance(dtype, pd.PeriodDtype):
        return {"data": array.asi8}
    if isinstance(dtype, pd.IntervalDtype):
        return {"left": array.left, "right": array.right}
    if isinstance(dtype, pd.SparseDtype):
        return {"data": np.asarray(array)}
    if isinstance(array, pd.arrays.IntegerArray | pd.arrays.FloatingArray | pd.arrays.BooleanArray):
        plain = dtype.numpy_dtype
        return {"missing": array.isna(), "data": array.to_numpy(plain, na_value=plain.type(0))}
    if isinstance(dtype, pd.StringDtype):
        return {"missing": array.isna(), "items": array.to_numpy(object, na_value="")}
    if isinstance(dtype, pd.ArrowDtype) and "time64[ns]" in repr(dtype):  # Python has none that are so exact
        return {"data": sys.modules["pyarrow"].chunked_array(array.__arrow_array__())}
    return {"items": np.asarray(array, dtype=object)}


# polars and pyarrow, which can be without numpy; but a key cannot depend on who has it


def _is_numpy_there() -> bool:
    try:
        importlib.import_module("numpy")
    except ImportError:
        return False
    return True


def _polars_parts(value: Any, kind: type, pl: Any) -> Parts | None:
    if kind is pl.DataFrame:
        return {"height": value.height, "columns": value.get_columns()}
    if kind is not pl.Series:
        return None
    content = _series_parts(value, pl)
    return None if content is None else {"name": value.name, "dtype": repr(value.dtype)} | content


def _series_parts(series: Any, pl: Any) -> Parts | None:
    """Return the parts of a *series*, whose dtype's repr names all else that it is, the categories of an Enum too."""
    if not _is_numpy_there():
        return None
    dtype = series.dtype
    if dtype == pl.Null:
        return {"length": len(series)}
    head: Parts = {"missing": series.is_null().to_numpy()} if series.null_count() else {}
    if dtype == pl.Categorical:
        series, dtype = series.cast(pl.String), pl.String
    if dtype == pl.String:
        texts = series.fill_null("")
        return head | {"lengths": texts.str.len_bytes().to_numpy(), "text": texts.str.join("").item()}
    if dtype.is_nested():
        if "Categorical" in repr(dtype):  # the numbers of categories are this process's own
            return None
        return head | {
            "items": series.to_physical().to_list()
        }  # numbers in the place of times, which Python has not all
    numbers = series.to_physical()
    if numbers.dtype == pl.Boolean:
        return head | {"data": numbers.fill_null(False).to_numpy()}
    if numbers.dtype in (pl.Float32, pl.Float64) or (numbers.dtype.is_integer() and "128" not in repr(numbers.dtype)):
        return head | {"data": numbers.fill_null(0).to_numpy()}
    return {"items": series.to_list()}


def _arrow_parts(value: Any, kind: type, pa: Any) -> Parts | None:
    if kind is pa.Table or kind is pa.RecordBatch:
        return {"schema": value.schema, "rows": value.num_rows, "columns": list(value.columns)}
    if kind is pa.Schema:
        fields = [(each.name, each.type, each.nullable, each.metadata) for each in value]
        return {"fields": fields, "metadata": value.metadata}
    if issubclass(kind, pa.DataType):
        return None if issubclass(kind, pa.BaseExtensionType) else _type_parts(value)
    if kind is pa.ChunkedArray:
        value = value.unify_dictionaries().combine_chunks()
    elif issubclass(kind, pa.Scalar) and not issubclass(kind, pa.ExtensionScalar):
        value = pa.array([value], value.type)
    elif not issubclass(kind, pa.Array):
        return None
    content = _arrow_content(value, pa)
    return None if content is None else _type_parts(value.type) | content


def _type_parts(kind: Any) -> Parts:
    """Return the parts of a type: its text, and the names of its fields where they could be taken for more of that."""
    names: list[str] = []
    waiting = [kind]
    for each in waiting:
        fields = [each.field(at) for at in range(each.num_fields)]
        names += [field.name for field in fields]
        waiting += [field.type for field in fields]
    is_clear = all(name.replace(" ", "_").isidentifier() for name in names)
    return {"type": str(kind)} | ({} if is_clear else {"names": names})


def _arrow_content(array: Any, pa: Any) -> Parts | None:
    """Return the parts of an *array*; what lies where a value is missing is no part of it."""
    if not _is_numpy_there():
        return None
    types, compute = pa.types, importlib.import_module("pyarrow.compute")
    kind = array.type
    if types.is_null(kind):  # which takes no room, however long it is
        return {"length": len(array)}
    head: Parts = {"missing": array.is_null().to_numpy(zero_copy_only=False)} if array.null_count else {}
    if types.is_temporal(kind) and kind.bit_width in (32, 64):
        array = array.view(pa.int32() if kind.bit_width == 32 else pa.int64())
        kind = array.type
    if types.is_boolean(kind) or types.is_integer(kind) or types.is_floating(kind):
        empty = False if types.is_boolean(kind) else 0
        return head | {"data": array.fill_null(empty).to_numpy(zero_copy_only=False)}
    if any(str(kind).removeprefix("large_").removesuffix("_view") == each for each in ("string", "binary")):
        array = array.cast(pa.large_binary())
        lengths = compute.binary_length(array).fill_null(0).to_numpy()
        return head | {"lengths": lengths, "bytes": _joined(array)}
    if types.is_dictionary(kind):
        return {"indices": array.indices, "dictionary": array.dictionary}
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        lengths = compute.list_value_length(array).fill_null(0).to_numpy()
        return head | {"lengths": lengths, "values": array.flatten()}
    if types.is_struct(kind):
        return head | {"values": array.flatten()} | ({} if kind.num_fields else {"length": len(array)})
    if types.is_decimal(kind) or types.is_fixed_size_binary(kind):
        return {"items": array.to_pylist()}
    return None


def _joined(array: Any) -> Any:
    """Return the bytes of all texts of an *array*, one after the other."""
    np: Any = sys.modules["numpy"]
    texts = array.fill_null(b"")
    _, offsets, data = texts.buffers()
    if not len(texts) or data is None:
        return np.array([], np.uint8)
    places = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data, np.uint8)[places[0] : places[-1]]


_PARTS: Final[dict[str, Callable[[Any, type, Any], Parts | None]]] = {
    "numpy": _numpy_parts,
    "pandas": _pandas_parts,
    "polars": _polars_parts,
    "pyarrow": _arrow_parts,
}
