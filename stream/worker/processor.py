"""What happens to a chunk in the worker: compute, publish, checkpoint.

Chunks are computed one after another on one thread, without the interpreter lock for most of it, so
that the event loop goes on fetching and sending. Results leave through one lane per partition
(`publisher`). Every commit interval the changed rows of each partition go to the changelog.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.campaign import Campaign
from stream.columns import RecordChunk
from stream.features import FeaturePlan
from stream.pipeline import Deployment, Pipeline, Step
from stream.records import RecordBatch
from stream.warmup import warm_up
from stream.worker.blocks import Block, Blocks
from stream.worker.changelog_encoder import ChangelogEncoder
from stream.worker.intake import Intake
from stream.worker.log import log_event
from stream.worker.others import Heard, heed
from stream.worker.positions import Positions
from stream.worker.publisher import Lane, Outgoing
from stream.worker.shell import Shell
from stream.worker.telemetry import Window

# A small chunk takes less time than handing it to another thread and waiting for the interpreter lock.
_INLINE_EVENTS_MAX = 256


@dataclass(slots=True)
class _Work:
    """A partition in work: its way out, and the chunks since the last checkpoint."""

    lane: Lane
    messages: list[Any]
    checkpoint: asyncio.Task[None] | None = None


class Processor:
    """Takes chunks, in order per partition; owns the blocks.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        changelog_topic: Where the rows go.
        shell: The app.

    Attributes:
        plan: The compiled features.
        pipeline: What computes a chunk; it has to be told what the outgoing topics take.
        blocks: State by partition.
        window: What was counted since the last summary line.
        deployment: The model in force.
        uncommitted: Chunks that were given up since partitions began: they are read again.
        positions: Whether the event topics are those that the state has seen.
    """

    def __init__(
        self, campaign: Campaign, plan: FeaturePlan, changelog_topic: str, shell: Shell
    ) -> None:
        self.plan = plan
        self.blocks = Blocks(plan.row_words)
        self.window = Window()
        self.deployment: Deployment | None = None
        self.uncommitted = 0
        self.pipeline = Pipeline(campaign, plan)
        self._campaign = campaign
        self._changelog = ChangelogEncoder(changelog_topic, campaign.worker.compression)
        self._shell = shell
        self._intake = Intake(shell)
        self.positions = Positions(campaign, self.blocks)
        self._work: dict[int, _Work] = {}
        self._lock = asyncio.Lock()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compute")

    async def deploy(self, deployment: Deployment) -> None:
        """Puts a model in force, from the next chunk on."""
        if self.deployment is None:
            await self._compute(warm_up, self.pipeline, deployment)
        self.deployment = deployment

    def begin(
        self, partition: int, committed: Mapping[str, int | None], ends: Mapping[str, int]
    ) -> Mapping[str, int]:
        """Offset by event topic to read a partition from, after `positions.settle`: see `Block.begin`.

        Raises:
            NotRestored: The restore is not through.
            StateError: What was restored is not a whole table.
        """
        self.uncommitted = 0
        block = self.blocks.restored(partition, f"{self._changelog.topic}/{partition}")
        block.begin(committed, ends)
        if block.has_unwritten:  # whether or not events come
            self._work_of(partition)
        for topic, start in block.position.items():
            log_event(
                "begin", tp=f"{topic}/{partition}", offset=start, end=ends.get(topic),
                committed=committed[topic], rows=len(block.table),
                rebuild_until=block.silent_until.get(topic),
            )  # fmt: skip
        return block.position

    def is_decided(self, topic: str, partition: int, offset: int) -> bool:
        """Whether this layout of the table has come to where an earlier one committed."""
        block = self.blocks.get(partition)
        return block is None or offset >= block.silent_until.get(topic, 0)

    async def process(self, message: Any) -> None:
        """Computes one chunk and queues its results; the chunk is done after a checkpoint.

        Args:
            message: Its value is a `RecordChunk`, its offset the one that the chunk starts at.
        """
        async with self._lock:
            block = self.blocks.get(message.value.partition)
            if block is None or message.generation_id != self._shell.generation:
                return  # its partition is read again from where it was covered
            admitted = await self._intake.admit(block, message)
            if admitted is not None:
                await self._offer(block, *admitted)
            await self._intake.release(block, message.value.partition)

    async def _offer(self, block: Block, chunk: RecordChunk, message: Any) -> None:
        block.expected[chunk.topic] = chunk.next_offset
        if message is not None:
            self._shell.taken(message)
        for turn in block.replay.offer(chunk, message):
            announced = not turn.planned and self._announce(block, turn.chunk)
            await self._take(block, turn.chunk, turn.message, announced=announced)

    def _announce(self, block: Block, chunk: RecordChunk) -> bool:
        """Whether a marker must be durable before this chunk's results leave."""
        if len(self._campaign.topics.events) == 1:
            return False
        block.order.close(block.position, chunk.topic)
        position = block.position.get(chunk.topic, 0)
        return block.order.announce(chunk.topic, position, chunk.next_offset)

    async def _take(self, block: Block, chunk: RecordChunk, owner: Any, *, announced: bool) -> None:
        assert self.deployment is not None, "the worker waits for a model before it reads"
        began_s = time.perf_counter()
        step = Step()
        if len(chunk) > _INLINE_EVENTS_MAX:
            step = await self._compute(self._step, chunk, block, self.deployment)
        elif len(chunk):
            step = self._step(chunk, block, self.deployment)
        if self.blocks.get(chunk.partition) is not block:
            return  # abandoned while it was computed
        block.took(chunk)
        work = self._work_of(chunk.partition)
        if owner is not None:
            work.messages.append(owner)
        names = self.deployment.policy.strategies
        self.window.add(len(chunk), step, names, time.perf_counter() - began_s)
        # Under the lock: a checkpoint must find the results of all chunks that it covers queued.
        await work.lane.publish(self._outgoing(step, block if announced else None))

    def _step(self, chunk: RecordChunk, block: Block, deployment: Deployment) -> Step:
        return self.pipeline.step(
            chunk,
            block.table,
            deployment,
            silent_until=block.silent_until.get(chunk.topic, 0),
            now_ms=time.time_ns() // 1_000_000,
        )

    def _outgoing(self, step: Step, announced: Block | None) -> Outgoing:
        topics = self._campaign.topics
        batches = [(topics.decisions, batch) for batch in step.decisions]
        batches += [(topics.dead_letter, batch) for batch in step.dead_letters]
        sent_s = time.perf_counter()
        window = self.window

        def acknowledged() -> None:
            now_ms = time.time_ns() / 1e6
            window.ack_ms.add_ms(np.array([(time.perf_counter() - sent_s) * 1e3]))
            window.end_to_end_ms.add_ms(now_ms - step.received_ms)

        def announcement() -> list[tuple[str, RecordBatch]]:
            assert announced is not None
            return [(self._changelog.topic, batch) for batch in self._changelog.marker(announced)]

        return Outgoing(announcement if announced else None, batches, acknowledged)

    async def checkpoint(self, *, assure: bool = False) -> None:
        """Makes the state of every partition durable as of now, and its chunks done.

        Args:
            assure: Writes a marker for partitions without work, too: where it comes to stand tells
                whether others have written to the changelog.
        """
        async with self._lock:  # a chunk that is being computed belongs to it
            if assure:
                for partition, block in self.blocks:
                    if block.expected:
                        self._work_of(partition)
            tasks = [self._start_checkpoint(partition, assure) for partition in list(self._work)]
        if not tasks:
            return
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            if not task.cancelled():  # by `drain`, at its deadline
                task.result()

    def _start_checkpoint(self, partition: int, assure: bool) -> asyncio.Task[None]:
        work = self._work[partition]
        before = work.checkpoint

        async def run() -> None:
            if before is not None:
                await before
            await self._checkpoint(partition, work, assure=assure)

        work.checkpoint = asyncio.create_task(run(), name=f"checkpoint-{partition}")
        return work.checkpoint

    async def _checkpoint(self, partition: int, work: _Work, *, assure: bool) -> None:
        async with self._lock:
            block = self.blocks.get(partition)
            if block is None or not (work.messages or block.has_unwritten or assure):
                return
            messages = list(work.messages)
            covered, customers = dict(block.position), len(block.table)
            erased, sources = set(block.erased), dict(block.sources)
            block.owes_marker = False
            rows, batches = await self._compute(self._changelog.rows, block)

        def marker() -> list[RecordBatch]:
            block.progress.covered, block.progress.rows = covered, customers
            block.progress.sources = sources
            return self._changelog.marker(block)

        await work.lane.settle()
        written = await work.lane.write(self._changelog.topic, batches, marker)
        first = block.changelog_end + 1
        if not block.wrote(*written):
            await self._heed_others(partition, block, first, written.offset, erased)
        self.window.changelog_rows += rows
        self.window.changelog_bytes += sum(len(batch.buffer) for batch in batches)
        del work.messages[: len(messages)]
        for message in messages:
            self._shell.done(message)

    async def _heed_others(
        self, partition: int, block: Block, first: int, end: int, erased: set[bytes]
    ) -> None:
        """Answers what others wrote to the changelog between two offsets: see `others`."""
        heard = Heard()
        topics, words = self.plan.layout.topics, self.plan.offset_words
        async for chunk in self._shell.read(self._changelog.topic, partition, first, end):
            async with self._lock:
                if self.blocks.get(partition) is not block:
                    return
                more = await self._compute(heed, block, chunk, topics, words, erased)
            heard = Heard(heard.rows + more.rows, heard.tombstones + more.tombstones)
        block.contains(end)
        log_event(
            "foreign_rows", level=logging.WARNING, partition=partition, offset=first, until=end,
            rewrite=heard.rows, erased=heard.tombstones,
        )  # fmt: skip

    async def drain(self, *, lost: bool = False) -> None:
        """Finishes what is in work, or abandons it when the deadline passes.

        Nothing is taken any more until a partition begins again.

        Args:
            lost: The partitions belong to others already: everything is abandoned.
        """
        held = [str(partition) for partition, block in self.blocks if block.expected]
        for _, block in self.blocks:
            block.expected.clear()
        chunks = self.pending()
        began_s = time.perf_counter()
        evt = "drained"
        if lost or not await self._finish():
            # The blocks are ahead of the changelog: whoever owns the partitions restores them.
            for partition, _ in self.blocks:
                self.blocks.drop(partition)
            evt = "abandoned"
        took_ms = round((time.perf_counter() - began_s) * 1e3)
        if held:
            log_event(
                evt, partitions=",".join(held), chunks=chunks, took_ms=took_ms,
                generation=self._shell.generation,
            )  # fmt: skip
        await self._close_lanes()

    async def _finish(self) -> bool:
        """Whether everything became durable before the deadline."""
        try:
            async with asyncio.timeout(self._campaign.worker.revoke_deadline_s):
                await self.checkpoint()
        except TimeoutError:
            return False
        return True

    async def _close_lanes(self) -> None:
        self.uncommitted += self.pending()
        closing, self._work = self._work, {}  # a checkpoint that begins now finds none of them
        for work in closing.values():
            if work.checkpoint is not None:
                work.checkpoint.cancel()
        for work in closing.values():
            await work.lane.close()

    async def close(self) -> None:
        """Stops the lanes and the thread."""
        await self._close_lanes()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def pending(self) -> int:
        """Chunks computed and not yet durable."""
        return sum(len(work.messages) for work in self._work.values())

    def _work_of(self, partition: int) -> _Work:
        if partition not in self._work:
            lane = Lane(partition, self._shell.send, self._shell.fail)
            self._work[partition] = _Work(lane, [])
        return self._work[partition]

    async def _compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)
