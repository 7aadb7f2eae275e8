"""What the tests of the history read."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import CreateTopics, KafkaCluster
from tests.kafka_client import send
from tests.trainer.history.history_harness import made


@pytest.fixture
def topic(
    kafka: KafkaCluster, create_topics: CreateTopics, topic_name: Callable[[str], str]
) -> str:
    """A topic with 30 records in partition 0, 10 in 1 and none in 2."""
    name = topic_name("history")
    create_topics({name: 3})
    send(kafka.bootstrap, made(name, 0, 30) + made(name, 1, 10))
    return name
