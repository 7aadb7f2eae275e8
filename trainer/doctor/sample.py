"""Some of the newest records of topics, and what the broker says of the topics.

Rules of this file
1. Nothing is written, no group is joined, no topic is created.
2. What the broker does not allow to be asked is unknown, not an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError

from stream.columns import RecordChunk
from stream.kafka.skip_list import ReadRules
from trainer.doctor.errors import DoctorError
from trainer.history.source import Bounds, KafkaSource, OnRecords
from trainer.history.topics import Extent, TopicReader, broker_errors

SETTINGS = (
    "cleanup.policy", "retention.ms", "retention.bytes", "compression.type", "message.timestamp.type",
    "unclean.leader.election.enable",
)  # fmt: skip
"""Settings of a topic that are looked at."""


@dataclass(frozen=True, slots=True)
class TopicSample:
    """Some records of one topic.

    Attributes:
        topic: Its name.
        extents: What each partition holds.
        settings: By name, those of `SETTINGS` that the broker tells.
        chunks: The records, of each partition in the order of their offsets.
    """

    topic: str
    extents: Mapping[int, Extent]
    settings: Mapping[str, str]
    chunks: list[RecordChunk] = field(default_factory=list)

    @property
    def held(self) -> int:
        """Offsets that the topic holds."""
        return sum(end - begin for begin, end in self.extents.values())


def take_sample(
    bootstrap: str,
    topics: Sequence[str],
    optional: Sequence[str],
    records: int,
    *,
    oldest: bool = False,
    rules: ReadRules | None = None,
    on_records: OnRecords | None = None,
) -> dict[str, TopicSample]:
    """Reads some records of each topic.

    Args:
        bootstrap: Kafka address.
        topics: Topics that have to be there.
        optional: Others, left out when they are not there.
        records: Most records of each topic, alike from each partition.
        oldest: Whether to begin with the oldest records instead of the newest.
        rules: Bound of what is unpacked, and the skip list.
        on_records: Told of the progress.

    Raises:
        DoctorError: A topic is missing.
        TrainingError: The broker cannot be reached or refuses.
    """
    with broker_errors(bootstrap):
        found = asyncio.run(_look(bootstrap, topics, optional))
    wanted = {
        name: {
            partition: _some(extent, records, len(one.extents), oldest=oldest)
            for partition, extent in one.extents.items()
        }
        for name, one in found.items()
    }
    source = KafkaSource(bootstrap, Bounds(offsets=wanted), rules=rules or ReadRules())
    for chunk in source.chunks(list(found), on_records):
        if len(chunk):
            found[chunk.topic].chunks.append(chunk)
    return found


def _some(extent: Extent, records: int, partitions: int, *, oldest: bool) -> tuple[int, int]:
    """Offsets of one of the partitions of a topic."""
    share = -(-records // partitions)
    begin, end = extent
    return (begin, min(begin + share, end)) if oldest else (max(end - share, begin), end)


async def _look(
    bootstrap: str, topics: Sequence[str], optional: Sequence[str]
) -> dict[str, TopicSample]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        # Of all topics: describing a missing one by name would create it on many brokers.
        there = {topic["topic"] for topic in await admin.describe_topics()}
        missing = [topic for topic in topics if topic not in there]
        if missing:
            raise DoctorError(
                f"expected the event topics {list(topics)} at {bootstrap}, missing: {missing}. "
                "Operator action: correct topics.events, or name another broker with --bootstrap"
            )
        names = [*topics, *(topic for topic in optional if topic in there)]
        settings = {name: await _settings(admin, name) for name in names}
    finally:
        await admin.close()
    reader = TopicReader(bootstrap)
    try:
        await reader.open()
        held = await reader.extents(await reader.partitions(names))
    finally:
        await reader.close()
    return {
        name: TopicSample(
            name,
            {tp.partition: extent for tp, extent in held.items() if tp.topic == name},
            settings[name],
        )
        for name in names
    }


async def _settings(admin: AIOKafkaAdminClient, topic: str) -> dict[str, str]:
    try:
        asked = ConfigResource(ConfigResourceType.TOPIC, topic, dict.fromkeys(SETTINGS))
        (response,) = await admin.describe_configs([asked])
    except KafkaError:  # not allowed
        return {}
    return {
        entry[0]: entry[1]
        for error_code, _, _, _, entries in response.resources
        for entry in entries
        if error_code == 0
    }
