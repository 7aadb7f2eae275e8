"""The processor's view of the app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import Any, cast

from faust.types import TP, AppT

from stream.campaign.file import Campaign
from stream.columns import RecordChunk
from stream.contacts.budgets.purse import Purse
from stream.kafka.records import RecordBatch
from stream.kafka.skip_list import ReadRules
from stream.kafka.topic_ids import Topic
from stream.worker.control.budget_desk import BudgetDesk
from stream.worker.faust_app.transport import Consumer, Producer
from stream.worker.partition.changelog_reader import read_stretch


class FaustShell:
    """What the processor asks for, done by Faust: see `Shell`.

    Args:
        app: Faust's app.
        campaign: The campaign file.
        bootstrap: Kafka address.
        fail: Crashes the worker.

    Attributes:
        desk: Draws of budgets.
    """

    def __init__(
        self,
        app: AppT,
        campaign: Campaign,
        bootstrap: str,
        fail: Callable[[BaseException], None],
    ) -> None:
        self._app = app
        self._campaign = campaign
        self._bootstrap = bootstrap
        self._fail = fail
        self.desk = BudgetDesk(campaign, bootstrap)

    # Faust makes both by the classes that its transport names, when they are first asked for.

    @property
    def _consumer(self) -> Consumer:
        return cast(Consumer, self._app.consumer)

    @property
    def _producer(self) -> Producer:
        return cast(Producer, self._app.producer)

    @property
    def generation(self) -> int:
        """Present generation of the consumer group."""
        return int(self._app.consumer_generation_id)

    async def send(self, topic: str, partition: int, batch: RecordBatch) -> Awaitable[Any]:
        """Queues a batch."""
        return await self._producer.send_encoded(topic, partition, batch)

    def taken(self, message: Any) -> None:
        """Remembers what came next of a partition."""
        self._consumer.taken(message)

    def done(self, message: Any) -> None:
        """Lets the offset of what is durable be committed."""
        self._consumer.ack(message)

    def pause(self, topic: str, partition: int) -> None:
        """Has nothing more of a partition read until it is rewound."""
        self._consumer.halt(TP(topic, partition))

    async def rewind(self, topic: str, partition: int, offset: int) -> int:
        """Has a partition read again."""
        return await self._consumer.rewind(TP(topic, partition), offset)

    def read(self, topic: str, partition: int, first: int, end: int) -> AsyncIterator[RecordChunk]:
        """Reads with a client of its own."""
        rules = ReadRules.of(self._campaign)
        return read_stretch(self._bootstrap, rules, topic, partition, first, end)

    async def earliest(self, topic: str, partition: int) -> int:
        """First offset that retention has left."""
        tp = TP(topic, partition)
        return int((await self._consumer.earliest_offsets(tp))[tp])

    async def end(self, topic: str, partition: int) -> int:
        """Offset after the last record."""
        tp = TP(topic, partition)
        return int((await self._consumer.highwaters(tp))[tp])

    async def purse(self, partition: int, events: int) -> Purse | None:
        """What a partition may spend on contacts in so many events."""
        return await self.desk.purse(partition, events)

    async def end_purses(self, *, whole: bool) -> None:
        """Ends all purses."""
        if whole:
            await self.desk.give_back()
        else:
            self.desk.forget()

    def rejoin(self) -> None:
        """Has the group assign its partitions anew."""
        self._consumer._thread.rejoin()

    def fail(self, error: BaseException) -> None:
        """Crashes the worker."""
        self._fail(error)

    # What operators look at

    def highwater(self, topic: str, partition: int) -> int | None:
        """Offset up to which a partition can be read, None while it is not known."""
        return self._consumer.highwater(TP(topic, partition))

    def log_ends(self, topic: str, partition: int) -> tuple[int, int] | None:
        """The same, and the offset after the last record."""
        ends: tuple[int, int] | None = self._consumer._thread.log_ends(TP(topic, partition))
        return ends

    async def describe(self, topics: Collection[str]) -> dict[str, Topic | None]:
        """What a broker says about topics, see `topic_ids.describe`."""
        return await self._producer.describe(topics)
