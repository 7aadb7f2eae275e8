"""The changelog after any record of it: what its markers promise is there, and nothing is forgotten."""

from __future__ import annotations

import asyncio
import random

import msgspec
import numpy as np
import pytest

from stream.columns import Spans, split
from stream.features.plan import compile_features
from stream.state import changelog
from stream.state.marker import MARKER_KEY, Anchor, Marker, Progress, Stretch
from stream.state.table import CustomerTable
from stream.worker.processor import Processor
from tests.stream.worker.processor_harness import (
    TWO_TOPICS,
    Shell,
    begin,
    block_of,
    message,
    run,
)


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
        # What it announced by itself is not taken for the writing of others.
        block = block_of(processor)
        assert block.progress.anchor is not None
        assert block.progress.anchor.offset == block.changelog_end == len(shell.changelog()) - 1

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
    progress_after = [Progress()]
    for end in range(1, len(log) + 1):
        table, progress = CustomerTable(plan.row_words), Progress()
        changelog.apply_chunk(split(log, end)[0], table, plan.offset_words, progress)
        progress_after.append(progress)
        offsets = (
            table.state.view(np.int64)[0, plan.offset_words].tolist() if table.rows else [0, 0]
        )
        covered = [progress.covered.get(topic, 0) for topic in ("events", "mails")]
        assert all(row >= done for row, done in zip(offsets, covered, strict=True))
        # A marker says everything that those before it said: none of them is needed any more.
        if log.key[end - 1] == MARKER_KEY:
            said = msgspec.json.decode(log.value[end - 1] or b"", type=Marker)
            anchor = Anchor(end - 1, log.value[end - 1] or b"")
            assert progress == Progress(
                said.covered, said.order, said.rows, anchor, generation=1,
                reached_ms=dict(said.reached_ms or {}),
                decided=None if said.decided is msgspec.UNSET else said.decided,
            )  # fmt: skip
            assert len(table) >= said.rows

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


def test_what_was_announced_ahead_binds_nobody_when_a_partition_was_finished() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"], topic="mails"))
        await processor.process(message(0, ["ann"], topic="events"))
        await processor.drain()
        block = block_of(processor)
        ends = {"events": 9, "mails": 9}
        begin(processor, dict.fromkeys(block.position), ends, shell.changelog())
        before, last = shell.markers()[-2:]
        assert [topic for topic, _ in before.order] == ["mails", "events"]
        assert last.order == []
        ahead = Stretch(last.covered, ends)
        assert block.order.beyond(last.covered) == [ahead]

    run(scenario, TWO_TOPICS)


def test_partitions_that_others_own_already_are_left_as_they_are() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"]))
        await processor.drain(lost=True)
        assert processor.blocks.get(0) is None

    assert "send log" not in run(scenario).happened


def test_rows_that_a_stranger_wrote_over_are_written_again_without_any_event() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann", "bob"]))
        await processor.checkpoint()
        table = block_of(processor).table
        table.mark_dirty(table.rows_for(Spans.of([b"bob"])))
        await processor.drain()
        table.mark_dirty(table.rows_for(Spans.of([b"ann"])))
        begin(processor, {"events": 2}, {"events": 2}, shell.changelog())
        await processor.checkpoint()
        await processor.checkpoint()

    log = run(scenario).changelog()
    assert [log.key[i] for i in range(len(log))] == [
        b"ann", b"bob", MARKER_KEY, b"bob", MARKER_KEY,
        b"ann", MARKER_KEY,
    ]  # fmt: skip
