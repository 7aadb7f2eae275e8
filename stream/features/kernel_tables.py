"""What the kernel reads and writes: the words of a row, the fields of an operator, the arrays.

Names and types only. They are compiled into `kernel.py`, see its rule 7.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from stream.columns import Bools, Float64s, Int16s, Int64s, UInt64s
from stream.compiled.zone_set import Zones

CLOCK_MS = 0
"""Newest event time of the customer: the reference time of every decayed sum."""
FIRST_MS = 1
"""Oldest event time of the customer; `CARRIED` in the row of an id that was carried over to whoever
has logged in, while nothing has come of it since."""
CARRIED = -1
NEXT_OFFSET = 2
"""One word per input topic, the next offset to apply. There follow the words of consent, of closed
channels, and of the operators."""

SUM, SHARE, RECENCY, LAST, WINDOW, DISTINCT, CYCLE, LOCAL_CYCLE = range(8)
"""Kinds of operators. A count is a SUM or WINDOW of ones; tenure is the RECENCY of `FIRST_MS`;
a LOCAL_CYCLE is of another zone than UTC, or of the customer's."""

SHARE_LIST, DISTINCT_LIST, GROUPS = 8, 9, 10
"""Groups of listeners beside the kinds, and how many groups there are: a SHARE or a DISTINCT whose
property is a list."""
BUCKETS_PER_WORD = 8
"""Buckets of a SHARE that one word of an event counts the elements of a list in, a byte for each."""

COLUMN, WORD, SIZE, PROPERTY, HALF_LIFE, SPAN_MS, PHASE_MS = range(7)
"""Fields of an operator: its first feature; first word; number of tiles or buckets, of a LOCAL_CYCLE the zone of
customers without one; row of `Events.number` or `Events.category`, -1 for none, of a LOCAL_CYCLE row of `Events.zone`; index of its half-life; length of a tile, a cap
or a cycle; where the cycle begins."""


class Tables(NamedTuple):
    """The features of a campaign as the kernel reads them.

    Attributes:
        operators: One table per kind, `SUM` to `LOCAL_CYCLE`; a row holds the fields `COLUMN` to
            `PHASE_MS`. Shape (k, 7) each, int64.
        listeners: Rows of those tables that an event adds to. int64.
        listeners_start: Where those of each event type and group begin in `listeners`; the last
            type is any that is not declared. Shape (types + 1, GROUPS + 1), int64.
        half_lives_ms: Shape (half_lives,), float64.
        decays_start: First word that decays with each half-life. Shape (half_lives + 1,), int64.
        consent: Word of the first purpose.
        closed: First word of the first channel that can be closed.
        rules: What closes and opens channels, with the fields of `kernel_consent`.
            Shape (rules, 5), int64.
        conditions: Of these rules. Shape (conditions, 3), int64.
        values: Hashes of the categories that conditions allow. uint64.
        ring: Word before the ring of event ids, which says where in it the next one goes.
        remembered: Words of the ring.
    """

    operators: tuple[Int64s, ...]
    listeners: Int64s
    listeners_start: Int64s
    half_lives_ms: Float64s
    decays_start: Int64s
    consent: int
    closed: int
    rules: Int64s
    conditions: Int64s
    values: UInt64s
    ring: int
    remembered: int


class Events(NamedTuple):
    """n events as in `stream.columns.EventBatch`, and the row of each customer.

    `zone` is the index in `zones` of the zone that the event names at each path, -1 for none; the first
    row, of those who look at no path, has none. Shape (paths + 1, n), int64.
    """

    row: Int64s
    offset: Int64s
    time_ms: Int64s
    event_hash: UInt64s
    type_code: Int16s
    number: Float64s
    category: UInt64s
    consent: npt.NDArray[np.int8]
    consent_only: Bools
    zone: Int64s
    zones: Zones
    emptied: Int64s
    """Row that an event empties: that of the id before a login, the customer's own when it is forgotten,
    -1 for none. Of no event when there are none."""


class Outputs(NamedTuple):
    """What is written for each event; one that is not applied gets the consent in force and no values.

    Attributes:
        values: Features, neither transformed nor normalized. Shape (n, F), float64.
        applied: False for a replayed or repeated event, and for what only denies consent. Shape (n,), bool.
        repeated: Whether another record told of the event before. Shape (n,), bool.
        consent: In force after the event, as `EventBatch.consent`. Shape (purposes, n), int8.
        closed: Channels that are closed after the event. Shape (channels, n), bool.
        counters: `LATE` to `FORGOTTEN_ROWS`, added to. Shape (`COUNTERS`,), int64.
    """

    values: Float64s
    applied: Bools
    repeated: Bools
    consent: npt.NDArray[np.int8]
    closed: Bools
    counters: Int64s
