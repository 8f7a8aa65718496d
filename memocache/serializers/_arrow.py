"""Arrow: the values of pyarrow and polars, as a stream of Arrow's IPC and back. Loaded when a value is of theirs.

What is read is neither compressed nor of an extension type, which would run code of its own; the rest is verified whole
before anybody has it. polars' own reader is not used: it decompresses what it is given.
"""

import struct
from typing import Any, Final

from msgspec.msgpack import Ext

from memocache.errors import SerializationError
from memocache.serializers._arrays import library
from memocache.serializers._extensions import Code
from memocache.serializers.base import NoByteForm

_TABLE, _BATCH, _CHUNKED, _ARRAY, _FRAME, _SERIES = range(6)
_EXTENSION: Final = b"ARROW:extension"
_MOST_ROWS: Final = 8  # in a byte: of bits; only nulls, which take no room, could be more
_BROKEN: Final = "the bytes hold no table of Arrow"
_DICTIONARY_BATCH, _RECORD_BATCH = 2, 3
_HEADER_TYPE, _HEADER = 1, 2  # fields of a message, see Arrow's Message.fbs
_DATA: Final = 1  # of a dictionary batch
_COMPRESSION: Final = 3  # of a record batch


def parts(value: Any, kind: type) -> Ext | None:
    """Return the form of *value*; None if its class is unknown here. Raises NoByteForm if it has none."""
    try:
        pa = library("pyarrow")
    except SerializationError:
        raise NoByteForm(
            kind, "is written by pyarrow, which is not installed", "install it, or return plain data"
        ) from None
    if kind.__module__.partition(".")[0] == "polars":
        what, table = _of_polars(value, kind)
        if table is None:
            return None
    elif kind is pa.Table:
        what, table = _TABLE, value
    elif kind is pa.RecordBatch:
        what, table = _BATCH, pa.Table.from_batches([value])
    elif kind is pa.ChunkedArray:
        what, table = _CHUNKED, pa.table([value], [""])
    elif issubclass(kind, pa.Array):
        what, table = _ARRAY, pa.table([value], [""])
    else:
        return None
    schema = table.schema
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as stream:
        stream.write_table(table)
    data = sink.getvalue()
    if _EXTENSION in schema.serialize().to_pybytes():
        raise NoByteForm(
            kind, "holds a type that is an extension of Arrow's", "cast it to the type that it is stored as"
        )
    if table.num_rows > _MOST_ROWS * len(data):
        raise NoByteForm(kind, "holds nothing but nulls", "return how many they are")
    return Ext(Code.ARROW, b"".join((bytes((what,)), data)))


def _of_polars(value: Any, kind: type) -> tuple[int, Any]:
    pl = library("polars")
    if kind is pl.LazyFrame:
        raise NoByteForm(kind, "has not been computed", "return frame.collect()")
    if kind not in (pl.DataFrame, pl.Series):
        return 0, None
    frame = value if kind is pl.DataFrame else value.to_frame()
    try:
        # polars gives a column without a name one.
        table = frame.rename(lambda name: "_" + name).to_arrow()
        is_kept = _frame_of(pl, table).schema == frame.schema
    except Exception:  # noqa: BLE001 - whatever a type without a form in Arrow makes it raise
        is_kept = False
    if not is_kept:
        raise NoByteForm(kind, "has a column of a type that Arrow does not keep", "cast it to another")
    return (_FRAME if kind is pl.DataFrame else _SERIES), table


def read(data: memoryview) -> object:
    """Return the value in *data*."""
    pa = library("pyarrow")
    what, stream = data[0], pa.py_buffer(bytes(data[1:]))  # which lies at a multiple of eight, as Arrow wants it
    _check_messages(pa, stream)
    table = pa.ipc.open_stream(stream).read_all()
    table.validate(full=True)
    if table.num_rows > _MOST_ROWS * len(stream):
        raise SerializationError(_BROKEN)
    if what in (_FRAME, _SERIES):
        return _polars(table, what)
    if what == _TABLE:
        return table
    if what == _BATCH:
        return _only(table.combine_chunks().to_batches()) if table.num_rows else _empty(pa, table)
    if what == _CHUNKED:
        return table.column(0)
    if what == _ARRAY:
        return table.column(0).combine_chunks() if table.column(0).num_chunks != 1 else table.column(0).chunk(0)
    raise SerializationError("the bytes hold a mark that means nothing here")


def _only(batches: list[Any]) -> Any:
    (batch,) = batches
    return batch


def _empty(pa: Any, table: Any) -> Any:
    return pa.RecordBatch.from_arrays([pa.array([], field.type) for field in table.schema], schema=table.schema)


def _polars(table: Any, what: int) -> object:
    pl = library("polars")
    try:
        frame = _frame_of(pl, table)
        return frame if what == _FRAME else frame.to_series()
    except BaseException as error:
        if type(error).__name__ != "PanicException":  # which is no Exception
            raise
    raise SerializationError(_BROKEN)


def _frame_of(pl: Any, table: Any) -> Any:
    return pl.from_arrow(table).rename(lambda name: name[1:])


def _check_messages(pa: Any, stream: Any) -> None:
    """Raise SerializationError if a message in the *stream* is compressed, or names an extension type."""
    reader = pa.ipc.MessageReader.open_stream(stream)
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        head = message.metadata.to_pybytes()
        if _EXTENSION in head or _is_compressed(head):
            raise SerializationError(_BROKEN)


def _is_compressed(head: bytes) -> bool:
    """Return whether a message is of a batch in a form that grows when it is read.

    Its head is a table of FlatBuffers: the place of the offsets of its fields, which are where these are.
    """
    (message,) = struct.unpack_from("<I", head)
    kind_at, header_at = _field(head, message, _HEADER_TYPE), _field(head, message, _HEADER)
    kind = head[kind_at] if kind_at else 0
    if kind not in (_DICTIONARY_BATCH, _RECORD_BATCH):
        return False
    batch = _follow(head, header_at)
    if kind == _DICTIONARY_BATCH:
        batch = _follow(head, _field(head, batch, _DATA))
    return bool(_field(head, batch, _COMPRESSION))


def _field(head: bytes, table: int, number: int) -> int:
    """Return the position of a field of the *table* at a position; 0 if it has none."""
    (back,) = struct.unpack_from("<i", head, table)
    (size,) = struct.unpack_from("<H", head, table - back)
    at = 4 + 2 * number
    (offset,) = struct.unpack_from("<H", head, table - back + at) if at < size else (0,)
    return table + offset if offset else 0


def _follow(head: bytes, at: int) -> int:
    (offset,) = struct.unpack_from("<I", head, at)
    return int(at + offset)
