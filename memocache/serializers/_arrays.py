"""Arrays: the values of numpy and pandas, as bytes and back. Loaded when a value is of theirs, or bytes are.

An array is its dtype, its shape and its memory; what pandas has is divided into arrays and plain values, and made of
them again by pandas' own constructors. No length in bytes is believed: memory is taken for what is there.
"""

import math
import re
import struct
import sys
from collections.abc import Callable
from typing import Any, Final

from msgspec.msgpack import Decoder, Encoder, Ext

from memocache.errors import SerializationError
from memocache.serializers._extensions import Code
from memocache.serializers.base import NoByteForm

Parts = tuple[str, object]
"""The name of a function here, and what it builds a value of: plain values, arrays and values of pandas."""

_KINDS: Final = "biufcSUMmV"  # of dtypes whose bytes are their content
_DTYPE: Final = re.compile(r"[<>|][biufcSUMmV][0-9]{1,10}(\[[0-9]*[A-Za-z]{1,7}\])?")
_C_ORDER, _FORTRAN, _SCALAR = range(3)
_HIGHEST: Final = sys.maxunicode
_SIZE: Final = struct.Struct(">I")
_encode = Encoder().encode
_decode_head = Decoder(tuple[Any, list[int], int]).decode


def library(name: str) -> Any:
    """Return the module of that *name*, which is one of four; SerializationError if it is not installed."""
    try:
        return _IMPORTS[name]()
    except ImportError:
        raise SerializationError(f"the value is one of {name}'s, which is not installed here") from None


# One function for each: no module is imported by name where bytes are read, lest the name be one in the bytes.


def _numpy_module() -> Any:
    import numpy

    return numpy


def _pandas_module() -> Any:
    import pandas  # type: ignore[import-untyped]

    return pandas


def _pyarrow_module() -> Any:
    import pyarrow  # type: ignore[import-untyped]

    return pyarrow


def _polars_module() -> Any:
    import polars

    return polars


_IMPORTS: Final = {
    "numpy": _numpy_module,
    "pandas": _pandas_module,
    "pyarrow": _pyarrow_module,
    "polars": _polars_module,
}


def parts(value: Any, kind: type) -> Ext | Parts | None:
    """Return the form of *value*, or the parts that are to be written; None if its class is unknown here.

    Raises:
        NoByteForm: it has none.
    """
    if kind.__module__.partition(".")[0] == "pandas":
        return _pandas_parts(value, kind, library("pandas"))
    np = library("numpy")
    if kind is np.ndarray:
        if value.dtype.type is np.object_:
            name, array = ("objects.T", value.T) if _is_fortran(value) else ("objects", value)
            return name, [list(array.shape), array.ravel().tolist()]
        return _array_form(value, np)
    if issubclass(kind, np.ndarray):
        raise NoByteForm(kind, "is an array of a class of its own", "return numpy.asarray(value), a mask beside it")
    if issubclass(kind, np.generic):
        array = np.asarray(value)
        if array.dtype.kind in "SU" and array[()] != value:
            raise NoByteForm(kind, "ends with a NUL, which numpy drops", "return a plain str or bytes")
        return _array_form(array, np, _SCALAR)
    return None


# ---- numpy -----------------------------------------------------------------------------------------------------------


def _array_form(array: Any, np: Any, order: int = _C_ORDER) -> Ext:
    dtype = array.dtype
    form = _dtype_form(dtype, np)
    if form is None:
        raise NoByteForm(
            type(array), f"has dtype {str(dtype)[:50]}, which has no form as bytes", "use astype() with a plain dtype"
        )
    shape = list(array.shape)
    if order == _C_ORDER and _is_fortran(array):
        order, array = _FORTRAN, array.T
    if dtype.names is not None:  # what lies between the fields is whatever was in memory
        whole = np.zeros(array.shape, dtype)
        for name in dtype.names:
            whole[name] = array[name]
        array = whole
    head = _encode([form, shape, order])
    content = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return Ext(Code.ARRAY, b"".join((_SIZE.pack(len(head)), head, content.data)))


def _is_fortran(array: Any) -> bool:
    return array.flags.f_contiguous and not array.flags.c_contiguous


def _dtype_form(dtype: Any, np: Any) -> object:
    """Return the form of *dtype* in bytes; None if that does not say how to read an array's memory everywhere."""
    if dtype.subdtype is not None:
        inner = _dtype_form(dtype.subdtype[0], np)
        return None if inner is None else [inner, list(dtype.subdtype[1])]
    if dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        formats = [_dtype_form(field[0], np) for field in fields]
        if None in formats or not dtype.itemsize or any(len(field) > 2 for field in fields):
            return None
        form = {"names": list(dtype.names), "formats": formats, "offsets": [field[1] for field in fields]}
        return form | {"itemsize": dtype.itemsize, "aligned": dtype.isalignedstruct}
    is_plain = dtype.type.__module__ == "numpy" and dtype.kind in _KINDS and dtype.char not in "gG" and dtype.itemsize
    return dtype.str if is_plain and _DTYPE.fullmatch(dtype.str) else None


def _dtype_of(form: object, np: Any) -> Any:
    if isinstance(form, str):
        if not _DTYPE.fullmatch(form):
            raise SerializationError("the bytes hold an array of an impossible dtype")
        return np.dtype(form)
    if isinstance(form, list):
        inner, shape = form
        return np.dtype((_dtype_of(inner, np), tuple(shape)))
    if not isinstance(form, dict):
        raise SerializationError("the bytes hold an array of an impossible dtype")
    return np.dtype(form | {"formats": [_dtype_of(each, np) for each in form["formats"]]})


def read_array(data: memoryview) -> Any:
    """Return the array, or the scalar, in *data*: one of its own memory, which the caller may write to."""
    np = library("numpy")
    (size,) = _SIZE.unpack_from(data)
    form, shape, order = _decode_head(data[_SIZE.size : _SIZE.size + size])
    content = data[_SIZE.size + size :]
    dtype = _dtype_of(form, np)
    if min(shape, default=0) < 0 or not dtype.itemsize or math.prod(shape) * dtype.itemsize != len(content):
        raise SerializationError("the bytes hold an array of another size than they say")
    array = np.empty(shape[::-1] if order == _FORTRAN else shape, dtype)
    if content:
        array.reshape(-1).view(np.uint8)[:] = np.frombuffer(content, np.uint8)
        _check_content(array, np)
    return array.T if order == _FORTRAN else array[()] if order == _SCALAR else array


def _check_content(array: Any, np: Any) -> None:
    """Raise SerializationError if there is memory in *array* that stands for no value."""
    dtype = array.dtype
    if dtype.names is not None:
        for name in dtype.names:
            _check_content(np.ascontiguousarray(array[name]), np)
    elif (dtype.kind == "b" and array.reshape(-1).view(np.uint8).max(initial=0) > 1) or (
        dtype.kind == "U" and array.reshape(-1).view(dtype.str[0] + "u4").max(initial=0) > _HIGHEST
    ):
        raise SerializationError("the bytes hold an array with values that there are not")


def _objects(np: Any, content: Any) -> Any:
    shape, items = content
    if type(items) is not list or math.prod(shape) != len(items):
        raise SerializationError("the bytes hold an array of another size than they say")
    array = np.empty(len(items), object)
    for at, item in enumerate(items):
        array[at] = item
    return array.reshape(shape)


# ---- pandas ----------------------------------------------------------------------------------------------------------


def _pandas_parts(value: Any, kind: type, pd: Any) -> Parts | None:
    if kind is pd.DataFrame:
        columns = [_values(value.iloc[:, at]) for at in range(value.shape[1])]
        return "frame", [value.columns, value.index, columns, dict(value.attrs), _allows_duplicates(value)]
    if kind is pd.Series:
        return "series", [value.name, value.index, _values(value), dict(value.attrs), _allows_duplicates(value)]
    if kind is pd.RangeIndex:
        return "range", [value.start, value.stop, value.step, value.name]
    if kind is pd.MultiIndex:
        return "levels", [list(value.levels), [_numpy(codes) for codes in value.codes], list(value.names)]
    if kind in (pd.Index, pd.DatetimeIndex, pd.TimedeltaIndex, pd.PeriodIndex, pd.IntervalIndex, pd.CategoricalIndex):
        return "index", [_values(value), value.name, _frequency(value, kind, pd)]
    if kind is pd.Timestamp:
        return "timestamp", [value.asm8, value.tzinfo, value.fold]
    if kind is pd.Timedelta:
        return "timedelta", value.asm8
    if value is pd.NaT:
        return "nat", None
    if value is pd.NA:
        return "na", None
    if kind is pd.Period:
        return "period", [value.ordinal, value.freqstr]
    if kind is pd.Interval:
        return "interval", [value.left, value.right, value.closed]
    if issubclass(kind, pd.api.extensions.ExtensionArray):
        return _column_parts(value, kind, pd)
    return None


def _allows_duplicates(value: Any) -> bool:
    return bool(value.flags.allows_duplicate_labels)


def _numpy(values: Any) -> Any:
    return library("numpy").asarray(values)


def _values(column: Any) -> Any:
    """Return the values of a series or index: an array of numpy if its dtype is numpy's, else one of pandas'."""
    return column.to_numpy() if isinstance(column.dtype, library("numpy").dtype) else column.array


def _frequency(index: Any, kind: type, pd: Any) -> str | None:
    if kind not in (pd.DatetimeIndex, pd.TimedeltaIndex) or index.freq is None:
        return None
    text: str = index.freqstr
    if pd.tseries.frequencies.to_offset(text) != index.freq:
        raise NoByteForm(kind, "has a frequency that its name does not tell", "set index.freq = None")
    return text


def _column_parts(value: Any, kind: type, pd: Any) -> Parts:
    dtype, arrays = value.dtype, pd.arrays
    if kind is pd.Categorical:
        return "categorical", [_numpy(value.codes), value.categories, bool(value.ordered)]
    if kind is arrays.DatetimeArray and value.tz is not None:
        return "moments", [value.tz_convert("UTC").tz_localize(None).to_numpy(), value.tz]
    if kind in (arrays.IntegerArray, arrays.FloatingArray, arrays.BooleanArray):
        return "masked", [value._data, value._mask]
    if isinstance(dtype, pd.StringDtype):
        texts = value.to_numpy(dtype=object, na_value=None).tolist()
        return "strings", [texts, dtype.storage, dtype.na_value is not pd.NA]
    if kind is arrays.PeriodArray:
        return "periods", [value.view("i8"), value.freqstr]
    if kind is arrays.IntervalArray:
        return "intervals", [value.left, value.right, value.closed]
    if kind is arrays.ArrowExtensionArray:
        return "arrow", library("pyarrow").chunked_array(value.__arrow_array__())
    if isinstance(dtype, library("numpy").dtype) or kind is arrays.NumpyExtensionArray:
        return "plain", value.to_numpy()
    raise NoByteForm(kind, "has no form as bytes", "use astype() with a plain dtype, such as object")


def _frame(pd: Any, content: Any) -> Any:
    columns, index, values, attrs, allows_duplicates = content
    held = {at: _checked(pd, each, index) for at, each in enumerate(values)}
    for at, each in held.items():
        if each.dtype == object:  # else pandas would look what it is that these are
            held[at] = pd.Series(each, index=index, dtype=object, copy=False)
    made = pd.DataFrame(held, index=_index_checked(pd, index), copy=False)
    made.columns = _index_checked(pd, columns)
    return _finished(made, attrs, allows_duplicates)


def _series(pd: Any, content: Any) -> Any:
    name, index, values, attrs, allows_duplicates = content
    made = pd.Series(_checked(pd, values, index), index=index, copy=False, dtype=values.dtype)
    made.name = name
    return _finished(made, attrs, allows_duplicates)


def _finished(made: Any, attrs: Any, allows_duplicates: object) -> Any:
    made.attrs.update(attrs)
    return made if allows_duplicates else made.set_flags(allows_duplicate_labels=False)


def _checked(pd: Any, values: Any, index: Any) -> Any:
    # One value would be repeated as often as the index says.
    is_column = isinstance(values, pd.api.extensions.ExtensionArray | library("numpy").ndarray)
    if not is_column or values.ndim != 1 or len(values) != len(_index_checked(pd, index)):
        raise SerializationError("the bytes hold a frame whose parts do not fit")
    return values


def _index_checked(pd: Any, index: Any) -> Any:
    if not isinstance(index, pd.Index):
        raise SerializationError("the bytes hold a frame whose parts do not fit")
    return index


def _index(pd: Any, content: Any) -> Any:
    values, name, frequency = content
    made = pd.Index(_checked(pd, values, pd.RangeIndex(len(values))), name=name, dtype=values.dtype)
    return made if frequency is None else type(made)(made, freq=frequency)


def _timestamp(pd: Any, content: Any) -> Any:
    moment, zone, fold = content
    made = pd.Timestamp(moment)
    return made.replace(fold=fold) if zone is None else made.tz_localize("UTC").tz_convert(zone)


def _moments(pd: Any, content: Any) -> Any:
    values, zone = content
    return pd.DatetimeIndex(values).tz_localize("UTC").tz_convert(zone).array


def _masked(pd: Any, content: Any) -> Any:
    values, mask = content
    kinds = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}
    return kinds.get(values.dtype.kind, pd.arrays.IntegerArray)(values, mask)


def _strings(pd: Any, content: Any) -> Any:
    texts, storage, has_nan = content
    dtype = pd.StringDtype(storage, na_value=math.nan) if has_nan else pd.StringDtype(storage)
    return pd.array([pd.NA if text is None else text for text in texts], dtype=dtype)


def _categorical(pd: Any, content: Any) -> Any:
    codes, categories, ordered = content
    return pd.Categorical.from_codes(codes, categories=categories, ordered=ordered)


def _levels(pd: Any, content: Any) -> Any:
    levels, codes, names = content
    return pd.MultiIndex(levels=[_index_checked(pd, level) for level in levels], codes=codes, names=names)


def _arrow(pd: Any, content: Any) -> Any:
    if type(content) is not library("pyarrow").ChunkedArray:
        raise SerializationError("the bytes hold a frame whose parts do not fit")
    return pd.arrays.ArrowExtensionArray(content)


_BUILDERS: Final[dict[str, Callable[[Any, Any], object]]] = {
    "frame": _frame,
    "series": _series,
    "range": lambda pd, content: pd.RangeIndex(*content[:3], name=content[3]),
    "levels": _levels,
    "index": _index,
    "timestamp": _timestamp,
    "timedelta": lambda pd, content: pd.Timedelta(content),
    "nat": lambda pd, content: pd.NaT,
    "na": lambda pd, content: pd.NA,
    "period": lambda pd, content: pd.Period(ordinal=content[0], freq=content[1]),
    "interval": lambda pd, content: pd.Interval(*content),
    "categorical": _categorical,
    "moments": _moments,
    "masked": _masked,
    "strings": _strings,
    "periods": lambda pd, content: pd.PeriodIndex.from_ordinals(content[0], freq=content[1]).array,
    "intervals": lambda pd, content: pd.arrays.IntervalArray.from_arrays(*content),
    "arrow": _arrow,
    "plain": lambda pd, content: pd.Series(content, dtype=content.dtype).array,
}


def build(name: str, content: object) -> object:
    """Return the value that `parts` has divided into *content*."""
    if name == "objects":
        return _objects(library("numpy"), content)
    if name == "objects.T":
        return _objects(library("numpy"), content).T
    builder = _BUILDERS.get(name)
    if builder is None:
        raise SerializationError("the bytes hold a mark that means nothing here")
    return builder(library("pandas"), content)
