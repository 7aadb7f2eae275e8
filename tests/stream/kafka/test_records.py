"""Record batches against aiokafka's own reader and writer, and against broken bytes."""

from __future__ import annotations

from contextlib import suppress

import crc32c
import numpy as np
import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import Spans
from stream.kafka.records import (
    AbortedTransaction,
    Codec,
    CorruptRecords,
    RecordReader,
    build_batches,
)

Record = tuple[bytes | None, bytes | None]
content = st.one_of(st.none(), st.binary(max_size=200))
records_strategy = st.lists(st.tuples(content, content), min_size=1, max_size=60)


def stock_batch(records: list[Record], base: int, codec: int = 0, **state: int) -> bytes:
    """A batch by aiokafka, placed at a base offset as a broker would."""
    builder = DefaultRecordBatchBuilder(
        2, codec, is_transactional=state.get("transactional", 0), producer_id=-1,
        producer_epoch=-1, base_sequence=-1, batch_size=1 << 20,
    )  # fmt: skip
    for i, (key, value) in enumerate(records):
        builder.append(i, 1_700_000_000_000 + i, key=key, value=value, headers=[("h", b"1")])
    if "producer_id" in state:
        builder.set_producer_state(state["producer_id"], 0, 0)
    raw = bytearray(builder.build())
    raw[:8] = base.to_bytes(8, "big")
    return bytes(raw)


def read(data: bytes, position: int = 0, step: int = 1000, **options: object) -> RecordReader:
    return RecordReader("t", 0, data, position, step, **options)  # type: ignore[arg-type]


def rows(reader: RecordReader) -> list[tuple[int, int, bytes | None, bytes | None]]:
    return [
        (int(c.offset[i]), int(c.timestamp_ms[i]), c.key[i], c.value[i])
        for c in reader
        for i in range(len(c))
    ]


@given(records_strategy, st.sampled_from([0, 1, 2, 3, 4]), st.integers(0, 70), st.integers(1, 25))
@settings(deadline=None, max_examples=60)
def test_reads_what_aiokafka_wrote(
    records: list[Record], codec: int, position: int, step: int
) -> None:
    half = len(records) // 2
    data = b"".join(
        stock_batch(part, base, codec)
        for part, base in ((records[:half], 0), (records[half:], half))
        if part
    )
    reader = read(data + data[:30], position, step)  # and the cut-off batch that ends a fetch
    expected = [
        (i, 1_700_000_000_000 + (i if i < half else i - half), key, value)
        for i, (key, value) in enumerate(records)
        if i >= position
    ]
    assert rows(reader) == expected
    assert reader.next_offset == max(position, len(records))


@given(records_strategy, st.sampled_from(["none", "lz4", "zstd"]), st.integers(100, 3000))
@settings(deadline=None, max_examples=60)
def test_aiokafka_reads_what_is_written(records: list[Record], codec: Codec, limit: int) -> None:
    vectors = np.arange(2 * len(records), dtype=np.float32).reshape(-1, 2)
    places = np.arange(3 * len(records), dtype=np.uint8).reshape(-1, 3)
    batches = build_batches(
        Spans.of([k for k, _ in records]), Spans.of([v for _, v in records]), 1_700_000_000_123,
        headers=[("type", b"x")], vectors=[("p", places), ("v", vectors)], batch_bytes_max=limit, codec=codec,
    )  # fmt: skip
    seen: list[Record] = []
    for batch in batches:
        stock = MemoryRecords(bytes(batch.seal(9, 1, len(seen)))).next_batch()
        assert stock is not None
        assert stock.validate_crc()
        assert (stock.producer_id, stock.producer_epoch, stock.base_sequence) == (9, 1, len(seen))
        for record in stock:
            assert record.timestamp == 1_700_000_000_123
            of_both = [("p", places[len(seen)].tobytes()), ("v", vectors[len(seen)].tobytes())]
            expected = [("type", b"x"), *of_both]
            assert [(name, bytes(value)) for name, value in record.headers] == expected
            seen.append((record.key, record.value))
    assert seen == records


def test_headers_of_each_records_own() -> None:
    own = [[("code", b"a"), ("why", b"first")], [("code", b"bb"), ("why", b"")]]
    (batch,) = build_batches(Spans.of([b"k", None]), Spans.of([None, b"v"]), 0, own_headers=own)
    stock = MemoryRecords(bytes(batch.seal(-1, -1, -1))).next_batch()
    assert stock is not None
    assert [[(k, bytes(v or b"")) for k, v in record.headers] for record in stock] == own


def test_batches_stay_within_their_size_and_an_oversize_record_travels_alone() -> None:
    values: list[bytes | None] = [b"x" * 50, b"y" * 5000, b"z" * 50]
    batches = build_batches(Spans.of([b"k"] * 3), Spans.of(values), 0, batch_bytes_max=1000)
    assert [batch.records for batch in batches] == [1, 1, 1]
    assert [len(batch.buffer) > 1000 for batch in batches] == [False, True, False]


def test_golden_bytes_of_a_batch() -> None:
    (batch,) = build_batches(Spans.of([b"k"]), Spans.of([b"v"]), 1, headers=[("h", b"1")])
    assert bytes(batch.seal(2, 3, 4)).hex() == (
        "0000000000000000" "0000003e" "ffffffff" "02" "c30ecc0e" "0000" "00000000"
        "0000000000000001" "0000000000000001" "0000000000000002" "0003" "00000004" "00000001"
        "18" "00" "00" "00" "026b" "0276" "02" "0268" "0231"
    )  # fmt: skip


def test_a_flipped_bit_is_refused_with_its_place() -> None:
    data = bytearray(stock_batch([(b"k", b"value")], 7))
    data[-3] ^= 1
    with pytest.raises(CorruptRecords, match=r"t/0: expected checksum .* at offset 7"):
        list(read(bytes(data), 7))


@given(st.binary(min_size=1, max_size=40), st.integers(61, 100))
@settings(deadline=None, max_examples=200)
def test_no_bytes_behind_a_valid_header_can_make_it_read_astray(junk: bytes, at: int) -> None:
    data = bytearray(stock_batch([(b"key", b"some value"), (b"key", b"another value")], 0))
    data[at : at + len(junk)] = junk[: max(0, len(data) - at)]
    data[17:21] = crc32c.crc32c(bytes(data[21:])).to_bytes(4, "big")
    reader = read(bytes(data[: 12 + int.from_bytes(data[8:12], "big")]))
    with suppress(CorruptRecords):
        for _, _, key, value in rows(reader):
            assert len(key or b"") + len(value or b"") <= len(data)


def test_compacted_batches_move_the_position_past_their_missing_records() -> None:
    raw = bytearray(stock_batch([(b"a", b"1"), (b"b", b"2")], 10))
    raw[23:27] = (9).to_bytes(4, "big")  # last offset delta: eight records were compacted away
    raw[17:21] = crc32c.crc32c(bytes(raw[21:])).to_bytes(4, "big")
    reader = read(bytes(raw), 10)
    assert [row[0] for row in rows(reader)] == [10, 11]
    assert reader.next_offset == 20


def abort_marker(base: int, producer_id: int) -> bytes:
    raw = bytearray(stock_batch([(b"\0\0\0\0", b"")], base, producer_id=producer_id))
    raw[22] |= 0x30
    raw[17:21] = crc32c.crc32c(bytes(raw[21:])).to_bytes(4, "big")
    return bytes(raw)


def test_aborted_transactions_and_control_records_are_left_out() -> None:
    data = (
        stock_batch([(b"a", b"aborted")], 0, producer_id=5, transactional=1)
        + stock_batch([(b"b", b"kept")], 1, producer_id=6, transactional=1)
        + abort_marker(2, 5)
        + stock_batch([(b"c", b"later, committed")], 3, producer_id=5, transactional=1)
        + abort_marker(4, 99)
    )
    reader = read(data, aborted=[AbortedTransaction(producer_id=5, first_offset=0)])
    assert [row[3] for row in rows(reader)] == [b"kept", b"later, committed"]
    assert reader.next_offset == 5
    assert [row[3] for row in rows(read(data))] == [b"aborted", b"kept", b"later, committed"]


def test_an_unknown_codec_is_refused() -> None:
    raw = bytearray(stock_batch([(b"k", b"v")], 0))
    raw[22] |= 6
    raw[17:21] = crc32c.crc32c(bytes(raw[21:])).to_bytes(4, "big")
    with pytest.raises(CorruptRecords, match="compression codec 0 to 4, got 6"):
        list(read(bytes(raw)))


def leader_epochs(
    first_in_batch: list[tuple[int, int, int]], position: int, most: int
) -> list[int]:
    """Of the chunks of a fetch of batches, given as first offset, records and leader epoch."""
    data = b""
    for first, count, epoch in first_in_batch:
        values = Spans.of([b"x"] * count)
        (batch,) = build_batches(values, values, 0)
        raw = batch.seal(-1, -1, -1)
        raw[:8], raw[12:16] = first.to_bytes(8, "big"), epoch.to_bytes(4, "big")
        data += bytes(raw)
    return [chunk.leader_epoch for chunk in RecordReader("events", 0, data, position, most)]


def test_a_chunk_has_the_leader_epoch_of_its_last_record() -> None:
    batches = [(0, 4, 1), (4, 4, 2), (8, 2, 7)]
    assert leader_epochs(batches, 0, 100) == [7]
    assert leader_epochs(batches, 0, 4) == [1, 2, 7]
    assert leader_epochs(batches, 0, 5) == [2, 7]
    assert leader_epochs(batches, 5, 2) == [2, 7, 7]
