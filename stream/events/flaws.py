"""What could not be read in events that are events all the same, counted by path.

A field that is optional costs its own value when it cannot be read, not the event; so that nobody
learns of a wrong mapping from a model, it is counted here, and one example is kept of each path.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from stream.columns import Bools, EventBatch, Int64s, Reject

PRESENT, UNREADABLE, FIRST = range(3)
"""Columns of a tally: values that came, those that could not be read, the first record of these."""


def tally(paths: int) -> Int64s:
    """Nothing counted yet. Shape (paths, 3), int64."""
    counts = np.zeros((paths, 3), np.int64)
    counts[:, FIRST] = -1
    return counts


@dataclass(frozen=True, slots=True)
class Flaws:
    """What could not be read in the events of a chunk.

    Attributes:
        paths: The declared numbers, the declared categories, the paths of the time and of the event id.
            P of them; one may be there twice.
        present: Values that came, of the declared properties; 0 of the others. Of a strict mapping some
            are of records that were refused. Shape (P,), int64.
        unreadable: Values that could not be read; of a time also those before
            `events.timestamp_earliest`. Shape (P,), int64.
        ahead: Events whose time was further ahead of their record than `events.timestamp_ahead_max`.
        types: Events of each declared type, and last of all others. Shape (types + 1,), int64.
        examples: By path one sentence about a value that could not be read: expected, got, where.
        lines: Records, with each that holds a batch counted as its events.
        empty_batches: Records that hold a batch of no events.
    """

    paths: tuple[str, ...] = ()
    present: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    unreadable: Int64s = field(default_factory=lambda: np.zeros(0, np.int64))
    ahead: int = 0
    types: Int64s = field(default_factory=lambda: np.zeros(1, np.int64))
    examples: Mapping[str, str] = field(default_factory=dict)
    lines: int = 0
    empty_batches: int = 0

    def by_path(self) -> Counter[str]:
        """How many values could not be read, by path, of those paths that had such."""
        found: Counter[str] = Counter()
        for k in np.flatnonzero(self.unreadable).tolist():
            found[self.paths[k]] += int(self.unreadable[k])
        return found


NO_FLAWS = Flaws()


@dataclass(frozen=True, slots=True)
class Decoded:
    """What came of a chunk of n records, and of the batches in them.

    Attributes:
        batch: The events in the order of their offsets, those of one record as they stand in it.
        rejects: The records and elements that are no events, in the same order.
        flaws: What could not be read in the events.
        identified: Whether the customer of each event stands at the first path of
            `events.customer_id`, and is not a fallback such as an anonymous id. Shape (events,), bool.
        tombstones: Records with a key and no value, those among them that are no rejects.
    """

    batch: EventBatch
    rejects: list[Reject]
    flaws: Flaws
    identified: Bools
    tombstones: int = 0
