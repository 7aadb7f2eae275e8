"""What the benchmarks ask of Kafka: fresh topics, counts, append times and whole topics back.

Rules of this file
1. A client other than the worker's: confluent-kafka, so that a fault of the worker cannot hide.
2. Times are the broker's, the time of the append, never those of a client.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.errors import BenchmarkError

_TIMEOUT_S = 30.0
_POLL_S = 0.05
_BATCH_RECORDS = 20_000
_FILL_S = 0.1

# Errors of requests are raised. What would be logged beside them is that the connection is lost when
# the broker stops while a client is still open.
_QUIET = {"log_level": 2}


@dataclass(frozen=True)
class Cluster:
    """A Kafka cluster, and the number of partitions that topics get on it.

    Attributes:
        bootstrap: Address, host:port.
        partitions: Of every topic that is created here.
    """

    bootstrap: str
    partitions: int
    _admin: AdminClient = field(init=False, repr=False)
    _watcher: Consumer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        admin = AdminClient({"bootstrap.servers": self.bootstrap, **_QUIET})
        object.__setattr__(self, "_admin", admin)
        object.__setattr__(self, "_watcher", Consumer(_reading(self.bootstrap, "benchmarks")))

    def create(self, *topics: str) -> None:
        """Creates topics whose records carry the time of their append."""
        config = {"message.timestamp.type": "LogAppendTime"}
        new = [NewTopic(topic, self.partitions, 1, config=config) for topic in topics]
        for created in self._admin.create_topics(new, operation_timeout=_TIMEOUT_S).values():
            created.result(_TIMEOUT_S)
        for topic in topics:
            self._await_leaders(topic)

    def delete_all(self, prefix: str) -> None:
        """Deletes every topic whose name begins so: a job's own and those its worker made."""
        present = self._admin.list_topics(timeout=_TIMEOUT_S).topics
        topics = [topic for topic in present if topic.startswith(prefix)]
        if not topics:
            return
        for deleted in self._admin.delete_topics(topics, operation_timeout=_TIMEOUT_S).values():
            deleted.result(_TIMEOUT_S)

    def records(self, topic: str) -> int:
        """Number of records in a topic that nothing is removed from."""
        ends = (
            self._watcher.get_watermark_offsets(partition, timeout=_TIMEOUT_S)
            for partition in self._all_of(topic)
        )
        return sum(end for _, end in ends)

    def committed(self, group: str, topic: str) -> int:
        """Sum of the offsets that a group has committed."""
        consumer = Consumer(_reading(self.bootstrap, group))
        try:
            offsets = consumer.committed(self._all_of(topic), timeout=_TIMEOUT_S)
        finally:
            consumer.close()
        return sum(max(0, partition.offset) for partition in offsets)

    def read(self, topic: str) -> Iterator[list[Any]]:
        """All records of a topic as batches of messages, those of one partition in order."""
        settings = _reading(self.bootstrap, "benchmarks") | {"enable.partition.eof": True}
        consumer = Consumer(settings)
        unread = self.partitions
        try:
            consumer.assign(self._all_of(topic, offset=0))
            heard_s = time.monotonic()
            while unread:
                batch: list[Any] = consumer.consume(_BATCH_RECORDS, timeout=_FILL_S)
                if batch:
                    heard_s = time.monotonic()
                elif time.monotonic() - heard_s > _TIMEOUT_S:
                    raise BenchmarkError(
                        f"expected the rest of {topic}, got nothing for {_TIMEOUT_S:g} s"
                    )
                records = [message for message in batch if message.error() is None]
                unread -= _ends(batch)
                if records:
                    yield records
        finally:
            consumer.close()

    def _await_leaders(self, topic: str) -> None:
        """A new topic is known before its partitions have leaders that answer."""
        deadline_s = time.monotonic() + _TIMEOUT_S
        while True:
            self._watcher.list_topics(topic, timeout=_TIMEOUT_S)  # else it goes by what it knew
            try:
                self.records(topic)
            except KafkaException:
                if time.monotonic() > deadline_s:
                    raise
                time.sleep(_POLL_S)
            else:
                return

    def _all_of(self, topic: str, offset: int | None = None) -> list[TopicPartition]:
        if offset is None:
            return [TopicPartition(topic, partition) for partition in range(self.partitions)]
        return [TopicPartition(topic, partition, offset) for partition in range(self.partitions)]


def _reading(bootstrap: str, group: str) -> dict[str, Any]:
    return {
        "bootstrap.servers": bootstrap,
        **_QUIET,
        "group.id": group,
        "enable.auto.commit": False,
        "isolation.level": "read_committed",
        "fetch.max.bytes": 64 << 20,
        "max.partition.fetch.bytes": 16 << 20,
    }


def _ends(batch: list[Any]) -> int:
    """How many partitions came to their end in a batch."""
    ends = 0
    for message in batch:
        error = message.error()
        if error is None:
            continue
        if error.code() != KafkaError._PARTITION_EOF:
            raise KafkaException(error)
        ends += 1
    return ends
