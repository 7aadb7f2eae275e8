"""Records as the referee compares them: decisions by what they are about, without the wall clock."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, cast

import msgspec
from aiokafka.record import MemoryRecords
from confluent_kafka import Message

from stream.columns import Reject
from stream.decisions.dead_letter import HEADERS
from stream.kafka.records import RecordBatch

_WALL_CLOCK = re.compile(rb'"time":"[^"]*"|"decided_at":\d+')

Record = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]
"""Key, value and headers."""


def records_in(batches: Sequence[RecordBatch]) -> Iterator[Record]:
    for batch in batches:
        whole = MemoryRecords(bytes(batch.seal(-1, -1, -1)))
        while whole.has_next():
            for record in whole.next_batch():
                yield record.key, record.value, tuple(record.headers)


def record_of(message: Message) -> Record:
    headers = cast("list[tuple[str, bytes]]", message.headers() or [])
    return message.key(), message.value(), tuple(headers)


def letter_about(message: Message, reject: Reject) -> Record:
    """The dead letter that is right: what came, and about it what the reject and Kafka say."""
    about = (reject.reason, reject.code, message.topic(), message.partition(), message.offset())
    values = [str(value).encode() for value in (*about, message.timestamp()[1])]
    return message.key(), message.value(), tuple(zip(HEADERS, values, strict=True))


def timeless(record: Record) -> Record:
    """Without the times of the wall clock; that of the event stands within `data` and stays."""
    key, value, headers = record
    head, data, rest = (value or b"").partition(b'"data":')
    return key, _WALL_CLOCK.sub(b"", head) + data + rest, headers


class _Decision(msgspec.Struct):
    """The fields that tell what a decision is about, in both forms."""

    id: str = ""
    decision_id: str = ""
    model: str = ""
    data: dict[str, Any] = msgspec.field(default_factory=dict)


def identity_of(value: bytes | None) -> tuple[str, str]:
    """Id of a decision, and version of the model that made it."""
    decision = msgspec.json.decode(value or b"", type=_Decision)
    return decision.id or decision.decision_id, decision.model or decision.data["model"]
