"""Customer events: from the bytes of one chunk to columns, and the reasons for what is no event.

Rules of this file
1. No Python loop over good records: the kernels read them; only what they give up on is judged one
   by one.
2. A bad record costs its neighbours nothing: every record is either a row or a `Reject`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.campaign.file import EventMapping
from stream.campaign.words import duration_ms
from stream.columns import Bytes, EventBatch, Int64s, RecordChunk, Reject, Spans
from stream.compiled.time_zones import time_zone
from stream.errors import CampaignError
from stream.events.event_hash import event_hashes
from stream.events.fields import Clock, FieldReader, Rows
from stream.events.flaws import FIRST, PRESENT, UNREADABLE, Decoded, Flaws
from stream.events.judged_times import Times
from stream.events.paths import EventPaths
from stream.events.present import Refused, RejectCode
from stream.events.reasons import Event, Judge, Judged
from stream.events.scan import append_bytes, scan
from stream.events.timestamps import text_ms

__all__ = ["NEVER_MS", "EventDecoder", "RejectCode"]

NEVER_MS = 2**62
"""The present, for who reads again: events are compared with the timestamps of their records alone."""

_RECORD_END_MS = 10**14
"""The year 5138: a record from then on has its timestamp in another unit, so it has none."""


class EventDecoder:
    """Decodes events by the mapping and the declared properties of one campaign.

    It keeps nothing between calls, so threads may share one.

    Args:
        mapping: Where the parts of an event stand.
        types: Declared event types; `EventBatch.type_code` is the index here.
        numbers: Paths of numeric properties, in the order of `EventBatch.number`.
        categories: Paths of categorical properties, in the order of `EventBatch.category`.

    Raises:
        CampaignError: `mapping.timestamp_earliest` is no time, or `mapping.time_zone` no time zone.
    """

    def __init__(
        self,
        mapping: EventMapping,
        types: Sequence[str],
        numbers: Sequence[str],
        categories: Sequence[str],
    ) -> None:
        paths = EventPaths.of(mapping, numbers, categories)
        self._counted = paths.counted
        try:
            self._judge = Judge(mapping, paths, types)
            zone = time_zone(mapping.time_zone)
        except ValueError as exc:
            raise CampaignError(f"events.time_zone: {exc}") from exc
        self._reader = FieldReader(paths, types, zone, strict=mapping.strict)
        self._value_bytes_max = mapping.value_bytes_max
        self._ahead_max_ms = duration_ms(mapping.timestamp_ahead_max)
        try:
            self._earliest_ms = text_ms(mapping.timestamp_earliest)
        except ValueError as exc:
            raise CampaignError(
                "events.timestamp_earliest: expected an ISO 8601 date or time, "
                f"got {mapping.timestamp_earliest!r}"
            ) from exc

    def decode(self, chunk: RecordChunk, now_ms: int) -> Decoded:
        """The events of a chunk, the records that are none, and what could not be read.

        Args:
            chunk: n records.
            now_ms: The present, epoch milliseconds, for records without a timestamp: no event is
                later than its record, whoever reads it and whenever.

        Returns:
            The spans of the events share the chunk's buffer where no text had to be rewritten.
        """
        size = chunk.value.size
        received_ms = chunk.timestamp_ms
        is_known = (received_ms >= max(self._earliest_ms, 0)) & (received_ms < _RECORD_END_MS)
        clock = Clock(
            np.where(is_known, received_ms, -1), np.where(is_known, received_ms, now_ms),
            self._earliest_ms, self._ahead_max_ms,
        )  # fmt: skip
        found = scan(chunk.value, (size >= 0) & (size <= self._value_bytes_max), self._reader.trie)
        rows = self._reader.read(found, clock)
        examples = self._examples(chunk, clock, rows.tally)
        rejects = []
        texts = []
        ahead = rows.ahead
        data_bytes = len(found.data)
        for i in np.flatnonzero(~rows.ok).tolist():
            try:
                judged = self._judge.judge(chunk.value[i], _times(clock, i))
            except Refused as exc:
                rejects.append(Reject(i, exc.code, str(exc)))
                continue
            _put(rows, i, judged.event, data_bytes)
            self._count(rows, judged, examples)
            ahead += judged.is_ahead
            texts.append(judged.event.customer + (judged.event.event_id or b""))
            data_bytes += len(texts[-1])
        data = found.data if not texts else append_bytes(found.data, b"".join(texts))
        present, unreadable = rows.tally[:, PRESENT], rows.tally[:, UNREADABLE]
        flaws = Flaws(self._counted, present, unreadable, ahead, rows.types, examples)
        return Decoded(_batch(chunk, rows, data), rejects, flaws)

    def _examples(self, chunk: RecordChunk, clock: Clock, tally: Int64s) -> dict[str, str]:
        """One sentence about each path of which the kernels could not read a value."""
        examples: dict[str, str] = {}
        first = tally[tally[:, UNREADABLE] > 0, FIRST]
        for i in np.unique(first).tolist():
            judged = self._judge.judge(chunk.value[i], _times(clock, i))
            self._keep(judged, examples)
        return examples

    def _keep(self, judged: Judged, examples: dict[str, str]) -> None:
        for path, sentence in judged.unreadable:
            examples.setdefault(self._counted[path], sentence)

    def _count(self, rows: Rows, judged: Judged, examples: dict[str, str]) -> None:
        """Counts a judged event as the kernels count theirs."""
        rows.types[judged.event.type_code] += 1
        rows.tally[judged.present, PRESENT] += 1
        for path, _ in judged.unreadable:
            rows.tally[path, UNREADABLE] += 1
        self._keep(judged, examples)


def _times(clock: Clock, i: int) -> Times:
    """What the time of record i may be."""
    return Times(
        int(clock.record_ms[i]), int(clock.limit_ms[i]), clock.earliest_ms, clock.ahead_max_ms
    )


def _put(rows: Rows, i: int, event: Event, text_at: int) -> None:
    """Writes a judged event as row i; its customer and event id will stand at `text_at`."""
    rows.ok[i] = True
    rows.customer_start[i] = text_at
    rows.customer_size[i] = len(event.customer)
    rows.event_id_start[i] = text_at + len(event.customer)
    rows.event_id_size[i] = -1 if event.event_id is None else len(event.event_id)
    rows.time_ms[i] = event.time_ms
    rows.type_code[i] = event.type_code
    rows.consent[i] = event.consent
    rows.number[:, i] = event.numbers
    rows.category[:, i] = np.array(event.categories, np.uint64)


def _batch(chunk: RecordChunk, rows: Rows, data: Bytes) -> EventBatch:
    """The rows that are events."""
    record = np.flatnonzero(rows.ok)
    keep = record if len(record) < len(chunk) else slice(None)
    event_id = Spans(data, rows.event_id_start[keep], rows.event_id_size[keep])
    return EventBatch(
        record=record,
        offset=chunk.offset[keep],
        received_ms=chunk.timestamp_ms[keep],
        time_ms=rows.time_ms[keep],
        customer=Spans(data, rows.customer_start[keep], rows.customer_size[keep]),
        event_id=event_id,
        event_hash=event_hashes(event_id),
        type_code=rows.type_code[keep],
        number=np.ascontiguousarray(rows.number[:, keep]),
        category=np.ascontiguousarray(rows.category[:, keep]),
        consent=rows.consent[keep],
    )
