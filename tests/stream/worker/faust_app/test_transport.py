"""What is committed: never past a chunk that is not done. The faults of Faust's own bookkeeping."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from aiokafka.consumer.subscription_state import SubscriptionState
from faust.types import TP
from hypothesis import given, settings
from hypothesis import strategies as st
from mode import Service

from stream.columns import RecordChunk, Spans
from stream.kafka.client import Fetched, stable_end
from stream.worker.faust_app.consumer_thread import Exactly
from stream.worker.faust_app.factory import create_app
from stream.worker.faust_app.transport import Consumer
from tests.stream.worker.processor_harness import CAMPAIGN

EVENTS = TP("events", 0)


class Recorded(Consumer):
    """The worker's consumer without a broker: it remembers what would be committed."""

    commits: list[int]

    def _new_consumer_thread(self) -> Any:
        thread: Any = Service()  # nothing to connect to
        thread.is_member = lambda: True
        return thread

    def assignment(self) -> set[TP]:
        return {EVENTS}

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        self.commits += offsets.values()
        return True


def play(scenario: Callable[[Recorded], Awaitable[None]], generation: int = 3) -> list[int]:
    """Runs a scenario on a consumer of a real app; gives what it committed."""

    async def nothing(*_arguments: Any) -> None:
        pass

    async def main() -> list[int]:
        app = create_app(CAMPAIGN, "localhost:1")
        app.finalize()
        app.consumer_generation_id = generation
        app.producer = cast(Any, SimpleNamespace(flush=nothing, buffer=None))
        consumer = Recorded(cast(Any, app.transport), nothing, nothing, nothing)
        consumer.commits = []
        app._consumer = consumer
        await scenario(consumer)
        await app.processor.close()
        return consumer.commits

    return asyncio.run(main())


def fetch(consumer: Consumer, start: int, end: int) -> Any:
    """A chunk of the offsets start to end, as the consumer hands it out."""
    offset = np.arange(start, end, dtype=np.int64)
    none = Spans(np.zeros(0, np.uint8), offset * 0, offset * 0)
    chunk = RecordChunk("events", 0, offset, offset * 0, none, none, end)
    return consumer._to_message(EVENTS, Fetched(start, chunk))


@pytest.mark.parametrize("committed", [None, 0, 100])
def test_a_chunk_in_flight_holds_back_those_after_it(committed: int | None) -> None:
    first = committed or 0

    async def scenario(consumer: Recorded) -> None:
        consumer._committed_offset[EVENTS] = committed
        chunks = [fetch(consumer, first + i, first + i + 1) for i in range(3)]
        for chunk in chunks:
            consumer.taken(chunk)
        consumer.ack(chunks[1])
        consumer.ack(chunks[2])
        await consumer.commit()
        assert consumer.commits == []
        consumer.ack(chunks[0])
        await consumer.commit()

    assert play(scenario) == [first + 3]


def test_a_gap_between_chunks_is_no_reason_to_commit_the_later_one() -> None:
    async def scenario(consumer: Recorded) -> None:
        chunks = [
            fetch(consumer, 100, 500),
            fetch(consumer, 505, 999),
            fetch(consumer, 1_010, 1_011),
        ]
        for chunk in chunks:
            consumer.taken(chunk)
        consumer.ack(chunks[0])
        consumer.ack(chunks[2])
        await consumer.commit()
        consumer.ack(chunks[1])
        await consumer.commit()

    assert play(scenario) == [500, 1_011]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.randoms(use_true_random=False))
@settings(max_examples=25)
def test_chunks_done_in_any_order_are_committed_up_to_the_first_that_is_not(
    sizes: list[int], rng: Any
) -> None:
    ends = np.cumsum(sizes).tolist()
    order = list(range(len(sizes)))
    rng.shuffle(order)

    async def scenario(consumer: Recorded) -> None:
        chunks = [fetch(consumer, end - size, end) for end, size in zip(ends, sizes, strict=True)]
        for chunk in chunks:
            consumer.taken(chunk)
        done: set[int] = set()
        for i in order:
            consumer.ack(chunks[i])
            done.add(i)
            await consumer.commit()
            prefix = next(k for k in range(len(sizes) + 1) if k not in done)
            assert (consumer.commits or [0])[-1] == (ends[prefix - 1] if prefix else 0)

    assert play(scenario)[-1] == ends[-1]


def test_a_chunk_of_an_earlier_generation_is_never_committed() -> None:
    async def scenario(consumer: Recorded) -> None:
        chunk = fetch(consumer, 0, 10)
        consumer.taken(chunk)
        consumer.app.consumer_generation_id += 1
        assert not consumer.ack(chunk)
        await consumer.commit()

    assert play(scenario) == []


def test_what_was_handed_out_and_never_taken_holds_nothing_up() -> None:
    async def scenario(consumer: Recorded) -> None:
        fetch(consumer, 0, 10)  # Faust clears it from a queue: it is fetched again
        again = fetch(consumer, 0, 10)
        consumer.taken(again)
        consumer.ack(again)
        await consumer.commit()

    assert play(scenario) == [10]


def test_what_is_done_when_partitions_are_revoked_is_committed_before_they_are_forgotten() -> None:
    async def scenario(consumer: Recorded) -> None:
        done, late = fetch(consumer, 0, 10), fetch(consumer, 10, 20)

        async def revoke(_revoked: set[TP]) -> None:
            assert consumer._committed_offset[EVENTS] is None  # Faust has forgotten that already
            consumer.ack(done)
            await consumer.wait_empty()

        consumer._on_partitions_revoked = cast(Any, revoke)
        consumer._committed_offset[EVENTS] = 0
        for chunk in (done, late):
            consumer.taken(chunk)
        await consumer.on_partitions_revoked({EVENTS})
        consumer.ack(late)
        await consumer.commit()

    assert play(scenario) == [10]


def test_a_seek_back_while_the_flow_is_stopped_forgets_nothing() -> None:
    """Faust's fetcher asks for one when a fetch returns while chunks in work are being finished."""

    async def scenario(consumer: Recorded) -> None:
        chunk = fetch(consumer, 0, 10)
        consumer.taken(chunk)
        consumer.flow_active = False
        await consumer.perform_seek()
        consumer.ack(chunk)
        await consumer.commit()

    assert play(scenario) == [10]


def test_a_rebuild_commits_nothing_before_what_was_committed() -> None:
    async def scenario(consumer: Recorded) -> None:
        consumer._began_at[EVENTS] = consumer._committed_offset[EVENTS] = 30
        for start in (0, 20, 30):
            chunk = fetch(consumer, start, start + 10)
            consumer.taken(chunk)
            consumer.ack(chunk)
            await consumer.commit()

    assert play(scenario) == [40]


def test_a_rebuild_that_is_revoked_commits_nothing_before_what_was_committed() -> None:
    async def scenario(consumer: Recorded) -> None:
        chunk = fetch(consumer, 0, 10)

        async def revoke(_revoked: set[TP]) -> None:
            assert consumer._committed_offset[EVENTS] is None  # Faust has forgotten that already
            consumer.ack(chunk)
            await consumer.wait_empty()

        consumer._on_partitions_revoked = cast(Any, revoke)
        consumer._began_at[EVENTS] = consumer._committed_offset[EVENTS] = 30
        consumer.taken(chunk)
        await consumer.on_partitions_revoked({EVENTS})

    assert play(scenario) == []


def test_no_active_partition_means_none_and_not_all() -> None:
    tps: set[TP] = set()
    active = Exactly(tps)
    assert bool(active)
    assert EVENTS not in active
    tps.add(EVENTS)  # aiokafka may hold it while Faust changes it
    assert EVENTS in active


def test_a_partition_that_a_rebalance_has_taken_has_no_end_and_raises_nothing() -> None:
    async def ends() -> list[int | None]:
        subscriptions = SubscriptionState()
        consumer = cast(Any, SimpleNamespace(_subscription=subscriptions))
        found = [stable_end(consumer, EVENTS)]
        subscriptions.subscribe({"events"})
        found.append(stable_end(consumer, EVENTS))
        subscriptions.assign_from_subscribed({EVENTS})
        subscriptions.subscription.assignment.state_value(EVENTS).lso = 7
        found.append(stable_end(consumer, EVENTS))
        subscriptions.begin_reassignment()
        subscriptions.assign_from_subscribed(set())
        return [*found, stable_end(consumer, EVENTS)]

    assert asyncio.run(ends()) == [None, None, 7, None]
