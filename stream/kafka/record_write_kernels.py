"""The numba loops that write Kafka record batches, format v2. All sizes are the caller's own."""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bytes, Int64s
from stream.compiled.bytecopy import copy_bytes

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def _varint_size(value: int) -> int:
    rest = np.uint64((value << 1) ^ (value >> 63))
    size = 1
    while rest > np.uint64(0x7F):
        rest >>= np.uint64(7)
        size += 1
    return size


@_jit
def _write_varint(out: Bytes, at: int, value: int) -> int:
    rest = np.uint64((value << 1) ^ (value >> 63))
    while rest > np.uint64(0x7F):
        out[at] = np.uint8((rest & np.uint64(0x7F)) | np.uint64(0x80))
        at += 1
        rest >>= np.uint64(7)
    out[at] = np.uint8(rest)
    return at + 1


@_jit
def _body_size(offset_delta: int, key_size: int, value_size: int, headers_size: int) -> int:
    return (
        2  # attributes, timestamp delta 0
        + _varint_size(offset_delta)
        + _varint_size(key_size)
        + max(key_size, 0)
        + _varint_size(value_size)
        + max(value_size, 0)
        + headers_size
    )


@_jit
def record_sizes(key_size: Int64s, value_size: Int64s, own_size: Int64s, fixed: int) -> Int64s:
    """Upper bound of each record's bytes, whatever its place in a batch. Shape (n,), int64."""
    n = len(key_size)
    out = np.empty(n, np.int64)
    for i in range(n):
        body = _body_size(n, key_size[i], value_size[i], fixed + own_size[i])
        out[i] = _varint_size(body) + body
    return out


@_jit
def batch_end(sizes: Int64s, first: int, bytes_max: int) -> int:
    """End of the batch that begins at `first`: as many records as fit, one at least."""
    total = sizes[first]
    last = first + 1
    while last < len(sizes) and total + sizes[last] <= bytes_max:
        total += sizes[last]
        last += 1
    return last


@_jit
def write_records(
    key: Bytes, key_start: Int64s, key_size: Int64s,
    value: Bytes, value_start: Int64s, value_size: Int64s,
    own: Bytes, own_start: Int64s, own_size: Int64s,
    fixed: Bytes, first: int, last: int, out: Bytes,
) -> int:  # fmt: skip
    """Writes records first to last (exclusive) of one batch; returns the bytes used.

    Args:
        key, key_start, key_size: Spans of the keys.
        value, value_start, value_size: Spans of the values.
        own, own_start, own_size: Spans of the encoded headers that each record has for itself.
        fixed: Header count and the headers that all records share, encoded.
        first: First record.
        last: End of the records.
        out: Receives the records; as large as their `record_sizes`.
    """
    at = 0
    for i in range(first, last):
        body = _body_size(i - first, key_size[i], value_size[i], len(fixed) + own_size[i])
        at = _write_varint(out, at, body)
        out[at] = 0
        out[at + 1] = 0
        at = _write_varint(out, at + 2, i - first)
        at = _write_varint(out, at, key_size[i])
        at = copy_bytes(key, key_start[i], key_size[i], out, at)
        at = _write_varint(out, at, value_size[i])
        at = copy_bytes(value, value_start[i], value_size[i], out, at)
        at = copy_bytes(fixed, 0, len(fixed), out, at)
        at = copy_bytes(own, own_start[i], own_size[i], out, at)
    return at


@_jit
def put_side_by_side(left: Bytes, between: Bytes, right: Bytes, out: Bytes) -> None:
    """Rows of two matrices with the same bytes between them.

    Args:
        left: Shape (n, a), uint8.
        between: Shape (b,), uint8.
        right: Shape (n, c), uint8.
        out: Receives them. Shape (n, a + b + c), uint8.
    """
    a, b, c = left.shape[1], len(between), right.shape[1]
    lefts, rights, into, at = left.reshape(-1), right.reshape(-1), out.reshape(-1), 0
    for i in range(len(out)):
        at = copy_bytes(lefts, i * a, a, into, at)
        at = copy_bytes(between, 0, b, into, at)
        at = copy_bytes(rights, i * c, c, into, at)
