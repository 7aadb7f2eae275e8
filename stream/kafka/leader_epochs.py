"""Where the broker's log leaves what was read of it: KIP-320, by leader epochs.

Every record batch carries the epoch of the leader that took it. The leader of today is asked where the
epoch ended that the last batch read was of. If that is before the offset that was read to, the log was
cut back since, and what stands there now is something else. aiokafka does not ask.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import IncompatibleBrokerVersion
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import Array, Int16, Int32, Int64, Schema, String
from aiokafka.structs import TopicPartition

_CONSUMER = -1  # a replica says here which one it is
_NOT_CHECKED = -1


async def end_offsets(
    client: AIOKafkaClient, epochs: Mapping[TopicPartition, int]
) -> dict[TopicPartition, int]:
    """Asks the leaders where epochs ended.

    Args:
        client: A client that knows the topics, such as that of their consumer.
        epochs: The leader epoch to ask about, by partition.

    Returns:
        Offset after the last record of that epoch or of one before; 0 when the log knows none. Without
        partitions that have no leader, or one that does not tell.

    Raises:
        aiokafka.errors.KafkaError: A broker did not answer.
    """
    by_leader: dict[int, dict[str, list[tuple[int, int, int]]]] = defaultdict(dict)
    for tp, epoch in epochs.items():
        leader = client.cluster.leader_for_partition(tp)
        if leader is not None and leader >= 0:
            topics = by_leader[leader]
            topics.setdefault(tp.topic, []).append((tp.partition, _NOT_CHECKED, epoch))
    found: dict[TopicPartition, int] = {}
    for leader, topics in by_leader.items():
        try:
            response = await client.send(leader, _EpochEndRequest(list(topics.items())))
        except (IncompatibleBrokerVersion, NotImplementedError):
            continue  # a broker older than Kafka 2.3
        for topic, partitions in response.topics:
            for error_code, partition, _, end_offset in partitions:
                if error_code == 0:
                    found[TopicPartition(topic, partition)] = max(0, end_offset)
    return found


class _EpochEndResponse_v3(Response):  # type: ignore[misc]  # noqa: N801  # aiokafka's way to name them
    API_KEY = 23
    API_VERSION = 3
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader_epoch", Int32),
                        ("end_offset", Int64),
                    ),
                ),
            ),
        ),
    )


class _EpochEndRequest_v3(RequestStruct):  # type: ignore[misc]  # noqa: N801  # as above
    API_KEY = 23
    API_VERSION = 3
    RESPONSE_TYPE = _EpochEndResponse_v3
    SCHEMA = Schema(
        ("replica_id", Int32),
        (
            "topics",
            Array(
                ("topic", String("utf-8")),
                (
                    "partitions",
                    Array(
                        ("partition", Int32),
                        ("current_leader_epoch", Int32),
                        ("leader_epoch", Int32),
                    ),
                ),
            ),
        ),
    )


class _EpochEndRequest(Request[_EpochEndRequest_v3]):  # type: ignore[misc]  # as above
    API_KEY = 23

    def __init__(self, topics: list[tuple[str, list[tuple[int, int, int]]]]) -> None:
        self._topics = topics

    def build(self, request_struct_class: type[_EpochEndRequest_v3]) -> _EpochEndRequest_v3:
        return request_struct_class(_CONSUMER, self._topics)
