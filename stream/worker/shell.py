"""What the processor needs of the app around it: the seam at which Faust ends."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any, Protocol

from stream.columns import RecordChunk
from stream.contacts.budgets.purse import Purse
from stream.kafka.records import RecordBatch


class Shell(Protocol):
    """What the processor needs of the app around it."""

    async def send(self, topic: str, partition: int, batch: RecordBatch) -> Awaitable[Any]:
        """Queues a batch; the awaitable is done when the broker has acknowledged it."""

    def taken(self, message: Any) -> None:
        """The chunk of this message is the next one of its partition."""

    def done(self, message: Any) -> None:
        """The chunk of this message is durable: its offset may be committed."""

    def pause(self, topic: str, partition: int) -> None:
        """Has nothing more of a partition read until it is rewound."""

    async def rewind(self, topic: str, partition: int, offset: int) -> int:
        """Has a partition read again from an offset; gives the first one that is still there."""

    async def earliest(self, topic: str, partition: int) -> int:
        """First offset of a partition that retention has left."""

    async def end(self, topic: str, partition: int) -> int:
        """Offset after the last record of a partition."""

    def read(self, topic: str, partition: int, first: int, end: int) -> AsyncIterator[RecordChunk]:
        """Records of a partition from one offset to before another, beside what is consumed."""

    @property
    def generation(self) -> int:
        """Present generation of the consumer group."""

    async def purse(self, partition: int, events: int) -> Purse | None:
        """What a partition may spend on contacts in so many events; None without budgets."""

    async def end_purses(self, *, whole: bool) -> None:
        """Ends all purses; gives back what is left in them when all they paid for is acknowledged."""

    def rejoin(self) -> None:
        """Has the group assign its partitions anew."""

    def fail(self, error: BaseException) -> None:
        """Crashes the worker."""
