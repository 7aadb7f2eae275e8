"""What becomes of Protobuf values: presence, merging, known messages, and what can be wrong."""

from __future__ import annotations

import base64

import pytest
from google.protobuf import descriptor_pb2 as pb
from google.protobuf.timestamp_pb2 import Timestamp

from stream.compiled.category_hash import category_hash
from stream.formats.port import WriterSchema
from stream.formats.protobuf.protobuf_language import PROTOBUF
from tests.stream.formats.formats_harness import (
    decode_protobuf,
    decode_values,
    file_of,
    protobuf,
)

F = pb.FieldDescriptorProto
FRAME = b"\0\0\0\0\7\0"
GOOD = FRAME + b"\x0a\3u-1\x12\4view"


def message(
    name: str, *fields: tuple[str, int, int | str], optional: str = ""
) -> pb.DescriptorProto:
    found = pb.DescriptorProto(name=name)
    for called, number, kind in fields:
        one = found.field.add(name=called, number=number, label=F.LABEL_OPTIONAL)
        if isinstance(kind, str):
            one.type_name = kind
        else:
            one.type = kind
        if called == optional:
            one.proto3_optional, one.oneof_index = True, 0
            found.oneof_decl.add(name=f"_{called}")
    return found


def event(*fields: tuple[str, int, int | str]) -> pb.DescriptorProto:
    return message("E", ("user_id", 1, F.TYPE_STRING), ("type", 2, F.TYPE_STRING), *fields)


CONSENT = ("traits", 3, ".shop.T")


@pytest.mark.parametrize(
    ("optional", "tail", "consent"),
    [("", b"\x1a\0", 0), ("", b"\x1a\2\x08\1", 1), ("", b"", -1),
     ("marketing_consent", b"\x1a\0", -1), ("marketing_consent", b"\x1a\2\x08\0", 0)],
)  # fmt: skip
def test_a_field_that_cannot_be_missing_says_its_default(
    optional: str, tail: bytes, consent: int
) -> None:
    traits = message("T", ("marketing_consent", 1, F.TYPE_BOOL), optional=optional)
    decoded = decode_protobuf(file_of(event(CONSENT), traits), GOOD + tail)
    assert decoded.batch.consent.tolist() == [consent]
    assert decoded.batch.customer[0] == b"u-1", "user_id is userId by its name in JSON"


@pytest.mark.parametrize(
    ("kind", "content", "text"),
    [
        (F.TYPE_SINT32, b"\x08\3", "-2"), (F.TYPE_INT32, b"\x08" + b"\xff" * 9 + b"\1", "-1"),
        (F.TYPE_UINT64, b"\x08" + b"\xff" * 9 + b"\1", "18446744073709551615"),
        (F.TYPE_FIXED64, b"\x09" + b"\xff" * 8, "18446744073709551615"),
        (F.TYPE_SFIXED32, b"\x0d" + b"\xff" * 4, "-1"), (F.TYPE_DOUBLE, b"\x09" + b"\0" * 6 + b"\xf8\x3f", "1.5"),
        (F.TYPE_BYTES, b"\x0a\2hi", "hi"), (".google.protobuf.StringValue", b"\x0a\4\x0a\2hi", "hi"),
        (".google.protobuf.Int64Value", b"\x0a\0", "0"), (".google.protobuf.Value", b"\x0a\2\x20\1", "true"),
        (".shop.Kind", b"\x08\2", "shoes"), (".shop.Kind", b"\x08\5", "5"), (".shop.Kind", b"", "none"),
        ("Kind", b"\x08\2", "shoes"),
    ],
)  # fmt: skip
def test_a_category_has_the_text_that_json_would_have(
    kind: int | str, content: bytes, text: str
) -> None:
    file = file_of(event(("properties", 3, ".shop.P")), message("P", ("category", 1, kind)))
    enum = file.enum_type.add(name="Kind")
    for name, number in (("none", 0), ("shoes", 2)):
        enum.value.add(name=name, number=number)
    value = GOOD + b"\x1a" + bytes([len(content)]) + content
    decoded = decode_protobuf(file, value)
    assert decoded.batch.category[0].tolist() == [category_hash(text.encode())]


def test_a_timestamp_is_a_time_and_merges() -> None:
    file = file_of(event(("timestamp", 3, ".google.protobuf.Timestamp")))
    parts = [
        Timestamp(seconds=1_759_000_000).SerializeToString(),
        Timestamp(nanos=1_500_000).SerializeToString(),
    ]
    value = GOOD + b"".join(b"\x1a" + bytes([len(part)]) + part for part in parts)
    assert decode_protobuf(file, value).batch.time_ms.tolist() == [1_759_000_000_001]


def test_a_struct_is_an_object() -> None:
    file = file_of(event(("properties", 3, ".google.protobuf.Struct")))
    number = b"\x0a\x12\x0a\5value\x12\x09\x11" + b"\0" * 6 + b"\xf8\x3f"
    value = GOOD + b"\x1a" + bytes([len(number)]) + number
    assert decode_protobuf(file, value).batch.number[0].tolist() == [1.5]


def test_the_last_of_a_oneof_counts() -> None:
    inner = message("P", ("category", 1, F.TYPE_STRING), ("value", 2, F.TYPE_INT64))
    inner.oneof_decl.add(name="which")
    for one in inner.field:
        one.oneof_index = 0
    file = file_of(event(("properties", 3, ".shop.P")), inner)
    batch = decode_protobuf(file, GOOD + b"\x1a\6\x0a\2hi\x10\7").batch
    assert batch.category[0].tolist() == [0]
    assert batch.number[0].tolist() == [7.0]


def test_message_indexes_lead_to_a_message_in_a_message() -> None:
    outer = message("Outer")
    outer.nested_type.append(message("Before"))
    outer.nested_type.append(event())
    file = file_of(message("First"), outer)
    body = GOOD[len(FRAME) :]
    decoded = decode_protobuf(file, FRAME[:5] + b"\4\2\2" + body, FRAME[:5] + b"\2\6" + body)
    assert decoded.batch.record.tolist() == [0]
    assert decoded.rejects[0].code == "unknown_schema"
    assert "message indexes" in decoded.rejects[0].reason


@pytest.mark.parametrize(
    ("tail", "said"),
    [
        (b"\x0a\x7f", "a length that stays inside"), (b"\x0a\1\xff", "a string in UTF-8"),
        (b"\0", "a field number from 1"), (b"\x0f", "a wire type"), (b"\x0c", "a wire type"),
        (b"\x7b", "more bytes"), (b"\x7b\x74", "a wire type"), (b"\x79\0", "more bytes"),
        (b"\x78" + b"\xff" * 10, "a varint"), (b"\x7b" * 65, "at most 64"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_message_are_refused_with_what_is_wrong(tail: bytes, said: str) -> None:
    (reject,) = decode_protobuf(file_of(event()), GOOD + tail).rejects
    assert reject.code == "bad_protobuf"
    assert f"expected Protobuf by schema 7: {said}" in reject.reason


def test_messages_are_read_to_a_depth_of_64() -> None:
    file = file_of(event(("next", 3, ".shop.E")))
    values, value = [], b""
    for _ in range(64):
        size = len(value)
        value = (b"\x1a" + bytes([size] if size < 128 else [size & 127 | 128, size >> 7])) + value
        values.append(GOOD + value)
    decoded = decode_protobuf(file, *values)
    assert decoded.batch.record.tolist() == list(range(63))
    assert "at most 64" in decoded.rejects[0].reason


def test_the_text_of_a_schema_cannot_be_used() -> None:
    schema = WriterSchema("PROTOBUF", 'syntax = "proto3"; message E {}')
    (reject,) = decode_values(PROTOBUF, schema, [GOOD]).rejects
    assert reject.code == "unknown_schema"
    assert "?format=serialized" in reject.reason


def test_a_schema_of_another_format_cannot_be_used() -> None:
    (reject,) = decode_values(PROTOBUF, WriterSchema("AVRO", '"string"'), [GOOD]).rejects
    assert reject.reason == "schema 7: expected PROTOBUF, since events.format says so, got AVRO"


def test_an_import_that_nobody_gave_costs_its_own_field() -> None:
    file = file_of(event(("properties", 3, ".other.P"), ("message_id", 4, F.TYPE_INT64)))
    file.dependency.append("other.proto")
    assert base64.b64decode(protobuf(file).text) == file.SerializeToString()
    decoded = decode_protobuf(file, GOOD + b"\x1a\2\xff\xff" + b"\x20\5")
    assert decoded.batch.event_id[0] == b"5"
