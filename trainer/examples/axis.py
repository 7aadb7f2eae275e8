"""The events of many customers on one line, so that what would be a search for each customer is one.

Rules of this file
1. Time at an event is the newest event time that the customer's row had seen by then, so that an outcome
   that a late event already had in its features does not count as its future.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.columns import Bools, Int64s
from trainer.history.gaps import Extent, reach_into


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """n events of one shard in the order of their replay, as labels see them.

    Attributes:
        row: Customer; what was carried over at a login is of whom it was carried over to. Shape (n,), int64.
        time_ms: Event time, epoch milliseconds. Shape (n,), int64.
        decides: Whether it asks for a decision. Shape (n,), bool.
        outcome: Whether it is a conversion. Shape (n,), bool.
    """

    row: Int64s
    time_ms: Int64s
    decides: Bools
    outcome: Bools


class Axis:
    """Time of all customers on one line, one customer after the other.

    They are so far apart that no window that is over by the end of the history reaches from one to the next.

    Args:
        history: The events.
        window_ms: The longest window, to both sides.
        extent: How far the history goes.

    Attributes:
        clock: Place of each event by the newest event time that its customer's row had seen.
            Shape (n,), int64.
        outcomes: Places of the outcomes by their own times, rising. int64.
    """

    def __init__(self, history: History, window_ms: int, extent: Extent) -> None:
        row, time_ms = history.row, history.time_ms
        first_ms, last_ms = (int(time_ms.min()), int(time_ms.max())) if len(row) else (0, 0)
        self._window_ms, self._extent = window_ms, extent
        step = max(last_ms, extent.end_ms) - first_ms + 2 * window_ms + 1
        self._shift = row * step - first_ms
        place = time_ms + self._shift
        by_row = np.argsort(row, kind="stable")
        self.clock = np.empty_like(place)
        self.clock[by_row] = np.maximum.accumulate(place[by_row])
        self.outcomes = np.sort(place[history.outcome])

    def clock_ms(self, event: Int64s) -> Int64s:
        """The clocks of some events as epoch milliseconds."""
        return self.clock[event] - self._shift[event]

    def place(self, event: Int64s, time_ms: Int64s) -> Int64s:
        """Places of some times of the customers of some events."""
        return time_ms + self._shift[event]

    def converted(self, place: Int64s) -> Bools:
        """Whether an outcome lies after each place and within the window."""
        return any_between(self.outcomes, place + 1, place + self._window_ms)

    def mature(self, time_ms: Int64s) -> Bools:
        """Whether the windows that begin at these times are over."""
        return time_ms + self._window_ms <= self._extent.end_ms

    def known(self, time_ms: Int64s) -> Bools:
        """Whether the topics of outcomes go as far as the windows that begin at these times."""
        return time_ms + self._window_ms <= self._extent.known_ms

    def unread(self, time_ms: Int64s) -> Bools:
        """Whether outcomes in the windows that begin at these times may not have been read."""
        return reach_into(self._extent.unread_ms, time_ms, time_ms + self._window_ms)

    def untold(self, time_ms: Int64s) -> Bools:
        """Whether contacts in the windows that end at these times may not have been read."""
        return reach_into(self._extent.untold_ms, time_ms - self._window_ms, time_ms)

    def cold(self, point: Int64s) -> Bools:
        """Whether the features at some events are not those of a whole history."""
        decided_ms = self.clock_ms(point)
        return reach_into(self._extent.cold_ms, decided_ms, decided_ms)


def any_between(places: Int64s, first: Int64s, last: Int64s) -> Bools:
    """Whether one of the places, rising, is in each closed interval; empty ones hold none."""
    order = np.argsort(first)  # neighbours look in the same places, which are then in the cache
    found = np.searchsorted(places, first[order])
    out = np.empty(len(first), np.bool_)
    out[order] = found < np.searchsorted(places, last[order], side="right")
    return out


def last_before(history: History, event: Int64s) -> Int64s:
    """The last decision point of the same customer before each event, -1 for none."""
    n = max(len(history.row), 1)
    points = np.flatnonzero(history.decides)
    places = np.sort(history.row[points] * n + points)
    before = np.searchsorted(places, history.row[event] * n + event) - 1
    found = np.append(places, -n)[before]  # before == -1 is the last, of no customer
    return np.where(found // n == history.row[event], found % n, -1)
