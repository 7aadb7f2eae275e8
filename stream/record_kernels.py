"""The numba loops over Kafka record batches, format v2.

Rules of this file
1. Functions of arrays only: no Python object, no I/O; none of them needs the interpreter lock.
2. Every read is bounded by the buffer: broken bytes give an error index, never a wild read.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.bytecopy import copy_bytes
from stream.columns import Bytes, Int64s

HEADER_BYTES = 61
CODEC_MASK = 0x07
TRANSACTION_BIT = 0x10
CONTROL_BIT = 0x20

# Columns of a header table
START, STOP, BASE_OFFSET, MAGIC, CRC, ATTRIBUTES, LAST_DELTA, FIRST_MS, MAX_MS = range(9)
PRODUCER_ID, COUNT, LEADER_EPOCH = 9, 10, 11
_FIELDS = 12
_APPEND_TIME_BIT = 0x08

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")


@_jit
def _big_endian(data: Bytes, at: int, size: int) -> int:
    """Unsigned big-endian integer of up to 8 bytes, as int64."""
    value = np.int64(0)
    for i in range(size):
        value = (value << 8) | np.int64(data[at + i])
    return int(value)


@_jit
def _big_endian_signed_32(data: Bytes, at: int) -> int:
    value = _big_endian(data, at, 4)
    return value - (1 << 32) if value >= 1 << 31 else value


@_jit
def read_headers(data: Bytes) -> Int64s:
    """Headers of the whole batches in a fetch response. Shape (batches, fields), int64.

    A truncated last batch is left out.
    """
    count = 0
    at = 0
    while at + HEADER_BYTES <= len(data):
        size = 12 + _big_endian_signed_32(data, at + 8)
        if size < HEADER_BYTES or at + size > len(data):
            break
        count += 1
        at += size
    out = np.empty((count, _FIELDS), np.int64)
    at = 0
    for i in range(count):
        size = 12 + _big_endian_signed_32(data, at + 8)
        out[i, START] = at
        out[i, STOP] = at + size
        out[i, BASE_OFFSET] = _big_endian(data, at, 8)
        out[i, MAGIC] = data[at + 16]
        out[i, CRC] = _big_endian(data, at + 17, 4)
        out[i, ATTRIBUTES] = _big_endian(data, at + 21, 2)
        out[i, LAST_DELTA] = _big_endian_signed_32(data, at + 23)
        out[i, FIRST_MS] = _big_endian(data, at + 27, 8)
        out[i, MAX_MS] = _big_endian(data, at + 35, 8)
        out[i, PRODUCER_ID] = _big_endian(data, at + 43, 8)
        out[i, COUNT] = _big_endian_signed_32(data, at + 57)
        out[i, LEADER_EPOCH] = _big_endian_signed_32(data, at + 12)
        at += size
    return out


@_jit
def _read_varint(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """Zigzag varint at `at`: (value, next position); next position -1 when it runs out."""
    value = np.uint64(0)
    shift = np.uint64(0)
    while at < stop and shift < np.uint64(64):
        byte = np.uint64(data[at])
        at += 1
        value |= (byte & np.uint64(0x7F)) << shift
        if byte < np.uint64(0x80):
            half = np.int64(value >> np.uint64(1))
            return int(~half if value & np.uint64(1) else half), at
        shift += np.uint64(7)
    return 0, -1


@_jit
def _read_record(data: Bytes, at: int, stop: int, out: Int64s) -> int:
    """Reads one record into out (timestamp delta, offset delta, key, value spans).

    Returns the position after it, -1 when it does not follow the format.
    """
    length, at = _read_varint(data, at, stop)
    if at < 0 or length < 0 or at + length > stop:
        return -1
    end = at + length
    at += 1  # attributes: unused in v2
    out[0], at = _read_varint(data, at, end)
    if at < 0:
        return -1
    out[1], at = _read_varint(data, at, end)
    for k in range(2, 6, 2):
        if at < 0:
            return -1
        size, at = _read_varint(data, at, end)
        if at < 0 or size < -1 or at + max(size, 0) > end:
            return -1
        out[k] = at
        out[k + 1] = size
        at += max(size, 0)
    return end


@_jit
def read_records(data: Bytes, table: Int64s, position: int) -> tuple[Int64s, int]:
    """All records at or after `position` of the batches in `table`.

    Args:
        data: Decompressed record bytes. Shape (bytes,).
        table: Header rows with START and STOP around the records. Shape (batches, fields).
        position: Records before this offset are left out.

    Returns:
        Rows offset, timestamp_ms, key start, key size, value start, value size: shape (6, n),
        int64; and the index of the first broken record, -1 when there is none.
    """
    total = 0
    for b in range(len(table)):
        # A record takes 7 bytes at least: a count that cannot be true allocates nothing.
        total += max(min(table[b, COUNT], (table[b, STOP] - table[b, START]) // 7 + 1), 0)
    out = np.empty((6, total), np.int64)
    field = np.empty(6, np.int64)
    n = 0
    seen = 0
    for b in range(len(table)):
        at = table[b, START]
        append_time = table[b, ATTRIBUTES] & _APPEND_TIME_BIT
        for _ in range(table[b, COUNT]):
            at = _read_record(data, at, table[b, STOP], field)
            if at < 0:
                return out[:, :n], seen
            seen += 1
            offset = table[b, BASE_OFFSET] + field[1]
            if offset < position:
                continue
            out[0, n] = offset
            out[1, n] = table[b, MAX_MS] if append_time else table[b, FIRST_MS] + field[0]
            for k in range(2, 6):
                out[k, n] = field[k]
            n += 1
    return out[:, :n], -1


@_jit
def find_header(
    data: Bytes, value_start: Int64s, value_size: Int64s, name: Bytes, out: Int64s
) -> int:
    """Where records that were read have the first header of a name that is not null.

    The headers of a record begin where its value ends.

    Args:
        data: The bytes that the values are spans of, as `read_records` saw them.
        value_start: Start of each value. Shape (n,).
        value_size: Its size, -1 for null. Shape (n,).
        name: Name of the header.
        out: Receives start and size of its content, size -1 without it. Shape (2, n).

    Returns:
        The first record whose headers do not follow the format, -1 when there is none.
    """
    stop = len(data)
    for i in range(len(value_start)):
        out[0, i], out[1, i] = 0, -1
        count, at = _read_varint(data, value_start[i] + max(value_size[i], 0), stop)
        for _ in range(count):
            key_size, key = _read_varint(data, at, stop)
            if key < 0 or key_size < 0 or key + key_size > stop:
                return i
            size, at = _read_varint(data, key + key_size, stop)
            if at < 0 or size < -1 or at + max(size, 0) > stop:
                return i
            if out[1, i] < 0 and _is_at(data, key, key_size, name):
                out[0, i], out[1, i] = at, size
            at += max(size, 0)
        if at < 0 or count < 0:
            return i
    return -1


@_jit
def _is_at(data: Bytes, at: int, size: int, name: Bytes) -> bool:
    if size != len(name):
        return False
    for i in range(size):  # noqa: SIM110  # numba compiles no generator
        if data[at + i] != name[i]:
            return False
    return True


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
