"""What a broker says about topics, and what it makes of being asked."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from io import BytesIO
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.metadata import MetadataResponse_v1
from confluent_kafka.admin import AdminClient

from stream.kafka import topic_ids
from stream.kafka.topic_ids import Topic, describe


async def ask(bootstrap: str, *names: str) -> dict[str, Topic | None]:
    client = AIOKafkaClient(bootstrap_servers=bootstrap)
    await client.bootstrap()
    try:
        return await describe(client, names)
    finally:
        await client.close()


@pytest.mark.kafka
def test_partitions_ids_and_what_is_missing(
    kafka: Any, topic_name: Callable[[str], str], create_topics: Any
) -> None:
    here, missing = topic_name("here"), topic_name("missing")
    create_topics({here: 3})
    first = asyncio.run(ask(kafka.bootstrap, here, missing))
    assert first == asyncio.run(ask(kafka.bootstrap, here, missing))
    topic = first[here]
    assert topic is not None
    assert topic.partitions == 3
    assert first[missing] is None
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    assert missing not in admin.list_topics(timeout=20).topics  # though the broker creates topics

    admin.delete_topics([here], operation_timeout=20)[here].result(30)
    create_topics({here: 3})
    while (again := asyncio.run(ask(kafka.bootstrap, here))[here]) is None:
        time.sleep(0.1)  # the broker hears of it a little later
    assert again.id != topic.id
    assert len(again.id or "") == len(topic.id or "") == 22


class OldBroker:
    """Answers as one does that knows no ids."""

    def __init__(self, controller: int, node: int | None = 1) -> None:
        self.controller = controller
        self.node = node

    def get_random_node(self) -> int | None:
        return self.node

    async def send(self, _node: int, request: Any, *, group: object) -> MetadataResponse_v1:
        del group
        asked = request.prepare({3: (0, 5)})
        assert asked.API_VERSION == 1
        assert asked.topics is None  # by name it might create them
        partition = (0, 0, 1, [1], [1])
        topics = [(0, "here", False, [partition] * 2), (5, "leaderless", False, [])]
        return MetadataResponse_v1([(1, "localhost", 9092, None)], self.controller, topics)


def test_a_broker_without_ids_is_asked_about_all_topics() -> None:
    found = asyncio.run(describe(OldBroker(1), ["here", "missing", "leaderless"]))
    assert found == {"here": Topic(2, None), "missing": None}


def test_a_broker_without_a_controller_knows_nothing_for_certain() -> None:
    assert asyncio.run(describe(OldBroker(-1), ["here", "missing"])) == {}
    assert asyncio.run(describe(OldBroker(1, node=None), ["here", "missing"])) == {}


def test_an_id_is_written_as_kafka_does() -> None:
    written = topic_ids._TopicId.encode("4rr2NgnWTj2rMAeP9cLBXg")
    assert len(written) == 16
    assert topic_ids._TopicId.decode(BytesIO(written)) == "4rr2NgnWTj2rMAeP9cLBXg"
    assert topic_ids._TopicId.decode(BytesIO(bytes(16))) is None
