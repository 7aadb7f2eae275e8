"""Record batches read slowly and obviously, one Python integer at a time: what the kernels must say."""

from __future__ import annotations

import struct
from dataclasses import dataclass

import aiokafka.codec as stock
import cramjam
import crc32c

Row = tuple[int, int, bytes | None, bytes | None]
"""Offset, timestamp in milliseconds, key, value."""


_XERIAL = stock.snappy_encode(b"")
_HEADER = struct.Struct(">qiiBIHiqqqhii")
_INT64 = range(-(2**63), 2**63)


class Broken(Exception):
    """A batch does not follow the format."""


@dataclass
class Cursor:
    """Bytes, and how far they are read."""

    data: bytes
    at: int = 0

    def take(self, size: int) -> bytes:
        if size < 0 or size > len(self.data) - self.at:
            raise Broken
        self.at += size
        return self.data[self.at - size : self.at]

    def varint(self) -> int:
        """A zigzag varint of at most ten bytes; what is beyond 64 bits is cut off."""
        value = 0
        for k in range(10):
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << 7 * k
            if byte < 0x80:
                value &= 2**64 - 1
                return value >> 1 if value % 2 == 0 else -(value >> 1) - 1
        raise Broken

    def content(self) -> bytes | None:
        size = self.varint()
        return None if size == -1 else self.take(size)

    @property
    def is_read(self) -> bool:
        return self.at == len(self.data)


def _snappy(data: bytes) -> bytes:
    """Blocks of their sizes: aiokafka takes a last one that is cut, and a stream of none for one."""
    if not data.startswith(_XERIAL):
        return bytes(stock.snappy_decode(data))
    out, cursor = b"", Cursor(data, len(_XERIAL))
    while not cursor.is_read:
        block = cursor.take(int.from_bytes(cursor.take(4), "big", signed=True))
        out += bytes(cramjam.snappy.decompress_raw(block))
    return out


_DECODE = {
    1: stock.gzip_decode, 2: _snappy, 3: stock.lz4_decode, 4: stock.zstd_decode,
}  # fmt: skip


def read(data: bytes, position: int) -> tuple[list[Row], bool]:
    """The records of a response from an offset on, and whether a broken batch ends them."""
    rows: list[Row] = []
    at = end = 0
    try:
        while (size := _whole_batch(data, at)) > 0:
            batch, end = _batch(data[at : at + size], end, position)
            rows += [row for row in batch if row[0] >= position]
            at += size
    except Broken:
        return rows, True
    return rows, False


def _whole_batch(data: bytes, at: int) -> int:
    """Size of the batch at a position, 0 when there is none or only the beginning of one."""
    left = len(data) - at
    if left < 12:
        return 0
    size = 12 + int.from_bytes(data[at + 8 : at + 12], "big", signed=True)
    is_other = left > 16 and data[at + 16] != 2
    if is_other or size < 61 or (at == 0 and size > left):
        raise Broken
    return size if size <= left else 0


def _batch(data: bytes, earliest: int, position: int) -> tuple[list[Row], int]:
    base, _, _, magic, crc, attributes, delta, first_ms, max_ms, _, _, _, count = _HEADER.unpack(
        data[:61]
    )
    if magic != 2 or crc32c.crc32c(data[21:]) != crc:
        raise Broken
    if base < earliest or delta < 0 or base + delta > 2**63 - 2 or not 0 <= count <= delta + 1:
        raise Broken
    body = data[61:]
    if attributes & 7 > 4:
        raise Broken
    if attributes & 0x20 or base + delta < position:  # a control batch, or read before
        return [], base + delta + 1
    if attributes & 7 and body:
        try:
            body = bytes(_DECODE[attributes & 7](body))
        except Exception as exc:  # codecs raise whatever they like
            raise Broken from exc
    cursor, rows, previous = Cursor(body), list[Row](), -1
    for _ in range(count):
        later, step, key, value = _record(Cursor(cursor.take(cursor.varint())))
        time_ms = max_ms if attributes & 8 else first_ms + later
        if not previous < step <= delta or time_ms not in _INT64:
            raise Broken
        previous = step
        rows.append((base + step, time_ms, key, value))
    if not cursor.is_read:
        raise Broken
    return rows, base + delta + 1


def _record(record: Cursor) -> tuple[int, int, bytes | None, bytes | None]:
    record.take(1)
    found = record.varint(), record.varint(), record.content(), record.content()
    count = record.varint()
    if count < 0 or count > len(record.data):
        raise Broken
    for _ in range(count):
        if record.content() is None:
            raise Broken
        record.content()
    if not record.is_read:
        raise Broken
    return found
