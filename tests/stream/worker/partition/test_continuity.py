"""No chunk is taken that does not continue its partition, whatever the layers below drop or repeat."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import Spans
from stream.kafka.client import ChunkRecords, FetchedBytes
from stream.kafka.records import build_batches
from stream.worker.processor import Processor
from tests.stream.worker.processor_harness import (
    CAMPAIGN,
    PLAN,
    Shell,
    begin,
    deployment,
    message,
    restore,
    run,
    settle,
)

CONTROL = 0x20


def test_a_chunk_after_a_gap_waits_until_the_gap_was_read() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann", "bob"]))
        await processor.process(message(4, ["ann"]))  # 2 and 3 were dropped on the way
        await processor.process(message(5, ["ann"]))
        assert shell.rewound == [2, 2]
        await processor.process(message(2, ["ann", "bob", "ann", "ann"]))
        await settle()

    assert run(scenario).decided() == [2, 4]


def test_what_was_taken_is_cut_off() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann", "bob"]))
        await processor.process(message(1, ["bob", "ann"]))
        await processor.process(message(0, ["ann", "bob", "ann"]))
        await settle()
        assert processor.window.replayed == 0
        await processor.checkpoint()

    shell = run(scenario)
    assert shell.decided() == [2, 1]
    assert shell.rewound == []
    assert [what for what in shell.happened if what.startswith("done")] == ["done 2", "done 3"]


def test_nothing_is_taken_before_its_partition_begins() -> None:
    async def scenario(shell: Shell, _: Processor) -> None:
        processor = Processor(CAMPAIGN, PLAN, "log", shell)
        await processor.deploy(deployment())
        await processor.process(message(0, ["ann"]))
        restore(processor)  # and not yet sought
        await processor.process(message(0, ["ann"]))
        await processor.checkpoint()
        await processor.close()

    assert run(scenario).happened == []


def test_what_retention_removed_is_given_up_with_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann", "bob"]))
        shell.removed["events"] = 7
        await processor.process(message(7, ["ann"]))
        await processor.process(message(7, ["ann", "bob"]))
        await settle()

    with caplog.at_level("INFO", "opportune"):
        assert run(scenario).decided() == [2, 2]
    (lost,) = [record for record in caplog.records if vars(record).get("evt") == "lost"]
    assert lost.levelname == "ERROR"
    assert vars(lost)["fields"] | {"reason": ""} == {
        "tp": "events/0", "offset": 2, "until": 7, "reason": "",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("committed", "removed", "lost"), [(None, 7, None), (9, 7, None), (7, 7, None), (3, 7, 3)]
)
def test_what_aged_out_before_the_first_start_is_no_loss(
    caplog: pytest.LogCaptureFixture, committed: int | None, removed: int, lost: int | None
) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        begin(processor, {"events": committed}, {"events": 20})
        shell.removed["events"] = removed
        await processor.process(message(7, ["ann"]))
        await processor.process(message(7, ["ann", "bob", "ann", "bob"]))
        await processor.checkpoint()

    with caplog.at_level("INFO", "opportune"):
        shell = run(scenario)
    assert shell.decided() == [4 - max(0, (committed or 0) - 7)]
    assert shell.markers()[-1].covered == {"events": 11}
    told = {vars(r)["evt"]: vars(r)["fields"] for r in caplog.records if "fields" in vars(r)}
    assert ("lost" in told, "aged_out" in told) == (lost is not None, lost is None)
    if lost is not None:
        assert (told["lost"]["offset"], told["lost"]["until"]) == (lost, removed)


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 9)), max_size=25))
@settings(max_examples=40)
def test_any_delivery_is_taken_once_and_in_order(delivered: list[tuple[int, int]]) -> None:
    """Chunks come from anywhere; after each rewind the right one comes, as from Kafka."""

    async def scenario(shell: Shell, processor: Processor) -> None:
        for first, count in delivered:
            before = len(shell.rewound)
            await processor.process(message(first, ["ann"] * count))
            if len(shell.rewound) > before:
                await processor.process(message(shell.rewound[-1], ["ann"] * 3))
        await processor.checkpoint()

    shell = run(scenario)
    taken = shell.taken_until
    assert sum(shell.decided()) == taken
    if taken:
        assert shell.markers()[-1].covered == {"events": taken}


def fetched(attributes: int, first: int = 5, position: int = 3) -> list[Any]:
    """What comes of a fetch at `position` that finds one record, or control record, at `first`."""
    one = Spans(np.frombuffer(b"x", np.uint8), np.zeros(1, np.int64), np.ones(1, np.int64))
    (batch,) = build_batches(one, one, 0)
    batch.buffer[21:23] = attributes.to_bytes(2, "big")
    raw = bytearray(batch.seal(9, 0, 0))
    raw[:8] = first.to_bytes(8, "big")
    tp = TopicPartition("events", 0)
    return list(ChunkRecords(100, tp, FetchedBytes(bytes(raw)), [], position, None, None, True, 1))


def test_a_chunk_starts_where_it_was_asked_for() -> None:
    (only,) = fetched(0)
    assert (only.start, only.chunk.offset.tolist(), only.chunk.next_offset) == (3, [5], 6)


def test_the_end_of_a_transaction_alone_is_a_chunk_without_records() -> None:
    (only,) = fetched(CONTROL)
    assert (only.start, len(only.chunk), only.chunk.next_offset) == (3, 0, 6)


def test_a_chunk_without_records_is_covered_like_any_other() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        (end,) = fetched(CONTROL, first=0, position=0)
        await processor.process(SimpleNamespace(value=end.chunk, offset=0, generation_id=1))
        await processor.process(message(1, ["ann"]))
        (end,) = fetched(CONTROL, first=2, position=2)
        await processor.process(SimpleNamespace(value=end.chunk, offset=2, generation_id=1))
        await processor.checkpoint()

    shell = run(scenario)
    assert shell.markers()[-1].covered == {"events": 3}
    assert shell.happened[-1] == "done 3"


def test_a_chunk_that_is_computed_when_the_partition_goes_is_finished() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        computing = asyncio.create_task(processor.process(message(0, ["ann"])))
        await asyncio.sleep(0)
        await asyncio.gather(processor.drain(), computing)
        assert shell.happened[-1] == "done 1"

    assert run(scenario).markers()[-1].covered == {"events": 1}


def test_who_waits_for_a_checkpoint_survives_that_it_is_abandoned() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann"]))
        waiting = asyncio.create_task(processor.checkpoint())
        await settle()
        await processor.drain()
        await asyncio.wait_for(waiting, 5)

    assert not run(scenario).failed


def test_a_checkpoint_that_begins_while_partitions_are_abandoned_does_not_wait_for_them() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann"]))
        draining = asyncio.create_task(processor.drain(lost=True))
        await asyncio.sleep(0)
        assert processor.blocks.get(0) is None
        assert not draining.done()
        await asyncio.wait_for(processor.checkpoint(), 5)
        await draining

    assert not run(scenario).failed


def test_nothing_is_taken_once_the_partition_was_given_up() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"]))
        await processor.drain()
        await processor.process(message(1, ["ann"]))  # fetched before, in the same generation
        await settle()

    assert run(scenario).decided() == [1]


def test_a_rebuild_that_was_interrupted_goes_on_in_silence() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        begin(processor, {"events": 4}, {"events": 5})
        await processor.process(message(0, ["ann", "bob"]))
        await processor.drain()
        other = Processor(CAMPAIGN, PLAN, "log", shell)
        await other.deploy(deployment())
        log = shell.changelog()
        assert begin(other, {"events": 4}, {"events": 5}, log) == {"events": 2}
        await other.process(message(2, ["ann", "bob", "ann"]))
        await other.drain()
        await other.close()

    assert run(scenario).decided() == [1]
