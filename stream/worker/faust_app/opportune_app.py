"""The Faust app of a campaign: where the processor plugs into Faust.

Faust brings the command line, group membership, assignment, recovery and shutdown. The app adds a
transport and a store by URL scheme, one agent over all event topics, and background tasks:
checkpoints, the model watcher, the summary line, the watchdog and the watch over the topics.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, cast

import faust
from faust.stores import STORES
from faust.transport.drivers import TRANSPORTS

from models.registry import Registry
from stream.campaign.file import Campaign
from stream.errors import CampaignError, OperatorError
from stream.features.plan import compile_features
from stream.kafka.read_rules import ReadRules
from stream.kafka.records import RecordBatch
from stream.kafka.skip_log import SkipCount, log_skip_list
from stream.log import log_event
from stream.pipeline import Deployment
from stream.policy.choice import Policy
from stream.policy.decision import NOTHING
from stream.scoring.champion import ModelWatcher
from stream.worker.faust_app import store, transport
from stream.worker.faust_app.faust_shell import FaustShell
from stream.worker.operate import monitor
from stream.worker.operate.deadline import SHUTDOWN_S, Deadline
from stream.worker.operate.topic_watch import TopicWatch, watch_topics
from stream.worker.partition.snapshots import Snapshots
from stream.worker.processor import Processor
from stream.worker.topics import ensure_topics

TRANSPORTS.aliases[transport.SCHEME] = "stream.worker.faust_app.transport:Transport"
STORES.aliases[store.SCHEME] = "stream.worker.faust_app.store:Store"

# How long what others wrote to the changelog of a quiet partition may go unseen: far less than
# `min.compaction.lag.ms`, after which the row that it overwrites could be gone.
_ASSURE_INTERVAL_S = 30.0
_MODEL_WAIT_LINE_S = 10.0
_CHUNKS_PER_POLL = 32
# Few: what waits at the broker comes in larger chunks, what waits in the queue stays in small ones.
_CHUNKS_QUEUED_MAX = 4


class OpportuneApp(faust.App):
    """A Faust app that decides in chunks. Made by `create_app`."""

    campaign: Campaign
    processor: Processor
    watcher: ModelWatcher
    bootstrap: str
    snapshots: Snapshots | None
    skips: SkipCount
    deadline: Deadline
    watch: TopicWatch
    stop_reason: str = "asked"
    _said_stop: bool = False

    async def start(self) -> None:
        """Starts the worker, or says why it cannot."""
        try:
            await super().start()
        except Exception as exc:
            self._tell(exc)
            raise

    async def on_first_start(self) -> None:
        """Checks the topics and waits for a model, before the consumer joins its group."""
        await self._prepare()
        # What lives now lives until the end: the collector need not look at it again, and chunks
        # are columns, of which it finds nothing to collect. Leaks still show, more rarely.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 50, 100)

    async def _prepare(self) -> None:
        monitor.check_health_file(self.campaign.worker.health_file)
        (changelog,) = (table.changelog_topic for table in self.tables.values())
        partitions, self.processor.pipeline.limits = await ensure_topics(
            self.bootstrap, self.campaign, changelog.get_topic_name()
        )
        self.watch = TopicWatch(self.campaign.topics, changelog.get_topic_name(), partitions)
        changelog.partitions = partitions
        changelog.replicas = self.campaign.worker.replication  # Faust's setting knows no -1
        log_event("start", **monitor.start_fields(self, partitions))
        log_skip_list(ReadRules.of(self.campaign))
        await self._wait_for_model()

    async def on_start(self) -> None:
        """Starts the background tasks."""
        await super().on_start()
        worker = self.campaign.worker
        self.add_future(self._checkpoints(worker.commit_interval_ms / 1000))
        self.add_future(self._watch_models(self.campaign.model.poll_interval_s))
        self.add_future(monitor.summaries(self))
        self.add_future(monitor.watchdog(self))
        self.add_future(watch_topics(self, self.watch))

    async def on_stop(self) -> None:
        """Finishes what is in work, then stops."""
        try:
            await super().on_stop()
        except Exception as exc:
            await self.crash(exc)
            raise
        finally:
            await self.processor.close()
            if self.snapshots is not None and self.stop_reason == "asked":
                self.snapshots.save(dict(self.processor.blocks))
            self.say_stop()

    def say_stop(self) -> None:
        """The last line, once."""
        if not self._said_stop:
            log_event("stop", **monitor.stop_fields(self))
        self._said_stop = True

    async def send_batch(self, topic: str, partition: int, batch: RecordBatch) -> Awaitable[Any]:
        """Queues an encoded batch."""
        producer = cast(transport.Producer, self.producer)
        return await producer.send_encoded(topic, partition, batch)

    def fail(self, error: BaseException) -> None:
        """Crashes the worker; the first error is the one that is reported."""
        if not self.crashed:
            self._tell(error)
            self.add_future(self.crash(error))

    def _crash(self, reason: BaseException) -> None:
        """Whatever part of Faust crashes comes by here, before anything stops."""
        self._tell(reason)
        super()._crash(reason)

    def _tell(self, error: BaseException) -> None:
        """Says once why the worker ends."""
        if self.stop_reason != "asked":
            return
        self.deadline.begin()
        if isinstance(error, OperatorError):
            self.stop_reason = "refused"
            log_event("refused", level=logging.CRITICAL, reason=str(error))
        else:
            self.stop_reason = "crash"
            log_event(
                "crash", level=logging.CRITICAL, trace=error,
                error=type(error).__name__, reason=str(error),
            )  # fmt: skip

    async def deploy_new_model(self) -> bool:
        """Loads the champion if it is a new one; it decides from the next chunk on."""
        scorer = await asyncio.get_running_loop().run_in_executor(None, self.watcher.check)
        if scorer is None:
            return False
        try:
            policy = Policy(self.campaign, scorer.head, scorer.strategies)
        except OperatorError as exc:
            version = scorer.version
            log_event("model_refused", level=logging.ERROR, version=version, reason=str(exc))
            return False
        await self.processor.deploy(Deployment(scorer, policy))
        return True

    async def _wait_for_model(self) -> None:
        waited_s = 0.0
        poll_s = min(self.campaign.model.poll_interval_s, 1.0)
        while not await self.deploy_new_model():
            if waited_s % _MODEL_WAIT_LINE_S < poll_s:
                log_event("model_wait", registry=self.campaign.model.registry, waited_s=waited_s)
            monitor.touch(self.campaign.worker.health_file)
            await asyncio.sleep(poll_s)
            waited_s += poll_s

    async def _watch_models(self, interval_s: float) -> None:
        while not self.should_stop:
            await self.sleep(interval_s)
            await self._guard(self.deploy_new_model())

    async def _checkpoints(self, interval_s: float) -> None:
        assured_s = time.monotonic()
        while not self.should_stop:
            await self.sleep(interval_s)
            assure = time.monotonic() - assured_s >= _ASSURE_INTERVAL_S
            if assure:
                assured_s = time.monotonic()
            await self._guard(self.processor.checkpoint(assure=assure))

    async def _guard(self, work: Awaitable[Any]) -> None:
        """A background task that breaks is the worker's end, not a line in the log."""
        try:
            await work
        except Exception as exc:  # noqa: BLE001  # whatever it is, it must not go unseen
            self.fail(exc)


def _registry(campaign: Campaign) -> Registry:
    try:
        return Registry(campaign.model.registry)
    except OSError as exc:  # no such protocol, or the package for it is missing
        raise CampaignError(f"model.registry: {exc}") from exc


def create_app(campaign: Campaign, bootstrap: str | None = None) -> OpportuneApp:
    """Builds the app of a campaign.

    Args:
        campaign: The campaign file.
        bootstrap: Kafka address, instead of the campaign's.
    """
    worker = campaign.worker
    bootstrap = bootstrap or campaign.bootstrap
    plan = compile_features(campaign)
    app = OpportuneApp(
        campaign.app,
        broker=f"{transport.SCHEME}://{bootstrap}",
        store=f"{store.SCHEME}://",
        autodiscover=False,
        # A worker that was killed holds up its successor that long; Faust's own is a minute.
        broker_session_timeout=worker.session_timeout_s,
        broker_heartbeat_interval=worker.session_timeout_s / 4,
        broker_commit_interval=worker.commit_interval_ms / 1000,
        broker_commit_every=1 << 30,  # by time only
        broker_max_poll_records=_CHUNKS_PER_POLL,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=worker.fetch_bytes_max,
        producer_max_request_size=32 << 20,
        stream_buffer_maxsize=_CHUNKS_QUEUED_MAX,
        stream_recovery_delay=0.0,
        table_standby_replicas=0,
        topic_disable_leader=True,
        web_enabled=False,
        web_bind="127.0.0.1",
        TableManager=store.TableManager,
        Table=store.Table,
    )
    app.campaign = campaign
    app.skips = SkipCount()
    app.bootstrap = bootstrap
    stop_s = worker.revoke_deadline_s + SHUTDOWN_S
    app.deadline = Deadline(stop_s, app.say_stop, lambda: app.stop_reason)
    table_name = f"customers-{plan.layout_digest}"
    changelog = f"{campaign.app}-{table_name}-changelog"
    app.processor = Processor(campaign, plan, changelog, FaustShell(app))
    app.snapshots = Snapshots(Path(worker.snapshots), changelog) if worker.snapshots else None
    app.watcher = ModelWatcher(
        _registry(campaign),
        plan.contract.digest,
        {NOTHING, *(strategy.id for strategy in campaign.strategies)},
        builder=campaign.model.builder,
        score_ms_max=campaign.model.score_ms_max,
    )
    app.Table(
        table_name,
        key_type=bytes,
        value_type=bytes,
        # Longer than a partition can be held by a worker that has lost it: the row it may still
        # write can then not be the one that compaction keeps before its successor's is there.
        extra_topic_configs={"min.compaction.lag.ms": "600000", "max.message.bytes": "8388608"},
    )
    events = app.topic(
        *campaign.topics.events,
        schema=store.ChunkSchema(key_type=bytes, value_type=bytes),
        maxsize=_CHUNKS_QUEUED_MAX,
    )

    async def decide(stream: Any) -> None:
        async for event in stream.noack().events():
            try:
                await app.processor.process(event.message)
            except Exception as exc:  # noqa: BLE001  # Faust would log it and go on without the chunk
                app.fail(exc)
                await asyncio.Event().wait()

    app.agent(events, name="decide", concurrency=1)(decide)
    return app
