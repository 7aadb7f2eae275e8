"""The wire format of Protobuf, for numba loops: tags, lengths, and what nobody knows."""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bytes, Int64s
from stream.formats.faults import CUT, DEPTH, LENGTH, TAG, WIRE
from stream.formats.varints import length_end, varint

VARINT_WIRE, FIXED64_WIRE, LENGTH_WIRE, GROUP_WIRE, END_WIRE, FIXED32_WIRE = range(6)

_SHORT_BYTES_MAX = 5
"""Of tags and lengths, which have 32 bits."""
_TAG_MAX = 2**32 - 1
_LENGTH_MAX = 2**31 - 1

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inlined
def tag(data: Bytes, at: int, stop: int) -> tuple[int, int, int]:
    """The number of a field, its wire type, and the position after them."""
    value, end = varint(data, at, stop)
    if end < 0:
        return 0, 0, end
    if end - at > _SHORT_BYTES_MAX or value > np.uint64(_TAG_MAX) or value < np.uint64(8):
        return 0, 0, TAG
    return int(np.int64(value) >> 3), int(np.int64(value) & 7), end


@_inlined
def length(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """Where what has a length begins and ends."""
    value, begin = varint(data, at, stop)
    if begin < 0:
        return begin, begin
    if begin - at > _SHORT_BYTES_MAX or value > np.uint64(_LENGTH_MAX):
        return LENGTH, LENGTH
    return begin, length_end(begin, stop, int(np.int64(value)))


@_jit
def after_unknown(
    data: Bytes, at: int, stop: int, number: int, wire: int, open_rows: Int64s, depth: int
) -> int:
    """The position after a field that nobody knows; groups use `open_rows` from `depth` on."""
    if wire != GROUP_WIRE:
        return _after_plain(data, at, stop, wire)
    base = depth
    while True:
        if wire == GROUP_WIRE:
            if depth == len(open_rows):
                return DEPTH
            open_rows[depth, 0] = number
            depth += 1
        elif wire == END_WIRE:
            depth -= 1
            if open_rows[depth, 0] != number:
                return WIRE
            if depth == base:
                return at
        else:
            at = _after_plain(data, at, stop, wire)
            if at < 0:
                return at
        number, wire, at = tag(data, at, stop)
        if at < 0:
            return at


@_jit
def _after_plain(data: Bytes, at: int, stop: int, wire: int) -> int:
    if wire == VARINT_WIRE:
        return varint(data, at, stop)[1]
    if wire == LENGTH_WIRE:
        return length(data, at, stop)[1]
    if wire == FIXED64_WIRE or wire == FIXED32_WIRE:
        size = 8 if wire == FIXED64_WIRE else 4
        return at + size if size <= stop - at else CUT
    return WIRE
