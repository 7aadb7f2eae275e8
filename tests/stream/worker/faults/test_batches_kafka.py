"""Records that hold batches on a real Kafka: workers die in the middle, and each event counts once."""

from __future__ import annotations

import json
import random
import time
from collections import defaultdict
from collections.abc import Callable

import pytest

from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import Events, Load, partition_of
from tests.stream.worker.faults.fault_verifier import Verifier, read
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

StartWorker = Callable[..., Worker]
PARTITIONS = 2


class Batches(Events):
    """Events of one topic in batches of up to 12, all customers of a batch in one partition.

    Attributes:
        sent: How many events the batches hold.
    """

    def __init__(self, topic: str, seed: int) -> None:
        super().__init__(topic, customers=60, seed=seed, invalid_share=0.0)
        self._sizes = random.Random(seed)
        self._waiting: dict[int, list[tuple[bytes | None, bytes]]] = defaultdict(list)
        self.sent = 0

    def next(self) -> tuple[bytes | None, bytes | None]:
        """Key and value of the next record; its key is one of its customers."""
        size = self._sizes.randint(1, 12)
        while True:
            key, value = super().next()
            assert value is not None
            waiting = self._waiting[partition_of(key, value, PARTITIONS)]
            waiting.append((key, value))
            if len(waiting) >= size:
                break
        record = {"sentAt": "2026-01-01T00:00:00Z", "batch": [json.loads(v) for _, v in waiting]}
        key = waiting[0][0]
        self.sent += len(waiting)
        waiting.clear()
        return key, json.dumps(record).encode()


def decides(scene: Scene, worker: Worker, before: int) -> None:
    """Waits until there are more decisions than before."""
    topic = scene.campaign.topics.decisions
    worker.wait_until("decides", lambda: sum(scene.ends(topic)) > before)


def test_workers_that_die_in_the_middle_of_batches_count_every_event_once(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene(
        partitions=PARTITIONS, form="cloudevents", more='[events]\nbatch = "batch"\n',
        chunk_events_max=64,
    )  # fmt: skip
    rng, batches = random.Random(seed), Batches(scene.topics[0], seed)
    load = Load(scene.bootstrap, scene.topics, PARTITIONS, 500, seed)
    load.sources = [(scene.topics[0], batches)]
    before = 0  # the topic of the decisions is made by the first worker
    with load:
        for _ in range(3):
            worker = start_worker(scene, "member").ready()
            decides(scene, worker, before)
            time.sleep(rng.uniform(0, 1))
            worker.kill()
            before = sum(scene.ends(scene.campaign.topics.decisions))
        load.stop()
        worker = start_worker(scene, "member").ready()
        worker.wait_until("catches up", lambda: scene.lag() == 0)
        assert worker.stop() == 0, worker.tail()
    verdict = Verifier(scene, [scene.bundle(seed)]).verify()
    assert verdict.events == load.sent
    assert verdict.decisions == batches.sent > 3 * verdict.events
    assert verdict.letters == 0
    assert verdict.repeated == 0  # what is there is taken over
    indices = {
        json.loads(message.value() or b"")["data"]["event"]["index"]
        for message in read(scene.bootstrap, scene.campaign.topics.decisions, 0)
    }
    assert len(indices) > 8
