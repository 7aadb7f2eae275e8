"""Creates topics on a cluster of one node."""

from __future__ import annotations

from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code

from stream.broker.errors import BrokerError


async def create_topics(bootstrap: str, partitions: Mapping[str, int]) -> None:
    """Creates the topics that are not there.

    Args:
        bootstrap: Address of the cluster.
        partitions: Partition count of each topic.

    Raises:
        BrokerError: A topic is there with another partition count, or could not be created.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        found = await admin.describe_topics()
        present = {topic["topic"]: len(topic["partitions"]) for topic in found}
        for name, count in partitions.items():
            if present.get(name, count) != count:
                raise BrokerError(
                    f"Topic {name} has {present[name]} partitions in this data folder, not {count}."
                    " Ask for that number, or choose another folder."
                )
        absent = [NewTopic(name, n, 1) for name, n in partitions.items() if name not in present]
        answer = await admin.create_topics(absent)
        for name, code, message in answer.topic_errors:
            if code:
                reason = f"{for_code(code).__name__}, {message}"
                raise BrokerError(f"Topic {name} was not created: {reason}")
    finally:
        await admin.close()
