"""The features of one row, as of its clock: the reading half of `kernel.py`, under its rules."""

from __future__ import annotations

import math

import numba
import numpy as np

from stream.columns import Float64s, Int64s
from stream.compiled.zone_set import Zones, east_ms
from stream.features.kernel_tables import (
    CLOCK_MS,
    COLUMN,
    CYCLE,
    DISTINCT,
    LAST,
    LOCAL_CYCLE,
    PHASE_MS,
    PROPERTY,
    RECENCY,
    SHARE,
    SIZE,
    SPAN_MS,
    SUM,
    WINDOW,
    WORD,
    Tables,
)

_inline = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inline
def read(
    tables: Tables, zone: Int64s, zones: Zones, i: int, state: Float64s, ints: Int64s, row: int,
    out: Float64s,
) -> None:  # fmt: skip
    """Reads every feature of a row as of its clock, in the time zone that event i names."""
    now_ms = ints[row, CLOCK_MS]
    _read_sums(tables.operators[SUM], state, row, out)
    _read_shares(tables.operators[SHARE], state, row, out)
    _read_recencies(tables.operators[RECENCY], now_ms, ints, row, out)
    _read_lasts(tables.operators[LAST], state, ints, row, out)
    _read_windows(tables.operators[WINDOW], state, row, out)
    _read_distincts(tables.operators[DISTINCT], ints, row, out)
    _read_cycles(tables.operators[CYCLE], now_ms, out)
    _read_local_cycles(tables.operators[LOCAL_CYCLE], zone, zones, i, now_ms, out)


@_inline
def _read_sums(table: Int64s, state: Float64s, row: int, out: Float64s) -> None:
    for o in range(len(table)):
        out[table[o, COLUMN]] = state[row, table[o, WORD]]


@_inline
def _read_shares(table: Int64s, state: Float64s, row: int, out: Float64s) -> None:
    for o in range(len(table)):
        column, word, buckets = table[o, COLUMN], table[o, WORD], table[o, SIZE]
        total = 0.0
        for b in range(buckets):
            total += state[row, word + b]
        for b in range(buckets):
            out[column + b] = state[row, word + b] / total if total > 0.0 else 0.0


@_inline
def _read_recencies(table: Int64s, now_ms: int, ints: Int64s, row: int, out: Float64s) -> None:
    for o in range(len(table)):
        time_ms, cap_ms = ints[row, table[o, WORD]], table[o, SPAN_MS]
        since_ms = now_ms - time_ms if time_ms > 0 else cap_ms
        out[table[o, COLUMN]] = min(since_ms, cap_ms) / 1000.0


@_inline
def _read_lasts(table: Int64s, state: Float64s, ints: Int64s, row: int, out: Float64s) -> None:
    for o in range(len(table)):
        column, word = table[o, COLUMN], table[o, WORD]
        known = ints[row, word] > 0
        out[column] = state[row, word + 1] if known else np.nan
        out[column + 1] = 0.0 if known else 1.0


@_inline
def _read_windows(table: Int64s, state: Float64s, row: int, out: Float64s) -> None:
    for o in range(len(table)):
        total = 0.0
        for tile in range(table[o, SIZE]):
            total += state[row, table[o, WORD] + tile]
        out[table[o, COLUMN]] = total


@_inline
def _read_distincts(table: Int64s, ints: Int64s, row: int, out: Float64s) -> None:
    """Linear counting: Whang, Vander-Zanden, Taylor, ACM TODS 15(2), 1990."""
    for o in range(len(table)):
        seen = np.int64(0)
        for tile in range(table[o, SIZE]):
            seen |= ints[row, table[o, WORD] + tile]
        empty = 64
        while seen != 0:  # LLVM makes this one popcnt
            seen &= seen - 1
            empty -= 1
        out[table[o, COLUMN]] = 64.0 * math.log(64.0 / max(empty, 1))


@_inline
def _read_cycles(table: Int64s, now_ms: int, out: Float64s) -> None:
    for o in range(len(table)):
        _turn(table, o, now_ms, out)


@_inline
def _read_local_cycles(
    table: Int64s, zone: Int64s, zones: Zones, i: int, now_ms: int, out: Float64s
) -> None:
    """Each in the zone that event i names, in its own when the event names none."""
    for o in range(len(table)):
        own, named = table[o, SIZE], zone[table[o, PROPERTY], i]
        _turn(table, o, now_ms + east_ms(zones, named if named >= 0 else own, now_ms), out)


@_inline
def _turn(table: Int64s, o: int, local_ms: int, out: Float64s) -> None:
    """Where a time is in its cycle, as sine and cosine."""
    cycle_ms = table[o, SPAN_MS]
    angle = 2.0 * math.pi * (((local_ms - table[o, PHASE_MS]) % cycle_ms) / cycle_ms)
    out[table[o, COLUMN]] = math.sin(angle)
    out[table[o, COLUMN] + 1] = math.cos(angle)
