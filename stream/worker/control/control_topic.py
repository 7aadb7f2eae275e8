"""The topics beside events that workers follow: made where they are missing, read, followed, written.

Each has one partition. That of switches is compacted: the newest record of each key holds, and compaction waits
for `HISTORY_DAYS`, so that it also tells for that long who switched what. That of budgets keeps every draw.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    ConsumerStoppedError,
    KafkaError,
    TopicAlreadyExistsError,
    for_code,
)
from aiokafka.structs import TopicPartition

from stream.errors import KafkaLayoutError
from stream.kafka.client import ChunkConsumer, stable_end

HISTORY_DAYS = 90
_SWITCHES = {
    "cleanup.policy": "compact", "min.compaction.lag.ms": str(HISTORY_DAYS * 86_400_000),
}  # fmt: skip
_DRAWS = {"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
_POLL_MS = 250
_ANSWER_S = 20.0
_READY_S = 0.1


class ControlRecord(NamedTuple):
    """A record of such a topic."""

    key: bytes | None
    value: bytes | None


def control_topic(app: str) -> str:
    """Name of the control topic of a campaign."""
    return f"{app}-control"


def budget_topic(app: str) -> str:
    """Name of the topic of the draws of a campaign's budgets."""
    return f"{app}-budgets"


async def ensure_control(admin: AIOKafkaAdminClient, app: str, replication: int) -> None:
    """Makes the topic of switches where it is missing; errors as `ensure_budgets`."""
    await _ensure(admin, control_topic(app), replication, _SWITCHES)


async def ensure_budgets(admin: AIOKafkaAdminClient, app: str, replication: int) -> None:
    """Makes the topic of draws where it is missing.

    Raises:
        KafkaLayoutError: It cannot be made.
    """
    await _ensure(admin, budget_topic(app), replication, _DRAWS)


async def _ensure(
    admin: AIOKafkaAdminClient, name: str, replication: int, configs: dict[str, str]
) -> None:
    if await _is_there(admin, name):
        return
    assignment: dict[int, list[int]] | None = {} if replication == -1 else None
    response = await admin.create_topics([NewTopic(name, 1, replication, assignment, configs)])
    for topic, code, *rest in response.topic_errors:
        if code not in (0, TopicAlreadyExistsError.errno):
            raise KafkaLayoutError(
                f"expected to create topic {topic!r}, got {for_code(code).__name__} {rest}. Operator "
                f"action: create it with one partition and {configs}, or grant the right to"
            )
    async with asyncio.timeout(_ANSWER_S):
        while True:  # its broker hears of it a little later
            if await _is_there(admin, name):
                return
            await asyncio.sleep(_READY_S)


async def _is_there(admin: AIOKafkaAdminClient, name: str) -> bool:
    # Of all topics: describing a missing one by name would create it on many brokers.
    described = await admin.describe_topics()
    return any(t["topic"] == name and t["partitions"] for t in described if t["error_code"] == 0)


class ControlReader:
    """Reads such a topic from its beginning, and goes on with what is written.

    Args:
        bootstrap: Kafka address.
        topic: Its name.
    """

    def __init__(self, bootstrap: str, topic: str) -> None:
        self._tp = TopicPartition(topic, 0)
        self._bootstrap = bootstrap
        self._consumer: ChunkConsumer | None = None

    async def open(self) -> list[ControlRecord]:
        """What stands there now.

        Raises:
            KafkaLayoutError: The topic is not there, or does not answer.
        """
        self._consumer = ChunkConsumer(
            bootstrap_servers=self._bootstrap, group_id=None, enable_auto_commit=False,
            auto_offset_reset="earliest",
        )  # fmt: skip
        try:
            async with asyncio.timeout(_ANSWER_S):
                await self._consumer.start()
                self._consumer.assign([self._tp])
                await self._consumer.seek_to_beginning(self._tp)
                return await self._to_the_end(self._consumer)
        except (KafkaError, TimeoutError) as exc:
            await self.close()
            raise KafkaLayoutError(
                f"expected to read {self._tp.topic}, got {type(exc).__name__} {exc}. Operator action: see "
                "that the broker answers and that the topic has one partition"
            ) from exc

    async def _to_the_end(self, consumer: ChunkConsumer) -> list[ControlRecord]:
        found: list[ControlRecord] = []
        end = (await consumer.end_offsets([self._tp]))[self._tp]
        while await consumer.position(self._tp) < end:
            found += await self.changes()
            if (stable := stable_end(consumer, self._tp)) is not None:
                end = min(end, stable)
        return found

    async def changes(self) -> list[ControlRecord]:
        """What was written since the last call; waits for it for a moment."""
        assert self._consumer is not None, "the topic is opened first"
        try:
            fetched = await self._consumer.getmany(self._tp, timeout_ms=_POLL_MS)
        except ConsumerStoppedError:  # the worker stops while this waits
            return []
        return [
            ControlRecord(chunk.key[i], chunk.value[i])
            for _, chunk in fetched.get(self._tp, ())
            for i in range(len(chunk))
        ]

    async def close(self) -> None:
        """Leaves the broker."""
        if self._consumer is not None:
            await self._consumer.stop()


async def write_control(bootstrap: str, app: str, records: Iterable[ControlRecord]) -> None:
    """Writes records, and returns when the broker has them.

    Raises:
        KafkaError: It has not.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, acks="all", enable_idempotence=True,
        request_timeout_ms=int(_ANSWER_S * 1000),
    )  # fmt: skip
    await producer.start()
    try:
        for record in records:
            await producer.send_and_wait(control_topic(app), record.value, record.key, partition=0)
    finally:
        await producer.stop()


async def prepare_control(bootstrap: str, app: str, replication: int) -> None:
    """Makes the control topic from a command, before any worker has.

    Raises:
        KafkaLayoutError: The broker cannot be reached, or the topic cannot be made.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    try:
        await admin.start()
        await ensure_control(admin, app, replication)
    except KafkaError as exc:
        raise KafkaLayoutError(
            f"expected a Kafka broker at {bootstrap}, got: {exc}. Operator action: start it, or set "
            "`bootstrap` or OPPORTUNE_BOOTSTRAP"
        ) from exc
    finally:
        await admin.close()
