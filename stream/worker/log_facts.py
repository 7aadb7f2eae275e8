"""What the broker says of the logs that are read: which offsets they hold, and whether they are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.structs import TopicPartition

from stream.worker import leader_epochs, topic_ids
from stream.worker.positions import Found, Known


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
