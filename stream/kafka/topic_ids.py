"""What a broker says about topics: their number of partitions and their id.

The id tells a topic from another of the same name that was created after it was deleted. aiokafka asks
in a form that is older than ids, and so that the broker may create the topics that are asked about.
Here the newer form of Kafka 2.8 is asked; an older broker answers without ids.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable
from io import BytesIO
from typing import Any, NamedTuple

from aiokafka.client import AIOKafkaClient, ConnectionGroup
from aiokafka.errors import UnknownTopicOrPartitionError
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.metadata import MetadataRequest_v1
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_ID_BYTES = 16
_NO_ID = bytes(_ID_BYTES)


class Topic(NamedTuple):
    """A topic that exists.

    Attributes:
        partitions: How many.
        id: As Kafka's tools write it; None from a broker older than Kafka 2.8.
    """

    partitions: int
    id: str | None


async def describe(client: AIOKafkaClient, names: Iterable[str]) -> dict[str, Topic | None]:
    """Asks a broker about topics; asking creates none.

    Args:
        client: A client that has been started, such as that of a producer.
        names: Topics to ask about.

    Returns:
        The topics, and None for those that do not exist. A topic that the broker gave no clear
        answer about is left out: it may be starting, or the worker may not see the topic.

    Raises:
        aiokafka.errors.KafkaError: The broker did not answer.
    """
    wanted = sorted(set(names))
    # A connection of its own: the answer need not wait behind batches that are being sent.
    group = ConnectionGroup.COORDINATION
    node = client.get_random_node()
    if node is None:
        return {}  # it has only begun to connect
    response = await client.send(node, _TopicsRequest(wanted), group=group)
    answer = response.to_object()
    if not answer["brokers"] or answer["controller_id"] < 0:
        return {}  # a broker that knows no controller knows nothing for certain
    described = {topic["topic"]: topic for topic in answer["topics"]}
    if response.API_VERSION < _TopicsRequest_v10.API_VERSION:  # of all topics
        missing = {"error_code": UnknownTopicOrPartitionError.errno}
        described = {name: described.get(name, missing) for name in wanted}
    found: dict[str, Topic | None] = {}
    for name, topic in described.items():
        if topic["error_code"] == UnknownTopicOrPartitionError.errno:
            found[name] = None
        elif topic["error_code"] == 0 and topic["partitions"]:
            found[name] = Topic(len(topic["partitions"]), topic.get("topic_id"))
    return found


class _TopicId(AbstractType[str]):  # type: ignore[misc]  # aiokafka has no type information
    """Sixteen bytes, written as Kafka's tools do."""

    @classmethod
    def encode(cls, value: str | None) -> bytes:
        return _NO_ID if value is None else base64.urlsafe_b64decode(value + "==")

    @classmethod
    def decode(cls, data: BytesIO) -> str | None:
        raw = data.read(_ID_BYTES)
        return None if raw == _NO_ID else base64.urlsafe_b64encode(raw).decode().rstrip("=")


class _TopicsResponse_v10(Response):  # type: ignore[misc]  # noqa: N801  # aiokafka's way to name them
    API_KEY = 3
    API_VERSION = 10
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("topic", CompactString("utf-8")),
                ("topic_id", _TopicId),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("topic_authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_authorized_operations", Int32),
        ("tags", TaggedFields),
    )


class _TopicsRequest_v10(RequestStruct):  # type: ignore[misc]  # noqa: N801  # as above
    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 10
    RESPONSE_TYPE = _TopicsResponse_v10
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _TopicId), ("topic", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_cluster_authorized_operations", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _TopicsRequest(Request[MetadataRequest_v1 | _TopicsRequest_v10]):  # type: ignore[misc]
    """Asks about topics by name, or where that could create them, about all."""

    API_KEY = 3

    def __init__(self, names: list[str]) -> None:
        self._names = names

    def build(self, request_struct_class: Any) -> Any:
        if request_struct_class is MetadataRequest_v1:
            return request_struct_class(None)
        no_tags: dict[int, bytes] = {}
        topics = [(None, name, no_tags) for name in self._names]
        return request_struct_class(topics, False, False, False, no_tags)
