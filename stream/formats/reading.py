"""Values that a schema registry's serializers wrote: frames, schemas, and the kernels behind them.

Rules of this file
1. The kernel decides whether the bytes are a value; what the readers of fields are not sure of goes
   to the judge as the object that the kernel found.
2. A schema is asked for once in a chunk, whatever comes of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np

from stream.columns import Bools, Bytes, Int64s, Spans
from stream.events.paths import Trie
from stream.events.present import Refused
from stream.events.scan import DEPTH_MAX, Kinds, Scan, append_bytes
from stream.formats.containers import PARTS_MAX, ContainerReader, ContainerTexts
from stream.formats.decimals import write_decimals
from stream.formats.faults import FAULTS
from stream.formats.framing import HEADER, Frames, find_frames, message_indexes, schema_key
from stream.formats.notes import TEXT_BYTES_MAX, count_numbers, write_numbers
from stream.formats.objects import object_of_row
from stream.formats.port import SchemaPort, SchemaUnusable, WriterSchema

_PROGRAMS_MAX = 1000
_SHOWN_BYTES = 6


@dataclass(frozen=True, slots=True)
class Language:
    """One of the two formats.

    Attributes:
        name: As people write it.
        kind: As the registry writes it.
        code: Of the refusal of a value that is none.
        indexed: Whether message indexes follow the schema id.
        compile: A schema, message indexes and wanted paths to a program, and to what reads the
            containers that are wanted whole.
        read: The kernel, with the arguments of `avro_kernel.read_avro`.
    """

    name: str
    kind: str
    code: Literal["bad_avro", "bad_protobuf"]
    indexed: bool
    compile: Callable[[WriterSchema, tuple[int, ...], Trie], tuple[Any, ContainerReader]]
    read: Callable[..., tuple[int, int]]


@dataclass(frozen=True, slots=True)
class FramedValues:
    """Values of n records.

    Attributes:
        found: Where the wanted ones stand.
        trie: What was wanted.
        language: What they were read as.
        frames: Their frames.
        fault: What is wrong with each, 0 for nothing. Shape (n,), int64.
        causes: Why a group was not read.
    """

    found: Scan
    trie: Trie
    language: Language
    frames: Frames
    fault: Int64s
    causes: dict[int, str]

    def root(self, i: int, value: bytes) -> dict[str, Any]:
        """As `stream.events.cloudevents.envelopes.Values.root`."""
        group, fault = int(self.frames.group[i]), int(self.fault[i])
        name = self.language.name
        if group < 0:
            indexes = ", message indexes" if self.language.indexed else ""
            if self.frames.in_header[i]:
                raise Refused(
                    "not_framed",
                    f"expected the id or the GUID of a schema{indexes} in the header {HEADER}, as "
                    "serializers of a schema registry write it, got something else",
                )
            raise Refused(
                "not_framed",
                f"expected a zero byte, the id of a schema{indexes} and {name}, as serializers of "
                f"a schema registry write it, got {_begin(value)}",
            )
        if group in self.causes:
            raise Refused("unknown_schema", self.causes[group])
        if fault:
            where = f"{name} by schema {schema_key(self.frames.frames[group])}"
            raise Refused(self.language.code, f"expected {where}: {FAULTS[fault]}")
        return object_of_row(self.found, self.trie, i)


class _Program(NamedTuple):
    """What a schema compiles to: tables for the kernel, and the texts of containers."""

    tables: Any
    containers: ContainerTexts


class FramedFormat:
    """Reads the values of one language; threads may share it.

    Args:
        language: Avro or Protobuf.
        schemas: The registry.
    """

    def __init__(self, language: Language, schemas: SchemaPort) -> None:
        self._language = language
        self._schemas = schemas
        self._programs: dict[bytes, _Program] = {}
        self._trie: Trie | None = None

    def read(
        self, value: Spans, eligible: Bools, trie: Trie, headers: Spans | None = None
    ) -> FramedValues:
        """As `stream.events.cloudevents.envelopes.ValueFormat.read`."""
        if trie is not self._trie:
            self._trie, self._programs = trie, {}
        frames = find_frames(value, eligible, indexed=self._language.indexed, headers=headers)
        window, starts = _window(value, eligible)
        shape = (len(value), len(trie.nodes))
        kind, span = np.zeros(shape, np.uint8), np.empty((*shape, 2), np.int64)
        ok, fault = np.zeros(len(value), np.bool_), np.zeros(len(value), np.int64)
        texts, texts_at = [window], len(window)
        causes = {}
        for group, frame in enumerate(frames.frames):
            try:
                program = self._program(frame, trie)
            except SchemaUnusable as exc:
                causes[group] = str(exc)
                continue
            of_group = frames.group == group
            behind = Spans(window, starts + frames.size, value.size - frames.size)
            parts = self._read(behind, program.tables, trie, texts_at, of_group, kind, span, fault)
            ok |= of_group
            for text in (
                program.tables.texts,
                program.containers.write(
                    window, trie, parts, of_group, kind, span, texts_at + len(program.tables.texts)
                ),
            ):
                texts.append(np.frombuffer(text, np.uint8))
                texts_at += len(text)
        return FramedValues(
            Scan(_texts(texts, texts_at, ok, kind, span), ok, kind, span, is_json=False),
            trie, self._language, frames, fault, causes,
        )  # fmt: skip

    def _read(
        self, value: Spans, tables: Any, trie: Trie, texts_at: int, ok: Bools, kind: Kinds,
        span: Int64s, fault: Int64s,
    ) -> Int64s:  # fmt: skip
        """Runs the kernel over one group; the parts of its containers."""
        open_containers = np.empty((DEPTH_MAX, 4), np.int64)
        parts = np.empty((PARTS_MAX + len(value), 5), np.int64)
        row = used = 0
        while True:
            row, used = self._language.read(
                value.data, value.start, value.size, tables, trie, texts_at, open_containers, ok,
                kind, span, fault, parts, used, row,
            )  # fmt: skip
            if row == len(value):
                return parts[:used]
            parts = np.concatenate([parts, np.empty_like(parts)])

    def _program(self, frame: bytes, trie: Trie) -> _Program:
        """The program of a frame; an id that the registry does not know is asked for again.

        Raises:
            SchemaUnusable: There is none; the message is one sentence.
        """
        program = self._programs.get(frame)
        if program is None:
            key = schema_key(frame)
            schema = self._schemas.schema(key)
            if schema is None:
                what = "GUID" if isinstance(key, str) else "id"
                raise SchemaUnusable(
                    f"expected a schema that the registry knows, got {what} {key}, which it does not"
                )
            try:
                program = self._compiled(schema, frame, trie)
            except SchemaUnusable as exc:
                raise SchemaUnusable(f"schema {key}: {exc}") from exc
            if len(self._programs) >= _PROGRAMS_MAX:
                self._programs = {}
            self._programs[frame] = program
        return program

    def _compiled(self, schema: WriterSchema, frame: bytes, trie: Trie) -> _Program:
        if schema.kind != self._language.kind:
            raise SchemaUnusable(
                f"expected {self._language.kind}, since events.format says so, got {schema.kind}"
            )
        indexes = message_indexes(frame) if self._language.indexed else ()
        tables, reader = self._language.compile(schema, indexes, trie)
        return _Program(tables, ContainerTexts(reader))


def _window(value: Spans, eligible: Bools) -> tuple[Bytes, Int64s]:
    """The part of the buffer that the eligible values stand in, and where they begin in it."""
    if not eligible.any():
        return append_bytes(value.data[:0], b""), value.start
    first = int(value.start[eligible].min())
    stop = int((value.start + value.size)[eligible].max())
    return append_bytes(value.data[first:stop], b""), value.start - first


def _texts(parts: list[Bytes], parts_at: int, ok: Bools, kind: Kinds, span: Int64s) -> Bytes:
    """The buffer of all spans: the values, the texts of programs, and the numbers as text."""
    count, longer = count_numbers(kind)
    if longer:
        decimals = write_decimals(parts[0], ok, kind, span, parts_at)
        parts.append(np.frombuffer(decimals, np.uint8))
        parts_at += len(decimals)
    if count > longer:
        text = np.empty(count * TEXT_BYTES_MAX, np.uint8)
        parts.append(text[: write_numbers(ok, kind, span, parts_at, text)])
    data = np.concatenate(parts)
    data.flags.writeable = False
    return data


def _begin(value: bytes) -> str:
    return f"{value[:_SHOWN_BYTES].hex(' ')}..." if value else "nothing"
