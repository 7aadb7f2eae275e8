"""Workers on a real Kafka that tell of keys, partitioners and topics of which nothing is an event."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_load import START_MS
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

StartWorker = Callable[..., Worker]
KeyOf = Callable[[str, str], str | None]


def order(customer: str, event_id: str) -> bytes:
    return json.dumps(
        {
            "type": "track", "event": "Product Viewed", "userId": customer, "messageId": event_id,
            "timestamp": START_MS, "properties": {"value": 20, "category": "shoes"},
        }
    ).encode()  # fmt: skip


def produce(
    scene: Scene, topic: str, customers: int, count: int, key_of: KeyOf, **settings: Any
) -> None:
    producer = Producer({"bootstrap.servers": scene.bootstrap, **settings})
    for i in range(count):
        customer, event_id = f"u-{i % customers}", f"{topic}-{i}"
        producer.produce(topic, order(customer, event_id), key_of(customer, event_id))
    assert producer.flush(60) == 0


def heard(scene: Scene, worker: Worker) -> None:
    """Waits until everything is committed and a summary has come after."""
    worker.wait_until("catches up", lambda: scene.lag() == 0)
    told = len(worker.lines("summary"))
    worker.wait_until("says so", lambda: len(worker.lines("summary")) > told + 1)


def counted(worker: Worker, name: str) -> int:
    return sum(line.get(name, 0) for line in worker.lines("summary"))


@pytest.mark.parametrize(
    ("key_of", "name"),
    [(lambda *_: None, "key_null"), (lambda _, event_id: event_id, "key_not_customer")],
    ids=["null", "messageId"],
)
def test_keys_that_are_not_the_customer_are_counted_and_told_once(
    make_scene: MakeScene, start_worker: StartWorker, key_of: KeyOf, name: str
) -> None:
    scene = make_scene()
    produce(scene, scene.topics[0], 10, 1_000, key_of)
    worker = start_worker(scene)
    heard(scene, worker)
    produce(scene, scene.topics[0], 10, 500, key_of)
    heard(scene, worker)
    assert counted(worker, name) == 1_500
    assert counted(worker, {"key_null", "key_not_customer"}.difference([name]).pop()) == 0
    (line,) = worker.lines("keys")
    assert (line["level"], line["topic"]) == ("warning", scene.topics[0])
    assert "of 1,000: " in line["reason"]
    assert "Operator action: have the producers send the customer id as key" in line["reason"]


def test_topics_by_two_partitioners_are_told_with_both(
    make_scene: MakeScene, start_worker: StartWorker
) -> None:
    scene = make_scene(topics=2)
    events, sends = scene.topics
    produce(scene, events, 200, 400, lambda customer, _: customer, partitioner="murmur2_random")
    produce(scene, sends, 200, 400, lambda customer, _: customer)
    worker = start_worker(scene)
    heard(scene, worker)
    heard(scene, worker)
    (line,) = worker.lines("partitioner")
    assert f"{events} by murmur2" in line["reason"]
    assert f"{sends} by crc32" in line["reason"]
    assert worker.lines("keys") == []
    assert counted(worker, "key_not_customer") == 0


def test_a_topic_of_which_nothing_is_an_event_is_told_in_log_and_health(
    make_scene: MakeScene, start_worker: StartWorker
) -> None:
    scene = make_scene(partitions=1)
    health = scene.folder / "health"
    scene.file.write_text(
        scene.file.read_text().replace("[worker]", f'[worker]\nhealth_file = "{health}"')
    )
    producer = Producer({"bootstrap.servers": scene.bootstrap})
    for i in range(1_000):
        producer.produce(scene.topics[0], b"\0\0\0\0\7" + order("u-1", f"m-{i}"), "u-1")
    assert producer.flush(60) == 0
    worker = start_worker(scene)
    heard(scene, worker)
    (line,) = worker.lines("all_refused")
    assert (line["level"], line["topic"], line["records"]) == ("warning", scene.topics[0], 1_000)
    assert "opportune doctor" in line["reason"]
    assert health.read_text().startswith(f"all_refused {scene.topics[0]}: ")
    produce(scene, scene.topics[0], 1, 1, lambda customer, _: customer)
    worker.wait_until("is well", lambda: health.read_text() == "ok\n")
    assert len(worker.lines("all_refused_over")) == 1


def test_an_open_transaction_and_a_changelog_that_deletes_are_told(
    make_scene: MakeScene, start_worker: StartWorker
) -> None:
    scene = make_scene(partitions=1)
    (topic,) = scene.topics
    produce(scene, topic, 5, 20, lambda customer, _: customer)
    first = start_worker(scene)
    heard(scene, first)
    assert "held_back" not in first.lines("summary")[-1]
    assert first.lines("topic_settings") == []

    sender = Producer({"bootstrap.servers": scene.bootstrap, "transactional.id": topic})
    sender.init_transactions(30)
    sender.begin_transaction()
    for i in range(3):
        sender.produce(topic, order("u-1", f"open-{i}"), "u-1")
    sender.flush(30)
    first.wait_until("holds back", lambda: first.lines("summary")[-1].get("held_back") == 3)
    assert first.lines("summary")[-1]["lag"] == 0
    sender.commit_transaction(30)
    first.wait_until(
        "goes on",
        lambda: counted(first, "events_s") and "held_back" not in first.lines("summary")[-1],
    )
    assert first.stop() == 0

    configure(scene, topic, "retention.ms", "86400000")
    configure(scene, scene.changelog, "cleanup.policy", "compact,delete")
    again = start_worker(scene).ready()
    told = {line["topic"]: line["reason"] for line in again.lines("topic_settings")}
    assert "expected retention.ms of 14 days or more" in told[topic]
    assert "expected cleanup.policy=compact of the changelog" in told[scene.changelog]


def configure(scene: Scene, topic: str, name: str, value: str) -> None:
    change = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[change])
    admin = AdminClient({"bootstrap.servers": scene.bootstrap})
    for done in admin.incremental_alter_configs([resource]).values():
        done.result(30)
