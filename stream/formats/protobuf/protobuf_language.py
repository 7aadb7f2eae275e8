"""Protobuf as a language of framed values."""

from __future__ import annotations

from stream.events.paths import Trie
from stream.formats.containers import ContainerReader
from stream.formats.port import WriterSchema
from stream.formats.protobuf.protobuf_containers import ProtobufContainers
from stream.formats.protobuf.protobuf_kernel import read_protobuf
from stream.formats.protobuf.protobuf_program import ProtobufProgram, compile_protobuf
from stream.formats.protobuf.protobuf_schema import message_at, parse_protobuf
from stream.formats.reading import Language


def _compile(
    schema: WriterSchema, indexes: tuple[int, ...], trie: Trie
) -> tuple[ProtobufProgram, ContainerReader]:
    declared, file = parse_protobuf(schema.text, [text for _, text in schema.references])
    program, sources = compile_protobuf(declared, message_at(declared, file, indexes), trie)
    return program, ProtobufContainers(declared, sources)


PROTOBUF = Language(
    "Protobuf", "PROTOBUF", "bad_protobuf", indexed=True, compile=_compile, read=read_protobuf
)
