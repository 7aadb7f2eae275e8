"""Small histories of a shop with three event topics, as records, for tests of the trainer."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from stream.campaign.file import Campaign
from stream.columns import Int64s, RecordChunk, Spans
from stream.decisions.encoder import DecisionEncoder
from stream.events.decoder import EventDecoder
from stream.features.plan import FeaturePlan
from stream.policy.decision import DecisionBatch, Dropped
from trainer.history.source import EVERYTHING, Bounds, OnRecords
from trainer.replay.shards import Shards
from trainer.replay.timeline import Timeline

DAY_MS = 86_400_000
START_MS = 1_700_000_000_000
TYPES = ("Order Completed", "Strategy Sent", "Coupon Redeemed")
TOPICS = ("orders", "sends", "redemptions")

CAMPAIGN = """
app = "shop"
[topics]
events = ["orders", "sends", "redemptions"]
[[features]]
op = "count"
events = ["Order Completed", "Strategy Sent", "Coupon Redeemed"]
half_lives = ["5d"]
[[features]]
op = "sum"
name = "revenue"
events = ["Order Completed"]
property = "properties.revenue"
half_lives = ["20d"]
[[features]]
op = "recency"
events = ["Strategy Sent"]
[[features]]
op = "window_count"
events = ["Order Completed"]
window = "7d"
[[features]]
op = "last"
events = ["Order Completed"]
property = "properties.revenue"
[[features]]
op = "share"
events = ["Order Completed"]
property = "properties.category"
half_lives = ["20d"]
buckets = 4
[[strategies]]
id = "mail"
[[strategies]]
id = "call"
[decisions]
on = ["Order Completed"]
[training]
outcome = "Coupon Redeemed"
attribution_window = "10d"
validation_share = 0.3
learning_rate = 0.01
epochs = 12
batch_size = 64
"""


@dataclass(frozen=True)
class Event:
    """One event: of which topic and type, whose, when, and what it says."""

    kind: int
    customer: str
    time_ms: int
    revenue: float = 0.0
    strategy: object = ""
    propensity: float | None = None
    identity: str | None = None

    def json(self) -> bytes:
        properties: dict[str, object] = {"revenue": self.revenue, "category": self.customer}
        if self.strategy:
            properties["strategy"] = self.strategy
        if self.propensity is not None:
            properties["propensity"] = self.propensity
        return json.dumps(
            {
                "type": "track",
                "event": TYPES[self.kind],
                "userId": self.customer,
                "messageId": self.identity,
                "timestamp": self.time_ms,
                "properties": properties,
            }
        ).encode()


def partition_of(customer: str, partitions: int) -> int:
    return sum(customer.encode()) % partitions


def chunk_of(
    topic: str, partition: int, first: int, values: list[bytes],
    received_ms: Sequence[int] | None = None,
) -> RecordChunk:  # fmt: skip
    """Records with neighbouring offsets; if nothing else is said, decisions came in time and all others late."""
    if received_ms is None:
        late_ms = 0 if topic == "decisions" else 1000 * DAY_MS
        received_ms = [START_MS + late_ms] * len(values)
    return RecordChunk(
        topic=topic,
        partition=partition,
        offset=np.arange(first, first + len(values)),
        timestamp_ms=np.array(received_ms, np.int64),
        key=Spans.of([b"key"] * len(values)),
        value=Spans.of(list(values)),
        next_offset=first + len(values),
    )


def chunks(events: Iterable[Event], partitions: int = 1, size: int = 3) -> list[RecordChunk]:
    """The events as they stand in the topics, one topic after the other."""
    events = list(events)
    made = []
    for kind, topic in enumerate(TOPICS):
        for partition in range(partitions):
            here = [
                event
                for event in events
                if event.kind == kind and partition_of(event.customer, partitions) == partition
            ]
            made += [
                chunk_of(
                    topic,
                    partition,
                    low,
                    [event.json() for event in here[low : low + size]],
                    [event.time_ms for event in here[low : low + size]],
                )
                for low in range(0, len(here), size)
            ]
    return made


@dataclass(frozen=True)
class Memory:
    """A history in memory, as a source."""

    records: list[RecordChunk]

    def chunks(
        self, topics: Sequence[str], on_records: OnRecords | None = None
    ) -> Iterator[RecordChunk]:
        yield from (chunk for chunk in self.records if chunk.topic in topics)


def shards_of(
    records: Iterable[RecordChunk],
    campaign: Campaign,
    plan: FeaturePlan,
    folder: str | Path = "/nowhere",
    bounds: Bounds = EVERYTHING,
) -> Shards:
    """The shards of some records; without a folder they have to fit into memory."""
    shards = Shards(campaign, plan, Path(folder), bounds)
    for chunk in records:
        shards.add(chunk)
    return shards


def timelines_of(
    events: Iterable[Event], campaign: Campaign, plan: FeaturePlan, partitions: int = 1
) -> list[Timeline]:
    shards = shards_of(chunks(events, partitions), campaign, plan)
    assert not shards.rejects
    return [shards.timeline(shard) for shard in shards.shards()]


def histories(*, late: bool, customers: int = 4) -> st.SearchStrategy[list[Event]]:
    """Up to 40 events of some customers within 50 days; if not late, in order of their times."""
    event = st.builds(
        Event,
        kind=st.sampled_from([0, 0, 0, 1, 2]),
        customer=st.sampled_from(["ann", "bob", "cyd", "dee"][:customers]),
        time_ms=st.integers(START_MS, START_MS + 50 * DAY_MS),
        revenue=st.sampled_from([0.0, 1.5, 20.0]),
        strategy=st.sampled_from(["mail", "call", "fax"]),
    )
    events = st.lists(event, min_size=1, max_size=40, unique_by=lambda e: e.time_ms)
    return events if late else events.map(lambda found: sorted(found, key=lambda e: e.time_ms))


def shop(customers: int, seed: int) -> list[Event]:
    """A shop where mail works for those who spend much, a call for those who spend little."""
    random = np.random.default_rng(seed)
    events = []
    for c in range(customers):
        rich = random.random() < 0.5
        day = random.uniform(0, 10)
        while day < 200:
            at = START_MS + round(day * DAY_MS)
            events.append(Event(0, f"c{c}", at, 200.0 if rich else 2.0))
            if random.random() < 0.5:
                strategy = "mail" if random.random() < 0.5 else "call"
                events.append(Event(1, f"c{c}", at + 3_600_000, strategy=strategy))
                if random.random() < (0.6 if (strategy == "mail") == rich else 0.05):
                    events.append(Event(2, f"c{c}", at + 2 * DAY_MS))
            day += random.uniform(12, 30)
    return sorted(events, key=lambda event: event.time_ms)


def decisions_about(
    campaign: Campaign,
    chunk: RecordChunk,
    index: Sequence[int],
    strategy: Sequence[int],
    propensity: Sequence[float],
    decided_ms: int = START_MS + 999 * DAY_MS,
    chances: Int64s | None = None,
    held_out: Sequence[int] = (),
) -> list[bytes]:
    """What a worker publishes about some events of a chunk, by its own encoder."""
    batch = EventDecoder(campaign.events, (), (), ()).decode(chunk, START_MS + 1000 * DAY_MS).batch
    n, nothing = len(index), np.full(len(index), np.nan, np.float32)
    chosen = DecisionBatch(
        strategy=np.array(strategy, np.int16),
        score=nothing,
        probability=nothing,
        probability_without=nothing,
        expected_value=np.zeros(n),
        action_probability=np.array(propensity, np.float64),
        reason=np.zeros(n, np.int8),
        dropped=np.full((n, len(campaign.strategies)), Dropped.LOWER_VALUE, np.int8),
        chances=np.empty((n, 0), np.int64) if chances is None else chances,
        explored=np.zeros(n, np.bool_),
        held_out=np.array(held_out or [0] * n, np.int64),
        ghost=np.full(n, -1, np.int16),
        retry_ms=np.empty((n, 0), np.int64),
        not_before_ms=np.zeros(n, np.int64),
    )
    values = DecisionEncoder(campaign, chunk.topic).encode(
        batch, np.array(index), chosen, partition=chunk.partition,
        model_version="m", contract_digest="c", decided_ms=decided_ms,
    )  # fmt: skip
    return [value for i in range(n) if (value := values[i]) is not None]
