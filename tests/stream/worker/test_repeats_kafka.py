"""Events that come again on a real Kafka: sent twice, and letters that are sent again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from stream.features.plan import compile_features
from stream.state.marker import MARKER_KEY
from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import producer
from tests.stream.worker.faults.fault_verifier import read
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(300)]

StartWorker = Callable[..., Worker]


def order(number: int, customer: str = "u-1", **changes: Any) -> bytes:
    event = {
        "type": "track", "event": "Order Completed", "userId": customer, "messageId": f"m-{number}",
        "timestamp": 1_760_000_000_000, "properties": {"value": 100}, **changes,
    }  # fmt: skip
    return json.dumps(event).encode()


def send(scene: Scene, *values: bytes) -> None:
    sender = producer(scene.bootstrap)
    for value in values:
        sender.produce(scene.topics[0], value, b"u-1", 0)
    assert sender.flush(30) == 0


def rows(scene: Scene) -> dict[bytes, dict[str, Any]]:
    """The newest rows of partition 0, in words."""
    log = read(scene.bootstrap, scene.changelog, 0)
    newest = {message.key() or b"": message.value() or b"" for message in log}
    newest.pop(MARKER_KEY)
    plan = compile_features(scene.campaign)
    return {who: plan.describe(np.frombuffer(row[1:])) for who, row in newest.items()}


def caught_up(scene: Scene, worker: Worker) -> None:
    worker.wait_until("catches up", lambda: scene.lag() == 0)


def duplicates(*workers: Worker) -> int:
    return sum(line["duplicates"] for worker in workers for line in worker.lines("summary"))


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_an_order_sent_twice_and_once_more_after_a_restart_counts_once(
    make_scene: MakeScene, start_worker: StartWorker, end: str
) -> None:
    scene = make_scene(partitions=1)
    first = start_worker(scene, "member").ready()
    send(scene, order(1), order(1))
    caught_up(scene, first)
    first.wait_until("tells of it", lambda: duplicates(first) == 1)
    getattr(first, end)()
    second = start_worker(scene, "member").ready()
    send(scene, order(1))
    caught_up(scene, second)
    second.wait_until("tells of it", lambda: duplicates(second) == 1)
    assert second.stop() == 0, second.tail()
    (decision,) = read(scene.bootstrap, scene.campaign.topics.decisions, 0)
    assert json.loads(decision.value() or b"")["event_id"] == "m-1"
    state = rows(scene)[b"u-1"]["state"]
    assert sum(state["events_3d"]) == 1
    assert state["order_completed_sum_7d"] == 100.0
    assert [line["replayed"] for line in second.lines("summary") if line["replayed"]] == []


def test_letters_that_are_sent_again_after_the_mapping_was_mended_count_once(
    make_scene: MakeScene, start_worker: StartWorker
) -> None:
    scene = make_scene(partitions=1)
    first = start_worker(scene, "member").ready()
    customers = [f"u-{i % 20}" for i in range(200)]
    send(scene, *(order(i, "", user={"id": who}) for i, who in enumerate(customers)))
    caught_up(scene, first)
    assert first.stop() == 0, first.tail()
    letters = read(scene.bootstrap, scene.campaign.topics.dead_letter, 0)
    assert len(letters) == 200
    scene.file.write_text(
        scene.file.read_text() + '\n[events]\ncustomer_id = ["userId", "user.id"]\n'
    )
    second = start_worker(scene, "member").ready()
    values = [letter.value() or b"" for letter in letters]
    send(scene, *values)
    caught_up(scene, second)
    send(scene, *values)
    caught_up(scene, second)
    second.wait_until("tells of it", lambda: duplicates(second) == 200)
    assert second.stop() == 0, second.tail()
    assert len(read(scene.bootstrap, scene.campaign.topics.decisions, 0)) == 200
    counted = [sum(row["state"]["events_3d"]) for row in rows(scene).values()]
    assert counted == [10.0] * 20
