"""Sees to it that a worker that is to end does end, whatever its shutdown waits for.

One thread does all of it, since the event loop may be what hangs:

1. The first SIGTERM or SIGINT asks the event loop to stop. From then on, or from a crash, the process
   has `limit_s`; then it is ended.
2. A second SIGTERM or SIGINT ends the process at once.

Python writes the number of a signal to a file descriptor the moment that it comes, also while the
main thread computes; the thread reads it there.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from stream.cli import EXIT_OPERATOR_ERROR
from stream.log import log_event

EXIT_CRASHED = 1
EXIT_CODES = {"asked": 0, "refused": EXIT_OPERATOR_ERROR, "crash": EXIT_CRASHED}
"""By why a worker ends."""

EXIT_KILLED = 128
"""A second signal ends the process with this and its number, as a shell says it: 143, 130."""

SHUTDOWN_S = 4.0
"""How long a stop may take, beside the deadline for what is in work."""

_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_WORDS_S = 1.0
_BEGIN = b"\0"  # no signal has this number


class Deadline:
    """Ends this process; does nothing before `arm`.

    Args:
        limit_s: How long a stop may take.
        last_words: Says how the worker ended; called in another thread than the event loop.
        stop_reason: Why it ends: "asked", "refused" or "crash".
    """

    def __init__(
        self,
        limit_s: float,
        last_words: Callable[[], None],
        stop_reason: Callable[[], str],
    ) -> None:
        self._limit_s = limit_s
        self._last_words = last_words
        self._stop_reason = stop_reason
        self._ends_at_s: float | None = None
        self._asked = False
        self._wake: int | None = None

    def arm(self, handlers: Mapping[signal.Signals, Callable[[], Any]]) -> None:
        """Takes over the signals of the process; called once, from the main thread.

        Args:
            handlers: What to do when a signal comes, called in the thread of this object. Of those
                that stop, for the first one only.
        """
        read, self._wake = os.pipe()
        os.set_blocking(self._wake, False)
        signal.set_wakeup_fd(self._wake, warn_on_full_buffer=False)
        for signum in handlers:
            signal.signal(signum, lambda *_: None)  # else Python would not write its number
            signal.siginterrupt(signum, False)
        threading.Thread(
            target=self._watch, args=(read, handlers), name="deadline", daemon=True
        ).start()

    def begin(self) -> None:
        """The worker is to end: from now on it has `limit_s`. Only the first call counts."""
        if self._wake is not None:
            with contextlib.suppress(BlockingIOError):  # full of signals, which begin it as well
                os.write(self._wake, _BEGIN)

    def _watch(self, read: int, handlers: Mapping[signal.Signals, Callable[[], Any]]) -> None:
        while True:
            left_s = None
            if self._ends_at_s is not None:
                left_s = max(0.0, self._ends_at_s - time.monotonic())
            if select.select([read], [], [], left_s)[0]:
                for number in os.read(read, 64):
                    self._take(number, handlers)
            else:
                self._end_late()

    def _take(self, number: int, handlers: Mapping[signal.Signals, Callable[[], Any]]) -> None:
        stops = number in (0, *_STOP_SIGNALS)
        if stops and self._ends_at_s is None:
            self._ends_at_s = time.monotonic() + self._limit_s
        if number in _STOP_SIGNALS:
            if self._asked:
                name = signal.Signals(number).name
                self._end(EXIT_KILLED + number, "killed", signal=name)
            self._asked = True
        if number in handlers:
            handlers[signal.Signals(number)]()

    def _end_late(self) -> None:
        reason = self._stop_reason()
        # What was not committed is read again: a worker that was asked to stop has done that.
        self._end(
            EXIT_CODES[reason], "hanging", stacks=reason == "crash",
            reason=f"{reason}, and does not stop", for_s=round(self._limit_s),
        )  # fmt: skip

    def _end(self, code: int, evt: str, *, stacks: bool = False, **fields: Any) -> None:
        def say() -> None:
            log_event(evt, level=logging.CRITICAL, **fields)
            if stacks:
                faulthandler.dump_traceback(sys.stderr)
            self._last_words()

        # In a thread: who reads the log may have stopped, and another thread wait with its lock.
        words = threading.Thread(target=say, daemon=True)
        words.start()
        words.join(_WORDS_S)
        os._exit(code)
