"""The partitioners against their owners: Kafka's own test values, and what librdkafka does on a real broker."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from aiokafka.partitioner import murmur2
from confluent_kafka import Producer
from hypothesis import given
from hypothesis import strategies as st

from stream.columns import RecordChunk, Spans
from stream.keys.key_sample import KEYS_MIN, UNKNOWN, KeySample, Placed, disagreement
from stream.keys.partitioners import key_hashes
from tests.conftest import CreateTopics, KafkaCluster
from trainer.history.source import KafkaSource

KAFKAS_OWN = {  # org.apache.kafka.common.utils.UtilsTest.testMurmur2
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


def chunk_of(topic: str, partition: int, keys: list[bytes | None]) -> RecordChunk:
    none = np.zeros(len(keys), np.int64)
    spans = Spans.of(keys)
    return RecordChunk(topic, partition, np.arange(len(keys)), none, spans, spans, len(keys))


def sample_of(topic: str, partition_of: Callable[[bytes], int], count: int = 300) -> KeySample:
    sample = KeySample()
    for i in range(count):
        key = b"c%d" % i
        sample.add(chunk_of(topic, partition_of(key), [key]))
    return sample


@pytest.mark.parametrize(("key", "value"), KAFKAS_OWN.items())
def test_murmur2_is_that_of_kafka(key: bytes, value: int) -> None:
    assert key_hashes(key).murmur2 == value & 0x7FFFFFFF


@given(st.binary(min_size=1, max_size=40))
def test_hashes_of_any_key(key: bytes) -> None:
    found = key_hashes(key)
    assert found.murmur2 == murmur2(key) & 0x7FFFFFFF
    assert found.crc32 == zlib.crc32(key)
    plain = 2_166_136_261
    for byte in key:
        plain = (plain ^ byte) * 16_777_619 % 2**32
    signed = plain - 2**32 if plain >= 2**31 else plain
    assert found.fnv1a == abs(signed)


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("setting", "name"),
    [("murmur2_random", "murmur2"), ("consistent_random", "crc32"), ("fnv1a_random", "fnv1a")],
)
def test_the_partitioner_of_a_producer_is_told(
    kafka: KafkaCluster, topic_name: Callable[[str], str], create_topics: CreateTopics,
    setting: str, name: str,
) -> None:  # fmt: skip
    topic = topic_name("events")
    create_topics({topic: 3})
    producer = Producer({"bootstrap.servers": kafka.bootstrap, "partitioner": setting})
    for i in range(200):
        producer.produce(topic, b"{}", f"customer-{i}")
        producer.produce(topic, b"{}", None)  # goes anywhere, and says nothing
    assert producer.flush(30) == 0
    sample = KeySample()
    for chunk in KafkaSource(kafka.bootstrap).chunks([topic]):
        sample.add(chunk)
    placed = sample.placed(3)[topic]
    assert placed.partitioner == name
    assert placed.fit[name] == 1.0


def test_few_keys_and_one_partition_say_nothing() -> None:
    few = sample_of("t", lambda key: zlib.crc32(key) % 4, KEYS_MIN - 1)
    assert few.placed(4)["t"].partitioner == ""
    assert sample_of("t", lambda _: 0).placed(1) == {}
    again = KeySample()
    for _ in range(500):
        again.add(chunk_of("t", 1, [b"busy"]))
    assert again.placed(4)["t"].keys == 1
    assert KeySample().placed(4) == {}


def test_the_sample_is_bounded() -> None:
    sample = KeySample()
    for i in range(2_000):
        sample.add(chunk_of("t", 0, [b"k%d" % (i * 100 + n) for n in range(100)]))
    assert 500 <= sample.placed(2)["t"].keys < 550


def test_topics_by_one_partitioner_agree_and_others_are_named() -> None:
    same = Placed(100, {"murmur2": 1.0, "crc32": 0.4, "fnv1a": 0.3})
    other = Placed(100, {"murmur2": 0.3, "crc32": 1.0, "fnv1a": 0.3})
    few = Placed(3, {"murmur2": 0.0, "crc32": 1.0, "fnv1a": 0.0})
    assert disagreement({"orders": same, "mails": same}) == ""
    assert disagreement({"orders": same, "mails": few}) == ""
    said = disagreement({"orders": same, "mails": other})
    assert "mails by crc32, orders by murmur2" in said
    assert "Operator action" in said


def test_keys_that_nobody_puts_there_are_named() -> None:
    rng = random.Random(3)
    placed = sample_of("events", lambda _: rng.randrange(4)).placed(4)
    assert placed["events"].partitioner == UNKNOWN
    said = disagreement(placed)
    assert "events" in said
    assert "murmur2 2" in said  # a quarter of them by chance
