"""What a reader of topics does when the log changes under it, or nothing comes."""

from __future__ import annotations

import asyncio
import time

import pytest
from aiokafka.structs import TopicPartition
from confluent_kafka.admin import AdminClient

from stream.columns import RecordChunk
from tests.conftest import CreateTopics, KafkaCluster
from tests.kafka_client import remove_before, send
from tests.trainer.history.history_harness import START_MS, offsets
from trainer.errors import TrainingError
from trainer.history.source import KafkaSource
from trainer.history.topics import Removed, TopicReader


@pytest.mark.kafka
def test_what_retention_removes_while_it_is_read_is_never_skipped(
    kafka: KafkaCluster, topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assign = TopicReader.assign

    def assign_then_remove(self: TopicReader, positions: dict[TopicPartition, int]) -> None:
        remove_before(kafka.bootstrap, topic, 0, 4)
        assign(self, positions)

    monkeypatch.setattr(TopicReader, "assign", assign_then_remove)
    with pytest.raises(TrainingError, match=f"expected offset 0 in {topic}/0, it is gone.*archive"):
        list(KafkaSource(kafka.bootstrap).chunks([topic]))


@pytest.mark.kafka
def test_a_reader_says_when_nothing_comes_or_a_position_is_gone(
    kafka: KafkaCluster, topic: str
) -> None:
    async def read() -> None:
        reader = TopicReader(kafka.bootstrap, stalled_s=1.0)
        await reader.open()
        try:
            reader.assign({TopicPartition(topic, 0): 28})
            assert offsets(await reader.poll(), 0) == [28, 29]
            assert await reader.poll() == []
            with pytest.raises(TrainingError, match=f"the rest of {topic}/0 .* nothing for 1 s"):
                assert [await reader.poll() for _ in range(9)] == []
            reader.seek(TopicPartition(topic, 0), 31)  # one beyond the end
            with pytest.raises(Removed) as gone:
                await reader.poll()
            assert (gone.value.tp, gone.value.wanted) == (TopicPartition(topic, 0), 31)
            reader.seek(TopicPartition(topic, 0), 29)
            assert offsets(await reader.poll(), 0) == [29]
        finally:
            await reader.close()

    asyncio.run(read())


@pytest.mark.kafka
def test_a_reader_gives_out_nothing_of_a_topic_that_was_created_anew_meanwhile(
    kafka: KafkaCluster, topic: str, create_topics: CreateTopics
) -> None:
    tp = TopicPartition(topic, 0)

    async def nothing_comes(reader: TopicReader) -> None:
        while True:
            assert await reader.poll() == []

    async def read() -> None:
        reader = TopicReader(kafka.bootstrap, stalled_s=30.0)
        await reader.open()
        try:
            await reader.extents([tp])
            reader.assign({tp: 0})
            while reader._position[tp] < 30:
                await reader.poll()
            admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
            admin.delete_topics([topic], operation_timeout=20)[topic].result(timeout=30)
            create_topics({topic: 2})
            send(kafka.bootstrap, [(topic, 0, 0, START_MS, None, b"%d" % i) for i in range(99)])
            time.sleep(1.0)  # noqa: ASYNC251  # busy, and without a fetch that waits
            with pytest.raises(TrainingError, match="deleted and created anew meanwhile"):
                await nothing_comes(reader)
            with pytest.raises(TrainingError, match="deleted and created anew meanwhile"):
                await reader.extents([tp])
        finally:
            await reader.close()

    asyncio.run(read())


@pytest.mark.kafka
def test_a_fetch_that_does_not_go_on_is_read_again(kafka: KafkaCluster, topic: str) -> None:
    tp = TopicPartition(topic, 0)

    async def read() -> list[RecordChunk]:
        reader = TopicReader(kafka.bootstrap)
        await reader.open()
        try:
            reader.assign({tp: 0})
            chunks = await reader.poll()
            send(kafka.bootstrap, [(topic, 0, 0, START_MS, None, b"%d" % i) for i in range(9)])
            reader._connected().seek(tp, 33)  # as a fetch from before a rebalance would be
            while reader._position[tp] < 39:
                chunks += await reader.poll()
            return chunks
        finally:
            await reader.close()

    assert offsets(asyncio.run(read()), 0) == list(range(39))
