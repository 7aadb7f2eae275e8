"""Events that a sender sends again, in a worker: they count once and are decided once."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from stream.state import changelog
from stream.state.marker import Progress
from stream.state.table import CustomerTable
from stream.worker.processor import Processor
from tests.stream.worker.processor_harness import (
    CAMPAIGN,
    PLAN,
    TWO_TOPICS,
    Shell,
    begin,
    block_of,
    message,
    run,
    settle,
)


def offsets_of(shell: Shell) -> list[int]:
    """Next offsets in the only row that a restore of the changelog gives."""
    table = CustomerTable(PLAN.row_words)
    changelog.apply_chunk(shell.changelog(), table, PLAN.offset_words, Progress())
    return [int(word) for word in table.state.view(np.int64)[0, PLAN.offset_words]]


def again(first: int, of: int, customers: list[str], topic: str = "events") -> object:
    """The records from offset `of` on once more, at other offsets."""
    sent = message(of, customers, topic=topic)
    chunk = sent.value
    sent.offset = first
    moved = chunk.offset + (first - of)
    sent.value = type(chunk)(
        chunk.topic, chunk.partition, moved, chunk.timestamp_ms, chunk.key, chunk.value,
        first + len(chunk),
    )  # fmt: skip
    return sent


def test_what_comes_again_is_not_decided_and_told_of() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann", "bob"]))
        await processor.process(again(2, 0, ["ann", "bob"]))
        await processor.process(again(4, 0, ["ann"]))
        await processor.checkpoint()
        assert shell.decided() == [2]
        assert (processor.window.duplicates, processor.window.replayed) == (3, 0)
        assert processor.window.summary(1.0)["duplicates"] == 3

    shell = run(scenario)
    assert shell.markers()[-1].covered == {"events": 5}
    assert offsets_of(shell) == [5]


def test_the_row_of_a_repeated_event_is_written_with_its_offset() -> None:
    async def scenario(_: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"]))
        await processor.checkpoint()
        await processor.process(again(1, 0, ["ann"]))
        await processor.checkpoint()

    assert offsets_of(run(scenario)) == [2]


@pytest.mark.parametrize("durable", [True, False])
def test_after_a_crash_what_comes_again_is_still_known(durable: bool) -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"]))
        if durable:
            await processor.checkpoint()
        log = shell.changelog() if durable else None
        start = begin(processor, {"events": None}, {"events": 2}, log)
        assert start == {"events": 1 if durable else 0}
        if not durable:
            await processor.process(message(0, ["ann"]))
        await processor.process(again(1, 0, ["ann"]))
        await settle()
        assert shell.decided() == ([1] if durable else [1, 1])
        assert (processor.window.duplicates, processor.window.replayed) == (1, 0)

    run(scenario)


def test_one_id_in_two_topics_is_two_events() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"]))
        await processor.process(message(0, ["ann"], topic="mails"))
        await settle()
        assert sum(shell.decided()) == 2

    run(scenario, TWO_TOPICS)


def test_who_remembers_nothing_counts_again() -> None:
    mapping = msgspec.structs.replace(CAMPAIGN.events, repeats_remembered=0)
    forgetful = msgspec.structs.replace(CAMPAIGN, events=mapping)

    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"]))
        await processor.process(again(1, 0, ["ann"]))
        await settle()
        assert shell.decided() == [1, 1]
        assert len(block_of(processor).table) == 1

    run(scenario, forgetful)
