"""History in the order of the stream, and the features that the worker would have had in it.

Rules of this file
1. Features come from `stream.features.apply` alone, called as the worker calls it.
2. The topics of a partition are merged by event time. Within a topic the order of offsets stays, as
   the worker saw it: a late event is late here too.
3. Customers do not touch each other, so only the order of the events of each customer counts.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from models.contract import Normalization
from stream.campaign import Campaign
from stream.columns import EventBatch, Float64s, Int16s, Int64s, RecordChunk, Spans, UInt64s
from stream.events import EventDecoder
from stream.features import FeaturePlan, apply
from stream.table import CustomerTable

_EVENTS_PER_CALL = 16_384


@dataclass(frozen=True, slots=True)
class Timeline:
    """The n events of one partition in the order of their replay.

    Attributes:
        partition: Its number.
        table: The customers; knows their ids, holds no state.
        topic: Index of the topic in the campaign. Shape (n,), int64.
        row: Row of the customer in `table`. Shape (n,), int64.
        offset: Kafka offset. Shape (n,), int64.
        time_ms: Event time, epoch milliseconds. Shape (n,), int64.
        type_code: As in `EventBatch`. Shape (n,), int16.
        number: As in `EventBatch`. Shape (numbers, n), float64.
        category: As in `EventBatch`. Shape (categories, n), uint64.
        consent: As in `EventBatch`. Shape (n,), int8.
        strategy: Hash of `training.strategy_property`, 0 when missing. Shape (n,), uint64.
    """

    partition: int
    table: CustomerTable
    topic: Int64s
    row: Int64s
    offset: Int64s
    time_ms: Int64s
    type_code: Int16s
    number: Float64s
    category: UInt64s
    consent: npt.NDArray[np.int8]
    strategy: UInt64s

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
            type_code=self.type_code[index],
            number=self.number[:, index],
            category=self.category[:, index],
            consent=self.consent[index],
        )


class Timelines:
    """Collects chunks of event topics into one timeline per partition.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        until_ms: Events from this event time on are left out.

    Attributes:
        rejects: Records that are no events, by reason code.
    """

    def __init__(self, campaign: Campaign, plan: FeaturePlan, until_ms: int | None = None) -> None:
        self.rejects: Counter[str] = Counter()
        self._until_ms = until_ms
        self._topics = {name: i for i, name in enumerate(campaign.topics.events)}
        categories = (*plan.category_paths, campaign.training.strategy_property)
        self._decoder = EventDecoder(
            campaign.events, plan.event_types, plan.number_paths, categories
        )
        self._row_words = plan.row_words
        self._tables: dict[int, CustomerTable] = {}
        self._pieces: dict[int, list[tuple[int, Int64s, EventBatch]]] = defaultdict(list)

    def add(self, chunk: RecordChunk) -> None:
        """Takes the events of a chunk; those of one topic and partition in order of offsets."""
        if len(chunk) == 0:
            return
        # "Now" is when the records came in: an event from the future was refused then as well.
        batch, rejects = self._decoder.decode(chunk, int(chunk.timestamp_ms.max()))
        self.rejects.update(reject.code for reject in rejects)
        table = self._tables.setdefault(chunk.partition, CustomerTable(1))
        rows = table.rows_for(batch.customer)
        self._pieces[chunk.partition].append((self._topics[chunk.topic], rows, batch))

    def finish(self) -> list[Timeline]:
        """The timelines of all partitions that have events."""
        return [
            self._timeline(partition, pieces) for partition, pieces in sorted(self._pieces.items())
        ]

    def _timeline(self, partition: int, pieces: list[tuple[int, Int64s, EventBatch]]) -> Timeline:
        batches = [batch for _, _, batch in pieces]
        topic = np.concatenate([np.full(len(batch), t, np.int64) for t, _, batch in pieces])
        offset = np.concatenate([batch.offset for batch in batches])
        time_ms = np.concatenate([batch.time_ms for batch in batches])
        order = _merged(topic, offset, time_ms)
        if self._until_ms is not None:
            order = order[time_ms[order] < self._until_ms]
        category = np.concatenate([batch.category for batch in batches], axis=1)[:, order]
        return Timeline(
            partition=partition,
            table=self._tables[partition],
            topic=topic[order],
            row=np.concatenate([rows for _, rows, _ in pieces])[order],
            offset=offset[order],
            time_ms=time_ms[order],
            type_code=np.concatenate([batch.type_code for batch in batches])[order],
            number=np.concatenate([batch.number for batch in batches], axis=1)[:, order],
            category=category[:-1],
            consent=np.concatenate([batch.consent for batch in batches])[order],
            strategy=category[-1],
        )


def _merged(topic: Int64s, offset: Int64s, time_ms: Int64s) -> Int64s:
    """The order of replay: by event time between topics, by offset within one."""
    seen_ms = time_ms.copy()
    for t in np.unique(topic):
        of_topic = np.flatnonzero(topic == t)
        seen_ms[of_topic] = np.maximum.accumulate(time_ms[of_topic])
    return np.lexsort((offset, topic, seen_ms))


def replay(plan: FeaturePlan, timeline: Timeline, wanted: Int64s) -> Float64s:
    """The features right after some events, neither transformed nor normalized.

    Args:
        plan: The features.
        timeline: n events.
        wanted: Events to read the features after, each once. Shape (m,), int64.

    Returns:
        Shape (m, F), float64, NaN where missing.
    """
    features = len(plan.names)
    reads_all = replace(plan, raw_columns=np.arange(features))
    identity = Normalization.identity(features)
    state = np.zeros((timeline.table.rows, plan.row_words))
    out = np.empty((len(wanted), features))
    place = np.full(len(timeline), -1, np.int64)
    place[wanted] = np.arange(len(wanted))
    for topic, index in passes(timeline.row, timeline.topic):
        for start in range(0, len(index), _EVENTS_PER_CALL):
            part = index[start : start + _EVENTS_PER_CALL]
            batch = timeline.batch(part)
            applied = apply(reads_all, state, timeline.row[part], batch, topic, identity)
            keep = place[part] >= 0
            out[place[part][keep]] = applied.raw[keep]
    return out


def passes(row: Int64s, topic: Int64s) -> Iterator[tuple[int, Int64s]]:
    """Cuts a timeline into as few runs of one topic as keep the order of each customer's events.

    `apply` takes events of one topic. Cut where the topic changes, a timeline gives almost as many
    runs as events; but pass k can hold what lies between the topic changes k and k + 1 of every
    customer, since only the order of one customer's events counts.

    Args:
        row: Customer of each event, in order. Shape (n,), int64.
        topic: Its topic. Shape (n,), int64.

    Yields:
        A topic, and the events of one run.
    """
    if len(row) == 0:
        return
    by_customer = np.argsort(row, kind="stable")
    customer, theirs = row[by_customer], topic[by_customer]
    first = np.concatenate([[True], customer[1:] != customer[:-1]])
    turn = np.cumsum(np.concatenate([[False], theirs[1:] != theirs[:-1]]))
    turn_of = np.empty_like(turn)
    turn_of[by_customer] = turn - np.repeat(turn[first], np.diff(np.flatnonzero([*first, True])))
    order = np.lexsort((topic, turn_of))  # stable: events of a run stay in order
    ends = np.flatnonzero((np.diff(turn_of[order]) != 0) | (np.diff(topic[order]) != 0)) + 1
    for run in np.split(order, ends):
        yield int(topic[run[0]]), run
