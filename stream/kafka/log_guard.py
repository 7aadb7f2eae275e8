"""No record is handed out of a log that may have become another one since it was last looked at.

aiokafka goes on by name and offset: after a topic was deleted, created anew and filled beyond the
position, its records come as if nothing had happened; when it holds less, the position is set to its
beginning. Before either, the broker answers a fetch that waits with an error, or the connection breaks.
From then on a partition is in doubt, and its next plain answer waits until the log was compared. In
doubt is also what nobody has fetched for a while: no fetch was there to be answered so.

Only a topic that is deleted, created and filled all within that while gives no sign; the periodic look
at the topic ids sees it later.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from time import monotonic
from typing import Any

from aiokafka.errors import KafkaError, OffsetOutOfRangeError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

_TRUSTED_S = 1.0
"""How long after an answer a log is taken for the same without a fetch that waits."""

Compare = Callable[[Mapping[TopicPartition, int]], Awaitable[None]]
"""Compares partitions, given with the offsets that are being read, with what was read of them; returns
if they may be gone on with."""


class GuardedClient:
    """aiokafka's client as its fetcher sees it: answers to fetches are looked at on their way.

    Args:
        client: The client.
        compare: Asked about partitions in doubt; raises a `KafkaError` when it cannot say.
    """

    def __init__(self, client: Any, compare: Compare) -> None:
        self._client = client
        self._compare = compare
        self._doubted: set[TopicPartition] = set()
        self._answered_s: dict[TopicPartition, float] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    async def send(self, node_id: int, request: Any, **options: Any) -> Any:
        """Sends a request; the answer to a fetch comes when nothing of it is in doubt."""
        if not isinstance(request, FetchRequest):
            return await self._client.send(node_id, request, **options)
        offsets = {
            TopicPartition(topic, partition): offset
            for topic, partitions in request.topics
            for partition, offset, _ in partitions
        }
        trusted_s = monotonic() - _TRUSTED_S
        self._doubted |= {tp for tp in offsets if self._answered_s.get(tp, trusted_s) < trusted_s}
        try:
            response = await self._client.send(node_id, request, **options)
        except KafkaError:
            self._doubted |= offsets.keys()
            raise
        asked = self._in_doubt(response)
        if asked:
            await self._compare({tp: offsets[tp] for tp in asked})
            self._doubted -= asked
        self._answered_s |= dict.fromkeys(offsets, monotonic())
        return response

    def _in_doubt(self, response: Any) -> set[TopicPartition]:
        """The partitions to be compared now; those without a plain answer are doubted from here on."""
        asked = set()
        for topic, partitions in response.topics:
            for partition, error_code, *_ in partitions:
                if error_code == 0 and not self._doubted:
                    continue
                tp = TopicPartition(topic, partition)
                if error_code not in (0, OffsetOutOfRangeError.errno):
                    self._doubted.add(tp)
                elif error_code or tp in self._doubted:
                    asked.add(tp)
        return asked
