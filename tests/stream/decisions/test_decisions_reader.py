"""What the encoder writes in either form is read back, and the vector in the headers."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from stream.columns import Spans
from stream.decisions.reader import epoch_ms, parse, parse_flat, vectors
from stream.kafka import record_kernels
from stream.kafka.records import CorruptRecords
from tests.trainer.parity.parity_harness import Record, chunk_of

DOCS = Path(__file__).parents[3] / "docs" / "decisions.md"


@pytest.fixture(scope="module")
def published() -> list[bytes]:
    """The two messages of the documentation, which are those of the encoder."""
    blocks = DOCS.read_text().split("```json\n")[1:]
    return [block.partition("```")[0].encode() for block in blocks[:2]]


def test_a_decision_is_read_in_its_own_form_alone(published: list[bytes]) -> None:
    event, flat = published
    decision, short = parse(event), parse_flat(flat)
    assert decision is not None
    assert short is not None
    assert (decision.customer, short.customer_id) == ('zoë "z"', 'zoë "z"')
    assert decision.event_id == short.event_id == "022bb90c-bbac"
    assert decision.data.action.strategy == short.strategy == "winback"
    assert decision.data.score == short.score == 0.081
    assert decision.data.event.offset == 4711
    assert epoch_ms(decision.data.event.time) == 1_795_507_199_007
    assert (parse(flat), parse_flat(event), parse(b""), parse(b"\xff")) == (None,) * 4


@pytest.mark.parametrize("changes", [{"offset": -1}, {"time": "2026-11-24T07:59:59"}, {"topic": 1}])
def test_a_decision_that_does_not_tell_its_event_is_none(
    published: list[bytes], changes: dict[str, object]
) -> None:
    message = json.loads(published[0])
    message["data"]["event"] |= changes
    assert parse(json.dumps(message).encode()) is None


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


@given(st.integers(946_684_800_000, 4_102_444_800_000))
@example(1_076_664_076_820)  # as seconds in a float64 a little less
def test_a_time_is_read_to_the_millisecond(time_ms: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time_ms)
    assert epoch_ms(moment) == time_ms
