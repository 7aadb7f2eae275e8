"""A first start on several topics: what there is is decided on the features that training sees."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stream.features.normalization import normalize
from stream.features.plan import compile_features
from stream.state.changelog_name import topic_name
from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import partition_of, producer
from tests.stream.worker.faults.fault_verifier import Verifier, read
from tests.stream.worker.faults.fault_worker import Worker
from trainer.history.source import EVERYTHING
from trainer.parity.check import check_parity
from trainer.parity.logged import Scope
from trainer.parity.partition_reader import open_topics
from trainer.parity.result import Parity
from trainer.replay.shards import Shards
from trainer.replay.timeline import replay_blocks

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

StartWorker = Callable[..., Worker]

ORDERS, SENDS, CUSTOMERS = 12_000, 1_500, 120
HAPPENED_MS = 1_765_000_000_000  # records are of now, or retention would remove them
AS_IT_ARRIVES = """
from stream.worker.order.replay import Replay
Replay.done = property(lambda _: True)
"""
SLOW = """
import time
from stream.pipeline import Pipeline
from stream.worker.order import replay
replay.WINDOW_RECORDS = 300
read = Pipeline.read
def slow(self, *args, **kwargs):
    time.sleep(0.02)
    return read(self, *args, **kwargs)
Pipeline.read = slow
"""


@dataclass
class History:
    """Sends beside many more orders; a record may be older than the one in front of it."""

    scene: Scene
    seed: int

    def produce(self) -> None:
        rng = random.Random(self.seed)
        sends, orders = self.scene.topics
        sender = producer(self.scene.bootstrap)
        now_ms = int(time.time() * 1000)
        kinds = [sends] * SENDS + [orders] * ORDERS
        rng.shuffle(kinds)
        for i, topic in enumerate(kinds):
            at_ms = now_ms - 500 * (len(kinds) - i) - rng.choice((0, 0, 0, rng.randrange(60_000)))
            customer = f"c{rng.randrange(CUSTOMERS)}"
            event = {
                "messageId": f"{topic}-{i}", "userId": customer, "type": "track",
                "event": "Email Opened" if topic == sends else "Order Completed",
                "timestamp": at_ms - now_ms + HAPPENED_MS, "properties": {"value": rng.randrange(9_999) / 100},
            }  # fmt: skip
            key = customer.encode()
            partition = partition_of(key, None, self.scene.partitions)
            sender.produce(topic, json.dumps(event).encode(), key, partition, timestamp=at_ms)
            sender.poll(0)
        assert sender.flush(60) == 0

    def parity(self) -> Parity:
        campaign = self.scene.campaign
        changelog = topic_name(campaign.app, compile_features(campaign).layout_digest)
        names = [campaign.topics.decisions, *campaign.topics.events, changelog]
        with open_topics(self.scene.bootstrap, names) as topics:
            return check_parity(campaign, self.scene.registry, topics, Scope())

    def trained_vectors(self, folder: Path) -> dict[tuple[str, int, int], bytes]:
        """What the trainer makes of each event, normalized as the worker does."""
        campaign = self.scene.campaign
        plan = compile_features(campaign)
        shards = Shards(campaign, plan, folder, EVERYTHING)
        with open_topics(self.scene.bootstrap, campaign.topics.events) as topics:
            for topic in campaign.topics.events:
                for partition, extent in topics.extents(topic).items():
                    for chunk in topics.chunks(topic, partition, extent):
                        shards.add(chunk)
        constants = self.scene.bundle(self.seed).normalization
        vectors = {}
        for shard in shards.shards():
            timeline = shards.timeline(shard)
            for index, values in replay_blocks(plan, timeline, np.arange(len(timeline))):
                out = np.empty(values.shape, np.float32)
                normalize(
                    values, np.ones(len(values), np.bool_), plan.transform_codes,
                    constants.mean, constants.std, constants.clip, out,
                )  # fmt: skip
                for i, vector in zip(index.tolist(), out, strict=True):
                    topic = campaign.topics.events[int(timeline.topic[i])]
                    vectors[topic, shard.partition, int(timeline.offset[i])] = vector.tobytes()
        return vectors

    def served_vectors(self) -> dict[tuple[str, int, int], Any]:
        """What stands in the headers of the decisions."""
        vectors = {}
        for partition in range(self.scene.partitions):
            topic = self.scene.campaign.topics.decisions
            for message in read(self.scene.bootstrap, topic, partition):
                about = json.loads(message.value() or b"")["data"]["event"]
                place = about["topic"], about["partition"], about["offset"]
                vectors[place] = dict(message.headers() or [])["features"]
        return vectors


def decided(scene: Scene, least: int = 0) -> int:
    """How many decisions there are, 0 for less than the least."""
    found = sum(scene.ends(scene.campaign.topics.decisions))
    return found if found > least else 0


@pytest.fixture
def history(make_scene: MakeScene, seed: int) -> History:
    made = History(
        make_scene(topics=2, partitions=2, form="cloudevents", chunk_events_max=150), seed
    )
    made.produce()
    return made


def run_through(history: History, worker: Worker) -> None:
    worker.ready().wait_until("catches up", lambda: history.scene.lag() == 0)
    assert worker.stop() == 0, worker.tail()


def test_a_small_topic_of_sends_beside_a_large_one_of_orders(
    history: History, start_worker: StartWorker, tmp_path: Path
) -> None:
    run_through(history, start_worker(history.scene, "member"))
    trained, served = history.trained_vectors(tmp_path), history.served_vectors()
    assert len(served) == ORDERS + SENDS
    assert sum(trained[place] != vector for place, vector in served.items()) == 0
    parity = history.parity()
    assert (parity.compared, parity.equal, parity.conclusive) == (ORDERS + SENDS,) * 3
    assert (parity.faults, parity.findings) == (0, ())


def test_a_worker_that_took_them_as_they_arrive_is_not_excused(
    history: History, start_worker: StartWorker
) -> None:
    run_through(history, start_worker(history.scene, "member", AS_IT_ARRIVES))
    parity = history.parity()
    assert parity.faults > 0
    assert {finding.cause for finding in parity.findings} == {"different"}


def test_killed_in_the_middle_of_it_a_worker_goes_on_in_the_same_order(
    history: History, start_worker: StartWorker, tmp_path: Path
) -> None:
    scene, seen, rng = history.scene, 0, random.Random(history.seed)
    workers = []
    for _ in range(4):
        workers.append(worker := start_worker(scene, "member", SLOW).ready())
        worker.wait_until("decides more", partial(decided, scene, seen + 500))
        time.sleep(rng.uniform(0, 0.5))
        worker.kill()
        seen = decided(scene)
    assert scene.lag() > 0, "it was through before it was killed"
    workers.append(start_worker(scene, "member"))
    run_through(history, workers[-1])
    verdict = Verifier(scene, [scene.bundle(history.seed)]).verify()
    assert any(worker.lines("adopted") for worker in workers), "none was killed at its work"
    trained = history.trained_vectors(tmp_path)
    assert all(trained[place] == vector for place, vector in history.served_vectors().items())
    parity = history.parity()
    assert parity.equal == parity.compared == parity.conclusive == verdict.repeated + ORDERS + SENDS
