"""From the rows of lines to an `EventBatch`, with those that the judge puts in beside the kernels."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from stream.columns import Bytes, EventBatch, RecordChunk, Reject, Spans
from stream.events.batches.event_lines import Lines, last_of_records
from stream.events.event_hash import event_hashes
from stream.events.fields import Rows
from stream.events.present import Event


@dataclass(slots=True)
class Left:
    """What becomes of the lines that the kernels leave to the judge.

    Attributes:
        examples: As in `Flaws`.
        data_bytes: Where the next text will stand, behind all that was scanned.
        texts: Customers, event ids and ids before logins, which will stand there.
        rejects: What is no event.
        empty: Batches of no events.
        ahead: As in `Flaws`.
    """

    examples: dict[str, str]
    data_bytes: int
    texts: list[bytes] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)
    empty: int = 0
    ahead: int = 0

    def put(self, rows: Rows, i: int, event: Event) -> None:
        """Writes an event as row i."""
        _put(rows, i, event, self.data_bytes)
        self.texts.append(event.customer + (event.event_id or b"") + (event.previous or b""))
        self.data_bytes += len(self.texts[-1])


def _put(rows: Rows, i: int, event: Event, text_at: int) -> None:
    """Writes a judged event as row i; its ids will stand at `text_at`."""
    rows.ok[i] = True
    rows.customer_start[i] = text_at
    rows.customer_size[i] = len(event.customer)
    rows.event_id_start[i] = text_at + len(event.customer)
    rows.event_id_size[i] = -1 if event.event_id is None else len(event.event_id)
    rows.previous_start[i] = rows.event_id_start[i] + len(event.event_id or b"")
    rows.previous_size[i] = len(event.previous or b"") or -1
    rows.time_ms[i] = event.time_ms
    rows.type_code[i] = event.type_code
    rows.consent[:, i] = event.consent
    rows.number[:, i] = event.numbers
    rows.category[:, i] = np.array(event.categories, np.uint64)


def event_batch(chunk: RecordChunk, lines: Lines, rows: Rows, data: Bytes) -> EventBatch:
    """The rows that are events."""
    kept = np.flatnonzero(rows.ok)
    keep = kept if len(kept) < len(rows.ok) else slice(None)
    record = lines.record[keep]
    of_record = record if len(record) < len(chunk) or lines.arrays else slice(None)
    event_id = Spans(data, rows.event_id_start[keep], rows.event_id_size[keep])
    customer = Spans(data, rows.customer_start[keep], rows.customer_size[keep])
    previous, forgets = None, rows.forgets[keep] if rows.forgets.any() else None
    if (rows.previous_size[keep] >= 0).any():
        previous = Spans(data, rows.previous_start[keep], rows.previous_size[keep])
    is_last, previous_is_last = np.ones(len(record), np.bool_), None
    if lines.arrays:
        is_last, previous_is_last = last_of_records(record, customer, previous)
    return EventBatch(
        record=record,
        offset=chunk.offset[of_record],
        received_ms=chunk.timestamp_ms[of_record],
        time_ms=rows.time_ms[keep],
        customer=customer,
        event_id=event_id,
        event_hash=event_hashes(event_id),
        type_code=rows.type_code[keep],
        number=np.ascontiguousarray(rows.number[:, keep]),
        category=np.ascontiguousarray(rows.category[:, keep]),
        consent=np.ascontiguousarray(rows.consent[:, keep]),
        consent_only=rows.consent_only[keep],
        element=lines.element[keep],
        is_last=is_last,
        previous=previous,
        previous_is_last=previous_is_last,
        forgets=forgets,
    )
