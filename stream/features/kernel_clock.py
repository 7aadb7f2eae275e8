"""Moving the clock of a row: what decays, and which tiles are over. Part of `kernel.py`, under its rules."""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Float64s, Int64s
from stream.features.kernel_tables import CLOCK_MS, DISTINCT, SIZE, SPAN_MS, WINDOW, WORD, Tables

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
