"""Whose events may have been taken in another order than that of the replay.

What there is when it begins a worker catches up with in the order of the replay, and says so in the marker
of its changelog ("a stretch"). What comes later it takes as it arrives, which nothing records. But an event
cannot be taken before it was appended, nor after the first decision about a later event of its topic
was made, nor before the last one about an earlier event. Where these bounds of two events do not
overlap their order is known. A customer with a pair of events from two topics whose order is not
known to be that of the replay may have had other features; nobody else. Two events of one stretch are
never such a pair.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from stream.columns import Bools, Int64s
from trainer.parity.logged import Logged
from trainer.replay.replay_order import Run

CLOCKS_DIFFER_MS = 1000
"""By how much the clocks of producers, brokers and workers may differ."""

_NONE = -1
_NEVER, _ALWAYS = np.iinfo(np.int64).min // 4, np.iinfo(np.int64).max // 4


class Taken:
    """When the events of one topic can have been taken.

    Args:
        offset: Offsets of the decided events, rising; several times when repeated. Shape (n,), int64.
        decided_ms: When each was decided; of one event, the first publication first.
            Shape (n,), int64.
    """

    def __init__(self, offset: Int64s, decided_ms: Int64s) -> None:
        self._offset, first = np.unique(offset, return_index=True)
        decided_ms = decided_ms[first]  # a repeat only tells when the event was taken again
        self._latest_ms = np.append(np.minimum.accumulate(decided_ms[::-1])[::-1], _ALWAYS)
        self._earliest_ms = np.append(_NEVER, np.maximum.accumulate(decided_ms))

    def bounds_ms(self, run: Run) -> tuple[Int64s, Int64s]:
        """Earliest and latest time at which each event was taken. Shape (n,) each, int64."""
        offset = run.batch.offset
        earliest_ms = self._earliest_ms[np.searchsorted(self._offset, offset, side="right")]
        latest_ms = self._latest_ms[np.searchsorted(self._offset, offset)]
        return np.maximum(earliest_ms, run.batch.received_ms), latest_ms


class OrderCheck:
    """Goes along with a replay of several topics and finds the customers in doubt.

    Args:
        logged: The decisions of the partition.
        about: By topic, which of them are about its events, by offset.
        stretches: By topic, for each stretch its first offset and the one after its last. Shape (k, 2),
            int64.
    """

    def __init__(
        self, logged: Logged, about: Sequence[Int64s], stretches: Sequence[Int64s] = ()
    ) -> None:
        self._taken = [Taken(logged.offset[index], logged.decided_ms[index]) for index in about]
        self._stretches = stretches or [np.zeros((0, 2), np.int64)] * len(about)
        # Of each customer, by topic: of the stretch it was in last, and of everything else.
        self._within_ms = np.full((0, len(about)), _NEVER, np.int64)
        self._latest_ms = np.full((0, len(about)), _NEVER, np.int64)
        self._stretch = np.full(0, _NONE)
        self._doubtful = np.zeros(0, np.bool_)

    def follow(self, run: Run, rows: int) -> None:
        """Takes the next events of the replay.

        Args:
            run: Events of one topic.
            rows: Customers that the table has now.
        """
        if len(self._taken) == 1:
            return
        self._make_room(rows)
        stretch = self._stretch_of(run)
        for k in np.unique(stretch).tolist():
            self._follow(run.take(np.flatnonzero(stretch == k)), k)

    def _stretch_of(self, run: Run) -> Int64s:
        """Which stretch each event is in, _NONE for none. Shape (n,), int64."""
        stretch = np.full(len(run.row), _NONE)
        for k, (first, end) in enumerate(self._stretches[run.topic].tolist()):
            stretch[(run.batch.offset >= first) & (run.batch.offset < end)] = k
        return stretch

    def _follow(self, run: Run, stretch: int) -> None:
        """Events of one topic, all of one stretch or all of none."""
        row, topic = run.row, run.topic
        earliest_ms, latest_ms = self._taken[topic].bounds_ms(run)
        left = row[self._stretch[row] != stretch]  # the order among these is known no more
        self._latest_ms[left] = np.maximum(self._latest_ms[left], self._within_ms[left])
        self._within_ms[left] = _NEVER
        self._stretch[left] = stretch
        others_ms = np.delete(self._latest_ms[row], topic, axis=1).max(axis=1)
        self._doubtful[row[others_ms + CLOCKS_DIFFER_MS >= earliest_ms]] = True
        seen_ms = self._latest_ms if stretch == _NONE else self._within_ms
        np.maximum.at(seen_ms[:, topic], row, latest_ms)

    def doubtful(self, rows: int) -> Bools:
        """Customers whose order is not known to be that of the replay. Shape (rows,), bool."""
        self._make_room(rows)
        return self._doubtful[:rows]

    def _make_room(self, rows: int) -> None:
        more = rows - len(self._doubtful)
        if more > 0:
            more += rows // 4
            room = ((0, more), (0, 0))
            self._latest_ms = np.pad(self._latest_ms, room, constant_values=_NEVER)
            self._within_ms = np.pad(self._within_ms, room, constant_values=_NEVER)
            self._stretch = np.pad(self._stretch, (0, more), constant_values=_NONE)
            self._doubtful = np.pad(self._doubtful, (0, more))
