"""A log that may have become another one is compared before a record of it is handed out."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError, NotLeaderForPartitionError, OffsetOutOfRangeError
from aiokafka.errors import UnknownTopicOrPartitionError as UnknownTopicError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.structs import TopicPartition

from stream.kafka import log_guard
from stream.kafka.log_guard import GuardedClient

FINE, GONE = 0, UnknownTopicError.errno
OUT_OF_RANGE, MOVED = OffsetOutOfRangeError.errno, NotLeaderForPartitionError.errno


def play(answers: Sequence[Mapping[int, int] | None], fails: int = 0) -> list[dict[int, int]]:
    """What is compared, by partition, while fetches at offset 100 + partition are answered.

    Args:
        answers: Error codes by partition; None for a connection that breaks.
        fails: So many comparisons say that they cannot say.
    """
    compared: list[dict[int, int]] = []
    left = iter(answers)

    async def send(_node: int, _request: Any) -> Any:
        errors = next(left)
        if errors is None:
            raise KafkaConnectionError
        topics = [("events", [(p, code, 0, 0, b"") for p, code in errors.items()])]
        return SimpleNamespace(topics=topics)

    async def compare(offsets: Mapping[TopicPartition, int]) -> None:
        compared.append({tp.partition: offset for tp, offset in offsets.items()})
        if len(compared) <= fails:
            raise UnknownTopicError

    async def main() -> None:
        client = GuardedClient(SimpleNamespace(send=send, cluster="its own"), compare)
        assert client.cluster == "its own"
        request = FetchRequest(0, 0, 0, 0, [("events", [(0, 100, 1), (1, 101, 1)])])
        for answer in answers:
            try:
                await client.send(1, request)
            except KafkaConnectionError:
                assert answer is None
            except UnknownTopicError:
                assert len(compared) <= fails

    asyncio.run(main())
    return compared


@pytest.mark.parametrize(
    ("answers", "compared"),
    [
        ([{0: FINE, 1: FINE}, {0: FINE}], []),
        ([{0: GONE, 1: FINE}, {0: GONE}, {0: FINE, 1: FINE}, {0: FINE}], [{0: 100}]),
        ([{0: MOVED, 1: FINE}, {1: FINE}, {0: FINE}], [{0: 100}]),
        ([{0: FINE, 1: OUT_OF_RANGE}, {1: FINE}], [{1: 101}]),
        ([None, {0: FINE, 1: FINE}, {0: FINE, 1: FINE}], [{0: 100, 1: 101}]),
    ],
)
def test_what_was_not_answered_plainly_is_compared_once(
    answers: Sequence[Mapping[int, int] | None], compared: list[dict[int, int]]
) -> None:
    assert play(answers) == compared


def test_a_comparison_that_cannot_say_is_made_again() -> None:
    assert play([{0: GONE}, {0: FINE}, {0: FINE}, {0: FINE}], fails=1) == [{0: 100}, {0: 100}]


def test_what_nobody_has_fetched_for_a_while_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.1, 1.0, 1.1, 2.2, 2.3, 2.4, 9.9])  # before and after each fetch
    monkeypatch.setattr(log_guard, "monotonic", lambda: next(clock))
    fine = {0: FINE, 1: FINE}
    assert play([fine, fine, fine, fine]) == [{0: 100, 1: 101}]  # 1.1 s after the second


def test_other_requests_pass() -> None:
    async def send(_node: int, request: Any, *, group: str) -> tuple[Any, str]:
        return request, group

    async def compare(_: Any) -> None:
        raise AssertionError

    client = GuardedClient(SimpleNamespace(send=send), compare)
    assert asyncio.run(client.send(1, "metadata", group="g")) == ("metadata", "g")
