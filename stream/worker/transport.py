"""Faust's Kafka transport, with a chunk of records as the message.

Registered under the URL scheme `chunks://`. Faust keeps its flow: fetch, conductor, stream, ack,
commit. What changes is what one message is (a chunk), who decides what may be committed (the ledger,
since the stock bookkeeping can commit past messages in flight), where a partition begins after a
rebalance (where the changelog's marker says), and that a revocation has a deadline.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Mapping
from types import SimpleNamespace
from typing import Any, ClassVar, cast

from faust.transport.drivers import aiokafka as driver
from faust.types import TP, ConsumerT, ProducerT
from faust.types.tuples import ConsumerMessage, Message

from stream.columns import RecordChunk
from stream.records import RecordBatch
from stream.worker.aiokafka_seam import ChunkConsumer, SealedBatch, rebind
from stream.worker.ledger import Ledger

SCHEME = "chunks"


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Runs aiokafka's consumer in its own thread and event loop."""

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        create = rebind(
            driver.AIOKafkaConsumerThread._create_worker_consumer,
            aiokafka=SimpleNamespace(AIOKafkaConsumer=ChunkConsumer),
        )
        consumer = create(self, transport)
        consumer.chunk_events_max = cast(Any, self.app).campaign.worker.chunk_events_max
        return consumer

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Replaced by the worker's own watchdog: the stock one compares unlike clocks."""


class Consumer(driver.Consumer):
    """Hands out chunks and commits what the ledger allows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ledger = Ledger()

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    def _to_message(self, tp: TP, record: RecordChunk) -> ConsumerMessage:
        message = ConsumerMessage(
            tp.topic,
            tp.partition,
            record.next_offset - 1,
            float(record.timestamp_ms[-1]) / 1000.0,
            0,
            None,
            None,
            cast(Any, record),
            None,
            0,
            int(record.value.size.sum()),
            tp,
            generation_id=self.app.consumer_generation_id,
        )
        if self.app.topics.acks_enabled_for(tp.topic):
            self.ledger.add(tp, record.next_offset, message)
        return message

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
        self.ledger.forget()
        await super().perform_seek()
        processor = cast(Any, self.app).processor
        if not processor.takes(self.app.consumer_generation_id):
            return  # between two generations: the next one seeks again
        tps = [tp for tp in self.assignment() if self.app.topics.acks_enabled_for(tp.topic)]
        ends = await self.highwaters(*tps) if tps else {}
        for partition in sorted({tp.partition for tp in tps}):
            here = [tp for tp in tps if tp.partition == partition]
            starts = processor.begin(
                partition,
                {tp.topic: self._committed_offset[tp] for tp in here},
                {tp.topic: ends[tp] or 0 for tp in here},
            )
            for tp in here:
                await self.seek(tp, starts[tp.topic])

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finishes or abandons what is in work, commits, and only then forgets."""
        await super().on_partitions_revoked(revoked)
        for tp in revoked:
            self.ledger.forget(tp)

    async def wait_empty(self) -> None:
        """Gives chunks in work until the deadline, commits what became done."""
        await cast(Any, self.app).processor.drain()
        # A commit that was under way knew less; the second call commits the rest.
        await self.commit()
        await self.commit()


class Producer(driver.Producer):
    """Idempotent, acknowledged by all replicas, and able to send encoded batches."""

    def _settings_extra(self) -> Mapping[str, Any]:
        return {"acks": "all", "enable_idempotence": True}

    async def send_encoded(self, topic: str, partition: int, batch: RecordBatch) -> Awaitable[Any]:
        """Queues one encoded batch; the future is done when the broker has acknowledged it."""
        producer = self._ensure_producer()
        future = await producer.send_batch(SealedBatch(batch), topic, partition=partition)
        return cast(Awaitable[Any], future)


class Transport(driver.Transport):
    """The transport behind `chunks://host:port`."""

    Consumer: ClassVar[type[ConsumerT]] = cast(type[ConsumerT], Consumer)
    Producer: ClassVar[type[ProducerT]] = cast(type[ProducerT], Producer)
