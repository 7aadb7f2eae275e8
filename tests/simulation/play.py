"""Plays one seed."""

from __future__ import annotations

import asyncio
import logging
import re
from types import SimpleNamespace
from typing import NamedTuple

from stream.worker import processor
from stream.worker.order import replay, turn_steps
from tests.simulation.clock import PROCESS, Stuck, VirtualLoop
from tests.simulation.load import EPOCH_MS
from tests.simulation.world import Broken, World

# There are few events: so a topic is far ahead after few of them, and a window is full with a few.
replay.WINDOW_RECORDS = 6
replay.HELD_RECORDS_MAX = 10
_TIMES = re.compile(r" (took_ms|elapsed_s|records_s|eta_s)=\S+")
_worker_log = logging.getLogger("opportune")


class Outcome(NamedTuple):
    """What came of a seed.

    Attributes:
        seed: Which.
        violation: What does not hold, None when all does.
        trace: What happened before, when it was asked for.
    """

    seed: int
    violation: str | None
    trace: list[str]


class _Log(logging.Handler):
    """The worker's own lines, as part of the trace."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    def emit(self, record: logging.LogRecord) -> None:
        process = PROCESS.get()
        text = _TIMES.sub("", record.getMessage())
        self._world.tell(process.name if process else "", f"  {text}")


def play(seed: int, *, traced: bool = False) -> Outcome:
    """Plays the history of a seed and judges it."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(lambda *_: None)
    world = World(seed, loop, traced=traced)
    clock = SimpleNamespace(time_ns=lambda: 1_000_000 * (EPOCH_MS + int(1000 * loop.time())))
    vars(turn_steps)["time"] = clock
    inline = processor._INLINE_EVENTS_MAX
    processor._INLINE_EVENTS_MAX = world.settings.inline_events_max
    log = _Log(world)
    if traced:
        _worker_log.addHandler(log)
    violation = None
    try:
        loop.run_until_complete(world.play())
    except Broken as exc:
        violation = str(exc)
    except Stuck:
        violation = "stuck: nothing happens any more"
    finally:
        processor._INLINE_EVENTS_MAX = inline
        _worker_log.removeHandler(log)
        world.close()
        _end(loop)
    return Outcome(seed, violation, world.trace or [])


def _end(loop: VirtualLoop) -> None:
    """Cancels what is left, and lets it end."""
    for _ in range(10):
        tasks = asyncio.all_tasks(loop)
        if not tasks:
            break
        for task in tasks:
            task.cancel()
        try:
            loop.run_until_complete(asyncio.wait(tasks, timeout=1.0))
        except Stuck:
            break
    asyncio.set_event_loop(None)
    loop.close()
