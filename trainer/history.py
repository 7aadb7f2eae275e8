"""Where a history comes from: what every source promises, and the source that is Kafka itself.

Rules of this file
1. No consumer group: reading history moves nobody's offsets.
2. The end is fixed when reading begins, so a busy topic does not keep a training from starting.
3. The chunks of one partition of a topic come in the order of their offsets; those of different
   partitions come as the broker gives them.
4. What was asked for and is not there any more is an error, never a shorter history.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import click
from aiokafka.structs import TopicPartition

from stream.columns import RecordChunk
from stream.worker.order import split
from trainer.errors import TrainingError
from trainer.topics import Extent, Removed, TopicReader, broker_errors

_STALLED_S = 60.0

OnRecords = Callable[[int, int], None]
"""Called with the number of offsets read so far and of those there are in all."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Which part of a history counts.

    Attributes:
        since_ms: Event time, epoch milliseconds, of the first event that counts. Sources leave out
            only what cannot be as late: an event is at most `events.timestamp_ahead_max` later than
            the timestamp of its record. The rest is for who decodes the events.
        until_ms: Event time before which events count. Sources ignore it: an event may come in at
            any time after it happened.
        offsets: Kafka offsets [start, end) by topic and partition. Of a topic that is named the
            partitions that are not named are left out; a topic that is not named is read whole.

    Raises:
        TrainingError: A bound ends before it begins.
    """

    since_ms: int | None = None
    until_ms: int | None = None
    offsets: Mapping[str, Mapping[int, tuple[int, int]]] | None = None

    def __post_init__(self) -> None:
        if self.since_ms is not None and self.until_ms is not None:
            _expect_order("event time", self.since_ms, self.until_ms)
        for topic, partitions in (self.offsets or {}).items():
            for partition, (start, end) in partitions.items():
                _expect_order(f"offsets of {topic}/{partition}", start, end)

    def of(self, topic: str) -> Mapping[int, tuple[int, int]] | None:
        """The bounds of the partitions of one topic, None when all of it is read."""
        return None if self.offsets is None else self.offsets.get(topic)

    def earliest_ms(self, ahead_max_ms: int) -> int | None:
        """Oldest record timestamp, epoch milliseconds, that an event since `since_ms` can have."""
        return None if self.since_ms is None else max(self.since_ms - ahead_max_ms, 0)


EVERYTHING = Bounds()


class Source(Protocol):
    """A history that can be read."""

    def chunks(
        self, topics: Sequence[str], on_records: OnRecords | None = None
    ) -> Iterator[RecordChunk]:
        """Yields the records of the topics; those of one partition in the order of their offsets.

        Args:
            topics: Names of the topics.
            on_records: Told of the progress.

        Raises:
            TrainingError: The history cannot be read, or is not what was asked for; says who acts.
        """


@dataclass(frozen=True, slots=True)
class KafkaSource:
    """The history that the topics hold now.

    Attributes:
        bootstrap: Kafka address.
        bounds: Which part is read.
        ahead_max_ms: `events.timestamp_ahead_max`: how much later than the timestamp of its record
            an event may be.
    """

    bootstrap: str
    bounds: Bounds = EVERYTHING
    ahead_max_ms: int = 0

    def chunks(
        self, topics: Sequence[str], on_records: OnRecords | None = None
    ) -> Iterator[RecordChunk]:
        """See `Source.chunks`; it also ends when nothing came for a minute."""
        with asyncio.Runner() as runner, broker_errors(self.bootstrap):
            # Not `runner.run`: it puts what the last call returned into words, all arrays of its chunks.
            run = runner.get_loop().run_until_complete
            reader = TopicReader(self.bootstrap, _STALLED_S)
            try:
                run(reader.open())
                left = run(self._begin(reader, topics))
                while left.ranges:
                    yield from run(left.take(reader))
                    if on_records is not None:
                        on_records(left.total - left.remaining, left.total)
            except Removed as exc:
                raise TrainingError(
                    f"{exc}. Retention was faster than this reading: run it again, and archive the "
                    "topics (`opportune archive`) so that nothing is lost"
                ) from exc
            finally:
                run(reader.close())

    async def _begin(self, reader: TopicReader, topics: Sequence[str]) -> _Left:
        """Fixes what is read, and begins with it."""
        partitions = await reader.partitions(topics)
        held = await reader.extents(partitions)
        ranges = {
            tp: wanted
            for topic in topics
            for tp, wanted in _bounded(topic, self.bounds.of(topic), held).items()
        }
        earliest_ms = self.bounds.earliest_ms(self.ahead_max_ms)
        if earliest_ms is not None:
            for tp, offset in (await reader.first_since(list(ranges), earliest_ms)).items():
                start, end = ranges[tp]
                ranges[tp] = (max(start, end if offset is None else min(offset, end)), end)
        left = _Left(ranges)
        reader.assign({tp: start for tp, (start, _) in left.ranges.items()})
        return left


class _Left:
    """What is still to be read.

    Attributes:
        ranges: Offsets [position, end) of the partitions that are not read to their end.
        total: Offsets there were at the beginning.
    """

    def __init__(self, ranges: Mapping[TopicPartition, tuple[int, int]]) -> None:
        self.ranges = {tp: (start, end) for tp, (start, end) in ranges.items() if start < end}
        self.total = self.remaining

    @property
    def remaining(self) -> int:
        """Offsets still to read."""
        return sum(end - position for position, end in self.ranges.values())

    async def take(self, reader: TopicReader) -> list[RecordChunk]:
        """The chunks that have come, cut off at the end of their partition."""
        chunks = []
        for chunk in await reader.poll():
            tp = TopicPartition(chunk.topic, chunk.partition)
            if tp not in self.ranges:
                continue  # its end was in a chunk before this one
            end = self.ranges[tp][1]
            chunks.append(split(chunk, end)[0] if chunk.next_offset > end else chunk)
            # Beyond the last record: compaction and transactions leave offsets without one.
            self.ranges[tp] = (chunks[-1].next_offset, end)
            if chunks[-1].next_offset == end:
                del self.ranges[tp]
                reader.pause(tp)
        return chunks


def _bounded(
    topic: str,
    bounds: Mapping[int, tuple[int, int]] | None,
    held: Mapping[TopicPartition, Extent],
) -> dict[TopicPartition, tuple[int, int]]:
    """What is wanted of one topic, when the topic holds it."""
    there = {tp.partition: extent for tp, extent in held.items() if tp.topic == topic}
    if bounds is None:
        bounds = there
    return {
        TopicPartition(topic, partition): expect_held(topic, partition, wanted, there)
        for partition, wanted in bounds.items()
    }


def expect_held(
    topic: str,
    partition: int,
    wanted: tuple[int, int],
    held: Mapping[int, tuple[int, int]],
) -> tuple[int, int]:
    """The wanted offsets [start, end) of a partition, when they are within those that are held.

    Raises:
        TrainingError: They are not; says what is there.
    """
    if partition not in held:
        raise TrainingError(
            f"expected partition {partition} of {topic}, which the offset bounds name, got the "
            f"partitions {sorted(held)}. Correct the bounds"
        )
    begin, end = held[partition]
    if wanted[0] < begin or wanted[1] > end:
        raise TrainingError(
            f"expected offsets {wanted[0]} to {wanted[1]} of {topic}/{partition}, got {begin} to "
            f"{end}. Correct the bounds; what retention has removed is in an archive of the topic, "
            "if there is one"
        )
    return wanted


def _expect_order(what: str, start: int, end: int) -> None:
    if not 0 <= start <= end:
        raise TrainingError(f"expected {what} from 0 on and rising, got {start} to {end}")


class OffsetBound(click.ParamType):
    """`TOPIC/PARTITION:START-END` on the command line; START is read, END is not."""

    name = "TOPIC/PARTITION:START-END"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, int, int, int]:
        """Returns topic, partition, start and end, or fails with what was expected."""
        if isinstance(value, tuple):
            return value
        match = re.fullmatch(r"([A-Za-z0-9._-]{1,249})/(\d{1,9}):(\d{1,18})-(\d{1,18})", str(value))
        if match is None:
            self.fail(f"{value!r} is no offset bound, such as events/0:1000-2000.", param, ctx)
        return match[1], int(match[2]), int(match[3]), int(match[4])


def offset_bounds(
    bounds: Sequence[tuple[str, int, int, int]],
) -> dict[str, dict[int, tuple[int, int]]] | None:
    """`Bounds.offsets` of what stands on the command line, None for nothing."""
    by_topic: dict[str, dict[int, tuple[int, int]]] = {}
    for topic, partition, start, end in bounds:
        by_topic.setdefault(topic, {})[partition] = (start, end)
    return by_topic or None
