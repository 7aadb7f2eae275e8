"""One value through the decoder, in the mapping of the default campaign."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from typing import Any

import fastavro
import numpy as np
from google.protobuf import descriptor_pb2 as pb

from stream.campaign.file import EventMapping
from stream.columns import RecordChunk, Spans
from stream.events.decoder import EventDecoder
from stream.events.flaws import Decoded
from stream.formats.avro.avro_language import AVRO
from stream.formats.port import SchemaKey, WriterSchema
from stream.formats.protobuf.protobuf_language import PROTOBUF
from stream.formats.reading import FramedFormat, Language
from stream.kafka.headers import Header, header_spans

NOW_MS = 1_760_000_000_000
GUID = "0d5a7bd3-27ad-4d9a-8b8a-9d4f04e3a1c2"
NUMBERS = ("properties.value",)
CATEGORIES = ("properties.category",)


class Schemas:
    """A registry that knows id 7, and the same schema by its GUID."""

    def __init__(self, schema: WriterSchema) -> None:
        self._schema = schema
        self.asked = 0

    def schema(self, schema_id: SchemaKey) -> WriterSchema | None:
        self.asked += 1
        return self._schema if schema_id in (7, GUID) else None


def decode_values(
    language: Language,
    schema: WriterSchema,
    values: Sequence[bytes | None],
    headers: Sequence[Sequence[Header]] = (),
) -> Decoded:
    n = len(values)
    decoder = EventDecoder(
        EventMapping(),
        ("view",),
        NUMBERS,
        CATEGORIES,
        value_format=FramedFormat(language, Schemas(schema)),
    )
    return decoder.decode(
        RecordChunk(
            "events",
            0,
            np.arange(n),
            np.full(n, NOW_MS),
            Spans.of([None] * n),
            Spans.of(values),
            n,
            headers=header_spans(headers),
        ),
        NOW_MS,
    )


def avro(schema: Any, *references: Any) -> WriterSchema:
    texts = tuple(("", json.dumps(one)) for one in references)
    return WriterSchema("AVRO", json.dumps(schema), texts)


def record(*fields: tuple[str, Any]) -> Any:
    """An Avro event of u-1 with more fields."""
    own = [("userId", "string"), ("type", "string"), *fields]
    return {
        "type": "record", "name": "E", "fields": [{"name": name, "type": of} for name, of in own]
    }  # fmt: skip


def properties(**fields: Any) -> tuple[str, Any]:
    inner = [{"name": name, "type": of} for name, of in fields.items()]
    return "properties", {"type": "record", "name": "P", "fields": inner}


def avro_value(schema: Any, **fields: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, {"userId": "u-1", "type": "view", **fields})
    return b"\0\0\0\0\7" + out.getvalue()


def decode_avro(schema: Any, *values: bytes | None) -> Decoded:
    return decode_values(AVRO, avro(schema), values)


def file_of(*messages: pb.DescriptorProto, syntax: str = "proto3") -> pb.FileDescriptorProto:
    return pb.FileDescriptorProto(
        name="e.proto", package="shop", syntax=syntax, message_type=messages
    )


def protobuf(file: pb.FileDescriptorProto) -> WriterSchema:
    return WriterSchema("PROTOBUF", base64.b64encode(file.SerializeToString()).decode())


def decode_protobuf(file: pb.FileDescriptorProto, *values: bytes | None) -> Decoded:
    return decode_values(PROTOBUF, protobuf(file), values)
