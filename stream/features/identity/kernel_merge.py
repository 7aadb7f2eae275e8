"""The clock of a row, and rows that an event empties: a customer is forgotten, or an id is carried over to who has logged in.

Part of `kernel.py`, under its rules. What is known of two ids becomes what is known of one: sums and
windows are added as of the later clock, of the rest the newest, the oldest or both hold. What either
forbids is forbidden. Next offsets and remembered event ids belong to an id and stay where they are.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Float64s, Int64s
from stream.features.kernel_consent import STATE_BITS, STATE_MASK, TAKEN_BACK
from stream.features.kernel_tables import (
    CARRIED,
    CLOCK_MS,
    DISTINCT,
    FIRST_MS,
    LAST,
    NEXT_OFFSET,
    RECENCY,
    SIZE,
    SPAN_MS,
    WINDOW,
    WORD,
    Tables,
)

NOTHING, MERGED, UNKNOWN, FORGOTTEN = range(4)
"""What became of the row of one event."""

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inline
def advance(tables: Tables, time_ms: int, state: Float64s, ints: Int64s, row: int) -> None:
    """Moves the clock of a row forward, if `time_ms` is later: decays sums, empties old tiles."""
    before_ms = ints[row, CLOCK_MS]
    now_ms = max(before_ms, time_ms)
    for h in range(len(tables.half_lives_ms)):
        factor = np.exp2(-np.float64(now_ms - before_ms) / tables.half_lives_ms[h])
        for word in range(tables.decays_start[h], tables.decays_start[h + 1]):
            state[row, word] *= factor
    _turn(tables.operators[WINDOW], before_ms, now_ms, ints, row)
    _turn(tables.operators[DISTINCT], before_ms, now_ms, ints, row)
    ints[row, CLOCK_MS] = now_ms


@_inline
def _turn(rings: Int64s, before_ms: int, now_ms: int, ints: Int64s, row: int) -> None:
    """Empties the tiles of each ring that begin between two times."""
    for o in range(len(rings)):
        tiles, tile_ms = rings[o, SIZE], rings[o, SPAN_MS]
        newest = now_ms // tile_ms
        for k in range(min(newest - before_ms // tile_ms, tiles)):
            ints[row, rings[o, WORD] + (newest - k) % tiles] = 0


@_jit
def forget(tables: Tables, ints: Int64s, row: int) -> int:
    """Empties the row of a customer who is forgotten: FORGOTTEN if there were events."""
    knew = ints[row, CLOCK_MS] > 0
    _empty(tables, ints, row)
    ints[row, tables.ring :] = 0
    return FORGOTTEN if knew else NOTHING


@_jit
def carry_over(
    tables: Tables, topic: int, offset: int, replayed: bool, repeated: bool,
    state: Float64s, ints: Int64s, source: int, target: int,
) -> int:  # fmt: skip
    """Adds the row of an id to that of the customer who has logged in, and empties it.

    Each of the two rows has its own next offset, and either may have been written without the other:
    a row that has the login behind it stays as it is, and the other one is brought up to it.

    Args:
        tables: The features.
        topic: Index of the topic of the login.
        offset: Offset of the login.
        replayed: Whether the target has it behind it.
        repeated: Whether another record told of it before: nothing is carried over.
        state: The table. Changed.
        ints: The same memory as int64.
        source: Row of the id.
        target: Row of the customer.

    Returns:
        MERGED if there were events of the id, UNKNOWN if nothing of it was ever seen, else NOTHING.
    """
    if ints[source, NEXT_OFFSET + topic] > offset:
        return NOTHING
    seen = False
    for word in range(NEXT_OFFSET, tables.consent):
        seen |= ints[source, word] > 0
    ints[source, NEXT_OFFSET + topic] = offset + 1
    if repeated:
        return NOTHING
    knew = ints[source, CLOCK_MS] > 0 and not replayed
    if not replayed:
        _forbid_both(tables, ints, source, target)
    if knew:
        _add_row(tables, state, ints, source, target)
    _empty(tables, ints, source)
    ints[source, FIRST_MS] = CARRIED
    if knew:
        return MERGED
    return NOTHING if seen else UNKNOWN


@_jit
def _empty(tables: Tables, ints: Int64s, row: int) -> None:
    """Leaves of a row its next offsets, what it forbids, and the event ids it remembers."""
    for word in range(tables.consent, tables.closed):
        if ints[row, word] & STATE_MASK < TAKEN_BACK:
            ints[row, word] = 0
    for word in range(tables.closed, tables.decays_start[0], 2):
        if ints[row, CLOCK_MS] >= ints[row, word + 1]:
            ints[row, word : word + 2] = 0
    ints[row, tables.decays_start[0] : tables.ring] = 0
    ints[row, CLOCK_MS] = ints[row, FIRST_MS] = 0


@_jit
def _forbid_both(tables: Tables, ints: Int64s, source: int, target: int) -> None:
    """What the id has forbidden is forbidden for the customer; what it has granted is not granted.

    An id of which nothing came since it was carried over last has said what it forbids before: it does
    not take back what the customer has allowed since.
    """
    carried = ints[source, FIRST_MS] == CARRIED
    for word in range(tables.consent, tables.closed):
        theirs, own = ints[source, word], ints[target, word]
        if theirs & STATE_MASK < TAKEN_BACK:
            continue
        if carried and own >> STATE_BITS >= theirs >> STATE_BITS:
            continue
        if own & STATE_MASK < TAKEN_BACK:
            since_ms = max(theirs >> STATE_BITS, own >> STATE_BITS)
            ints[target, word] = since_ms << STATE_BITS | theirs & STATE_MASK
        else:
            ints[target, word] = max(theirs, own)
    for word in range(tables.closed, tables.decays_start[0], 2):
        if carried and ints[source, word] <= ints[target, word]:
            continue
        if ints[source, CLOCK_MS] < ints[source, word + 1]:
            ints[target, word] = max(ints[target, word], ints[source, word])
            ints[target, word + 1] = max(ints[target, word + 1], ints[source, word + 1])


@_jit
def _add_row(tables: Tables, state: Float64s, ints: Int64s, source: int, target: int) -> None:
    """Adds what a row knows of events to another, as of the later clock of both."""
    advance(tables, ints[source, CLOCK_MS], state, ints, target)
    advance(tables, ints[target, CLOCK_MS], state, ints, source)
    first_ms = ints[target, FIRST_MS]
    if first_ms == 0 or ints[source, FIRST_MS] < first_ms:
        ints[target, FIRST_MS] = ints[source, FIRST_MS]
    for word in range(tables.decays_start[0], tables.decays_start[-1]):
        state[target, word] += state[source, word]
    _add_rings(tables, state, ints, source, target)
    recencies, lasts = tables.operators[RECENCY], tables.operators[LAST]
    for o in range(len(recencies)):
        word = recencies[o, WORD]
        if word != FIRST_MS:  # of which tenure is the recency
            ints[target, word] = max(ints[target, word], ints[source, word])
    for o in range(len(lasts)):
        word = lasts[o, WORD]
        if ints[source, word] > ints[target, word]:
            ints[target, word] = ints[source, word]
            state[target, word + 1] = state[source, word + 1]


@_jit
def _add_rings(tables: Tables, state: Float64s, ints: Int64s, source: int, target: int) -> None:
    """Adds windows tile by tile, and masks; both rows have one clock, so tiles are in the same places."""
    windows, masks = tables.operators[WINDOW], tables.operators[DISTINCT]
    for o in range(len(windows)):
        for word in range(windows[o, WORD], windows[o, WORD] + windows[o, SIZE]):
            state[target, word] += state[source, word]
    for o in range(len(masks)):
        for word in range(masks[o, WORD], masks[o, WORD] + masks[o, SIZE]):
            ints[target, word] |= ints[source, word]
