"""The loop over events: add the event to its customer's row, then read the customer's features.

Rules of this file
1. Functions only; every argument is a scalar, an array or a named tuple of arrays; `out` is last.
2. No I/O, no clock, no allocation per event, no Python object. Only `stream.features.plan` calls it.
3. Strictly one event after the other, and nothing but the row carried from one to the next, so that
   cutting a log elsewhere changes no bit: no fastmath, and exp2 rather than pow.
4. A row is 8-byte words: `state` holds them as floats, `ints` is the same memory as int64.
   A zeroed row is a customer never seen; event times are positive, so time 0 is "never".
5. Whoever changes what a word or a value means raises `VERSION`: old rows are then not read as new.
6. Helpers are inlined and loop over one kind of operator each, without an `if` around arrays:
   otherwise numba counts references, atomically. An if-elif over the kinds took 1000 ns an event,
   this form 250 ns.
7. `kernel_tables.py`, `kernel_read.py`, `kernel_repeats.py`, `kernel_consent.py` and
   `identity/kernel_merge.py` are compiled into this file, whose text alone numba's cache looks at: `COMPILED_IN`
   changes it whenever they change.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from stream.columns import Float64s, Int64s
from stream.compiled.borrow import borrow
from stream.compiled.zone_set import borrow_zones
from stream.features.identity.kernel_merge import (
    FORGOTTEN,
    MERGED,
    UNKNOWN,
    advance,
    carry_over,
    forget,
)
from stream.features.kernel_consent import close_channels, listen, tell
from stream.features.kernel_read import read
from stream.features.kernel_repeats import recall
from stream.features.kernel_tables import (
    BUCKETS_PER_WORD,
    CLOCK_MS,
    DISTINCT,
    DISTINCT_LIST,
    FIRST_MS,
    HALF_LIFE,
    LAST,
    NEXT_OFFSET,
    PROPERTY,
    RECENCY,
    SHARE,
    SHARE_LIST,
    SIZE,
    SPAN_MS,
    SUM,
    WINDOW,
    WORD,
    Events,
    Outputs,
    Tables,
)

VERSION = 2
"""Meaning of words and values; part of the digests of the row layout and the feature contract."""

COMPILED_IN = "c55b5d0b88de"
"""12 hex digits of the sha256 of these files, one after the other in the order of rule 7."""

LATE, DROPPED_LATE, REPLAYED, REPEATED, MERGED_ROWS, UNKNOWN_ROWS, FORGOTTEN_ROWS = range(7)
"""Counters: events older than the clock of their row; those too old for one of their windows;
events at offsets applied before; events that other records told of before; logins that carried
events over; logins with an id of which nothing was ever seen; tombstones of customers who had events."""
COUNTERS = 7

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_jit
def apply_events(
    tables: Tables, events: Events, topic: int, state: Float64s, ints: Int64s, out: Outputs
) -> None:
    """Adds n events of one topic to their rows and reads the features right after each.

    Args:
        tables: The features.
        events: The events, in the order of their offsets.
        topic: Index of the topic in the campaign.
        state: The customer table, changed in place. Shape (rows, words), float64.
        ints: The same memory as int64.
        out: What is written.
    """
    said, heard, closed = borrow(events.consent), borrow(out.consent), borrow(out.closed)
    empties = len(events.emptied) > 0
    zone, zones = borrow(events.zone), borrow_zones(events.zones)
    for i in range(len(events.row)):
        row = events.row[i]
        replayed = events.offset[i] < ints[row, NEXT_OFFSET + topic]
        repeated = not replayed and recall(
            events.event_hash[i], topic, tables.ring, tables.remembered, ints, row
        )
        if empties and events.emptied[i] >= 0:
            _empty(tables, events, i, topic, replayed, repeated, state, ints, out)
        out.applied[i] = not replayed and not repeated and not events.consent_only[i]
        out.repeated[i] = repeated
        if replayed:
            out.counters[REPLAYED] += 1
        else:
            ints[row, NEXT_OFFSET + topic] = events.offset[i] + 1
            listen(tables.consent, said, events.time_ms[i], i, repeated, ints, row)
        if repeated:
            out.counters[REPEATED] += 1
        elif out.applied[i]:
            out.counters[LATE] += events.time_ms[i] < ints[row, CLOCK_MS]
            advance(tables, events.time_ms[i], state, ints, row)
            out.counters[DROPPED_LATE] += _add(tables, events, i, state, ints, row)
            close_channels(tables, events, i, ints, row)
            read(tables, zone, zones, i, state, ints, row, out.values[i])
        tell(tables, ints, row, i, heard, closed)


@_jit
def _empty(
    tables: Tables, events: Events, i: int, topic: int, replayed: bool, repeated: bool,
    state: Float64s, ints: Int64s, out: Outputs,
) -> None:  # fmt: skip
    """Empties the row that event i empties, and counts it."""
    row, emptied = events.row[i], events.emptied[i]
    if emptied != row:
        offset = events.offset[i]
        what = carry_over(
            tables, topic, offset, replayed, repeated, state, ints, emptied, row
        )  # fmt: skip
        out.counters[MERGED_ROWS] += what == MERGED
        out.counters[UNKNOWN_ROWS] += what == UNKNOWN
    elif not replayed:
        out.counters[FORGOTTEN_ROWS] += forget(tables, ints, row) == FORGOTTEN


@_inline
def _add(tables: Tables, events: Events, i: int, state: Float64s, ints: Int64s, row: int) -> int:
    """Adds event i to a row; 1 when it is too old for a window that it belongs to, else 0."""
    _add_header(events.time_ms[i], ints, row)
    _add_sums(tables, events, i, state, ints, row)
    _add_shares(tables, events, i, state, ints, row)
    _add_share_lists(tables, events, i, state, ints, row)
    _add_recencies(tables, events, i, ints, row)
    _add_lasts(tables, events, i, state, ints, row)
    dropped = _add_windows(tables, events, i, state, ints, row)
    dropped |= _add_distincts(tables, events, i, ints, row)
    return dropped | _add_distinct_lists(tables, events, i, ints, row)


@_inline
def _add_header(time_ms: int, ints: Int64s, row: int) -> None:
    if ints[row, FIRST_MS] <= 0 or time_ms < ints[row, FIRST_MS]:
        ints[row, FIRST_MS] = time_ms


@_inline
def _weight(
    tables: Tables, events: Events, i: int, half_life: int, ints: Int64s, row: int
) -> float:
    """What is left of event i at the clock of its row: 1 unless it is late."""
    age_ms = ints[row, CLOCK_MS] - events.time_ms[i]
    return np.exp2(-np.float64(age_ms) / tables.half_lives_ms[half_life]) if age_ms > 0 else 1.0


@_inline
def _amount(events: Events, i: int, number: int) -> float:
    """What event i adds to a sum: 1 for a count, 0 for a number that is missing or infinite."""
    if number < 0:
        return 1.0
    value = events.number[number, i]
    return value if math.isfinite(value) else 0.0


@_inline
def _add_sums(
    tables: Tables, events: Events, i: int, state: Float64s, ints: Int64s, row: int
) -> None:
    table = tables.operators[SUM]
    code, starts = events.type_code[i], tables.listeners_start
    for at in range(starts[code, SUM], starts[code, SUM + 1]):
        o = tables.listeners[at]
        weight = _weight(tables, events, i, table[o, HALF_LIFE], ints, row)
        state[row, table[o, WORD]] += weight * _amount(events, i, table[o, PROPERTY])


@_inline
def _add_shares(
    tables: Tables, events: Events, i: int, state: Float64s, ints: Int64s, row: int
) -> None:
    table = tables.operators[SHARE]
    code, starts = events.type_code[i], tables.listeners_start
    for at in range(starts[code, SHARE], starts[code, SHARE + 1]):
        o = tables.listeners[at]
        category = events.category[table[o, PROPERTY], i]
        if category != 0:
            bucket = np.int64(category % np.uint64(table[o, SIZE]))
            weight = _weight(tables, events, i, table[o, HALF_LIFE], ints, row)
            state[row, table[o, WORD] + bucket] += weight


@_inline
def _add_share_lists(
    tables: Tables, events: Events, i: int, state: Float64s, ints: Int64s, row: int
) -> None:
    """Each element of a list counts; a word has the counts of neighbouring buckets."""
    table = tables.operators[SHARE]
    code, starts = events.type_code[i], tables.listeners_start
    for at in range(starts[code, SHARE_LIST], starts[code, SHARE_LIST + 1]):
        o = tables.listeners[at]
        weight = _weight(tables, events, i, table[o, HALF_LIFE], ints, row)
        for bucket in range(table[o, SIZE]):
            word, byte = divmod(bucket, BUCKETS_PER_WORD)
            counts = events.category[table[o, PROPERTY] + word, i] >> np.uint64(8 * byte)
            state[row, table[o, WORD] + bucket] += weight * np.float64(counts & np.uint64(255))


@_inline
def _add_recencies(tables: Tables, events: Events, i: int, ints: Int64s, row: int) -> None:
    table = tables.operators[RECENCY]
    code, starts = events.type_code[i], tables.listeners_start
    for at in range(starts[code, RECENCY], starts[code, RECENCY + 1]):
        o = tables.listeners[at]
        ints[row, table[o, WORD]] = max(ints[row, table[o, WORD]], events.time_ms[i])


@_inline
def _add_lasts(
    tables: Tables, events: Events, i: int, state: Float64s, ints: Int64s, row: int
) -> None:
    table = tables.operators[LAST]
    code, starts = events.type_code[i], tables.listeners_start
    for at in range(starts[code, LAST], starts[code, LAST + 1]):
        o = tables.listeners[at]
        value = events.number[table[o, PROPERTY], i]
        if math.isfinite(value) and events.time_ms[i] >= ints[row, table[o, WORD]]:
            ints[row, table[o, WORD]] = events.time_ms[i]
            state[row, table[o, WORD] + 1] = value


@_inline
def _tile_word(ring: Int64s, o: int, time_ms: int, now_ms: int) -> int:
    """Word of the tile that a time belongs to; -1 when the ring has gone past it."""
    tiles, tile_ms = ring[o, SIZE], ring[o, SPAN_MS]
    tile = time_ms // tile_ms
    return ring[o, WORD] + tile % tiles if tile > now_ms // tile_ms - tiles else -1


@_inline
def _add_windows(
    tables: Tables, events: Events, i: int, state: Float64s, ints: Int64s, row: int
) -> int:
    table = tables.operators[WINDOW]
    dropped = 0
    code, starts = events.type_code[i], tables.listeners_start
    for at in range(starts[code, WINDOW], starts[code, WINDOW + 1]):
        o = tables.listeners[at]
        word = _tile_word(table, o, events.time_ms[i], ints[row, CLOCK_MS])
        if word < 0:
            dropped = 1
        else:
            state[row, word] += _amount(events, i, table[o, PROPERTY])
    return dropped


@_inline
def _add_distincts(tables: Tables, events: Events, i: int, ints: Int64s, row: int) -> int:
    table = tables.operators[DISTINCT]
    dropped = 0
    code, starts = events.type_code[i], tables.listeners_start
    for at in range(starts[code, DISTINCT], starts[code, DISTINCT + 1]):
        o = tables.listeners[at]
        word = _tile_word(table, o, events.time_ms[i], ints[row, CLOCK_MS])
        category = events.category[table[o, PROPERTY], i]
        if word < 0:
            dropped = 1
        elif category != 0:
            ints[row, word] |= np.int64(1) << np.int64(category % np.uint64(64))
    return dropped


@_inline
def _add_distinct_lists(tables: Tables, events: Events, i: int, ints: Int64s, row: int) -> int:
    table = tables.operators[DISTINCT]
    dropped = 0
    code, starts = events.type_code[i], tables.listeners_start
    for at in range(starts[code, DISTINCT_LIST], starts[code, DISTINCT_LIST + 1]):
        o = tables.listeners[at]
        word = _tile_word(table, o, events.time_ms[i], ints[row, CLOCK_MS])
        if word < 0:
            dropped = 1
        else:
            ints[row, word] |= np.int64(events.category[table[o, PROPERTY], i])
    return dropped
