"""Of two workers that believe a partition theirs, one at most decides in an order of its own."""

from __future__ import annotations

import pytest

from stream.state.marker import MARKER_KEY, Progress, encode_marker
from stream.worker.processor import Processor
from tests.stream.worker.processor_harness import (
    TWO_TOPICS,
    Shell,
    block_of,
    message,
    run,
    settle,
)

OLDER, OWN, NEWER = 3, 4, 5


def announced(generation: int) -> tuple[bytes, bytes]:
    progress = Progress(order=[("mails", 7)], generation=generation)
    return MARKER_KEY, encode_marker(progress)


def decided_after(record: tuple[bytes, bytes | None], *, is_first: bool) -> Shell:
    """One event of each topic, with a record of somebody else before one's own announcement."""

    async def scenario(shell: Shell, processor: Processor) -> None:
        block_of(processor).progress.generation = OWN
        if not is_first:
            await processor.process(message(0, ["ann"], topic="mails"))
            await settle()
            assert shell.decided() == [1]
        shell.foreign(record)
        await processor.process(message(0, ["bob"]))
        await settle()
        if "rejoin" in shell.happened:
            await processor.drain()
            assert processor.blocks.get(0) is None

    return run(scenario, TWO_TOPICS)


@pytest.mark.parametrize(
    ("record", "is_first"),
    [(announced(OLDER), True), (announced(NEWER), True), (announced(NEWER), False)],
)
def test_who_was_overtaken_publishes_nothing_and_joins_again(
    record: tuple[bytes, bytes], is_first: bool
) -> None:
    shell = decided_after(record, is_first=is_first)
    assert shell.happened.count("rejoin") == 1
    assert sum(shell.decided()) == (0 if is_first else 1)


@pytest.mark.parametrize(
    ("record", "is_first"),
    [(announced(OLDER), False), ((b"eve", None), True), ((b"eve", None), False)],
)
def test_what_is_no_claim_stops_nobody(record: tuple[bytes, bytes | None], is_first: bool) -> None:
    shell = decided_after(record, is_first=is_first)
    assert "rejoin" not in shell.happened
    assert sum(shell.decided()) == (1 if is_first else 2)


def test_a_claim_that_a_checkpoint_has_read_counts_as_well() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        block_of(processor).progress.generation = OWN
        await processor.process(message(0, ["ann"], topic="mails"))
        await settle()
        shell.foreign(announced(NEWER))
        await processor.checkpoint()
        await processor.process(message(0, ["bob"]))
        await settle()

    assert run(scenario, TWO_TOPICS).decided() == [1]
