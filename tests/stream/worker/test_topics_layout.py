"""The worker on a Kafka as it is delivered: it creates topics by itself, and limits their records."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from msgspec.structs import replace

from stream.broker import EmbeddedKafka
from stream.campaign.topics_section import Topics
from stream.errors import KafkaLayoutError
from stream.worker import topics as topic_layout
from tests.conftest import FAST_START, CreateTopics, MakeScene
from tests.stream.worker.faults.fault_load import Events, producer, send
from tests.stream.worker.faults.fault_verifier import read
from tests.stream.worker.faults.fault_worker import Worker
from tests.stream.worker.processor_harness import CAMPAIGN

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(300)]

MIB = 1 << 20
StartWorker = Callable[..., Worker]


@pytest.fixture(scope="module")
def stock_kafka() -> Iterator[EmbeddedKafka]:
    """A broker with Kafka's own defaults where those of the embedded one differ."""
    settings = {
        "auto.create.topics.enable": "true", "num.partitions": "1", "message.max.bytes": str(MIB),
    }  # fmt: skip
    with EmbeddedKafka(jvm_flags=FAST_START, settings=settings) as broker:
        yield broker


@pytest.fixture
def topics(topic_name: Callable[[str], str]) -> Topics:
    return Topics((topic_name("events"),), topic_name("decisions"), topic_name("dead"))


def ensure(kafka: EmbeddedKafka, topics: Topics) -> topic_layout.Layout:
    campaign = replace(CAMPAIGN, topics=topics)
    return asyncio.run(topic_layout.ensure_topics(kafka.bootstrap, campaign, "changelog"))


def partitions(kafka: EmbeddedKafka) -> dict[str, int]:
    found = AdminClient({"bootstrap.servers": kafka.bootstrap}).list_topics(timeout=30).topics
    return {name: len(topic.partitions) for name, topic in found.items()}


def test_nothing_is_created_by_asking_for_it(
    stock_kafka: EmbeddedKafka, topics: Topics, create_topics: CreateTopics
) -> None:
    with pytest.raises(KafkaLayoutError, match=r"missing: .* or correct topics\.events"):
        ensure(stock_kafka, topics)
    assert not set(topics.events) & set(partitions(stock_kafka))
    create_topics({topics.events[0]: 4}, bootstrap=stock_kafka.bootstrap)
    assert ensure(stock_kafka, topics).partitions == 4
    found = partitions(stock_kafka)
    assert (found[topics.decisions], found[topics.dead_letter]) == (4, 4)


def test_what_others_have_created_meanwhile_is_checked(
    stock_kafka: EmbeddedKafka, topics: Topics, create_topics: CreateTopics,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    create_topics({topics.events[0]: 4}, bootstrap=stock_kafka.bootstrap)
    create = topic_layout._create

    async def too_late(admin: Any, names: Any, *arguments: Any) -> None:
        create_topics(dict.fromkeys(names, 1), bootstrap=stock_kafka.bootstrap)
        await create(admin, names, *arguments)

    monkeypatch.setattr(topic_layout, "_create", too_late)
    with pytest.raises(KafkaLayoutError, match=f"expected 4 partitions of '{topics.decisions}'"):
        ensure(stock_kafka, topics)


@pytest.mark.slow
def test_a_record_that_is_larger_than_the_dead_letter_topic_takes_stops_nothing(
    stock_kafka: EmbeddedKafka, make_scene: MakeScene, start_worker: StartWorker,
    create_topics: CreateTopics, seed: int,
) -> None:  # fmt: skip
    scene = make_scene(broker=stock_kafka)
    dead = scene.campaign.topics.dead_letter
    create_topics({dead: scene.partitions}, bootstrap=scene.bootstrap)
    large = b'{"userId": "c1", "text": "%s"}' % (b"x" * (6 * MIB // 5))
    with_gzip = producer(
        scene.bootstrap, **{"compression.type": "gzip", "message.max.bytes": 4 * MIB}
    )
    with_gzip.produce(scene.topics[0], large, b"c1", partition=2)
    with_gzip.flush()
    sources = [(topic, Events(topic, 100, seed, invalid_share=0)) for topic in scene.topics]
    send(scene.bootstrap, sources, scene.partitions, 400)
    worker = start_worker(scene)
    worker.wait_until("catches up", lambda: scene.lag() == 0)
    assert worker.stop() == 0, worker.tail()
    assert sum(scene.ends(scene.campaign.topics.decisions)) == 400
    assert [line["bytes_max"] for line in worker.lines("letters_cut")] == [MIB]
    (letter,) = (record for p in range(4) for record in read(scene.bootstrap, dead, p))
    said, kept = dict(letter.headers() or []), letter.value() or b""
    assert (said["code"], said["partition"], said["truncated"]) == (b"oversize", b"2", b"true")
    assert said["value_bytes"] == str(len(large)).encode()
    assert large.startswith(kept)
    assert MIB - 2_000 < len(kept) < MIB


@pytest.mark.slow
def test_event_topics_that_grew_end_the_worker_before_it_decides(
    stock_kafka: EmbeddedKafka, make_scene: MakeScene, start_worker: StartWorker,
    create_topics: CreateTopics,
) -> None:  # fmt: skip
    scene = make_scene(broker=stock_kafka)
    create_topics({scene.changelog: 2}, bootstrap=scene.bootstrap)
    worker = start_worker(scene)
    assert worker.ended() == 2, worker.tail()
    (refused,) = worker.lines("refused")
    assert f"expected 4 partitions of the changelog '{scene.changelog}'" in refused["reason"]
    assert not worker.lines("begin")
