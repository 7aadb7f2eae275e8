"""The trainer as a service: ticks, retries, children that fail in every way, and its end."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from stream.errors import OperatorError
from tests.conftest import CreateTopics, KafkaCluster
from tests.test_model_commands import publish, verdict
from trainer import child, service
from trainer.child import Stop
from trainer.commands import trainer as command_line
from trainer.commands.trainer import event_ends, trainer
from trainer.errors import TrainingError
from trainer.service import Plan, Service, next_tick, next_try

ROOT = Path(__file__).parents[1]
VERSION = "20261124T104512Z-0a1b2c3d"
CAMPAIGN = str(ROOT / "examples" / "segment" / "opportune.toml")
Lines = list[tuple[str, dict[str, Any]]]


def line(**changes: Any) -> str:
    """What a cycle prints."""
    return json.dumps({"version": VERSION, "promoted": True, "verdict": verdict(None), **changes})


def says(text: str) -> str:
    return f"print({text!r})"


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


def gone(pid: int) -> bool:
    """Whether a process has ended, given some time to do so."""
    until_s = time.monotonic() + 20
    while time.monotonic() < until_s:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (ProcessLookupError, FileNotFoundError):
            return True
        if state == "Z":
            return True
        time.sleep(0.05)
    return False


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


# --- the command


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Starts the real command, whose Python is a script that we give."""
    started = []

    def start(script: str, *arguments: str) -> subprocess.Popen[str]:
        fake = tmp_path / "python"
        fake.write_text(f"#!{sys.executable}\n{textwrap.dedent(script)}")
        fake.chmod(0o755)
        code = f"""
            import sys, types
            from trainer.commands import trainer as module
            module.event_ends = lambda *_: None
            module.sys = types.SimpleNamespace(executable={str(fake)!r}, exit=sys.exit)
            module.trainer({[CAMPAIGN, "--log-format", "json", *arguments]!r})
        """
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=ROOT, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


Program = Callable[..., "subprocess.Popen[str]"]


def test_the_cycle_gets_what_the_service_was_given(program: Program) -> None:
    script = f"import sys; print(*sys.argv[1:], file=sys.stderr); print({line()!r})"
    given = ("--once", "--search", "--archive", "a", "--bootstrap", "b:1", "--registry", "r")
    process = program(script, *given)
    _, log = process.communicate(timeout=30)
    assert process.returncode == 0, log
    told = [json.loads(one) for one in log.splitlines()]
    assert [one["evt"] for one in told] == ["start", "cycle_begin", "train", "cycle_end", "stop"]
    assert told[2]["line"] == (
        f"-m stream train {CAMPAIGN} --json --archive a --bootstrap b:1 --registry r --search"
    )
    assert told[3]["version"] == VERSION


@pytest.mark.parametrize("ignores", [False, True])
def test_sigterm_ends_service_and_cycle_within_seconds(
    program: Program, tmp_path: Path, ignores: bool
) -> None:
    health = tmp_path / "health"
    script = f"""
        import os, pathlib, signal, sys, time
        if {ignores}:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        print(os.getpid(), file=sys.stderr, flush=True)
        time.sleep(600)
    """
    process = program(script, "--health-file", str(health))
    assert process.stderr
    told: list[dict[str, Any]] = []
    while not told or told[-1]["evt"] != "train":
        told.append(json.loads(process.stderr.readline()))
    time.sleep(0.3)
    assert health.exists()
    process.send_signal(signal.SIGTERM)
    began_s = time.monotonic()
    _, log = process.communicate(timeout=30)
    assert time.monotonic() - began_s < 15
    assert process.returncode == 0
    assert [json.loads(one)["evt"] for one in log.splitlines()] == ["cycle_stopped", "stop"]
    assert gone(int(told[-1]["line"]))


def test_sigterm_ends_a_service_that_sleeps(program: Program) -> None:
    process = program(says(line()), "--every", "1w")
    assert process.stderr
    while json.loads(process.stderr.readline())["evt"] != "cycle_end":
        pass
    process.send_signal(signal.SIGINT)
    _, log = process.communicate(timeout=15)
    assert process.returncode == 0
    assert json.loads(log.splitlines()[-1])["evt"] == "stop"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(["--every", "soon"], "no duration"), (["--every", "0h"], "no duration"),
     (["--keep", "1"], "--keep")],
)  # fmt: skip
def test_wrong_options_are_refused(arguments: list[str], says: str) -> None:
    result = CliRunner().invoke(trainer, [CAMPAIGN, *arguments])
    assert result.exit_code == 2
    assert says in result.output


def test_a_wrong_campaign_ends_the_service_at_once(tmp_path: Path) -> None:
    result = CliRunner().invoke(trainer, [str(tmp_path / "none.toml"), "--once"])
    assert isinstance(result.exception, OperatorError)


def test_old_versions_go_after_a_cycle(tmp_path: Path) -> None:
    from models.registry import Registry

    registry = Registry(tmp_path / "registry")
    versions = [publish(registry, age) for age in range(4)]
    registry.promote(versions[0])
    assert command_line._prune(registry.url, 2) == {"pruned": 1}
    assert registry.versions() == [versions[0], *versions[2:]]
    assert "no such folder" in command_line._prune(str(tmp_path / "none"), 2)["prune_failed"]


@pytest.mark.kafka
def test_ends_are_those_of_the_event_partitions(
    kafka: KafkaCluster, topic_name: Callable[[str], str], create_topics: CreateTopics
) -> None:
    topic = topic_name("events")
    create_topics({topic: 2})
    assert event_ends(kafka.bootstrap, [topic]) == {f"{topic}/0": 0, f"{topic}/1": 0}
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "log_level": 2})
    for _ in range(3):
        producer.produce(topic, b"{}", partition=1)
    assert producer.flush(20) == 0
    assert event_ends(kafka.bootstrap, [topic]) == {f"{topic}/0": 0, f"{topic}/1": 3}
    with pytest.raises(TrainingError, match="missing"):
        event_ends(kafka.bootstrap, [topic_name("none")])
    began_s = time.monotonic()
    with pytest.raises(TrainingError, match="expected a Kafka broker"):
        event_ends("127.0.0.1:1", [topic])
    assert time.monotonic() - began_s < 30
