"""The events and decisions of the reference job, read back from the broker as columns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import Struct

from benchmarks.cluster import Cluster
from benchmarks.reference.input import EVENT_TYPES, Int64s
from stream.decisions.reader import parse, parse_flat

Form = Literal["flat", "cloudevents"]
Float64s = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Events:
    """n events: partition after partition, in each in the order of its offsets.

    Attributes:
        id: Event ids.
        customer: Customer ids.
        kind: Index into `EVENT_TYPES`. Shape (n,), int64.
        time_s: Event time, epoch seconds. Shape (n,), float64.
        value: Shape (n,), float64.
        partition: Shape (n,), int64.
        append_ms: When the broker appended it, epoch milliseconds. Shape (n,), int64.
    """

    id: list[str]
    customer: list[str]
    kind: Int64s
    time_s: Float64s
    value: Float64s
    partition: Int64s
    append_ms: Int64s

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True, eq=False)
class Decisions:
    """m decisions: partition after partition, in each in the order of its offsets.

    Attributes:
        event: Id of the event that each is about.
        customer: Customer ids.
        strategy: Number of the strategy, -1 for doing nothing. Shape (m,), int64.
        score: Shape (m,), float64.
        partition: Shape (m,), int64.
        append_ms: When the broker appended it, epoch milliseconds. Shape (m,), int64.
    """

    event: list[str]
    customer: list[str]
    strategy: Int64s
    score: Float64s
    partition: Int64s
    append_ms: Int64s

    def __len__(self) -> int:
        return len(self.event)


class _Properties(Struct, gc=False):
    value: float


class _Event(Struct, gc=False):
    event_id: str
    customer_id: str
    type: str
    timestamp: int
    properties: _Properties


def read_events(cluster: Cluster, topic: str) -> Events:
    """Every event of a topic."""
    kinds = {name: i for i, name in enumerate(EVENT_TYPES)}
    records, partition, append_ms = _read(cluster, topic, msgspec.json.Decoder(_Event).decode)
    return Events(
        id=[event.event_id for event in records],
        customer=[event.customer_id for event in records],
        kind=np.array([kinds[event.type] for event in records], np.int64),
        time_s=np.array([event.timestamp for event in records]) / 1000,
        value=np.array([event.properties.value for event in records], np.float64),
        partition=partition,
        append_ms=append_ms,
    )


def read_decisions(cluster: Cluster, topic: str, form: Form) -> Decisions:
    """Every decision of a topic, whichever form it has."""
    if form == "flat":
        records, partition, append_ms = _read(cluster, topic, parse_flat)
        rows = [(d.event_id, d.customer_id, d.strategy, d.score) for d in records]
    else:
        records, partition, append_ms = _read(cluster, topic, parse)
        rows = [(d.event_id, d.customer, d.data.action.strategy, d.data.score) for d in records]
    events, customers, strategies, scores = (
        (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [], [])
    )
    return Decisions(
        event=events,
        customer=customers,
        strategy=np.array([_number(name) for name in strategies], np.int64),
        score=np.array(scores, np.float64),
        partition=partition,
        append_ms=append_ms,
    )


def read_values(cluster: Cluster, topic: str) -> dict[int, list[bytes]]:
    """The values of every partition of a topic, in the order of their offsets."""
    values: dict[int, list[bytes]] = {}
    for batch in cluster.read(topic):
        for message in batch:
            values.setdefault(message.partition(), []).append(message.value())
    return values


def _read(
    cluster: Cluster, topic: str, decode: Callable[[bytes], Any]
) -> tuple[list[Any], Int64s, Int64s]:
    """Decoded values, partitions and append times, sorted by partition and offset."""
    values: list[Any] = []
    partitions: list[int] = []
    append_ms: list[int] = []
    for batch in cluster.read(topic):
        values += [decode(message.value()) for message in batch]
        partitions += [message.partition() for message in batch]
        append_ms += [message.timestamp()[1] for message in batch]
    assert None not in values, f"{topic}: expected decisions of one form alone"
    partition = np.array(partitions, np.int64)
    order = np.argsort(partition, kind="stable")  # a partition comes in the order of its offsets
    return (
        [values[i] for i in order.tolist()],
        partition[order],
        np.array(append_ms, np.int64)[order],
    )


def _number(strategy: str) -> int:
    name, _, number = strategy.rpartition("-")
    return int(number) if name == "strategy" else -1
