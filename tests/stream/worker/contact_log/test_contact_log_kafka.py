"""A worker with rules about contacts on a real Kafka: its topic, a restart, and what is refused."""

from __future__ import annotations

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource

from stream.contacts.contact_records import MARKER_KEY, topic_name
from tests.conftest import MakeScene
from tests.stream.worker.faults.fault_verifier import read
from tests.stream.worker.test_worker_kafka import StartWorker, caught_up, fill

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

CAP = '\n[[caps]]\nid = "week"\ncontacts = 3\nwithin = "7d"\n'


def test_contacts_have_a_topic_and_are_asked_for_at_every_start(
    make_scene: MakeScene, start_worker: StartWorker, seed: int
) -> None:
    scene = make_scene(partitions=2)
    scene.change(more=CAP)
    scene.promote(seed)
    fill(scene, seed, 2_000)
    caught_up(scene, start_worker(scene))
    name = topic_name(scene.campaign.app)
    admin = AdminClient({"bootstrap.servers": scene.bootstrap})
    (asked,) = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name)]).values()
    assert asked.result()["cleanup.policy"].value == "compact"
    keys = {record.key() for record in read(scene.bootstrap, name, 0)}
    assert MARKER_KEY in keys
    again = start_worker(scene).ready()
    assert again.stop() == 0
    assert sum(line["rows"] for line in again.lines("begin")) > 0
    admin.delete_topics([name])[name].result()
    refused = start_worker(scene)
    assert refused.ended() == 2
    (line,) = refused.lines("refused")
    assert f"{name}/" in line["reason"]
    assert "expected contacts up to" in line["reason"]
