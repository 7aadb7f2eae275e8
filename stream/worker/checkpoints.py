"""Makes the state of partitions durable: their rows and a marker, then their chunks are done.

The rows are copied between two chunks; what is computed while they are on their way belongs to the next
checkpoint. In which order all of it leaves is the business of `publisher`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from stream.columns import Int64s
from stream.features.plan import FeaturePlan
from stream.kafka.records import RecordBatch
from stream.log import log_event
from stream.state.marker import Anchor, Source
from stream.worker.changelog_encoder import ChangelogEncoder
from stream.worker.contact_log.contact_log import ContactLog
from stream.worker.partition.block import Block
from stream.worker.partition.blocks import Blocks
from stream.worker.partition.lifecycle import State
from stream.worker.partition.others import Heard, heed
from stream.worker.shell import Shell
from stream.worker.work import Work, Works

Compute = Callable[..., Awaitable[Any]]


class Copied(NamedTuple):
    """What a checkpoint makes durable, as of one moment between two chunks.

    Attributes:
        messages: The chunks that are done by it.
        covered: Next offset by event topic.
        sources: By event topic, the log that it counts in.
        reached_ms: With several event topics, by topic the newest event time before it.
        customers: Customers in the table.
        erased: Customers whose tombstones are among the batches.
        taken: The same as `covered`, as rows have it. Shape (topics,), int64.
        rows: Changelog records in the batches.
        batches: The rows and the tombstones.
        contacts: What is written to the contact changelog before.
        decided: Offset of the decision topic before which all decisions are about what is covered.
    """

    messages: list[Any]
    covered: dict[str, int]
    sources: dict[str, Source]
    reached_ms: dict[str, int]
    customers: int
    erased: frozenset[bytes]
    taken: Int64s
    rows: int
    batches: list[RecordBatch]
    contacts: list[RecordBatch]
    decided: int


class Checkpoints:
    """Makes checkpoints, one after the other in each partition.

    Args:
        blocks: State by partition.
        works: What is in work.
        changelog: Encodes rows and markers.
        contact_log: Where contacts are written.
        plan: The compiled features.
        shell: The app.
        lock: Held while a chunk is computed.
        compute: Runs a function beside the event loop.
        on_written: Called with the records and bytes of each checkpoint.
    """

    def __init__(
        self,
        blocks: Blocks,
        works: Works,
        changelog: ChangelogEncoder,
        contact_log: ContactLog,
        plan: FeaturePlan,
        shell: Shell,
        lock: asyncio.Lock,
        compute: Compute,
        on_written: Callable[[int, int], None],
    ) -> None:
        self._blocks = blocks
        self._works = works
        self._changelog = changelog
        self._contact_log = contact_log
        self._plan = plan
        self._shell = shell
        self._lock = lock
        self._compute = compute
        self._on_written = on_written

    async def make(self, *, assure: bool = False) -> None:
        """Makes the state of every partition durable as of now, and its chunks done.

        Args:
            assure: Writes a marker for partitions without work, too: where it comes to stand tells
                whether others have written to the changelog.
        """
        async with self._lock:  # a chunk that is being computed belongs to it
            if assure:
                for partition, block in self._blocks:
                    if block.state is State.ACTIVE:
                        self._works.of(partition, block.changelog_end + 1)
            tasks = [self._start(partition, assure) for partition in self._works]
        if not tasks:
            return
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            if not task.cancelled():  # by `Works.close`, at the deadline of a revocation
                task.result()

    def _start(self, partition: int, assure: bool) -> asyncio.Task[None]:
        work = self._works.of(partition)
        before = work.checkpoint

        async def run() -> None:
            if before is not None:
                await before
            await self._make(partition, work, assure)

        work.checkpoint = asyncio.create_task(run(), name=f"checkpoint-{partition}")
        return work.checkpoint

    async def _make(self, partition: int, work: Work, assure: bool) -> None:
        block = self._blocks.get(partition)
        if block is None or block.state not in (State.ACTIVE, State.DRAINING):
            return
        copied = await self._copy(block, work, assure)
        if copied is None:
            return
        await work.lane.settle()
        if block.position == copied.covered:  # no chunk since: all that is acknowledged is covered
            copied = copied._replace(decided=block.decisions.covered(copied.covered))
        await self._contact_log.write(partition, block, copied.contacts)
        first = block.changelog_end + 1
        marker, records = await self._write(block, work, copied)
        if not block.wrote(marker, records):
            await self._heed_others(partition, block, first, marker, copied.erased)
        if block.table.forgotten:
            async with self._lock:
                block.let_go(copied.taken, self._plan.offset_words)
        self._on_written(copied.rows, sum(len(batch.buffer) for batch in copied.batches))
        del work.messages[: len(copied.messages)]
        for message in copied.messages:
            self._shell.done(message)
        if block.erased and block.state is State.DRAINING:  # there is no next checkpoint
            await self._make(partition, work, assure)

    async def _copy(self, block: Block, work: Work, assure: bool) -> Copied | None:
        """What there is to write; None for nothing."""
        async with self._lock:
            # Of what was announced ahead, what was not taken now is not taken any more.
            closed = block.state is State.DRAINING and block.order.close(block.position)
            if not (work.messages or block.has_unwritten or assure or closed):
                return None
            messages, covered = list(work.messages), dict(block.position)
            reached_ms = dict(block.reached_ms)
            customers, erased = len(block.table), frozenset(block.erased)
            sources, block.owes_marker = dict(block.sources), False
            taken, decided = block.taken(self._plan.layout.topics), block.decisions.covered(covered)
            contacts = await self._compute(self._contact_log.copy, block, erased, covered)
            rows, batches = await self._compute(self._changelog.rows, block)
        return Copied(
            messages, covered, sources, reached_ms, customers, erased, taken, rows, batches, contacts,
            decided,
        )  # fmt: skip

    async def _write(self, block: Block, work: Work, copied: Copied) -> tuple[Anchor, int]:
        """The marker that is durable now, and how many records since the one before."""
        value = b""

        def marker() -> list[RecordBatch]:
            nonlocal value
            block.progress.covered, block.progress.sources = copied.covered, copied.sources
            block.progress.reached_ms = copied.reached_ms
            block.progress.rows = copied.customers
            block.progress.has_contacts = block.contacts is not None
            block.progress.decided = copied.decided
            value, batches = self._changelog.marker(block)
            return batches

        offset, records = await work.lane.write(self._changelog.topic, copied.batches, marker)
        return Anchor(offset, value), records

    async def _heed_others(
        self, partition: int, block: Block, first: int, marker: Anchor, erased: frozenset[bytes]
    ) -> None:
        """Answers what others wrote to the changelog before a marker: see `others`."""
        heard = Heard()
        topics, words = self._plan.layout.topics, self._plan.offset_words
        async for chunk in self._shell.read(self._changelog.topic, partition, first, marker.offset):
            async with self._lock:
                if self._blocks.get(partition) is not block:
                    return
                more = await self._compute(heed, block, chunk, topics, words, erased)
                block.hear_markers(chunk)
            heard = Heard(heard.rows + more.rows, heard.tombstones + more.tombstones)
        block.contains(marker)
        log_event(
            "foreign_rows", level=logging.WARNING, partition=partition, offset=first, until=marker.offset,
            rewrite=heard.rows, erased=heard.tombstones,
        )  # fmt: skip
