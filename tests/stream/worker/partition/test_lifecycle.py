"""The table of a partition's life, walked at random beside a slow model of what must come of it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.columns import Spans
from stream.state import changelog
from stream.state.marker import MARKER_KEY, Anchor, encode_marker
from stream.worker.partition.block import Block
from stream.worker.partition.blocks import Blocks
from stream.worker.partition.lifecycle import MOVES, IllegalMove, State, after
from stream.worker.partition.restore import NotRestored, Unproven
from tests.stream.worker.partition.test_restore import OFFSETS, WORDS, Record, log

NAMES = st.sampled_from(["ann", "bob", "cleo", "dora"])
ALLOWED = {
    "load": "absent",
    "restore": "absent kept restoring",
    "begin": "restoring",
    "drain": "active",
    "keep": "draining",
    "drop": "absent kept restoring active draining",
}


def test_what_is_not_in_the_table_raises() -> None:
    assert {name: set(words.split()) for name, words in ALLOWED.items()} == {
        name: {state.value for state in move.sources} for name, move in MOVES.items()
    }
    for name, move in MOVES.items():
        for state in State:
            if state in move.sources:
                assert after(state, name) is move.target
            else:
                with pytest.raises(IllegalMove, match=f"to {name}, got one {state.value}"):
                    after(state, name)


def test_every_row_says_who_asks_what_happens_and_what_a_crash_costs() -> None:
    assert all(m.asked_by and m.does and m.crash_costs for m in MOVES.values())


class Life(RuleBasedStateMachine):
    """One partition; `truth` is what a worker that was never disturbed would have."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = Blocks(WORDS)
        self.log: list[Record] = []
        self.truth: dict[str, int] = {}
        self.durable: dict[str, int] = {}
        self.end = 0  # of the event topic
        self.covered = 0
        self.state = "absent"

    @property
    def block(self) -> Block:
        block = self.blocks.get(0)
        assert block is not None
        return block

    @precondition(lambda self: self.state in ALLOWED["restore"].split())
    @rule()
    def restore(self) -> None:
        self.blocks.restore(0, 0, len(self.log))
        self.state = "restoring"

    @precondition(lambda self: self.state == "active" or self.state == "draining")
    @rule()
    def restore_what_is_not_given_up(self) -> None:
        with pytest.raises(IllegalMove):
            self.blocks.restore(0, 0, len(self.log))

    @precondition(lambda self: self.state == "restoring" and self.log)
    @rule(start=st.integers(0, 20), size=st.integers(1, 20))
    def read(self, start: int, size: int) -> None:
        start = min(start, len(self.log) - 1)
        try:
            again = self.block.read(
                start, log(*self.log[start : start + size], first=start), OFFSETS
            )
        except Unproven:
            self.blocks.restore_all(0, 0, len(self.log))
        else:
            assert again is None or again < start

    @precondition(lambda self: self.state == "restoring")
    @rule(through=st.booleans())
    def begin(self, through: bool) -> None:
        restore = self.block.restore
        assert restore is not None
        if through and restore.remaining:
            at = restore.next_offset
            self.read(at, len(self.log))
            if self.block.restore is not restore:  # what was kept was another log's
                self.read(0, len(self.log))
        assert self.block.restore is not None
        if self.block.restore.remaining:
            with pytest.raises(NotRestored):
                self.blocks.begin(0, "log/0", {"events": None}, {"events": self.end})
            return
        self.blocks.begin(0, "log/0", {"events": None}, {"events": self.end})
        self.state = "active"
        assert self.block.position == self.block.expected == {"events": self.covered}
        for offset in range(self.covered, self.end):  # what was not covered is taken again
            self.add(next(n for n, last in self.history[::-1] if last == offset + 1), offset + 1)

    @precondition(lambda self: self.state == "active")
    @rule(name=NAMES)
    def take(self, name: str) -> None:
        self.end += 1
        self.truth[name] = self.end
        self.history.append((name, self.end))
        self.add(name, self.end)

    def add(self, name: str, end: int) -> None:
        table = self.block.table
        rows = table.rows_for(Spans.of([name.encode()]))
        if table.state.view(np.int64)[rows[0], 0] < end:
            table.state.view(np.int64)[rows[0]] = [end, 7, 8]
            table.mark_dirty(rows)
        self.block.position["events"] = self.block.expected["events"] = end

    @precondition(lambda self: self.state in ("active", "draining"))
    @rule(until=st.sampled_from(["rows", "marker"]))
    def checkpoint(self, until: str) -> None:
        block = self.block
        keys, values = changelog.encode_rows(block.table, block.table.take_dirty())
        rows: list[Record] = [(keys[i] or b"", values[i]) for i in range(len(keys))]
        self.log += rows
        self.unmarked += len(rows)
        if until == "rows":
            block.table.mark_dirty(block.table.live)  # a crash or a lost session comes in between
            return
        block.progress.covered, block.progress.rows = dict(block.position), len(block.table)
        marker = encode_marker(block.progress)
        self.log.append((MARKER_KEY, marker))
        assert block.wrote(Anchor(len(self.log) - 1, marker), self.unmarked + 1)
        self.unmarked, self.covered, self.durable = 0, self.end, dict(self.truth)

    @precondition(lambda self: self.state == "active")
    @rule()
    def drain(self) -> None:
        assert self.blocks.drain() == [0]
        assert not self.block.expected
        self.state = "draining"

    @precondition(lambda self: self.state == "draining")
    @rule()
    def keep(self) -> None:
        if self.block.has_unwritten or self.block.position["events"] != self.covered:
            self.checkpoint("marker")
        self.blocks.keep()
        self.state = "kept"

    @rule()
    def drop(self) -> None:
        self.blocks.drop(0)
        self.state, self.unmarked = "absent", 0

    @invariant()
    def it_is_in_the_state_that_the_model_says(self) -> None:
        assert self.blocks.state(0).value == self.state
        block = self.blocks.get(0)
        assert (block is not None and bool(block.expected)) == (self.state == "active")

    @invariant()
    def what_is_active_is_whole(self) -> None:
        if self.state in ("active", "draining", "kept"):
            table = self.block.table
            found = {table.key(row).decode(): row for row in table.live.tolist()}
            words = table.state.view(np.int64)
            assert {name: words[row].tolist() for name, row in found.items()} == {
                name: [end, 7, 8] for name, end in self.truth.items()
            }

    unmarked = 0

    @property
    def history(self) -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = self.__dict__.setdefault("_history", [])
        return found


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=150, stateful_step_count=40, suppress_health_check=list(HealthCheck)
)
