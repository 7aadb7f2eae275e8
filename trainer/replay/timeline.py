"""History in the order of the stream, and the features that the worker would have had in it.

Rules of this file
1. Features come from `stream.features.plan.apply_raw` alone: the kernel of the worker.
2. The order is that of `stream.record_order`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from stream.columns import EventBatch, Float64s, Int16s, Int64s, Spans, UInt64s
from stream.compiled.linked import linked
from stream.features.plan import FeaturePlan, apply_raw
from stream.record_order import passes
from stream.state.table import CustomerTable
from trainer.replay.actions import Actions
from trainer.replay.spill import Shard

_EVENTS_PER_CALL = 2048  # their features stay in the cache


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """The n events of one shard in the order of their replay, without those that are repeated.

    Attributes:
        shard: Its partition and bucket.
        table: The customers; knows their ids, holds no state.
        topic: Index of the topic in the campaign. Shape (n,), int64.
        row: Row of the customer in `table`. Shape (n,), int64.
        person: Whose the event is in the end, when logins have carried it over: numbers from 0 on.
            Shape (n,), int64.
        emptied: Row of the id before a login, which it carries over, else -1. Shape (n,), int64; or
            of none, without logins.
        offset: Kafka offset. Shape (n,), int64.
        time_ms: Event time, epoch milliseconds. Shape (n,), int64.
        type_code: As in `EventBatch`. Shape (n,), int16.
        number: As in `EventBatch`. Shape (numbers, n), float64.
        category: As in `EventBatch`. Shape (categories, n), uint64.
        actions: What was done to these customers.
        repeated: Events that were left out, since other records told of them before.
    """

    shard: Shard
    table: CustomerTable
    topic: Int64s
    row: Int64s
    person: Int64s
    emptied: Int64s
    offset: Int64s
    time_ms: Int64s
    type_code: Int16s
    number: Float64s
    category: UInt64s
    actions: Actions
    repeated: int = 0

    def __len__(self) -> int:
        return len(self.row)

    def batch(self, index: Int64s) -> EventBatch:
        """Some events of one topic as the worker has them."""
        nulls = Spans(np.empty(0, np.uint8), np.zeros_like(index), np.full_like(index, -1))
        return EventBatch(
            record=index,
            offset=self.offset[index],
            received_ms=self.time_ms[index],
            time_ms=self.time_ms[index],
            customer=self.table.key_spans(self.row[index]),
            event_id=nulls,
            event_hash=np.zeros(len(index), np.uint64),  # none of them is repeated
            type_code=self.type_code[index],
            number=self.number[:, index],
            category=self.category[:, index],
            consent=np.empty((0, len(index)), np.int8),  # no feature is made of it
            consent_only=np.zeros(len(index), np.bool_),
        )


def replay_blocks(
    plan: FeaturePlan, timeline: Timeline, wanted: Int64s
) -> Iterator[tuple[Int64s, Float64s]]:
    """The features right after some events, neither transformed nor normalized, a block at a time.

    Args:
        plan: The features.
        timeline: n events.
        wanted: Events to read the features after, each once. Shape (m,), int64.

    Yields:
        Which of the wanted, and their features: shapes (k,), int64, and (k, F), float64, NaN where
        missing. The blocks have each of the m once.
    """
    place = np.full(len(timeline), -1, np.int64)
    place[wanted] = np.arange(len(wanted))
    # Nobody asks what becomes of a customer after the last event that is wanted.
    together = linked(timeline.row, timeline.emptied)
    last = np.full(timeline.table.rows, -1, np.int64)
    np.maximum.at(last, together[wanted], wanted)
    needed = np.flatnonzero(np.arange(len(timeline)) <= last[together])
    state = np.zeros((timeline.table.rows, plan.row_words))
    values = np.empty((min(len(needed), _EVENTS_PER_CALL), len(plan.names)))
    for topic, run in passes(together[needed], timeline.topic[needed]):
        for start in range(0, len(run), _EVENTS_PER_CALL):
            part = needed[run[start : start + _EVENTS_PER_CALL]]
            out = values[: len(part)]
            emptied = timeline.emptied[part] if len(timeline.emptied) else timeline.emptied
            batch = timeline.batch(part)
            apply_raw(plan, state, timeline.row[part], batch, topic, out, emptied)
            keep = np.flatnonzero(place[part] >= 0)
            if len(keep):
                yield place[part[keep]], out[keep]
