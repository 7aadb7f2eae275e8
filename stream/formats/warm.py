"""Compiles the kernels of a format before the first record comes."""

from __future__ import annotations

import numpy as np

from stream.campaign.file import EventMapping
from stream.columns import Spans
from stream.events.paths import compile_trie
from stream.formats.avro.avro_language import AVRO
from stream.formats.framed_json import FramedJson
from stream.formats.port import SchemaKey, WriterSchema
from stream.formats.protobuf.protobuf_language import PROTOBUF
from stream.formats.reading import FramedFormat

_AVRO = '{"type": "record", "name": "E", "fields": [{"name": "id", "type": "long"}]}'
_PROTOBUF = "CgdlLnByb3RvIhMKAUUSDgoCaWQYASABKANSAmlk"


class _Example:
    """A registry with one schema."""

    def __init__(self, schema: WriterSchema) -> None:
        self._schema = schema

    def schema(self, schema_id: SchemaKey) -> WriterSchema | None:
        return self._schema


def compile_kernels(mapping: EventMapping) -> None:
    """Has numba compile what reads the events of a campaign, or load it from its cache."""
    trie, _ = compile_trie(["id"])
    eligible = np.ones(1, np.bool_)
    found = []
    if "avro" in mapping.formats:
        avro = FramedFormat(AVRO, _Example(WriterSchema("AVRO", _AVRO)))
        found.append(avro.read(Spans.of([b"\0\0\0\0\1\2"]), eligible, trie).found)
    if "protobuf" in mapping.formats:
        protobuf = FramedFormat(PROTOBUF, _Example(WriterSchema("PROTOBUF", _PROTOBUF)))
        found.append(protobuf.read(Spans.of([b"\0\0\0\0\1\0\x08\1"]), eligible, trie).found)
    if mapping.framed:
        found.append(FramedJson().read(Spans.of([b'\0\0\0\0\1{"id":1}']), eligible, trie).found)
    assert all(one.ok.all() for one in found), "the example of a format is read by its kernels"
