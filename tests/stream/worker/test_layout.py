"""The topics that a worker needs, on a real broker."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from stream.campaign.file import Campaign, WorkerSpec, parse
from stream.campaign.topics_section import Topics
from stream.decisions.batch_limits import BatchLimits
from stream.errors import CampaignError, KafkaLayoutError
from stream.worker.topics import Layout, ensure_topics

pytestmark = pytest.mark.kafka

TEXT = """
    app = "shop"
    topics = { events = ["mails", "orders"] }
    features = [{ op = "count", half_lives = ["1d"] }]
    strategies = [{ id = "mail" }]
"""
CAMPAIGN = parse(TEXT)
LETTER_BYTES_MAX = (4 << 20) + (64 << 10)
"""Of the default `fetch_bytes_max`, and what is said of a letter."""


@pytest.fixture
def topics(topic_name: Callable[[str], str]) -> Topics:
    return Topics(
        events=(topic_name("mails"), topic_name("orders")),
        decisions=topic_name("decisions"),
        dead_letter=topic_name("dead"),
    )


def campaign(topics: Topics) -> Campaign:
    return replace(CAMPAIGN, topics=topics)


def ensure(kafka: Any, topics: Topics) -> Layout:
    changelog = f"{topics.decisions}-changelog"
    return asyncio.run(ensure_topics(kafka.bootstrap, campaign(topics), changelog))


def test_outgoing_topics_are_created_like_the_event_topics(
    kafka: Any, topics: Topics, create_topics: Any
) -> None:
    create_topics(dict.fromkeys(topics.events, 3))
    first = ensure(kafka, topics)
    assert first.partitions == 3
    assert ensure(kafka, topics) == first  # and found the second time


def test_outgoing_topics_take_any_record_that_comes(
    kafka: Any, topics: Topics, create_topics: Any, caplog: pytest.LogCaptureFixture
) -> None:
    create_topics(dict.fromkeys(topics.events, 1), {"max.message.bytes": str(6 << 20)})
    largest = (6 << 20) + (64 << 10)
    assert ensure(kafka, topics).limits == BatchLimits(largest, largest)
    assert not caplog.records


def test_a_dead_letter_topic_that_takes_less_is_told(
    kafka: Any, topics: Topics, create_topics: Any, caplog: pytest.LogCaptureFixture
) -> None:
    create_topics(dict.fromkeys(topics.events, 1), {"max.message.bytes": "1048576"})
    create_topics({topics.dead_letter: 1}, {"max.message.bytes": "1048588"})
    create_topics({topics.decisions: 1}, {"max.message.bytes": "500000"})
    assert ensure(kafka, topics).limits == BatchLimits(500_000, 1_048_588)
    (told,) = caplog.messages
    assert topics.dead_letter in told
    assert f"set max.message.bytes={LETTER_BYTES_MAX} on the topic" in told


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
    create_topics({**dict.fromkeys(topics.events, 3), topics.decisions: 1, topics.dead_letter: 4})
    with pytest.raises(KafkaLayoutError) as refused:
        ensure(kafka, topics)
    said = str(refused.value)
    assert f"expected 3 partitions of '{topics.decisions}'" in said
    assert f"`kafka-topics.sh --alter --topic {topics.decisions} --partitions 3`" in said
    assert f"expected 3 partitions of '{topics.dead_letter}'" in said
    assert "name another topic in topics.dead_letter" in said


def test_a_changelog_with_another_count_is_refused(
    kafka: Any, topics: Topics, create_topics: Any
) -> None:
    changelog = f"{topics.decisions}-changelog"
    create_topics({**dict.fromkeys(topics.events, 4), changelog: 2, topics.decisions: 2})
    with pytest.raises(KafkaLayoutError) as refused:
        ensure(kafka, topics)
    said = str(refused.value)
    assert f"expected 4 partitions of the changelog '{changelog}'" in said
    assert "customers move" in said
    assert "with another `app`" in said
    assert f"expected 4 partitions of '{topics.decisions}'" in said  # everything at once


def test_more_replicas_than_brokers_are_refused(
    kafka: Any, topics: Topics, create_topics: Any
) -> None:
    create_topics(dict.fromkeys(topics.events, 1))
    many = replace(campaign(topics), worker=WorkerSpec(replication=5))
    with pytest.raises(KafkaLayoutError, match=r"InvalidReplicationFactor.*worker\.replication"):
        asyncio.run(ensure_topics(kafka.bootstrap, many, "changelog"))


def test_replication_is_the_brokers_own_unless_it_is_given() -> None:
    assert CAMPAIGN.worker.replication == -1
    with pytest.raises(CampaignError, match=r"worker\.replication: expected one of -1, 1, 2"):
        parse(f"worker = {{ replication = 0 }}\n{TEXT}")


def test_no_broker(topics: Topics) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    with pytest.raises(KafkaLayoutError, match=f"expected a Kafka broker at 127.0.0.1:{port}"):
        asyncio.run(ensure_topics(f"127.0.0.1:{port}", campaign(topics), "changelog"))
