"""Rows of the customer table and their marker, to changelog records and back.

A row is one record: the customer's id, and a version byte followed by the row's words, little-endian.
The marker is one more record: up to which offset of each event topic everything is decided and
written. The topic is compacted and its name carries the digest of the row layout, so a value of
another size is damage and never another layout.

Rules of this file
1. Of two rows of one customer the one that has seen more events wins, whatever their order: a
   worker that lost its partition unawares cannot turn the state back. The row that won is then
   dirty: it has to be written again, since compaction would keep the other, which is newer.
2. Nothing unreadable is stepped over: it raises, since a lost row would be counted wrong for ever.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import msgspec
import numpy as np

from models.errors import NO_JSON
from stream.columns import Bytes, Int64s, RecordChunk, Spans
from stream.errors import StateError
from stream.state.marker import (
    ALIGNED_MARKER_VERSION,
    MARKER_KEY,
    MARKER_VERSION,
    Anchor,
    Marker,
    Progress,
)
from stream.state.row_copies import gather, scatter
from stream.state.table import CustomerTable

assert sys.byteorder == "little", "the row layout is little-endian, and rows are copied as they are"

ROW_VERSION = 1


def encode_rows(table: CustomerTable, rows: Int64s) -> tuple[Spans, Spans]:
    """Keys and values of the changelog records of some rows; the values are copies."""
    size = 1 + table.words * 8
    values = np.empty(len(rows) * size, np.uint8)
    gather(_as_bytes(table), rows, size - 1, ROW_VERSION, values)
    start = np.arange(len(rows), dtype=np.int64) * size
    return table.key_spans(rows), Spans(values, start, np.full(len(rows), size, np.int64))


def encode_tombstones(customers: Sequence[bytes]) -> tuple[Spans, Spans]:
    """Keys and values of the changelog records that erase customers."""
    return Spans.of(customers), Spans.of([None] * len(customers))


def markers(chunk: RecordChunk) -> Iterator[Marker]:
    """The markers among records of the changelog; errors as `apply_chunk`."""
    for i in _find_markers(chunk).tolist():
        yield _marker(chunk, i)


def apply_chunk(
    chunk: RecordChunk, table: CustomerTable, offset_words: slice, progress: Progress
) -> int:
    """Puts the records of a changelog chunk into a table.

    Args:
        chunk: Records of the changelog.
        table: Receives the rows.
        offset_words: The words of a row that hold the next offset of each event topic.
        progress: Receives what markers say.

    Returns:
        Number of row records read.

    Raises:
        StateError: A record is no row and no marker of this layout.
    """
    found = _find_markers(chunk)
    counted = -1
    for i in found.tolist():
        if _apply_marker(chunk, i, progress):
            counted = i
    is_row = np.ones(len(chunk), np.bool_)
    is_row[found] = False
    value_size = chunk.value.size
    row_size = 1 + table.words * 8
    wrong = is_row & ((value_size != row_size) & (value_size >= 0) | (chunk.key.size < 1))
    if wrong.any():
        raise _unreadable(chunk, int(np.argmax(wrong)), f"a row of {row_size} bytes")
    picked = np.flatnonzero(is_row)
    rows = table.rows_for(chunk.key.take(picked))
    behind = np.zeros(len(picked), np.bool_)
    broken = scatter(
        chunk.value.data, chunk.value.start[picked], value_size[picked], ROW_VERSION,
        rows, table.words, offset_words.start, offset_words.stop,
        _as_bytes(table), table.state.view(np.int64), behind,
    )  # fmt: skip
    if broken >= 0:
        raise _unreadable(chunk, int(picked[broken]), f"row version {ROW_VERSION}")
    table.mark_dirty(rows[behind])
    if counted >= 0:
        progress.erased.clear()
    for at in np.flatnonzero(value_size[picked] < 0).tolist():
        if picked[at] > counted:
            progress.erased.add(chunk.key[int(picked[at])] or b"")
        if not (rows[at + 1 :] == rows[at]).any():
            table.erase(rows[at : at + 1])
    return len(picked)


def _apply_marker(chunk: RecordChunk, i: int, progress: Progress) -> bool:
    """Takes a marker over; False when an earlier one covers more."""
    marker = _marker(chunk, i)
    progress.anchor = Anchor(int(chunk.offset[i]), chunk.value[i] or b"")
    return progress.update(marker)


def _marker(chunk: RecordChunk, i: int) -> Marker:
    try:
        marker = msgspec.json.decode(chunk.value[i] or b"", type=Marker)
    except (msgspec.MsgspecError, *NO_JSON) as exc:
        raise _unreadable(chunk, i, f"a marker, {exc}") from exc
    if marker.version not in (MARKER_VERSION, ALIGNED_MARKER_VERSION):
        raise _unreadable(chunk, i, f"marker version 1 or 2, got {marker.version}")
    return marker


def _unreadable(chunk: RecordChunk, i: int, expected: str) -> StateError:
    value = chunk.value[i]
    got = "null" if value is None else f"{len(value)} bytes beginning {value[:8].hex()}"
    return StateError(
        f"{chunk.topic}/{chunk.partition} offset {chunk.offset[i]}: expected {expected}, got {got}. "
        "Operator action: stop the worker, delete this topic, start again: the table is rebuilt "
        "from the event topics"
    )


def _find_markers(chunk: RecordChunk) -> Int64s:
    """Indices of marker records."""
    key = chunk.key
    maybe = np.flatnonzero(key.size == len(MARKER_KEY))
    return np.array([i for i in maybe.tolist() if key[i] == MARKER_KEY], np.int64)


def _as_bytes(table: CustomerTable) -> Bytes:
    return table.state.reshape(-1).view(np.uint8)
