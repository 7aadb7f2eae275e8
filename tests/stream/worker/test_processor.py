"""In which order the processor makes things durable, and what it does when it cannot."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import numpy as np
import pytest

from stream.state import changelog
from stream.state.marker import MARKER_KEY, Progress
from stream.state.table import CustomerTable
from stream.worker.partition.customer_view import CustomerView
from stream.worker.processor import Processor
from tests.stream.worker.processor_harness import (
    CAMPAIGN,
    PLAN,
    Shell,
    begin,
    deployment,
    message,
    run,
    settle,
)


def test_decisions_then_rows_and_marker_then_done() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann", "bob"]))
        await processor.process(message(2, ["ann"]))
        checkpoint = asyncio.create_task(processor.checkpoint())
        await settle()
        assert shell.happened == ["send out", "send out"]
        shell.acknowledge(0)
        await settle()
        assert "send log" not in shell.happened  # one decision is still on its way
        shell.acknowledge(1)
        await settle()
        assert shell.happened[-2:] == ["send log", "send log"]
        shell.acknowledge(2)
        await settle()
        assert "done 2" not in shell.happened  # the marker is still on its way
        shell.acknowledge(3)
        await checkpoint
        assert shell.happened[-2:] == ["done 2", "done 3"]

    shell = run(scenario)
    chunk = shell.changelog()
    assert chunk.key[len(chunk) - 1] == MARKER_KEY
    progress = Progress()
    changelog.apply_chunk(chunk, CustomerTable(PLAN.row_words), PLAN.offset_words, progress)
    assert (progress.covered, progress.rows) == ({"events": 3}, 2)


def test_work_goes_on_while_a_checkpoint_is_under_way_and_is_not_in_it() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann"]))
        checkpoint = asyncio.create_task(processor.checkpoint())
        await settle()
        await processor.process(message(1, ["ann", "ann"]))
        await settle()
        assert shell.happened.count("send out") == 2
        for i in range(4):
            await settle()
            shell.acknowledge(i)
        await checkpoint
        assert "done 1" in shell.happened
        assert "done 3" not in shell.happened

    shell = run(scenario)
    rows = Progress()
    table = CustomerTable(PLAN.row_words)
    changelog.apply_chunk(shell.changelog(), table, PLAN.offset_words, rows)
    next_offset = table.state.view(np.int64)[0, PLAN.offset_words]
    assert next_offset.tolist() == [1]  # the row as of the first chunk, though two more were added


@pytest.mark.parametrize("later", [0, 1])
def test_a_failed_decision_is_the_end_and_nothing_is_done(later: int) -> None:
    """Nor is it forgotten when later sends succeed; what a crash leaves is counted."""

    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        for first in range(1 + later):
            await processor.process(message(first, ["ann"]))
        await settle()
        shell.sent[0][2].set_exception(ConnectionError("broker gone"))
        if later:
            shell.acknowledge(1)
        await settle()
        with pytest.raises(ConnectionError):
            await asyncio.wait_for(processor.checkpoint(), 1)
        with pytest.raises(ConnectionError):  # as when the crash stops the worker
            await processor.drain()
        await processor.close()
        assert processor.uncommitted == 1 + later

    shell = run(scenario)
    assert [str(error) for error in shell.failed] == ["broker gone"]
    assert "send log" not in shell.happened
    assert not [what for what in shell.happened if what.startswith("done")]


def test_drain_finishes_what_is_in_work() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"]))
        await processor.drain()
        assert shell.happened[-1] == "done 1"
        await processor.process(message(1, ["ann"]))  # of the drained generation: not taken
        assert shell.happened.count("send out") == 1
        shell.generation = 2
        begin(processor, {"events": 1}, {"events": 2}, shell.changelog())
        await processor.process(message(1, ["ann"], generation=2))
        await processor.drain()
        assert shell.happened[-1] == "done 2"

    assert not run(scenario).failed


def test_drain_abandons_at_the_deadline_and_the_state_with_it() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann"]))
        await processor.drain()
        assert processor.blocks.get(0) is None
        shell.acknowledge(0)  # too late
        await settle()

    shell = run(scenario)
    assert not shell.failed
    assert "send log" not in shell.happened
    assert not [what for what in shell.happened if what.startswith("done")]


def test_chunks_of_an_earlier_generation_are_not_taken() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"], generation=0))
        await processor.checkpoint()

    assert run(scenario).happened == []


def test_a_replay_decides_only_what_was_not_covered() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann", "bob"]))
        await processor.drain()
        # Another worker restores the partition, and is handed the events from the start.
        other = Processor(CAMPAIGN, PLAN, "log", shell)
        await other.deploy(deployment())
        shell.generation = 2
        log = shell.changelog()
        assert begin(other, {"events": None}, {"events": 3}, log) == {"events": 2}
        await other.process(message(0, ["ann", "bob", "ann"], generation=2))
        await settle()
        decisions = [batch.records for topic, batch, _ in shell.sent if topic == "out"]
        assert decisions == [2, 1]
        assert other.window.records == 1  # what is covered is cut off
        await other.close()

    run(scenario)


def test_a_new_layout_rebuilds_silently_up_to_the_commit() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        assert begin(processor, {"events": 2}, {"events": 3}) == {"events": 0}
        await processor.process(message(0, ["ann", "bob", "ann"]))
        await processor.drain()
        decisions = [batch.records for topic, batch, _ in shell.sent if topic == "out"]
        assert decisions == [1]
        assert processor.blocks.rows == 2

    run(scenario)


@pytest.mark.parametrize("lost", [False, True])
def test_partitions_that_are_given_up_are_told_also_without_work(
    caplog: pytest.LogCaptureFixture, lost: bool
) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.drain(lost=lost)
        await processor.drain(lost=lost)  # none is held any more

    with caplog.at_level("INFO", "opportune"):
        run(scenario)
    told = [vars(r) for r in caplog.records if vars(r).get("evt") in ("drained", "abandoned")]
    assert [line["evt"] for line in told] == ["abandoned" if lost else "drained"]
    assert (told[0]["fields"]["partitions"], told[0]["fields"]["chunks"]) == ("0", 0)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_chunks_that_were_given_up_are_counted(checkpointing: bool) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann"]))
        await processor.process(message(1, ["ann"]))
        waiting = asyncio.create_task(processor.checkpoint()) if checkpointing else None
        if waiting:
            await settle()
            assert processor.pending() == 2
        await processor.drain()
        await processor.close()
        assert processor.uncommitted == 2
        begin(processor, {"events": None}, {"events": 2})
        assert processor.uncommitted == 0
        if waiting:
            await waiting

    run(scenario)


def test_a_customer_is_found_by_text_and_by_bytes() -> None:
    async def scenario(_: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"]))
        customers = CustomerView(processor.blocks, PLAN.describe)
        assert customers[b"ann"] == customers["ann"]
        assert cast(Any, b"ann") in customers
        assert cast(Any, b"bob") not in customers
        with pytest.raises(KeyError):
            customers[b"\xff"]

    run(scenario)


def test_a_chunk_that_came_during_a_checkpoint_is_done_by_the_next() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        shell.auto = False
        await processor.process(message(0, ["ann"]))
        checkpoint = asyncio.create_task(processor.checkpoint())
        await settle()
        await processor.process(message(1, ["bob"]))
        shell.auto = True
        for i in range(len(shell.sent)):
            if not shell.sent[i][2].done():
                shell.acknowledge(i)
                await settle()
        await checkpoint
        assert processor.pending() == 1
        await processor.checkpoint()
        assert processor.pending() == 0
        assert [what for what in shell.happened if what.startswith("done")] == ["done 1", "done 2"]

    run(scenario)
