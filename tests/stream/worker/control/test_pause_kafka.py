"""`opportune pause` against a running worker on a real Kafka: at once, through a restart, until it ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from stream.errors import OperatorError
from stream.worker.commands.pause import pause, resume
from stream.worker.control.control_topic import ControlRecord, write_control
from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import partition_of, producer
from tests.stream.worker.faults.fault_verifier import read
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]


class Shop:
    """A scene, its events one after the other, and the decisions about them."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self._sender = producer(scene.bootstrap)
        self._sent = 0

    def decide(self, worker: Worker) -> dict[str, Any]:
        """The decision about one more event."""
        self._sent += 1
        value = json.dumps({
            "type": "track", "event": "Product Viewed", "userId": "zoe", "messageId": f"m{self._sent}",
            "timestamp": time.time_ns() // 1_000_000,
        }).encode()  # fmt: skip
        (topic,) = self.scene.topics
        self._sender.produce(topic, value, b"zoe", partition_of(b"zoe", value, 1))
        assert self._sender.flush(60) == 0
        decisions = self.scene.campaign.topics.decisions
        worker.wait_until("decides", lambda: len(self._read(decisions)) >= self._sent)
        found: dict[str, Any] = json.loads(self._read(decisions)[-1].value() or b"")["data"]
        return found

    def _read(self, topic: str) -> list[Any]:
        return list(read(self.scene.bootstrap, topic, 0))

    def call(self, command: Any, *more: str, expected: int = 0) -> str:
        arguments = [str(self.scene.file), "--bootstrap", self.scene.bootstrap, *more]
        result = CliRunner().invoke(command, arguments, catch_exceptions=False)
        assert result.exit_code == expected, result.output
        return result.output


def codes(decision: dict[str, Any]) -> dict[str, str]:
    return {one["strategy"]: one["code"] for one in decision["dropped"]}


def test_a_pause_works_on_a_running_worker_and_lasts_until_it_ends(
    make_scene: MakeScene, start_worker: Callable[..., Worker]
) -> None:
    scene = make_scene(partitions=1, form="cloudevents")
    shop = Shop(scene)
    # Before any worker has made the topic.
    assert "push is paused" in shop.call(pause, "push", "--reason", "wrong price", "--by", "ann")
    worker = start_worker(scene)
    worker.wait_until("starts", lambda: worker.lines("begin"))
    assert worker.lines("paused")[0]["strategy"] == "push"
    decision = shop.decide(worker)
    assert codes(decision)["push"] == "PAUSED"
    assert decision["reasons"] != ["PAUSED"]

    assert "everything is paused" in shop.call(pause)
    worker.wait_until("is paused", lambda: len(worker.lines("paused")) == 2)
    decision = shop.decide(worker)
    assert (decision["decision"], decision["reasons"]) == ("nothing", ["PAUSED"])
    assert set(codes(decision).values()) == {"PAUSED"}
    assert worker.stop() == 0, worker.tail()

    worker = start_worker(scene)
    assert shop.decide(worker)["reasons"] == ["PAUSED"]
    assert "still paused: push" in shop.call(resume)
    worker.wait_until("goes on", lambda: worker.lines("resumed"))
    decision = shop.decide(worker)
    assert codes(decision)["push"] == "PAUSED"
    shop.call(resume, "push", "--by", "bob")
    worker.wait_until("goes on", lambda: len(worker.lines("resumed")) == 2)
    assert "PAUSED" not in codes(shop.decide(worker)).values()
    listed = shop.call(pause, "--list")
    assert "Paused: nothing" in listed
    for told in ("wrong price", "ann", "bob"):
        assert told in listed

    unreadable = ControlRecord(b"pause/*", b"?")
    asyncio.run(write_control(scene.bootstrap, scene.app, [unreadable]))
    worker.wait_until("is careful", lambda: len(worker.lines("paused")) == 3)
    assert shop.decide(worker)["reasons"] == ["PAUSED"]
    assert worker.stop() == 0, worker.tail()


def test_a_strategy_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "opportune.toml"
    file.write_text(
        'app = "shop"\ntopics = { events = ["e"] }\nstrategies = [{ id = "mail" }, { id = "push" }]\n'
        '[[features]]\nop = "count"\n'
    )
    with pytest.raises(
        OperatorError, match="one of mail, push, or none for everything, got 'pushh'"
    ):
        CliRunner().invoke(pause, [str(file), "pushh"], catch_exceptions=False)
