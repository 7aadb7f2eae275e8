"""The life of a partition in a worker, as one table: every state, and every move between two.

`blocks` makes the moves and keeps the states; no other file changes one. A move that is not in the table
raises, and the worker ends: it would go on with a state that nobody has thought of.

| state | the block of the partition |
| --- | --- |
| absent | there is none |
| kept | is whole as of its newest marker; nothing is taken, and others may own it |
| restoring | is a part of the changelog, or is read on from its marker |
| active | is whole, and events are taken |
| draining | takes nothing more; what was taken is made durable until the deadline, `worker.revoke_deadline_s` |

Pure: no Kafka, no clock.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class State(Enum):
    """What a worker has of a partition."""

    ABSENT = "absent"
    KEPT = "kept"
    RESTORING = "restoring"
    ACTIVE = "active"
    DRAINING = "draining"


class Move(NamedTuple):
    """A row of the table.

    Attributes:
        sources: States in which it may be made.
        target: State after it.
        asked_by: Who asks for it, and when.
        does: What it does.
        crash_costs: What a crash in the middle of it costs.
    """

    sources: frozenset[State]
    target: State
    asked_by: str
    does: str
    crash_costs: str


_NOTHING = "nothing: the changelog has all of it"
_ABSENT, _KEPT, _RESTORING, _ACTIVE, _DRAINING = State

MOVES = {
    "load": Move(
        frozenset({_ABSENT}),
        _KEPT,
        "the store, before a restore: there is a snapshot on disk",
        "takes the block of the snapshot, which is gone from the disk then",
        "the time to read all of the changelog",
    ),
    "restore": Move(
        frozenset({_ABSENT, _KEPT, _RESTORING}),
        _RESTORING,
        "the recovery, when a generation of the group has assigned the partition; again when the "
        "marker of what was kept does not stand in the changelog",
        "begins at the marker of what was kept, else with an empty block at the first record",
        _NOTHING,
    ),
    "begin": Move(
        frozenset({_RESTORING}),
        _ACTIVE,
        "the consumer, before it seeks the event topics",
        "checks that the block is whole, and sets the offsets that are to come",
        _NOTHING,
    ),
    "drain": Move(
        frozenset({_ACTIVE}),
        _DRAINING,
        "the consumer, when the group takes the partitions back, or the worker stops",
        "takes no chunk any more; the last checkpoint is made",
        "decisions since the last checkpoint are published again, the same",
    ),
    "keep": Move(
        frozenset({_DRAINING}),
        _KEPT,
        "the processor, when everything is durable before the deadline",
        "keeps the block: the partition may come back, or a snapshot is made of it",
        _NOTHING,
    ),
    "drop": Move(
        frozenset(State),
        _ABSENT,
        "the processor, when the partition was lost or the deadline has passed; the store, when it "
        "belongs to another worker",
        "throws the block away, with what was not made durable: it is read again",
        _NOTHING,
    ),
}


class IllegalMove(RuntimeError):
    """A move that is not in the table: a fault of the worker."""


def after(state: State, move: str) -> State:
    """The state after a move.

    Raises:
        IllegalMove: It may not be made in this state.
    """
    row = MOVES[move]
    if state not in row.sources:
        allowed = ", ".join(sorted(source.value for source in row.sources))
        raise IllegalMove(
            f"expected a partition that is {allowed} to {move}, got one {state.value}"
        )
    return row.target
