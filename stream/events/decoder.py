"""Customer events: from the bytes of one chunk to columns, and the reasons for what is no event.

Rules of this file
1. No Python loop over good records: the kernels read them; only what they give up on is judged one
   by one.
2. A bad record costs its neighbours nothing: every record is a row, or a `Reject`, or a `Reject` and a
   row that holds nothing but what the record denies of consent.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.campaign.file import EventMapping
from stream.campaign.purposes import Purpose, general_purpose
from stream.campaign.words import duration_ms
from stream.columns import Bools, CategoryColumn, EventBatch, Int64s, RecordChunk, Reject, Spans
from stream.errors import CampaignError
from stream.events.batches.event_lines import Lines
from stream.events.batches.judged_rows import Left, event_batch
from stream.events.batches.pieces import events_bound, pieces
from stream.events.batches.unfolding import Unfolding
from stream.events.cloudevents.envelopes import Envelopes, ValueFormat, Values
from stream.events.consent import vocabulary
from stream.events.consent.hearing import Hearing
from stream.events.consent.places import ConsentPlaces
from stream.events.consent.vocabulary import NOT_SAID
from stream.events.fields import Clock, FieldReader, Rows
from stream.events.flaws import FIRST, PRESENT, UNREADABLE, Decoded, Flaws
from stream.events.id_kernels import plain_word
from stream.events.json_object import json_object
from stream.events.paths import EVENT_ID, EventPaths, Trie
from stream.events.present import Event, Refused, RejectCode
from stream.events.reasons import Judge, Judged
from stream.events.record_headers.header_values import beside_headers
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
        self._format = beside_headers(self._format, self._reader.node_of)
        own = (*paths.bare[EVENT_ID], *paths.enveloped[EVENT_ID])
        self._unfolding = None if mapping.batch is None else Unfolding(mapping, self._reader, own)
        self._most = mapping.batch_events_max
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
        eligible = (size >= 0) & (size <= self._value_bytes_max)
        values = self._format.read(chunk.value, eligible, self._reader.trie, chunk.headers)
        roots = _Roots(chunk, values, self._judge)
        lines, clock = Lines.whole(values.found), self._clock(chunk.timestamp_ms, now_ms)
        if self._unfolding is not None:
            lines = self._unfolding.lines(values.found, chunk, eligible, roots)
            clock = clock.of(lines.record)
        rows = self._reader.read(lines.found, clock, lines.heard)
        left = Left(self._examples(lines, roots, clock, rows.tally), len(lines.found.data))
        dead = (tombstones(chunk) & (self._tombstones != "letter"))[lines.record]
        left_out = dead & (self._tombstones == "ignore")
        for i in np.flatnonzero(~rows.ok & ~left_out).tolist():
            try:
                denied = None
                if dead[i]:
                    left.put(rows, i, self._forgotten(chunk, lines, clock, i, rows))
                    rows.forgets[i] = True
                    continue
                if not lines.is_empty(i):
                    self._take(rows, i, self._judged(lines, roots, clock, i), left)
                    continue
                left.empty += 1
                if not lines.is_quiet(i):
                    times = _times(clock, i)
                    denied = self._judge.denial(roots(int(lines.record[i])), times)
            except Refused as exc:
                reject = Reject(int(lines.record[i]), exc.code, str(exc), lines.place(i))
                left.rejects.append(reject)
                dead[i], denied = False, exc.denial
            if denied is not None:
                rows.consent_only[i], rows.identified[i] = True, False
                left.put(rows, i, denied)
        rows.consent_only[rows.forgets], rows.identified[rows.forgets] = True, False
        data = lines.found.data
        if left.texts:
            data = append_bytes(data, b"".join(left.texts))
        present, unreadable = rows.tally[:, PRESENT], rows.tally[:, UNREADABLE]
        ahead, lines_read = rows.ahead + left.ahead, len(rows.ok)
        flaws = Flaws(
            self._counted, present, unreadable, ahead, rows.types, left.examples, lines_read, left.empty
        )  # fmt: skip
        batch = event_batch(chunk, lines, rows, data)
        identified = rows.identified[rows.ok]
        return Decoded(batch, left.rejects, flaws, identified, int(dead.sum()))

    def pieces(self, chunk: RecordChunk) -> Iterator[RecordChunk]:
        """The chunk, cut where what it unfolds to would take too much memory at once."""
        return iter((chunk,)) if self._unfolding is None else pieces(chunk, self._most)

    def events_bound(self, chunk: RecordChunk) -> Int64s:
        """How many events each record holds at most. Shape (n,), int64."""
        if self._unfolding is None:
            return np.ones(len(chunk), np.int64)
        return events_bound(chunk.value, self._most)

    def _clock(self, received_ms: Int64s, now_ms: int) -> Clock:
        is_known = (received_ms >= max(self._earliest_ms, 0)) & (received_ms < _RECORD_END_MS)
        return Clock(
            np.where(is_known, received_ms, -1), np.where(is_known, received_ms, now_ms),
            self._earliest_ms, self._ahead_max_ms,
        )  # fmt: skip

    def _forgotten(
        self, chunk: RecordChunk, lines: Lines, clock: Clock, i: int, rows: Rows
    ) -> Event:
        """The row of a tombstone that forgets a customer.

        Raises:
            Refused: Its key names none.
        """
        try:
            customer = customer_of(chunk.key[int(lines.record[i])] or b"", self._no_customers)
        except ValueError as exc:
            reason = f"expected the customer as key of a tombstone, got {exc}"
            raise Refused("null_value", reason) from exc
        said, time_ms = [NOT_SAID] * len(rows.consent), max(int(clock.record_ms[i]), 0)
        return Event.bare(customer, time_ms, said, len(rows.number), len(rows.category))

    def _judged(self, lines: Lines, roots: _Roots, clock: Clock, i: int) -> Judged:
        root, times = roots(int(lines.record[i])), _times(clock, i)
        fault = lines.fault(i, root)
        if fault is not None:
            fault.denial = self._judge.denial(root, times)
            raise fault
        return self._judge.judge_root(lines.root(i, root), times)

    def _examples(self, lines: Lines, roots: _Roots, clock: Clock, tally: Int64s) -> dict[str, str]:
        """One sentence about each path of which the kernels could not read a value."""
        examples: dict[str, str] = {}
        first = tally[tally[:, UNREADABLE] > 0, FIRST]
        for i in np.unique(first).tolist():
            self._keep(self._judged(lines, roots, clock, i), examples)
        return examples

    def _take(self, rows: Rows, i: int, judged: Judged, left: Left) -> None:
        """Puts a judged event into row i, and counts it as the kernels count theirs."""
        left.put(rows, i, judged.event)
        rows.identified[i] = judged.is_identified
        rows.types[judged.event.type_code] += 1
        np.add.at(rows.tally[:, PRESENT], judged.present, 1)  # one may be there several times
        for path, _ in judged.unreadable:
            rows.tally[path, UNREADABLE] += 1
        left.ahead += judged.is_ahead
        self._keep(judged, left.examples)

    def _keep(self, judged: Judged, examples: dict[str, str]) -> None:
        for path, sentence in judged.unreadable:
            examples.setdefault(self._counted[path], sentence)

    def unreadable(self, chunk: RecordChunk, batch: EventBatch) -> list[tuple[str, str]]:
        """What the records of a batch say of consent that nobody can read: path and text, each once.

        Args:
            chunk: The records.
            batch: What they were decoded to. At most its first 64 such records are looked at.
        """
        which = np.flatnonzero((batch.consent == vocabulary.UNREADABLE).any(axis=0))
        which = which[:_UNREADABLE_RECORDS_MAX]
        part = chunk.take(np.unique(batch.record[which]))
        everyone = np.ones(len(part), np.bool_)
        values = self._format.read(part.value, everyone, self._reader.trie, part.headers)
        roots = _Roots(part, values, self._judge)
        said: list[tuple[str, str]] = []
        place = np.searchsorted(np.unique(batch.record[which]), batch.record[which])
        for i, element in zip(place.tolist(), batch.element[which].tolist(), strict=True):
            root = roots(i)
            said += self._judge.unreadable(root)
            if self._unfolding is not None and element >= 0:
                said += self._judge.unreadable(self._unfolding.element(root, element))
        return list(dict.fromkeys(said))


class _Roots:
    """The records as objects; the last one is kept, since its elements come one after the other."""

    def __init__(self, chunk: RecordChunk, values: Values, judge: Judge) -> None:
        self._chunk, self._values, self._judge = chunk, values, judge
        self._kept, self._root = -1, dict[str, Any]()

    def __call__(self, record: int) -> dict[str, Any]:
        """As `RecordRoots`."""
        if record != self._kept:
            value = self._judge.bounded(self._chunk.value[record])
            self._root = self._values.root(record, value)
            self._kept = record
        return self._root


def _times(clock: Clock, i: int) -> Times:
    """What the time of record i may be."""
    return Times(
        int(clock.record_ms[i]), int(clock.limit_ms[i]), clock.earliest_ms, clock.ahead_max_ms
    )
