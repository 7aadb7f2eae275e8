"""The topics that a worker needs, on a real broker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from stream.campaign import Topics
from stream.errors import KafkaLayoutError
from stream.worker.layout import ensure_topics

pytestmark = pytest.mark.kafka


@pytest.fixture
def topics(topic_name: Callable[[str], str]) -> Topics:
    return Topics(
        events=(topic_name("mails"), topic_name("orders")),
        decisions=topic_name("decisions"),
        dead_letter=topic_name("dead"),
    )


def ensure(kafka: Any, topics: Topics) -> int:
    return asyncio.run(ensure_topics(kafka.bootstrap, topics, 1))


def test_outgoing_topics_are_created_like_the_event_topics(
    kafka: Any, topics: Topics, create_topics: Any
) -> None:
    create_topics(dict.fromkeys(topics.events, 3))
    assert ensure(kafka, topics) == 3
    assert ensure(kafka, topics) == 3  # and found the second time


def test_event_topics_belong_to_others(kafka: Any, topics: Topics, create_topics: Any) -> None:
    create_topics({topics.events[0]: 3})
    with pytest.raises(KafkaLayoutError, match=rf"missing: \['{topics.events[1]}'\]"):
        ensure(kafka, topics)


def test_unequal_partition_counts_are_refused(
    kafka: Any, topics: Topics, create_topics: Any
) -> None:
    create_topics({topics.events[0]: 3, topics.events[1]: 2})
    with pytest.raises(KafkaLayoutError, match="one partition count for all event topics"):
        ensure(kafka, topics)


def test_an_outgoing_topic_with_another_count_is_refused(
    kafka: Any, topics: Topics, create_topics: Any
) -> None:
    create_topics({**dict.fromkeys(topics.events, 3), topics.decisions: 1})
    with pytest.raises(KafkaLayoutError, match=f"3 partitions of '{topics.decisions}'.* got 1"):
        ensure(kafka, topics)


def test_no_broker(topics: Topics) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(KafkaLayoutError, match=f"expected a Kafka broker at 127.0.0.1:{port}"):
        asyncio.run(ensure_topics(f"127.0.0.1:{port}", topics, 1))
