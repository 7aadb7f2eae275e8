"""The decisions and contact rows of one partition, made again with what was published as it was made.

With rules about contacts a decision depends on when it was made, and another champion decides otherwise:
so each event is taken alone, at the time and by the model that its first decision tells.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from stream.columns import Int64s, RecordChunk, Spans
from stream.contacts import contact_records
from stream.contacts.contact_layout import lay_out_contacts
from stream.contacts.contact_table import ContactTable
from stream.decisions.published import Published, PublishedDecisions
from stream.state.table import CustomerTable
from tests.simulation.campaigns import DECISIONS
from tests.simulation.judge.told import Told, about_of, records, without_clock

if TYPE_CHECKING:
    from tests.simulation.world import Era, World
    from tests.stream.worker.order.taken_order import Event

_WHOLE = 1 << 62
_NOW_MS = 1_770_000_000_000

Rows = dict[bytes, bytes]
"""Contact rows by customer, as their changelog has them."""


class Retold:
    """One partition in one era.

    Args:
        world: The history.
        era: Which era.
        partition: Which partition.
        first: The first decision about each event, of all eras.
        known: The contact rows with which the era begins.
    """

    def __init__(
        self, world: World, era: Era, partition: int, first: Mapping[Event, Told], known: Rows
    ) -> None:
        self._world, self._era, self._partition, self._first = world, era, partition, first
        self.table = CustomerTable(era.setup.plan.row_words)
        layout = lay_out_contacts(era.setup.campaign)
        self.contacts = ContactTable(layout) if layout.cells else None
        if self.contacts is not None and known:
            keys = Spans.of(list(known))
            chunk = _as_chunk(keys, Spans.of(list(known.values())))
            key, value = contact_records.encode_layout(layout)
            told = _as_chunk(Spans.of([key]), Spans.of([value]))
            progress = contact_records.ContactProgress()
            for part in (told, chunk):
                contact_records.apply_contact_chunk(part, self.contacts, self.table, progress)

    def decide(self, chunks: Iterator[RecordChunk]) -> dict[Event, tuple[Any, ...]]:
        """What is right about each event that is decided in this era."""
        pieces = (piece for chunk in chunks for piece in self._pieces(chunk))
        return {about: told for piece in pieces for about, told in self._step(piece)}

    def _pieces(self, chunk: RecordChunk) -> Iterator[RecordChunk]:
        if not self._world.settings.rules:
            yield chunk
            return
        for i in range(len(chunk)):
            one = chunk.take(np.array([i]))
            yield replace(one, next_offset=int(one.offset[0]) + 1)

    def _step(self, chunk: RecordChunk) -> Iterator[tuple[Event, tuple[Any, ...]]]:
        setup, tp = self._era.setup, (chunk.topic, self._partition)
        silent_until = {tuple(at): offset for at, offset in self._era.decided.items()}.get(tp, 0)
        deployment, now_ms, published = setup.deployment, _NOW_MS, dict[str, Published]()
        told = self._first.get((chunk.topic, int(chunk.offset[0])))
        if self._world.settings.rules and told is not None:
            now_ms = round(datetime.fromisoformat(told.at).timestamp() * 1000)
            if told.writer.startswith(setup.layout):
                deployment = self._world.deployment_of(told.writer)
            elif told.writer > setup.layout:  # of a later era
                silent_until = chunk.next_offset
            else:
                published = self._adopted(told)
        step = setup.pipeline.step(
            chunk, self.table, deployment, silent_until=silent_until, now_ms=now_ms,
            contacts=self.contacts, published=published,
        )  # fmt: skip
        for batch in step.decisions:
            for _, record in records(bytes(batch.seal(-1, -1, -1))):
                about = about_of(DECISIONS, record.value, {})
                headers = tuple(record.headers)
                yield about, (record.key, without_clock(record.value), headers)

    def _adopted(self, told: Told) -> dict[str, Published]:
        """What a worker of an earlier era has decided."""
        value = told.text[1].replace(b'"time":""', b'"time":"%s"' % told.at.encode(), 1)
        read = PublishedDecisions(self._era.setup.campaign, {})
        read.read(_as_chunk(Spans.of([b"k"]), Spans.of([value]), self._partition))
        return dict(read.found())

    def rows(self) -> Rows:
        """The contact rows after all of it."""
        if self.contacts is None:
            return {}
        some = np.flatnonzero(self.contacts.next_offset.any(axis=1))
        if not len(some):
            return {}
        values = contact_records.encode_contact_rows(self.contacts, some)
        return {
            self.table.key(row): values[i] or b"" for i, row in enumerate(some.tolist())
        }  # fmt: skip


def _as_chunk(key: Spans, value: Spans, partition: int = 0) -> RecordChunk:
    at: Int64s = np.arange(len(key))
    return RecordChunk(DECISIONS, partition, at, at, key, value, len(key))


def written_rows(world: World, era: Era, partition: int, end: int = _WHOLE) -> Rows:
    """The contact rows as a restore finds them before an offset: of two, the one that has seen more."""
    topic = contact_records.topic_name(era.setup.campaign.app)
    layout = lay_out_contacts(era.setup.campaign)
    seen = slice(
        contact_records.HEADER_BYTES, contact_records.HEADER_BYTES + 8 * len(layout.topics)
    )
    rows: Rows = {}
    for stored in world.broker.log(topic, partition).batches:
        if stored.base >= end:
            break
        for _, record in records(stored.data):
            if record.key.startswith(b"\xff"):
                continue
            new = np.frombuffer(record.value[seen], np.int64)
            before = rows.get(record.key)
            if before is None or not (new < np.frombuffer(before[seen], np.int64)).any():
                rows[record.key] = record.value
    return rows
