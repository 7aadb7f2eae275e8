"""What tests do to the topics of a broker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

Row = tuple[str, int, int, int, bytes | None, bytes | None]
"""Topic, partition, offset, timestamp, key and value of a record."""


def send(bootstrap: str, records: Sequence[Row], **settings: Any) -> None:
    """Sends records, wherever the broker puts them; in a transaction if `settings` name one."""
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, **settings})
    if "transactional.id" in settings:
        producer.init_transactions(30)
        producer.begin_transaction()
    for topic, partition, _, timestamp_ms, key, value in records:
        producer.produce(topic, value, key, partition, timestamp=timestamp_ms)
    if "transactional.id" in settings:
        producer.commit_transaction(30)
    assert producer.flush(30) == 0


def remove_before(bootstrap: str, topic: str, partition: int, offset: int) -> None:
    """What retention does: the records before an offset go."""
    admin = AdminClient({"bootstrap.servers": bootstrap, "log_level": 0})
    for removed in admin.delete_records([TopicPartition(topic, partition, offset)]).values():
        removed.result(30)
