"""A forked process is one like any other: its id, its signals, its streams, its exit code."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fork_server import ROOT, ForkedProcess, ForkServer, Program

pytestmark = pytest.mark.slow

DEADLINE_S = 60.0
Start = Callable[..., ForkedProcess]


@pytest.fixture
def start(fork_server: ForkServer, tmp_path: Path) -> Iterator[Start]:
    """Starts `code`, with its output and its errors in two files."""
    started: list[ForkedProcess] = []

    def fork(code: str, *arguments: str, server: ForkServer = fork_server) -> ForkedProcess:
        program = Program(code, arguments, {**os.environ, "OF_THIS_TEST": "x"})
        with (tmp_path / "out").open("wb") as out, (tmp_path / "err").open("wb") as err:
            started.append(server.start(program, stdout=out, stderr=err))
        return started[-1]

    yield fork
    for process in started:
        process.kill()
        process.wait(DEADLINE_S)
        process.stdin.close()


def until(holds: Callable[[], object]) -> None:
    end_s = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < end_s
        time.sleep(0.01)


def there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_it_is_started_as_an_interpreter_is(start: Start, tmp_path: Path) -> None:
    code = """
import atexit, gc, os, signal, sys, threading
atexit.register(lambda: print("at exit", file=sys.stderr))
print(os.getpid(), os.getcwd(), sys.argv, os.environ["OF_THIS_TEST"], __name__)
print(sys.stdin.readline().strip(), os.getpgrp(), threading.current_thread().name)
print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, gc.isenabled())
threading.Timer(0.2, lambda: print("a thread")).start()
"""
    process = start(code, "a", "b")
    assert process.poll() is None
    process.stdin.write(b"told\n")
    process.stdin.flush()
    assert process.wait(DEADLINE_S) == process.returncode == 0
    assert (tmp_path / "out").read_text().splitlines() == [
        f"{process.pid} {ROOT} ['-c', 'a', 'b'] x __main__",
        f"told {os.getpgrp()} MainThread",
        "True True",
        "a thread",
    ]
    assert (tmp_path / "err").read_text() == "at exit\n"


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("import sys; sys.exit(3)", 3),
        ("import sys; sys.exit('why')", 1),
        ("raise LookupError('why')", 1),
        ("import os; os._exit(70)", 70),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
    ],
)
def test_its_exit_code_is_its_own(start: Start, tmp_path: Path, code: str, expected: int) -> None:
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert start(code).wait(DEADLINE_S) == fresh.returncode == expected
    assert (b"why" in fresh.stderr) == (b"why" in (tmp_path / "err").read_bytes())


def test_signals_reach_it(start: Start, tmp_path: Path) -> None:
    asleep = "import time; print('asleep', flush=True); time.sleep(600)"
    for number, code in [
        (signal.SIGKILL, -signal.SIGKILL),
        (signal.SIGTERM, -signal.SIGTERM),
        (signal.SIGINT, -signal.SIGINT),
    ]:
        process = start(asleep)
        until((tmp_path / "out").read_text)
        process.send_signal(signal.SIGSTOP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.1)
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        assert process.wait(DEADLINE_S) == code
        process.send_signal(number)  # nothing happens: its id may be another's by now


def test_its_id_is_kept_until_somebody_asks(start: Start) -> None:
    process = start("")
    process.stdin.close()
    time.sleep(0.5)
    assert there(process.pid)
    assert process.wait(DEADLINE_S) == 0
    assert not there(process.pid)


def test_nothing_outlives_the_server(start: Start) -> None:
    server = ForkServer()
    try:
        process = start("import time; time.sleep(600)", server=server)
    finally:
        server.close()
    assert not there(process.pid)
    process.returncode = -signal.SIGKILL  # for the end of the fixture
