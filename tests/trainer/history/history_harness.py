"""Topics with a history to be read."""

from __future__ import annotations

from collections.abc import Sequence

from stream.columns import RecordChunk
from tests.kafka_client import Row

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000


def rows(chunks: Sequence[RecordChunk]) -> list[Row]:
    """Topic, partition, offset, timestamp, key and value of each record, as they came."""
    return [
        (
            chunk.topic,
            chunk.partition,
            int(chunk.offset[i]),
            int(chunk.timestamp_ms[i]),
            chunk.key[i],
            chunk.value[i],
        )
        for chunk in chunks
        for i in range(len(chunk))
    ]


def made(topic: str, partition: int, count: int) -> list[Row]:
    """Records of which each is an hour later than the one before it."""
    return [
        (topic, partition, i, START_MS + i * HOUR_MS, b"k%d" % i, b"v%d" % i) for i in range(count)
    ]


def offsets(chunks: Sequence[RecordChunk], partition: int) -> list[int]:
    return [row[2] for row in rows(chunks) if row[1] == partition]
