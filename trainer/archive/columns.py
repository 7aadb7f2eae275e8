"""Records as the columns of Parquet files, and back. Pure: chunks in, tables out.

Rules of this file
1. Bytes go in and come out as they were, null and empty told apart.
2. The rows of a table are in the order of their offsets.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numba
import numpy as np
import pyarrow as pa

from stream.columns import Bytes, Int64s, RecordChunk, Spans
from stream.compiled.borrow import borrow
from stream.compiled.bytecopy import copy_bytes
from trainer.archive.layout import FIRST_DAY, LAST_DAY, day_name

SCHEMA = pa.schema(
    [
        pa.field("offset", pa.int64(), nullable=False),
        pa.field("timestamp_ms", pa.int64(), nullable=False),
        pa.field("key", pa.large_binary()),
        pa.field("value", pa.large_binary()),
        pa.field("headers", pa.large_binary()),
    ]
)
"""Headers as on the wire (`stream.kafka.headers`), null for a record without any."""
_DAY_MS = 86_400_000

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@dataclass(frozen=True, slots=True)
class Group:
    """The records of one day and bucket.

    Attributes:
        day: UTC day of the record timestamps, YYYY-MM-DD.
        bucket: Bucket of the customers.
        table: The records, with the columns of `SCHEMA`.
    """

    day: str
    bucket: int
    table: pa.Table


@dataclass(frozen=True, slots=True)
class Records:
    """n records in the order of their offsets, as in `RecordChunk`."""

    offset: Int64s
    timestamp_ms: Int64s
    key: Spans
    value: Spans
    headers: Spans | None


def group(chunks: Sequence[RecordChunk], buckets: int) -> list[Group]:
    """Consecutive chunks of one partition by day and bucket, in this order.

    Args:
        chunks: At least one record in all.
        buckets: Number of buckets.
    """
    offset = np.concatenate([chunk.offset for chunk in chunks])
    timestamp_ms = np.concatenate([chunk.timestamp_ms for chunk in chunks])
    keys, values = [chunk.key for chunk in chunks], [chunk.value for chunk in chunks]
    bucket = np.concatenate([buckets_of(key, buckets) for key in keys])
    day = np.clip(timestamp_ms // _DAY_MS, FIRST_DAY, LAST_DAY)
    code = day * buckets + bucket
    order = np.argsort(code, kind="stable")
    table = pa.table(
        [
            offset[order],
            timestamp_ms[order],
            _array(gather(keys, order)),
            _array(gather(values, order)),
            _headers(chunks, order),
        ],
        schema=SCHEMA,
    )
    firsts = np.flatnonzero(np.diff(code[order], prepend=code[order[0]] - 1))
    return [
        Group(
            day_name(int(day[order[first]])),
            int(bucket[order[first]]),
            table.slice(first, last - first),
        )
        for first, last in zip(firsts, [*firsts[1:], len(order)], strict=True)
    ]


def _headers(chunks: Sequence[RecordChunk], order: Int64s) -> pa.LargeBinaryArray:
    """The headers of all records in another order."""
    if all(chunk.headers is None for chunk in chunks):
        return pa.nulls(len(order), pa.large_binary())
    pieces = []
    for chunk in chunks:
        found = chunk.headers or _no_headers(len(chunk))
        pieces.append(Spans(found.data, found.start, np.where(found.size > 0, found.size, -1)))
    return _array(gather(pieces, order))


def _no_headers(records: int) -> Spans:
    none = np.full(records, -1, np.int64)
    return Spans(np.empty(0, np.uint8), np.zeros(records, np.int64), none)


def buckets_of(keys: Spans, buckets: int) -> Int64s:
    """`layout.bucket_of` for n keys at once. Shape (n,), int64."""
    out = np.empty(len(keys), np.int64)
    _hash_keys(keys.data, keys.start, keys.size, buckets, out)
    return out


def merge(tables: Sequence[pa.Table], records_max: int) -> Iterator[Records]:
    """The rows of several tables as one run of records, in the order of their offsets.

    The bytes of each piece are copied into a buffer of its own: they lie in the order in which they
    are read, and whoever keeps a few records does not keep all tables.

    Args:
        tables: Tables with the columns of `SCHEMA`, each in the order of its offsets; no offset is in
            two of them.
        records_max: Most records in one piece.
    """
    if not tables:
        return
    offsets = [table["offset"].to_numpy() for table in tables]
    offset = np.concatenate(offsets)
    timestamp_ms = np.concatenate([table["timestamp_ms"].to_numpy() for table in tables])
    columns = [[spans_of(table[name]) for table in tables] for name in ("key", "value")]
    if any(table["headers"].null_count < len(table) for table in tables):
        columns.append([spans_of(table["headers"]) for table in tables])
    table_of = np.repeat(np.arange(len(tables)), [len(part) for part in offsets])
    base = np.cumsum([0, *map(len, offsets)])
    merged = np.argsort(offset, kind="stable")
    for low in range(0, len(merged), records_max):
        rows = merged[low : low + records_max]
        # Sorted by table, the rows of each are a run, since every table is in the order of offsets.
        order = np.argsort(rows)
        runs = [
            (table, slice(run[0] - base[table], run[-1] + 1 - base[table]))
            for table, run in _runs(table_of[rows[order]], rows[order])
        ]
        back = np.argsort(order)
        key, value, *rest = (
            gather([column[table].take(run) for table, run in runs], back) for column in columns
        )
        yield Records(offset[rows], timestamp_ms[rows], key, value, rest[0] if rest else None)


def _runs(labels: Int64s, values: Int64s) -> Iterator[tuple[int, Int64s]]:
    """The values by label; equal labels stand together."""
    firsts = np.flatnonzero(np.diff(labels, prepend=-1))
    for first, last in zip(firsts, [*firsts[1:], len(labels)], strict=True):
        yield int(labels[first]), values[first:last]


def spans_of(column: pa.ChunkedArray) -> Spans:
    """A column of binary values as spans of its own buffer."""
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    _, edges, data = array.buffers()
    edge = np.frombuffer(edges, np.int64, len(array) + 1, 8 * array.offset)
    size = np.diff(edge)
    if array.null_count:
        size[array.is_null().to_numpy(zero_copy_only=False)] = -1
    return Spans(np.frombuffer(data or b"", np.uint8), edge[:-1], size)


def gather(pieces: Sequence[Spans], order: Int64s) -> Spans:
    """All pieces as one, in another order: back to back in a buffer of their own."""
    size = np.concatenate([spans.size for spans in pieces])[order]
    end = np.cumsum(np.maximum(size, 0))
    start = end - np.maximum(size, 0)
    place = np.empty(len(order), np.int64)
    place[order] = start
    data = np.empty(int(end[-1]), np.uint8)
    done = 0
    for spans in pieces:
        _scatter(spans.data, spans.start, spans.size, place[done : done + len(spans)], data)
        done += len(spans)
    return Spans(data, start, size)


def _array(spans: Spans) -> pa.LargeBinaryArray:
    """Spans that stand back to back, without a copy."""
    edge = np.append(spans.start, len(spans.data))
    is_null = spans.size < 0
    valid = pa.py_buffer(np.packbits(~is_null, bitorder="little")) if is_null.any() else None
    buffers = [valid, pa.py_buffer(edge), pa.py_buffer(spans.data)]
    return pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(spans), buffers)


@_jit
def _scatter(data: Bytes, start: Int64s, size: Int64s, place: Int64s, out: Bytes) -> None:
    """Copies each piece to its place."""
    data, out = borrow(data), borrow(out)
    for i in range(len(start)):
        copy_bytes(data, start[i], size[i], out, place[i])


@_jit
def _hash_keys(data: Bytes, start: Int64s, size: Int64s, buckets: int, out: Int64s) -> None:
    """The numba form of `layout.bucket_of`."""
    for i in range(len(start)):
        value = np.uint64(0xCBF29CE484222325)
        for at in range(start[i], start[i] + size[i]):
            value = (value ^ np.uint64(data[at])) * np.uint64(0x100000001B3)
        value ^= value >> np.uint64(33)
        value *= np.uint64(0xFF51AFD7ED558CCD)
        value ^= value >> np.uint64(33)
        out[i] = np.int64(value % np.uint64(buckets)) if size[i] > 0 else 0
