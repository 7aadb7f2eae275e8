"""Sends the journey to Kafka in time order, and remembers when each event went out.

The demo is the only producer of its topics, so the k-th event that it sends to a partition has
offset k: a decision that names its event by topic, partition and offset names it exactly.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from typing import Any, Self

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import for_code
from aiokafka.partitioner import murmur2

from stream.errors import OperatorError
from trainer.demo.journey import TOPICS, Journey

PARTITIONS = 4
_BATCH_BYTES = 1 << 18


async def create_topics(bootstrap: str, decisions: str, others: Sequence[str]) -> None:
    """Creates the topics of the demo.

    Args:
        bootstrap: Kafka address.
        decisions: The decision topic, whose records get the broker's time: the end of the way.
        others: The other topics.

    Raises:
        OperatorError: The broker refuses.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        stamped = {"message.timestamp.type": "LogAppendTime"}
        topics = [NewTopic(name, PARTITIONS, 1) for name in others]
        topics.append(NewTopic(decisions, PARTITIONS, 1, topic_configs=stamped))
        answer = await admin.create_topics(topics)
        for name, code, *rest in answer.topic_errors:
            if code:
                raise OperatorError(f"topic {name} was not created: {for_code(code)}, {rest}")
    finally:
        await admin.close()


class Feed:
    """The events of a journey on their way into Kafka.

    Args:
        journey: The events.
        bootstrap: Kafka address.

    Attributes:
        sent: How many events have been sent.
    """

    def __init__(self, journey: Journey, bootstrap: str) -> None:
        self.sent = 0
        self._journey = journey
        self._producer = AIOKafkaProducer(
            bootstrap_servers=bootstrap, acks="all", max_batch_size=_BATCH_BYTES
        )
        partition_of = {key: (murmur2(key) & 0x7FFFFFFF) % PARTITIONS for key in set(journey.key)}
        self._partition = [partition_of[key] for key in journey.key]
        self._events: dict[tuple[str, int], list[int]] = defaultdict(list)
        self._sent_ms = np.zeros(len(journey), np.int64)

    async def __aenter__(self) -> Self:
        await self._producer.start()
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._producer.stop()

    def until(self, time_ms: int) -> int:
        """Number of events before a time."""
        return int(np.searchsorted(self._journey.time_ms, time_ms))

    def event(self, topic: str, partition: int, offset: int) -> int:
        """Number of the event at a place."""
        return self._events[topic, partition][offset]

    def sent_ms(self, event: int) -> int:
        """When an event was sent, epoch milliseconds."""
        return int(self._sent_ms[event])

    async def send(self, until: int) -> None:
        """Sends the events up to a number and returns when the broker has them."""
        pending: dict[tuple[str, int], Any] = {}
        acknowledged: list[Awaitable[Any]] = []
        now_ms = time.time_ns() // 1_000_000
        for event in range(self.sent, until):
            place = TOPICS[self._journey.topic[event]], self._partition[event]
            if not self._append(pending, place, event, now_ms):
                acknowledged.append(await self._send_batch(pending.pop(place), place))
                self._append(pending, place, event, now_ms)
            self._events[place].append(event)
        self._sent_ms[self.sent : until] = now_ms
        self.sent = max(self.sent, until)
        acknowledged += [await self._send_batch(batch, place) for place, batch in pending.items()]
        for future in acknowledged:
            await future

    def _append(
        self, pending: dict[tuple[str, int], Any], place: tuple[str, int], event: int, now_ms: int
    ) -> bool:
        """Adds an event to the batch of its partition; False when that is full."""
        if place not in pending:
            pending[place] = self._producer.create_batch()
        journey = self._journey
        added = pending[place].append(
            key=journey.key[event], value=journey.value[event], timestamp=now_ms
        )
        return added is not None

    async def _send_batch(self, batch: Any, place: tuple[str, int]) -> Awaitable[Any]:
        future: Awaitable[Any] = await self._producer.send_batch(
            batch, place[0], partition=place[1]
        )
        return future
