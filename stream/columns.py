"""The columns that one chunk is made of on its way from Kafka to Kafka.

Rules of this file
1. Data only: nothing is parsed or computed here, only cut.
2. A span is a pair (start, size) into a byte buffer; size -1 means null, as on the wire.
3. The order of rows is the order of offsets, everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]
Int32s: TypeAlias = npt.NDArray[np.int32]
Int16s: TypeAlias = npt.NDArray[np.int16]
Int64s: TypeAlias = npt.NDArray[np.int64]
UInt64s: TypeAlias = npt.NDArray[np.uint64]
Float32s: TypeAlias = npt.NDArray[np.float32]
Float64s: TypeAlias = npt.NDArray[np.float64]
Bools: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Spans:
    """n pieces of one byte buffer.

    Attributes:
        data: The buffer. Shape (bytes,), uint8.
        start: First byte of each piece. Shape (n,), int64.
        size: Length of each piece in bytes, -1 for null. Shape (n,), int64.
    """

    data: Bytes
    start: Int64s
    size: Int64s

    @classmethod
    def of(cls, pieces: Sequence[bytes | None]) -> Spans:
        """The pieces, one after the other in a buffer of their own."""
        size = np.array([-1 if piece is None else len(piece) for piece in pieces], np.int64)
        start = np.cumsum(np.maximum(size, 0)) - np.maximum(size, 0)
        return cls(np.frombuffer(b"".join(filter(None, pieces)), np.uint8), start, size)

    def take(self, index: Int64s | slice) -> Spans:
        """Some of the pieces, in the same buffer."""
        return Spans(self.data, self.start[index], self.size[index])

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, i: int) -> bytes | None:
        """Piece i as bytes, None for null: for messages and tests, not for the hot path."""
        if self.size[i] < 0:
            return None
        return self.data[self.start[i] : self.start[i] + self.size[i]].tobytes()


@dataclass(frozen=True, slots=True)
class RecordChunk:
    """Consecutive records of one topic partition, still as bytes.

    Attributes:
        topic: Name of the topic.
        partition: Number of the partition.
        offset: Offset of each record, rising. Shape (n,), int64.
        timestamp_ms: Record timestamp, epoch milliseconds. Shape (n,), int64.
        key: Record keys.
        value: Record values; null is a tombstone.
        next_offset: Offset to read next: beyond the last record, and beyond control records and
            records that compaction removed.
        leader_epoch: Of the record batch that the last record was in; -1 when nobody has said.
        headers: Headers of each record as on the wire: how many, then size and bytes of each name
            and content, see `stream.kafka.headers`; empty or null without any. None when no record
            has headers, or nobody asks for them.
    """

    topic: str
    partition: int
    offset: Int64s
    timestamp_ms: Int64s
    key: Spans
    value: Spans
    next_offset: int
    leader_epoch: int = -1
    headers: Spans | None = None

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, index: Int64s) -> RecordChunk:
        """Some of the records, in the same buffers."""
        return RecordChunk(
            self.topic, self.partition, self.offset[index], self.timestamp_ms[index],
            self.key.take(index), self.value.take(index), self.next_offset,
            headers=None if self.headers is None else self.headers.take(index),
        )  # fmt: skip


class CategoryColumn(NamedTuple):
    """What is kept of the categories of a list, or of a time zone: one uint64 of an event, 0 for none.

    Attributes:
        path: Path of the categories; it leads into each element of a list, but of a `zone`.
        keeps: `mask`, bit h mod 64 of each hash h. `counts`, in byte k how many elements are in bucket
            `first_bucket` + k, at most 255, of the buckets h mod `buckets`. `chosen`, the hash of the
            first element that is one of `values`. `zone`, the hash of the IANA name of a time zone.
        buckets: Of `counts`.
        first_bucket: Of `counts`.
        values: Of `chosen`.
    """

    path: str
    keeps: Literal["mask", "counts", "chosen", "zone"]
    buckets: int = 0
    first_bucket: int = 0
    values: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class EventBatch:
    """n events that passed every check, as columns; with them what other records deny of consent.

    Attributes:
        record: Index of each event in its `RecordChunk`. Shape (n,), int64.
        offset: Kafka offset. Shape (n,), int64.
        received_ms: Record timestamp (broker or producer), epoch milliseconds. Shape (n,), int64.
        time_ms: Event time, epoch milliseconds. Shape (n,), int64.
        customer: Customer id, UTF-8, never null or empty.
        event_id: Event id, UTF-8; null when the event has none.
        event_hash: Hash of the event id, 0 when the event has none. Shape (n,), uint64.
        type_code: Index into the declared event types, -1 for a type that is not declared.
            Shape (n,), int16.
        number: Numeric properties, one row per declared path, NaN when missing.
            Shape (numbers, n), float64.
        category: Hash of categorical properties, one row per declared path, 0 when missing; then one
            row per declared `CategoryColumn`. Shape (categories, n), uint64.
        consent: By purpose 1 granted, 0 withdrawn, -1 not said, -2 said in a word that nobody knows;
            the first purpose is the general one. Shape (purposes, n), int8.
        consent_only: Whether the record is no event: of its row only what it denies of consent counts,
            and whether it forgets the customer. Shape (n,), bool.
        previous: Id that the customer had before the login that the event tells of; null when it tells
            of none. None when no event does.
        forgets: Whether the record is a tombstone that forgets the customer. Shape (n,), bool; None
            when none does.
    """

    record: Int64s
    offset: Int64s
    received_ms: Int64s
    time_ms: Int64s
    customer: Spans
    event_id: Spans
    event_hash: UInt64s
    type_code: Int16s
    number: Float64s
    category: UInt64s
    consent: npt.NDArray[np.int8]
    consent_only: Bools
    previous: Spans | None = None
    forgets: Bools | None = None

    def __len__(self) -> int:
        return len(self.offset)

    def take(self, index: Int64s | slice) -> EventBatch:
        """Some of the events, of a slice as views."""
        return EventBatch(
            self.record[index], self.offset[index], self.received_ms[index], self.time_ms[index],
            self.customer.take(index), self.event_id.take(index), self.event_hash[index],
            self.type_code[index],
            self.number[:, index], self.category[:, index], self.consent[:, index],
            self.consent_only[index],
            None if self.previous is None else self.previous.take(index),
            None if self.forgets is None else self.forgets[index],
        )  # fmt: skip

    def events(self) -> EventBatch:
        """Without the rows of records that are no events."""
        return self.take(np.flatnonzero(~self.consent_only)) if self.consent_only.any() else self

    @property
    def logins(self) -> Spans:
        """The ids before the logins that the events tell of."""
        previous = self.previous or Spans.of([])
        return previous.take(np.flatnonzero(previous.size >= 0))

    def history(self) -> EventBatch:
        """The events, and the tombstones that forget: all that changes what is known of customers."""
        if self.forgets is None:
            return self.events()
        return self.take(np.flatnonzero(~self.consent_only | self.forgets))


@dataclass(frozen=True, slots=True)
class Reject:
    """One record that is no event, and why.

    Attributes:
        record: Index in its `RecordChunk`.
        code: One of the reason codes of `stream.events.reasons`, for counters.
        reason: One sentence: what was expected, what came, where.
    """

    record: int
    code: str
    reason: str


def split(chunk: RecordChunk, offset: int) -> tuple[RecordChunk, RecordChunk]:
    """The records before an offset, and those from it on."""
    at = int(np.searchsorted(chunk.offset, offset))
    return _part(chunk, slice(0, at), offset), _part(chunk, slice(at, None), chunk.next_offset)


def _part(chunk: RecordChunk, part: slice, next_offset: int) -> RecordChunk:
    return replace(
        chunk,
        offset=chunk.offset[part],
        timestamp_ms=chunk.timestamp_ms[part],
        key=chunk.key.take(part),
        value=chunk.value.take(part),
        headers=None if chunk.headers is None else chunk.headers.take(part),
        next_offset=next_offset,
    )
