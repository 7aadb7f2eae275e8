"""Varints and fixed-width numbers of Avro and Protobuf in a byte buffer, for numba loops.

Rules of this file
1. Every function takes a position and the end of what it may read, and never reads beyond that end.
2. Sums and shifts are unsigned and bounded: nothing wraps.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bytes
from stream.compiled.byteread import byte_at
from stream.events.json_tokens import character_end
from stream.formats.faults import CUT, LENGTH, VARINT

BYTES_MAX = 10
"""Of a varint of 64 bits; the last of them holds one bit."""

_ONE = np.uint64(1)
_LOW_7 = np.uint64(0x7F)

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


@_inlined
def varint(data: Bytes, at: int, stop: int) -> tuple[np.uint64, int]:
    """The unsigned varint at `at`, and the position after it.

    Of a tenth byte the lowest bit counts: so Protobuf has it.
    """
    if at < stop:
        byte = byte_at(data, at)
        if byte < 0x80:
            return np.uint64(byte), at + 1
    return _long_varint(data, at, stop)


@_jit
def _long_varint(data: Bytes, at: int, stop: int) -> tuple[np.uint64, int]:
    value = np.uint64(0)
    for k in range(BYTES_MAX):
        if at + k >= stop:
            return value, CUT
        byte = byte_at(data, at + k)
        value |= (np.uint64(byte) & _LOW_7) << np.uint64(7 * k)
        if byte < 0x80:
            return value, at + k + 1
    return value, VARINT


@_inlined
def signed(value: np.uint64) -> int:
    """What a zigzag varint stands for."""
    return int(np.int64(value >> _ONE) ^ -np.int64(value & _ONE))


@_inlined
def zigzag(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """The zigzag varint at `at`, and the position after it; it has no more than 64 bits."""
    value, end = varint(data, at, stop)
    if end - at == BYTES_MAX and byte_at(data, end - 1) > 1:
        return 0, VARINT
    return signed(value), end


@_inlined
def length_end(at: int, stop: int, length: int) -> int:
    """The position after so many bytes, or a fault."""
    return at + length if length >= 0 and length <= stop - at else LENGTH


@_inlined
def little_endian(data: Bytes, at: int, size: int) -> np.uint64:
    """The unsigned number that `size` bytes are, lowest first; they are there."""
    value = np.uint64(0)
    for k in range(size):
        value |= np.uint64(byte_at(data, at + k)) << np.uint64(8 * k)
    return value


@_jit
def float_bits(data: Bytes, at: int, is_single: bool) -> int:
    """The bits of a float64, of a single after it is widened."""
    if is_single:
        single = np.empty(1, np.uint32)
        single[0] = np.uint32(little_endian(data, at, 4))
        wide = np.empty(1, np.float64)
        wide[0] = np.float64(single.view(np.float32)[0])
        return int(wide.view(np.int64)[0])
    return int(np.int64(little_endian(data, at, 8)))


@_inlined
def is_utf8(data: Bytes, at: int, stop: int) -> bool:
    """Whether data[at:stop] is valid UTF-8."""
    while at < stop and byte_at(data, at) < 0x80:
        at += 1
    return at == stop or _rest_is_utf8(data, at, stop)


@_jit
def _rest_is_utf8(data: Bytes, at: int, stop: int) -> bool:
    while at < stop:
        at = at + 1 if data[at] < 0x80 else character_end(data, at, stop)
        if at < 0:
            return False
    return True
