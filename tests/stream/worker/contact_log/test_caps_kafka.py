"""Caps hold on a real Kafka whatever is killed: nobody is above, no decision is missing or another."""

from __future__ import annotations

import json
import time
import zlib
from collections import Counter
from threading import Event, Thread
from typing import Any, Self

import pytest

from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import producer
from tests.stream.worker.faults.fault_verifier import read
from tests.stream.worker.test_worker_kafka import StartWorker, caught_up

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

CAP = '\n[[caps]]\nid = "two"\ncontacts = 2\nwithin = "1d"\n'
CUSTOMERS = 1_500


class Carts:
    """Sends events of now, those of each customer to one partition, until it is closed."""

    def __init__(self, scene: Scene, name: str) -> None:
        self._scene, self._name, self._stop = scene, name, Event()
        self._thread = Thread(target=self._run, name="carts")
        self.sent = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        sender, (topic,) = producer(self._scene.bootstrap), self._scene.topics
        while not self._stop.wait(0.02):
            for _ in range(20):
                customer = f"c{self.sent * 7919 % CUSTOMERS}"
                value = {
                    "userId": customer, "event": "Product Viewed", "type": "track",
                    "timestamp": time.time_ns() // 1_000_000, "messageId": f"{self._name}-{self.sent}",
                    "traits": {"marketing_consent": True},
                }  # fmt: skip
                partition = zlib.crc32(customer.encode()) % self._scene.partitions
                sender.produce(topic, json.dumps(value).encode(), customer.encode(), partition)
                self.sent += 1
            sender.poll(0)
        assert sender.flush(60) == 0


def decided(scene: Scene) -> dict[str, list[Any]]:
    """The decisions by their ids, repeats behind the first."""
    found: dict[str, list[Any]] = {}
    for partition in range(scene.partitions):
        for record in read(scene.bootstrap, scene.campaign.topics.decisions, partition):
            one = json.loads(record.value() or b"")
            found.setdefault(one["id"], []).append(one["data"])
    return found


def published(scene: Scene) -> int:
    return sum(scene.ends(scene.campaign.topics.decisions))


def same(one: Any) -> Any:
    """What is the same in a repeat: a contact that is counted again is counted when it is."""
    return {key: value for key, value in one.items() if key != "retry_at"}


def test_nobody_is_above_a_cap_though_workers_are_killed(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene(
        partitions=2, form="cloudevents", commit_interval_ms=700, policy=", do_nothing = false"
    )
    scene.change(more=CAP)
    scene.promote(seed)
    with Carts(scene, "first") as carts:
        for life in range(4):
            worker = start_worker(scene).ready()
            before = published(scene)
            worker.wait_until("decides", lambda: published(scene) > before + 500)  # noqa: B023
            time.sleep(0.37 * life)
            worker.kill()
    caught_up(scene, start_worker(scene))
    with Carts(scene, "more") as more:  # whose customers are full
        caught = start_worker(scene).ready()
        time.sleep(1)
    caught_up(scene, caught)
    decisions = decided(scene)
    assert len(decisions) == carts.sent + more.sent
    for repeats in decisions.values():
        assert all(same(one) == same(repeats[0]) for one in repeats)
    acts = Counter(one["external_id"] for one, *_ in decisions.values() if one["decision"] == "act")
    assert max(acts.values()) == 2
    assert sum(len(repeats) - 1 for repeats in decisions.values()) > 0
    assert {d["code"] for one, *_ in decisions.values() for d in one["dropped"]} >= {"CAPPED"}
