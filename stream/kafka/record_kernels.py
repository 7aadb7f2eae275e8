"""The numba loops that read Kafka record batches, format v2.

Rules of this file
1. Functions of arrays only: no Python object, no I/O; none of them needs the interpreter lock.
2. Every read is bounded by the buffer: broken bytes give an error index, never a wild read.
3. A foreign size is compared with what is left (`size > stop - at`), never added to a position first:
   the sum may wrap.
"""

from __future__ import annotations

import numba
import numpy as np

from stream.columns import Bytes, Int64s
from stream.compiled.borrow import borrow
from stream.compiled.byteread import byte_at

HEADER_BYTES = 61
LENGTH_BYTES, MAGIC_AT = 12, 16  # a batch begins with base offset and length; then its leader epoch
MAGIC_V2 = 2
_RECORD_BYTES_MIN = 7  # length, attributes, two deltas, two sizes, number of headers
CODEC_MASK = 0x07
TRANSACTION_BIT = 0x10
CONTROL_BIT = 0x20

# Columns of a header table
START, STOP, BASE_OFFSET, MAGIC, CRC, ATTRIBUTES, LAST_DELTA, FIRST_MS, MAX_MS = range(9)
PRODUCER_ID, COUNT, LEADER_EPOCH = 9, 10, 11
_FIELDS = 12
# What is wrong with the records of a batch
BAD_COUNT, BAD_RECORD, BAD_OFFSET, BAD_TIME, BAD_END = range(1, 6)
_APPEND_TIME_BIT = 0x08
_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1

_jit = numba.njit(nogil=True, cache=True, error_model="numpy")
_inlined = numba.njit(nogil=True, cache=True, error_model="numpy", forceinline=True)


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
        if size < HEADER_BYTES or size > len(data) - at:
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
def _read_long_varint(data: Bytes, at: int, stop: int) -> tuple[int, int]:
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


@_inlined
def read_varint(data: Bytes, at: int, stop: int) -> tuple[int, int]:
    """As `_read_long_varint`; most are one byte or two, which are read in place."""
    if at < stop:
        low = byte_at(data, at)
        if low < 0x80:
            return (low >> 1) ^ -(low & 1), at + 1
        if at + 1 < stop:
            high = byte_at(data, at + 1)
            if high < 0x80:
                both = (low & 0x7F) | (high << 7)
                return (both >> 1) ^ -(both & 1), at + 2
    return _read_long_varint(data, at, stop)


@_inlined
def _read_record(data: Bytes, at: int, stop: int, out: Int64s, n: int) -> int:
    """Reads one record into column n of out: offset delta, timestamp delta, key, value, headers.

    Returns the position after it, -1 when it does not follow the format.
    """
    length, at = read_varint(data, at, stop)
    if at < 0 or length < 1 or length > stop - at:
        return -1
    end = at + length
    at += 1  # attributes: unused in v2
    out[1, n], at = read_varint(data, at, end)
    if at < 0:
        return -1
    out[0, n], at = read_varint(data, at, end)
    for k in range(2, 6, 2):
        if at < 0:
            return -1
        size, at = read_varint(data, at, end)
        if at < 0 or size < -1 or size > end - at:
            return -1
        out[k, n] = at
        out[k + 1, n] = size
        at += max(size, 0)
    out[6, n] = 0
    if at != end - 1 or byte_at(data, at) != 0:  # not just the byte that says "no headers"
        out[6, n] = end - at
        return end if _headers_end(data, at, end) == end else -1
    return end


@_jit
def _headers_end(data: Bytes, at: int, stop: int) -> int:
    """The position after the headers of a record, -1 when they do not follow the format."""
    count, at = read_varint(data, at, stop)
    if at < 0 or count < 0 or count > (stop - at) // 2:  # two sizes each
        return -1
    for _ in range(count):
        size, at = read_varint(data, at, stop)
        if at < 0 or size < 0 or size > stop - at:
            return -1
        size, at = read_varint(data, at + size, stop)
        if at < 0 or size < -1 or size > stop - at:
            return -1
        at += max(size, 0)
    return int(at)


@_jit
def read_records(data: Bytes, table: Int64s, position: int) -> tuple[Int64s, int, int, int]:
    """All records at or after `position` of the batches in `table`, up to the first broken batch.

    Args:
        data: Decompressed record bytes. Shape (bytes,).
        table: Header rows with START and STOP around the records; base offset plus last delta is
            an int64. Shape (batches, fields).
        position: Records before this offset are left out.

    Returns:
        Rows offset, timestamp_ms, key start, key size, value start, value size, size of the headers,
        which begin where the value ends, 0 without any: shape (7, n), int64, of the batches before
        the first that is broken; the index of that batch, -1 when there is none; the index of the
        record in it; and what is wrong, BAD_COUNT ... BAD_END.
    """
    data, table = borrow(data), borrow(table)
    total = 0
    batches = 0
    while batches < len(table) and _has_room(table, batches):
        total += table[batches, COUNT]
        batches += 1
    out = np.empty((7, total), np.int64)
    n = 0
    for b in range(batches):
        after, record, why = _read_batch(data, table, b, position, out, n)
        if why != 0:
            return out[:, :n], b, record, why
        n = after
    if batches < len(table):
        return out[:, :n], batches, 0, BAD_COUNT
    return out[:, :n], -1, 0, 0


@_inlined
def _read_batch(
    data: Bytes, table: Int64s, b: int, position: int, out: Int64s, n: int
) -> tuple[int, int, int]:
    """Reads batch b into the columns of out from n on: (column after it, record, what is wrong)."""
    at, stop = table[b, START], table[b, STOP]
    base, last_delta = table[b, BASE_OFFSET], table[b, LAST_DELTA]
    first_ms = table[b, FIRST_MS]
    # Told before the sum: compiled code takes it that sums do not wrap.
    later_min = _INT64_MIN - min(first_ms, 0)
    later_max = _INT64_MAX - max(first_ms, 0)
    append_time = table[b, ATTRIBUTES] & _APPEND_TIME_BIT
    previous = -1
    for i in range(table[b, COUNT]):
        at = _read_record(data, at, stop, out, n)
        if at < 0:
            return n, i, BAD_RECORD
        delta = out[0, n]
        if delta <= previous or delta > last_delta:
            return n, i, BAD_OFFSET
        previous = delta
        if base + delta < position:
            continue
        out[0, n] = base + delta
        if append_time:
            out[1, n] = table[b, MAX_MS]
        else:
            if out[1, n] < later_min or out[1, n] > later_max:
                return n, i, BAD_TIME
            out[1, n] += first_ms
        n += 1
    return n, table[b, COUNT], 0 if at == stop else BAD_END


@_jit
def _has_room(table: Int64s, b: int) -> bool:
    """Whether the bytes of a batch can hold as many records as it says: else nothing is allocated."""
    count = table[b, COUNT]
    count_max = (table[b, STOP] - table[b, START]) // _RECORD_BYTES_MIN
    return bool(count >= 0 and count <= count_max)


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
        count, at = read_varint(data, value_start[i] + max(value_size[i], 0), stop)
        for _ in range(count):
            key_size, key = read_varint(data, at, stop)
            if key < 0 or key_size < 0 or key_size > stop - key:
                return i
            size, at = read_varint(data, key + key_size, stop)
            if at < 0 or size < -1 or size > stop - at:
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
