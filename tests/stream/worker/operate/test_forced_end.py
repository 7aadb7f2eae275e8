"""A process that is to end does end, whatever its main thread does."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.fork_server import ROOT

PROGRAM = """
import logging, signal, sys, threading, time
from stream.worker.operate.forced_end import Deadline
logging.basicConfig(level=logging.INFO, format="%(message)s")
limit_s, reason, clogged = float(sys.argv[1]), sys.argv[2], sys.argv[3] == "clogged"
deadline = Deadline(limit_s, lambda: print("last words", flush=True), lambda: reason)
asked = lambda: print("asked", flush=True)
deadline.begin()  # not armed: nothing happens
deadline.arm({signal.SIGTERM: asked, signal.SIGINT: asked, signal.SIGUSR1: lambda: print("cry", flush=True)})
if reason != "asked":
    deadline.begin()
if clogged:
    logging.getLogger().handlers[0].acquire()
print("ready", flush=True)
while True:
    time.sleep(600)  # an event loop that hangs
"""


@contextmanager
def process(
    limit_s: float, reason: str = "asked", *, clogged: bool = False
) -> Iterator[subprocess.Popen[str]]:
    arguments = [str(limit_s), reason, "clogged" if clogged else ""]
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as started:  # fmt: skip
        assert started.stdout
        assert started.stdout.readline() == "ready\n"
        try:
            yield started
        finally:
            started.kill()


@pytest.mark.parametrize(("second", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_second_signal_ends_it_at_once(second: signal.Signals, code: int) -> None:
    with process(600) as running:
        running.send_signal(signal.SIGTERM)
        assert running.stdout
        assert running.stdout.readline() == "asked\n"
        running.send_signal(second)
        said, errors = running.communicate(timeout=60)
        assert running.returncode == code
        assert said == "last words\n"  # the second one is not handed on
        assert f"killed signal={second.name}" in errors


def test_after_one_signal_it_ends_at_the_deadline() -> None:
    with process(0.5) as running:
        time.sleep(1)  # nothing has begun
        running.send_signal(signal.SIGUSR1)
        running.send_signal(signal.SIGINT)
        said, errors = running.communicate(timeout=60)
        assert running.returncode == 0
        assert sorted(said.splitlines()) == ["asked", "cry", "last words"]
        assert 'hanging reason="asked, and does not stop"' in errors
        assert "Thread" not in errors


@pytest.mark.parametrize(("reason", "code"), [("refused", 2), ("crash", 1)])
def test_what_broke_says_with_which_code_it_ends(reason: str, code: int) -> None:
    with process(0.1, reason) as running:
        said, errors = running.communicate(timeout=60)
        assert running.returncode == code
        assert said == "last words\n"
        assert ("Thread" in errors) is (reason == "crash")  # stacks of all threads


def test_it_ends_though_nobody_reads_its_log() -> None:
    with process(0.1, clogged=True) as running:
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
        assert running.returncode == 0
