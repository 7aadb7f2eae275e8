"""Customer events: from the bytes of one chunk to columns, and the reasons for what is no event.

Rules of this file
1. No Python loop over good records: the kernels read them; only what they give up on is judged one
   by one.
2. A bad record costs its neighbours nothing: every record is a row, or a `Reject`, or a `Reject` and a
   row that holds nothing but what the record denies of consent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.campaign.file import EventMapping
from stream.campaign.purposes import Purpose, general_purpose
from stream.campaign.words import duration_ms
from stream.columns import (
    Bools,
    Bytes,
    CategoryColumn,
    EventBatch,
    Int64s,
    RecordChunk,
    Reject,
    Spans,
)
from stream.errors import CampaignError
from stream.events.cloudevents.envelopes import Envelopes, ValueFormat, Values
from stream.events.consent import vocabulary
from stream.events.consent.hearing import Hearing
from stream.events.consent.places import ConsentPlaces
from stream.events.consent.vocabulary import NOT_SAID
from stream.events.event_hash import event_hashes
from stream.events.fields import Clock, FieldReader, Rows
from stream.events.flaws import FIRST, PRESENT, UNREADABLE, Decoded, Flaws
from stream.events.id_kernels import plain_word
from stream.events.json_object import json_object
from stream.events.paths import EventPaths, Trie
from stream.events.present import Event, Refused, RejectCode
from stream.events.reasons import Judge, Judged
from stream.events.scan import Scan, append_bytes, scan
from stream.events.times.judged_times import Times
from stream.events.times.timestamps import text_ms
from stream.keys.tombstones import customer_of, tombstones

__all__ = ["NEVER_MS", "EventDecoder", "RejectCode"]

_UNREADABLE_RECORDS_MAX = 64

NEVER_MS = 2**62
"""The present, for who reads again: events are compared with the timestamps of their records alone."""

_RECORD_END_MS = 10**14
"""The year 5138: a record from then on has its timestamp in another unit, so it has none."""


@dataclass(frozen=True, slots=True)
class _JsonValues:
    found: Scan

    def root(self, i: int, value: bytes) -> dict[str, Any]:
        return json_object(value)


class _Json:
    """JSON, whose last word has the judge."""

    def read(
        self, value: Spans, eligible: Bools, trie: Trie, headers: Spans | None = None
    ) -> Values:
        """As `ValueFormat.read`."""
        return _JsonValues(scan(value, eligible, trie))


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
        value_format: How values are written, None for JSON.
        columns: What is kept of lists of categories and of time zones, behind `categories`.

    Raises:
        CampaignError: A path is none, `mapping.timestamp_earliest` is no time, or `mapping.time_zone` no time zone.
    """

    def __init__(
        self,
        mapping: EventMapping,
        types: Sequence[str],
        numbers: Sequence[str],
        categories: Sequence[str],
        purposes: Sequence[Purpose] = (),
        value_format: ValueFormat | None = None,
        columns: Sequence[CategoryColumn] = (),
    ) -> None:
        more = tuple(dict.fromkeys(column.path for column in columns))
        paths = EventPaths.of(mapping, numbers, categories, more)
        self._counted = paths.counted
        consent = ConsentPlaces(mapping, purposes or (general_purpose(mapping),))
        try:
            self._judge = Judge(mapping, paths, types, Hearing(consent), columns)
            self._reader = FieldReader(mapping, paths, consent, types, columns)
        except ValueError as exc:
            raise CampaignError(f"events.time_zone: {exc}") from exc
        self._format = value_format or _Json()
        if mapping.cloudevents:
            self._format = Envelopes(self._format)
        self._value_bytes_max = mapping.value_bytes_max
        self._tombstones = mapping.tombstones
        self._no_customers = frozenset(plain_word(word.encode()) for word in ("", *mapping.no_ids))
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
            The spans of the events share the chunk's buffer where no text had to be rewritten. A reject
            that denies consent has a row of its own, and so has a tombstone that forgets: see
            `EventBatch.consent_only`.
        """
        size = chunk.value.size
        received_ms = chunk.timestamp_ms
        is_known = (received_ms >= max(self._earliest_ms, 0)) & (received_ms < _RECORD_END_MS)
        clock = Clock(
            np.where(is_known, received_ms, -1), np.where(is_known, received_ms, now_ms),
            self._earliest_ms, self._ahead_max_ms,
        )  # fmt: skip
        eligible = (size >= 0) & (size <= self._value_bytes_max)
        values = self._format.read(chunk.value, eligible, self._reader.trie, chunk.headers)
        found = values.found
        rows = self._reader.read(found, clock)
        examples = self._examples(chunk, values, clock, rows.tally)
        rejects = []
        texts = []
        ahead = rows.ahead
        data_bytes = len(found.data)
        dead = tombstones(chunk) & (self._tombstones != "letter")
        left_out = dead & (self._tombstones == "ignore")
        for i in np.flatnonzero(~rows.ok & ~left_out).tolist():
            try:
                if dead[i]:
                    event = self._forgotten(chunk, clock, i, rows)
                    rows.forgets[i] = True
                else:
                    judged = self._judged(chunk, values, clock, i)
                    event = judged.event
                    rows.identified[i] = judged.is_identified
                    self._count(rows, judged, examples)
                    ahead += judged.is_ahead
            except Refused as exc:
                rejects.append(Reject(i, exc.code, str(exc)))
                dead[i] = False
                if exc.denial is None:
                    continue
                event = exc.denial
                rows.consent_only[i], rows.identified[i] = True, False
            texts.append(_put(rows, i, event, data_bytes))
            data_bytes += len(texts[-1])
        rows.consent_only[rows.forgets], rows.identified[rows.forgets] = True, False
        data = found.data if not texts else append_bytes(found.data, b"".join(texts))
        present, unreadable = rows.tally[:, PRESENT], rows.tally[:, UNREADABLE]
        flaws = Flaws(self._counted, present, unreadable, ahead, rows.types, examples)
        identified = rows.identified[rows.ok]
        return Decoded(_batch(chunk, rows, data), rejects, flaws, identified, int(dead.sum()))

    def _forgotten(self, chunk: RecordChunk, clock: Clock, i: int, rows: Rows) -> Event:
        """The row of a tombstone that forgets a customer.

        Raises:
            Refused: Its key names none.
        """
        try:
            customer = customer_of(chunk.key[i] or b"", self._no_customers)
        except ValueError as exc:
            reason = f"expected the customer as key of a tombstone, got {exc}"
            raise Refused("null_value", reason) from exc
        said, time_ms = [NOT_SAID] * len(rows.consent), max(int(clock.record_ms[i]), 0)
        return Event.bare(customer, time_ms, said, len(rows.number), len(rows.category))

    def _judged(self, chunk: RecordChunk, values: Values, clock: Clock, i: int) -> Judged:
        root = values.root(i, self._judge.bounded(chunk.value[i]))
        record_ms, limit_ms = int(clock.record_ms[i]), int(clock.limit_ms[i])
        times = Times(record_ms, limit_ms, clock.earliest_ms, clock.ahead_max_ms)
        return self._judge.judge_root(root, times)

    def _examples(
        self, chunk: RecordChunk, values: Values, clock: Clock, tally: Int64s
    ) -> dict[str, str]:
        """One sentence about each path of which the kernels could not read a value."""
        examples: dict[str, str] = {}
        first = tally[tally[:, UNREADABLE] > 0, FIRST]
        for i in np.unique(first).tolist():
            self._keep(self._judged(chunk, values, clock, i), examples)
        return examples

    def _keep(self, judged: Judged, examples: dict[str, str]) -> None:
        for path, sentence in judged.unreadable:
            examples.setdefault(self._counted[path], sentence)

    def _count(self, rows: Rows, judged: Judged, examples: dict[str, str]) -> None:
        """Counts a judged event as the kernels count theirs."""
        rows.types[judged.event.type_code] += 1
        np.add.at(rows.tally[:, PRESENT], judged.present, 1)  # one may be there several times
        for path, _ in judged.unreadable:
            rows.tally[path, UNREADABLE] += 1
        self._keep(judged, examples)

    def unreadable(self, chunk: RecordChunk, batch: EventBatch) -> list[tuple[str, str]]:
        """What the records of a batch say of consent that nobody can read: path and text, each once.

        Args:
            chunk: The records.
            batch: What they were decoded to. At most its first 64 such records are looked at.
        """
        records = batch.record[(batch.consent == vocabulary.UNREADABLE).any(axis=0)]
        part = chunk.take(records[:_UNREADABLE_RECORDS_MAX])
        everyone = np.ones(len(part), np.bool_)
        values = self._format.read(part.value, everyone, self._reader.trie, part.headers)
        said: list[tuple[str, str]] = []
        for i in range(len(part)):
            said += self._judge.unreadable(values.root(i, part.value[i] or b""))
        return list(dict.fromkeys(said))


def _put(rows: Rows, i: int, event: Event, text_at: int) -> bytes:
    """Writes a judged event as row i; returns its ids, which have to stand at `text_at`."""
    rows.ok[i] = True
    rows.customer_start[i] = text_at
    rows.customer_size[i] = len(event.customer)
    rows.event_id_start[i] = text_at + len(event.customer)
    rows.event_id_size[i] = -1 if event.event_id is None else len(event.event_id)
    event_id, previous = event.event_id or b"", event.previous or b""
    rows.previous_start[i] = rows.event_id_start[i] + len(event_id)
    rows.previous_size[i] = len(previous) or -1
    rows.time_ms[i] = event.time_ms
    rows.type_code[i] = event.type_code
    rows.consent[:, i] = event.consent
    rows.number[:, i] = event.numbers
    rows.category[:, i] = np.array(event.categories, np.uint64)
    return event.customer + event_id + previous


def _batch(chunk: RecordChunk, rows: Rows, data: Bytes) -> EventBatch:
    """The rows that are events."""
    record = np.flatnonzero(rows.ok)
    keep = record if len(record) < len(chunk) else slice(None)
    event_id = Spans(data, rows.event_id_start[keep], rows.event_id_size[keep])
    previous = Spans(data, rows.previous_start[keep], rows.previous_size[keep])
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
        consent=np.ascontiguousarray(rows.consent[:, keep]),
        consent_only=rows.consent_only[keep],
        previous=previous if (previous.size >= 0).any() else None,
        forgets=rows.forgets[keep] if rows.forgets.any() else None,
    )
