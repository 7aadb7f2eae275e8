"""What happens to a chunk in the worker: compute, publish, checkpoint.

Chunks are computed one after another on one thread, without the interpreter lock for most of it, so
that the event loop goes on fetching and sending. Results leave through one lane per partition
(`publisher`). Every commit interval the changed rows of each partition go to the changelog.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stream.campaign.file import Campaign
from stream.contacts.contact_layout import lay_out_contacts
from stream.features.plan import FeaturePlan
from stream.log import log_event
from stream.pipeline import Deployment, Pipeline, Step
from stream.worker.adoption import Adoption
from stream.worker.changelog_encoder import ChangelogEncoder
from stream.worker.checkpoints import Checkpoints
from stream.worker.claims import Claims
from stream.worker.contact_log.contact_log import ContactLog
from stream.worker.counting.consent_words import ConsentWords
from stream.worker.counting.input_counts import InputCounts
from stream.worker.counting.telemetry import Window
from stream.worker.order.replay import Turn
from stream.worker.order.turn_steps import steps_of
from stream.worker.partition.block import Block
from stream.worker.partition.blocks import Blocks
from stream.worker.partition.intake import Admitted, Intake
from stream.worker.partition.lifecycle import State
from stream.worker.partition.same_log import Positions
from stream.worker.results import outgoing
from stream.worker.schema_wait import SchemaWait
from stream.worker.shell import Shell
from stream.worker.warmup import warm_up
from stream.worker.work import Works

# A small chunk takes less time than handing it to another thread and waiting for the interpreter lock.
_INLINE_EVENTS_MAX = 256


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
        inputs: What came in on each event topic since the start.
        deployment: The model in force.
        uncommitted: Chunks that were given up since partitions began: they are read again.
        schemas: What chunks wait for before they are taken.
        positions: Whether the event topics are those that the state has seen.
    """

    def __init__(
        self, campaign: Campaign, plan: FeaturePlan, changelog_topic: str, shell: Shell
    ) -> None:
        self.plan = plan
        self.blocks = Blocks(plan.row_words)
        self.window = Window()
        self.inputs = InputCounts()
        self.deployment: Deployment | None = None
        self.uncommitted = 0
        self.schemas = SchemaWait(campaign.events)
        self.pipeline = Pipeline(campaign, plan, self.schemas.registry)
        self._campaign = campaign
        self._changelog = ChangelogEncoder(changelog_topic, campaign.worker.compression)
        self._shell = shell
        self._intake = Intake(shell)
        self.positions = Positions(campaign, self.blocks)
        self._works = Works(shell)
        self._consent_words = ConsentWords()
        self._lock = asyncio.Lock()
        self._claims = Claims(self.blocks, self._changelog, shell)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="compute")
        layout, codec = lay_out_contacts(campaign), campaign.worker.compression
        self._contact_log = ContactLog(campaign.app, layout, codec, shell)
        self._adoption = Adoption(campaign, shell)
        self._checkpoints = Checkpoints(
            self.blocks, self._works, self._changelog, self._contact_log, plan, shell, self._lock,
            self._compute, self._wrote,
        )  # fmt: skip

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
            IllegalMove: There was no restore.
            NotRestored: It is not through.
            StateError: What was restored is not a whole table.
        """
        self.uncommitted = 0
        where = f"{self._changelog.topic}/{partition}"
        events = [topic for topic in self._campaign.topics.events if topic in committed]
        in_order = {topic: committed[topic] for topic in events}
        block = self.blocks.begin(partition, where, in_order, ends)
        # A group that was forgotten begins to count again.
        block.progress.generation = max(block.progress.generation, self._shell.generation)
        if self._campaign.events.tombstones == "forget":
            block.find_forgotten(self.plan.offset_words)
        if block.has_unwritten:  # whether or not events come
            self._works.of(partition, block.changelog_end + 1)
        for topic, start in block.position.items():
            log_event(
                "begin", tp=f"{topic}/{partition}", offset=start, end=ends.get(topic),
                committed=committed[topic], rows=len(block.table),
                rebuild_until=block.silent_until.get(topic),
            )  # fmt: skip
        return block.position

    async def complete(self, partition: int) -> None:
        """Gives a partition that has just begun its contacts, and what was published: see `Adoption`."""
        async with self._lock:
            block = self.blocks.get(partition)
            if block is None or block.state is not State.ACTIVE:
                return
            await self._contact_log.restore(partition, block)
            await self._adoption.read(partition, block)
            if block.has_unwritten:
                self._works.of(partition, block.changelog_end + 1)

    async def process(self, message: Any) -> None:
        """Computes one chunk and queues its results; the chunk is done after a checkpoint.

        Args:
            message: Its value is a `RecordChunk`, its offset the one that the chunk starts at.
        """
        await self.schemas.ready(message.value)
        async with self._lock:
            block = self.blocks.get(message.value.partition)
            if block is None or block.state is not State.ACTIVE:
                return
            if message.generation_id != self._shell.generation:
                return  # its partition is read again from where it was covered
            admitted = await self._intake.admit(block, message)
            if block.state is State.ACTIVE:  # the broker was asked meanwhile
                await self._take_on(block, admitted)
            await self._intake.release(block, message.value.partition)

    async def _take_on(self, block: Block, admitted: Admitted | None) -> None:
        """Takes everything whose turn it is."""
        if admitted is not None:
            chunk, message = admitted
            block.expected[chunk.topic] = chunk.next_offset
            self._shell.taken(message)
            if block.replay.done:
                await self._take_parts(block, Turn.of(chunk, message))
                return
            decoder = self.pipeline.decoder
            times_ms = self.pipeline.event_times(chunk)
            block.replay.offer(chunk, message, times_ms, decoder.events_bound(chunk))
        for turn in block.replay.turns():
            await self._take_parts(block, turn)
            if block.state is not State.ACTIVE:
                return  # what is held back is read again

    async def _take_parts(self, block: Block, turn: Turn) -> None:
        """Takes a turn, one that would unfold to too many events in parts."""
        for part in turn.parts(self.pipeline.decoder.pieces):
            await self._take(block, part)
            if block.state is not State.ACTIVE:
                return

    def _announce(self, block: Block, turn: Turn) -> bool:
        """Whether a marker must be durable before the results of this turn leave."""
        if len(self._campaign.topics.events) == 1:
            return False
        if turn.planned:
            return block.order.owed()
        (chunk,) = turn.chunks
        block.order.close(block.position, chunk.topic)
        position = block.position.get(chunk.topic, 0)
        return block.order.announce(chunk.topic, position, chunk.next_offset)

    async def _take(self, block: Block, turn: Turn) -> None:
        assert self.deployment is not None, "the worker waits for a model before it reads"
        announced = self._announce(block, turn)
        partition = turn.chunks[0].partition
        decoder = self.pipeline.decoder
        events = sum(int(decoder.events_bound(chunk).sum()) for chunk in turn.chunks)
        contacts = None if block.contacts is None else block.contacts.table
        if contacts is not None:
            contacts.purse = await self._shell.purse(partition, events)
        began_s = time.perf_counter()
        steps = [Step()] * len(turn.chunks)
        through = (
            turn, self.pipeline, block.table, self.deployment, block.silent_until, contacts,
            block.decisions.published,
        )  # fmt: skip
        if events > _INLINE_EVENTS_MAX:
            steps = await self._compute(steps_of, *through)
        elif events:
            steps = steps_of(*through)
        if self.blocks.get(partition) is not block:
            return  # abandoned while it was computed
        for chunk, step in zip(turn.chunks, steps, strict=True):
            block.took(chunk, step.newest_ms)
        work = self._works.of(partition, block.changelog_end + 1)
        work.messages.extend(turn.messages)
        names = self.deployment.policy.strategies
        took_s = (time.perf_counter() - began_s) / len(turn.chunks)
        for chunk, step in zip(turn.chunks, steps, strict=True):
            self.window.add(step.flaws.lines, step, names, took_s)
            self._consent_words.tell(step.unreadable_words)
            self.inputs.add(chunk, step)
        # Under the lock: a checkpoint must find the results of all chunks that it covers queued.
        claim = self._claims.announcement(partition, block) if announced else None
        await work.lane.publish(outgoing(block, steps, claim, self._campaign.topics, self.window))

    async def checkpoint(self, *, assure: bool = False) -> None:
        """Makes what was taken so far durable: see `Checkpoints.make`."""
        await self._checkpoints.make(assure=assure)

    def _wrote(self, rows: int, size: int) -> None:
        self.window.changelog_rows += rows
        self.window.changelog_bytes += size

    async def drain(self, *, lost: bool = False) -> None:
        """Finishes what is in work, or abandons it when the deadline passes.

        Nothing is taken any more until a partition begins again.

        Args:
            lost: The partitions belong to others already: everything is abandoned.
        """
        held = [str(partition) for partition in self.blocks.drain()]
        chunks = self.pending()
        began_s = time.perf_counter()
        evt = "drained"
        if lost or self.blocks.are_contested or not await self._finish():
            # The blocks are ahead of the changelog: whoever owns the partitions restores them.
            for partition, _ in self.blocks:
                self.blocks.drop(partition)
            evt = "abandoned"
        await self._shell.end_purses(whole=evt == "drained")
        self.blocks.keep()
        took_ms = round((time.perf_counter() - began_s) * 1e3)
        if held:
            log_event(
                evt, partitions=",".join(held), chunks=chunks, took_ms=took_ms,
                generation=self._shell.generation,
            )  # fmt: skip
        self.uncommitted += await self._works.close()

    async def _finish(self) -> bool:
        """Whether everything became durable before the deadline."""
        try:
            async with asyncio.timeout(self._campaign.worker.revoke_deadline_s):
                await self.checkpoint()
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Stops the lanes and the thread."""
        self.uncommitted += await self._works.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def pending(self) -> int:
        """Chunks computed and not yet durable."""
        return self._works.pending()

    async def _compute(self, function: Callable[..., Any], *arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, function, *arguments)
