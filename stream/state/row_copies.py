"""Rows of the customer table copied to changelog values and back: the numba loops of `changelog`."""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bools, Bytes, Int64s
from stream.compiled.bytecopy import copy_bytes

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def gather(state: Bytes, rows: Int64s, row_bytes: int, row_version: int, out: Bytes) -> None:
    """Copies rows to where the values of changelog records stand, each behind its version."""
    at = 0
    for row in rows:
        out[at] = row_version
        at = copy_bytes(state, row * row_bytes, row_bytes, out, at + 1)


@_jit
def _read_int64(data: Bytes, at: int) -> int:
    value = np.uint64(0)
    for i in range(8):
        value |= np.uint64(data[at + i]) << np.uint64(8 * i)
    return int(np.int64(value))


@_jit
def scatter(
    data: Bytes, start: Int64s, size: Int64s, row_version: int,
    rows: Int64s, words: int, offset_first: int, offset_stop: int,
    state: Bytes, state_int: Int64s, behind: Bools,
) -> int:  # fmt: skip
    """Copies values into rows unless the row is further; index of a value it cannot read or -1."""
    for i in range(len(rows)):
        row = rows[i]
        if size[i] < 0:  # a tombstone: the customer was erased
            state_int[row, :] = 0
            continue
        if data[start[i]] != row_version:
            return i
        for word in range(offset_first, offset_stop):
            behind[i] |= _read_int64(data, start[i] + 1 + 8 * word) < state_int[row, word]
        if not behind[i]:
            copy_bytes(data, start[i] + 1, words * 8, state, row * words * 8)
    return -1
