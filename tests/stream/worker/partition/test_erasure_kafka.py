"""A tombstone in the changelog of a running worker: the customer is gone, and stays gone."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from confluent_kafka import Producer

from stream.state.marker import MARKER_KEY
from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import Load
from tests.stream.worker.faults.fault_verifier import newest_rows
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow]


def newest(scene: Scene, partition: int) -> dict[bytes, bytes]:
    """The rows of a partition, without the marker and tombstones."""
    rows = newest_rows(scene, partition)
    return {key: row for key, row in rows.items() if row and key != MARKER_KEY}


def send(scene: Scene, topic: str, partition: int, key: bytes | None, value: bytes | None) -> None:
    producer = Producer({"bootstrap.servers": scene.bootstrap, "enable.idempotence": True})
    producer.produce(topic, key=key, value=value, partition=partition)
    assert producer.flush(30) == 0


def test_who_is_erased_while_the_worker_runs_is_gone_and_stays_gone(
    make_scene: MakeScene, start_worker: Callable[..., Worker], seed: int
) -> None:
    scene = make_scene(partitions=2)
    worker = start_worker(scene, "member").ready()
    with Load(scene.bootstrap, scene.topics, scene.partitions, 1_000, seed) as load:
        time.sleep(2)
        load.stop()
    worker.wait_until("catches up", lambda: scene.lag() == 0)
    before = newest(scene, 0)
    customer = sorted(before)[len(before) // 2]
    send(scene, scene.changelog, 0, customer, None)
    send(scene, scene.topics[0], 0, None, b"no event: it changes no row, and a checkpoint follows")
    worker.wait_until("hears of it", lambda: worker.lines("foreign_rows"))
    (line,) = worker.lines("foreign_rows")
    assert (line["partition"], line["erased"], line["rewrite"]) == (0, 1, 0)
    assert worker.stop() == 0, worker.tail()
    after = newest(scene, 0)
    assert after == {who: row for who, row in before.items() if who != customer}
    again = start_worker(scene, "member").ready()
    assert [line["rows"] for line in again.lines("begin") if line["tp"].endswith("/0")] == [
        len(after)
    ]
    send(scene, scene.topics[0], 0, None, b"no event either")
    again.wait_until("catches up", lambda: scene.lag() == 0)
    assert again.stop() == 0, again.tail()
    assert newest(scene, 0) == after
