"""What stands for aiokafka in a worker: a consumer with its group membership, and a producer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from aiokafka.errors import IllegalStateError
from faust.types import TP

from stream.records import RecordBatch
from stream.worker import transport
from stream.worker.aiokafka_seam import ChunkRecords, Fetched, FetchedBytes

if TYPE_CHECKING:
    from tests.simulation.world import World

_CHUNKS_PER_POLL = 32
_LOST = -1


class _Beacon:
    def reattach(self, _: Any) -> None:
        """It is part of no tree of services."""


class Client:
    """Stands for Faust's consumer thread and the aiokafka consumer in it.

    Args:
        consumer: The consumer that it fetches for.
    """

    beacon = _Beacon()

    def __init__(self, consumer: Any) -> None:
        self.consumer = consumer
        self.app = consumer.app
        self.world: World = self.app.world
        self.name: str = self.app.name
        self.random: Random = self.world.random
        self.reachable = True
        self.generation = _LOST
        self._rejoin = asyncio.Event()
        self._position: dict[TP, int | None] = {}
        self._paused: set[TP] = set()

    # Group membership

    async def coordinate(self) -> None:
        """What aiokafka's coordinator does: revoke, join, assign, and again when it is told to."""
        self._rejoin.set()
        while True:
            await self._rejoin.wait()
            self.app.on_rebalance_start()
            await self.consumer.on_partitions_revoked(set(self._position))
            await self._call()
            topics = (*self.world.settings.topics, self.app.setup.changelog)
            self._rejoin.clear()
            joined = await self.world.broker.group.join(self, topics)
            await self._call()
            self.generation = joined.generation
            self.app.assignor.actives = set(joined.tps)
            self._position = dict.fromkeys(sorted(joined.tps))
            self._paused.clear()
            self.world.tell(self.name, f"generation {joined.generation}: {_told(joined.tps)}")
            self.app.consumer_generation_id = joined.generation
            await self.consumer.on_partitions_assigned(set(joined.tps), joined.generation)
            if not self.world.broker.group.knows(self, self.generation):
                self.heartbeat()

    def told_to_rejoin(self) -> None:
        """The group is being rebalanced."""
        self._rejoin.set()

    def heartbeat(self) -> None:
        """Learns whether the group still counts on this worker."""
        group = self.world.broker.group
        if self.reachable and not group.knows(self, self.generation):
            if self.generation != _LOST:
                self.world.tell(self.name, f"is no member of generation {self.generation} any more")
            self.generation = _LOST
            self._rejoin.set()
        elif self.reachable and group.awaits(self):
            self._rejoin.set()

    def is_member(self) -> bool:
        """Whether the group still counts on this worker, as far as it knows."""
        return bool(self.generation == self.app.consumer_generation_id)

    # Fetching

    def assignment(self) -> set[TP]:
        """The partitions of this worker."""
        return set(self._position)

    def seek(self, tp: TP, offset: int) -> None:
        """Fetches from an offset on."""
        if tp not in self._position:
            raise IllegalStateError(f"{tp} is not assigned")
        self._position[tp] = offset

    async def call_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls something in the thread that fetches."""
        await self._call()
        return function(*args)

    async def seek_wait(self, offsets: Mapping[TP, int]) -> None:
        """Fetches from these offsets on."""
        await self._call()
        for tp, offset in offsets.items():
            self.seek(tp, offset)

    async def seek_to_committed(self) -> Mapping[TP, int | None]:
        """Fetches from the committed offsets on, where there are any."""
        await self._call()
        committed = self.world.broker.group.committed
        for tp in self._position:
            if tp in committed:
                self._position[tp] = committed[tp]
        return {tp: committed.get(tp) for tp in self._position}

    def set_paused(self, tps: set[TP], *, paused: bool) -> None:
        """Pauses or resumes what is assigned."""
        here = tps & self._position.keys()
        self._paused = self._paused | here if paused else self._paused - here

    async def earliest_offsets(self, *tps: TP) -> Mapping[TP, int]:
        """First offsets that are left."""
        await self._call()
        return {tp: self.world.broker.log(*tp).start for tp in tps}

    async def highwaters(self, *tps: TP) -> Mapping[TP, int]:
        """Offsets after the last records."""
        await self._call()
        return {tp: self.world.broker.log(*tp).end for tp in tps}

    def highwater(self, tp: TP) -> int:
        """Offset after the last record."""
        return self.world.broker.log(*tp).end

    def verify_recovery_event_path(self, now: float, tp: TP) -> None:
        """Faust tells when nothing comes."""

    def close(self) -> None:
        """Faust closes it when partitions change while it stops."""

    async def getmany(
        self,
        active: Iterable[TP],
        timeout: float,  # noqa: ASYNC109  # Faust's name
    ) -> Mapping[TP, list[Fetched]]:
        """Chunks of partitions that are not paused; waits until there are some."""
        loop = self.world.loop
        until_s = loop.time() + timeout
        while True:
            await self._call()
            records = self._fetched(active)
            left_s = until_s - loop.time()
            if records or left_s <= 0:
                return records
            await asyncio.wait([self.world.broker.changed()], timeout=left_s)

    def _fetched(self, active: Iterable[TP]) -> dict[TP, list[Fetched]]:
        records = {}
        for tp in sorted(self._position.keys() & set(active) - self._paused):
            log = self.world.broker.log(*tp)
            position = self._position[tp]
            if position is None:  # aiokafka begins where the group has committed
                position = self.world.broker.group.committed.get(tp, log.start)
            position = max(position, log.start)
            if position < log.end:
                records[tp] = self._chunks(tp, log.read(position, self._batches()), position)
        return records

    def _batches(self) -> int:
        return self.random.randint(1, self.world.settings.fetch_batches_max)

    def _chunks(self, tp: TP, data: bytes, position: int) -> list[Fetched]:
        settings = self.world.settings
        reader = ChunkRecords(
            settings.chunk_events_max, tp, FetchedBytes(data), None, position, None, None, False, 0
        )
        chunks: list[Fetched] = []
        for fetched in reader:
            chunks.append(fetched)
            if self.random.random() < settings.fetch_repeats:
                chunks.append(fetched)
            if len(chunks) >= _CHUNKS_PER_POLL:
                break
        self._position[tp] = reader.next_fetch_offset
        # The last one comes: what Faust drops at the end of a partition it also seeks again.
        kept = [c for c in chunks[:-1] if self.random.random() >= settings.fetch_drops]
        return [*kept, chunks[-1]]

    async def commit(self, offsets: Mapping[TP, int]) -> bool:
        """Commits offsets; False when the group has gone on without this worker."""
        generation = self.generation
        await self._call()
        if not self.reachable or not self.app.process.alive:
            return False
        offsets = {tp: offset for tp, offset in offsets.items() if tp in self._position}
        if not self.world.broker.group.commit(self, generation, offsets):
            self.heartbeat()
            return False
        self.world.committed(self.name, self.app.setup, offsets)
        await self._call()
        return True

    async def _call(self) -> None:
        await asyncio.sleep(self.random.uniform(0.0, self.world.settings.call_s))


class Consumer(transport.Consumer):
    """The worker's consumer over a simulated thread."""

    def _new_consumer_thread(self) -> Any:
        return Client(self)


class Producer:
    """Sends batches in order per partition, one at a time; they land in the log after a while.

    Args:
        app: The worker's app.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self._world: World = app.world
        self._queues: dict[TP, deque[tuple[RecordBatch, asyncio.Future[Any]]]] = {}
        self._pending: set[asyncio.Future[Any]] = set()

    async def send_encoded(self, topic: str, partition: int, batch: RecordBatch) -> Awaitable[Any]:
        """Queues a batch; the future is done when the broker has acknowledged it."""
        future = self._world.loop.create_future()
        self._pending.add(future)
        future.add_done_callback(self._pending.discard)
        tp = TP(topic, partition)
        queue = self._queues.setdefault(tp, deque())
        queue.append((batch, future))
        if len(queue) == 1:
            self._later(self._land, tp)
        return future

    def _land(self, tp: TP) -> None:
        world, process = self._world, self._app.process
        # What a process has handed to its socket lands though it has ended; the rest does not.
        if process.stopped_s is not None:
            on_its_way = world.loop.time() <= process.stopped_s + world.settings.send_s / 2
            if not process.alive and not on_its_way:
                return
            if process.frozen and not on_its_way:
                process.park(self._land, tp)
                return
        if world.loop.time() < world.broker.closed_until_s:
            self._later(self._land, tp, world.broker.closed_until_s - world.loop.time())
            return
        batch, future = self._queues[tp][0]
        base = world.broker.append(*tp, batch, self._app.name)
        world.tell(self._app.name, f"{tp.topic}/{tp.partition} +{batch.records} at {base}")
        self._later(self._acknowledge, tp, 0.0, future, base)

    def _acknowledge(self, tp: TP, future: asyncio.Future[Any], base: int) -> None:
        if not future.done():
            future.set_result(self._world.broker.metadata(base))
        self._queues[tp].popleft()
        if self._queues[tp]:
            self._later(self._land, tp)

    def _later(self, step: Callable[..., None], tp: TP, wait_s: float = 0.0, *args: Any) -> None:
        delay_s = self._world.random.uniform(0.0, self._world.settings.send_s)
        self._world.loop.outside(wait_s + delay_s, step, tp, *args)

    async def flush(self) -> None:
        """Waits until everything is acknowledged."""
        if self._pending:
            await asyncio.wait(list(self._pending))


def _told(tps: set[TP]) -> str:
    return " ".join(f"{topic}/{partition}" for topic, partition in sorted(tps)) or "nothing"
