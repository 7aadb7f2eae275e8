"""No chunk is taken that does not continue its partition, whatever the layers below drop or repeat."""

from __future__ import annotations

import asyncio
import random
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from aiokafka import TopicPartition
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import changelog
from stream.columns import Spans
from stream.features import compile_features
from stream.records import build_batches
from stream.table import CustomerTable
from stream.worker.aiokafka_seam import ChunkRecords, FetchedBytes
from stream.worker.order import split
from stream.worker.processor import Processor
from tests.processor_harness import (
    CAMPAIGN,
    PLAN,
    TWO_TOPICS,
    Shell,
    deployment,
    message,
    run,
    settle,
)

CONTROL = 0x20


def decided(shell: Shell) -> list[int]:
    """Decisions in each batch that was sent."""
    return [batch.records for topic, batch, _ in shell.sent if topic == "out"]


def markers(shell: Shell) -> list[changelog.Marker]:
    """The markers in the order in which they were sent."""
    chunk = shell.changelog()
    return [
        msgspec.json.decode(chunk.value[i] or b"", type=changelog.Marker)
        for i in range(len(chunk))
        if chunk.key[i] == changelog.MARKER_KEY
    ]


def test_a_chunk_after_a_gap_waits_until_the_gap_was_read() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann", "bob"]))
        await processor.process(message(4, ["ann"]))  # 2 and 3 were dropped on the way
        await processor.process(message(5, ["ann"]))
        assert shell.rewound == [2, 2]
        await processor.process(message(2, ["ann", "bob", "ann", "ann"]))
        await settle()

    assert decided(run(scenario)) == [2, 4]


def test_what_was_taken_is_cut_off() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann", "bob"]))
        await processor.process(message(1, ["bob", "ann"]))
        await processor.process(message(0, ["ann", "bob", "ann"]))
        await settle()
        assert processor.window.replayed == 0
        await processor.checkpoint()

    shell = run(scenario)
    assert decided(shell) == [2, 1]
    assert shell.rewound == []
    assert [what for what in shell.happened if what.startswith("done")] == ["done 2", "done 3"]


def test_nothing_is_taken_before_its_partition_begins() -> None:
    async def scenario(shell: Shell, _: Processor) -> None:
        processor = Processor(CAMPAIGN, PLAN, "log", shell)
        await processor.deploy(deployment())
        await processor.process(message(0, ["ann"]))
        processor.blocks.block(0)  # restored, and not yet sought
        await processor.process(message(0, ["ann"]))
        await processor.checkpoint()
        await processor.close()

    assert run(scenario).happened == []


def test_what_retention_removed_is_given_up_with_an_error(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.earliest = 7
        await processor.process(message(7, ["ann"]))
        await processor.process(message(7, ["ann", "bob"]))
        await settle()

    with caplog.at_level("ERROR", "opportune"):
        assert decided(run(scenario)) == [2]
    (lost,) = caplog.records
    assert vars(lost)["fields"] | {"reason": ""} == {
        "tp": "events/0", "offset": 0, "until": 7, "reason": "",
    }  # fmt: skip


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
    assert sum(decided(shell)) == taken
    if taken:
        assert markers(shell)[-1].covered == {"events": taken}


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
    assert markers(shell)[-1].covered == {"events": 3}
    assert shell.happened[-1] == "done 3"


def test_a_chunk_that_is_computed_when_the_partition_goes_is_finished() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        computing = asyncio.create_task(processor.process(message(0, ["ann"])))
        await asyncio.sleep(0)
        await asyncio.gather(processor.drain(), computing)
        assert shell.happened[-1] == "done 1"

    assert markers(run(scenario))[-1].covered == {"events": 1}


def test_a_failure_is_not_forgotten_when_later_sends_succeed() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann"]))
        await processor.process(message(1, ["ann"]))
        await settle()
        shell.sent[0][2].set_exception(ConnectionError("broker gone"))
        shell.acknowledge(1)
        await settle()
        with pytest.raises(ConnectionError):
            await processor.checkpoint()
        with pytest.raises(ConnectionError):  # as when the crash stops the worker
            await processor.drain()

    shell = run(scenario)
    assert "send log" not in shell.happened
    assert not [what for what in shell.happened if what.startswith("done")]


def test_who_waits_for_a_checkpoint_survives_that_it_is_abandoned() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann"]))
        waiting = asyncio.create_task(processor.checkpoint())
        await settle()
        await processor.drain()
        await asyncio.wait_for(waiting, 5)

    assert not run(scenario).failed


def test_nothing_is_taken_once_the_partition_was_given_up() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"]))
        await processor.drain()
        await processor.process(message(1, ["ann"]))  # fetched before, in the same generation
        await settle()

    assert decided(run(scenario)) == [1]


def test_a_rebuild_that_was_interrupted_goes_on_in_silence() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        processor.begin(0, {"events": 4}, {"events": 5})
        await processor.process(message(0, ["ann", "bob"]))
        await processor.drain()
        assert not processor.is_decided("events", 0, 2)
        other = Processor(CAMPAIGN, PLAN, "log", shell)
        await other.deploy(deployment())
        block = other.blocks.block(0)
        changelog.apply_chunk(shell.changelog(), block.table, PLAN.offset_words, block.progress)
        assert other.begin(0, {"events": 4}, {"events": 5}) == {"events": 2}
        await other.process(message(2, ["ann", "bob", "ann"]))
        await other.drain()
        assert other.is_decided("events", 0, 5)
        await other.close()

    assert decided(run(scenario)) == [1]


def interleave(seed: int) -> tuple[Shell, list[tuple[str, int]]]:
    """Chunks of two topics, checkpoints and acknowledgements in an order by the seed.

    Returns:
        The broker, and topic and offset of each chunk, one record each.
    """
    rng, taken = random.Random(seed), []

    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        acknowledged, offset, checkpoints = 0, {"events": 0, "mails": 0}, []
        for _ in range(25):
            topic = rng.choice(["events", "mails"])
            processing = processor.process(message(offset[topic], ["ann"], topic=topic))
            taken.append((topic, offset[topic]))
            offset[topic] += 1
            waiting = [asyncio.create_task(processing)]
            while not waiting[0].done() or rng.random() < 0.5:
                if rng.random() < 0.3:
                    checkpoints.append(asyncio.create_task(processor.checkpoint()))
                await asyncio.sleep(0.001 * rng.random())
                if acknowledged < len(shell.sent) and rng.random() < 0.7:
                    shell.acknowledge(acknowledged)
                    acknowledged += 1
        await finish(shell, processor, acknowledged)
        await asyncio.gather(*checkpoints)

    return run(scenario, TWO_TOPICS), taken


async def finish(shell: Shell, processor: Processor, acknowledged: int) -> None:
    shell.auto = True
    last = asyncio.create_task(processor.checkpoint())
    while not last.done() or acknowledged < len(shell.sent):
        while acknowledged < len(shell.sent):
            if not shell.sent[acknowledged][2].done():
                shell.acknowledge(acknowledged)
            acknowledged += 1
        await asyncio.sleep(0.001)


@pytest.mark.parametrize("seed", range(6))
def test_after_any_record_of_the_changelog_a_worker_can_go_on(seed: int) -> None:
    shell, taken = interleave(seed)
    log, plan = shell.changelog(), compile_features(TWO_TOPICS)
    progress_after = [changelog.Progress()]
    for end in range(1, len(log) + 1):
        table, progress = CustomerTable(plan.row_words), changelog.Progress()
        changelog.apply_chunk(split(log, end)[0], table, plan.offset_words, progress)
        progress_after.append(progress)
        offsets = (
            table.state.view(np.int64)[0, plan.offset_words].tolist() if table.rows else [0, 0]
        )
        covered = [progress.covered.get(topic, 0) for topic in ("events", "mails")]
        assert all(row >= done for row, done in zip(offsets, covered, strict=True))
        # A marker says everything that those before it said: none of them is needed any more.
        if log.key[end - 1] == changelog.MARKER_KEY:
            said = msgspec.json.decode(log.value[end - 1] or b"", type=changelog.Marker)
            assert progress == changelog.Progress(said.covered, said.order)

    # No decision leaves before its place in the order is durable.
    durable, decisions = 0, iter(taken)
    records = [batch.records for topic, batch, _ in shell.sent if topic == "log"]
    acknowledgements = iter(records)
    for what in shell.happened:
        if what == "ack log":
            durable += next(acknowledgements)
        elif what == "send out":
            topic, offset = next(decisions)
            known = progress_after[durable]
            assert any(run[0] == topic and run[1] > offset for run in known.order)
