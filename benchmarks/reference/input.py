"""The input of the reference job: seeded columns, the bytes of their events, and a topic of them.

Rules of this file
1. One seed, one size: one input, to the last byte, on every machine. The order of the draws is part
   of that; a test holds the hash.
2. Customers are heavy-tailed: about a twentieth of them cause half of the events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt
from confluent_kafka import Producer

from benchmarks.cluster import Cluster
from benchmarks.errors import BenchmarkError

EVENT_TYPES = ("view", "search", "cart", "purchase", "email_open", "email_click")
_CHANNELS = ("web", "app", "email")
_TYPE_SHARES = (0.55, 0.15, 0.1, 0.05, 0.1, 0.05)
_FIRST_WITH_VALUE = EVENT_TYPES.index("cart")
_START_MS = 1_760_000_000_000
_SEED = 7

_EVENT = (
    '{"event_id":"%016x","customer_id":"c%08d","type":"%s","timestamp":%d,'
    '"properties":{"value":%.2f,"category":"cat-%d","channel":"%s","currency":"EUR"},'
    '"consent":%s}'
)
_SLICE_EVENTS = 50_000
_FLUSH_S = 120.0
_RECENT_MS = 30 * 60_000
_WITHDRAWING = 20

Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Input:
    """n events as columns, in the order in which they happened.

    Attributes:
        number: Event id. Shape (n,), int64.
        customer: Customer number. Shape (n,), int64.
        kind: Index into `EVENT_TYPES`. Shape (n,), int64.
        timestamp_ms: Event time, epoch milliseconds, rising. Shape (n,), int64.
        value: Money with two decimals, 0 for a view or a search. Shape (n,), float64.
        category: Shape (n,), int64.
        channel: Index of the channel. Shape (n,), int64.
        grants: Whether the customer consents. Shape (n,), bool.
    """

    number: Int64s
    customer: Int64s
    kind: Int64s
    timestamp_ms: Int64s
    value: npt.NDArray[np.float64]
    category: Int64s
    channel: Int64s
    grants: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.number)

    def slice(self, start: int, stop: int) -> Input:
        """The events start <= i < stop."""
        return Input(*(getattr(self, column.name)[start:stop] for column in fields(self)))

    def records(self) -> Iterator[tuple[bytes, bytes]]:
        """Key and value of each event."""
        types = np.array(EVENT_TYPES, dtype=object)[self.kind]
        channels = np.array(_CHANNELS, dtype=object)[self.channel]
        consents = np.array(("false", "true"), dtype=object)[self.grants.astype(np.int64)]
        columns = (self.number, self.customer, types, self.timestamp_ms, self.value,
                   self.category, channels, consents)  # fmt: skip
        for row in zip(*(column.tolist() for column in columns), strict=True):
            yield b"c%08d" % row[1], (_EVENT % row).encode()


def generate(events: int, customers: int) -> Input:
    """The input of the reference job."""
    rng = np.random.default_rng(_SEED)
    kind = rng.choice(len(EVENT_TYPES), events, p=_TYPE_SHARES)
    customer = (rng.pareto(1.2, events) * customers / 20).astype(np.int64) % customers
    timestamp_ms = _START_MS + np.cumsum(rng.integers(0, 2000, events))
    value = np.round(rng.gamma(2, 20, events), 2)
    value[kind < _FIRST_WITH_VALUE] = 0.0
    category = rng.integers(0, 40, events)
    channel = rng.choice(len(_CHANNELS), events)
    grants = np.ones(events, np.bool_)
    return Input(np.arange(events), customer, kind, timestamp_ms, value, category, channel, grants)


def recent(events: Input, newest_ms: int) -> Input:
    """The same events in the half hour before a time, where a twentieth of the customers withdraw consent.

    Decisions about them have not expired, so that they contact somebody, and are counted.
    """
    n = len(events)
    timestamp_ms = newest_ms - _RECENT_MS + np.arange(n) * _RECENT_MS // n
    withdrawn = (events.customer % _WITHDRAWING == 0) & (events.number % 3 == 0)
    return replace(events, timestamp_ms=timestamp_ms, grants=~withdrawn)


def load(
    cluster: Cluster, topic: str, events: Input, advance: Callable[[int], object] = lambda _: None
) -> None:
    """Appends events to a topic, each to the partition of its customer.

    Args:
        cluster: Where.
        topic: An existing topic.
        events: What.
        advance: Called with the number of events that were handed over since the last call.

    Raises:
        BenchmarkError: Not all of them are there afterwards.
    """
    before = cluster.records(topic)
    producer = Producer(
        {
            "bootstrap.servers": cluster.bootstrap,
            "log_level": 3,  # not what it tries again by itself
            "enable.idempotence": True,  # or a retry changes the order
            "linger.ms": 50,
            "batch.size": 500_000,
            "queue.buffering.max.messages": 2 * _SLICE_EVENTS,
            "partitioner": "murmur2_random",  # of the Java client
        }
    )
    for start in range(0, len(events), _SLICE_EVENTS):
        part = events.slice(start, start + _SLICE_EVENTS)
        for key, value in part.records():
            producer.produce(topic, value, key)
        # Two slices fit into the queue: the next one may be written while this one leaves.
        while len(producer) > _SLICE_EVENTS:
            producer.poll(0.01)
        advance(len(part))
    producer.flush(_FLUSH_S)
    loaded = cluster.records(topic) - before
    if loaded != len(events):
        raise BenchmarkError(f"expected {len(events)} events in {topic}, the broker has {loaded}")
