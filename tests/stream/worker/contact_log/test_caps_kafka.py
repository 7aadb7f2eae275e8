"""Caps hold on a real Kafka whatever is killed: nobody is above, no decision is missing or another.

More kills by hand: `OPPORTUNE_TEST_KILLS=20 pytest tests/stream/worker/contact_log -k killed`.
"""

from __future__ import annotations

import json
import os
import random
import time
import zlib
from collections import Counter
from threading import Event, Thread
from typing import Self

import pytest

from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import producer
from tests.stream.worker.faults.fault_verifier import Verifier, has_adopted, read
from tests.stream.worker.test_worker_kafka import StartWorker, caught_up

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

CAP = '\n[[caps]]\nid = "two"\ncontacts = 2\nwithin = "1d"\n'
CUSTOMERS = 1_500
KILLS = int(os.environ.get("OPPORTUNE_TEST_KILLS", "4"))


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


def published(scene: Scene) -> int:
    return sum(scene.ends(scene.campaign.topics.decisions))


def acts(scene: Scene) -> Counter[str]:
    """Contacts of each customer."""
    found = Counter[str]()
    for partition in range(scene.partitions):
        for record in read(scene.bootstrap, scene.campaign.topics.decisions, partition):
            one = json.loads(record.value() or b"")["data"]
            found[one["external_id"]] += one["decision"] == "act"
    return found


def test_nobody_is_above_a_cap_though_workers_are_killed(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    """Each worker has another champion than the one before: what that one published stands."""
    scene, rng = (
        make_scene(
            partitions=2, form="cloudevents", commit_interval_ms=700, policy=", do_nothing = false"
        ),
        random.Random(seed),
    )
    scene.change(more=CAP)
    with Carts(scene, "first") as carts:
        for life in range(KILLS):
            scene.promote(seed + life % 2)
            worker = start_worker(scene, "member").ready()
            before = published(scene)
            worker.wait_until("decides", lambda: published(scene) > before + 500)  # noqa: B023
            time.sleep(rng.uniform(0, 1.5))
            worker.kill()
    caught_up(scene, start_worker(scene, "member"))
    with Carts(scene, "more") as more:  # whose customers are full
        caught = start_worker(scene, "member").ready()
        time.sleep(1)
    caught_up(scene, caught)
    assert max(acts(scene).values()) == 2
    verdict = Verifier(scene, [scene.bundle(seed + k) for k in range(2)]).verify()
    assert verdict.decisions == carts.sent + more.sent
    assert len(verdict.models) == 2
    assert verdict.repeated == 0
    assert has_adopted(scene)
