"""Values of CloudEvents, whichever part of the event stands where: read as if all were one JSON object.

    structured   {"specversion": ..., "data": {...}}            the value, as any JSON
    base64       {"specversion": ..., "data_base64": "eyJ..."}  its data is read as `data`
    binary       headers ce_specversion, ...; value {...}       attributes are members of the root,
                                                                the value is `data`

Rules of this file
1. What was found has the shape of a structured event, so that nobody after this knows the difference;
   `root` gives the judge the same object.
2. Records without headers and base64 pay for one look at a column.
"""

from __future__ import annotations

import base64
from copy import copy
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from stream.columns import Bools, Bytes, Spans
from stream.events.cloudevents.attributes import (
    BATCH_MEDIA_TYPE,
    CONTENT_TYPE,
    attributes_of,
    find_binary,
    note_attributes,
)
from stream.events.cloudevents.base64_kernels import decode_base64
from stream.events.json_object import json_object
from stream.events.paths import (
    DATA,
    DATA_BASE64,
    END,
    ROOT,
    SPECVERSION,
    Trie,
    compile_trie,
    node_at_root,
    trie_below,
)
from stream.events.present import Refused
from stream.events.scan import FLOAT64, NULL, OBJECT, STRING, Scan, scan
from stream.kafka.headers import read_headers


class Values(Protocol):
    """The values of n records, as far as they were read."""

    @property
    def found(self) -> Scan:
        """Where the wanted ones stand; what is not ok in it, `root` explains."""

    def root(self, i: int, value: bytes) -> dict[str, Any]:
        """Record i as the object that `Judge.judge_root` takes.

        Args:
            i: Index of the record.
            value: Its value.

        Raises:
            Refused: It has none.
        """


class ValueFormat(Protocol):
    """Reads the values of records."""

    def read(
        self, value: Spans, eligible: Bools, trie: Trie, headers: Spans | None = None
    ) -> Values:
        """Finds the wanted values in all eligible records.

        Args:
            value: Values of n records.
            eligible: The records to look at; they are not null. Shape (n,), bool.
            trie: The wanted paths.
            headers: As in `RecordChunk.headers`.
        """


@dataclass(frozen=True, slots=True)
class _Places:
    """Where the parts of an envelope stand in a trie.

    Attributes:
        trie: The trie.
        inner: The same with the members of `data` at the root.
        specversion: Node, as are the others.
        data: See above.
        below: The nodes below `data`.
        encoded: A trie of `data_base64` alone; few events have it, so it is looked for in these.
        data_base64: Its node there.
    """

    trie: Trie
    inner: Trie
    specversion: int
    data: int
    below: slice
    encoded: Trie
    data_base64: int

    @classmethod
    def of(cls, trie: Trie) -> _Places:
        specversion, data = (node_at_root(trie, key) for key in (SPECVERSION, DATA))
        below = slice(data + 1, int(trie.nodes[data, END]))
        encoded, node_of = compile_trie((DATA_BASE64,))
        inner = trie_below(trie, data)
        return cls(trie, inner, specversion, data, below, encoded, node_of[DATA_BASE64])


@dataclass(frozen=True, slots=True)
class _Envelopes:
    """Values of n records.

    Attributes:
        found: Where the wanted ones stand.
        outer: Those that are the whole event.
        inner: Those that are its data.
        binary: Which are the data. Shape (n,), bool; None for none.
        headers: As in `RecordChunk.headers`.
    """

    found: Scan
    outer: Values | None
    inner: Values | None
    binary: Bools | None
    headers: Spans | None

    def root(self, i: int, value: bytes) -> dict[str, Any]:
        """As `Values.root`."""
        headers = read_headers(None if self.headers is None else self.headers[i])
        if self.binary is not None and self.binary[i]:
            assert self.inner is not None
            return {**attributes_of(headers), DATA: self.inner.root(i, value)}
        assert self.outer is not None
        try:
            root = self.outer.root(i, value)
        except Refused as exc:
            media_types = [content for name, content in headers if name == CONTENT_TYPE]
            if exc.code == "not_object" and _is_batch(media_types[-1:]):
                raise Refused(
                    "not_object",
                    f"expected one event in a record, got {CONTENT_TYPE} {BATCH_MEDIA_TYPE}+json: "
                    "CloudEvents on Kafka have no batches, so send each in a record of its own",
                ) from exc
            raise
        return _with_data(root)


def _is_batch(media_types: list[bytes | None]) -> bool:
    return any((one or b"").lower().startswith(BATCH_MEDIA_TYPE.encode()) for one in media_types)


def _with_data(root: dict[str, Any]) -> dict[str, Any]:
    """The event with the data that it has in base64."""
    encoded = root.get(DATA_BASE64)
    if not isinstance(root.get(SPECVERSION), str) or root.get(DATA) is not None:
        return root
    if not isinstance(encoded, str) or not encoded:
        return root
    try:
        decoded = base64.b64decode(encoded, validate=True)
    except ValueError as exc:
        raise Refused("bad_json", f"expected base64 at {DATA_BASE64}, got a fault: {exc}") from exc
    try:
        return {**root, DATA: json_object(decoded)}
    except Refused as exc:
        raise Refused(exc.code, f"{exc}, in what {DATA_BASE64} stands for") from exc


class Envelopes:
    """Reads values that may be CloudEvents; threads may share it.

    Args:
        values: How values are written; in binary mode the data alone.
    """

    def __init__(self, values: ValueFormat) -> None:
        self._outer, self._inner = values, copy(values)  # each keeps what it compiles for its trie
        self._places: _Places | None = None

    def read(
        self, value: Spans, eligible: Bools, trie: Trie, headers: Spans | None = None
    ) -> Values:
        """As `ValueFormat.read`."""
        places = self._places
        if places is None or places.trie is not trie:
            places = self._places = _Places.of(trie)
        binary = None if headers is None else find_binary(headers, eligible)
        if headers is None or binary is None or not binary.any():
            outer = self._outer.read(value, eligible, trie, headers)
            found = self._decoded(outer.found, places, value, headers)
            return _Envelopes(found, outer, None, None, headers)
        inner = self._inner.read(value, eligible & binary, places.inner, headers)
        found, outer_values = own_scan(inner.found), None
        found.kind[:, places.data] = np.where(binary, found.kind[:, ROOT], 0)
        np.logical_and(found.ok, found.kind[:, ROOT] == OBJECT, out=found.ok)
        if not np.array_equal(binary, eligible):
            outer_values = self._outer.read(value, eligible & ~binary, trie, headers)
            shared = len(value.data) if found.is_json else 0
            outer_found = self._decoded(outer_values.found, places, value, headers)
            found = _joined(outer_found, found, binary, slice(None), shared)
        data, shift = with_headers(found, value, headers, binary)
        note_attributes(headers, binary, trie, shift, found.ok, found.kind, found.span)
        found = Scan(data, found.ok, found.kind, found.span, found.is_json)
        return _Envelopes(found, outer_values, inner, binary, headers)

    def _decoded(self, found: Scan, places: _Places, value: Spans, headers: Spans | None) -> Scan:
        """A scan with the data of those events that have it in base64."""
        encoded = found.kind[:, places.specversion] == STRING
        if not found.is_json or not encoded.any():
            return found
        encoded &= found.ok & (found.kind[:, places.data] <= NULL)
        if not encoded.any():
            return found
        text = self._outer.read(value, encoded, places.encoded, headers).found
        encoded &= text.kind[:, places.data_base64] == STRING
        start, size = np.ascontiguousarray(text.span[:, places.data_base64].T)
        decoded = decode_base64(text.data, start, size, encoded)
        inner = scan(decoded, encoded & (decoded.size >= 0), places.inner)
        found.kind[encoded, places.data] = OBJECT
        return _joined(found, inner, encoded, places.below, 0)


def own_scan(found: Scan) -> Scan:
    """A scan that may be written to: who reads formats other than JSON looks at it again."""
    if found.is_json:
        return found
    return Scan(found.data, found.ok.copy(), found.kind.copy(), found.span.copy(), is_json=False)


def _joined(outer: Scan, inner: Scan, rows: Bools, columns: slice, shared: int) -> Scan:
    """Some rows of one scan, in some columns, from another; the first is changed.

    Args:
        outer: Has the other rows and columns.
        inner: Has these.
        rows: Which rows. Shape (n,), bool.
        columns: Which columns.
        shared: With how many bytes both buffers begin alike.
    """
    kind, span = inner.kind[rows, columns], inner.span[rows, columns]
    start = span[:, :, 0]
    start[(kind != FLOAT64) & (start >= shared)] += len(outer.data) - shared
    found = outer if outer.is_json else own_scan(outer)
    found.kind[rows, columns] = kind
    found.span[rows, columns] = span
    found.ok[rows] = inner.ok[rows]
    data = _appended(outer.data, inner.data[shared:])
    return Scan(data, found.ok, found.kind, found.span, found.is_json)


def with_headers(found: Scan, value: Spans, headers: Spans, binary: Bools) -> tuple[Bytes, int]:
    """A buffer that has the headers as well, and where theirs begins in it."""
    if found.is_json and headers.data is value.data:
        return found.data, 0
    start, size = headers.start[binary], headers.size[binary]
    first, last = int(start.min()), int((start + size).max())
    return _appended(found.data, headers.data[first:last]), len(found.data) - first


def _appended(data: Bytes, tail: Bytes) -> Bytes:
    if not len(tail):
        return data
    out = np.concatenate([data, tail])
    out.flags.writeable = False
    return out
