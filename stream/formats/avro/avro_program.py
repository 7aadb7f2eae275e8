"""From an Avro schema and the wanted paths to the tables that the kernel walks over.

A row of `ops` is one type at one place: the same type needs one row for each node that it fills, and
one more for all places where nobody wants it, so that schemas that name themselves come to an end.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from stream.columns import Bytes, Int64s
from stream.events.paths import END, ROOT, UNWANTED, WHOLE, Trie
from stream.formats.avro.avro_schema import AvroType
from stream.formats.tables import Texts, Wanted

(
    NULL_OP, BOOLEAN_OP, LONG_OP, FLOAT_OP, DOUBLE_OP, BYTES_OP, STRING_OP, RECORD_OP, ENUM_OP,
    FIXED_OP, ARRAY_OP, MAP_OP, UNION_OP, MILLIS_OP, MICROS_OP, NANOS_OP, DATE_OP,
) = range(17)  # fmt: skip
OP, NODE, FIRST, COUNT, SCALE, KEPT = range(6)
"""Columns of `ops`: what to read, the node that it fills or UNWANTED, and what the operation needs.

RECORD and UNION: the rows of their members are COUNT entries of `lists` from FIRST on. ENUM: (start,
size) of its symbols, two entries each. ARRAY and MAP: FIRST is the row of items that nobody wants, and
from COUNT on stand rows by node, for the nodes behind the container's own; NO_ROWS where there are
none. FIXED: COUNT is its size. KEPT is 1 for a container that is wanted whole. BYTES and FIXED: SCALE is that of a decimal, NO_DECIMAL when they are none.
"""
NO_DECIMAL = NO_ROWS = -1
DAY_MS, DAYS_MAX = 86_400_000, 10**10
"""Of a date, and the most of them whose milliseconds fit an int64."""
TICKS_PER_MS = {
    f"{prefix}timestamp-{unit}": ticks
    for prefix in ("", "local-") for unit, ticks in (("millis", 1), ("micros", 1_000), ("nanos", 1_000_000))
}  # fmt: skip
"""Of each logical type that is a time."""

_PRIMITIVES = {
    "null": NULL_OP, "boolean": BOOLEAN_OP, "int": LONG_OP, "long": LONG_OP, "float": FLOAT_OP,
    "double": DOUBLE_OP, "bytes": BYTES_OP, "string": STRING_OP,
}  # fmt: skip
_TIMES = {1: MILLIS_OP, 1_000: MICROS_OP, 1_000_000: NANOS_OP}
_CONTAINERS = (RECORD_OP, ARRAY_OP, MAP_OP)


class AvroProgram(NamedTuple):
    """A compiled schema.

    Attributes:
        ops: The rows; row 0 is the whole value. Shape (rows, 6), int64.
        lists: What rows refer to. Shape (entries,), int64.
        texts: Symbols of enums. Shape (bytes,), uint8.
    """

    ops: Int64s
    lists: Int64s
    texts: Bytes


def compile_avro(schema: AvroType, trie: Trie) -> tuple[AvroProgram, list[AvroType]]:
    """The tables of a schema for some wanted paths, and the type of each row."""
    compiler = _Compiler(trie)
    compiler.row(schema, ROOT)
    lists = np.array(compiler.lists or [0], np.int64)
    texts = np.frombuffer(compiler.texts.data, np.uint8)
    return AvroProgram(np.array(compiler.ops, np.int64), lists, texts), compiler.types


class _Compiler:
    def __init__(self, trie: Trie) -> None:
        self.ops: list[list[int]] = []
        self.lists: list[int] = []
        self.texts = Texts()
        self.types: list[AvroType] = []
        self._nodes = trie.nodes
        self._wanted = Wanted(trie)
        self._known: dict[tuple[AvroType, int], int] = {}

    def row(self, schema: AvroType, node: int) -> int:
        """The row of a type that fills a node; a schema is few types deep."""
        if (schema, node) in self._known:
            return self._known[schema, node]
        row = self._known[schema, node] = len(self.ops)
        self.ops.append([])
        self.types.append(schema)
        op, first, count, scale = self._operation(schema, node)
        is_kept = op in _CONTAINERS and node != UNWANTED and self._nodes[node, WHOLE]
        self.ops[row] = [op, node, first, count, scale, int(is_kept)]
        return row

    def _operation(
        self, schema: AvroType, node: int
    ) -> tuple[int, int, int, int]:  # one for each kind of type
        if schema.kind == "record":
            rows = [self._field(names, of, node) for names, of in schema.fields]
            return RECORD_OP, self._list(rows), len(rows), NO_DECIMAL
        if schema.kind == "union":
            rows = [self.row(branch, node) for branch in schema.items]
            return UNION_OP, self._list(rows), len(rows), NO_DECIMAL
        if schema.kind == "array" or schema.kind == "map":
            op, inside = ARRAY_OP, self._wanted.elements(node)
            if schema.kind == "map":
                op, inside = MAP_OP, self._wanted.below(node)
            unwanted = self.row(schema.items[0], UNWANTED)
            return op, unwanted, self._items(schema, node, inside), NO_DECIMAL
        if schema.kind == "enum":
            places = [self.texts.place(symbol) for symbol in schema.symbols]
            entries = [number for place in places for number in place]
            return ENUM_OP, self._list(entries), len(places), NO_DECIMAL
        if schema.kind == "fixed":
            return FIXED_OP, 0, schema.size, _scale(schema)
        op = _PRIMITIVES[schema.kind]
        if op == LONG_OP:
            ticks = TICKS_PER_MS.get(schema.logical, 0) if schema.kind == "long" else 0
            op = _TIMES.get(ticks, op)
            op = DATE_OP if schema.kind == "int" and schema.logical == "date" else op
        return op, 0, 0, _scale(schema) if op == BYTES_OP else NO_DECIMAL

    def _field(self, names: list[str], of: AvroType, node: int) -> int:
        return self.row(of, UNWANTED if node == UNWANTED else self._wanted.child(node, names))

    def _items(self, schema: AvroType, node: int, inside: list[int]) -> int:
        """Where the rows of the wanted items of a container stand."""
        if not inside:
            return NO_ROWS
        rows = [0] * int(self._nodes[node, END] - node - 1)
        for below in inside:
            rows[below - node - 1] = self.row(schema.items[0], below)
        return self._list(rows)

    def _list(self, entries: list[int]) -> int:
        self.lists += entries
        return len(self.lists) - len(entries)


def _scale(schema: AvroType) -> int:
    return schema.scale if schema.logical == "decimal" else NO_DECIMAL
