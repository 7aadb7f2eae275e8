"""A worker as a process: watched, stopped, and an error when it ends or stalls."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from benchmarks.errors import BenchmarkError
from benchmarks.worker_process import WorkerProcess


def test_a_worker_is_watched_and_stopped(tmp_path: Path) -> None:
    code = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "child = [sys.executable, '-c', 'while True: pass']\n"
        "busy = subprocess.Popen(child)\n"
        "print('not JSON', file=sys.stderr)\n"
        'print(\'{"evt":"begin","offset":3}\', file=sys.stderr, flush=True)\n'
        "try: time.sleep(60)\n"
        "finally: busy.kill()\n"
    )
    with WorkerProcess(["-c", code], tmp_path / "log") as worker:
        worker.wait_for_line("begin")
        assert worker.lines("begin") == [{"evt": "begin", "offset": 3}]
        deadline_s = time.monotonic() + 20
        worker.wait_until("s of CPU", lambda: int(10 * worker.usage().cpu_s), 3)
        assert time.monotonic() < deadline_s, "the child's time is counted"
        assert worker.usage().peak_rss_bytes > 2_000_000
        worker.stop()


@pytest.mark.parametrize("code", ["import sys; sys.exit('the reason')", "print(1)"])
def test_a_worker_that_ends_by_itself_is_an_error(code: str, tmp_path: Path) -> None:
    with (
        WorkerProcess(["-c", code], tmp_path / "log") as worker,
        pytest.raises(BenchmarkError, match=r"expected 5 decisions, got 2 when the worker ended"),
    ):
        worker.wait_until("decisions", lambda: 2, 5)


def test_a_worker_without_progress_is_an_error(tmp_path: Path) -> None:
    with (
        WorkerProcess(["-c", "import time; time.sleep(60)"], tmp_path / "log") as worker,
        pytest.raises(BenchmarkError, match=r"got 2 and none for 0.3 s"),
    ):
        worker.wait_until("decisions", lambda: 2, 5, stall_s=0.3)


def test_a_worker_that_fails_when_stopped_is_an_error(tmp_path: Path) -> None:
    with (
        WorkerProcess(["-c", "import time; time.sleep(60)"], tmp_path / "log") as worker,
        pytest.raises(BenchmarkError, match="exit code 0, the worker gave -15"),
    ):
        worker.stop()
