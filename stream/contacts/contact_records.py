"""Contact rows and their marker, to records of their changelog and back.

    key                                 value
    customer id                         8 bytes of header, next offsets, cells; null: erased
    ff "opportune-contacts-layout-" d   the layout of digest d, JSON
    ff "opportune-contacts-marker"      up to where all contacts are written, JSON

The header is a version byte, the 6 bytes of the digest and a zero. All numbers are little-endian. The
topic has one name for all layouts: what changed rules leave alone is read in the layout that it was
written in. The marker is written after the rows and before the rows of features, so contacts are
never behind what the marker of the features covers.

Rules of this file
1. Of two rows of one customer the one that has seen more events wins, as in the customer table.
2. Nothing unreadable is stepped over: a contact that is not known would be made again.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Protocol

import msgspec
import numpy as np

from stream.columns import Bytes, Int64s, RecordChunk, Spans
from stream.contacts.contact_layout import OFFSET_BYTES, ContactLayout, layout_of
from stream.contacts.contact_mapping import ContactMapping
from stream.contacts.contact_table import ContactTable
from stream.errors import StateError

assert sys.byteorder == "little", "rows are little-endian, and copied as they are"

ROW_VERSION = 1
MARKER_VERSION = 1
HEADER_BYTES = 8
LAYOUT_KEY = b"\xffopportune-contacts-layout-"
MARKER_KEY = b"\xffopportune-contacts-marker"
_DIGEST_BYTES = 6
_NO_ID = 0xFF  # a byte that no customer id has: ids are UTF-8

Offset = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]


class Customers(Protocol):
    """The customer table, which keeps the keys: see `stream.state.table.CustomerTable`."""

    def rows_for(self, keys: Spans) -> Int64s:
        """Row of each key, a new one for those that it lacks."""

    def find(self, key: bytes) -> int:
        """Row of one key, -1 when it is not there."""


class ContactMarker(msgspec.Struct, frozen=True, kw_only=True):
    """Up to where contacts are written.

    Attributes:
        version: Of this message.
        covered: Next offset of each event topic.
        rows: Customers with a contact row.
    """

    version: int = MARKER_VERSION
    covered: dict[str, Offset]
    rows: Offset


@dataclass(slots=True)
class ContactProgress:
    """What has been read of a contact changelog.

    Attributes:
        mappings: By the digest in the header of rows, how they become rows of the table.
        marker: The newest marker that covers the most, None before the first.
        erased: Rows erased since that marker.
    """

    mappings: dict[bytes, ContactMapping] = field(default_factory=dict)
    marker: ContactMarker | None = None
    erased: int = 0


def topic_name(app: str) -> str:
    """The changelog of the contact rows of an app."""
    return f"{app}-contacts-changelog"


def encode_layout(layout: ContactLayout) -> tuple[bytes, bytes]:
    """Key and value of the record that tells a layout, to be written before its first row."""
    return LAYOUT_KEY + layout.digest.encode(), layout.record


def encode_contact_marker(covered: Mapping[str, int], rows: int) -> bytes:
    """Value of the marker record; its key is `MARKER_KEY`."""
    return msgspec.json.encode(ContactMarker(covered=dict(covered), rows=rows))


def encode_contact_rows(table: ContactTable, rows: Int64s) -> Spans:
    """Values of the changelog records of some rows, copies; their keys are those of the customers."""
    layout = table.layout
    out = np.zeros((len(rows), HEADER_BYTES + layout.row_bytes), np.uint8)
    out[:, 0] = ROW_VERSION
    out[:, 1 : 1 + _DIGEST_BYTES] = np.frombuffer(bytes.fromhex(layout.digest), np.uint8)
    cells_at = HEADER_BYTES + OFFSET_BYTES * len(layout.topics)
    offsets, cells = table.next_offset[rows], table.cells[rows]
    out[:, HEADER_BYTES:cells_at] = offsets.view(np.uint8).reshape(len(rows), -1)
    out[:, cells_at:] = cells.view(np.uint8).reshape(len(rows), -1)
    size = out.shape[1]
    start = np.arange(len(rows), dtype=np.int64) * size
    return Spans(out.reshape(-1), start, np.full(len(rows), size, np.int64))


def apply_contact_chunk(
    chunk: RecordChunk, table: ContactTable, customers: Customers, progress: ContactProgress
) -> int:
    """Puts the records of a chunk of the contact changelog into a table.

    Args:
        chunk: Records of the changelog.
        table: Receives the rows.
        customers: Tells their rows.
        progress: Receives what markers and layouts say.

    Returns:
        Number of row records read.

    Raises:
        StateError: A record is no row, layout or marker that this version knows.
    """
    key = chunk.key
    first = np.where(key.size > 0, key.data[np.minimum(key.start, max(len(key.data) - 1, 0))], 0)
    told = np.flatnonzero((key.size > 0) & (first == _NO_ID))
    is_row = np.ones(len(chunk), np.bool_)
    is_row[told] = False
    at, read = 0, 0
    for i in (*told.tolist(), len(chunk)):  # layouts come before their rows
        between = np.flatnonzero(is_row[at:i]) + at
        _apply_rows(chunk, between, table, customers, progress)
        read += len(between)
        if i < len(chunk):
            _heed(chunk, i, table.layout, progress)
        at = i + 1
    return read


def _heed(chunk: RecordChunk, i: int, layout: ContactLayout, progress: ContactProgress) -> None:
    """Takes a layout or a marker over."""
    key, value = chunk.key[i] or b"", chunk.value[i] or b""
    if key.startswith(LAYOUT_KEY):
        try:
            old = layout_of(value)
        except ValueError as exc:
            raise _unreadable(chunk, i, str(exc)) from exc
        progress.mappings[bytes.fromhex(old.digest)] = ContactMapping(old, layout)
        return
    if key != MARKER_KEY:
        raise _unreadable(chunk, i, "a customer, a layout or a marker")
    try:
        marker = msgspec.json.decode(value, type=ContactMarker)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as exc:
        raise _unreadable(chunk, i, f"a marker, {exc}") from exc
    if marker.version != MARKER_VERSION:
        raise _unreadable(chunk, i, f"marker version {MARKER_VERSION}, got {marker.version}")
    before = progress.marker
    if before is None or all(marker.covered.get(t, 0) >= o for t, o in before.covered.items()):
        progress.marker, progress.erased = marker, 0


def _apply_rows(
    chunk: RecordChunk, index: Int64s, table: ContactTable, customers: Customers,
    progress: ContactProgress,
) -> None:  # fmt: skip
    """Puts rows between two layouts or markers into the table, in the order of their offsets."""
    if not len(index):
        return
    size = chunk.value.size[index]
    for first, end in _runs(chunk, index, size):
        part = slice(first, end)
        if size[first] < 0:
            progress.erased += end - first
            known = [customers.find(chunk.key[i] or b"") for i in index[part].tolist()]
            table.erase(np.array([row for row in known if row >= 0], np.int64))
            continue
        mapping = _mapping(chunk, int(index[first]), progress)
        expected = HEADER_BYTES + mapping.old.row_bytes
        wrong = np.flatnonzero(size[part] != expected)
        if len(wrong):
            raise _unreadable(chunk, int(index[first + wrong[0]]), f"a row of {expected} bytes")
        rows = customers.rows_for(chunk.key.take(index[part]))
        table.fit(int(rows.max()) + 1)
        _merge(table, rows, mapping, _values(chunk.value, index[part], expected))


def _runs(chunk: RecordChunk, index: Int64s, size: Int64s) -> list[tuple[int, int]]:
    """Neighbours of one layout, or tombstones; a value too short for a header stands for itself."""
    data, start = chunk.value.data, chunk.value.start[index]
    header = np.zeros(len(index), np.int64)
    whole = size >= HEADER_BYTES
    for byte in range(HEADER_BYTES):
        header[whole] |= data[start[whole] + byte].astype(np.int64) << (8 * byte)
    header[~whole] = np.where(size[~whole] < 0, -1, -2)
    cuts = np.flatnonzero(np.diff(header)) + 1
    return list(zip([0, *cuts.tolist()], [*cuts.tolist(), len(index)], strict=True))


def _mapping(chunk: RecordChunk, i: int, progress: ContactProgress) -> ContactMapping:
    value = chunk.value[i] or b""
    if len(value) < HEADER_BYTES or value[0] != ROW_VERSION:
        raise _unreadable(chunk, i, f"a contact row of version {ROW_VERSION}")
    mapping = progress.mappings.get(value[1 : 1 + _DIGEST_BYTES])
    if mapping is None:
        digest = value[1 : 1 + _DIGEST_BYTES].hex()
        raise _unreadable(chunk, i, f"a row of a layout that was told before, not of {digest}")
    return mapping


def _values(values: Spans, index: Int64s, size: int) -> Bytes:
    """Values of one size behind their headers. Shape (n, size - HEADER_BYTES), uint8."""
    at = values.start[index][:, None] + np.arange(HEADER_BYTES, size)
    found: Bytes = values.data[at]
    return found


def _merge(table: ContactTable, rows: Int64s, mapping: ContactMapping, values: Bytes) -> None:
    """Rows of one layout into the table; the one that has seen more wins, and is then dirty."""
    split = OFFSET_BYTES * len(mapping.old.topics)
    offsets = np.ascontiguousarray(values[:, :split]).view(np.int64)
    cells = np.ascontiguousarray(values[:, split:]).view(np.uint32)
    new = mapping.rows(offsets, cells)
    for part in _each_once(rows):
        into = rows[part]
        is_behind = np.any(new.next_offset[part] < table.next_offset[into], axis=1)
        taken = ~is_behind
        table.next_offset[into[taken]] = new.next_offset[part][taken]
        table.cells[into[taken]] = new.cells[part][taken]
        table.mark_dirty(into[is_behind])


def _each_once(rows: Int64s) -> list[Int64s]:
    """Indices in order, cut so that no row is there twice in a part."""
    if len(np.unique(rows)) == len(rows):
        return [np.arange(len(rows))]
    parts: list[list[int]] = [[]]
    seen: set[int] = set()
    for i, row in enumerate(rows.tolist()):
        if row in seen:
            parts.append([])
            seen.clear()
        parts[-1].append(i)
        seen.add(row)
    return [np.array(part, np.int64) for part in parts]


def check_contacts(
    covered: Mapping[str, int], rows: int, progress: ContactProgress, changelog: str
) -> None:
    """Refuses contacts that are not whole, after all of their changelog was read.

    Args:
        covered: What the marker of the features covers: next offset by event topic.
        rows: Customers with a contact row.
        progress: What was read.
        changelog: The changelog partition, for messages.

    Raises:
        StateError: The marker is missing, covers less, or counts more rows.
    """
    marker = progress.marker
    said = {} if marker is None else marker.covered
    behind = {topic: o for topic, o in covered.items() if said.get(topic, 0) < o}
    if behind:
        raise StateError(
            f"{changelog}: expected contacts up to {behind}, as the customers are, got a marker of "
            f"{said or 'nothing'}: contacts would be made again that were made already. Operator "
            "action: restore the topic, or delete it and the changelog of the customers and start "
            "again: caps then begin to count anew"
        )
    if marker is not None and rows + progress.erased < marker.rows:
        raise StateError(
            f"{changelog}: expected {marker.rows} contact rows, as its marker says, got {rows}. "
            "Operator action: see that its cleanup.policy is compact, and restore the topic"
        )


def _unreadable(chunk: RecordChunk, i: int, expected: str) -> StateError:
    value = chunk.value[i]
    got = "null" if value is None else f"{len(value)} bytes beginning {value[:8].hex()}"
    return StateError(
        f"{chunk.topic}/{chunk.partition} offset {chunk.offset[i]}: expected {expected}, got {got}. "
        "Operator action: start the version that wrote it, or restore the topic; without it nobody "
        "knows who was contacted"
    )
