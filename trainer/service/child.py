"""One child process and everything it starts: watched, limited, and gone when it is over.

Rules of this file
1. The child leads a process group of its own. Whatever is left of the group when the child has
   ended, was stopped, or took too long, is killed.
2. Nothing that a child does or fails to do raises here: how it ended is a value.
3. Its temporary files, which hold what customers did, do not outlive it, though it was killed: its
   TMPDIR is a folder of its own that is removed here.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Literal

_POLL_S = 0.1
_GRACE_S = 5.0
"""Time that a child has between SIGTERM and SIGKILL."""
_ERROR_LINES = 20


class Stop:
    """The wish to stop; `set` may be called by a signal handler."""

    def __init__(self) -> None:
        # A pipe, because the lock of `threading.Event` may be held by the very code that a signal
        # interrupts.
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)

    def set(self, *_signal: object) -> None:
        """Wakes everybody who waits, now and from now on."""
        with suppress(BlockingIOError):  # full: it has been set often enough
            os.write(self._write, b"!")

    def wait(self, timeout_s: float) -> bool:
        """Returns when it is set, or after a time; whether it is set."""
        return bool(select.select([self._read], [], [], max(timeout_s, 0.0))[0])


@dataclass(frozen=True)
class Ended:
    """How a child ended.

    Attributes:
        cause: exited by itself, timeout, or stopped because we were.
        code: Exit code; minus the signal that ended it.
        output: Its standard output.
        errors: The last lines of its standard error.
        seconds: How long it ran.
        peak_rss_mb: Peak resident memory of the child and of those that it waited for. Linux counts
            what this process had when it started the child, too, so it is at least that.
    """

    cause: Literal["exited", "timeout", "stopped"]
    code: int
    output: str
    errors: tuple[str, ...]
    seconds: float
    peak_rss_mb: int


def run_child(
    command: Sequence[str],
    *,
    timeout_s: float,
    stop: Stop,
    on_error_line: Callable[[str], object],
    on_poll: Callable[[], object],
) -> Ended:
    """Runs a command until it ends, `stop` is set or the time is over.

    Args:
        command: Program and arguments.
        timeout_s: Longest time.
        stop: Ends it early.
        on_error_line: Told each line of its standard error, from another thread; and what could not
            be removed after it.
        on_poll: Called some times a second meanwhile.

    Raises:
        OSError: It cannot be started.
    """
    with _temporary_folder(on_error_line) as folder:
        began_s = time.monotonic()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, encoding="utf-8", errors="replace", start_new_session=True,
            env={**os.environ, "TMPDIR": folder},
        )  # fmt: skip
        output: list[str] = []
        errors: deque[str] = deque(maxlen=_ERROR_LINES)

        def on_error(line: str) -> None:
            if line := line.rstrip():
                errors.append(line)
                on_error_line(line)

        readers = [_reader(process.stdout, output.append), _reader(process.stderr, on_error)]
        cause: Literal["exited", "timeout", "stopped"] = "exited"
        while (usage := _reaped(process)) is None:
            on_poll()
            if stop.wait(_POLL_S):
                cause = "stopped"
            elif time.monotonic() - began_s > timeout_s:
                cause = "timeout"
            else:
                continue
            usage = _end(process)
            break
        _signal_group(process, signal.SIGKILL)  # whatever it left behind, which may hold its pipes
        for reader in readers:
            reader.join(_GRACE_S)  # one that left the group may hold them still
        return Ended(
            cause, process.returncode, "".join(output), tuple(errors),
            time.monotonic() - began_s, usage,
        )  # fmt: skip


@contextmanager
def _temporary_folder(on_error_line: Callable[[str], object]) -> Iterator[str]:
    folder = tempfile.mkdtemp(prefix="opportune-")
    try:
        yield folder
    finally:
        try:
            shutil.rmtree(folder)
        except OSError as exc:  # a bad disk is no reason to stop, but somebody has to see to it
            on_error_line(f"{folder}: expected to remove it, {exc}. Remove it by hand")


def _end(process: subprocess.Popen[str]) -> int:
    """Asks the whole group to end, then makes it; peak memory in MB."""
    _signal_group(process, signal.SIGTERM)
    deadline_s = time.monotonic() + _GRACE_S
    while (usage := _reaped(process)) is None:
        if time.monotonic() > deadline_s:
            _signal_group(process, signal.SIGKILL)
        time.sleep(_POLL_S)
    return usage


def _reaped(process: subprocess.Popen[str]) -> int | None:
    """Peak memory in MB once the process has ended, None before."""
    # Not `poll`: the kernel tells what a child has used only to who waits for it in this way.
    pid, status, usage = os.wait4(process.pid, os.WNOHANG)
    if pid == 0:
        return None
    process.returncode = os.waitstatus_to_exitcode(status)
    return round(usage.ru_maxrss / (1 << 20 if sys.platform == "darwin" else 1 << 10))


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # nobody is left
        os.killpg(process.pid, number)


def _reader(stream: IO[str] | None, take: Callable[[str], object]) -> threading.Thread:
    """Reads a pipe to its end, so that the child never waits for room in it."""
    assert stream is not None, "opened as a pipe"

    def read() -> None:
        with stream:
            for line in stream:
                take(line)

    thread = threading.Thread(target=read, name="child-output", daemon=True)
    thread.start()
    return thread
