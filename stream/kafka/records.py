"""Kafka record batches (format v2) to columns, a fetch response at a time.

The layout is the protocol guide's "Record Batch" (kafka.apache.org/documentation, Messages): a
61-byte header, then records of zigzag varints. Parsing a whole fetch response into spans costs a
fraction of one Python object per record. Writing them is `stream.kafka.record_builder`.

Rules of this file
1. Spans point into the response as it came; bytes are copied only out of compressed batches.
2. A batch that does not follow the format raises, after everything before it was given out; a
   truncated last batch is how fetches end, and is left.
3. Control batches and aborted transactions are stepped over, never shown.
4. So is what the skip list names: a batch all of whose offsets are on it is not even looked into.
5. What a response unpacks to stays within a bound: the batches beyond it are left to the next fetch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from stream.columns import Bytes, Int64s, RecordChunk, Spans
from stream.kafka import record_kernels as kernels
from stream.kafka.batch_checks import CorruptRecords, Fault, Place, record_fault
from stream.kafka.batch_choice import Choice
from stream.kafka.record_builder import NO_PRODUCER, Codec, RecordBatch, build_batches
from stream.kafka.skip_list import ReadRules, Skipped
from stream.kafka.unpack import Damaged, TooLarge, Unpacker

__all__ = [
    "NO_PRODUCER",
    "AbortedTransaction",
    "Codec",
    "CorruptRecords",
    "RecordBatch",
    "RecordReader",
    "build_batches",
]

_NO_RULES = ReadRules()


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
        rules: Bound of what is unpacked, and the skip list.
        on_skip: Told of what the skip list has left out.

    Attributes:
        next_offset: Offset to read next, after the chunks given out so far.

    Raises:
        CorruptRecords: While iterating: the next batch does not follow the format.
    """

    def __init__(
        self,
        topic: str,
        partition: int,
        data: bytes,
        position: int,
        chunk_records_max: int,
        aborted: Sequence[AbortedTransaction] | None = None,
        rules: ReadRules = _NO_RULES,
        on_skip: Callable[[Skipped], None] = lambda _skipped: None,
    ) -> None:
        self._place = Place(topic, partition, rules)
        self._position = position
        self._step = chunk_records_max
        self._aborted = sorted(aborted or (), key=lambda txn: txn.first_offset)
        self._skip_aborted = aborted is not None
        self._data = data
        self._chunks: Iterator[RecordChunk] | None = None
        self._on_skip = on_skip
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
        buffer = np.frombuffer(self._data, np.uint8)
        header = kernels.read_headers(buffer)
        choice = Choice(self._place, self._position)
        choice.look(self._data, header.tolist(), self._is_wanted)
        payload, table = self._payload(buffer, header[choice.rows], choice)
        columns, bad, record, why = kernels.read_records(payload, table, self._position)
        if bad >= 0:
            row = header[choice.rows[bad]].tolist()
            choice.cut(bad, row, record_fault(why, record, row[kernels.COUNT]))
        columns = choice.without_skipped(columns)
        choice.tell_skipped(self._on_skip)
        yield from self._slices(payload, columns, choice.end, header)
        self.next_offset = max(self.next_offset, choice.end)
        if choice.fault is not None:
            raise choice.fault

    def _is_wanted(self, row: list[int]) -> bool:
        """Whether a batch is shown; False for control batches and aborted transactions."""
        base = row[kernels.BASE_OFFSET]
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

    def _payload(self, buffer: Bytes, header: Int64s, choice: Choice) -> tuple[Bytes, Int64s]:
        """The bytes that hold the records, and where each batch's records stand in them."""
        codecs = header[:, kernels.ATTRIBUTES] & kernels.CODEC_MASK
        table = header.copy()
        table[:, kernels.START] += kernels.HEADER_BYTES
        if not codecs.any():
            return buffer, table
        packed = int((table[:, kernels.STOP] - table[:, kernels.START]).sum())
        unpacker = Unpacker(self._place.rules.unpacked_bytes_max, packed)
        data = memoryview(self._data)
        for k, (row, codec) in enumerate(zip(table, codecs.tolist(), strict=True)):
            fault = placed = None
            try:
                placed = unpacker.add(codec, data[row[kernels.START] : row[kernels.STOP]])
            except TooLarge as exc:
                fault = Fault(str(exc), "raise worker.unpacked_bytes_max if the batch is honest")
            except Damaged as exc:
                fault = Fault(str(exc))
            if placed is None:
                choice.cut(k, header[k].tolist(), fault)
                return unpacker.bytes(), table[:k]
            row[kernels.START], row[kernels.STOP] = placed
        return unpacker.bytes(), table

    def _slices(
        self, payload: Bytes, columns: Int64s, end: int, header: Int64s
    ) -> Iterator[RecordChunk]:
        n = columns.shape[1]
        topic, partition, _ = self._place
        headers = _headers(payload, columns)
        base, leader_epoch = header[:, kernels.BASE_OFFSET], header[:, kernels.LEADER_EPOCH]
        for low in range(0, n, self._step):
            high = min(low + self._step, n)
            offset, timestamp, key_start, key_size, value_start, value_size, _ = columns[
                :, low:high
            ]
            yield RecordChunk(
                topic=topic,
                partition=partition,
                offset=offset,
                timestamp_ms=timestamp,
                key=Spans(payload, key_start, key_size),
                value=Spans(payload, value_start, value_size),
                next_offset=end if high == n else int(columns[0, high]),
                leader_epoch=int(leader_epoch[np.searchsorted(base, offset[-1], "right") - 1]),
                headers=None if headers is None else headers.take(slice(low, high)),
            )


def _headers(payload: Bytes, columns: Int64s) -> Spans | None:
    """The headers of all records, which stand behind their values; None when none has any."""
    value_start, value_size, size = columns[4:]
    if not size.any():
        return None
    return Spans(payload, value_start + np.maximum(value_size, 0), size)
