"""The event topics from their beginning to where they end now, as chunks of records.

Rules of this file
1. No consumer group: reading history moves nobody's offsets.
2. The end is fixed when reading begins, so a busy topic does not keep a training from starting.
3. The chunks of one partition of a topic come in the order of their offsets; those of different
   partitions come as the broker gives them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from stream.columns import RecordChunk, Spans
from stream.worker.aiokafka_seam import ChunkConsumer
from trainer.errors import TrainingError

_POLL_MS = 500
_STALLED_S = 60.0

OnRecords = Callable[[int, int], None]
"""Called with the records read so far and those there are in all."""


@dataclass(frozen=True, slots=True)
class _Extent:
    """The offsets of one partition that are read: first <= offset < end."""

    first: int
    end: int


def read_topics(
    bootstrap: str, topics: Sequence[str], on_records: OnRecords | None = None
) -> Iterator[RecordChunk]:
    """Yields every record that is in the topics now.

    Args:
        bootstrap: Kafka address.
        topics: Names of event topics.
        on_records: Told of the progress.

    Raises:
        TrainingError: The broker cannot be reached, a topic is missing, or nothing came for a
            minute.
    """
    report = on_records or (lambda _done, _total: None)
    with asyncio.Runner() as runner:
        consumer = ChunkConsumer(
            bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False
        )
        try:
            try:
                extents = runner.run(_open(consumer, bootstrap, topics))
            except KafkaError as exc:
                raise TrainingError(
                    f"expected a Kafka broker at {bootstrap}, got: {exc}. Start it, or set "
                    "--bootstrap or OPPORTUNE_BOOTSTRAP"
                ) from exc
            total = sum(extent.end - extent.first for extent in extents.values())
            left = dict(extents)
            heard_s = time.monotonic()
            while left:
                before = len(left), _done(extents, left)
                for chunk in runner.run(_poll(consumer, left)):
                    heard_s = time.monotonic()
                    yield chunk
                if (len(left), _done(extents, left)) != before:
                    heard_s = time.monotonic()
                report(_done(extents, left), total)
                if time.monotonic() - heard_s > _STALLED_S:
                    raise TrainingError(
                        f"expected the rest of {_names(left)} from {bootstrap}, got nothing for "
                        f"{_STALLED_S:g} s. Look at the broker's log"
                    )
        finally:
            runner.run(consumer.stop())
