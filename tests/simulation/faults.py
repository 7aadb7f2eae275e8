"""What goes wrong in a history, and how all of it heals in the end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from faust.types import TP

from tests.simulation.judge import oracle
from tests.simulation.worker import App

if TYPE_CHECKING:
    from tests.simulation.world import World

_WORKERS_MAX = 3


class Faults:
    """Strikes a world as its settings say.

    Args:
        world: What is struck.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random
        self._later: list[asyncio.Task[None]] = []
        self._changed = self._changing = False

    async def strike(self) -> None:
        """Faults one after the other; what they set off goes on beside them."""
        settings = self._world.settings
        for _ in range(settings.fault_count):
            gap_s = 2.0 * settings.loaded_s / settings.fault_count
            await asyncio.sleep(self._random.uniform(0.0, gap_s))
            fault = self._random.choice(settings.faults)
            await getattr(self, f"_{fault}")()
        for task in self._later:
            await task

    def heal(self) -> None:
        """Everything goes on, and somebody is there."""
        world = self._world
        world.tell("", "all heals")
        for app in world.workers:
            self._reconnect(app)
        if not world.workers:
            world.start_worker()

    def age_out(self) -> None:
        """Retention has left only a part of what came before the first start."""
        world = self._world
        for topic in world.settings.topics:
            for partition in range(world.settings.partitions):
                log = world.broker.log(topic, partition)
                log.start = self._random.choice((0, *(stored.base for stored in log.batches)))

    def _some(self) -> App | None:
        apps = [app for app in self._world.workers if not app.stopping]
        return self._random.choice(apps) if apps else None

    def _after(self, delay_s: float, what: str, app: App | None = None) -> None:
        async def later() -> None:
            await asyncio.sleep(delay_s)
            if what == "start":
                if len(self._world.workers) < _WORKERS_MAX and not self._changing:
                    self._world.start_worker()
            elif app is not None and app.process.alive:
                self._reconnect(app)

        self._later.append(self._world.loop.create_task(later()))

    def _reconnect(self, app: App) -> None:
        world = self._world
        if not app.client.reachable:
            world.tell(app.name, "goes on")
        app.client.reachable = True
        if app.process.frozen:
            world.loop.thaw(app.process)

    async def _kill(self) -> None:
        app = self._some()
        if app is not None:
            self._world.kill(app)
        self._after(self._random.uniform(0.02, 2.5), "start")

    async def _stop(self) -> None:
        app = self._some()
        if app is not None:
            self._reconnect(app)
            app.stopping = True
            self._later.append(self._world.loop.create_task(self._world.stop(app)))
        self._after(self._random.uniform(0.02, 2.5), "start")

    async def _freeze(self) -> None:
        app = self._some()
        if app is not None and not app.process.frozen:
            self._world.tell(app.name, "is frozen")
            self._world.loop.freeze(app.process)
            self._lose(app, self._random.uniform(0.1, 3.0))

    async def _cut_off(self) -> None:
        app = self._some()
        if app is not None and app.client.reachable:
            self._world.tell(app.name, "is cut off from the group")
            self._lose(app, self._random.uniform(0.1, 3.0))

    def _lose(self, app: App, for_s: float) -> None:
        app.client.reachable = False
        self._world.broker.group.lose(app.client)
        self._after(for_s, "reconnect", app)

    async def _rebalance(self) -> None:
        self._world.tell("", "the group is rebalanced")
        self._world.broker.group.rebalance()

    async def _join(self) -> None:
        if len(self._world.workers) < _WORKERS_MAX:
            self._world.start_worker()

    async def _slow_broker(self) -> None:
        for_s = self._random.uniform(0.1, 2.0)
        self._world.tell("", f"the broker takes nothing for {for_s:.3f} s")
        self._world.broker.closed_until_s = self._world.loop.time() + for_s

    async def _retention(self) -> None:
        """Removes what is covered; not while somebody lags behind who does not know it."""
        world = self._world
        group = world.broker.group
        if not all(group.knows(app.client, app.client.generation) for app in world.workers):
            return
        for topic in world.settings.topics:
            for partition in range(world.settings.partitions):
                log = world.broker.log(topic, partition)
                covered = oracle.covered(world, world.era.setup, partition).get(topic, 0)
                end = min(covered, group.committed.get(TP(topic, partition), 0))
                ends = [stored.end for stored in log.batches if stored.end <= end]
                log.start = max(log.start, self._random.choice((0, *ends)))
                world.tell("", f"{topic}/{partition} begins at {log.start}")

    async def _layout(self) -> None:
        """A campaign whose features lay out a row differently: the table is rebuilt."""
        world = self._world
        if self._changed:
            return
        self._changed = self._changing = True
        for app in list(world.workers):
            if app.stopping:
                continue
            is_stopped = not world.settings.rules and self._random.random() < 0.5
            if app.client.reachable and is_stopped:
                app.stopping = True
                await world.stop(app)
            else:
                world.kill(app)
        while world.workers:  # noqa: ASYNC110  # others that were stopping already
            await asyncio.sleep(0.05)
        await asyncio.sleep(world.settings.send_s)  # what was on its way has landed
        self._changing = False
        world.begin_era("b")
        for _ in range(self._random.randint(1, 2)):
            world.start_worker()
