"""Frames of a schema registry in a header: beside those before the value, and instead of them."""

from __future__ import annotations

import json
from uuid import UUID

import numpy as np
import pytest
from google.protobuf import descriptor_pb2 as pb
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.file import EventMapping
from stream.columns import RecordChunk, Spans
from stream.events.decoder import EventDecoder
from stream.formats.avro.avro_language import AVRO
from stream.formats.framed_json import FramedJson
from stream.formats.framing import HEADER, find_frames, message_indexes, schema_key, schema_keys
from stream.formats.protobuf.protobuf_language import PROTOBUF
from stream.kafka.headers import Header, header_spans
from tests.stream.formats.formats_harness import (
    GUID,
    NOW_MS,
    avro,
    avro_value,
    decode_values,
    file_of,
    protobuf,
    record,
)

SCHEMA = record()
BY_GUID = b"\x01" + UUID(GUID).bytes
FRAMED = avro_value(SCHEMA)
BARE = FRAMED[5:]
CE: list[Header] = [("ce_specversion", b"1.0"), ("ce_id", b"e-1"), ("ce_subject", b"s-1")]


def named(content: bytes | None) -> list[Header]:
    return [("other", b"\x01"), (HEADER, content)]


def test_both_places_at_once_and_the_header_wins() -> None:
    frame = FRAMED[:5]
    found = decode_values(
        AVRO, avro(SCHEMA), [FRAMED, BARE, BARE, FRAMED, BARE, FRAMED],
        [[], named(BY_GUID), named(frame), named(None), [*named(b"\0"), *named(BY_GUID)], named(BY_GUID)],
    )  # fmt: skip
    assert found.batch.record.tolist() == [0, 1, 2, 3, 4]
    assert all(found.batch.customer[i] == b"u-1" for i in range(5))
    assert [(r.record, r.code) for r in found.rejects] == [(5, "bad_avro")]
    assert f"Avro by schema {GUID}:" in found.rejects[0].reason


def test_what_is_no_frame_and_what_nobody_knows() -> None:
    other = b"\x01" + bytes(16)
    found = decode_values(
        AVRO, avro(SCHEMA), [BARE] * 5,
        [named(b""), named(b"\x02" + bytes(16)), named(BY_GUID[:-1]), named(other), []],
    )  # fmt: skip
    codes = [reject.code for reject in found.rejects]
    assert codes == ["not_framed"] * 3 + ["unknown_schema", "not_framed"]
    assert f"in the header {HEADER}" in found.rejects[0].reason
    assert "got GUID 00000000-0000-0000-0000-000000000000" in found.rejects[3].reason
    assert "expected a zero byte" in found.rejects[4].reason


def test_a_guid_is_no_frame_before_a_value() -> None:
    found = decode_values(AVRO, avro(SCHEMA), [BY_GUID + BARE])
    assert [reject.code for reject in found.rejects] == ["not_framed"]


def test_message_indexes_stand_behind_the_guid() -> None:
    field = pb.FieldDescriptorProto
    one = pb.DescriptorProto(name="A")
    two = pb.DescriptorProto(name="B")
    for number, name in enumerate(("userId", "type"), start=1):
        two.field.add(name=name, number=number, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    value = b"\x0a\x03u-1\x12\x04view"
    headers = [named(BY_GUID + b"\x02\x02"), named(BY_GUID + b"\x00"), named(BY_GUID)]
    found = decode_values(PROTOBUF, protobuf(file_of(one, two)), [value] * 3, headers)
    assert found.batch.customer[0] == b"u-1"
    assert [r.code for r in found.rejects] == ["missing_customer", "not_framed"]
    assert message_indexes(BY_GUID + b"\x02\x02") == (1,)
    keys = schema_keys(Spans.of([value] * 3), np.ones(3, np.bool_), header_spans(headers))
    assert keys == [GUID]


def test_json_behind_a_frame_or_beside_one() -> None:
    value = json.dumps({"userId": "u-1", "type": "view"}).encode()
    values = [b"\0\0\0\0\7" + value, value, value]
    chunk = RecordChunk(
        "events", 0, np.arange(3), np.full(3, NOW_MS), Spans.of([None] * 3), Spans.of(values), 3,
        headers=header_spans([[], named(BY_GUID), []]),
    )  # fmt: skip
    decoded = EventDecoder(EventMapping(), (), (), (), value_format=FramedJson()).decode(chunk, 0)
    assert decoded.batch.record.tolist() == [0, 1]
    assert [reject.code for reject in decoded.rejects] == ["not_framed"]


@pytest.mark.parametrize("mixed", [False, True])
def test_cloudevents_in_binary_mode_have_avro_as_their_data(mixed: bool) -> None:
    headers = [[*CE, *named(BY_GUID)], [*named(BY_GUID)] if mixed else [*CE, *named(BY_GUID)], CE]
    found = decode_values(AVRO, avro(SCHEMA), [BARE, BARE, FRAMED], headers)
    assert [found.batch.event_id[i] for i in range(3)] == [
        b"e-1",
        None if mixed else b"e-1",
        b"e-1",
    ]
    assert all(found.batch.customer[i] == b"u-1" for i in range(3))
    lacking = {"type": "record", "name": "E", "fields": [{"name": "type", "type": "string"}]}
    found = decode_values(AVRO, avro(lacking), [b"\x08view"], headers[:1])
    assert found.batch.customer[0] == b"s-1"


def test_data_that_is_no_record_is_no_event() -> None:
    headers: list[list[Header]] = [
        [*CE, ("ce_userId", b"u-9"), ("ce_type", b"view"), *named(BY_GUID)]
    ]
    found = decode_values(AVRO, avro("string"), [b"\x04hi"], headers)
    assert [reject.code for reject in found.rejects] == ["not_object"]


contents = (
    st.none()
    | st.binary(max_size=25)
    | st.sampled_from([BY_GUID, b"\0\0\0\0\7", b"\0\0\0\0\7\2\2"])
)


@given(
    st.lists(st.tuples(st.binary(max_size=9) | st.just(FRAMED), contents), min_size=1, max_size=8),
    st.booleans(),
)
@settings(deadline=None)
def test_each_value_has_the_frame_that_it_names(
    records: list[tuple[bytes, bytes | None]], indexed: bool
) -> None:
    values = Spans.of([value for value, _ in records])
    headers = header_spans([named(content) for _, content in records])
    found = find_frames(values, np.ones(len(records), np.bool_), indexed=indexed, headers=headers)
    for i, (value, content) in enumerate(records):
        assert found.in_header[i] == (content is not None)
        where = value if content is None else content
        group = int(found.group[i])
        if group >= 0:
            frame = found.frames[group]
            assert where.startswith(frame)
            assert found.size[i] == (len(frame) if content is None else 0)
            assert isinstance(schema_key(frame), str) == (frame[0] == 1)
        elif not indexed:
            named_by = (b"\0", 5) if content is None or content[:1] == b"\0" else (b"\x01", 17)
            assert where[:1] != named_by[0] or len(where) < named_by[1]
