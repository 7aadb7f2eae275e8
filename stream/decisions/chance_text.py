"""Exact probabilities as JSON text: whole numbers out of 2**32, and the same as decimal fractions.

Rules of this file
1. As in `stream.decisions.json_text`: each function appends n pieces of text to `data` from `at` on, sets
   `start` and `size` of each, and returns the position after them; the caller reserves room.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bytes, Int64s
from stream.compiled.borrow import borrow
from stream.compiled.bytecopy import copy_bytes
from stream.decisions.json_text import PAIRS, write_digits

FRACTION_BYTES = 12  # 0.1234567890
CHANCE_BYTES_MAX = 11  # 4294967296 and a comma

_ZERO, _POINT, _COMMA, _OPEN, _CLOSE = b"0.,{}"
_TEN_TO_THE_5 = 100_000


@numba.njit(nogil=True, cache=True, error_model="numpy")
def write_fractions(numerator: Int64s, data: Bytes, at: int, start: Int64s, size: Int64s) -> int:
    """Appends numbers out of 2**32 as fractions of ten decimals, rounded half up.

    Ten decimals tell all of them apart: round(fraction * 2**32) is the number again.
    """
    for i in range(len(numerator)):
        start[i] = at
        head = numerator[i] * _TEN_TO_THE_5
        tail = (head & 0xFFFFFFFF) * _TEN_TO_THE_5 + 0x80000000
        decimals = (head >> 32) * _TEN_TO_THE_5 + (tail >> 32)
        at = write_digits(decimals // 10_000_000_000, 1, data, at)
        data[at] = _POINT
        at = write_digits(decimals, 10, data, at + 1)
        size[i] = at - start[i]
    return at


@numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)
def _write_whole(value: int, data: Bytes, at: int) -> int:
    """Writes a whole number from 1 to 2**33 - 1, two digits at a time."""
    end, bound = at + 1, 10
    while value >= bound:
        end += 1
        bound *= 10
    to = end
    while value >= 10:
        rest = value // 100
        pair = 2 * (value - 100 * rest)
        data[np.uintp(to - 1)] = PAIRS[np.uintp(pair + 1)]
        data[np.uintp(to - 2)] = PAIRS[np.uintp(pair)]
        to -= 2
        value = rest
    if to > at:
        data[np.uintp(at)] = _ZERO + value
    return end


@numba.njit(nogil=True, cache=True, error_model="numpy")
def write_chances(
    chances: Int64s, key: Bytes, first: Int64s, length: Int64s,
    data: Bytes, at: int, start: Int64s, size: Int64s,
) -> int:  # fmt: skip
    """Appends objects with the chance of each strategy that has one.

    Args:
        chances: Whole numbers below 2**33. Shape (n, columns).
        key: The key of each column, in quotes and with its colon.
        first: First byte of each key. Shape (columns,).
        length: Its length. Shape (columns,).
        data: See the rules of this file, also for the rest.
    """
    data, key = borrow(data), borrow(key)
    for i in range(len(chances)):
        start[i] = at
        data[at] = _OPEN
        at += 1
        for k in range(chances.shape[1]):
            if chances[i, k] > 0:
                at = copy_bytes(key, first[k], length[k], data, at)
                at = _write_whole(chances[i, k], data, at)
                data[np.uintp(at)] = _COMMA
                at += 1
        data[at - 1] = _CLOSE  # over the last comma: a row sums to 2**32 and has an entry
        size[i] = at - start[i]
    return at
