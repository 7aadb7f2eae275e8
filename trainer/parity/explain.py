"""Which cause applies, decision by decision and customer by customer.

Pure: arrays in, arrays out, but for the registry that `Bundles` asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stream.columns import Bools, Int64s, RecordChunk, Reject
from stream.record_order import places
from stream.state.marker import Stretch
from trainer.history.topics import Extent
from trainer.parity.bundles import Bundles
from trainer.parity.causes import Cause
from trainer.parity.logged import Logged

COMPARABLE = -1
"""In the place of a cause: nothing speaks against comparing."""


@dataclass(frozen=True, slots=True)
class Holds:
    """What one partition holds.

    Attributes:
        partition: Its number.
        decisions: Of the decision topic.
        events: Of each event topic, in the order of the campaign file.
        archived: By topic, before which offset its events come from an archive; what is missing
            there was erased, or lost before it was archived.
        caught_up: What workers caught up with.
    """

    partition: int
    decisions: Extent
    events: Sequence[Extent]
    archived: Sequence[int] = ()
    caught_up: Sequence[Stretch] = ()


def before_replay(logged: Logged, holds: Holds, bundles: Bundles) -> Int64s:
    """What the decisions themselves and the registry tell; of several causes the last.

    Returns:
        A cause or COMPARABLE. Shape (n,), int64.
    """
    cause = np.where(logged.vector < 0, int(Cause.NO_VECTOR), COMPARABLE)
    pairs = np.stack([logged.model, logged.contract], axis=1)
    for model, contract in np.unique(pairs, axis=0).tolist():
        why = bundles.cause(model, contract)
        if why is not None:
            cause[(logged.model == model) & (logged.contract == contract)] = why
    cause[_removed(logged, holds)] = Cause.EVENT_REMOVED
    cause[logged.topic < 0] = Cause.OTHER_TOPIC
    return cause


def without_event(
    logged: Logged, holds: Holds, found: Bools, refused: Sequence[Sequence[int]]
) -> Int64s:
    """Why no event was found.

    Args:
        logged: n decisions.
        holds: Which partition they are in.
        found: Whether the event of each was replayed. Shape (n,), bool.
        refused: By topic the places of events whose time was too far ahead.

    Returns:
        A cause, COMPARABLE where the event was found. Shape (n,), int64.
    """
    cause = np.where(found, COMPARABLE, int(Cause.NO_EVENT))
    here = logged.partition == holds.partition
    archived = np.array([*(holds.archived or [0] * len(holds.events)), 0])
    cause[~found & here & (logged.offset < archived[logged.topic])] = Cause.EVENT_REMOVED
    for topic, at in enumerate(refused):
        is_refused = here & (logged.topic == topic) & np.isin(logged.place, at)
        cause[~found & is_refused] = Cause.EVENT_REFUSED
    return cause


def by_customer(
    logged: Logged,
    holds: Holds,
    lost: Int64s,
    doubtful: Bools,
    *,
    all_decide: bool,
    has_gaps: bool,
) -> Int64s:
    """Why the vectors of a customer may differ; of several causes the last.

    Args:
        logged: n decisions.
        holds: Where the topics begin.
        lost: Why no event was found, of `without_event`, or that it is repeated. Shape (n,), int64.
        doubtful: Customers whose order of events is not known. Shape (rows,), bool.
        all_decide: Whether every event asks for a decision.
        has_gaps: Whether events are known to be missing in the middle of a topic.

    Returns:
        A cause, DIFFERENT where nothing explains it. Shape (rows,), int64.
    """
    cause = np.full(len(doubtful), int(Cause.DIFFERENT))
    cause[logged.row[lost == Cause.EVENT_REFUSED]] = Cause.STATE_OF_REFUSED
    cause[logged.row[lost == Cause.EVENT_REPEATED]] = Cause.STATE_OF_REPEATED
    cause[doubtful] = Cause.ORDER_UNKNOWN
    cause[logged.row[_removed(logged, holds) | (lost == Cause.EVENT_REMOVED)]] = Cause.HISTORY_CUT
    is_cut = has_gaps or any(extent.begin > 0 for extent in holds.events)
    # With a decision about every event it is known who had one that was removed.
    if is_cut and not (all_decide and holds.decisions.begin == 0):
        cause[:] = Cause.HISTORY_CUT
    return cause


def repeats(logged: Logged) -> tuple[Int64s, Int64s]:
    """Decisions published again, and for each the one before it about the same event.

    Of one event by one model they come in the order of publication. Shape (k,) each, int64.
    """
    place = (logged.model, logged.element, logged.offset, logged.partition, logged.topic)
    order = np.lexsort(place)
    event = np.stack(place[1:], axis=1)[order]
    again = np.flatnonzero((event[1:] == event[:-1]).all(axis=1)) + 1
    return order[again], order[again - 1]


def refused_places(chunk: RecordChunk, rejects: Sequence[Reject]) -> Int64s:
    """Places of what was refused of a chunk. Shape (k,), int64."""
    record = np.array([one.record for one in rejects], np.int64)
    element = [-1 if one.element is None else one.element.index for one in rejects]
    return places(chunk.offset[record], np.array(element, np.int64))


def _removed(logged: Logged, holds: Holds) -> Bools:
    """Decisions about events of before the beginning of their topic. Shape (n,), bool."""
    begins = np.array([*(extent.begin for extent in holds.events), 0])
    here = logged.partition == holds.partition
    removed: Bools = here & (logged.offset < begins[logged.topic])
    return removed
