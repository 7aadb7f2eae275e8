"""JSON and the frame of a registry: read behind it when the campaign says so, and told when not."""

from __future__ import annotations

import json

import numpy as np
import pytest

from stream.campaign.file import EventMapping
from stream.columns import RecordChunk, Spans
from stream.events.decoder import EventDecoder
from stream.events.flaws import Decoded
from stream.formats.framed_json import FramedJson
from stream.formats.warm import compile_kernels
from tests.stream.formats.formats_harness import CATEGORIES, NOW_MS, NUMBERS

EVENT = json.dumps({"userId": "u-1", "type": "view", "properties": {"value": 2.5}}).encode()
FRAME = b"\0\0\0\0\7"


def decode(*values: bytes | None, framed: bool) -> Decoded:
    n = len(values)
    mapping = EventMapping(framed=framed)
    form = FramedJson() if framed else None
    decoder = EventDecoder(mapping, ("view",), NUMBERS, CATEGORIES, value_format=form)
    return decoder.decode(
        RecordChunk(
            "events", 0, np.arange(n), np.full(n, NOW_MS), Spans.of([None] * n), Spans.of(values), n
        ),
        NOW_MS,
    )


def test_json_behind_a_frame_is_read() -> None:
    escaped = EVENT.replace(b"u-1", b"\\u0075-1").replace(b'"userId"', b'"user\\u0049d"')
    decoded = decode(FRAME + EVENT, EVENT, None, FRAME + escaped, FRAME + b"{", b"\0", framed=True)
    assert [(one.record, one.code) for one in decoded.rejects] == [
        (1, "not_framed"), (2, "null_value"), (4, "bad_json"), (5, "not_framed"),
    ]  # fmt: skip
    assert decoded.batch.number[0].tolist() == [2.5, 2.5]
    assert [decoded.batch.customer[i] for i in range(2)] == [b"u-1", b"u-1"]


def test_a_frame_that_nobody_expects_is_told_with_what_to_set() -> None:
    decoded = decode(FRAME + EVENT, EVENT, b"\0{", framed=False)
    framed, short = decoded.rejects
    assert (framed.code, short.code) == ("bad_json", "bad_json")
    assert "schema registry (a zero byte and schema id 7): set events.format" in framed.reason
    assert "schema registry" not in short.reason
    assert decoded.batch.record.tolist() == [1]


@pytest.mark.parametrize(
    "mapping",
    [
        EventMapping(), EventMapping(framed=True),
        EventMapping(format="avro", schema_registry="http://localhost:1"),
        EventMapping(format="protobuf", schema_registry="http://localhost:1"),
    ],
)  # fmt: skip
def test_the_example_of_each_format_is_read(mapping: EventMapping) -> None:
    compile_kernels(mapping)
