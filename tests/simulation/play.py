"""Plays one seed."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any, NamedTuple

from stream.worker import processor
from tests.simulation.clock import Stuck, VirtualLoop
from tests.simulation.world import Broken, World

_TRACED = 120


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


def play(seed: int, *, traced: bool = False) -> Outcome:
    """Plays the history of a seed and judges it."""
    loop = VirtualLoop()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(lambda *_: None)
    world = World(seed, loop, traced=traced)
    inline, processor._INLINE_EVENTS_MAX = processor._INLINE_EVENTS_MAX, world.settings.inline_events_max
    violation = None
    try:
        loop.run_until_complete(world.play())
    except Broken as exc:
        violation = str(exc)
    except Stuck:
        violation = "stuck: nothing happens any more"
    finally:
        processor._INLINE_EVENTS_MAX = inline
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
