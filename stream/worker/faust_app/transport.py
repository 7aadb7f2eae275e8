"""Faust's Kafka transport, with a chunk of records as the message.

Registered under the URL scheme `chunks://`. Faust keeps its flow: fetch, conductor, stream, ack,
commit. What changes is what one message is (a chunk), who decides what may be committed (the ledger,
since the stock bookkeeping can commit past messages in flight), where a partition begins after a
rebalance (where the changelog's marker says), and that a revocation has a deadline.

Between the fetch and the agent Faust drops messages around a rebalance: it clears queues, and it may
fetch from a partition before it is sought. So the offset of a message is where its chunk starts, and
whoever takes it checks that it continues what was taken before; if not, the partition is read again
from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar, cast

from aiokafka.errors import IllegalStateError
from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerT, ProducerT
from faust.types.tuples import ConsumerMessage, Message

from stream.columns import RecordChunk
from stream.kafka.client import Fetched, SealedBatch, look_only
from stream.kafka.records import RecordBatch
from stream.kafka.topic_ids import Topic, describe
from stream.worker.faust_app.app_port import port_of
from stream.worker.faust_app.consumer_thread import ConsumerThread
from stream.worker.faust_app.ledger import Ledger
from stream.worker.faust_app.log_facts import complete, look_before, settle
from stream.worker.faust_app.producer_seam import explain_timestamps
from stream.worker.faust_app.read_offsets import ReadOffsets

SCHEME = "chunks"
_COMMIT_CRASHED_S = 1.0


class Consumer(driver.Consumer):
    """Hands out chunks and commits what the ledger allows."""

    _thread: ConsumerThread

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._port = port_of(self.app)
        self.ledger = Ledger()
        self._read_offset = ReadOffsets(self.app.topics.acks_enabled_for)
        self._sought: set[TP] = set()
        self._halted: set[TP] = set()
        self._given_up = 0  # how often partitions were
        self._seeks_at: int | None = None  # at which count of it they may be sought
        self._began_at: dict[TP, int] = {}  # what was committed when a partition began

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def on_buffer_full(self, tp: TP) -> None:
        """Nothing: a full queue holds up the fetcher by itself.

        Faust would leave the partition out of the next fetch, and sleep for a second when that
        leaves none.
        """

    def on_buffer_drop(self, tp: TP) -> None:
        """Nothing, as above."""

    def pause_partitions(self, tps: Iterable[TP]) -> None:
        """Stops fetching partitions."""
        paused = set(tps)
        super().pause_partitions(paused)
        self._thread.set_paused(paused, paused=True)

    def resume_partitions(self, tps: Iterable[TP]) -> None:
        """Fetches partitions again."""
        resumed = set(tps)
        super().resume_partitions(resumed)
        self._thread.set_paused(resumed, paused=False)

    def _to_message(self, tp: TP, record: Fetched) -> ConsumerMessage:
        chunk = record.chunk
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.start,
            float(chunk.timestamp_ms[-1]) / 1000.0 if len(chunk) else 0.0,
            0,
            None,
            None,
            chunk,  # type: ignore[arg-type]  # Faust says bytes, and does not look at them
            None,
            0,
            int(chunk.value.size.sum()),
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def taken(self, message: Message) -> None:
        """Remembers a chunk that was taken, in the order of its partition."""
        self.ledger.add(message.tp, cast(RecordChunk, message.value).next_offset, message)

    def ack(self, message: Message) -> bool:
        """Marks a chunk as done, unless it belongs to an earlier generation of the group."""
        self._unacked_messages.discard(message)
        if message.acked or message.generation_id != self.app.consumer_generation_id:
            message.acked = True
            return False
        message.acked = True
        return self.ledger.done(message.tp, message)

    def _new_offset(self, tp: TP) -> int | None:
        return self.ledger.take(tp)

    def _should_commit(self, tp: TP, offset: int) -> bool:
        """Whether a commit goes on: a table that is rebuilt reads again what was committed.

        Faust forgets what was before the last commit of a partition that is revoked.
        """
        return offset > max(self._committed_offset[tp] or 0, self._began_at.get(tp, 0))

    async def _commit_offsets(
        self, offsets: Mapping[TP, int], start_new_transaction: bool = True
    ) -> bool:
        """Commits; what is refused is tried again, though nothing else may come of its partition.

        Faust notes it as made.
        """
        generation = self._given_up
        before = {tp: self._committed_offset[tp] for tp in offsets}
        did_commit = await super()._commit_offsets(offsets, start_new_transaction)
        if not did_commit and generation == self._given_up:
            for tp, offset in offsets.items():
                self._committed_offset[tp] = before[tp]
                self.ledger.give_back(tp, offset)
        return did_commit

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Chunks know their next offset, so gaps need no bookkeeping."""

    def _filter_tps_with_pending_acks(self, topics: Any = None) -> Iterator[TP]:
        return (
            tp
            for tp in self.ledger.partitions()
            if topics is None or tp in topics or tp.topic in topics
        )

    async def perform_seek(self) -> None:
        """Begins every event partition where its state ends; what was handed out is read again."""
        generation = self._given_up
        if self._is_over(generation):
            return  # chunks in work are being finished, or were: the next generation seeks
        self.ledger.forget()
        tps = [tp for tp in self.assignment() if self.app.topics.acks_enabled_for(tp.topic)]
        # Faust has resumed them already, and still clears the queues before it resumes the flow.
        self.pause_partitions(tps)
        self._sought = set(tps)
        for tp in tps:  # Faust notes commits that were refused, too
            self._committed_offset.pop(tp, None)
        await super().perform_seek()
        processor = self._port.processor
        found = await look_before(processor.positions, self._thread, tps)
        for partition in sorted({tp.partition for tp in tps}):
            if self._is_over(generation):
                return
            here = [tp for tp in tps if tp.partition == partition]
            await settle(self._port, self, partition, {tp.topic: found[tp] for tp in here})
            if self._is_over(generation):
                return  # revoked meanwhile
            starts = processor.begin(
                partition,
                {tp.topic: self._committed_offset[tp] for tp in here},
                {tp.topic: found[tp].end for tp in here},
            )
            await complete(self._port, partition)
            if self._is_over(generation):
                return
            for tp in here:
                self._began_at[tp] = self._committed_offset[tp] or 0
                await self.seek(tp, starts[tp.topic])
                self._commit_covered(tp, starts[tp.topic])

    def _is_over(self, generation: int) -> bool:
        """Whether partitions were given up since, maybe while something was awaited.

        A recovery that Faust began for that generation goes on, and resumes the flow by itself.
        """
        return self._seeks_at != generation or not self.flow_active

    def _commit_covered(self, tp: TP, start: int) -> None:
        """Lets the next commit make up for one of an earlier worker that did not get through.

        Nothing may come that would commit it otherwise, and the group's lag would never reach 0.
        """
        if start > (self._committed_offset[tp] or 0):
            covered = object()
            self.ledger.add(tp, start, covered)
            self.ledger.done(tp, covered)

    def resume_flow(self) -> None:
        """Lets chunks flow again, also those of partitions that were sought meanwhile."""
        sought, self._sought = self._sought, set()
        self.resume_partitions(sought)
        super().resume_flow()

    async def _seek(self, partition: TP, offset: int) -> None:
        """Seeks in the thread that fetches: a position set beside a fetch may be overwritten."""

        async def seek() -> None:
            self._thread.seek(partition, offset)

        await self._thread.call_thread(seek)

    def halt(self, tp: TP) -> None:
        """Reads nothing more of a partition until it is rewound, or begins again."""
        if tp not in self._halted:
            self._halted.add(tp)
            self.pause_partitions({tp})

    async def rewind(self, tp: TP, offset: int) -> int:
        """Reads a partition again from an offset, or from the first one that retention has left.

        Returns:
            The offset that comes next.
        """
        try:
            earliest = (await self.earliest_offsets(tp))[tp]
            start = max(offset, earliest)
            await self.seek(tp, start)
            if tp in self._halted:
                self._halted.discard(tp)
                self.resume_partitions({tp})
        except IllegalStateError:
            return offset  # revoked meanwhile: whoever gets it next seeks
        return start

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finishes or abandons what is in work, commits, and only then forgets."""
        self._sought, self._seeks_at = set(), None
        self._halted.clear()  # Faust resumes what is assigned again
        self._given_up += 1
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self.ledger.forget(tp)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """A generation begins: its partitions may be sought."""
        self._seeks_at = self._given_up
        await super().on_partitions_assigned(assigned, generation_id)

    async def wait_empty(self) -> None:
        """Gives chunks in work until the deadline, commits what became done."""
        lost = not self._thread.is_member()
        await self._port.processor.drain(lost=lost)
        # The thread that commits may have crashed as well: the next start makes up for a commit.
        with suppress(TimeoutError):
            async with asyncio.timeout(_COMMIT_CRASHED_S if self.app.crashed else None):
                # A commit that was under way knew less; the second call commits the rest.
                await self.commit()
                await self.commit()


class Producer(driver.Producer):
    """Idempotent, acknowledged by all replicas, and able to send encoded batches."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    def _new_producer(self, transactional_id: str | None = None) -> Any:
        producer = super()._new_producer(transactional_id)
        look_only(producer.client)
        explain_timestamps(producer)
        return producer

    async def describe(self, topics: Collection[str]) -> dict[str, Topic | None]:
        """What the broker says about topics, see `topic_ids.describe`."""
        return await describe(self._ensure_producer().client, topics)

    async def send_encoded(self, topic: str, partition: int, batch: RecordBatch) -> Awaitable[Any]:
        """Queues one encoded batch; the future is done when the broker has acknowledged it."""
        producer = self._ensure_producer()
        future = await producer.send_batch(SealedBatch(batch), topic, partition=partition)
        return cast(Awaitable[Any], future)


class Transport(driver.Transport):
    """The transport behind `chunks://host:port`."""

    Consumer: ClassVar[type[ConsumerT]] = cast(type[ConsumerT], Consumer)
    Producer: ClassVar[type[ProducerT]] = cast(type[ProducerT], Producer)
