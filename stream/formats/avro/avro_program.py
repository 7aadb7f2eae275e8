"""From an Avro schema and the wanted paths to the tables that the kernel walks over.

A row of `ops` is one type at one place: the same type needs one row for each node that it fills, and
one more for all places where nobody wants it, so that schemas that name themselves come to an end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.columns import Bytes, Int64s
from stream.events.paths import END, ROOT, UNWANTED, Trie
from stream.formats.avro.avro_schema import AvroType
from stream.formats.tables import Texts, Wanted

(
    NULL_OP, BOOLEAN_OP, LONG_OP, FLOAT_OP, DOUBLE_OP, BYTES_OP, STRING_OP, RECORD_OP, ENUM_OP,
    FIXED_OP, ARRAY_OP, MAP_OP, UNION_OP, MILLIS_OP, MICROS_OP, NANOS_OP, DATE_OP,
) = range(17)  # fmt: skip
OP, NODE, FIRST, COUNT, SCALE = range(5)
"""Columns of `ops`: what to read, the node that it fills or UNWANTED, and what the operation needs.

RECORD and UNION: the rows of their members are COUNT entries of `lists` from FIRST on. ENUM: (start,
size) of its symbols, two entries each. ARRAY: FIRST is the row of its items. MAP: FIRST is the row of
values that nobody wants, and from COUNT on stand rows by node, for the nodes behind the map's own.
FIXED: COUNT is its size. BYTES and FIXED: SCALE is that of a decimal, NO_DECIMAL when they are none.
"""
NO_DECIMAL = -1

_PRIMITIVES = {
    "null": NULL_OP, "boolean": BOOLEAN_OP, "int": LONG_OP, "long": LONG_OP, "float": FLOAT_OP,
    "double": DOUBLE_OP, "bytes": BYTES_OP, "string": STRING_OP,
}  # fmt: skip
_TIMES = {
    "timestamp-millis": MILLIS_OP, "timestamp-micros": MICROS_OP, "timestamp-nanos": NANOS_OP,
    "local-timestamp-millis": MILLIS_OP, "local-timestamp-micros": MICROS_OP,
    "local-timestamp-nanos": NANOS_OP,
}  # fmt: skip


class AvroProgram(NamedTuple):
    """A compiled schema.

    Attributes:
        ops: The rows; row 0 is the whole value. Shape (rows, 5), int64.
        lists: What rows refer to. Shape (entries,), int64.
        texts: Symbols of enums. Shape (bytes,), uint8.
    """

    ops: Int64s
    lists: Int64s
    texts: Bytes


def compile_avro(schema: AvroType, trie: Trie) -> AvroProgram:
    """The tables of a schema for some wanted paths."""
    compiler = _Compiler(trie)
    compiler.row(schema, ROOT)
    lists = np.array(compiler.lists or [0], np.int64)
    texts = np.frombuffer(compiler.texts.data, np.uint8)
    return AvroProgram(np.array(compiler.ops, np.int64), lists, texts)


class _Compiler:
    def __init__(self, trie: Trie) -> None:
        self.ops: list[list[int]] = []
        self.lists: list[int] = []
        self.texts = Texts()
        self._nodes = trie.nodes
        self._wanted = Wanted(trie)
        self._known: dict[tuple[AvroType, int], int] = {}

    def row(self, schema: AvroType, node: int) -> int:
        """The row of a type that fills a node; a schema is few types deep."""
        if (schema, node) in self._known:
            return self._known[schema, node]
        row = self._known[schema, node] = len(self.ops)
        self.ops.append([NULL_OP, node, 0, 0, NO_DECIMAL])
        op, first, count, scale = self._operation(schema, node)
        self.ops[row] = [op, node, first, count, scale]
        return row

    def _operation(self, schema: AvroType, node: int) -> tuple[int, int, int, int]:  # noqa: PLR0911  # one for each kind of type
        if schema.kind == "record":
            rows = [self._field(names, of, node) for names, of in schema.fields]
            return RECORD_OP, self._list(rows), len(rows), NO_DECIMAL
        if schema.kind == "union":
            rows = [self.row(branch, node) for branch in schema.items]
            return UNION_OP, self._list(rows), len(rows), NO_DECIMAL
        if schema.kind == "array":
            return ARRAY_OP, self.row(schema.items[0], UNWANTED), 0, NO_DECIMAL
        if schema.kind == "map":
            return (
                MAP_OP,
                self.row(schema.items[0], UNWANTED),
                self._values(schema, node),
                NO_DECIMAL,
            )
        if schema.kind == "enum":
            places = [self.texts.place(symbol) for symbol in schema.symbols]
            entries = [number for place in places for number in place]
            return ENUM_OP, self._list(entries), len(places), NO_DECIMAL
        if schema.kind == "fixed":
            return FIXED_OP, 0, schema.size, _scale(schema)
        op = _PRIMITIVES[schema.kind]
        if op == LONG_OP:
            op = _TIMES.get(schema.logical, LONG_OP) if schema.kind == "long" else op
            op = DATE_OP if schema.kind == "int" and schema.logical == "date" else op
        return op, 0, 0, _scale(schema) if op == BYTES_OP else NO_DECIMAL

    def _field(self, names: list[str], of: AvroType, node: int) -> int:
        return self.row(of, UNWANTED if node == UNWANTED else self._wanted.child(node, names))

    def _values(self, schema: AvroType, node: int) -> int:
        if node == UNWANTED:
            return 0
        rows = [0] * int(self._nodes[node, END] - node - 1)
        for below in self._wanted.below(node):
            rows[below - node - 1] = self.row(schema.items[0], below)
        return self._list(rows)

    def _list(self, entries: list[int]) -> int:
        self.lists += entries
        return len(self.lists) - len(entries)


def _scale(schema: AvroType) -> int:
    return schema.scale if schema.logical == "decimal" else NO_DECIMAL
