"""Processes of tests that begin with everything imported: forks of one process that did it once.

A start of Python with TensorFlow takes seconds of a processor, and the tests start more than a
hundred. A fork runs the same program: only its imports were done before.

Rules of this file
1. A forked process is used like one of `subprocess`: its id, its signals and its exit code are real,
   and it ends as an interpreter does, `atexit` and all.
2. Nothing of it is collected before somebody asks for its exit code: until then the id is its own.
3. The server has no thread, runs no operation of TensorFlow and outlives neither its client nor,
   when it ends, its children.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from multiprocessing.reduction import recv_handle, send_handle
from pathlib import Path
from threading import Lock
from typing import IO, Any, NamedTuple, NoReturn

ROOT = Path(__file__).resolve().parents[1]
_IMPORTED = (
    "stream.cli", "stream.worker.commands.command", "stream.worker.commands.run",
    "stream.worker.warmup", "stream.scoring.champion",
)  # fmt: skip
_POLL_S = 0.01


class Program(NamedTuple):
    """What a fork runs.

    Attributes:
        code: Python code.
        arguments: Of the command line, without the name of the program.
        environment: All of it.
    """

    code: str
    arguments: Sequence[str]
    environment: Mapping[str, str]


class ForkServer:
    """Starts processes as forks of a process that has imported what they need."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._connection, theirs = Pipe()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fork_server", str(theirs.fileno())],
                cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
            )  # fmt: skip

    def start(self, program: Program, stdout: IO[bytes], stderr: IO[bytes]) -> ForkedProcess:
        """Starts a program in the root of the project, with a pipe as its standard input.

        Args:
            program: What it runs.
            stdout: File of its standard output.
            stderr: File of its standard error.
        """
        reads, writes = os.pipe()
        try:
            with self._lock:
                self._connection.send_bytes(json.dumps(program).encode())
                for handle in (reads, stdout.fileno(), stderr.fileno()):
                    send_handle(self._connection, handle, self._process.pid)
                pid = int(self._connection.recv())
        finally:
            os.close(reads)
        return ForkedProcess(self, pid, os.fdopen(writes, "wb"))

    def ended(self, pid: int) -> int | None:
        """Exit code of a process, minus the signal that ended it; None while it runs."""
        with self._lock:
            self._connection.send_bytes(json.dumps(pid).encode())
            code: int | None = self._connection.recv()
        return code

    def close(self) -> None:
        """Ends the server and what it started."""
        self._connection.close()
        self._process.wait(30)


class ForkedProcess:
    """A started process; what it offers is what `subprocess.Popen` means by the same name."""

    def __init__(self, server: ForkServer, pid: int, stdin: IO[bytes]) -> None:
        self._server = server
        self.pid = pid
        self.stdin = stdin
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.returncode is None:
            self.returncode = self._server.ended(self.pid)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        until_s = None if timeout is None else time.monotonic() + timeout
        while (code := self.poll()) is None:
            if timeout is not None and until_s is not None and time.monotonic() > until_s:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout)
            time.sleep(_POLL_S)
        return code

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def _serve(connection: Connection) -> Program:
    """Forks for whoever asks, until nobody can; returns in a forked process, with its program."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of the terminal: the client sees to the end
    for name in _IMPORTED:
        import_module(name)
    _load_kernels()
    gc.collect()
    gc.freeze()  # a collection in a fork would write to, and so copy, all that was imported
    children: set[int] = set()
    while True:
        try:
            asked = json.loads(connection.recv_bytes())
        except EOFError:
            _end(children)
        if isinstance(asked, int):
            code = _collected(asked)
            if code is not None:
                children.remove(asked)
            connection.send(code)
            continue
        handles = [recv_handle(connection) for _ in range(3)]
        if not (pid := os.fork()):
            connection.close()
            _become(program := Program(*asked), handles)
            return program
        for handle in handles:
            os.close(handle)
        children.add(pid)
        connection.send(pid)


def _load_kernels() -> None:
    """Compiles the loops of a worker, or loads them: a fork finds them loaded."""
    from stream.worker.warmup import warm_up
    from tests.simulation.campaigns import setup

    ready = setup(("events",), "a")  # its model is no Keras
    warm_up(ready.pipeline, ready.deployment)


def _collected(pid: int) -> int | None:
    found, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if found else None


def _end(children: set[int]) -> NoReturn:
    for pid in children:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    sys.exit()


def _become(program: Program, handles: Sequence[int]) -> None:
    """Makes this process what a new interpreter with this command line would be."""
    for standard, handle in enumerate(handles):
        os.dup2(handle, standard)
        os.close(handle)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(program.environment)
    sys.argv = ["-c", *program.arguments]


if __name__ == "__main__":
    _program = _serve(Connection(int(sys.argv[1])))
    _names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(_program.code, "<string>", "exec"), _names)  # as `python -c` does
