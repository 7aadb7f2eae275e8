"""Decisions that lie in the decision topic, for whoever is about to decide about the same events.

Both forms are read. The flat form says in its headers which event it is about and when it expires
(`stream.decisions.place_header`); one that was written before it said so is not known again.

Rules of this file
1. The first decision about an event is the one that counts, as for those who read the topic.
2. Of a topic that was begun anew, offsets of before are others: the epoch is part of its name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import msgspec
import numpy as np
from msgspec import Struct

from models.errors import NO_JSON
from stream.campaign.file import Campaign
from stream.columns import Bools, EventBatch, Int64s, RecordChunk
from stream.contacts.published_contacts import (
    EXPIRES_MS,
    GONE,
    NONE_PUBLISHED,
    STRATEGY,
    UNSAID,
    PublishedRows,
)
from stream.decisions.place_header import Place, log_name, read_place
from stream.decisions.reader import Action, Event, Moment, epoch_ms
from stream.kafka.headers import read_headers
from stream.policy.decision import NOTHING
from stream.record_order import places


class _Data(Struct, frozen=True):
    action: Action
    event: Event
    not_before: Moment | None = None
    ghost: str | None = None


class _CloudEvent(Struct, frozen=True):
    id: str
    time: Moment
    expirytime: Moment
    data: _Data


class _Flat(Struct, frozen=True):
    strategy: str
    decided_at: int
    not_before: int | None = None
    ghost: str | None = None


_cloudevent = msgspec.json.Decoder(_CloudEvent).decode
_flat = msgspec.json.Decoder(_Flat).decode


class Published(NamedTuple):
    """What was published about m events of one topic.

    Attributes:
        place: Of each event, see `record_order.places`, rising. Shape (m,), int64.
        rows: What was. Shape (m, 5), int64.
    """

    place: Int64s
    rows: PublishedRows

    def of(self, batch: EventBatch) -> tuple[Bools, PublishedRows]:
        """Which of n events are among them, shape (n,), and the rows of all n, or of none."""
        wanted = places(batch.offset, batch.element)
        at = np.minimum(np.searchsorted(self.place, wanted), len(self.place) - 1)
        known = self.place[at] == wanted
        if not known.any():
            return known, NONE_PUBLISHED
        rows = self.rows[at].copy()
        rows[~known, : STRATEGY + 2] = UNSAID
        return known, rows

    @property
    def end(self) -> int:
        """Place after the last one."""
        return int(self.place[-1]) + 1


class _Told(NamedTuple):
    topic: str
    place: Place
    row: list[int]


class PublishedDecisions:
    """Collects decisions about the events of one partition.

    Args:
        campaign: The campaign file.
        covered: Next offset by event topic: of events before it nothing is collected.

    Attributes:
        records: How many were read.
        foreign: How many of them are no decisions about this partition.
    """

    def __init__(self, campaign: Campaign, covered: Mapping[str, int]) -> None:
        self._covered = dict(covered)
        self._log = {topic: log_name(campaign, topic) for topic in campaign.topics.events}
        ids = [*(strategy.id for strategy in campaign.strategies), NOTHING]
        self._index = {name: k for k, name in enumerate(ids)}
        self._found: dict[str, list[tuple[Place, list[int]]]] = {}
        self.records = self.foreign = 0

    def read(self, chunk: RecordChunk) -> Bools:
        """Collects from records of the decision topic; tells which are about what is not covered."""
        self.records += len(chunk)
        beyond = np.zeros(len(chunk), np.bool_)
        for i in range(len(chunk)):
            told = self._read(chunk, i)
            if told is None:
                self.foreign += 1
            elif told.place.offset >= self._covered.get(told.topic, 0):
                beyond[i] = True
                self._found.setdefault(told.topic, []).append((told.place, told.row))
        return beyond

    def _read(self, chunk: RecordChunk, i: int) -> _Told | None:
        value = chunk.value[i] or b""
        try:
            one = _cloudevent(value)
        except NO_JSON:
            return self._read_flat(chunk, i, value)
        event, decided_ms = one.data.event, epoch_ms(one.time)
        log = self._log.get(event.topic)
        if log is None or event.partition != chunk.partition or not _is_about(one.id, log, event):
            return None
        out_ms = decided_ms if one.data.not_before is None else epoch_ms(one.data.not_before)
        row = self._row(one.data.action.strategy, one.data.ghost, decided_ms, out_ms)
        place = Place(event.offset, event.element, epoch_ms(one.expirytime))
        return _Told(event.topic, place, [*row, place.expires_ms])

    def _read_flat(self, chunk: RecordChunk, i: int, value: bytes) -> _Told | None:
        headers = None if chunk.headers is None else chunk.headers[i]
        log, place = read_place(read_headers(headers))
        topic = log.partition("~")[0]
        if place is None or self._log.get(topic) != log:
            return None
        try:
            one = _flat(value)
        except NO_JSON:
            return None
        row = self._row(one.strategy, one.ghost, one.decided_at, one.not_before or one.decided_at)
        return _Told(topic, place, [*row, place.expires_ms])

    def _row(self, strategy: str, ghost: str | None, decided_ms: int, out_ms: int) -> list[int]:
        would_be = UNSAID if ghost is None else self._index.get(ghost, GONE)
        return [self._index.get(strategy, GONE), would_be, decided_ms, out_ms]

    def found(self) -> Iterator[tuple[str, Published]]:
        """What was collected, by event topic."""
        for topic, told in self._found.items():
            offset = np.array([place.offset for place, _ in told], np.int64)
            element = np.array([place.element for place, _ in told], np.int64)
            place, first = np.unique(places(offset, element), return_index=True)
            rows = np.array([row for _, row in told], np.int64).reshape(-1, EXPIRES_MS + 1)
            yield topic, Published(place, rows[first])


def _is_about(decision_id: str, log: str, event: Event) -> bool:
    """Whether an id is about an event of this log: the id has the epoch of the topic, the event has not."""
    place = f"{log}-{event.partition}-{event.offset}"
    return decision_id.startswith(place) and decision_id[len(place) : len(place) + 1] in ("-", ".")
