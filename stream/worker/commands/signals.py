"""What the workers of both command lines have in common: how signals stop them."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from mode import Worker

from stream.worker.operate.deadline import Deadline


def install_signal_handlers(worker: Worker, deadline: Deadline) -> None:
    """Has signals stop a worker of mode, and the deadline of its app see to its end."""

    def in_loop(handler: Callable[[], Any]) -> None:
        with suppress(RuntimeError):  # the loop is closed: the process is nearly gone
            worker.loop.call_soon_threadsafe(handler)

    deadline.arm({
        signal.SIGTERM: partial(in_loop, worker._on_sigterm),
        signal.SIGINT: partial(in_loop, worker._on_sigint),
        signal.SIGUSR1: partial(in_loop, worker._on_sigusr1),
        signal.SIGUSR2: partial(in_loop, worker._on_sigusr2),
    })  # fmt: skip
