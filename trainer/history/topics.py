"""Topics of a Kafka, read as chunks from any offset, by nobody's consumer group.

Rules of this file
1. Every offset is given out once and in order: a fetch that does not go on where the last one ended
   is read again.
2. Nothing is skipped in silence: a position that the topic does not hold is `Removed`, and a topic that
   is created anew while it is read is refused.
3. No topic is created by asking for it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, OffsetOutOfRangeError, UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition

from stream.columns import RecordChunk
from stream.kafka.client import ChunkConsumer, Fetched
from stream.kafka.skip_list import ReadRules
from stream.kafka.topic_ids import describe
from trainer.errors import TrainingError

_POLL_MS = 500
_NO_RULES = ReadRules()


class Extent(NamedTuple):
    """Offsets [begin, end) that a partition holds; `end` is that of the committed records."""

    begin: int
    end: int


class Removed(Exception):
    """A partition does not hold the offset that was to be read next.

    Attributes:
        tp: The partition.
        wanted: The offset.
    """

    def __init__(self, tp: TopicPartition, wanted: int) -> None:
        super().__init__(f"expected offset {wanted} in {tp.topic}/{tp.partition}, it is gone")
        self.tp = tp
        self.wanted = wanted


@contextmanager
def broker_errors(bootstrap: str) -> Iterator[None]:
    """Says who acts when the broker cannot be reached or refuses."""
    try:
        yield
    except KafkaError as exc:
        raise TrainingError(
            f"expected a Kafka broker at {bootstrap}, got {type(exc).__name__}: {exc}. Start "
            "it, or name it with --bootstrap or OPPORTUNE_BOOTSTRAP"
        ) from exc


class TopicReader:
    """A consumer of partitions that are given by hand.

    Args:
        bootstrap: Kafka address.
        stalled_s: Seconds of polls without records after which `poll` raises; None waits for ever.
        rules: Bound of what is unpacked, and the skip list.
    """

    def __init__(
        self, bootstrap: str, stalled_s: float | None = None, rules: ReadRules = _NO_RULES
    ) -> None:
        self._position: dict[TopicPartition, int] = {}
        self._bootstrap = bootstrap
        self._stalled_s = stalled_s
        self._rules = rules
        self._quiet_s = 0.0
        self._consumer: ChunkConsumer | None = None
        self._ids: dict[str, str] = {}
        self._another: dict[str, str] = {}

    async def open(self) -> None:
        """Connects."""
        consumer = ChunkConsumer(
            bootstrap_servers=self._bootstrap,
            group_id=None,
            enable_auto_commit=False,
            auto_offset_reset="none",
            rules=self._rules,
            compare=self._compare,
        )
        self._consumer = consumer
        await consumer.start()

    async def close(self) -> None:
        """Disconnects, if it was connected."""
        if self._consumer is not None:
            await self._consumer.stop()

    async def has(self, topic: str) -> bool:
        """Whether a topic is there."""
        return topic in await self._described()

    async def _described(self) -> dict[str, list[dict[str, Any]]]:
        """The partitions of all topics: describing a missing one by name would create it on many brokers."""
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap)
        try:
            await admin.start()
            described = await admin.describe_topics()
        finally:
            await admin.close()
        return {topic["topic"]: topic["partitions"] for topic in described}

    async def partitions(self, topics: Sequence[str]) -> list[TopicPartition]:
        """All partitions of the topics, as they are now.

        Raises:
            TrainingError: A topic is missing.
        """
        found = await self._described()
        missing = [topic for topic in topics if topic not in found]
        if missing:
            raise TrainingError(
                f"expected the topics {list(topics)} at {self._bootstrap}, missing: {missing}. "
                "Correct the topics of the campaign file or of the command, or name another broker"
            )
        return [
            TopicPartition(topic, number)
            for topic in topics
            for number in sorted(partition["partition"] for partition in found[topic])
        ]

    async def extents(self, partitions: Sequence[TopicPartition]) -> dict[TopicPartition, Extent]:
        """What each partition holds.

        Raises:
            TrainingError: A topic was created anew since the reader was asked first.
        """
        consumer = self._connected()
        await self._look({tp.topic for tp in partitions})
        self._expect_the_same_topics()
        begins = await consumer.beginning_offsets(partitions)
        ends = await consumer.end_offsets(partitions)
        return {tp: Extent(begins[tp], ends[tp]) for tp in partitions}

    async def first_since(
        self, partitions: Sequence[TopicPartition], time_ms: int
    ) -> dict[TopicPartition, int | None]:
        """Offset of the first record from a record timestamp on, None where there is none.

        All records before that offset are older; some after it may be, too.
        """
        found = await self._connected().offsets_for_times(dict.fromkeys(partitions, time_ms))
        return {tp: None if found.get(tp) is None else found[tp].offset for tp in partitions}

    async def newest_ms(self, partitions: Sequence[TopicPartition], now_ms: int) -> int:
        """Timestamp of the newest record from before `now_ms`, epoch milliseconds; 0 without one.

        A record from the future counts as one of `now_ms`.
        """
        low_ms, high_ms = 0, now_ms + 1
        while high_ms - low_ms > 1:  # there are records from low_ms on, and none from high_ms on
            middle_ms = (low_ms + high_ms) // 2
            found = await self.first_since(partitions, middle_ms)
            if any(offset is not None for offset in found.values()):
                low_ms = middle_ms
            else:
                high_ms = middle_ms
        return low_ms

    def assign(self, positions: Mapping[TopicPartition, int]) -> None:
        """Reads these partitions from these offsets on, instead of what was read before."""
        self._position = dict(positions)
        self._connected().assign(list(positions))
        for tp, offset in positions.items():
            self._connected().seek(tp, offset)

    def seek(self, tp: TopicPartition, offset: int) -> None:
        """Goes on with a partition at another offset."""
        self._position[tp] = offset
        self._connected().seek(tp, offset)

    def pause(self, tp: TopicPartition) -> None:
        """Stops reading a partition."""
        del self._position[tp]
        self._connected().pause(tp)

    async def poll(self) -> list[RecordChunk]:
        """The chunks that have come, after half a second none.

        Raises:
            Removed: A partition does not hold its position: retention was faster, or the topic was
                created anew.
            TrainingError: None came for `stalled_s`, or a topic was created anew meanwhile.
            CorruptRecords: A batch cannot be read, and is not on the skip list.
        """
        began_s = time.monotonic()
        try:
            fetched = await self._connected().getmany(timeout_ms=_POLL_MS)
        except OffsetOutOfRangeError as exc:
            ((tp, wanted),) = exc.args[0].items()
            raise Removed(tp, wanted) from exc
        self._expect_the_same_topics()
        # Only polls count: what the caller does in between may take as long as it likes.
        self._quiet_s = 0.0 if fetched else self._quiet_s + time.monotonic() - began_s
        if self._stalled_s is not None and self._quiet_s > self._stalled_s:
            names = ", ".join(sorted(f"{tp.topic}/{tp.partition}" for tp in self._position))
            raise TrainingError(
                f"expected the rest of {names} from {self._bootstrap}, got nothing for "
                f"{self._stalled_s:g} s. Look at the log of the broker"
            )
        return [chunk for tp, parts in fetched.items() for chunk in self._following(tp, parts)]

    async def _compare(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Gives out nothing more of a topic that was created anew."""
        await self._look({tp.topic for tp in offsets})
        if self._another:
            await asyncio.Event().wait()  # until it is closed: `poll` raises

    async def _look(self, topics: Collection[str]) -> None:
        """Learns the ids of topics, and which have got another."""
        for name, topic in (await describe(self._connected()._client, topics)).items():
            if topic is None:
                raise UnknownTopicOrPartitionError(name)
            if topic.id is not None and self._ids.setdefault(name, topic.id) != topic.id:
                self._another[name] = topic.id

    def _expect_the_same_topics(self) -> None:
        if self._another:
            raise TrainingError(
                f"expected the topics with the ids {self._ids}, as when reading began, got "
                f"{self._another}: they were deleted and created anew meanwhile. Start again; archive "
                "them to another folder"
            )

    def _following(self, tp: TopicPartition, parts: Sequence[Fetched]) -> Iterator[RecordChunk]:
        """The chunks that go on where the last one of the partition ended."""
        for start, chunk in parts:
            if tp not in self._position:
                return  # fetched before it was paused
            if start != self._position[tp]:
                self.seek(tp, self._position[tp])
                return
            self._position[tp] = chunk.next_offset
            yield chunk

    def known(self, topics: Sequence[str]) -> set[TopicPartition]:
        """Partitions of the topics as last heard of, without asking anybody."""
        numbers = {topic: self._connected().partitions_for_topic(topic) for topic in topics}
        return {TopicPartition(topic, n) for topic, found in numbers.items() for n in found or ()}

    def _connected(self) -> ChunkConsumer:
        assert self._consumer is not None, "opened first"
        return self._consumer
