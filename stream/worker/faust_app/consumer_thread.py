"""aiokafka's consumer in the thread and event loop of its own that Faust gives it."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from functools import partial
from types import SimpleNamespace
from typing import Any

from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.kafka.client import ChunkConsumer, log_ends, rebind, stable_end
from stream.kafka.skip_list import ReadRules
from stream.worker.faust_app.app_port import port_of
from stream.worker.faust_app.log_facts import compare_read


class Exactly:
    """A changing set of partitions that stays true when it is empty: for aiokafka none means all."""

    def __init__(self, tps: Container[TP]) -> None:
        self._tps = tps

    def __contains__(self, tp: TP) -> bool:
        return tp in self._tps


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """Runs aiokafka's consumer in its own thread and event loop."""

    def _create_worker_consumer(self, transport: driver.Transport) -> Any:
        port = port_of(self.app)
        make = partial(
            ChunkConsumer,
            chunk_events_max=port.campaign.worker.chunk_events_max,
            rules=ReadRules.of(port.campaign),
            on_skip=port.skips.add,
            compare=self._compare,
        )
        create = rebind(
            driver.AIOKafkaConsumerThread._create_worker_consumer,
            aiokafka=SimpleNamespace(AIOKafkaConsumer=make),
        )
        return create(self, transport)

    async def _compare(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Ends the worker when what is being read is not the log that was read before."""
        port = port_of(self.app)
        error = await compare_read(
            port.processor.positions, port.campaign.topics.events, self._ensure_consumer(), offsets
        )
        if error is not None:
            self.app.loop.call_soon_threadsafe(port.shell.fail, error)
            await asyncio.Event().wait()  # nothing of it is handed out while the worker ends

    def set_paused(self, tps: set[TP], *, paused: bool) -> None:
        """Pauses or resumes partitions in aiokafka itself, from the thread that owns it.

        Faust only leaves paused partitions out of what it asks for. aiokafka would go on fetching
        them: the changelog, which this worker writes itself, would be sent back to it, and while a
        fetch waits for the next checkpoint no event can be fetched from that broker.
        """

        def apply() -> None:
            consumer = self._ensure_consumer()
            change = consumer.pause if paused else consumer.resume
            change(*(tp for tp in consumer.assignment() if TP(*tp) in tps))

        self.thread_loop.call_soon_threadsafe(apply)

    def rejoin(self) -> None:
        """Joins the group again, which assigns its partitions anew."""
        coordinator = self._ensure_consumer()._coordinator
        self.thread_loop.call_soon_threadsafe(coordinator.request_rejoin)

    def is_member(self) -> bool:
        """Whether the group still counts on this worker, as far as it knows."""
        consumer = self._consumer
        return (
            consumer is None or consumer._coordinator.generation == self.app.consumer_generation_id
        )

    def highwater(self, tp: TP) -> int | None:  # type: ignore[override]  # Faust says int, and asks
        """Offset up to which a partition can be read: a transaction that is open ends it."""
        return stable_end(self._ensure_consumer(), tp)

    def log_ends(self, tp: TP) -> tuple[int, int] | None:
        """The same, and the offset after the last record."""
        return log_ends(self._ensure_consumer(), tp)

    async def _fetch_records(
        self, consumer: Any, active_partitions: Any, *args: Any, **kwargs: Any
    ) -> Any:
        active = Exactly(active_partitions)
        return await super()._fetch_records(
            consumer,
            active,  # type: ignore[arg-type]  # Faust says a set, and only asks what is in it
            *args,
            **kwargs,
        )

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Replaced by the worker's own watchdog: the stock one compares unlike clocks."""
