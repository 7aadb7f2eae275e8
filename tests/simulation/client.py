"""What stands for aiokafka's consumer in a worker, and for its membership in the group."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from random import Random
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from aiokafka.errors import IllegalStateError
from faust.types import TP

from stream.kafka.client import ChunkRecords, Fetched, FetchedBytes
from stream.worker.faust_app import transport

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

    def rejoin(self) -> None:
        """The worker asks for its partitions anew."""
        self._rejoin.set()

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
        result = function(*args)
        return await result if asyncio.iscoroutine(result) else result

    # What the worker asks aiokafka's consumer itself: whether the topics are those that were read

    cluster = SimpleNamespace(leader_for_partition=lambda _tp: None)

    @property
    def _client(self) -> Client:
        return self

    def _ensure_consumer(self) -> Client:
        return self

    def get_random_node(self) -> int:
        """There is one broker."""
        return 0

    async def send(self, _node: int, request: Any, group: Any = None) -> Any:
        """Answers that each topic is there, the same as ever."""
        del group
        await self._call()
        topics = [
            {"topic": name, "error_code": 0, "topic_id": f"id-{name}", "partitions": [0]}
            for name in request._names
        ]
        described = {"brokers": [0], "controller_id": 0, "topics": topics}
        return SimpleNamespace(API_VERSION=10, to_object=lambda: described)

    async def beginning_offsets(self, tps: Iterable[TP]) -> Mapping[TP, int]:
        """First offsets that are left."""
        return await self.earliest_offsets(*tps)

    async def end_offsets(self, tps: Iterable[TP]) -> Mapping[TP, int]:
        """Offsets after the last records."""
        return await self.highwaters(*tps)

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

    def log_ends(self, tp: TP) -> tuple[int, int]:
        """Offset after the last record: there are no transactions."""
        return self.highwater(tp), self.highwater(tp)

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


def _told(tps: set[TP]) -> str:
    return " ".join(f"{topic}/{partition}" for topic, partition in sorted(tps)) or "nothing"
