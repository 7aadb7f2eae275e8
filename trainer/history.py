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
from collections.abc import Callable, Iterator, Sequence

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.structs import TopicPartition

from stream.columns import RecordChunk
from stream.worker.aiokafka_seam import ChunkConsumer
from stream.worker.order import split
from trainer.errors import TrainingError

_POLL_MS = 500
_STALLED_S = 60.0

OnRecords = Callable[[int, int], None]
"""Called with the number of records read so far and of those there are in all."""


def read_topics(
    bootstrap: str, topics: Sequence[str], on_records: OnRecords | None = None
) -> Iterator[RecordChunk]:
    """Yields every record that is in the topics now.

    Args:
        bootstrap: Kafka address.
        topics: Names of the topics.
        on_records: Told of the progress.

    Raises:
        TrainingError: The broker cannot be reached, a topic is missing, or nothing came for a
            minute.
    """
    with asyncio.Runner() as runner:
        reader = _Reader(bootstrap)
        try:
            runner.run(reader.open(topics))
            while reader.left:
                yield from runner.run(reader.poll())
                if on_records is not None:
                    on_records(reader.total - reader.remaining, reader.total)
        except KafkaError as exc:
            raise TrainingError(
                f"expected a Kafka broker at {bootstrap}, got {type(exc).__name__}: {exc}. Start "
                "it, or name it with --bootstrap or OPPORTUNE_BOOTSTRAP"
            ) from exc
        finally:
            runner.run(reader.close())


class _Reader:
    """A consumer of whole partitions, and what it has still to read.

    Attributes:
        total: Offsets between beginning and end of all partitions.
        left: The partitions that are not read to their end, with that end.
    """

    def __init__(self, bootstrap: str) -> None:
        self.total = 0
        self.left: dict[TopicPartition, int] = {}
        self._bootstrap = bootstrap
        self._position: dict[TopicPartition, int] = {}
        self._heard_s = time.monotonic()
        self._consumer: ChunkConsumer | None = None

    @property
    def remaining(self) -> int:
        """Offsets still to read."""
        return sum(end - self._position[tp] for tp, end in self.left.items())

    async def open(self, topics: Sequence[str]) -> None:
        """Connects and fixes what will be read."""
        partitions = await self._partitions(topics)
        self._consumer = ChunkConsumer(
            bootstrap_servers=self._bootstrap, group_id=None, enable_auto_commit=False
        )
        await self._consumer.start()
        self._consumer.assign(partitions)
        self._position = await self._consumer.beginning_offsets(partitions)
        ends = await self._consumer.end_offsets(partitions)
        self.left = {tp: end for tp, end in ends.items() if end > self._position[tp]}
        self.total = self.remaining
        self._consumer.pause(*(tp for tp in partitions if tp not in self.left))
        for tp in self.left:
            self._consumer.seek(tp, self._position[tp])

    async def poll(self) -> list[RecordChunk]:
        """The chunks that have come, cut off at the end of their partition."""
        assert self._consumer is not None, "opened first"
        chunks = []
        for tp, fetched in (await self._consumer.getmany(timeout_ms=_POLL_MS)).items():
            for _, chunk in fetched:
                if tp not in self.left:
                    break  # fetched before it was paused
                end = self.left[tp]
                chunks.append(split(chunk, end)[0])
                # Beyond the last record: compaction and transactions leave offsets without one.
                self._position[tp] = min(chunk.next_offset, end)
                if self._position[tp] == end:
                    del self.left[tp]
                    self._consumer.pause(tp)
        self._expect_progress(made=len(chunks) > 0)
        return chunks

    async def close(self) -> None:
        """Disconnects."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def _partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        try:
            await admin.start()
            described = await admin.describe_topics(list(topics))
        finally:
            await admin.close()
        missing = [topic["topic"] for topic in described if topic["error_code"] != 0]
        if missing:
            raise TrainingError(
                f"expected the topics {list(topics)} at {self._bootstrap}, missing: {missing}. "
                "Correct topics.events of the campaign file, or name another broker"
            )
        return [
            TopicPartition(topic["topic"], partition["partition"])
            for topic in described
            for partition in topic["partitions"]
        ]

    def _expect_progress(self, *, made: bool) -> None:
        now_s = time.monotonic()
        if made:
            self._heard_s = now_s
        elif now_s - self._heard_s > _STALLED_S:
            names = ", ".join(sorted(f"{tp.topic}/{tp.partition}" for tp in self.left))
            raise TrainingError(
                f"expected the rest of {names} from {self._bootstrap}, got nothing for "
                f"{_STALLED_S:g} s. Look at the log of the broker"
            )
