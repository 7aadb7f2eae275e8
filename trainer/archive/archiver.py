"""From Kafka into the archive: where it goes on, what is flushed when, what is said about it.

Rules of this file
1. The archive says where to go on. Nothing is committed to Kafka.
2. What retention has removed is said, written down, and passed over; a topic that was created anew is
   refused.
3. What is read and not yet flushed stays within `Limits.size_bytes`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from aiokafka.structs import TopicPartition

from stream.columns import RecordChunk, split
from stream.kafka.skip_list import ReadRules
from stream.log import log_event
from trainer.archive.folder import Archive
from trainer.archive.resume import LastRecord, Position, created_anew, resume
from trainer.archive.writer import Pending, flush
from trainer.history.topics import Extent, Removed, TopicReader, broker_errors

_STALLED_S = 60.0
_NO_RULES = ReadRules()


@dataclass(slots=True)
class Summary:
    """What an archiver has done.

    Attributes:
        records: Records archived.
        files: Files written.
        size_bytes: Their bytes.
        complete: Whether it came to the end that was fixed when it began.
    """

    records: int = 0
    files: int = 0
    size_bytes: int = 0
    complete: bool = False


@dataclass(frozen=True, slots=True)
class Limits:
    """When what was read of a partition is flushed: at the first of these.

    Attributes:
        records: So many are waiting.
        age_s: The first of them has waited for so long.
        size_bytes: What waits is so large in all partitions together; then the largest is flushed.
            While it is, its keys and values are there twice.
    """

    records: int
    age_s: float
    size_bytes: int


class Archiver:
    """Copies topics into an archive.

    Args:
        archive: Where to.
        bootstrap: Kafka address.
        topics: Names of the topics.
        limits: When to flush.
        follow: Whether it goes on at the end of the topics.
        on_records: Told of the progress when it does not: offsets done, and in all.
        rules: Bound of what is unpacked, and the skip list.
    """

    def __init__(
        self,
        archive: Archive,
        bootstrap: str,
        topics: Sequence[str],
        limits: Limits,
        *,
        follow: bool,
        on_records: Callable[[int, int], None] | None = None,
        rules: ReadRules = _NO_RULES,
    ) -> None:
        self._archive = archive
        self._bootstrap = bootstrap
        self._topics = topics
        self._limits = limits
        self._follow = follow
        self.on_records = on_records
        self._reader = TopicReader(bootstrap, None if follow else _STALLED_S, rules)
        self.rules = rules
        self._pending: dict[TopicPartition, Pending] = {}
        self._last: dict[TopicPartition, LastRecord] = {}
        self._end: dict[TopicPartition, int] = {}
        self._total = 0
        self._summary = Summary()

    async def run(self, stop: asyncio.Event) -> Summary:
        """Archives until the end, or until told to stop; then all that was read is archived.

        Raises:
            TrainingError: The archive, a topic or the broker is not as it has to be; says who acts.
        """
        with ExitStack() as locks, broker_errors(self._bootstrap):
            for topic in self._topics:
                locks.enter_context(self._archive.topic(topic).lock("archive"))
            try:
                await self._reader.open()
                await self._begin(await self._reader.partitions(self._topics))
                await self._copy(stop)
            finally:
                await self._reader.close()
            for tp in self._pending:
                await self._flush(tp)
        self._summary.complete = not self._follow and not self._end
        return self._summary

    async def _copy(self, stop: asyncio.Event) -> None:
        self._tell()
        while not stop.is_set() and (self._follow or self._end):
            try:
                chunks = await self._reader.poll()
            except Removed as exc:
                await self._pass_over(exc.tp, exc.wanted)
                continue
            for chunk in chunks:
                self._take(chunk)
            await self._flush_due()
            if self._follow:
                await self._begin_new()
            else:
                self._tell()

    def _tell(self) -> None:
        if self.on_records is not None:
            left = sum(end - self._pending[tp].next for tp, end in self._end.items())
            self.on_records(self._total - left, self._total)

    async def _begin(self, partitions: Sequence[TopicPartition]) -> None:
        """Goes on with partitions where the archive ends, and with the others where they are."""
        extents = await self._reader.extents(partitions)
        for topic in self._topics:
            held = {tp.partition: extents[tp] for tp in partitions if tp.topic == topic}
            folder = self._archive.topic(topic)
            positions = await asyncio.to_thread(resume, folder, held)
            for partition, position in positions.items():
                tp = TopicPartition(topic, partition)
                if tp not in self._pending:
                    self._begin_at(tp, position, extents[tp])
        self._total = sum(end - self._pending[tp].next for tp, end in self._end.items())
        self._reader.assign(
            {
                tp: self._last[tp].offset if tp in self._last else pending.next
                for tp, pending in self._pending.items()
                if self._follow or tp in self._end
            }
        )

    def _begin_at(self, tp: TopicPartition, position: Position, extent: Extent) -> None:
        self._pending[tp] = Pending(
            tp.partition, position.next, position.next, ranges=self.rules.ranges(*tp)
        )
        log_event(
            "begin", topic=tp.topic, partition=tp.partition, offset=position.next, end=extent.end
        )
        if extent.begin > position.next:
            self._lose(tp, extent.begin)
        if position.last is not None and position.last.offset >= extent.begin:
            self._last[tp] = position.last
        if not self._follow and self._pending[tp].next < extent.end:
            self._end[tp] = extent.end

    async def _begin_new(self) -> None:
        """Takes up partitions that a topic has got meanwhile."""
        if self._reader.known(self._topics) - set(self._pending):
            await self._begin(await self._reader.partitions(self._topics))

    def _take(self, chunk: RecordChunk) -> None:
        """Adds the records of a chunk that are not in the archive."""
        tp = TopicPartition(chunk.topic, chunk.partition)
        if not self._follow and tp not in self._end:
            return  # its end was in a chunk before this one
        if tp in self._last:
            self._last.pop(tp).expect_in(chunk)
        pending = self._pending[tp]
        if chunk.next_offset > pending.next:
            end = self._end.get(tp, chunk.next_offset)
            fresh = split(chunk, pending.next)[1]
            fresh = split(fresh, end)[0] if end < chunk.next_offset else fresh
            pending.add(fresh, time.monotonic())
        self._leave_at_end(tp)

    def _leave_at_end(self, tp: TopicPartition) -> None:
        """Leaves a partition that is read to the end that was fixed for it."""
        if tp in self._end and self._pending[tp].next >= self._end[tp]:
            del self._end[tp]
            self._reader.pause(tp)

    async def _pass_over(self, tp: TopicPartition, wanted: int) -> None:
        """Goes on behind what retention has removed while it was being read."""
        extent = (await self._reader.extents([tp]))[tp]
        if wanted > extent.end:
            raise created_anew(tp.topic, tp.partition, f"an offset {wanted}", f"only {extent.end}")
        if extent.begin > self._pending[tp].next:
            self._lose(tp, extent.begin)
        self._reader.seek(tp, self._pending[tp].next)
        self._leave_at_end(tp)

    def _lose(self, tp: TopicPartition, until: int) -> None:
        lost = self._pending[tp].next
        self._pending[tp].lose(until)
        log_event(
            "lost", level=logging.WARNING, topic=tp.topic, partition=tp.partition,
            first=lost, next=until,
        )  # fmt: skip

    async def _flush_due(self) -> None:
        now_s = time.monotonic()
        for tp, pending in self._pending.items():
            aged = now_s - pending.since_s >= self._limits.age_s
            if pending.records >= self._limits.records or (pending.records and aged):
                await self._flush(tp)
        while sum(p.size_bytes for p in self._pending.values()) > self._limits.size_bytes:
            await self._flush(max(self._pending, key=lambda tp: self._pending[tp].size_bytes))

    async def _flush(self, tp: TopicPartition) -> None:
        pending = self._pending[tp]
        if not pending.records:
            return
        folder = self._archive.topic(tp.topic)
        began_s = time.monotonic()
        flushed = await asyncio.to_thread(flush, pending, folder)
        pending.clear()
        self._summary.records += flushed.records
        self._summary.files += flushed.files
        self._summary.size_bytes += flushed.size_bytes
        log_event(
            "archived",
            topic=tp.topic,
            partition=tp.partition,
            first=flushed.first,
            next=flushed.next,
            records=flushed.records,
            files=flushed.files,
            mb=round(flushed.size_bytes / 1e6, 3),
            s=round(time.monotonic() - began_s, 3),
        )
