"""One history: the load comes, faults strike, everything heals; then it is judged."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from faust.types import TP

from stream.contacts.contact_records import topic_name
from stream.pipeline import Deployment
from stream.worker.partition.snapshots import Snapshots
from tests.simulation.broker import Broker
from tests.simulation.campaigns import Setup, setup
from tests.simulation.clock import VirtualLoop
from tests.simulation.faults import Faults
from tests.simulation.judge import oracle
from tests.simulation.load import arrivals
from tests.simulation.settings import Settings, draw
from tests.simulation.worker import App

_CAUGHT_UP_S = 60.0
_STOP_S = 30.0


class Broken(Exception):
    """Something was violated: which invariant, and how."""


@dataclass(frozen=True)
class Era:
    """The time of one layout of the table.

    Attributes:
        setup: Its campaign.
        born: First offset of each event partition that retention had left when it began.
        decided: Offsets that were committed when it began: before them it decides nothing.
        contacts: By partition, where the contact changelog ended when it began.
    """

    setup: Setup
    born: Mapping[TP, int]
    decided: Mapping[TP, int] = field(default_factory=dict)
    contacts: Mapping[int, int] = field(default_factory=dict)


class World:
    """Everything of one history.

    Args:
        seed: Draws it.
        loop: The clock.
    """

    def __init__(self, seed: int, loop: VirtualLoop, *, traced: bool = False) -> None:
        self.random = Random(seed)
        self.settings: Settings = draw(self.random)
        self.loop = loop
        compute_s = self.settings.compute_s
        loop.executor_delay_s = lambda: self.random.uniform(0.0, compute_s)
        self.broker = Broker(loop, Random(seed + 1), self.settings)
        self.workers: list[App] = []
        self.eras: list[Era] = []
        self.trace: list[str] | None = [] if traced else None
        self._started = 0
        self._deployed: dict[str, Deployment] = {}
        self._broken: asyncio.Future[None] = loop.create_future()
        self._folder = tempfile.TemporaryDirectory() if self.settings.snapshots else None

    # What the parts tell

    def tell(self, who: str, text: str) -> None:
        """Notes what happened."""
        if self.trace is not None:
            self.trace.append(f"{self.loop.time():8.3f} {who:4} {text}")

    def violated(self, text: str) -> None:
        """Ends the history: an invariant does not hold."""
        self.tell("!", text)
        if not self._broken.done():
            self._broken.set_exception(Broken(text))

    def crashed(self, who: str, error: BaseException) -> None:
        """A worker has ended by itself."""
        where = error.__traceback__
        while where is not None and where.tb_next is not None:
            where = where.tb_next
        line = f" at {where.tb_frame.f_code.co_filename}:{where.tb_lineno}" if where else ""
        self.violated(f"{who} crashed: {type(error).__name__}: {error}{line}")

    def committed(self, who: str, of: Setup, offsets: Mapping[TP, int]) -> None:
        """A worker has committed."""
        self.tell(who, f"commits {_told(offsets)}")
        for tp, offset in offsets.items():
            text = oracle.commit_ahead(self, of, tp, offset)
            if text:
                self.violated(f"{who} {text}")

    # Workers

    @property
    def era(self) -> Era:
        """The layout that new workers have."""
        return self.eras[-1]

    def begin_era(self, layout: str) -> None:
        """New workers have another layout from now on."""
        tps = [TP(t, p) for t in self.settings.topics for p in range(self.settings.partitions)]
        born = {tp: self.broker.log(*tp).start for tp in tps}
        decided = dict(self.broker.group.committed)
        of = self._setup(layout)
        log = topic_name(of.campaign.app)
        ends = {p: self.broker.log(log, p).end for p in range(self.settings.partitions)}
        self.eras.append(Era(of, born, decided, ends))
        self.tell("", f"layout {layout}, {_told(decided)} decided, {_told(born)} left")

    def _setup(self, layout: str, number: int = 0) -> Setup:
        rules = self.settings.rules
        champion = number % 2 if rules else 0
        return setup(self.settings.topics, layout, rules=rules, champion=champion)

    def deployment_of(self, worker: str) -> Deployment:
        """The model of a worker."""
        return self._deployed[worker]

    def start_worker(self) -> App:
        """Starts one more process."""
        self._started += 1
        layout = self.era.setup.layout
        name = f"{layout}{self._started}"
        app = App(self, self._setup(layout, self._started), name)
        self._deployed[name] = app.setup.deployment
        self.workers.append(app)
        self.tell(app.name, "starts")
        Context().run(app.start)
        return app

    def remove(self, app: App) -> None:
        """A process has ended."""
        app.client.reachable = False
        self.loop.kill(app.process)
        self.workers.remove(app)

    def kill(self, app: App) -> None:
        """kill -9."""
        self.tell(app.name, "is killed")
        self.remove(app)
        self.broker.group.lose(app.client)

    async def stop(self, app: App) -> None:
        """SIGTERM."""
        self.tell(app.name, "is asked to stop")
        task = self.loop.create_task(app.stop(), context=app.context.copy())
        await asyncio.wait([task], timeout=_STOP_S)
        if not app.process.alive:
            return  # killed meanwhile
        if not task.done():
            self.violated(f"{app.name} does not stop within {_STOP_S} s")
        elif task.exception() is not None:
            self.crashed(app.name, task.exception() or Broken())
        self.tell(app.name, "has stopped")
        self.remove(app)

    def snapshots(self, of: Setup) -> Snapshots | None:
        """Where workers keep their tables."""
        return Snapshots(Path(self._folder.name), of.changelog) if self._folder else None

    # The history

    async def play(self) -> None:
        """Plays the history; raises `Broken` when something is violated."""
        history = self.loop.create_task(self._history())
        await asyncio.wait([history, self._broken], return_when=asyncio.FIRST_COMPLETED)
        if self._broken.done():
            self._broken.result()
        history.result()

    async def _history(self) -> None:
        faults = Faults(self)
        loading = self.loop.create_task(self._load())
        await asyncio.sleep(self.random.choice((0.0, 0.0, 0.5)))
        if "retention" in self.settings.faults:
            faults.age_out()
        self.begin_era("a")
        for _ in range(self.settings.workers):
            self.start_worker()
        await faults.strike()
        await loading
        faults.heal()
        await self._until(self._caught_up, _CAUGHT_UP_S, "are not caught up")
        for app in list(self.workers):
            await self.stop(app)
        for text in oracle.judge(self):
            self.violated(text)

    async def _load(self) -> None:
        for arrival in arrivals(Random(self.random.random()), self.settings):
            await asyncio.sleep(max(0.0, arrival.at_s - self.loop.time()))
            base = self.broker.append(arrival.topic, arrival.partition, arrival.batch, "load")
            where = f"{arrival.topic}/{arrival.partition}"
            self.tell("load", f"{where} +{arrival.batch.records} at {base}")

    def _caught_up(self) -> bool:
        committed = self.broker.group.committed
        for partition in range(self.settings.partitions):
            covered = oracle.covered(self, self.era.setup, partition)
            for topic in self.settings.topics:
                log = self.broker.log(topic, partition)
                known = min(committed.get(TP(topic, partition), 0), covered.get(topic, 0))
                if log.start < log.end and known < log.end:
                    return False
        return True

    async def _until(self, true: Callable[[], bool], limit_s: float, what: str) -> None:
        until_s = self.loop.time() + limit_s
        while not true():
            if self.loop.time() > until_s:
                committed = self.broker.group.committed
                ends = {tp: self.broker.log(*tp).end for tp in self.era.born}
                self.violated(
                    f"stuck: the workers {what} after {limit_s} s: committed "
                    f"{_told(committed)} of {_told(ends)}"
                )
                await asyncio.Event().wait()
            await asyncio.sleep(0.2)

    def close(self) -> None:
        """Ends all that still runs."""
        for app in list(self.workers):
            self.remove(app)
        if self._folder is not None:
            self._folder.cleanup()


def _told(offsets: Mapping[TP, int]) -> str:
    return " ".join(f"{tp.topic}/{tp.partition}={offsets[tp]}" for tp in sorted(offsets)) or "none"
