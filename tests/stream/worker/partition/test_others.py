"""What others write to a changelog while its owner runs: nothing is lost by it, nobody comes back."""

from __future__ import annotations

from stream.features.plan import compile_features
from stream.state import changelog
from stream.state.marker import MARKER_KEY
from stream.worker.processor import Processor
from tests.stream.state.test_changelog import filled
from tests.stream.worker.processor_harness import (
    PLAN,
    TWO_TOPICS,
    Shell,
    block_of,
    message,
    run,
)

MARKER = MARKER_KEY


def row(offset: int) -> bytes:
    """A row that has seen the events before an offset, and nothing else that is true."""
    words = [0] * PLAN.row_words
    words[PLAN.offset_words.start] = offset
    table = filled({b"x": words}, PLAN.row_words)
    return changelog.encode_rows(table, table.live)[1][0] or b""


def written(shell: Shell, since: int) -> list[tuple[bytes | None, bool]]:
    """Keys of what is in the changelog from an offset on, and whether it is a row."""
    log = shell.changelog()
    return [(log.key[i], log.value[i] is not None) for i in range(since, len(log))]


async def begun(shell: Shell, processor: Processor) -> None:
    """Three customers, durable: offsets 0 to 3 of the changelog."""
    await processor.process(message(0, ["ann", "bob", "cleo"]))
    await processor.checkpoint()
    assert block_of(processor).changelog_end == 3


def test_a_row_that_was_overwritten_is_written_again_and_no_other() -> None:
    """It has seen less, but as the newer one it would be all that compaction leaves."""

    async def scenario(shell: Shell, processor: Processor) -> None:
        await begun(shell, processor)
        shell.foreign((b"bob", row(1)), (MARKER, b'{"version":1,"covered":{"events":1}}'))
        await processor.process(message(3, ["ann"]))
        await processor.checkpoint()
        assert written(shell, 6) == [(b"ann", True), (MARKER, True)]
        await processor.checkpoint()
        assert written(shell, 8) == [(b"bob", True), (MARKER, True)]
        await processor.checkpoint()
        assert len(written(shell, 8)) == 2

    run(scenario)


def test_a_partition_without_events_finds_out_too() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await begun(shell, processor)
        shell.foreign((b"bob", row(1)))
        await processor.checkpoint()
        assert written(shell, 5) == []
        await processor.checkpoint(assure=True)
        await processor.checkpoint()
        assert written(shell, 5) == [(MARKER, True), (b"bob", True), (MARKER, True)]

    run(scenario)


def test_who_is_erased_is_gone_and_stays_gone() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await begun(shell, processor)
        await processor.process(message(3, ["bob"]))  # a row of bob follows the tombstone
        shell.foreign((b"bob", None))
        await processor.checkpoint()
        assert block_of(processor).table.find(b"bob") < 0
        assert written(shell, 4) == [(b"bob", False), (b"bob", True), (MARKER, True)]
        await processor.checkpoint()
        assert written(shell, 7) == [(b"bob", False), (MARKER, True)]
        assert shell.markers()[-1].rows == 2
        await processor.checkpoint(assure=True)
        assert written(shell, 9) == [(MARKER, True)]

    run(scenario)


def test_a_worker_that_lost_the_partition_does_not_bring_back_who_was_erased() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await begun(shell, processor)
        shell.foreign((b"bob", None))
        await processor.checkpoint(assure=True)
        await processor.checkpoint()
        end = len(shell.changelog())
        shell.foreign((b"bob", row(2)), (b"dora", row(9)))  # dora's events are still to come
        await processor.checkpoint(assure=True)
        await processor.checkpoint()
        assert written(shell, end + 2) == [(MARKER, True), (b"bob", False), (MARKER, True)]

    run(scenario)


def test_who_was_erased_and_comes_back_begins_with_nothing() -> None:
    async def scenario(shell: Shell, processor: Processor) -> None:
        await begun(shell, processor)
        shell.foreign((b"bob", None))
        await processor.checkpoint(assure=True)
        end = len(shell.changelog())
        await processor.process(message(3, ["bob", "dora"]))
        await processor.checkpoint()
        # The row takes the place of the tombstone, which would erase it.
        assert written(shell, end) == [(b"bob", True), (b"dora", True), (MARKER, True)]
        table = block_of(processor).table
        assert (len(table), shell.markers()[-1].rows) == (4, 4)
        bob, dora = table.find(b"bob"), table.find(b"dora")
        words = slice(PLAN.offset_words.stop, PLAN.layout.ring)
        assert table.state[bob, words].tobytes() == table.state[dora, words].tobytes()

    run(scenario)


def test_a_row_of_which_one_topic_is_still_to_come_is_left_alone() -> None:
    plan = compile_features(TWO_TOPICS)

    def seen(events: int, mails: int) -> bytes:
        words = [0] * plan.row_words
        words[plan.offset_words] = [events, mails]
        table = filled({b"x": words}, plan.row_words)
        return changelog.encode_rows(table, table.live)[1][0] or b""

    async def scenario(shell: Shell, processor: Processor) -> None:
        await processor.process(message(0, ["ann"] * 3))
        await processor.process(message(0, ["ann"], topic="mails"))
        await processor.checkpoint()
        end = len(shell.changelog())
        shell.foreign((b"dora", seen(2, 5)), (b"emil", seen(4, 1)), (b"finn", seen(3, 1)))
        await processor.checkpoint(assure=True)
        await processor.checkpoint()
        # All of finn's events were taken, so that he was erased before.
        assert written(shell, end + 3) == [(MARKER, True), (b"finn", False), (MARKER, True)]

    run(scenario, TWO_TOPICS)
