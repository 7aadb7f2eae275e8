"""Avro as a language of framed values."""

from __future__ import annotations

from stream.events.paths import Trie
from stream.formats.avro.avro_containers import AvroContainers
from stream.formats.avro.avro_kernel import read_avro
from stream.formats.avro.avro_program import AvroProgram, compile_avro
from stream.formats.avro.avro_schema import parse_avro
from stream.formats.containers import ContainerReader
from stream.formats.port import WriterSchema
from stream.formats.reading import Language


def _compile(
    schema: WriterSchema, _indexes: tuple[int, ...], trie: Trie
) -> tuple[AvroProgram, ContainerReader]:
    references = [text for _, text in schema.references]
    program, types = compile_avro(parse_avro(schema.text, references), trie)
    return program, AvroContainers(types)


AVRO = Language("Avro", "AVRO", "bad_avro", indexed=False, compile=_compile, read=read_avro)
