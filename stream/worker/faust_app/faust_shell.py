"""The processor's view of the app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import TYPE_CHECKING, Any, cast

from faust.types import TP

from stream.columns import RecordChunk
from stream.kafka.read_rules import ReadRules
from stream.kafka.records import RecordBatch
from stream.worker.partition.changelog_reader import read_stretch

if TYPE_CHECKING:
    from stream.worker.faust_app.opportune_app import OpportuneApp
    from stream.worker.faust_app.transport import Consumer


class FaustShell:
    """What the processor asks for, done by Faust: see `Shell`."""

    def __init__(self, app: OpportuneApp) -> None:
        self._app = app

    @property
    def generation(self) -> int:
        """Present generation of the consumer group."""
        return int(self._app.consumer_generation_id)

    async def send(self, topic: str, partition: int, batch: RecordBatch) -> Awaitable[Any]:
        """Queues a batch."""
        return await self._app.send_batch(topic, partition, batch)

    def taken(self, message: Any) -> None:
        """Remembers what came next of a partition."""
        cast("Consumer", self._app.consumer).taken(message)

    def done(self, message: Any) -> None:
        """Lets the offset of what is durable be committed."""
        self._app.consumer.ack(message)

    async def rewind(self, topic: str, partition: int, offset: int) -> int:
        """Has a partition read again."""
        consumer = cast("Consumer", self._app.consumer)
        return await consumer.rewind(TP(topic, partition), offset)

    def read(self, topic: str, partition: int, first: int, end: int) -> AsyncIterator[RecordChunk]:
        """Reads with a client of its own."""
        rules = ReadRules.of(self._app.campaign)
        return read_stretch(self._app.bootstrap, rules, topic, partition, first, end)

    async def earliest(self, topic: str, partition: int) -> int:
        """First offset that retention has left."""
        tp = TP(topic, partition)
        return int((await self._app.consumer.earliest_offsets(tp))[tp])

    def fail(self, error: BaseException) -> None:
        """Crashes the worker."""
        self._app.fail(error)
