"""Consent in lists and maps of binary formats, elements by index, and what they have in common with JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from google.protobuf import descriptor_pb2 as pb
from google.protobuf import descriptor_pool, json_format, message_factory, struct_pb2

from stream.campaign.file import EventMapping
from stream.columns import EventBatch, RecordChunk, Spans
from stream.events.cloudevents.envelopes import ValueFormat
from stream.events.consent.vocabulary import GRANTED, NOT_SAID, UNREADABLE, WITHDRAWN
from stream.events.decoder import EventDecoder
from stream.events.present import JsonNumber
from stream.formats.avro.avro_language import AVRO
from stream.formats.containers import PARTS_MAX, json_text
from stream.formats.protobuf.protobuf_language import PROTOBUF
from stream.formats.reading import FramedFormat
from tests.stream.formats.formats_harness import NOW_MS, Schemas, avro, avro_value, protobuf, record

_MAPPING = EventMapping(
    consent=(), consent_categories=("cats",), consent_allowed_ids=("allowed",),
    consent_denied_ids=("denied",), consent_strategy=(),
)  # fmt: skip
_STRINGS = {"type": "array", "items": ["null", "string"]}
_FLAGS = {"type": "map", "values": ["null", "boolean", "string", "double", _STRINGS]}
_SCHEMA = record(
    ("cats", ["null", _FLAGS]), ("allowed", ["null", _STRINGS]), ("denied", ["null", _STRINGS])
)


def _chunk(values: Sequence[bytes]) -> RecordChunk:
    n = len(values)
    return RecordChunk(
        "events", 0, np.arange(n), np.full(n, NOW_MS), Spans.of([None] * n), Spans.of(values), n
    )


def _decode(
    form: ValueFormat | None, values: Sequence[bytes], numbers: Sequence[str] = ()
) -> EventBatch:
    decoder = EventDecoder(_MAPPING, ("view",), numbers, (), value_format=form)
    decoded = decoder.decode(_chunk(values), NOW_MS)
    assert decoded.rejects == []
    return decoded.batch


def _struct_file() -> pb.FileDescriptorProto:
    """An event whose consent stands in a Struct, a list of text and one more behind a oneof."""
    file = pb.FileDescriptorProto(name="e.proto", package="shop", syntax="proto3")
    file.dependency.append(struct_pb2.DESCRIPTOR.name)
    event = file.message_type.add(name="E")
    event.field.add(name="userId", number=1, type=9, label=1)
    event.field.add(name="type", number=2, type=9, label=1)
    event.field.add(name="cats", number=3, type=11, type_name=".google.protobuf.Struct", label=1)
    event.field.add(name="allowed", number=4, type=9, label=3)
    event.field.add(
        name="denied", number=5, type=11, type_name=".google.protobuf.ListValue", label=1
    )
    event.field.add(name="prices", number=6, type=1, label=3)
    return file


def _protobuf_values(file: pb.FileDescriptorProto, events: Sequence[dict[str, Any]]) -> list[bytes]:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.E"))
    own = {"userId": "u-1", "type": "view"}
    made = [json_format.ParseDict({**own, **event}, kind()) for event in events]
    return [b"\0\0\0\0\7\0" + one.SerializeToString() for one in made]


_SAID: list[tuple[dict[str, Any], int]] = [
    ({"cats": {"marketing": True}}, GRANTED),
    ({"cats": {"Marketing": False}}, WITHDRAWN),
    ({"cats": {"marketing": "opted-in"}}, GRANTED),
    ({"cats": {"marketing": 0.0}}, WITHDRAWN),
    ({"cats": {"marketing": "perhaps"}}, UNREADABLE),
    ({"cats": {"marketing": ["true"]}}, UNREADABLE),
    ({"cats": {"market\u0022ing": True, "other": True}}, WITHDRAWN),
    ({"cats": {"other": True}}, WITHDRAWN),
    ({"cats": {"marketing": None, "targeted_advertising": "yes"}}, GRANTED),
    ({"allowed": ["x", "marketing"]}, GRANTED),
    ({"allowed": ["x"]}, WITHDRAWN),
    ({"denied": ["x"]}, NOT_SAID),
    ({"denied": ["x", "MARKETING"]}, WITHDRAWN),
    ({"allowed": ["marketing"], "denied": ["marketing"]}, WITHDRAWN),
]  # fmt: skip


@pytest.mark.parametrize("language", ["json", "avro", "protobuf"])
def test_consent_in_lists_and_maps_says_the_same_in_every_format(language: str) -> None:
    events = [event for event, _ in _SAID]
    form: ValueFormat | None = None
    if language == "json":
        own = {"userId": "u-1", "type": "view"}
        values = [json.dumps({**own, **event}).encode() for event in events]
    elif language == "avro":
        form = FramedFormat(AVRO, Schemas(avro(_SCHEMA)))
        values = [avro_value(_SCHEMA, **event) for event in events]
    else:
        file = _struct_file()
        form = FramedFormat(PROTOBUF, Schemas(protobuf(file)))
        values = _protobuf_values(file, events)
    batch = _decode(form, values)
    assert batch.consent[0].tolist() == [said for _, said in _SAID]


def test_a_record_of_flags_is_an_object_and_what_its_schema_leaves_out_is_denied() -> None:
    flags = {"type": "record", "name": "C", "fields": [{"name": "marketing", "type": "boolean"}]}
    schema = record(("cats", flags))
    values = [avro_value(schema, cats={"marketing": said}) for said in (True, False)]
    batch = _decode(FramedFormat(AVRO, Schemas(avro(schema))), values)
    assert batch.consent[0].tolist() == [GRANTED, WITHDRAWN]


def test_parts_of_one_message_are_merged_and_a_list_may_be_interrupted() -> None:
    file = _struct_file()
    first, second = _protobuf_values(
        file, [{"cats": {"marketing": True}, "allowed": ["x"]}, {"cats": {"other": True}}]
    )
    tail = b"\x22\x09marketing"  # one more of `allowed`
    batch = _decode(FramedFormat(PROTOBUF, Schemas(protobuf(file))), [first + second[6:] + tail])
    assert batch.consent[0].tolist() == [GRANTED]


def test_of_equal_keys_of_a_map_the_last_container_counts() -> None:
    schema = record(("m", {"type": "map", "values": {"type": "array", "items": "string"}}))
    value = avro_value(schema, m={"ids": ["marketing"], "idz": ["x"]})
    mapping = EventMapping(consent=(), consent_allowed_ids=("m.ids",), consent_strategy=())
    decoder = EventDecoder(
        mapping, ("view",), (), (), value_format=FramedFormat(AVRO, Schemas(avro(schema)))
    )
    chunks = [value, value.replace(b"idz", b"ids")]
    batch = decoder.decode(_chunk(chunks), NOW_MS).batch
    assert batch.consent[0].tolist() == [GRANTED, WITHDRAWN]


def test_the_judge_finds_elements_where_the_kernel_does() -> None:
    item = {"type": "record", "name": "I", "fields": [{"name": "price", "type": "int"}]}
    schema = record(("products", {"type": "array", "items": item}), ("messageId", "double"))
    values = [avro_value(schema, products=[{"price": 3}, {"price": 4}], messageId=7.0)]
    batch = _decode(FramedFormat(AVRO, Schemas(avro(schema))), values, ("products[1].price",))
    assert batch.event_id[0] == b"7", "a float is no id for the kernel"
    assert batch.number.tolist() == [[4.0]]


def test_what_is_too_large_to_be_looked_into_forbids_and_its_neighbours_are_read() -> None:
    ids = ["marketing"] * (PARTS_MAX + 1)
    events = [{"allowed": ["marketing"]}, {"allowed": ids}, {"allowed": ["marketing"]}] * 5
    file = _struct_file()
    form = FramedFormat(PROTOBUF, Schemas(protobuf(file)))
    batch = _decode(form, _protobuf_values(file, events))
    assert batch.consent[0].tolist() == [GRANTED, UNREADABLE, GRANTED] * 5
    long = [avro_value(_SCHEMA, allowed=["marketing", "x" * size]) for size in (60_000, 66_000)]
    batch = _decode(FramedFormat(AVRO, Schemas(avro(_SCHEMA))), long)
    assert batch.consent[0].tolist() == [GRANTED, UNREADABLE]


@pytest.mark.parametrize("language", ["avro", "protobuf"])
def test_an_element_is_found_by_its_index(language: str) -> None:
    form: ValueFormat
    events: list[dict[str, Any]] = [{"prices": [1.5, 2.5, 3.5]}, {"prices": [7.0]}, {"prices": []}]
    if language == "avro":
        schema = record(("prices", {"type": "array", "items": "double"}))
        form = FramedFormat(AVRO, Schemas(avro(schema)))
        values = [avro_value(schema, **event) for event in events]
    else:
        file = _struct_file()
        form = FramedFormat(PROTOBUF, Schemas(protobuf(file)))
        values = _protobuf_values(file, events)
    batch = _decode(form, values, ("prices[0]", "prices[2]"))
    assert np.nan_to_num(batch.number, nan=-1).tolist() == [[1.5, 7.0, -1.0], [3.5, -1.0, -1.0]]


def test_an_element_may_be_a_record() -> None:
    item = {"type": "record", "name": "I", "fields": [{"name": "price", "type": "int"}]}
    schema = record(("products", {"type": "array", "items": item}))
    value = avro_value(schema, products=[{"price": 3}, {"price": 4}])
    form = FramedFormat(AVRO, Schemas(avro(schema)))
    batch = _decode(form, [value], ("products[1].price", "products[0].price"))
    assert batch.number[:, 0].tolist() == [4.0, 3.0]


def test_a_list_that_properties_lead_into_is_read_as_from_json() -> None:
    item = {"type": "record", "name": "I", "fields": [{"name": "price", "type": "int"}]}
    schema = record(("products", {"type": "array", "items": item}))
    values = [avro_value(schema, products=[{"price": k} for k in range(n)]) for n in (4, 0)]
    form = FramedFormat(AVRO, Schemas(avro(schema)))
    paths = ("products[].price", "products[]", "products[1].price")
    number = _decode(form, values, paths).number
    assert number[:, 0].tolist() == [6.0, 4.0, 1.0]
    assert number[:2, 1].tolist() == [0.0, 0.0]
    file = _struct_file()
    made = _protobuf_values(file, [{"prices": [1.5, 2.0]}])
    batch = _decode(FramedFormat(PROTOBUF, Schemas(protobuf(file))), made, ("prices[]",))
    assert batch.number.tolist() == [[2.0]]


def test_text_of_containers_is_json() -> None:
    value = {'a"b': [True, None, JsonNumber("1.50"), JsonNumber("nan"), b"\xff", {"é": "x\n"}]}
    assert json.loads(json_text(value)) == {'a"b': [True, None, 1.5, "nan", [], {"é": "x\n"}]}
