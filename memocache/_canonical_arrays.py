"""Arrays: the plain values that a value of numpy or pandas consists of. Neither is imported here."""

import sys
from typing import Any

__all__ = ["parts"]

PLAIN_KINDS = "biufcSUMm"  # of dtypes whose bytes are their content: no pointers, no padding


def parts(value: Any, kind: type, module_name: str) -> dict[str, object] | None:
    """Return the parts of *value* by name, or None if its class, *kind* of *module_name*, is unknown here."""
    home = module_name.partition(".")[0]
    if home not in ("numpy", "pandas") or home not in sys.modules:
        return None
    module: Any = sys.modules[home]
    return _numpy_parts(value, kind, module) if home == "numpy" else _pandas_parts(value, kind, module)


def _numpy_parts(value: Any, kind: type, np: Any) -> dict[str, object] | None:
    if kind is np.ndarray or issubclass(kind, np.generic):
        return _array_parts(np.asarray(value), np)
    if issubclass(kind, np.dtype) and _is_plain(value):
        return {"str": value.str}
    return None


def _is_plain(dtype: Any) -> bool:
    extended = dtype.char in "gG"  # long doubles: their padding is whatever was in memory
    return dtype.type.__module__ == "numpy" and dtype.kind in PLAIN_KINDS and not extended


def _array_parts(array: Any, np: Any) -> dict[str, object] | None:
    dtype = array.dtype
    if dtype.names is not None:
        # Field by field, since there may be padding in between.
        return {"shape": array.shape, "fields": [(name, array[name]) for name in dtype.names]}
    if dtype.type is np.object_:
        return {"shape": array.shape, "items": array.ravel().tolist()}
    if (dtype.kind == "V" and dtype.type is np.void) or _is_plain(dtype):
        return {"dtype": dtype.str, "shape": array.shape, "bytes": _one_nan(array, np).tobytes()}
    return None


def _one_nan(array: Any, np: Any) -> Any:
    """Return *array* with every NaN the same: 0.0 / 0.0 has another sign than nan."""
    if array.dtype.kind == "c":
        flat = np.ascontiguousarray(array)
        return _one_nan(flat.view(flat.real.dtype), np)
    if array.dtype.kind == "f":
        missing = np.isnan(array)
        if missing.any():
            return np.where(missing, array.dtype.type("nan"), array).astype(array.dtype)
    return array


def _pandas_parts(value: Any, kind: type, pd: Any) -> dict[str, object] | None:
    if kind is pd.DataFrame:
        columns = [_content(value.iloc[:, position]) for position in range(value.shape[1])]
        return {"columns": value.columns, "index": value.index, "data": columns, "attrs": value.attrs}
    if kind is pd.Series:
        return {"name": value.name, "index": value.index, "data": _content(value), "attrs": value.attrs}
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


def _index_parts(index: Any, kind: type, pd: Any) -> dict[str, object]:
    names = list(index.names)
    if kind is pd.RangeIndex:
        return {"names": names, "range": range(index.start, index.stop, index.step)}
    if kind is pd.MultiIndex:
        return {"names": names, "levels": [index.get_level_values(level) for level in range(index.nlevels)]}
    return {"names": names, "freq": getattr(index, "freqstr", None), "data": _content(index)}


def _content(series: Any) -> Any:
    return series.to_numpy() if isinstance(series.dtype, sys.modules["numpy"].dtype) else series.array


def _column_parts(array: Any, pd: Any) -> dict[str, object] | None:
    np = sys.modules["numpy"]
    dtype = array.dtype
    if isinstance(dtype, np.dtype):
        return {"data": np.asarray(array)}
    if type(dtype) is pd.CategoricalDtype:
        return {"categories": dtype.categories, "ordered": dtype.ordered, "codes": array.codes}
    if type(dtype).__module__.partition(".")[0] != "pandas":
        return None
    # The repr of pandas' own dtypes names all that they are, the storage of strings, too.
    return {"dtype": repr(dtype), "items": np.asarray(array, dtype=object)}
