"""The referee of the fault tests: recomputes everything from the event topics and compares.

What must hold after any fault, once the workers have caught up and stopped:
  a  every event has a decision in its partition, every other record a dead letter as it came
  b  what is published twice is the same, but for the wall clock: key, value and headers
  c  the newest row of every customer is, byte for byte, the one that comes of applying the events
     of the partition once, in order
  d  everything is committed, and the changelog's marker says so
  e  the decisions are those of a computation that nothing disturbed

Between several event topics the right order is the one in which the decisions stand on their topic
for the first time; by that order everything is recomputed. Would a replay take another order, then
its decisions or the rows would differ.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
from aiokafka.record import MemoryRecords
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from models.bundle import Bundle
from stream import changelog
from stream.columns import RecordChunk, Spans
from stream.features import compile_features
from stream.pipeline import Deployment, Pipeline
from stream.policy import Policy
from stream.records import RecordBatch
from stream.scores import Scorer
from stream.table import CustomerTable
from tests.fault_harness import Scene

NOW_MS = 1_770_000_000_000
_CHUNK = 4_096
_WALL_CLOCK = re.compile(rb'"(?:time|expirytime)":"[^"]*"|"decided_at":\d+')

Record = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]
"""Key, value and headers."""


def read(bootstrap: str, topic: str, partition: int) -> list[Message]:
    """All records of a partition, those of aborted transactions too."""
    settings = {
        "bootstrap.servers": bootstrap, "group.id": "referee", "enable.auto.commit": False,
        "enable.partition.eof": True, "isolation.level": "read_uncommitted",
    }  # fmt: skip
    consumer = Consumer(settings)
    found: list[Message] = []
    try:
        consumer.assign([TopicPartition(topic, partition, 0)])
        while True:
            for message in consumer.consume(10_000, timeout=1):
                error = message.error()
                if error is None:
                    found.append(message)
                elif error.code() == KafkaError._PARTITION_EOF:
                    return found
                else:
                    raise AssertionError(f"{topic}/{partition}: {error}")
    finally:
        consumer.close()


def chunk_of(topic: str, partition: int, messages: Sequence[Message]) -> RecordChunk:
    """The same records as the worker gets them."""
    return RecordChunk(
        topic, partition,
        np.array([message.offset() for message in messages], np.int64),
        np.array([message.timestamp()[1] for message in messages], np.int64),
        _spans([message.key() for message in messages]),
        _spans([message.value() for message in messages]),
        messages[-1].offset() + 1,
    )  # fmt: skip


def _spans(items: Sequence[bytes | None]) -> Spans:
    size = np.array([-1 if item is None else len(item) for item in items], np.int64)
    start = np.concatenate([[0], np.cumsum(np.maximum(size, 0))[:-1]]).astype(np.int64)
    return Spans(np.frombuffer(b"".join(item or b"" for item in items) or b"\0", np.uint8), start, size)


def _records_in(batches: Sequence[RecordBatch]) -> Iterator[Record]:
    for batch in batches:
        whole = MemoryRecords(bytes(batch.seal(-1, -1, -1)))
        while whole.has_next():
            for record in whole.next_batch():
                yield record.key, record.value, tuple(record.headers)


def _timeless(record: Record) -> Record:
    """Without the times of the wall clock; that of the event is inside `event` and stays."""
    key, value, headers = record
    assert value is not None
    head, found, rest = value.partition(b'"data":')
    return key, _WALL_CLOCK.sub(b"", head) + found + rest, headers


class _Ids(msgspec.Struct):
    """The fields that say what a decision is about, in both forms."""

    id: str = ""
    decision_id: str = ""
    model: str = ""
    data: dict[str, Any] = msgspec.field(default_factory=dict)


def _identity(value: bytes) -> tuple[str, str]:
    """Id of a decision and version of the model that made it."""
    ids = msgspec.json.decode(value, type=_Ids)
    return ids.id or ids.decision_id, ids.model or ids.data["model"]


@dataclass
class Verdict:
    """What was seen.

    Attributes:
        events: Records on the event topics.
        decisions: Different decisions.
        duplicates: Decisions beyond the first about an event.
        dead_letters: Different dead letters.
        repeated_letters: Dead letters beyond the first about a record.
        models: Decisions by model version.
    """

    events: int = 0
    decisions: int = 0
    duplicates: int = 0
    dead_letters: int = 0
    repeated_letters: int = 0
    models: dict[str, int] = field(default_factory=dict)


@dataclass
class _Right:
    """What is right for one partition: decisions by id and model, letters by topic and offset."""

    decisions: dict[tuple[str, str], Record] = field(default_factory=dict)
    letters: dict[tuple[str, int], Record] = field(default_factory=dict)
    rows: dict[bytes, bytes] = field(default_factory=dict)


class Verifier:
    """Recomputes and compares.

    Args:
        scene: The campaign as it is now.
        bundles: The models that may have decided; every decision must be that of one of them.
    """

    def __init__(self, scene: Scene, bundles: Sequence[Bundle]) -> None:
        self._scene = scene
        self._campaign = scene.campaign
        self._plan = compile_features(self._campaign)
        self._deployments = {}
        for bundle in bundles:
            scorer = Scorer(bundle)
            policy = Policy(self._campaign, scorer.head, scorer.strategies)
            self._deployments[scorer.version] = Deployment(scorer, policy)

    def verify(self) -> Verdict:
        """Fails with what is wrong, or says what was seen."""
        verdict = Verdict()
        for partition in range(self._scene.partitions):
            self._verify_partition(partition, verdict)
        self._verify_commits()
        return verdict

    def _verify_partition(self, partition: int, verdict: Verdict) -> None:
        scene, topics = self._scene, self._campaign.topics
        events = {topic: read(scene.bootstrap, topic, partition) for topic in scene.topics}
        decisions = read(scene.bootstrap, topics.decisions, partition)
        right = self._recompute(partition, self._in_order(events, decisions))
        verdict.events += sum(map(len, events.values()))
        self._verify_decisions(partition, decisions, right, verdict)
        self._verify_letters(partition, right, verdict)
        self._verify_rows(partition, right)

    def _in_order(
        self, events: Mapping[str, list[Message]], decisions: Sequence[Message]
    ) -> list[tuple[str, list[Message]]]:
        """Runs of records of one topic, in the order in which they were taken."""
        if len(events) == 1:
            return list(events.items())
        position = dict.fromkeys(events, 0)
        runs: list[tuple[str, list[Message]]] = []
        for decision in decisions:
            event = msgspec.json.decode(decision.value() or b"")["data"]["event"]
            topic, offset = event["topic"], event["offset"]
            taken = [m for m in events[topic][position[topic] :] if m.offset() <= offset] \
                if False else self._until(events[topic], position[topic], offset)
            if taken:
                position[topic] += len(taken)
                runs.append((topic, taken))
        runs += [(topic, events[topic][at:]) for topic, at in position.items()]
        return runs

    @staticmethod
    def _until(messages: list[Message], position: int, offset: int) -> list[Message]:
        """Records from `position` on, up to an offset."""
        end = position
        while end < len(messages) and messages[end].offset() <= offset:
            end += 1
        return messages[position:end]

    def _recompute(self, partition: int, runs: Sequence[tuple[str, list[Message]]]) -> _Right:
        right = _Right()
        for version, deployment in self._deployments.items():
            pipeline, table = Pipeline(self._campaign, self._plan), CustomerTable(self._plan.row_words)
            for topic, messages in runs:
                for at in range(0, len(messages), _CHUNK):
                    chunk = chunk_of(topic, partition, messages[at : at + _CHUNK])
                    step = pipeline.step(chunk, table, deployment, silent_until=0, now_ms=NOW_MS)
                    for record in _records_in(step.decisions):
                        right.decisions[_identity(record[1] or b"")] = _timeless(record)
                    for reject, record in zip(
                        step.rejects, _records_in(step.dead_letters), strict=True
                    ):
                        right.letters[topic, int(chunk.offset[reject.record])] = record
            keys, values = changelog.encode_rows(table, np.arange(table.rows))
            right.rows = {keys[i] or b"": values[i] or b"" for i in range(table.rows)}
            del version
        return right

    def _verify_decisions(
        self, partition: int, decisions: Sequence[Message], right: _Right, verdict: Verdict
    ) -> None:
        seen: set[str] = set()
        for message in decisions:
            where = f"{message.topic()}/{partition} offset {message.offset()}"
            got = _timeless((message.key(), message.value(), tuple(message.headers() or ())))
            identity = _identity(message.value() or b"")
            expected = right.decisions.get(identity)
            assert expected is not None, f"{where}: about no event of this partition: {got}"
            assert got == expected, f"{where}: expected {expected}, got {got}"
            verdict.duplicates += identity[0] in seen
            if identity[0] not in seen:
                verdict.models[identity[1]] = verdict.models.get(identity[1], 0) + 1
            seen.add(identity[0])
        missing = {identity[0] for identity in right.decisions} - seen
        assert not missing, f"partition {partition}: {len(missing)} without decision: " + ", ".join(
            sorted(missing)[:20]
        )
        verdict.decisions += len(seen)

    def _verify_letters(self, partition: int, right: _Right, verdict: Verdict) -> None:
        seen = set()
        for message in read(self._scene.bootstrap, self._campaign.topics.dead_letter, partition):
            got = (message.key(), message.value(), tuple(message.headers() or ()))
            said = dict(got[2])
            identity = said["topic"].decode(), int(said["offset"])
            assert got == right.letters.get(identity), f"dead letter {identity}: got {got}"
            verdict.repeated_letters += identity in seen
            seen.add(identity)
        missing = set(right.letters) - seen
        assert not missing, f"partition {partition}: no dead letters for {sorted(missing)[:20]}"
        verdict.dead_letters += len(seen)

    def _verify_rows(self, partition: int, right: _Right) -> None:
        log = read(self._scene.bootstrap, self._scene.changelog, partition)
        newest = {message.key(): message.value() for message in log}
        marker = newest.pop(changelog.MARKER_KEY, None)
        wrong = [key for key in right.rows.keys() | newest.keys() if right.rows.get(key) != newest.get(key)]
        assert not wrong, f"partition {partition}: {len(wrong)} rows differ, such as {wrong[:5]}"
        if marker is not None:
            covered = msgspec.json.decode(marker, type=changelog.Marker).covered
            ends = {topic: self._scene.ends(topic)[partition] for topic in self._scene.topics}
            assert covered == ends, f"partition {partition}: covered {covered}, ends {ends}"

    def _verify_commits(self) -> None:
        committed = self._scene.committed()
        ends = {(topic, p): end for topic in self._scene.topics
                for p, end in enumerate(self._scene.ends(topic))}  # fmt: skip
        assert committed == ends, f"committed {committed}, ends {ends}"
