"""The changelog is read without a gap, whatever Faust drops on the way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from faust.types import TP

from stream.columns import RecordChunk, Spans
from stream.state import changelog
from stream.state.table import CustomerTable
from stream.worker.faust_app.factory import create_app
from stream.worker.faust_app.store import Recovery
from stream.worker.partition.lifecycle import IllegalMove
from stream.worker.partition.restore import NotRestored
from tests.stream.worker.processor_harness import CAMPAIGN, PLAN, placed

ROWS = 10


class Rig:
    """A recovery of a real app, one partition of its changelog, and what was read again."""

    def __init__(self) -> None:
        self.app = create_app(CAMPAIGN, "localhost:1")
        self.app.finalize()
        (table,) = self.app.tables.values()
        self.tp = TP(table.changelog_topic.get_topic_name(), 0)
        self.recovery = cast(Recovery, cast(Any, self.app.tables).recovery)
        self.recovery.active_tps = {self.tp}
        self.recovery.tp_to_table[self.tp] = table
        self.end = ROWS
        self.rewound: list[int] = []
        self.sought: list[int] = []
        self.app._consumer = cast(Any, self)

    async def begin(self) -> None:
        """Begins a restore, as Faust does in every rebalance that leaves the partition here."""
        offsets = self.recovery.active_offsets
        consumer = cast(Any, self)
        await self.recovery._build_offsets(consumer, {self.tp}, offsets, "active")
        await self.recovery._seek_offsets(consumer, {self.tp}, offsets, "active")

    async def earliest_offsets(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, 0)

    async def highwaters(self, *tps: TP) -> dict[TP, int]:
        return dict.fromkeys(tps, self.end)

    async def seek_wait(self, offsets: dict[TP, int]) -> None:
        self.sought += offsets.values()

    async def rewind(self, tp: TP, offset: int) -> int:
        assert tp == self.tp
        self.rewound.append(offset)
        return offset

    async def read(self, first: int, end: int, tp: TP | None = None) -> None:
        chunk = rows(tp or self.tp, first, end)
        message = SimpleNamespace(tp=tp or self.tp, offset=first, value=chunk)
        await self.recovery._apply(cast(Any, SimpleNamespace(message=message)))

    @property
    def restored(self) -> int:
        return self.app.processor.blocks.rows


def rows(tp: TP, first: int, end: int) -> RecordChunk:
    """A changelog with a row of one customer at each offset."""
    table = CustomerTable(PLAN.row_words)
    numbers = table.rows_for(Spans.of([b"c%03d" % i for i in range(first, end)]))
    return placed(*changelog.encode_rows(table, numbers), first, tp.topic, tp.partition)


def play(scenario: Callable[[Rig], Awaitable[None]]) -> Rig:
    async def main() -> Rig:
        rig = Rig()
        await rig.begin()
        await scenario(rig)
        await rig.app.processor.close()
        return rig

    return asyncio.run(main())


def test_chunks_that_follow_each_other_are_applied() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.read(0, 4)
        assert rig.recovery.need_recovery()
        await rig.read(4, ROWS)
        assert not rig.recovery.need_recovery()

    rig = play(scenario)
    assert (rig.restored, rig.rewound) == (ROWS, [])


def test_a_chunk_after_a_gap_does_not_end_the_restore() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.read(0, 4)
        await rig.read(7, ROWS)
        assert rig.recovery.need_recovery()
        await rig.read(4, ROWS)
        assert not rig.recovery.need_recovery()

    rig = play(scenario)
    assert (rig.restored, rig.rewound) == (ROWS, [4])


def test_an_old_chunk_does_not_turn_the_restore_back() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.read(0, ROWS)
        await rig.read(2, 5)
        assert not rig.recovery.need_recovery()
        assert rig.recovery.active_offsets[rig.tp] == ROWS - 1

    play(scenario)


def test_what_was_dropped_at_the_end_is_read_again() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.read(0, 4)
        await rig.recovery._read_again()
        assert rig.rewound == []  # no restore is under way
        rig.recovery.in_recovery = True
        await rig.recovery._read_again()
        assert rig.rewound == [4]
        await rig.read(4, ROWS)
        await rig.recovery._read_again()

    assert play(scenario).rewound == [4]


def test_a_partition_that_comes_straight_back_after_it_was_lost_is_read_from_the_beginning() -> (
    None
):
    """Faust takes it for one that never went, and remembers how far it was read."""

    async def scenario(rig: Rig) -> None:
        await rig.read(0, ROWS)
        rig.app.processor.begin(0, {"events": None}, {"events": 0})
        await rig.app.processor.drain(lost=True)
        await rig.begin()
        assert rig.sought == [0, 0]
        assert rig.recovery.need_recovery()
        await rig.read(6, ROWS)  # fetched before it was sought
        assert (rig.restored, rig.rewound) == (0, [0])
        await rig.read(0, ROWS)

    assert play(scenario).restored == ROWS


def test_a_chunk_that_comes_after_the_restore_changes_nothing() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.read(0, ROWS)
        rig.app.processor.begin(0, {"events": None}, {"events": 0})
        await rig.read(ROWS, ROWS + 5)

    assert play(scenario).restored == ROWS


def test_a_partition_that_begins_before_its_restore_is_through_is_a_crash() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.read(0, 4)
        with pytest.raises(NotRestored, match=r"restore up to offset 10 .* got one up to 4"):
            rig.app.processor.begin(0, {"events": None}, {"events": 0})
        with pytest.raises(IllegalMove, match="to begin, got one absent"):
            rig.app.processor.begin(1, {"events": None}, {"events": 0})

    play(scenario)


def test_a_partition_that_went_is_not_restored() -> None:
    async def scenario(rig: Rig) -> None:
        await rig.read(0, 4, TP(rig.tp.topic, 1))

    assert play(scenario).restored == 0
