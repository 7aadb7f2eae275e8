"""An event loop whose time jumps to the next timer, with processes that can be frozen and killed.

Nothing sleeps: when no callback is ready, the clock is set to the next one. A callback belongs to the
process in whose context it was scheduled, so that a whole process can be stopped as SIGSTOP does, in
the middle of anything, and go on later as if nothing had been.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, ContextVar, copy_context
from typing import Any


class Stuck(Exception):
    """Nothing will ever happen any more, and somebody waits."""


class Process:
    """What runs together, and is frozen and killed together.

    Args:
        name: For the trace.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.frozen = False
        self.alive = True
        self.stopped_s: float | None = None
        self.parked: list[asyncio.Handle] = []
        self.tasks: dict[asyncio.Task[Any], None] = {}

    def park(self, callback: Callable[..., Any], *args: Any) -> None:
        """Calls something when it goes on."""
        loop = asyncio.get_running_loop()
        self.parked.append(asyncio.Handle(callback, args, loop, Context()))


PROCESS: ContextVar[Process | None] = ContextVar("PROCESS", default=None)


class _Jump:
    """Stands for the selector: no file ever becomes ready, and waiting is moving the clock."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def select(self, timeout_s: float | None) -> list[Any]:
        if timeout_s is None:
            raise Stuck
        self._loop.now_s += max(timeout_s, 0.0)
        return []


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop in virtual time.

    Attributes:
        now_s: The time.
        executor_delay_s: Gives how long a function in an executor takes; it has run before.
    """

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.executor_delay_s: Callable[[], float] = float
        self._selector = _Jump(self)
        self.set_task_factory(_new_task)

    def time(self) -> float:
        """Virtual seconds."""
        return self.now_s

    def _process_events(self, event_list: list[Any]) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """There is one thread."""

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Schedules a callback; of a frozen process it waits until that goes on."""
        context = copy_context() if context is None else context
        process = context.get(PROCESS)
        if process is None or not process.frozen:
            return super().call_soon(callback, *args, context=context)
        handle = asyncio.Handle(callback, args, self, context)
        process.parked.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self, when: float, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.TimerHandle:
        """Schedules a callback at a time; of a frozen process it waits until that goes on."""
        context = copy_context() if context is None else context
        process = context.get(PROCESS)
        if process is None:
            return super().call_at(when, callback, *args, context=context)

        def again() -> None:
            if not timer.cancelled():
                callback(*args)

        def due() -> None:
            if process.frozen:
                process.parked.append(asyncio.Handle(again, (), self, context))
            else:
                callback(*args)

        timer = super().call_at(when, due, context=context)
        return timer

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, function: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Runs the function now; whoever waits for it hears of it later."""
        del executor
        future = self.create_future()
        result = function(*args)
        self.call_later(self.executor_delay_s(), _resolve, future, result)
        return future

    def outside(self, delay_s: float, callback: Callable[..., Any], *args: Any) -> None:
        """Calls something that belongs to no process."""
        self.call_later(delay_s, callback, *args, context=Context())

    def freeze(self, process: Process) -> None:
        """Stops a process where it is."""
        process.frozen, process.stopped_s = True, self.now_s

    def thaw(self, process: Process) -> None:
        """Lets a frozen process go on."""
        process.frozen, process.stopped_s = False, None
        parked, process.parked = process.parked, []
        for handle in parked:
            if not handle.cancelled():
                self._ready.append(handle)  # type: ignore[attr-defined]

    def kill(self, process: Process) -> None:
        """Ends a process where it is; what it began does not go on."""
        self.thaw(process)
        process.alive, process.stopped_s = False, self.now_s
        for task in list(process.tasks):
            task.cancel()


def _resolve(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _new_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **kwargs: Any) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.Task(coroutine, loop=loop, **kwargs)
    context = kwargs.get("context")
    process = PROCESS.get() if context is None else context.get(PROCESS)
    if process is not None:
        process.tasks[task] = None
        task.add_done_callback(process.tasks.pop, context=Context())
        if not process.alive:
            task.cancel()
    return task
