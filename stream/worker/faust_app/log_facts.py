"""What the broker says of the logs that are read: which offsets they hold, and whether they are the same."""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping, Sequence
from typing import Any

from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from stream.errors import PositionError, StateError
from stream.kafka import leader_epochs, topic_ids
from stream.worker.faust_app.app_port import AppPort
from stream.worker.partition.same_log import Found, Known, Positions

_LOOKS, _LOOK_AGAIN_S = 20, 0.5


async def look(consumer: Any, known: Mapping[TopicPartition, Known]) -> dict[TopicPartition, Found]:
    """Asks about partitions.

    Args:
        consumer: aiokafka's consumer of them, in whose event loop this runs.
        known: What was read of each.

    Raises:
        aiokafka.errors.KafkaError: The broker did not answer, or cannot say which topics exist.
    """
    begins = await consumer.beginning_offsets(list(known))
    ends = await consumer.end_offsets(list(known))
    epochs = {tp: known[tp].source.leader_epoch for tp in known}
    asked = {tp: epoch for tp, epoch in epochs.items() if epoch >= 0 and known[tp].offset > 0}
    branches = await leader_epochs.end_offsets(consumer._client, asked)
    topics = await topic_ids.describe(consumer._client, {tp.topic for tp in known})
    found = {}
    for tp in known:
        topic = topics.get(tp.topic)
        if topic is None:
            raise UnknownTopicOrPartitionError(tp.topic)
        branch = branches.get(tp)
        if branch is not None and branch >= known[tp].offset:
            branch = None
        found[tp] = Found(begins[tp], ends[tp], topic.id, branch)
    return found


async def look_before(
    positions: Positions, thread: driver.AIOKafkaConsumerThread, tps: Sequence[TopicPartition]
) -> Mapping[TopicPartition, Found]:
    """Asks about event partitions before they begin; a broker may need a moment after a change.

    Args:
        positions: Where the event topics are read.
        thread: Faust's thread of the consumer.
        tps: The partitions.

    Raises:
        aiokafka.errors.KafkaError: The broker does not answer, or does not know the topics.
    """
    known = {tp: positions.covered(*tp) for tp in tps}

    async def ask() -> Mapping[TopicPartition, Found]:
        return await look(thread._ensure_consumer(), known)

    for _ in range(_LOOKS if known else 0):
        try:
            found: Mapping[TopicPartition, Found] = await thread.call_thread(ask)
        except UnknownTopicOrPartitionError:
            await asyncio.sleep(_LOOK_AGAIN_S)
        else:
            return found
    return await thread.call_thread(ask) if known else {}


async def settle(
    port: AppPort, consumer: driver.Consumer, partition: int, found: Mapping[str, Found]
) -> None:
    """Refuses topics that are not those that the state has seen, or begins them anew.

    Args:
        port: The app.
        consumer: The worker's consumer, which knows what is committed.
        partition: Which.
        found: What is there, by event topic.

    Raises:
        PositionError: A topic is refused; the worker ends.
    """
    committed = {topic: consumer._committed_offset[TP(topic, partition)] for topic in found}
    try:
        accepted = port.processor.positions.settle(partition, committed, found)
    except PositionError as exc:
        port.shell.fail(exc)  # not all of who calls this would
        raise
    for topic, fault in accepted.items():
        tp = TP(topic, partition)
        # Before the marker: a commit of the former topic must not look like one of this.
        await consumer._thread.commit({tp: fault.committed})
        consumer._committed_offset[tp] = fault.committed


async def complete(port: AppPort, partition: int) -> None:
    """Gives a partition that has just begun what else it needs: see `Processor.complete`.

    Raises:
        StateError: They cannot be read, or are not whole; the worker ends.
    """
    try:
        await port.processor.complete(partition)
    except StateError as exc:
        port.shell.fail(exc)  # not all of who calls this would
        raise


async def compare_read(
    positions: Positions,
    events: Container[str],
    consumer: Any,
    offsets: Mapping[TopicPartition, int],
) -> PositionError | None:
    """Why what is being read is not the log that was read before, None if it is.

    Args:
        positions: What was read.
        events: The event topics; nothing else is compared.
        consumer: aiokafka's consumer, in whose event loop this runs.
        offsets: The offsets that are being read.

    Raises:
        aiokafka.errors.KafkaError: The broker does not answer, or does not know the topics.
    """
    taken = {tp: positions.taken(*tp) for tp in offsets if tp.topic in events}
    known = {tp: seen for tp, seen in taken.items() if seen is not None}
    found = await look(consumer, known) if known else {}
    for tp, now in found.items():
        error = positions.check(f"{tp.topic}/{tp.partition}", known[tp], offsets[tp], now)
        if error is not None:
            return error
    return None
