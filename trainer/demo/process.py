"""A command of Opportune as a child process that never outlives the demo."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from stream.broker import guard
from stream.errors import OperatorError

_STOP_S = 30.0
_TAIL_LINES = 15


class Child:
    """`opportune ARGUMENTS` in a process of its own.

    In a session of its own Ctrl-C does not reach it: the demo decides when it ends. If the demo is
    killed, the guard of the embedded broker kills it.

    Args:
        arguments: Of the command line.
        log: File for its output; None leaves it to the terminal.
    """

    def __init__(self, arguments: Sequence[str], log: Path | None = None) -> None:
        self._arguments = list(arguments)
        self._log = log

    def __enter__(self) -> Self:
        output = None if self._log is None else self._log.open("wb")
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stream", *self._arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        finally:
            if output is not None:
                output.close()
        self._guard = subprocess.Popen(
            [sys.executable, "-I", "-S", guard.__file__, str(os.getpid()), str(self._process.pid)],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(self, *error: object) -> None:
        try:
            self._stop()
        finally:
            self._guard.kill()
            self._guard.wait()

    async def succeed(self) -> None:
        """Returns when it has ended well.

        Raises:
            OperatorError: It ended with another exit code than 0.
        """
        if await asyncio.to_thread(self._process.wait) != 0:
            raise self._failure()

    def expect_running(self) -> None:
        """Does nothing while it runs.

        Raises:
            OperatorError: It has ended, with the last lines of its log.
        """
        if self._process.poll() is not None:
            raise self._failure()

    def finish(self) -> None:
        """Asks it to end and returns when it has.

        Raises:
            OperatorError: It ended with another exit code than 0.
        """
        self._stop()
        if self._process.returncode != 0:
            raise self._failure()

    def _stop(self) -> None:
        """Asks it to end, kills it if it does not."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def last_lines(self) -> str:
        """The end of its log, to be put after a message; empty without a log."""
        if self._log is None:
            return ""
        lines = self._log.read_text(encoding="utf-8", errors="replace").splitlines()
        return ". The last lines of its log:\n" + "\n".join(lines[-_TAIL_LINES:])

    def _failure(self) -> OperatorError:
        return OperatorError(
            f"opportune {self._arguments[0]} ended with exit code {self._process.returncode}"
            f"{self.last_lines()}"
        )
