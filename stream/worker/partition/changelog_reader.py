"""Reads a stretch of a changelog beside the worker's own consumer, which has it paused."""

from __future__ import annotations

from collections.abc import AsyncIterator

from aiokafka.structs import TopicPartition

from stream.columns import RecordChunk, split
from stream.kafka.client import ChunkConsumer
from stream.kafka.read_rules import ReadRules

_POLL_MS = 500


async def read_stretch(
    bootstrap: str, rules: ReadRules, topic: str, partition: int, first: int, end: int
) -> AsyncIterator[RecordChunk]:
    """The records of a partition from one offset to before another, as far as compaction left them.

    Args:
        bootstrap: Kafka address.
        rules: How much may be unpacked.
        topic: The changelog.
        partition: Its partition.
        first: First offset.
        end: Offset after the last one; the log must reach that far.
    """
    tp, position = TopicPartition(topic, partition), first
    consumer = ChunkConsumer(
        bootstrap_servers=bootstrap,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        rules=rules,
    )
    await consumer.start()
    try:
        consumer.assign([tp])
        consumer.seek(tp, first)
        while position < end:
            fetched = await consumer.getmany(tp, timeout_ms=_POLL_MS)
            for start, chunk in fetched.get(tp, ()):
                if start != position:
                    consumer.seek(tp, position)
                    break
                position = chunk.next_offset
                yield split(chunk, end)[0]
                if position >= end:
                    return
    finally:
        await consumer.stop()
