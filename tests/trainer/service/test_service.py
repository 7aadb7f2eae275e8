"""The trainer as a service: ticks, retries, and children that fail in every way."""

from __future__ import annotations

import re
import resource
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import OperatorError
from tests.trainer.service.service_harness import VERSION, gone, line, says
from trainer.service import child, service
from trainer.service.child import Stop
from trainer.service.service import Plan, Service, next_tick, next_try

Lines = list[tuple[str, dict[str, Any]]]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """What the service logs."""
    logged: Lines = []
    monkeypatch.setattr(service, "log_event", lambda evt, **fields: logged.append((evt, fields)))
    return logged


@pytest.fixture
def serve(lines: Lines, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs a service whose cycles run this code, with ticks and retries far quicker than usual."""
    monkeypatch.setattr(service, "_FIRST_RETRY_S", 0.05)

    def run(code: str, **changes: Any) -> int:
        settings: dict[str, Any] = {"every_s": 0.2, "timeout_s": 30.0, "max_cycles": 1, **changes}
        command = [sys.executable, "-c", textwrap.dedent(code)]
        return Service(Plan(command=command, **settings), Stop()).run()

    return run


Serve = Callable[..., int]


def of(lines: Lines, evt: str) -> list[dict[str, Any]]:
    return [fields for name, fields in lines if name == evt]


# --- when


@given(st.floats(0, 4e9), st.integers(1, 10**6))
def test_ticks_are_the_same_for_everybody(now_s: float, every_s: int) -> None:
    tick_s = next_tick(now_s, every_s)
    assert tick_s % every_s == 0
    assert now_s < tick_s <= now_s + every_s


@given(st.floats(0, 4e9), st.integers(60, 10**6), st.integers(0, 2_000))
def test_retries_come_sooner_and_never_later_than_the_interval(
    now_s: float, every_s: int, failures: int
) -> None:
    wait_s = next_try(now_s, every_s, failures) - now_s
    assert 0 < wait_s <= every_s
    if failures and 30 * 2**failures < every_s:
        assert wait_s == pytest.approx(30 * 2 ** (failures - 1), abs=1e-3)
        assert next_try(now_s, every_s, failures + 1) - now_s >= wait_s
    if failures == 0 or 30 * 2 ** (failures - 1) >= every_s:
        assert now_s + wait_s == pytest.approx(next_tick(now_s, every_s))


def test_cycles_come_at_ticks(serve: Serve, lines: Lines) -> None:
    assert serve(says(line()), max_cycles=3, every_s=1.0) == 0
    assert [name for name, _ in lines].count("cycle_begin") == 3
    assert [fields["cycle"] for fields in of(lines, "cycle_end")] == [1, 2, 3]
    nexts = {fields["next"] for fields in of(lines, "cycle_end")}
    assert len(nexts) == 3, "each a second later"
    assert lines[-1] == ("stop", {"cycles": 3, "code": 0})


# --- a cycle


def test_a_cycle_says_what_it_made_and_what_it_took(serve: Serve, lines: Lines) -> None:
    code = f"""
        import sys, time
        block = bytearray(80 << 20)
        time.sleep(0.3)
        print("some other line")
        print("Fitting 5/5", file=sys.stderr)
        print({line()!r})
    """
    assert serve(code, after=lambda: {"pruned": 4}) == 0
    (end,) = of(lines, "cycle_end")
    assert (end["version"], end["promoted"], end["pruned"]) == (VERSION, True, 4)
    assert end["verdict"].startswith("better than base rates in log_loss by +0.0200")
    assert 0.3 <= end["seconds"] < 20
    own_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    assert 80 <= end["peak_rss_mb"] < max(own_mb, 100) + 100
    assert of(lines, "train") == [{"line": "Fitting 5/5"}]


def test_a_model_that_was_not_promoted_is_no_failure(serve: Serve, lines: Lines) -> None:
    assert serve(says(line(promoted=False, verdict=None))) == 0
    (end,) = of(lines, "cycle_end")
    assert (end["promoted"], end["verdict"]) == (False, None)


@pytest.mark.parametrize(
    ("code", "exit_code", "reason"),
    [
        ("import sys; sys.exit('opportune: expected treatments, got 0')", 1, "treatments, got 0"),
        ("import sys; print('not enough', file=sys.stderr); sys.exit(2)", 2, "not enough"),
        ("raise ValueError('a bug')", 1, "ValueError: a bug"),
        ("import os; os.kill(os.getpid(), 9)", 1, "ended by signal 9"),
        ("print('done')", 1, "expected one line of JSON with version and promoted, got 'done'"),
        ("pass", 1, "got ''"),
        ("print('{\"version\": 1}')", 1, "got '{\"version\": 1}'"),
        ("import sys; sys.exit(3)", 1, "it said nothing"),
    ],
)
def test_a_cycle_that_fails_says_why(
    serve: Serve, lines: Lines, code: str, exit_code: int, reason: str
) -> None:
    assert serve(code) == exit_code
    (failed,) = of(lines, "cycle_failed")
    assert reason in failed["reason"]
    assert failed["failures"] == 1
    assert failed["next"].endswith("Z")


def test_a_program_that_is_not_there_is_a_failure_too(lines: Lines) -> None:
    plan = Plan(command=["/nowhere/python"], every_s=1, timeout_s=1, max_cycles=1)
    assert Service(plan, Stop()).run() == 1
    assert "cannot start" in of(lines, "cycle_failed")[0]["reason"]


def test_after_failures_it_goes_on(serve: Serve, lines: Lines, tmp_path: Path) -> None:
    code = f"""
        import pathlib, sys
        tries = pathlib.Path({str(tmp_path / "tries")!r})
        tries.write_text(tries.read_text() + "x" if tries.exists() else "x")
        if len(tries.read_text()) in (1, 2, 4):
            sys.exit("no")
        print({line()!r})
    """
    assert serve(code, max_cycles=5, every_s=0.3) == 0
    names = [name for name, _ in lines if name in ("cycle_end", "cycle_failed")]
    assert names == ["cycle_failed", "cycle_failed", "cycle_end", "cycle_failed", "cycle_end"]
    assert [fields["failures"] for fields in of(lines, "cycle_failed")] == [1, 2, 1]


def test_a_cycle_that_hangs_is_ended_with_all_it_started(
    serve: Serve, lines: Lines, tmp_path: Path
) -> None:
    code = f"""
        import pathlib, signal, subprocess, sys, time
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(other.pid))
        print("waiting", file=sys.stderr, flush=True)
        time.sleep(600)
    """
    assert serve(code, timeout_s=4.0) == 1
    reason = of(lines, "cycle_failed")[0]["reason"]
    assert re.match(r"took longer than \d+ s and was ended; its last words: waiting", reason)
    assert gone(int((tmp_path / "pid").read_text()))


def test_what_a_cycle_leaves_behind_does_not_outlive_it(
    serve: Serve, lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child, "_GRACE_S", 60.0)  # as long as it would wait for a pipe that is held
    code = f"""
        import pathlib, subprocess, sys
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        pathlib.Path({str(tmp_path / "pid")!r}).write_text(str(other.pid))
        print({line()!r})
    """
    began_s = time.monotonic()
    assert serve(code) == 0
    assert time.monotonic() - began_s < 50, "it does not wait for whoever holds the pipe"
    assert gone(int((tmp_path / "pid").read_text()))
    assert len(of(lines, "cycle_end")) == 1


@pytest.mark.parametrize("how", ["ends", "hangs", "is killed"])
def test_what_a_cycle_has_put_on_disk_goes_with_it(
    serve: Serve, lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(child, "_GRACE_S", 0.1)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code = f"""
        import os, pathlib, signal, sys, tempfile, time
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        folder = pathlib.Path(tempfile.mkdtemp())
        (folder / "events-0-0.records").write_bytes(b"what customers did")
        print(folder, file=sys.stderr, flush=True)
        if {how == "hangs"}:
            time.sleep(600)
        if {how == "is killed"}:
            os.kill(os.getpid(), signal.SIGKILL)
        print({line()!r})
    """
    assert serve(code, timeout_s=2.0) == (how != "ends")
    (told,) = of(lines, "train")
    assert tmp_path in Path(told["line"]).parents
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_removed_is_told(
    serve: Serve, lines: Lines, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def busy(_folder: str) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("shutil.rmtree", busy)
    assert serve(says(line())) == 0
    (told,) = of(lines, "train")
    assert "Device or resource busy" in told["line"]
    assert told["line"].endswith("Remove it by hand")


# --- without new events


def test_without_new_events_a_cycle_is_skipped(serve: Serve, lines: Lines) -> None:
    ends = iter([{"e/0": 5}, {"e/0": 5}, {"e/0": 6}, None, None])
    assert serve(says(line()), max_cycles=5, ends=lambda: next(ends)) == 0
    names = [name for name, _ in lines if name in ("cycle_end", "cycle_skipped")]
    assert names == ["cycle_end", "cycle_skipped", "cycle_end", "cycle_end", "cycle_end"]
    (skipped,) = of(lines, "cycle_skipped")
    assert skipped["reason"] == "no new events since the last cycle"


def test_a_failed_cycle_is_repeated_without_new_events(serve: Serve, lines: Lines) -> None:
    assert serve("import sys; sys.exit(1)", max_cycles=3, ends=lambda: {"e/0": 5}) == 1
    assert len(of(lines, "cycle_failed")) == 3


def test_a_broker_that_does_not_answer_is_left_to_the_cycle(serve: Serve, lines: Lines) -> None:
    def ends() -> None:
        raise OperatorError("no broker")

    assert serve(says(line()), ends=ends) == 0
    assert of(lines, "ends_unknown") == [{"level": 30, "reason": "no broker"}]
