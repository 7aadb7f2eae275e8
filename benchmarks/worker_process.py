"""A worker as a process of its own: started, watched, measured, stopped.

Rules of this file
1. The whole process tree counts, for CPU and for memory.
2. Nothing is left running: a worker that does not stop when asked is killed, and that is an error.
3. A worker that ends by itself is an error with the last lines of its log.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import msgspec
import psutil

from benchmarks.errors import BenchmarkError

ROOT = Path(__file__).parents[1]
STALL_S = 180.0
"""A worker without progress for so long has failed; its very first start compiles kernels."""
_POLL_S = 0.1
_STOP_S = 60.0
_LOG_TAIL_BYTES = 3_000


@dataclass(frozen=True)
class Usage:
    """What a process tree took so far.

    Attributes:
        cpu_s: User and system time, seconds.
        peak_rss_bytes: Largest sum of resident memory that was seen.
    """

    cpu_s: float
    peak_rss_bytes: int


class WorkerProcess:
    """A running worker, stopped at the end of the `with` block.

    Args:
        arguments: Of the Python interpreter.
        log: File for its standard error.
        environment: Variables on top of those of this process.

    Attributes:
        start_ms: When it was started, epoch milliseconds.
    """

    def __init__(
        self, arguments: Sequence[str], log: Path, environment: Mapping[str, str] | None = None
    ) -> None:
        self._log = log
        self._cpu_s: dict[int, float] = {}
        self._peak_rss_bytes = 0
        with log.open("ab") as errors:
            self.start_ms = time.time_ns() // 1_000_000
            self._process = subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env=os.environ | dict(environment or {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.kill()

    def wait_for_line(self, evt: str, count: int = 1, stall_s: float = STALL_S) -> None:
        """Returns when so many lines of a kind are in the log; see `wait_until`."""
        self.wait_until(f"lines evt={evt}", lambda: len(self.lines(evt)), count, stall_s)

    def lines(self, evt: str) -> list[dict[str, Any]]:
        """The lines of its log, in JSON, that tell of one kind of event so far."""
        lines = [line for line in self._log.read_bytes().splitlines() if line.startswith(b"{")]
        decoded = (msgspec.json.decode(line) for line in lines)
        return [line for line in decoded if line.get("evt") == evt]

    def wait_until(
        self, what: str, count: Callable[[], int], goal: int, stall_s: float = STALL_S
    ) -> None:
        """Returns when the goal is reached.

        Args:
            what: What is counted, for errors.
            count: How many there are now.
            goal: How many there have to be.
            stall_s: For how long the count may stay the same.

        Raises:
            BenchmarkError: The worker ended, or the count stayed the same for too long.
        """
        last, since_s = -1, time.monotonic()
        while (now := count()) < goal:
            if now != last:
                last, since_s = now, time.monotonic()
            if self._process.poll() is not None:
                raise BenchmarkError(
                    f"expected {goal} {what}, got {now} when the worker ended with exit code "
                    f"{self._process.returncode}.{self._tail()}"
                )
            if time.monotonic() - since_s > stall_s:
                raise BenchmarkError(
                    f"expected {goal} {what}, got {now} and none for {stall_s:g} s.{self._tail()}"
                )
            self.usage()
            time.sleep(_POLL_S)

    def usage(self) -> Usage:
        """What it took until now."""
        rss_bytes = 0
        try:
            root = psutil.Process(self._process.pid)
            tree = [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            tree = []
        for process in tree:
            try:
                times = process.cpu_times()
                rss_bytes += process.memory_info().rss
            except psutil.NoSuchProcess:
                continue  # ended since it was listed; what it took so far stays counted
            self._cpu_s[process.pid] = times.user + times.system
        self._peak_rss_bytes = max(self._peak_rss_bytes, rss_bytes)
        return Usage(sum(self._cpu_s.values()), self._peak_rss_bytes)

    def stop(self) -> None:
        """Asks it to stop, as a supervisor would, and waits.

        Raises:
            BenchmarkError: It did not stop in time, or not with exit code 0.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            code = self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired as exc:
            self.kill()
            raise BenchmarkError(
                f"expected the worker to stop within {_STOP_S:g} s of SIGTERM.{self._tail()}"
            ) from exc
        if code != 0:
            raise BenchmarkError(f"expected exit code 0, the worker gave {code}.{self._tail()}")

    def kill(self) -> None:
        """Kills it as a crash would (SIGKILL); nothing happens when it has ended."""
        self._process.kill()
        self._process.wait()

    def _tail(self) -> str:
        text = self._log.read_bytes()[-_LOG_TAIL_BYTES:].decode(errors="replace")
        return f" The end of its log:\n{text}"
