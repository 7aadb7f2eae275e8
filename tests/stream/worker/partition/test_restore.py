"""A partition is whole or absent: what begins in the middle, ends early or lacks rows is never taken."""

from __future__ import annotations

import numpy as np
import pytest

from stream.columns import RecordChunk, Spans, split
from stream.errors import StateError
from stream.state import changelog
from stream.state.marker import MARKER_KEY, Progress, encode_marker
from stream.state.table import CustomerTable
from stream.worker.partition.block import Block
from stream.worker.partition.blocks import Blocks
from stream.worker.partition.lifecycle import IllegalMove
from stream.worker.partition.restore import NotRestored, Unproven
from tests.stream.worker.processor_harness import placed

WORDS = 3
OFFSETS = slice(0, 1)
Record = tuple[bytes, bytes | None]


def row(name: str, offset: int) -> Record:
    table = CustomerTable(WORDS)
    table.rows_for(Spans.of([name.encode()]))
    table.state.view(np.int64)[0] = [offset, 7, 8]
    key, value = changelog.encode_rows(table, table.live)
    return key[0] or b"", value[0]


def marker(covered: int, rows: int) -> Record:
    progress = Progress({"events": covered}, [], rows)
    return MARKER_KEY, encode_marker(progress)


def log(*records: Record, first: int = 0) -> RecordChunk:
    key, value = zip(*records, strict=True)
    return placed(Spans.of(list(key)), Spans.of(list(value)), first)


WHOLE = log(row("ann", 1), row("bob", 2), marker(2, 2), row("ann", 3), marker(3, 2))


def restored(blocks: Blocks, chunk: RecordChunk, first: int = 0) -> Block:
    """The block of partition 0 after a restore of all of a changelog."""
    blocks.restore(0, first, chunk.next_offset)
    assert found(blocks).read(first, chunk, OFFSETS) is None
    return whole(blocks)


def found(blocks: Blocks) -> Block:
    """The block of partition 0."""
    block = blocks.get(0)
    assert block is not None
    return block


def next_offset(blocks: Blocks) -> int:
    """Where the restore of partition 0 goes on."""
    restore = found(blocks).restore
    assert restore is not None
    return restore.next_offset


def whole(blocks: Blocks) -> Block:
    """The block of partition 0, kept after it had begun and was given up again."""
    block = blocks.begin(0, "log/0", {"events": None}, {"events": 0})
    blocks.drain()
    blocks.keep()
    return block


def test_a_partition_that_is_not_here_is_read_from_the_first_record() -> None:
    blocks = Blocks(WORDS)
    assert blocks.restore(0, 0, 5) is None
    block = found(blocks)
    for _ in range(2):
        assert block.read(2, split(WHOLE, 2)[1], OFFSETS) == 0
        assert len(block.table) == 0
    assert block.read(0, split(WHOLE, 3)[0], OFFSETS) is None
    with pytest.raises(NotRestored, match=r"up to offset 5 .* got one up to 3"):
        whole(blocks)
    assert block.read(0, WHOLE, OFFSETS) is None  # what was read before does not count twice
    assert whole(blocks) is block
    assert (len(block.table), block.progress.covered) == (2, {"events": 3})
    with pytest.raises(IllegalMove, match="that is restoring to begin, got one kept"):
        whole(blocks)


def test_what_was_dropped_is_read_from_the_first_record_again() -> None:
    blocks = Blocks(WORDS)
    restored(blocks, WHOLE)
    blocks.drop(0)
    blocks.restore(0, 0, 5)
    assert (next_offset(blocks), len(found(blocks).table)) == (0, 0)


def test_what_was_kept_goes_on_at_its_marker() -> None:
    blocks = Blocks(WORDS)
    restored(blocks, WHOLE)
    more = log(marker(3, 2), row("cleo", 9), marker(9, 3), first=4)
    assert blocks.restore(0, 0, 7) is None
    assert next_offset(blocks) == 4
    assert found(blocks).read(4, more, OFFSETS) is None
    assert len(whole(blocks).table) == 3


@pytest.mark.parametrize(
    "other",
    [
        log(marker(3, 3), row("cleo", 9), first=4),
        log(row("cleo", 9), marker(3, 2), first=4),
        log(marker(3, 2), first=5),
    ],
)
def test_what_was_kept_is_not_used_when_another_record_stands_there(other: RecordChunk) -> None:
    blocks = Blocks(WORDS)
    block = restored(blocks, WHOLE)
    blocks.restore(0, 0, 6)
    with pytest.raises(Unproven, match="does not stand at offset 4"):
        block.read(4, other, OFFSETS)


@pytest.mark.parametrize(("first", "end"), [(0, 4), (5, 9), (0, 0)])
def test_what_was_kept_is_not_used_when_the_changelog_does_not_reach_it(
    first: int, end: int
) -> None:
    blocks = Blocks(WORDS)
    kept = restored(blocks, WHOLE)
    assert "as of offset 4" in (blocks.restore(0, first, end) or "")
    assert blocks.get(0) is not kept


def test_what_is_ahead_of_its_marker_is_not_kept() -> None:
    blocks = Blocks(WORDS)
    kept = restored(blocks, WHOLE)
    kept.position["events"] = 4
    assert "not what a marker says" in (blocks.restore(0, 0, 5) or "")
    assert blocks.get(0) is not kept


@pytest.mark.parametrize("missing", ["ann", "bob"])
def test_fewer_rows_than_the_marker_counts_are_refused(missing: str) -> None:
    records = [row(name, 1) for name in ("ann", "bob") if name != missing]
    with pytest.raises(StateError, match=r"log/0: expected the 2 rows .* got 1.*Operator action"):
        restored(Blocks(WORDS), log(*records, marker(2, 2)))


def test_a_customer_who_was_erased_after_the_marker_is_not_missing() -> None:
    chunk = log(row("ann", 1), row("bob", 2), marker(2, 2), (b"bob", None))
    assert len(restored(Blocks(WORDS), chunk).table) == 1
    chunk = log(row("ann", 1), (b"bob", None), marker(2, 2))
    with pytest.raises(StateError, match="expected the 2 rows"):
        restored(Blocks(WORDS), chunk)


def test_rows_without_a_marker_are_whole_only_from_the_very_beginning() -> None:
    """A worker that was killed in its first checkpoint leaves them."""
    assert len(restored(Blocks(WORDS), log(row("ann", 1))).table) == 1
    with pytest.raises(StateError, match="expected a marker in offsets 7 to 8, got rows alone"):
        restored(Blocks(WORDS), log(row("ann", 1), first=7), first=7)


def test_a_changelog_that_holds_nothing_is_whole() -> None:
    blocks = Blocks(WORDS)
    blocks.restore(0, 0, 0)
    assert len(whole(blocks).table) == 0
