"""`opportune trainer`: what it hands to a cycle, how it ends, what it refuses."""

from __future__ import annotations

import json
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

from stream.errors import OperatorError
from tests.conftest import CreateTopics, KafkaCluster
from tests.trainer.commands.model_commands_harness import publish
from tests.trainer.service.service_harness import VERSION, gone, line, says
from trainer.commands import trainer as command_line
from trainer.commands.trainer import event_ends, trainer
from trainer.errors import TrainingError

ROOT = Path(__file__).parents[3]
CAMPAIGN = str(ROOT / "examples" / "segment" / "opportune.toml")


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
