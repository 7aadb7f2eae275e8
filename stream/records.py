"""Kafka record batches (format v2) to columns and back, a batch at a time.

The layout is the protocol guide's "Record Batch" (kafka.apache.org/documentation, Messages): a
61-byte header, then records of zigzag varints. Parsing a whole fetch response into spans and
building a whole batch from spans costs a fraction of one Python object per record.

Rules of this file
1. Spans point into the response as it came; bytes are copied only out of compressed batches.
2. A batch with a wrong checksum raises; a truncated last batch is how fetches end, and is left.
3. Control batches and aborted transactions are stepped over, never shown.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, cast

import aiokafka.codec
import crc32c
import numpy as np

from stream import record_kernels as kernels
from stream.columns import Bytes, Float32s, Int64s, RecordChunk, Spans
from stream.errors import OperatorError

Codec = Literal["none", "lz4", "zstd"]
_CODEC_BITS = {"none": 0, "lz4": 3, "zstd": 4}
_ENCODE = {"lz4": aiokafka.codec.lz4_encode, "zstd": aiokafka.codec.zstd_encode}
_DECODE = {
    1: aiokafka.codec.gzip_decode,
    2: aiokafka.codec.snappy_decode,
    3: aiokafka.codec.lz4_decode,
    4: aiokafka.codec.zstd_decode,
}
_CRC_START = 21  # the checksum covers everything from the attributes on
NO_PRODUCER = -1


class CorruptRecords(OperatorError):
    """A fetched record batch fails its checksum or does not follow the format."""


@dataclass(frozen=True, slots=True)
class AbortedTransaction:
    """An aborted transaction listed in a fetch response: skip its batches from first_offset on."""

    producer_id: int
    first_offset: int


class RecordReader(Iterator[RecordChunk]):
    """The records of one partition of one fetch response, as chunks.

    Args:
        topic: Topic of the records.
        partition: Partition of the records.
        data: Record batches as fetched.
        position: Offset that was asked for; a batch may begin before it.
        chunk_records_max: Most records in one chunk.
        aborted: Aborted transactions to leave out (read_committed), None to read everything.

    Attributes:
        next_offset: Offset to read next, after the chunks given out so far.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        data: bytes,
        position: int,
        chunk_records_max: int,
        aborted: Sequence[AbortedTransaction] | None = None,
    ) -> None:
        self._topic = topic
        self._partition = partition
        self._position = position
        self._step = chunk_records_max
        self._aborted = sorted(aborted or (), key=lambda txn: txn.first_offset)
        self._skip_aborted = aborted is not None
        self._data = data
        self._chunks: Iterator[RecordChunk] | None = None
        self.next_offset = position

    def __iter__(self) -> RecordReader:
        return self

    def __next__(self) -> RecordChunk:
        if self._chunks is None:
            self._chunks = self._parse()
        chunk = next(self._chunks)
        self.next_offset = chunk.next_offset
        return chunk

    def _parse(self) -> Iterator[RecordChunk]:
        where = f"{self._topic}/{self._partition}"
        buffer = np.frombuffer(self._data, np.uint8)
        header = kernels.read_headers(buffer)
        end = self._position
        wanted = []
        for i, row in enumerate(header.tolist()):
            end = row[kernels.BASE_OFFSET] + row[kernels.LAST_DELTA] + 1
            if self._is_wanted(row, where) and end > self._position:
                wanted.append(i)
        payload, table = self._payload(buffer, header[wanted], where)
        columns, bad = kernels.read_records(payload, table, self._position)
        if bad >= 0:
            raise CorruptRecords(f"{where}: record {bad} of the batch does not follow format v2")
        yield from self._slices(payload, columns, end)
        self.next_offset = max(self.next_offset, end)

    def _is_wanted(self, row: list[int], where: str) -> bool:
        """Checks one batch; False for control batches and aborted transactions."""
        start, stop = row[kernels.START], row[kernels.STOP]
        base = row[kernels.BASE_OFFSET]
        if row[kernels.MAGIC] != 2:
            raise CorruptRecords(
                f"{where}: expected record format v2 at offset {base}, got v{row[kernels.MAGIC]} "
                "(written before Kafka 0.11). Operator action: copy the topic with a current client"
            )
        found = crc32c.crc32c(memoryview(self._data)[start + _CRC_START : stop])
        if found != row[kernels.CRC]:
            raise CorruptRecords(
                f"{where}: expected checksum {row[kernels.CRC]:#010x} at offset {base}, "
                f"got {found:#010x}. Operator action: check the broker's disk and network"
            )
        attributes = row[kernels.ATTRIBUTES]
        producer = row[kernels.PRODUCER_ID]
        if attributes & kernels.CONTROL_BIT:
            if self._skip_aborted:
                self._aborted = [
                    txn
                    for txn in self._aborted
                    if txn.producer_id != producer or txn.first_offset > base
                ]
            return False
        return not (
            self._skip_aborted
            and attributes & kernels.TRANSACTION_BIT
            and any(t.producer_id == producer and t.first_offset <= base for t in self._aborted)
        )

    def _payload(self, buffer: Bytes, header: Int64s, where: str) -> tuple[Bytes, Int64s]:
        """The bytes that hold the records, and where each batch's records stand in them."""
        codecs = header[:, kernels.ATTRIBUTES] & kernels.CODEC_MASK
        table = header.copy()
        table[:, kernels.START] += kernels.HEADER_BYTES
        if not codecs.any():
            return buffer, table
        parts: list[bytes] = []
        at = 0
        for row, codec in zip(table, codecs.tolist(), strict=True):
            body = self._data[row[kernels.START] : row[kernels.STOP]]
            if codec:
                decode = _DECODE.get(codec)
                if decode is None:
                    raise CorruptRecords(f"{where}: expected compression codec 0 to 4, got {codec}")
                body = decode(body)
            row[kernels.START], row[kernels.STOP] = at, at + len(body)
            at += len(body)
            parts.append(body)
        return np.frombuffer(b"".join(parts), np.uint8), table

    def _slices(self, payload: Bytes, columns: Int64s, end: int) -> Iterator[RecordChunk]:
        n = columns.shape[1]
        for low in range(0, n, self._step):
            high = min(low + self._step, n)
            offset, timestamp, key_start, key_size, value_start, value_size = columns[:, low:high]
            yield RecordChunk(
                topic=self._topic,
                partition=self._partition,
                offset=offset,
                timestamp_ms=timestamp,
                key=Spans(payload, key_start, key_size),
                value=Spans(payload, value_start, value_size),
                next_offset=end if high == n else int(columns[0, high]),
            )


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
        checksum = crc32c.crc32c(memoryview(self.buffer)[_CRC_START:])
        self.buffer[17:21] = checksum.to_bytes(4, "big")
        return self.buffer


def build_batches(
    key: Spans,
    value: Spans,
    timestamp_ms: int,
    *,
    headers: Sequence[tuple[str, bytes]] = (),
    vectors: tuple[str, Float32s] | None = None,
    own_headers: Sequence[Sequence[tuple[str, bytes]]] | None = None,
    batch_bytes_max: int = 900_000,
    codec: Codec = "none",
) -> list[RecordBatch]:
    """Encodes n records into as few batches as the size allows.

    Args:
        key: Record keys. n spans.
        value: Record values. n spans.
        timestamp_ms: CreateTime of all records, epoch milliseconds.
        headers: Headers that every record carries.
        vectors: Name of one more header and its value per record, float32 as little-endian bytes.
            Shape (n, width).
        own_headers: Instead of vectors: more headers of each record, as many for each.
        batch_bytes_max: Largest batch before compression; stay below the topic's
            max.message.bytes. A single larger record gets a batch of its own.
        codec: Compression of the records.

    Returns:
        Batches in the order of the records.
    """
    assert vectors is None or own_headers is None, "one kind of headers per record"
    count, own = len(headers), _no_headers(len(key))
    constant = b"".join(_header(name, content) for name, content in headers)
    if vectors is not None:
        count += 1
        matrix = np.ascontiguousarray(vectors[1], "<f4")
        width = matrix.shape[1] * 4
        constant += _varint(len(vectors[0].encode())) + vectors[0].encode() + _varint(width)
        own = _rows(matrix.reshape(-1).view(np.uint8), len(key), width)
    elif own_headers:
        count += len(own_headers[0])
        own = Spans.of([b"".join(_header(k, v) for k, v in record) for record in own_headers])
    fixed = np.frombuffer(_varint(count) + constant, np.uint8)
    sizes = kernels.record_sizes(key.size, value.size, own.size, len(fixed))
    batches = []
    first = 0
    while first < len(key):
        last = kernels.batch_end(sizes, first, batch_bytes_max - kernels.HEADER_BYTES)
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


def _rows(data: Bytes, n: int, width: int) -> Spans:
    return Spans(data, np.arange(n, dtype=np.int64) * width, np.full(n, width, np.int64))


def _frame(body: Bytes, records: int, timestamp_ms: int, codec: Codec) -> RecordBatch:
    """Puts the 61-byte header before the records; producer and checksum stay open until `seal`."""
    payload = body.tobytes() if codec == "none" else cast(bytes, _ENCODE[codec](body.tobytes()))
    head = (
        (0).to_bytes(8, "big")  # base offset: the broker assigns it
        + (len(payload) + kernels.HEADER_BYTES - 12).to_bytes(4, "big")
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


def _header(name: str, content: bytes) -> bytes:
    encoded = name.encode()
    return _varint(len(encoded)) + encoded + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Zigzag varint of a small number, as in the record format."""
    rest = (value << 1) ^ (value >> 63)
    out = bytearray()
    while rest > 0x7F:
        out.append((rest & 0x7F) | 0x80)
        rest >>= 7
    out.append(rest)
    return bytes(out)
