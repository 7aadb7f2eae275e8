"""A history cut into shards that fit into memory: chunks of records in, timelines out.

A shard holds some of the customers of one partition, with all their events. Half of
`training.memory_mb` is for the events of all shards, which go to disk when there are more of them;
the other half is for features (`trainer.examples.values`). What stays in memory besides are the ids of the
customers, and one shard at a time while it is worked on.

Rules of this file
1. In which shard a customer is depends on partition and id alone; so do all results, whatever comes
   first when topics are read.
2. Bounds in event time are exact here: since <= time < until.
3. A record is an event, a decision, or counted in `rejects`.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np

from stream.campaign.file import Campaign
from stream.campaign.words import duration_ms
from stream.codecs import event_decoder
from stream.columns import EventBatch, Int64s, RecordChunk, Spans
from stream.decisions.reader import DecisionReader
from stream.events.decoder import NEVER_MS
from stream.features.plan import FeaturePlan
from stream.keys.key_sample import KeySample
from stream.keys.spread import Spread
from stream.record_order import NOT_SEEN_MS, event_times, merged, places, seen
from stream.schemas.registry import registry_of
from stream.state.table import CustomerTable
from trainer.history.gaps import Gap, Missing
from trainer.history.source import Bounds
from trainer.replay.actions import (
    ACTION,
    Actions,
    Records,
    TreatmentReader,
    decision_reader,
    of_decisions,
)
from trainer.replay.buckets import by_bucket, misplaced, spread_of
from trainer.replay.coverage import Coverage
from trainer.replay.flaw_counts import FlawCounts
from trainer.replay.kept_events import column, event_dtype, kept_events, repeated_events
from trainer.replay.linked_shards import LinkedShards
from trainer.replay.lives import FORGOTTEN, epochs, lives
from trainer.replay.spill import Shard, Spill
from trainer.replay.timeline import Timeline


class Shards:
    """Takes in a history, chunk by chunk.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        folder: An empty folder for what does not fit into memory.
        bounds: Which events count; offsets are for those who read.

    Attributes:
        rejects: What is no event, by reason code; of the decision topic with "decision_" before it.
        flaws: What could not be read in the events, and what never came.
        coverage: What of the topics was read.
        events: Events that count.
        start_ms: Oldest event time, epoch milliseconds.
        logs_nothing: Whether treatments say that nothing was done.
        keys: Keys of the event topics, and which partitioner has placed them.
        end_ms: How far the history goes: the newest event time, or when the record came in if the
            event says that it is from later.

    Raises:
        TrainingError: The campaign cannot learn from what it says it learns from.
    """

    def __init__(self, campaign: Campaign, plan: FeaturePlan, folder: Path, bounds: Bounds) -> None:
        self.rejects: Counter[str] = Counter()
        self.flaws = FlawCounts(campaign, plan)
        self.events = 0
        self.keys = KeySample()
        self.start_ms = np.iinfo(np.int64).max
        self.end_ms = np.iinfo(np.int64).min
        self._bounds = bounds
        self._topics = {name: i for i, name in enumerate(campaign.topics.events)}
        outcome = plan.event_types.index(campaign.training.outcome)
        window_ms = duration_ms(campaign.training.attribution_window)
        self.coverage = Coverage(bounds, outcome, window_ms)
        self.logs_nothing = False
        self._nothing = len(campaign.strategies)
        self._remembered = plan.layout.remembered
        self._decision_topic = campaign.topics.decisions
        self._decoder = event_decoder(campaign, plan, registry_of(campaign.events))
        by_decisions = campaign.training.learn_from == "decisions"
        self._treatments = None if by_decisions else TreatmentReader(campaign, plan.event_types)
        self._decisions = decision_reader(campaign) if by_decisions else None
        self._memory_bytes = campaign.training.memory_mb * 2**20 // 2
        self._records = Spill(folder, "events", event_dtype(plan))
        self._actions = Spill(folder, "actions", ACTION)
        self._tables: dict[Shard, CustomerTable] = {}
        self._linked: LinkedShards | None = None
        if plan.layout.emptied_by:
            self._linked = LinkedShards(
                folder, self._records, self._actions, self._tables, self._memory_bytes
            )
        self._next_offset: dict[tuple[str, int], int] = {}
        self._seen_ms: dict[tuple[str, int], int] = {}  # newest event time

    @property
    def customers(self) -> int:
        """Customers that have events, each once."""
        return self.spread.customers

    @property
    def spread(self) -> Spread:
        """Customers that have events, and how many of them in several partitions."""
        return spread_of(self._tables)

    @property
    def misplaced(self) -> str:
        """What to do about keys that not one partitioner has placed; "" when nothing says so."""
        partitions = max((partition for _, partition in self._next_offset), default=0) + 1
        return misplaced(self.keys, partitions, self.customers)

    def add(self, chunk: RecordChunk) -> None:
        """Takes in a chunk of an event topic, or of the decision topic when it is learned from.

        Of the decision topic a gap costs actions, and nothing that is learned from the others.

        Raises:
            ValueError: It is of another topic, or not beyond the last one of its partition.
            TrainingError: The disk is full.
        """
        if isinstance(chunk, Gap) and chunk.topic in self._topics:
            self.coverage.mark(chunk)
        if len(chunk) == 0:
            return
        origin = chunk.topic, chunk.partition
        if chunk.offset[0] < self._next_offset.get(origin, 0):
            raise ValueError(
                f"expected {chunk.topic}/{chunk.partition} from offset "
                f"{self._next_offset[origin]} on, got a chunk from {chunk.offset[0]}"
            )
        self._next_offset[origin] = int(chunk.offset[-1]) + 1
        if chunk.topic in self._topics:
            self._add_events(chunk, self._topics[chunk.topic])
        elif chunk.topic == self._decision_topic and self._decisions is not None:
            self._add_decisions(chunk, self._decisions)
        else:
            raise ValueError(f"expected a topic that is learned from, got {chunk.topic}")
        if self._records.memory_bytes + self._actions.memory_bytes > self._memory_bytes:
            self._records.flush()
            self._actions.flush()

    def shards(self) -> list[Shard]:
        """The shards that hold anything, in the order of their numbers."""
        moved_to = self._linked.shards() if self._linked else set()
        return sorted(self._records.shards() | self._actions.shards() | moved_to)

    def missing(self) -> list[Missing]:
        """What was not read of the event topics in the partitions that have customers."""
        return self.coverage.missing({shard.partition for shard in self._tables})

    def timeline(self, shard: Shard) -> Timeline:
        """Everything about the customers of a shard."""
        if self._linked is None:
            records, acted = self._records.load(shard), self._actions.load(shard)
            table = self._tables.get(shard, CustomerTable(1))
        else:
            records, acted, table = self._linked.load(shard)
        records = records[merged(records["topic"], records["seen_ms"])]
        row = column(records, "row")
        if self._linked is None:
            gone = repeated = repeated_events(records, row, self._remembered)
            person, emptied = row, row[:0]
        else:
            emptied = column(records, "emptied")
            repeated = repeated_events(records, epochs(row, emptied == row), self._remembered)
            person = np.full(len(row), FORGOTTEN)
            person[~repeated] = lives(row[~repeated], emptied[~repeated])
            gone = (person == FORGOTTEN) | (emptied == row)
            person, emptied = np.unique(person, return_inverse=True)[1], emptied[~gone]
        place = places(records["offset"], records["element"])
        actions = Actions.of(acted, column(records, "topic"), place, row)
        actions, records = actions.without(gone), records[~gone]
        return Timeline(
            shard=shard,
            table=table,
            topic=column(records, "topic"),
            row=row[~gone],
            person=person[~gone],
            emptied=emptied,
            offset=column(records, "offset"),
            time_ms=column(records, "time_ms"),
            type_code=records["type_code"].copy(),
            number=np.ascontiguousarray(records["number"].T),
            category=np.ascontiguousarray(records["category"].T),
            actions=actions,
            repeated=int(repeated.sum()),
        )

    def _seen(self, chunk: RecordChunk, batch: EventBatch) -> Int64s:
        """`record_order.seen` of the whole partition: a shard has a part of its records."""
        origin = chunk.topic, chunk.partition
        seen_ms = seen(event_times(chunk, batch), self._seen_ms.get(origin, NOT_SEEN_MS))
        self._seen_ms[origin] = int(seen_ms[-1])
        return seen_ms

    def _add_events(self, chunk: RecordChunk, topic: int) -> None:
        self.keys.add(chunk)
        for piece in self._decoder.pieces(chunk):
            self._add_piece(piece, topic)

    def _add_piece(self, chunk: RecordChunk, topic: int) -> None:
        decoded = self._decoder.decode(chunk, NEVER_MS)
        seen_ms = self._seen(chunk, decoded.batch)
        batch = decoded.batch.history()
        self.rejects.update(reject.code for reject in decoded.rejects)
        self.flaws.add(decoded.flaws)
        if len(batch) == 0:
            return
        # Outcomes were waited for until records came in, not until the future that one may tell of.
        received_ms = np.where(batch.received_ms >= 0, batch.received_ms, batch.time_ms)
        reached_ms = np.minimum(batch.time_ms, received_ms)
        inside = self._bounds.inside(batch.time_ms)
        if batch.forgets is not None:
            inside |= batch.forgets  # whoever is forgotten is forgotten, now or later
        self.coverage.pass_by(chunk, batch, reached_ms)
        if self._treatments is not None:
            sent, records = self._treatments.read(chunk, batch, topic)
            self.logs_nothing |= bool((records["strategy"] == self._nothing).any())
            if len(sent):
                self.coverage.holds_treatments(chunk.topic)
            kept = inside[sent]
            self._add_actions(chunk.partition, batch.customer.take(sent[kept]), records[kept])
        if not inside.any():
            return
        customer, events = kept_events(batch, np.flatnonzero(inside), topic, self._records.dtype)
        events["seen_ms"] = seen_ms[batch.record[inside]]
        if self._linked:
            events["emptied"] = self._linked.note(chunk.partition, batch)[inside]
        counted = inside & ~batch.consent_only
        self.events += int(counted.sum())
        if counted.any():
            self.start_ms = min(self.start_ms, int(batch.time_ms[counted].min()))
            self.end_ms = max(self.end_ms, int(reached_ms[counted].max()))
        for bucket, index in by_bucket(customer):
            shard = Shard(chunk.partition, bucket)
            if shard not in self._tables:
                self._tables[shard] = CustomerTable(1)
            mine = events[index]
            mine["row"] = self._tables[shard].rows_for(customer.take(index))
            self._records.add(shard, mine)

    def _add_decisions(self, chunk: RecordChunk, reader: DecisionReader) -> None:
        decided, rejects = reader.read(chunk)
        self.rejects.update({f"decision_{code}": count for code, count in rejects.items()})
        inside = self._bounds.inside(decided.time_ms)
        for partition in np.unique(decided.partition):
            mine = np.flatnonzero(inside & (decided.partition == partition))
            self._add_actions(
                int(partition), decided.customer.take(mine), of_decisions(decided, mine)
            )

    def _add_actions(self, partition: int, customer: Spans, records: Records) -> None:
        for bucket, index in by_bucket(customer):
            self._actions.add(Shard(partition, bucket), records[index])
