"""What stands for aiokafka's producer in a worker."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from faust.types import TP

from stream.kafka.records import RecordBatch

if TYPE_CHECKING:
    from tests.simulation.world import World


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
