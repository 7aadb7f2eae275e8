"""Avro on a real broker, with a registry over real HTTP that is down first."""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import fastavro
import pytest
from confluent_kafka import Producer

from tests.conftest import MakeScene
from tests.stream.schemas.registry_server import RegistryServer
from tests.stream.worker.faults.fault_harness import Scene
from tests.stream.worker.faults.fault_worker import Worker

pytestmark = [pytest.mark.kafka, pytest.mark.slow, pytest.mark.timeout(600)]

EVENTS = 300
UNKNOWN = 5
SCHEMA: Any = {
    "type": "record", "name": "Event", "fields": [
        {"name": "userId", "type": "string"}, {"name": "messageId", "type": "string"},
        {"name": "event", "type": "string"},
        {"name": "timestamp", "type": {"type": "long", "logicalType": "timestamp-millis"}},
        {"name": "properties", "type": {"type": "record", "name": "Properties", "fields": [
            {"name": "value", "type": ["null", "double"]}, {"name": "category", "type": "string"}]}},
    ],
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    server = RegistryServer().start()
    server.by_id[7] = {"schema": json.dumps(SCHEMA)}
    yield server
    server.stop()


def produce(scene: Scene) -> None:
    """Events by schema 7, and some by one that nobody has registered."""
    producer = Producer({"bootstrap.servers": scene.bootstrap})
    schema = fastavro.parse_schema(SCHEMA)
    now_ms = int(time.time() * 1000)
    for n in range(EVENTS):
        out = io.BytesIO()
        bought = n % 3 == 0
        event = {
            "userId": f"u-{n % 20}", "messageId": f"m-{n}", "timestamp": now_ms,
            "event": "Order Completed" if bought else "Product Viewed",
            "properties": {"value": 20.0 if bought else None, "category": "shoes"},
        }  # fmt: skip
        fastavro.schemaless_writer(out, schema, event)
        schema_id = 8 if n < UNKNOWN else 7
        value = b"\0" + schema_id.to_bytes(4) + out.getvalue()
        producer.produce(scene.topics[0], value, f"u-{n % 20}".encode())
    assert producer.flush(30) == 0


def test_events_wait_for_the_registry_and_none_is_lost(
    make_scene: MakeScene, start_worker: Callable[..., Worker], server: RegistryServer
) -> None:
    more = f'[events]\nformat = "avro"\nschema_registry = "{server.url}"\n'
    scene = make_scene(partitions=2, more=more, stuck_after_s=5.0)
    produce(scene)
    server.stop()
    worker = start_worker(scene)
    worker.wait_until("waits", lambda: worker.lines("schema_registry"))
    time.sleep(11.0)  # twice the time after which a worker without progress is ended
    worker.wait_until("lives", lambda: worker.lines("summary"))
    assert worker.lines("stuck") == []
    assert sum(scene.ends(f"{scene.app}-decisions") + scene.ends(f"{scene.app}-dead")) == 0
    server.start()
    worker.wait_until("catches up", lambda: scene.lag() == 0)
    assert worker.stop() == 0, worker.tail()
    assert sum(scene.ends(f"{scene.app}-decisions")) == EVENTS - UNKNOWN
    assert sum(scene.ends(f"{scene.app}-dead")) == UNKNOWN
    (stopped,) = worker.lines("stop")
    assert stopped["events"] == EVENTS
    states = [line["state"] for line in worker.lines("schema_registry")]
    assert states == ["waiting", "answers"]
