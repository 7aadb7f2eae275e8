"""Where a history comes from: what every source promises, and the source that is Kafka itself.

Rules of this file
1. No consumer group: reading history moves nobody's offsets.
2. The end is fixed when reading begins, so a busy topic does not keep a training from starting.
3. The chunks of one partition of a topic come in the order of their offsets; those of different
   partitions come as the broker gives them.
4. What was named and is not there any more is an error. What else is missing, before the beginning or
   in between, is said by a `Gap`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from aiokafka.structs import TopicPartition

from stream.columns import Bools, Int64s, RecordChunk, split
from stream.kafka.skip_list import ReadRules, within
from trainer.errors import TrainingError
from trainer.history.gaps import HISTORY, RETENTION, SINCE, Gap, Older, edges
from trainer.history.skipped import with_gaps
from trainer.history.topics import Extent, Removed, TopicReader, broker_errors

_STALLED_S = 60.0
_NO_RULES = ReadRules()

_Range = tuple[int, int]
OnRecords = Callable[[int, int], None]
"""Called with the numbers of offsets read so far and in all."""


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

    def expect_topics(self, topics: Sequence[str]) -> None:
        """Refuses offsets of a topic that is not read.

        Raises:
            TrainingError: There are such.
        """
        others = sorted(set(self.offsets or ()) - set(topics))
        if others:
            raise TrainingError(
                f"expected offset bounds (--offsets) of the topics that are read, {sorted(topics)}, "
                f"got some of {others}. Correct the bounds, or the topics of the campaign file"
            )

    def of(self, topic: str) -> Mapping[int, tuple[int, int]] | None:
        """The bounds of the partitions of one topic, None when all of it is read."""
        return None if self.offsets is None else self.offsets.get(topic)

    def inside(self, time_ms: Int64s) -> Bools:
        """Which event times count: since <= time < until. Shape (n,), bool."""
        since_ms = -np.inf if self.since_ms is None else self.since_ms
        until_ms = np.inf if self.until_ms is None else self.until_ms
        return np.asarray((time_ms >= since_ms) & (time_ms < until_ms))

    @property
    def explicit(self) -> bool:
        """Whether they say where to begin."""
        return self.since_ms is not None or self.offsets is not None

    def older(self, ahead_max_ms: int, history_ms: int | None, newest_ms: int) -> Older | None:
        """Which records are too old to be read, None for none.

        Args:
            ahead_max_ms: How much later than the timestamp of its record an event may be.
            history_ms: How far before the newest record to begin, when nothing here says where.
            newest_ms: Timestamp of the newest record, epoch milliseconds.
        """
        if self.since_ms is not None:
            return Older(max(self.since_ms - ahead_max_ms, 0), self.since_ms, SINCE)
        if history_ms is None or self.explicit:
            return None
        end_ms = newest_ms if self.until_ms is None else min(newest_ms, self.until_ms)
        return Older(*(max(end_ms - history_ms, 0),) * 2, HISTORY)


EVERYTHING = Bounds()


class Source(Protocol):
    """A history that can be read."""

    def chunks(
        self, topics: Sequence[str], on_records: OnRecords | None = None
    ) -> Iterator[RecordChunk]:
        """Yields the records of the topics; those of one partition in the order of their offsets.

        A source for training has chunks without records among them, of the type `Gap`, that say what
        is missing.

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
        history_ms: `training.history`: how far before the newest record reading begins when the
            bounds do not say where; None for all.
        tells_gaps: Whether chunks of the type `Gap` say what is missing; else there are records alone.
        rules: Bound of what is unpacked, and the skip list.
    """

    bootstrap: str
    bounds: Bounds = EVERYTHING
    ahead_max_ms: int = 0
    history_ms: int | None = None
    tells_gaps: bool = False
    rules: ReadRules = _NO_RULES

    def chunks(
        self, topics: Sequence[str], on_records: OnRecords | None = None
    ) -> Iterator[RecordChunk]:
        """See `Source.chunks`; it also ends when nothing came for a minute."""
        self.bounds.expect_topics(topics)
        with asyncio.Runner() as runner, broker_errors(self.bootstrap):
            # Not `runner.run`: it puts what the last call returned into words, all arrays of its chunks.
            run = runner.get_loop().run_until_complete
            reader = TopicReader(self.bootstrap, _STALLED_S, self.rules)
            try:
                run(reader.open())
                left = run(self._begin(reader, topics))
                yield from left.gaps if self.tells_gaps else ()
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
        wanted = {
            tp: bounded
            for topic in topics
            for tp, bounded in _bounded(topic, self.bounds.of(topic), held).items()
        }
        older = await self._older(reader, partitions)
        ranges, cut = dict(wanted), set[TopicPartition]()
        if older is not None:
            for tp, offset in (await reader.first_since(list(ranges), older.earliest_ms)).items():
                start, end = ranges[tp]
                ranges[tp] = (max(start, end if offset is None else min(offset, end)), end)
                cut |= {tp} if ranges[tp][0] > start else set()
        gaps = [
            gap
            for tp in partitions
            for gap in edges(
                tp.topic, tp.partition, held[tp], wanted.get(tp), older if tp in cut else None,
                RETENTION,
            )
        ]  # fmt: skip
        left = _Left(ranges, gaps, self.rules if self.tells_gaps else None)
        reader.assign({tp: start for tp, (start, _) in left.ranges.items()})
        return left

    async def _older(
        self, reader: TopicReader, partitions: Sequence[TopicPartition]
    ) -> Older | None:
        newest_ms = 0
        if self.history_ms is not None and not self.bounds.explicit:
            newest_ms = await reader.newest_ms(partitions, int(time.time() * 1000))
        return self.bounds.older(self.ahead_max_ms, self.history_ms, newest_ms)


class _Left:
    """What is still to be read.

    Attributes:
        ranges: Offsets [position, end) of the partitions that are not read to their end.
        gaps: What is missing around them.
        total: Offsets there were at the beginning.
    """

    def __init__(
        self, ranges: Mapping[TopicPartition, _Range], gaps: Sequence[Gap], rules: ReadRules | None
    ) -> None:
        self.gaps = gaps
        self.ranges = {tp: (start, end) for tp, (start, end) in ranges.items() if start < end}
        self._skipped = {
            tp: tuple(within(rules.ranges(*tp), *wanted)) if rules else ()
            for tp, wanted in self.ranges.items()
        }
        self.total = self.remaining

    @property
    def remaining(self) -> int:
        """Offsets still to read."""
        return sum(end - position for position, end in self.ranges.values())

    async def take(self, reader: TopicReader) -> list[RecordChunk]:
        """The chunks that have come, cut off at the end of their partition."""
        chunks: list[RecordChunk] = []
        for chunk in await reader.poll():
            tp = TopicPartition(chunk.topic, chunk.partition)
            if tp not in self.ranges:
                continue  # its end was in a chunk before this one
            start, end = self.ranges[tp]
            cut = split(chunk, end)[0] if chunk.next_offset > end else chunk
            chunks += with_gaps(cut, start, self._skipped[tp])
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


def expect_held(topic: str, partition: int, wanted: _Range, held: Mapping[int, _Range]) -> _Range:
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
