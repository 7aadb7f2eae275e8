"""The referee of the fault tests: recomputes everything from the event topics and compares.

What must hold after any fault, once the workers have caught up and stopped:
  a  every event has a decision in its partition, every other record a dead letter as it came
  b  what is published twice is the same, but for the wall clock: key, value and headers
  c  the newest row of every customer is, byte for byte, the one that comes of applying the events
     of the partition once, in order
  d  everything is committed, and the changelog's marker says so
  e  the decisions are those of a computation that nothing disturbed
  f  under rules about contacts: at the moments of what was published first, and the contact rows are,
     byte for byte, those that come of it

Between several event topics the right order is that of `taken_order`; in that order everything is
recomputed. Would a replay take another one, then its decisions or the rows would differ.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np
from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from models.bundle import Bundle
from stream.contacts.contact_layout import ContactLayout, lay_out_contacts
from stream.contacts.contact_records import topic_name
from stream.contacts.contact_table import ContactTable
from stream.features.plan import compile_features
from stream.pipeline import Deployment, Pipeline, Step
from stream.policy.choice import Policy
from stream.scoring.scorer import Scorer
from stream.state import changelog
from stream.state.marker import MARKER_KEY, Marker
from stream.state.table import CustomerTable
from tests.stream.worker.faults.fault_contacts import (
    Moment,
    moments_of,
    pieces,
    recomputed_rows,
    written_rows,
)
from tests.stream.worker.faults.fault_harness import Scene, Since
from tests.stream.worker.faults.fault_order import chunk_of, in_order
from tests.stream.worker.faults.fault_records import (
    Record,
    identity_of,
    letter_about,
    record_of,
    records_in,
    timeless,
)

NOW_MS = 1_770_000_000_000
_CHUNK = 4_096


@dataclass
class Verdict:
    """What was seen.

    Attributes:
        events: Records on the event topics.
        decisions: Decided events.
        repeated: Decisions beyond the first about an event.
        letters: Records with a dead letter.
        repeated_letters: Dead letters beyond the first about a record.
        models: Decided events by the model that decided first.
    """

    events: int = 0
    decisions: int = 0
    repeated: int = 0
    letters: int = 0
    repeated_letters: int = 0
    models: Counter[str] = field(default_factory=Counter)


@dataclass
class _Right:
    """What is right for one partition: decisions by id and model, letters by topic and offset."""

    decisions: dict[tuple[str, str], Record] = field(default_factory=dict)
    letters: dict[tuple[str, int], Record] = field(default_factory=dict)
    rows: dict[bytes, bytes] = field(default_factory=dict)
    contacts: dict[bytes, bytes] = field(default_factory=dict)

    def add(self, step: Step, topic: str, messages: Sequence[Message]) -> None:
        """What came of records of a topic."""
        for record in records_in(step.decisions):
            self.decisions[identity_of(record[1])] = timeless(record)
        for reject in step.rejects:
            message = messages[reject.record]
            self.letters[topic, message.offset() or 0] = letter_about(message, reject)


class Verifier:
    """Recomputes and compares.

    Args:
        scene: The campaign as it is now.
        bundles: The models that may have decided; every decision must be that of one of them.
        since: What was there when the features changed: from then on, nothing is said of it again.
    """

    def __init__(self, scene: Scene, bundles: Sequence[Bundle], since: Since | None = None) -> None:
        self._scene = scene
        self._since = since or Since()
        self._campaign = scene.campaign
        self._plan = compile_features(self._campaign)
        self._deployments = []
        for bundle in bundles:
            scorer = Scorer(bundle)
            policy = Policy(self._campaign, scorer.head, scorer.strategies)
            self._deployments.append(Deployment(scorer, policy))

    def verify(self) -> Verdict:
        """Fails with what is wrong, or says what was seen."""
        verdict, pipeline = Verdict(), Pipeline(self._campaign, self._plan)
        topics = self._campaign.topics
        for partition in range(self._scene.partitions):
            events = {topic: self._read(topic, partition) for topic in self._scene.topics}
            decisions = self._read(topics.decisions, partition)
            log = read(self._scene.bootstrap, self._scene.changelog, partition)
            runs = in_order(pipeline, partition, events, decisions, log)
            layout = lay_out_contacts(self._campaign)
            if layout.cells:
                right = self._recompute_at(partition, runs, moments_of(decisions), layout)
            else:
                right = self._recompute(partition, runs)
            verdict.events += sum(map(len, events.values()))
            self._verify_decisions(partition, decisions, right, verdict)
            self._verify_letters(partition, right, verdict)
            self._verify_rows(partition, right)
            self._verify_contacts(partition, right)
        assert self._scene.committed() == self._scene.event_ends()
        return verdict

    def _read(self, topic: str, partition: int) -> list[Message]:
        first = self._since.published.get((topic, partition), 0)
        return read(self._scene.bootstrap, topic, partition, first)

    def _recompute(self, partition: int, runs: Sequence[tuple[str, list[Message]]]) -> _Right:
        right = _Right()
        for deployment in self._deployments:
            pipeline = Pipeline(self._campaign, self._plan)
            table = CustomerTable(self._plan.row_words)
            for topic, messages in runs:
                silent_until = self._since.decided.get((topic, partition), 0)
                for at in range(0, len(messages), _CHUNK):
                    part = messages[at : at + _CHUNK]
                    step = pipeline.step(
                        chunk_of(topic, partition, part), table, deployment,
                        silent_until=silent_until, now_ms=NOW_MS,
                    )  # fmt: skip
                    right.add(step, topic, part)
            right.rows = _rows_of(table)
        return right

    def _recompute_at(
        self, partition: int, runs: Sequence[tuple[str, list[Message]]],
        moments: Mapping[tuple[str, int], Moment], layout: ContactLayout,
    ) -> _Right:  # fmt: skip
        right, pipeline = _Right(), Pipeline(self._campaign, self._plan)
        table, contacts = CustomerTable(self._plan.row_words), ContactTable(layout)
        models = {one.scorer.version: one for one in self._deployments}
        moment = Moment(NOW_MS, next(iter(models)))
        for topic, messages in runs:
            silent_until = self._since.decided.get((topic, partition), 0)
            for moment, part in pieces(topic, messages, moments, moment):  # noqa: B020  # it goes on
                step = pipeline.step(
                    chunk_of(topic, partition, part), table, models[moment.model],
                    silent_until=silent_until, now_ms=moment.time_ms, contacts=contacts,
                )  # fmt: skip
                right.add(step, topic, part)
        right.rows, right.contacts = _rows_of(table), recomputed_rows(table, contacts)
        return right

    def _verify_decisions(
        self, partition: int, decisions: Sequence[Message], right: _Right, verdict: Verdict
    ) -> None:
        seen: set[str] = set()
        for message in decisions:
            record = record_of(message)
            identity = identity_of(record[1])
            expected = right.decisions.get(identity)
            where = f"{message.topic()}/{partition} offset {message.offset()}"
            assert timeless(record) == expected, f"{where}: expected {expected}, got {record}"
            if identity[0] in seen:
                verdict.repeated += 1
            else:
                seen.add(identity[0])
                verdict.models[identity[1]] += 1
        missing = sorted({identity[0] for identity in right.decisions} - seen)
        assert not missing, f"partition {partition}: {len(missing)} undecided: {missing[:20]}"
        verdict.decisions += len(seen)

    def _verify_letters(self, partition: int, right: _Right, verdict: Verdict) -> None:
        seen = set()
        for message in self._read(self._campaign.topics.dead_letter, partition):
            record = record_of(message)
            said = dict(record[2])
            about = said["topic"].decode(), int(said["offset"])
            expected = right.letters.get(about)
            assert record == expected, f"letter about {about}: expected {expected}, got {record}"
            verdict.repeated_letters += about in seen
            seen.add(about)
        missing = sorted(set(right.letters) - seen)
        assert not missing, f"partition {partition}: {len(missing)} without letter: {missing[:20]}"
        verdict.letters += len(seen)

    def _verify_contacts(self, partition: int, right: _Right) -> None:
        topic = topic_name(self._campaign.app)
        log = read(self._scene.bootstrap, topic, partition) if right.contacts else []
        written = written_rows(self._campaign, log)
        keys = written.keys() | right.contacts.keys()
        wrong = sorted(key for key in keys if written.get(key) != right.contacts.get(key))
        assert not wrong, f"partition {partition}: contacts of {len(wrong)} differ: {wrong[:20]}"

    def _verify_rows(self, partition: int, right: _Right) -> None:
        newest = newest_rows(self._scene, partition)
        marker = newest.pop(MARKER_KEY, None)
        keys = newest.keys() | right.rows.keys()
        wrong = sorted(key for key in keys if newest.get(key) != right.rows.get(key))
        assert not wrong, f"partition {partition}: {len(wrong)} rows differ: {wrong[:20]}"
        if marker is not None:
            covered = msgspec.json.decode(marker, type=Marker).covered
            ends = {
                tp[0]: end for tp, end in self._scene.event_ends().items() if tp[1] == partition
            }
            assert covered == ends, f"partition {partition}: covered {covered}, ends {ends}"


def has_adopted(scene: Scene) -> bool:
    """Whether a kill came between a decision and its checkpoint: the next worker says what it has found."""
    logs = [path.read_text(errors="replace") for path in scene.folder.glob("worker*")]
    return '"evt":"adopted"' in "".join(logs)


def _rows_of(table: CustomerTable) -> dict[bytes, bytes]:
    keys, values = changelog.encode_rows(table, np.arange(table.rows))
    return {keys[i] or b"": values[i] or b"" for i in range(table.rows)}


def read(bootstrap: str, topic: str, partition: int, first: int = 0) -> list[Message]:
    """The records of a partition from an offset on."""
    settings = {
        "bootstrap.servers": bootstrap, "group.id": "referee", "enable.auto.commit": False,
        "enable.partition.eof": True, "log_level": 0,
    }  # fmt: skip
    consumer = Consumer(settings)
    found: list[Message] = []
    try:
        consumer.assign([TopicPartition(topic, partition, first)])
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


def newest_rows(scene: Scene, partition: int) -> dict[bytes, bytes]:
    """What compaction leaves of a partition of the changelog, with its marker; of tombstones b""."""
    log = read(scene.bootstrap, scene.changelog, partition)
    return {message.key() or b"": message.value() or b"" for message in log}
