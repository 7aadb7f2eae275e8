"""What workers published: the decisions of one partition as columns, each with its vector.

Rules of this file
1. A record is read as it stands; whether it can be compared is for `causes` to say.
2. Of a decision that is not asked about, only its place stays: its vector takes no memory.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from stream.columns import Bools, Float32s, Int64s, RecordChunk, Spans
from stream.decisions.reader import Decision, epoch_ms, parse, vectors
from stream.record_order import places
from stream.state.table import CustomerTable
from trainer.history.source import Bounds


@dataclass(frozen=True, slots=True)
class Scope:
    """Which decisions are asked about.

    Attributes:
        share: Share of the customers; each with its whole history.
        since_ms: Decisions about events before this event time are left out.
        until_ms: Those about events from this event time on, too.
    """

    share: float = 1.0
    since_ms: int | None = None
    until_ms: int | None = None

    def has_customers(self, keys: Spans) -> Bools:
        """Which customers are in the sample: the same ones every time. Shape (n,), bool."""
        if self.share >= 1.0:
            return np.ones(len(keys), np.bool_)
        below = self.share * (1 << 32)
        return np.array([zlib.crc32(keys[i] or b"") < below for i in range(len(keys))], np.bool_)

    def has_times(self, time_ms: Int64s) -> Bools:
        """Which event times are asked about. Shape (n,), bool."""
        return Bounds(self.since_ms, self.until_ms).inside(time_ms)


@dataclass(frozen=True, slots=True)
class Logged:
    """n decisions in the order of their publication.

    Attributes:
        record: Offset in the decision topic. Shape (n,), int64, as are all but the last two.
        row: Row of the customer in the table that the reader was given.
        topic: Index of the event topic in the campaign, -1 for another one.
        partition: Partition of the event.
        offset: Offset of the event.
        element: Its index in the batch of its record, -1 for a record.
        decided_ms: When the worker took the event, epoch milliseconds by its clock.
        model: Code of the model.
        contract: Code of the feature contract.
        vector: Row in `vectors`; -1 for none of the right size, or one that is not asked about.
        asked: Whether the decision is in the scope. Shape (n,), bool.
        vectors: What was scored. Shape (m, F), float32.
        unreadable: Offsets in the decision topic of records that do not tell their event.
    """

    record: Int64s
    row: Int64s
    topic: Int64s
    partition: Int64s
    offset: Int64s
    element: Int64s
    decided_ms: Int64s
    model: Int64s
    contract: Int64s
    vector: Int64s
    asked: Bools
    vectors: Float32s
    unreadable: Int64s

    def __len__(self) -> int:
        return len(self.offset)

    @property
    def place(self) -> Int64s:
        """Place of the event in its partition, as `record_order.places` says it. Shape (n,), int64."""
        return places(self.offset, self.element)

    def about(self, topic: int, partition: int) -> Int64s:
        """Decisions about events of a topic partition by place, then as they were published."""
        mine = np.flatnonzero((self.topic == topic) & (self.partition == partition))
        return mine[np.argsort(self.place[mine], kind="stable")]


_COLUMNS = (
    "record", "row", "topic", "partition", "offset", "element", "decided_ms", "model", "contract",
    "vector", "asked",
)  # fmt: skip


@dataclass(eq=False)
class LoggedReader:
    """Collects the decisions of one partition.

    Attributes:
        topics: Index of each event topic of the campaign.
        features: Numbers in a vector, F.
        codes: Numbers for the names of models and contracts; new ones are added.
        scope: What is asked about.
        table: Finds the rows of customers; new ones are added.
    """

    topics: Mapping[str, int]
    features: int
    codes: dict[str, int]
    scope: Scope
    table: CustomerTable

    def __post_init__(self) -> None:
        self._columns: list[Int64s] = []
        self._vectors: list[Float32s] = [np.empty((0, self.features), np.float32)]
        self._vectors_so_far = 0
        self._unreadable: list[int] = []

    def add(self, chunk: RecordChunk) -> None:
        """Takes the next records of the partition.

        Raises:
            CorruptRecords: The headers of a record do not follow the format.
        """
        sampled = np.flatnonzero(self.scope.has_customers(chunk.key))
        readable, decoded = self._decoded(chunk, sampled)
        if len(readable) == 0:
            return
        columns = np.array(decoded, np.int64).T
        asked = self.scope.has_times(columns[0])
        wanted = np.flatnonzero(asked)
        found, scored = vectors(chunk, readable[wanted], self.features)
        place = np.full(len(readable), -1, np.int64)
        place[wanted[found]] = self._vectors_so_far + np.arange(len(scored))
        self._vectors.append(scored)
        self._vectors_so_far += len(scored)
        rows = self.table.rows_for(chunk.key.take(readable))
        self._columns.append(
            np.stack([chunk.offset[readable], rows, *columns[1:], place, asked.astype(np.int64)])
        )

    def _decoded(self, chunk: RecordChunk, records: Int64s) -> tuple[Int64s, list[tuple[int, ...]]]:
        """The records that tell their event, and of each the columns from event time to contract."""
        decoded, readable = [], []
        data = chunk.value.data.data
        start, size = chunk.value.start.tolist(), chunk.value.size.tolist()
        for i in records.tolist():
            decision = parse(data[start[i] : start[i] + max(size[i], 0)])
            if decision is None:
                self._unreadable.append(int(chunk.offset[i]))
                continue
            readable.append(i)
            decoded.append(self._row(decision))
        return np.array(readable, np.int64), decoded

    def _row(self, decision: Decision) -> tuple[int, ...]:
        data, codes = decision.data, self.codes
        return (
            epoch_ms(data.event.time),
            self.topics.get(data.event.topic, -1),
            data.event.partition,
            data.event.offset,
            data.event.element,
            epoch_ms(decision.time),
            codes.setdefault(data.model, len(codes)),
            codes.setdefault(data.feature_contract, len(codes)),
        )

    def finish(self) -> Logged:
        """All that was read; the reader is done."""
        none = np.empty((len(_COLUMNS), 0), np.int64)
        columns = np.concatenate([none, *self._columns], axis=1)
        vectors = np.concatenate(self._vectors)
        self._columns, self._vectors = [], []
        unreadable = np.array(self._unreadable, np.int64)
        named = dict(zip(_COLUMNS, columns, strict=True))
        asked = named.pop("asked") > 0
        return Logged(**named, asked=asked, vectors=vectors, unreadable=unreadable)
