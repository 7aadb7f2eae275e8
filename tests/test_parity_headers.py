"""Where the vector stands in the headers of a record."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream import record_kernels
from stream.columns import Spans
from stream.decisions_reader import vectors
from stream.records import CorruptRecords
from tests.parity_harness import Record, chunk_of


@given(st.lists(st.tuples(st.one_of(st.none(), st.binary(max_size=20)),
                          st.lists(st.tuples(st.sampled_from(["a", "features", "featuresx", "é"]),
                                             st.one_of(st.none(), st.binary(max_size=200))),
                                   max_size=4)), min_size=1, max_size=20))  # fmt: skip
@settings(deadline=None, max_examples=80)
def test_a_header_is_found_where_aiokafka_wrote_it(records: list[tuple[bytes | None, Any]]) -> None:
    chunk = chunk_of("t", [Record(b"k", value, headers) for value, headers in records])
    out = np.empty((2, len(chunk)), np.int64)
    name = np.frombuffer(b"features", np.uint8)
    bad = record_kernels.find_header(
        chunk.value.data, chunk.value.start, chunk.value.size, name, out
    )
    assert bad == -1
    found = Spans(chunk.value.data, *out)
    expected = [
        next((b for key, b in headers if key == "features" and b is not None), None)
        for _, headers in records
    ]
    assert [found[i] for i in range(len(found))] == expected


def test_headers_that_are_cut_off_are_refused() -> None:
    chunk = chunk_of("t", [Record(b"k", b"v", [("a", b"1"), ("features", b"12345678")])])
    value, name = chunk.value, np.frombuffer(b"features", np.uint8)
    out = np.empty((2, 1), np.int64)
    for stop in range(int(value.start[0]) + 1, len(value.data) + 1):
        cut = value.data[:stop].copy()
        bad = record_kernels.find_header(cut, value.start, value.size, name, out)
        assert bad == (-1 if stop == len(value.data) else 0), stop


@given(st.binary(max_size=40))
@settings(deadline=None, max_examples=200)
def test_no_headers_are_read_beyond_the_buffer(data: bytes) -> None:
    buffer = np.frombuffer(b"\x04\x02a" + data + b"\xff", np.uint8)
    out = np.empty((2, 1), np.int64)
    where = np.zeros(1, np.int64)
    name = np.frombuffer(b"a", np.uint8)
    if record_kernels.find_header(buffer, where, where, name, out) < 0:
        assert out[1, 0] == -1 or 0 <= out[0, 0] <= out[0, 0] + out[1, 0] <= len(buffer)


def test_a_record_with_broken_headers_stops_the_check() -> None:
    chunk = chunk_of("t", [Record(b"k", b"v")])
    data = chunk.value.data.copy()
    data[chunk.value.start[0] + 1] = 0x7F  # so many headers
    broken = replace(chunk, value=Spans(data, chunk.value.start, chunk.value.size))
    with pytest.raises(CorruptRecords, match="t/0: expected headers of format v2 at offset 0"):
        vectors(broken, np.arange(1), 2)
