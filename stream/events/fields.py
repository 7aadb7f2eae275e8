"""From the values that a scan found to the columns of events, for all records at once.

Rules of this file
1. A record stays `ok` only if every field is clear and allowed. What is left out, good or bad, goes
   to `stream.events.reasons`, which has the same rules with reasons.
2. null and the empty string count as absent, for every field.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.columns import Bools, Bytes, Float64s, Int16s, Int64s, UInt64s
from stream.events.consent.kernels import hear
from stream.events.consent.places import ConsentPlaces
from stream.events.field_kernels import (
    Int8s,
    pick,
    read_categories,
    read_ids,
    read_numbers,
    read_times,
    read_types,
)
from stream.events.paths import (
    CUSTOMER,
    DATA,
    EVENT_ID,
    FIRST_NUMBER,
    SPECVERSION,
    TIMESTAMP,
    TYPE,
    EventPaths,
    compile_trie,
)
from stream.events.scan import Kinds, Scan

CUSTOMER_BYTES_MAX = 512


@dataclass(frozen=True, slots=True)
class Rows:
    """The columns of an `EventBatch` for all n records of a chunk; undefined where not ok.

    Attributes:
        ok: Shape (n,), bool.
        customer_start: Shape (n,), int64.
        customer_size: Shape (n,), int64.
        event_id_start: Shape (n,), int64.
        event_id_size: -1 where missing. Shape (n,), int64.
        time_ms: Shape (n,), int64.
        type_code: Shape (n,), int16.
        consent: Shape (purposes, n), int8.
        consent_only: Whether the record is no event, and only what it denies counts. Shape (n,), bool.
        number: Shape (numbers, n), float64.
        category: Shape (categories, n), uint64.
    """

    ok: Bools
    customer_start: Int64s
    customer_size: Int64s
    event_id_start: Int64s
    event_id_size: Int64s
    time_ms: Int64s
    type_code: Int16s
    consent: Int8s
    consent_only: Bools
    number: Float64s
    category: UInt64s


class FieldReader:
    """Reads the fields that an `EventPaths` names, and what is said of consent.

    Attributes:
        trie: What to scan for.
    """

    def __init__(self, paths: EventPaths, consent: ConsentPlaces, types: Sequence[str]) -> None:
        fields = (*paths.bare, *paths.enveloped)
        envelope = (SPECVERSION, DATA) if paths.unwraps else ()
        wanted = {path for field in fields for path in field}
        self.trie, node_of = compile_trie(wanted.union(envelope, consent.paths))
        self._purposes = consent.count
        self._consent = consent.tables(node_of)
        self._numbers = paths.numbers
        self._candidates = np.array([node_of[path] for field in fields for path in field], np.int64)
        ends = np.cumsum([0, *map(len, fields)], dtype=np.int64)
        self._first = np.stack([ends[: len(paths.bare) + 1], ends[len(paths.bare) :]])
        self._envelope = np.array([node_of[path] for path in envelope] or [-1, -1], np.int64)
        encoded = [name.encode() for name in types]
        self._type_bytes = np.frombuffer(b"".join(encoded), np.uint8)
        self._type_end = np.cumsum([len(name) for name in encoded], dtype=np.int64)

    def read(self, found: Scan, received_ms: Int64s, earliest_ms: int, latest_ms: Int64s) -> Rows:
        """The columns of every record whose scan is ok.

        Args:
            found: A scan for `trie`.
            received_ms: Time of an event that says none itself, unless negative. Shape (n,), int64.
            earliest_ms: First event time allowed, epoch milliseconds.
            latest_ms: Last event time allowed, epoch milliseconds. Shape (n,), int64.
        """
        n, fields = len(found.ok), self._first.shape[1] - 1
        data, ok = found.data, found.ok.copy()
        kind = np.empty((fields, n), np.uint8)
        start = np.empty((fields, n), np.int64)
        size = np.empty((fields, n), np.int64)
        pick(
            found.kind, found.span, ok, self._candidates, self._first, self._envelope,
            kind, start, size,
        )  # fmt: skip

        def value(field: int) -> tuple[Bytes, Kinds, Int64s, Int64s]:
            return data, kind[field], start[field], size[field]

        read_ids(*value(CUSTOMER), ok)
        ok &= (size[CUSTOMER] > 0) & (size[CUSTOMER] <= CUSTOMER_BYTES_MAX)
        read_ids(*value(EVENT_ID), ok)
        type_code = np.empty(n, np.int16)
        read_types(*value(TYPE), self._type_bytes, self._type_end, ok, type_code)
        time_ms = np.empty(n, np.int64)
        read_times(*value(TIMESTAMP), received_ms, earliest_ms, latest_ms, ok, time_ms)
        consent = np.empty((self._purposes, n), np.int8)
        hear(data, found.kind, found.span, self._envelope, self._consent, ok, consent)
        number = np.empty((self._numbers, n), np.float64)
        for k, field in enumerate(range(FIRST_NUMBER, FIRST_NUMBER + self._numbers)):
            _numbers(*value(field), ok, number[k])
        category = np.empty((fields - FIRST_NUMBER - self._numbers, n), np.uint64)
        for k, field in enumerate(range(FIRST_NUMBER + self._numbers, fields)):
            read_categories(*value(field), ok, category[k])
        return Rows(
            ok, start[CUSTOMER], size[CUSTOMER], start[EVENT_ID], size[EVENT_ID],
            time_ms, type_code, consent, np.zeros(n, np.bool_), number, category,
        )  # fmt: skip


def _numbers(
    data: Bytes, kind: Kinds, start: Int64s, size: Int64s, ok: Bools, out: Float64s
) -> None:
    """Fills a column of numbers; Python rounds those with too many digits for the kernel."""
    inexact = np.empty(len(ok), np.int64)
    left = read_numbers(data, kind, start, size, ok, out, inexact)
    for i in inexact[:left].tolist():
        out[i] = float(data[start[i] : start[i] + size[i]].tobytes())
        ok[i] &= np.isfinite(out[i])
