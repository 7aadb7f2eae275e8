"""A worker: the real processor, store, recovery and consumer, in what Faust's app does around them.

The methods that decide in which order things happen in a rebalance are Faust's own, borrowed from
its `App`; its recovery, its fetcher and its table manager are the real ones.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable
from contextvars import copy_context
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import faust
from faust.transport.consumer import Fetcher
from faust.transport.utils import DefaultSchedulingStrategy
from faust.types import TP
from mode.utils.logging import CompositeLogger
from mode.utils.queues import FlowControlEvent
from yarl import URL

from stream.columns import RecordChunk, split
from stream.kafka.records import RecordBatch, RecordReader
from stream.kafka.skip_report import SkipCount
from stream.worker.faust_app import store
from stream.worker.partition.snapshots import Snapshots
from stream.worker.processor import Processor
from tests.simulation.campaigns import Setup
from tests.simulation.client import Client, Consumer
from tests.simulation.clock import PROCESS, Process
from tests.simulation.producer import Producer

if TYPE_CHECKING:
    from tests.simulation.world import World

_CHUNKS_QUEUED_MAX = 4
_EVENTS_MAX = 1 << 20

_FAUST_APP: Any = faust.App


class _Any:
    """Does nothing, whatever it is asked; what it gives is true."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_args, **_kwargs: True


class _Signal:
    async def send(self, *_args: Any) -> None:
        """Nobody listens."""


class _Topics:
    """Faust's conductor: which queue a message goes to."""

    def __init__(self, app: App) -> None:
        self._app = app

    def add(self, _channel: Any) -> None:
        """The queues are known."""

    async def maybe_wait_for_subscriptions(self) -> None:
        """All are subscribed."""

    async def on_partitions_assigned(self, _assigned: set[TP]) -> None:
        """Channels have no partitions here."""

    def acks_enabled_for(self, topic: str) -> bool:
        """Whether offsets of a topic are committed."""
        return topic in self._app.world.settings.topics

    async def on_message(self, message: Any) -> None:
        """Queues a message; waits while its queue is full."""
        await self._app.flow_control.acquire()
        changelog = message.topic == self._app.setup.changelog
        queue = self._app.tables.changelog_queue if changelog else self._app.queue
        event = SimpleNamespace(message=message)
        if queue.full():  # Faust clears queues while it waits for room, and does not mind
            await asyncio.wait([asyncio.ensure_future(queue.put(event))])
        else:
            queue.put_nowait(event)


class _Table:
    """Faust's table, as far as its recovery knows it."""

    recovery_buffer_size = 1000

    def __init__(self, app: App, topic: str) -> None:
        self.name = "customers"
        self.changelog_topic = SimpleNamespace(
            get_topic_name=lambda: topic, clone_using_queue=lambda _queue: None
        )
        self.data = store.Store(URL("columns://"), cast(Any, app), cast(Any, self))
        self.persisted_offset = self.data.persisted_offset

    def apply_changelog_batch(self, batch: Any) -> None:
        self.data.apply_changelog_batch(batch, bytes, bytes)

    async def on_rebalance(self, *_args: Any) -> None:
        """Tables of Faust hand this on to their store."""

    async def maybe_start(self) -> None:
        """A store has nothing to start."""

    async def stop(self) -> None:
        """A store has nothing to stop."""

    async def on_recovery_completed(self, active: set[TP], standby: set[TP]) -> None:
        await self.data.on_recovery_completed(active, standby)


"""Its methods are borrowed by a class that is not one of its kind."""


class App:
    """What the worker's parts see of Faust's app, and the processor's shell in one."""

    _update_assignment = _FAUST_APP._update_assignment
    _on_partitions_revoked = _FAUST_APP._on_partitions_revoked
    _on_partitions_assigned = _FAUST_APP._on_partitions_assigned
    _on_rebalance_when_stopped = _FAUST_APP._on_rebalance_when_stopped
    _consumer_wait_empty = _FAUST_APP._consumer_wait_empty
    _producer_flush = _FAUST_APP._producer_flush
    _stop_consumer = _FAUST_APP._stop_consumer
    _stop_fetcher = _FAUST_APP._stop_fetcher
    on_rebalance_start = _FAUST_APP.on_rebalance_start
    on_rebalance_return = _FAUST_APP.on_rebalance_return
    on_rebalance_end = _FAUST_APP.on_rebalance_end
    _start_span_from_rebalancing = _FAUST_APP._start_span_from_rebalancing
    FlowControlQueue = _FAUST_APP.FlowControlQueue

    log = CompositeLogger(logging.getLogger("simulation"))
    tracer = _assignment = _rebalancing_span = None
    in_transaction = client_only = producer_only = should_stop = in_recovery = False
    rebalancing = unassigned = crashed = False
    rebalancing_count = 0
    stopping = False
    consumer_generation_id = 0
    sensors = monitor = agents_sensor = _Any()

    def __init__(self, world: World, setup: Setup, name: str) -> None:
        self.world, self.setup, self.name = world, setup, name
        self.process = Process(name)
        self.campaign = setup.campaign
        self.on_partitions_revoked = self.on_partitions_assigned = _Signal()
        self.on_rebalance_complete = _Signal()
        self._attachments = SimpleNamespace(publish_for_tp_offset=_nothing)
        self.agents = SimpleNamespace(on_rebalance=_nothing)
        self.assignor = SimpleNamespace(actives=set(), assigned_standbys=set)
        self.assignor.assigned_actives = lambda: self.assignor.actives
        self.conf = SimpleNamespace(
            id="sim", name="sim", store=URL("columns://"), stream_recovery_delay=0.0,
            stream_wait_empty=True, stream_buffer_maxsize=_CHUNKS_QUEUED_MAX,
            recovery_consistency_check=True, broker_request_timeout=90.0,
            broker_session_timeout=60.0, broker_commit_every=1 << 30,
            broker_commit_interval=world.settings.commit_s,
            broker_commit_livelock_soft_timeout=300.0,
            ConsumerScheduler=DefaultSchedulingStrategy,
        )  # fmt: skip
        self.flow_control = FlowControlEvent()
        self.queue = self.FlowControlQueue(_CHUNKS_QUEUED_MAX, clear_on_resume=True)
        self.snapshots: Snapshots | None = world.snapshots(setup)
        self.skips = SkipCount()
        self.shell = self
        self.processor = Processor(setup.campaign, setup.plan, setup.changelog, self)
        self.processor.pipeline = setup.pipeline
        self.processor.deployment = setup.deployment
        self.producer = self._producer = Producer(self)
        self.topics = _Topics(self)
        self.tables = store.TableManager(cast(Any, self))
        table = _Table(self, setup.changelog)
        dict.__setitem__(cast(Any, self.tables.data), "customers", table)
        self.tables._changelogs[setup.changelog] = cast(Any, table)
        transport = SimpleNamespace(app=self, create_transaction_manager=lambda **_: None)
        self.consumer = self._consumer = Consumer(
            cast(Any, transport),
            callback=self.topics.on_message,
            on_partitions_revoked=cast(Any, self._on_partitions_revoked),
            on_partitions_assigned=cast(Any, self._on_partitions_assigned),
        )
        self.client = cast(Client, cast(Any, self.consumer)._thread)
        self._fetcher = Fetcher(cast(Any, self))
        for service in (self.tables.recovery, self.consumer, self._fetcher):
            cast(Any, service).crash = self.crash  # Faust hands it on to the app
        cast(Any, self.tables.recovery)._highwater_logtable = lambda *_args, **_kwargs: (
            ""
        )  # drawn whether it is logged or not

    # The processor's shell

    @property
    def generation(self) -> int:
        return self.consumer_generation_id

    async def send(self, topic: str, partition: int, batch: RecordBatch) -> Awaitable[Any]:
        return await self.producer.send_encoded(topic, partition, batch)

    def taken(self, message: Any) -> None:
        self.consumer.taken(message)

    def done(self, message: Any) -> None:
        self.consumer.ack(message)

    def pause(self, topic: str, partition: int) -> None:
        """Has nothing more of a partition read until it is rewound."""
        self.consumer.halt(TP(topic, partition))

    async def rewind(self, topic: str, partition: int, offset: int) -> int:
        return await self.consumer.rewind(TP(topic, partition), offset)

    async def earliest(self, topic: str, partition: int) -> int:
        tp = TP(topic, partition)
        return int((await self.consumer.earliest_offsets(tp))[tp])

    async def end(self, topic: str, partition: int) -> int:
        tp = TP(topic, partition)
        return int((await self.consumer.highwaters(tp))[tp] or 0)

    async def read(
        self, topic: str, partition: int, first: int, end: int
    ) -> AsyncIterator[RecordChunk]:
        while first < end:
            await asyncio.sleep(self.world.random.uniform(0.0, self.world.settings.call_s))
            data = self.world.broker.log(topic, partition).read(first, 3)
            for chunk in RecordReader(topic, partition, data, first, _EVENTS_MAX):
                first = chunk.next_offset
                yield split(chunk, end)[0]

    async def purse(self, partition: int, events: int) -> None: ...
    async def end_purses(self, *, whole: bool) -> None: ...

    def rejoin(self) -> None:
        """Has the group assign its partitions anew."""
        self.client.rejoin()

    def fail(self, error: BaseException) -> None:
        """A worker never crashes of what is played here."""
        if self.process.alive:
            self.world.crashed(self.name, error)

    async def crash(self, error: BaseException) -> None:
        self.fail(error)

    # Its life

    def start(self) -> None:
        """Starts the process."""
        PROCESS.set(self.process)
        self.context = copy_context()
        self._begin(self._run())

    async def _run(self) -> None:
        await self.tables.recovery.start()
        self._begin(self.client.coordinate())
        self._begin(self._decide())
        self._begin(self._every(self.world.settings.checkpoint_s, self.processor.checkpoint))
        self._begin(self._every(self.world.settings.commit_s, self.consumer.commit))
        self._begin(self._heartbeats())

    def _begin(self, coroutine: Any) -> None:
        async def guarded() -> None:
            try:
                await coroutine
            except Exception as exc:  # noqa: BLE001  # whatever it is, the simulation tells it
                self.fail(exc)

        asyncio.get_running_loop().create_task(guarded())

    async def _decide(self) -> None:
        while True:
            event = await self.queue.get()
            await self.processor.process(event.message)

    async def _every(self, interval_s: float, work: Any) -> None:
        while True:
            await asyncio.sleep(interval_s)
            await work()

    async def _heartbeats(self) -> None:
        while True:
            await asyncio.sleep(self.world.settings.heartbeat_s)
            self.client.heartbeat()

    async def stop(self) -> None:
        """Ends as after SIGTERM: finishes what is in work, saves, leaves the group."""
        self.should_stop = True
        await self._stop_consumer()
        await self._producer_flush(self.log)
        await self.processor.close()
        if self.snapshots is not None:
            self.snapshots.save(dict(self.processor.blocks))
        self.world.broker.group.leave(self.client)


async def _nothing(*_args: Any, **_kwargs: Any) -> None:
    """Faust asks this of parts that a worker does not use."""
