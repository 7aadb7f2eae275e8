"""The Faust app of a campaign: how a worker starts, works beside the chunks, and ends.

Faust brings the command line, group membership, assignment, recovery and shutdown. The app adds
background tasks: checkpoints, the model watcher, the summary line, the watchdog and the watch over the
topics. What else is plugged into Faust stands in `factory`.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any

import faust

from stream.campaign.file import Campaign
from stream.errors import OperatorError
from stream.kafka.skip_list import ReadRules
from stream.kafka.skip_report import SkipCount, log_skip_list
from stream.kafka.topic_ids import Topic
from stream.log import log_event
from stream.pipeline import Deployment
from stream.policy.choice import Policy
from stream.scoring.champion import ModelWatcher
from stream.scoring.no_model import NoModel
from stream.worker.control.switchboard import Switchboard
from stream.worker.faust_app.faust_shell import FaustShell
from stream.worker.operate.forced_end import SHUTDOWN_S, Deadline
from stream.worker.operate.health import check_health_file, touch
from stream.worker.operate.lines import Lines
from stream.worker.operate.topic_watch import TopicWatch, watch_topics
from stream.worker.operate.watchdog import end_if_stuck
from stream.worker.partition.snapshots import Snapshots
from stream.worker.processor import Processor
from stream.worker.shell import Shell
from stream.worker.topics import ensure_topics

# How long what others wrote to the changelog of a quiet partition may go unseen: far less than
# `min.compaction.lag.ms`, after which the row that it overwrites could be gone.
_ASSURE_INTERVAL_S = 30.0
_MODEL_WAIT_LINE_S = 10.0


class OpportuneApp(faust.App):
    """A Faust app that decides in chunks. Made by `create_app`.

    Args:
        campaign: The campaign file.
        bootstrap: Kafka address.
        make_processor: Makes the processor over what it needs of this app.
        watcher: Looks for a new champion.
        snapshots: The table on disk, None to keep none.
        faust_settings: Settings of Faust.

    Attributes:
        shell: What the processor needs of this app, done by Faust.
        processor: What happens to a chunk.
        skips: Counts what the skip list leaves out.
        switchboard: What operators have paused.
        deadline: Sees to the end of a worker that is to end.
        stop_reason: Why it ends: "asked", "refused" or "crash".
    """

    def __init__(
        self,
        campaign: Campaign,
        bootstrap: str,
        *,
        make_processor: Callable[[Shell], Processor],
        watcher: ModelWatcher,
        snapshots: Snapshots | None,
        faust_settings: Mapping[str, Any],
    ) -> None:
        super().__init__(campaign.app, **faust_settings)
        self.campaign = campaign
        self.bootstrap = bootstrap
        self.watcher = watcher
        self.snapshots = snapshots
        self.skips = SkipCount()
        self.shell = FaustShell(self, campaign, bootstrap, self.fail)
        self.processor = make_processor(self.shell)
        self.stop_reason = "asked"
        stop_s = campaign.worker.revoke_deadline_s + SHUTDOWN_S
        self.deadline = Deadline(stop_s, self.say_stop, lambda: self.stop_reason)
        strategies = [strategy.id for strategy in campaign.strategies]
        self.switchboard = Switchboard(bootstrap, campaign.app, strategies)
        self._lines = Lines(self)
        self._said_stop = False
        self._topic_watch: TopicWatch | None = None  # until the topics are known

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
        check_health_file(self.campaign.worker.health_file)
        (changelog,) = (table.changelog_topic for table in self.tables.values())
        partitions, self.processor.pipeline.limits = await ensure_topics(
            self.bootstrap, self.campaign, changelog.get_topic_name()
        )
        self._topic_watch = TopicWatch(self.campaign.topics, changelog.get_topic_name(), partitions)
        changelog.partitions = partitions
        changelog.replicas = self.campaign.worker.replication  # Faust's setting knows no -1
        log_event("start", **self._lines.start_fields(partitions))
        log_skip_list(ReadRules.of(self.campaign))
        await self.switchboard.open()
        await self.shell.desk.open(partitions)
        await self._wait_for_model()

    async def on_start(self) -> None:
        """Starts the background tasks."""
        await super().on_start()
        worker = self.campaign.worker
        self.add_future(self._checkpoints(worker.commit_interval_ms / 1000))
        self.add_future(self._watch_models(self.campaign.model.poll_interval_s))
        self.add_future(self._again_and_again(self._follow))
        if self.shell.desk.has_budgets:
            self.add_future(self._again_and_again(self.shell.desk.follow))
            self.add_future(self._again_and_again(self.shell.desk.draw))
        self.add_future(self._lines.summaries())
        self.add_future(end_if_stuck(self))
        assert self._topic_watch is not None, "the first start comes before this"
        self.add_future(watch_topics(self, self._topic_watch))

    async def on_stop(self) -> None:
        """Finishes what is in work, then stops."""
        try:
            await super().on_stop()
        except Exception as exc:
            await self.crash(exc)
            raise
        finally:
            await self.processor.close()
            await self.switchboard.close()
            await self.shell.desk.close()
            if self.snapshots is not None and self.stop_reason == "asked":
                self.snapshots.save(dict(self.processor.blocks))
            self.say_stop()

    def say_stop(self) -> None:
        """The last line, once."""
        if not self._said_stop:
            log_event("stop", **self._lines.stop_fields())
        self._said_stop = True

    def highwater(self, topic: str, partition: int) -> int | None:
        """Offset up to which a partition can be read, None while it is not known."""
        return self.shell.highwater(topic, partition)

    def log_ends(self, topic: str, partition: int) -> tuple[int, int] | None:
        """The same, and the offset after the last record."""
        return self.shell.log_ends(topic, partition)

    async def describe(self, topics: Collection[str]) -> Mapping[str, Topic | None]:
        """What a broker says about topics, see `topic_ids.describe`."""
        return await self.shell.describe(topics)

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
            policy = Policy(self.campaign, scorer.head, scorer.strategies, scorer.untrained)
        except OperatorError as exc:
            version = scorer.version
            log_event("model_refused", level=logging.ERROR, version=version, reason=str(exc))
            return False
        await self._deploy(Deployment(scorer, policy))
        return True

    async def _deploy(self, deployment: Deployment) -> None:
        """Puts a model in force, without what is paused."""
        policy = deployment.policy.with_paused(self.switchboard.paused)
        await self.processor.deploy(Deployment(deployment.scorer, policy))

    async def _again_and_again(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Does what waits a moment by itself, until the worker is to stop."""
        while not self.should_stop:
            await self._guard(work())

    async def _follow(self) -> None:
        if await self.switchboard.follow() and self.processor.deployment is not None:
            await self._deploy(self.processor.deployment)

    async def _explore(self) -> bool:
        """Begins without a model, if the campaign says so and nobody has promoted one.

        A champion that cannot be read or served is a fault, and is waited for.
        """
        if self.campaign.policy.without_model == "wait" or not self.watcher.absent:
            return False
        log_event("without_model", explores=self.campaign.exploration.without_model)
        scorer = NoModel(self.processor.plan.contract)
        await self._deploy(Deployment(scorer, Policy.without_model(self.campaign)))
        return True

    async def _wait_for_model(self) -> None:
        waited_s = 0.0
        poll_s = min(self.campaign.model.poll_interval_s, 1.0)
        while not (await self.deploy_new_model() or await self._explore()):
            if waited_s % _MODEL_WAIT_LINE_S < poll_s:
                log_event("model_wait", registry=self.campaign.model.registry, waited_s=waited_s)
            touch(self.campaign.worker.health_file)
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
