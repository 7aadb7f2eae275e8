"""Record headers: on the wire and back, found by name, and never beyond their bytes."""

from __future__ import annotations

import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import RecordChunk, Spans, split
from stream.kafka.headers import (
    Header,
    header_spans,
    last_contents,
    read_headers,
    varint,
    write_headers,
)
from stream.kafka.records import RecordReader, build_batches
from stream.kafka.skip_list import without_skipped

NAMES = ["", "ce_id", "content-type", "größe", "n" * 70]
headers_strategy = st.lists(
    st.tuples(st.sampled_from(NAMES), st.none() | st.binary(max_size=90)), max_size=5
)


def chunks(
    records: list[list[Header]], codec: int = 0, step: int = 3, value: bytes | None = b"v"
) -> list[RecordChunk]:
    """Records with these headers, written by aiokafka and read by us."""
    builder = DefaultRecordBatchBuilder(
        2, codec, is_transactional=0, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 20,
    )  # fmt: skip
    for i, own in enumerate(records):
        builder.append(i, 0, key=b"k", value=value, headers=own)
    return list(RecordReader("t", 0, bytes(builder.build()), 0, step))


def said(chunk: RecordChunk) -> list[list[Header]]:
    if chunk.headers is None:
        return [[] for _ in range(len(chunk))]
    return [read_headers(chunk.headers[i]) for i in range(len(chunk))]


@given(
    st.lists(headers_strategy, min_size=1, max_size=8), st.sampled_from([0, 1, 4]),
    st.none() | st.binary(max_size=3),
)  # fmt: skip
@settings(deadline=None, max_examples=60)
def test_a_chunk_has_the_headers_that_aiokafka_wrote(
    records: list[list[Header]], codec: int, value: bytes | None
) -> None:
    read = chunks(records, codec, value=value)
    assert [own for chunk in read for own in said(chunk)] == records
    assert all(chunk.headers is None for chunk in read) == (not any(records))


@given(st.lists(headers_strategy, min_size=1, max_size=5), headers_strategy)
@settings(deadline=None, max_examples=60)
def test_aiokafka_reads_the_headers_of_each_record(
    records: list[list[Header]], shared: list[Header]
) -> None:
    everywhere = [(name, content or b"") for name, content in shared]
    spans = Spans.of([b"k"] * len(records))
    (batch,) = build_batches(spans, spans, 0, headers=everywhere, own_headers=records)
    stock = MemoryRecords(bytes(batch.seal(-1, -1, -1))).next_batch()
    assert stock is not None
    assert [list(record.headers) for record in stock] == [[*everywhere, *own] for own in records]


@given(headers_strategy)
def test_what_is_written_is_read(headers: list[Header]) -> None:
    assert read_headers(write_headers(headers)) == headers


def test_golden_bytes_of_headers() -> None:
    assert write_headers([("ce_id", b"7"), ("n", None), ("", b"")]).hex() == (
        "06" "0a63655f6964" "0237" "026e" "01" "00" "00"
    )  # fmt: skip
    assert write_headers([]) == b""
    assert read_headers(None) == read_headers(b"") == read_headers(b"\0") == []


def test_a_name_that_is_no_text_comes_back_as_it_was() -> None:
    raw = varint(1) + varint(2) + b"\xff\x41" + varint(-1)
    assert write_headers(read_headers(raw)) == raw


def last(headers: list[Header], name: str) -> bytes | None:
    found = [content for one, content in headers if one == name]
    return found[-1] if found else None


@given(st.lists(headers_strategy, min_size=1, max_size=6), st.sampled_from(NAMES))
@settings(deadline=None)
def test_the_last_header_of_a_name_is_found(records: list[list[Header]], name: str) -> None:
    spans = header_spans(records)
    if spans is None:
        assert not any(records)
        return
    found = last_contents(spans, name.encode())
    assert [found[i] for i in range(len(found))] == [last(own, name) for own in records]
    assert np.shares_memory(found.data, spans.data)


@given(headers_strategy, st.data())
@settings(deadline=None, max_examples=300)
def test_broken_headers_end_where_they_break(headers: list[Header], data: st.DataObject) -> None:
    raw = bytearray(write_headers(headers) or b"\0")
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(st.binary(max_size=3))
    read = read_headers(bytes(raw))
    framed = Spans(
        np.frombuffer(b"\x02\x02\x02" + bytes(raw) + b"\x02\x02\x02", np.uint8), np.array([3]),
        np.array([len(raw)]),
    )  # fmt: skip
    for name in {name for name, _ in read} | set(NAMES):
        found = last_contents(framed, name.encode("utf-8", "surrogateescape"))
        assert found[0] == last(read, name)


def test_sizes_that_wrap_are_no_sizes() -> None:
    for huge in (2**63 - 1, -(2**63), 2**31, -2):
        for raw in (
            varint(huge) + bytes(40),
            varint(1) + varint(huge) + bytes(40),
            varint(1) + varint(1) + b"h" + varint(huge) + bytes(40),
        ):
            assert read_headers(raw) == []
            found = last_contents(Spans.of([raw]), b"h")
            assert found[0] is None


def test_more_headers_than_there_is_room_for_are_none() -> None:
    one = write_headers([("h", b"content")])
    raw = varint(100) + one[1:]
    assert read_headers(raw) == []
    assert last_contents(Spans.of([raw]), b"h")[0] is None
    assert last_contents(Spans.of([one]), b"h")[0] == b"content"


def test_headers_go_with_their_records() -> None:
    records: list[list[Header]] = [[("n", b"%d" % i)] * (i % 3) for i in range(7)]
    (chunk,) = chunks(records, step=100)
    before, after = split(chunk, 4)
    assert said(before) + said(after) == records
    assert said(chunk.take(np.array([5, 2]))) == [records[5], records[2]]
    assert said(without_skipped(chunk, ((1, 3),))) == [records[0], *records[3:]]
