"""The numba loop that decodes base64, many strings at once.

It takes the canonical form alone (RFC 4648, section 4: the standard alphabet, padded); Python's own
decoder, which takes more, has the last word on the rest.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bools, Bytes, Int64s, Spans
from stream.compiled.borrow import borrow

_ALPHABET = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_PAD = ord("=")
_VALUE = np.full(256, -1, np.int64)
_VALUE[np.frombuffer(_ALPHABET, np.uint8)] = np.arange(64)

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


def decode_base64(data: Bytes, start: Int64s, size: Int64s, wanted: Bools) -> Spans:
    """The bytes that strings stand for.

    Args:
        data: The buffer of the strings, read-only. Shape (bytes,), uint8.
        start: First byte of each. Shape (n,), int64.
        size: Length of each in bytes. Shape (n,), int64.
        wanted: The strings to decode. Shape (n,), bool.

    Returns:
        n spans of a buffer of their own, null for what is not wanted or not canonical.
    """
    out = np.empty(int(size[wanted].sum()) // 4 * 3, np.uint8)
    out_start, out_size = np.zeros((2, len(start)), np.int64)
    _decode(data, start, size, wanted, out, out_start, out_size)
    out.flags.writeable = False
    return Spans(out, out_start, out_size)


@_jit
def _decode(
    data: Bytes, starts: Int64s, sizes: Int64s, wanted: Bools,
    out: Bytes, out_start: Int64s, out_size: Int64s,
) -> None:  # fmt: skip
    """Fills the last three."""
    data, out = borrow(data), borrow(out)
    used = 0
    for i in range(len(starts)):
        out_size[i] = -1
        if not wanted[i]:
            continue
        size = _decode_one(data, starts[i], sizes[i], out, used)
        out_start[i], out_size[i] = used, size
        used += max(size, 0)


@_jit
def _decode_one(data: Bytes, start: int, size: int, out: Bytes, at: int) -> int:
    """Writes what one string stands for to `at`; how many bytes, -1 when it is not canonical."""
    if size % 4 != 0 or size == 0:
        return -1
    stop = start + size
    pad = int(data[stop - 1] == _PAD)
    pad += int(pad == 1 and data[stop - 2] == _PAD)
    begin = at
    for quad in range(start, stop, 4):
        bits, faults = np.int64(0), np.int64(0)
        kept = 4 - pad if quad + 4 == stop else 4
        for k in range(4):
            value = _VALUE[data[quad + k]] if k < kept else np.int64(0)
            faults |= value
            bits = (bits << 6) | (value & 0x3F)
        if faults < 0:
            return -1
        for k in range(kept - 1):
            out[at] = np.uint8((bits >> (16 - 8 * k)) & 0xFF)
            at += 1
    return at - begin
