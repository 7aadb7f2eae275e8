"""Customer events: from the bytes of one chunk to columns, and the reasons for what is no event.

Rules of this file
1. No Python loop over good records: the kernels read them; only what they give up on is judged one
   by one.
2. A bad record costs its neighbours nothing: every record is a row, or a `Reject`, or a `Reject` and a
   row that holds nothing but what the record denies of consent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.campaign.file import EventMapping
from stream.campaign.purposes import Purpose, general_purpose
from stream.campaign.words import duration_ms
from stream.columns import Bytes, EventBatch, RecordChunk, Reject, Spans
from stream.errors import CampaignError
from stream.events.consent.hearing import Hearing
from stream.events.consent.places import ConsentPlaces
from stream.events.consent.vocabulary import UNREADABLE
from stream.events.fields import FieldReader, Rows
from stream.events.paths import EventPaths
from stream.events.reasons import Judge
from stream.events.scan import append_bytes, scan
from stream.events.timestamps import iso_ms
from stream.events.verdict import Event, Refused, RejectCode

__all__ = ["NEVER_MS", "EventDecoder", "RejectCode"]

_UNREADABLE_RECORDS_MAX = 64

NEVER_MS = 2**62
"""The present, for who reads again: events are compared with the timestamps of their records alone."""


class EventDecoder:
    """Decodes events by the mapping and the declared properties of one campaign.

    It keeps nothing between calls, so threads may share one.

    Args:
        mapping: Where the parts of an event stand.
        types: Declared event types; `EventBatch.type_code` is the index here.
        numbers: Paths of numeric properties, in the order of `EventBatch.number`.
        categories: Paths of categorical properties, in the order of `EventBatch.category`.
        purposes: What a customer may consent to, in the order of `EventBatch.consent`; when not given
            the general one.

    Raises:
        CampaignError: `mapping.timestamp_earliest` is no time.
    """

    def __init__(
        self,
        mapping: EventMapping,
        types: Sequence[str],
        numbers: Sequence[str],
        categories: Sequence[str],
        purposes: Sequence[Purpose] = (),
    ) -> None:
        paths = EventPaths.of(mapping, numbers, categories)
        consent = ConsentPlaces(mapping, purposes or (general_purpose(mapping),))
        self._reader = FieldReader(paths, consent, types)
        self._judge = Judge(mapping, paths, types, Hearing(consent))
        self._value_bytes_max = mapping.value_bytes_max
        self._ahead_max_ms = duration_ms(mapping.timestamp_ahead_max)
        try:
            self._earliest_ms = iso_ms(mapping.timestamp_earliest)
        except ValueError as exc:
            raise CampaignError(
                "events.timestamp_earliest: expected an ISO 8601 date or time, "
                f"got {mapping.timestamp_earliest!r}"
            ) from exc

    def decode(self, chunk: RecordChunk, now_ms: int) -> tuple[EventBatch, list[Reject]]:
        """The events of a chunk in order of offsets, and the records that are none.

        Args:
            chunk: n records.
            now_ms: The present, epoch milliseconds. An event may not be far after it, nor after the
                timestamp of its record: who reads the record again later must not judge otherwise.

        Returns:
            The events, whose spans share the chunk's buffer where no text had to be rewritten, and
            the rejects in order of offsets; together n, but that a reject which denies consent has a
            row of its own, see `EventBatch.consent_only`.
        """
        size = chunk.value.size
        received_ms = chunk.timestamp_ms
        known_ms = np.where(received_ms >= 0, np.minimum(received_ms, now_ms), now_ms)
        latest_ms = known_ms + self._ahead_max_ms
        found = scan(chunk.value, (size >= 0) & (size <= self._value_bytes_max), self._reader.trie)
        rows = self._reader.read(found, received_ms, self._earliest_ms, latest_ms)
        rejects = []
        texts = []
        data_bytes = len(found.data)
        for i in np.flatnonzero(~rows.ok).tolist():
            times_ms = int(received_ms[i]), self._earliest_ms, int(latest_ms[i])
            try:
                event = self._judge.judge(chunk.value[i], *times_ms)
            except Refused as exc:
                rejects.append(Reject(i, exc.code, str(exc)))
                if exc.denial is None:
                    continue
                event = exc.denial
                rows.consent_only[i] = True
            _put(rows, i, event, data_bytes)
            texts.append(event.customer + (event.event_id or b""))
            data_bytes += len(texts[-1])
        data = found.data if not texts else append_bytes(found.data, b"".join(texts))
        return _batch(chunk, rows, data), rejects

    def unreadable(self, chunk: RecordChunk, batch: EventBatch) -> list[tuple[str, str]]:
        """What the records of a batch say of consent that nobody can read: path and text, each once.

        Args:
            chunk: The records.
            batch: What they were decoded to. At most its first 64 such records are looked at.
        """
        records = batch.record[(batch.consent == UNREADABLE).any(axis=0)]
        looked_at = records[:_UNREADABLE_RECORDS_MAX].tolist()
        said = (one for i in looked_at for one in self._judge.unreadable(chunk.value[i]))
        return list(dict.fromkeys(said))


def _put(rows: Rows, i: int, event: Event, text_at: int) -> None:
    """Writes a judged event as row i; its customer and event id will stand at `text_at`."""
    rows.ok[i] = True
    rows.customer_start[i] = text_at
    rows.customer_size[i] = len(event.customer)
    rows.event_id_start[i] = text_at + len(event.customer)
    rows.event_id_size[i] = -1 if event.event_id is None else len(event.event_id)
    rows.time_ms[i] = event.time_ms
    rows.type_code[i] = event.type_code
    rows.consent[:, i] = event.consent
    rows.number[:, i] = event.numbers
    rows.category[:, i] = np.array(event.categories, np.uint64)


def _batch(chunk: RecordChunk, rows: Rows, data: Bytes) -> EventBatch:
    """The rows that are events."""
    record = np.flatnonzero(rows.ok)
    keep = record if len(record) < len(chunk) else slice(None)
    return EventBatch(
        record=record,
        offset=chunk.offset[keep],
        received_ms=chunk.timestamp_ms[keep],
        time_ms=rows.time_ms[keep],
        customer=Spans(data, rows.customer_start[keep], rows.customer_size[keep]),
        event_id=Spans(data, rows.event_id_start[keep], rows.event_id_size[keep]),
        type_code=rows.type_code[keep],
        number=np.ascontiguousarray(rows.number[:, keep]),
        category=np.ascontiguousarray(rows.category[:, keep]),
        consent=np.ascontiguousarray(rows.consent[:, keep]),
        consent_only=rows.consent_only[keep],
    )
