"""Columns to Kafka record batches (format v2), a batch at a time.

The layout is the protocol guide's "Record Batch" (kafka.apache.org/documentation, Messages): a
61-byte header, then records of zigzag varints. Building a whole batch from spans costs a fraction of
one Python object per record. Reading them is `stream.kafka.records`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cramjam
import crc32c
import numpy as np

from stream.columns import Bytes, Float32s, Spans
from stream.kafka import record_write_kernels as kernels
from stream.kafka.headers import Header, varint, write_header, write_headers
from stream.kafka.record_kernels import HEADER_BYTES

Codec = Literal["none", "lz4", "zstd"]
_CODEC_BITS = {"none": 0, "lz4": 3, "zstd": 4}
_LZ4_LEVEL, _ZSTD_LEVEL = 9, 3  # the broker's own
CRC_START = 21
"""The checksum covers everything from the attributes on."""

NO_PRODUCER = -1


@dataclass(slots=True)
class RecordBatch:
    """One encoded batch, complete but for the producer's identity and the checksum.

    Attributes:
        buffer: Header and records. Changed in place by `seal`.
        records: Number of records.
    """

    buffer: bytearray
    records: int

    def seal(self, producer_id: int, producer_epoch: int, base_sequence: int) -> bytearray:
        """Writes the idempotent producer's identity and the checksum; returns the bytes to send."""
        identity = np.array([producer_id], ">i8").tobytes()
        self.buffer[43:51] = identity
        self.buffer[51:53] = producer_epoch.to_bytes(2, "big", signed=True)
        self.buffer[53:57] = base_sequence.to_bytes(4, "big", signed=True)
        checksum = crc32c.crc32c(memoryview(self.buffer)[CRC_START:])
        self.buffer[17:21] = checksum.to_bytes(4, "big")
        return self.buffer


def build_batches(
    key: Spans,
    value: Spans,
    timestamp_ms: int,
    *,
    headers: Sequence[tuple[str, bytes]] = (),
    vectors: Sequence[tuple[str, Float32s | Bytes]] = (),
    own_headers: Sequence[Sequence[Header]] | None = None,
    batch_bytes_max: int = 900_000,
    codec: Codec = "none",
) -> list[RecordBatch]:
    """Encodes n records into as few batches as the size allows.

    Args:
        key: Record keys. n spans.
        value: Record values. n spans.
        timestamp_ms: CreateTime of all records, epoch milliseconds.
        headers: Headers that every record carries.
        vectors: Names of more headers and their values per record, as little-endian bytes.
            Shape (n, width) each, float32 or uint8.
        own_headers: Instead of vectors: more headers of each record, behind those of all.
        batch_bytes_max: Largest batch before compression; stay below the topic's
            max.message.bytes. A single larger record gets a batch of its own.
        codec: Compression of the records.

    Returns:
        Batches in the order of the records.
    """
    assert not vectors or own_headers is None, "one kind of headers per record"
    count, own = len(headers) + len(vectors), _no_headers(len(key))
    constant = b"".join(write_header(name, content) for name, content in headers)
    if vectors:
        first_name, own = _side_by_side(vectors)
        constant += first_name
    fixed = np.frombuffer(varint(count) + constant, np.uint8)
    if own_headers is not None:  # one record may have more of them than another
        own, fixed = Spans.of([_all_headers(headers, more) for more in own_headers]), fixed[:0]
    sizes = kernels.record_sizes(key.size, value.size, own.size, len(fixed))
    batches = []
    first = 0
    while first < len(key):
        last = kernels.batch_end(sizes, first, batch_bytes_max - HEADER_BYTES)
        body = np.empty(int(sizes[first:last].sum()), np.uint8)
        used = kernels.write_records(
            key.data, key.start, key.size, value.data, value.start, value.size,
            own.data, own.start, own.size, fixed, first, last, body,
        )  # fmt: skip
        batches.append(_frame(body[:used], last - first, timestamp_ms, codec))
        first = last
    return batches


def _no_headers(n: int) -> Spans:
    return Spans(np.empty(0, np.uint8), np.zeros(n, np.int64), np.zeros(n, np.int64))


def _all_headers(shared: Sequence[Header], own: Sequence[Header]) -> bytes:
    return write_headers([*shared, *own]) or varint(0)


def _side_by_side(vectors: Sequence[tuple[str, Float32s | Bytes]]) -> tuple[bytes, Spans]:
    """What stands before the first value in every record, and from there on of each of n records."""
    (first, own), *others = ((_head(name, values), _bytes_of(values)) for name, values in vectors)
    for head, more in others:
        width = own.shape[1] + len(head) + more.shape[1]
        wider = np.empty((len(own), width), np.uint8)
        kernels.put_side_by_side(own, np.frombuffer(head, np.uint8), more, wider)
        own = wider
    return first, _rows(own.reshape(-1), len(own), own.shape[1])


def _head(name: str, values: Float32s | Bytes) -> bytes:
    """What stands before a value in a header."""
    width = values.shape[1] * values.itemsize
    return varint(len(name.encode())) + name.encode() + varint(width)


def _bytes_of(values: Float32s | Bytes) -> Bytes:
    n, width = len(values), values.shape[1] * values.itemsize
    return np.ascontiguousarray(values).view(np.uint8).reshape(n, width)


def _rows(data: Bytes, n: int, width: int) -> Spans:
    return Spans(data, np.arange(n, dtype=np.int64) * width, np.full(n, width, np.int64))


def _compressed(body: bytes, codec: Codec) -> bytes:
    if codec == "none":
        return body
    if codec == "zstd":
        return bytes(cramjam.zstd.compress(body, level=_ZSTD_LEVEL))
    # Kafka reads no linked blocks.
    compressor = cramjam.lz4.Compressor(
        level=_LZ4_LEVEL, content_checksum=False, block_linked=False
    )
    compressor.compress(body)
    return bytes(compressor.finish())


def _frame(body: Bytes, records: int, timestamp_ms: int, codec: Codec) -> RecordBatch:
    """Puts the 61-byte header before the records; producer and checksum stay open until `seal`."""
    payload = _compressed(body.tobytes(), codec)
    head = (
        (0).to_bytes(8, "big")  # base offset: the broker assigns it
        + (len(payload) + HEADER_BYTES - 12).to_bytes(4, "big")
        + (-1).to_bytes(4, "big", signed=True)  # partition leader epoch: unknown
        + b"\x02"
        + bytes(4)
        + _CODEC_BITS[codec].to_bytes(2, "big")
        + (records - 1).to_bytes(4, "big")
        + timestamp_ms.to_bytes(8, "big", signed=True) * 2
        + (NO_PRODUCER).to_bytes(8, "big", signed=True)
        + (-1).to_bytes(2, "big", signed=True)
        + (-1).to_bytes(4, "big", signed=True)
        + records.to_bytes(4, "big")
    )
    return RecordBatch(bytearray(head + payload), records)
