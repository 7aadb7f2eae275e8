"""When the row of who is forgotten is erased: not while an event of before its tombstone may come again."""

from __future__ import annotations

import numpy as np
import pytest

from stream.columns import Spans
from stream.state.table import CustomerTable
from stream.worker.partition.block import Block

OFFSETS = slice(2, 4)
"""Of two topics, in rows of a clock, an oldest time, the offsets, and two other words."""


def block_of(*rows: list[int]) -> Block:
    table = CustomerTable(6)
    names = [b"c-%d" % i for i in range(len(rows))]
    numbers = table.rows_for(Spans.of(names))
    table.state.view(np.int64)[:] = rows
    table.mark_emptied(numbers, numbers)
    return Block(table)


def covered(*offsets: int) -> np.ndarray:
    return np.array(offsets, np.int64)


@pytest.mark.parametrize(
    ("row", "is_gone"),
    [([0, 0, 5, 3, 0, 0], True), ([0, 0, 6, 3, 0, 0], False), ([0, 0, 5, 4, 0, 0], False),
     ([9, 9, 5, 3, 1, 0], False), ([0, 0, 5, 3, 0, 7], False)],
    ids=["covered", "beyond", "beyond in the other topic", "has come back", "has objected"],
)  # fmt: skip
def test_a_row_is_erased_when_nothing_of_it_is_left_and_nothing_comes_again(
    row: list[int], is_gone: bool
) -> None:
    block = block_of(row)
    assert block.has_unwritten
    block.let_go(covered(5, 3), OFFSETS)
    assert (len(block.table) == 0, block.erased == {b"c-0"}) == (is_gone, is_gone)
    waits = row[2] > 5 or row[3] > 3
    assert block.table.forgotten == ({0} if waits else set())
    block.let_go(covered(9, 9), OFFSETS)
    assert (len(block.table) == 0) == (is_gone or waits)


def test_rows_of_which_offsets_alone_are_left_are_found_after_a_restore() -> None:
    block = block_of([0, 0, 5, 3, 0, 0], [9, 9, 5, 3, 0, 0], [0, 0, 1, 0, 0, 0], [0, 0, 5, 3, 2, 0])
    block.table.forgotten.clear()
    block.table.erase(np.array([2]))
    block.find_forgotten(OFFSETS)
    assert block.table.forgotten == {0}
