"""In which order the results of a partition become durable.

    1 decisions and dead letters are sent, chunk after chunk
    2 at a checkpoint, when all sent so far are acknowledged, the changed rows and then the marker
    3 when those are acknowledged, the chunks are done and Faust may commit their offsets

What a crash costs after each: before 1 nothing; between 1 and 2 the dead letters since the last
checkpoint are sent again, and the decisions that have come through are taken over (`adoption`); in
the middle of 2 the same; after 2 nothing, since a partition
begins where its marker says. Computing goes on while all of this is under way: the rows of a
checkpoint are copied at a chunk boundary.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from stream.kafka.records import RecordBatch


class Written(NamedTuple):
    """Where in the changelog a marker came to stand.

    Attributes:
        offset: Of the marker.
        records: Sent to the changelog since the marker before, this one included.
    """

    offset: int
    records: int


@dataclass(frozen=True, slots=True)
class Announcement:
    """What is durable before the decisions of a chunk may leave.

    Attributes:
        topic: The changelog.
        make: Makes the marker, one record. Called when it is its turn.
        confirmed: Told where it came to stand, and whether nobody else had written before it; False
            keeps back everything from here on.
    """

    topic: str
    make: Callable[[], list[RecordBatch]]
    confirmed: Callable[[int, bool], Awaitable[bool]]


Send = Callable[[str, int, RecordBatch], Awaitable[Awaitable[Any]]]
_QUEUED_CHUNKS_MAX = 4


@dataclass(frozen=True, slots=True)
class Outgoing:
    """What leaves because of one chunk.

    Attributes:
        first: What is announced before; None for nothing.
        batches: Decisions and dead letters, each batch with its topic.
        acknowledged: Called when all are durable, with what the broker says of each batch.
    """

    first: Announcement | None
    batches: list[tuple[str, RecordBatch]]
    acknowledged: Callable[[Sequence[Any]], None]


class _Request:
    """Asks the sender, when it is its turn, for futures of acknowledgements.

    Args:
        topic: Topic of what `make` makes.
        make: Makes batches that are sent then. None asks for everything sent before.
    """

    def __init__(
        self, topic: str = "", make: Callable[[], list[RecordBatch]] | None = None
    ) -> None:
        self.topic = topic
        self.make = make
        self.changelog_records = 0
        self.reached: asyncio.Future[list[Awaitable[Any]]] = (
            asyncio.get_running_loop().create_future()
        )

    def fail(self, error: BaseException) -> None:
        """Tells who waits, if anybody does, that nothing is sent any more."""
        if not self.reached.done():
            self.reached.set_exception(error)


class Lane:
    """The way out of one partition.

    Args:
        partition: Partition number, the same for events, decisions and changelog.
        send: Queues a batch; awaiting it gives the future of its acknowledgement.
        on_error: Called once with what broke; the worker crashes.
        changelog_next: Offset that the next record of the changelog gets if nobody else writes there.
    """

    def __init__(
        self,
        partition: int,
        send: Send,
        on_error: Callable[[BaseException], None],
        changelog_next: int = 0,
    ) -> None:
        self.partition = partition
        self._send = send
        self._on_error = on_error
        self._queue: asyncio.Queue[Outgoing | _Request] = asyncio.Queue(_QUEUED_CHUNKS_MAX)
        self._unacknowledged: list[asyncio.Future[Any]] = []
        self._changelog_records = 0
        self._changelog_next = changelog_next
        self._task = asyncio.create_task(self._run(), name=f"lane-{partition}")
        self._closed = False

    async def publish(self, outgoing: Outgoing) -> None:
        """Queues the results of a chunk; waits while several chunks are queued already."""
        if not self._closed:
            await self._queue.put(outgoing)

    async def settle(self) -> None:
        """Returns when everything published so far is acknowledged by the broker."""
        # Shielded: who gives up waiting does not call off what is on its way.
        await asyncio.shield(asyncio.gather(*await self._ask(_Request())))

    async def write(
        self, topic: str, batches: list[RecordBatch], last: Callable[[], list[RecordBatch]]
    ) -> Written:
        """Sends changelog batches, in order.

        Args:
            topic: The changelog.
            batches: The rows.
            last: Makes the marker, one record, when it is its turn among what was published.

        Returns:
            Where the marker stands, once all are durable.
        """
        futures = [await self._send_changelog(topic, batch) for batch in batches]
        request = _Request(topic, last)
        futures += await self._ask(request)
        results = await asyncio.gather(*futures)
        return Written(int(results[-1].offset), request.changelog_records)

    async def _send_changelog(self, topic: str, batch: RecordBatch) -> Awaitable[Any]:
        self._changelog_records += batch.records
        self._changelog_next += batch.records
        return await self._send(topic, self.partition, batch)

    async def _ask(self, request: _Request) -> list[Awaitable[Any]]:
        await self._queue.put(request)
        return await request.reached

    async def close(self) -> None:
        """Stops sending; what is queued is dropped."""
        self._closed = True
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        while not self._queue.empty():  # and whoever waits to put goes on
            item = self._queue.get_nowait()
            if isinstance(item, _Request):
                item.reached.cancel()

    async def _run(self) -> None:
        try:
            while True:
                item = await self._queue.get()
                if isinstance(item, _Request):
                    await self._answer(item)
                else:
                    await self._publish(item)
        except Exception as exc:  # noqa: BLE001  # every error is the worker's end
            self._on_error(exc)
            await self._refuse(exc)

    async def _answer(self, request: _Request) -> None:
        try:
            if request.make is None:
                futures: list[Awaitable[Any]] = list(self._unacknowledged)
            else:
                batches = request.make()
                futures = [await self._send_changelog(request.topic, batch) for batch in batches]
                request.changelog_records, self._changelog_records = self._changelog_records, 0
        except Exception as exc:
            request.fail(exc)
            raise
        if not request.reached.done():
            request.reached.set_result(futures)

    async def _refuse(self, error: Exception) -> None:
        """Sends nothing any more, and lets nobody wait for it."""
        while True:
            item = await self._queue.get()
            if isinstance(item, _Request):
                item.fail(error)

    async def _publish(self, outgoing: Outgoing) -> None:
        if outgoing.first is not None:
            await self._announce(outgoing.first)
        futures = [
            asyncio.ensure_future(await self._send(topic, self.partition, batch))
            for topic, batch in outgoing.batches
        ]
        done = asyncio.gather(*futures)
        done.add_done_callback(lambda future: self._acknowledged(future, outgoing))
        self._unacknowledged.append(done)

    async def _announce(self, announcement: Announcement) -> None:
        for batch in announcement.make():
            alone = self._changelog_next
            offset = int((await (await self._send_changelog(announcement.topic, batch))).offset)
            self._changelog_next += offset - alone
            if not await announcement.confirmed(offset, offset == alone):
                await asyncio.Event().wait()  # until the lane is closed

    def _acknowledged(self, future: asyncio.Future[Any], outgoing: Outgoing) -> None:
        if future.cancelled():
            return
        error = future.exception()
        if error is not None:
            if not self._closed:
                self._on_error(error)
            return
        # What has failed stays: nothing that was sent after it may ever count as settled.
        self._unacknowledged.remove(future)
        outgoing.acknowledged(future.result())
