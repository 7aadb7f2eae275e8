"""From a Protobuf message and the wanted paths to the tables that the kernel walks over.

A row of `messages` is one message at one place: the same message needs one row for each node that it
fills, and one more for all places where nobody wants it.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np
from google.protobuf import descriptor_pb2 as pb

from stream.columns import Bytes, Int64s
from stream.events.paths import END, ROOT, UNWANTED, WHOLE, Trie
from stream.formats.protobuf.protobuf_schema import (
    MessageType,
    ProtobufSchema,
    has_presence,
    is_verified,
)
from stream.formats.tables import Texts, Wanted

(
    DOUBLE, FLOAT, INT64, UINT64, INT32, FIXED64, FIXED32, BOOL, STRING, GROUP, MESSAGE, BYTES, UINT32,
    ENUM, SFIXED32, SFIXED64, SINT32, SINT64, MAP, SECONDS, NANOS, NULL_VALUE,
) = range(1, 23)  # fmt: skip
"""Types of fields: those of `FieldDescriptorProto`, then the ones that have a meaning of their own."""

FIELDS, FIELD_COUNT, DIRECT, DEFAULTS, DEFAULT_COUNT, M_NODE, ROLE = range(7)
"""Columns of `messages`; DEFAULTS are fields in `lists`."""
PLAIN, TRANSPARENT, TIMESTAMP, LIST = range(4)
"""Roles of a message: an object, what its one field holds, a time, an array."""

NUMBER, TYPE, F_NODE, TARGET, COUNT, FLAGS, RIVALS, RIVAL_COUNT, ITEMS = range(9)
"""Columns of `fields`. TARGET: the row of a message; for MAP the rows of entries by node, in `lists`,
and the row of unwanted entries before them; for ENUM its (number, start, size) in `lists`. RIVALS:
the nodes of the other fields of the same oneof. ITEMS, of a field with INDEXED: the fields that its items
are read as, in `lists`: first that of items that nobody wants, then by node."""
REPEATED, VERIFIED, CLOSED, KEPT, INDEXED = 1, 2, 4, 8, 16
"""FLAGS. KEPT is a container that is wanted whole; INDEXED one of which elements are wanted."""

DIRECT_MAX = 64
"""Fields with a number below it are found without a search."""

WRAPPERS = frozenset(
    f"google.protobuf.{name}Value"
    for name in ("Double", "Float", "Int64", "UInt64", "Int32", "UInt32", "Bool", "String", "Bytes")
)
_ROLES = {
    "google.protobuf.Timestamp": TIMESTAMP, "google.protobuf.ListValue": LIST,
    "google.protobuf.Value": TRANSPARENT,
}  # fmt: skip
INSIDES = ("google.protobuf.Struct", "google.protobuf.ListValue")
"""Messages whose field is the container that they are themselves."""
_NULL_VALUE = "google.protobuf.NullValue"

FieldSource: TypeAlias = tuple[MessageType, pb.FieldDescriptorProto]
"""A field, and the message that it is in."""


class ProtobufProgram(NamedTuple):
    """A compiled message.

    Attributes:
        messages: The rows; row 0 is the whole value. Shape (messages, 7), int64.
        fields: Their fields, by message. Shape (fields, 9), int64.
        direct: Row of a field by its number, -1 for none; DIRECT_MAX for each message. Shape
            (entries,), int64.
        lists: What the others refer to. Shape (entries,), int64.
        texts: Symbols of enums. Shape (bytes,), uint8.
    """

    messages: Int64s
    fields: Int64s
    direct: Int64s
    lists: Int64s
    texts: Bytes


def compile_protobuf(
    schema: ProtobufSchema, message: MessageType, trie: Trie
) -> tuple[ProtobufProgram, dict[int, FieldSource]]:
    """The tables of a message for some wanted paths, and what its fields with KEPT are."""
    compiler = _Compiler(schema, trie)
    compiler.message(message.name, ROOT)
    program = ProtobufProgram(
        np.array(compiler.messages, np.int64),
        np.array(compiler.fields or [[0] * 9], np.int64),
        np.array(compiler.direct, np.int64),
        np.array(compiler.lists or [0], np.int64),
        np.frombuffer(compiler.texts.data, np.uint8),
    )
    return program, compiler.sources


class _Compiler:
    def __init__(self, schema: ProtobufSchema, trie: Trie) -> None:
        self.messages: list[list[int]] = []
        self.fields: list[list[int]] = []
        self.direct: list[int] = []
        self.lists: list[int] = []
        self.texts = Texts()
        self._schema = schema
        self._nodes = trie.nodes
        self._wanted = Wanted(trie)
        self._known: dict[tuple[str, int], int] = {}
        self._enums: dict[str, tuple[int, int]] = {}
        self.sources: dict[int, FieldSource] = {}

    def message(self, name: str, node: int) -> int:
        """The row of a message that fills a node."""
        if (name, node) in self._known:
            return self._known[name, node]
        row = self._known[name, node] = len(self.messages)
        self.messages.append([0] * 7)
        of = self._schema.messages[name]
        wrapper = name in WRAPPERS or of.proto.options.map_entry
        role = TRANSPARENT if wrapper else _ROLES.get(name, PLAIN)
        fields = [self._field(of, one, node, role) for one in of.proto.field]
        self._set_rivals(of, fields)
        defaults = [
            index for index, one in enumerate(of.proto.field)
            if fields[index][F_NODE] != UNWANTED and self._has_default(of, one, role)
        ]  # fmt: skip
        first = len(self.fields)
        self.fields += fields
        for index, one in enumerate(fields):
            if one[FLAGS] & KEPT:
                self.sources[first + index] = of, of.proto.field[index]
            if one[FLAGS] & INDEXED:
                one[ITEMS] = self._items(of, of.proto.field[index], one)
        direct = [-1] * DIRECT_MAX
        for index, one in enumerate(fields):
            if one[NUMBER] < DIRECT_MAX:
                direct[one[NUMBER]] = first + index
        self.messages[row] = [
            first, len(fields), len(self.direct), self._list([first + k for k in defaults]),
            len(defaults), node, role,
        ]  # fmt: skip
        self.direct += direct
        return row

    def _field(
        self, of: MessageType, one: pb.FieldDescriptorProto, node: int, role: int
    ) -> list[int]:
        target = self._schema.resolve(one.type_name, of.name) if one.type_name else ""
        kind = self._type(of, one)
        place = self._place(of, one, node, role)
        repeated = one.label == pb.FieldDescriptorProto.LABEL_REPEATED
        flags = REPEATED * repeated + VERIFIED * is_verified(of.file, one)
        row, count = 0, 0
        if kind == ENUM and target:
            row, count = self._enum(target)
            flags += CLOSED * self._schema.enums[target].is_closed
            kind = NULL_VALUE if target == _NULL_VALUE else kind
        elif kind == MESSAGE and not target:
            kind = BYTES  # of a file that nobody gave: what is in it cannot be looked for
            place = UNWANTED
        elif kind == MESSAGE and repeated and self._is_map(target):
            kind, flags = MAP, flags - REPEATED
            row = self._entries(target, place)
        elif kind == MESSAGE:
            row = self.message(target, UNWANTED if repeated else place)
        if role == TIMESTAMP:
            kind = SECONDS if one.number == 1 else NANOS
        flags += self._container_flags(of, kind, place, target, repeated=repeated)
        return [one.number, kind, place, row, count, flags, 0, 0, 0]

    def _container_flags(
        self, of: MessageType, kind: int, place: int, target: str, *, repeated: bool
    ) -> int:
        if place == UNWANTED:
            return 0
        flags = INDEXED if repeated and kind != MAP and self._wanted.elements(place) else 0
        is_plain = kind == MESSAGE and target not in WRAPPERS and _ROLES.get(target, LIST) == LIST
        is_container = repeated or kind == MAP or is_plain
        if is_container and self._nodes[place, WHOLE] and of.name not in INSIDES:
            flags |= KEPT
        return flags

    def _items(self, of: MessageType, one: pb.FieldDescriptorProto, field: list[int]) -> int:
        """Where the fields stand that the items of a repeated field are read as."""
        node = field[F_NODE]
        target = self._schema.resolve(one.type_name, of.name) if field[TYPE] == MESSAGE else ""
        items = [UNWANTED] * int(self._nodes[node, END] - node)
        for below in (UNWANTED, *self._wanted.elements(node)):
            row = self.message(target, below) if target else field[TARGET]
            flags = field[FLAGS] & (VERIFIED | CLOSED)
            items[0 if below == UNWANTED else below - node] = len(self.fields)
            self.fields.append([one.number, field[TYPE], below, row, field[COUNT], flags, 0, 0, 0])
        return self._list(items)

    def _place(self, of: MessageType, one: pb.FieldDescriptorProto, node: int, role: int) -> int:
        """The node that a field fills."""
        if node == UNWANTED:
            return UNWANTED
        if of.proto.options.map_entry:
            return node if one.number == 2 else UNWANTED
        if role != PLAIN or of.name == "google.protobuf.Struct":
            return node
        return self._wanted.child(node, [one.name, one.json_name or _json_name(one.name)])

    def _has_default(self, of: MessageType, one: pb.FieldDescriptorProto, role: int) -> bool:
        """Whether a field that is not there says its default: it has no way to be missing."""
        if one.label == pb.FieldDescriptorProto.LABEL_REPEATED or of.name in _ROLES:
            return False
        if of.proto.options.map_entry:
            return bool(one.number == 2)
        is_message = self._type(of, one) in (MESSAGE, GROUP)
        return not is_message and not has_presence(of.file, one)

    def _type(self, of: MessageType, one: pb.FieldDescriptorProto) -> int:
        """The type of a field; who has not resolved names says none beside the name of a type."""
        if one.HasField("type"):
            return int(one.type)
        is_enum = self._schema.resolve(one.type_name, of.name) in self._schema.enums
        return ENUM if is_enum else MESSAGE

    def _set_rivals(self, of: MessageType, fields: list[list[int]]) -> None:
        for index, one in enumerate(of.proto.field):
            if one.HasField("oneof_index"):
                rivals = [
                    fields[k][F_NODE] for k, other in enumerate(of.proto.field)
                    if k != index and other.HasField("oneof_index")
                    and other.oneof_index == one.oneof_index and fields[k][F_NODE] != UNWANTED
                    and fields[k][F_NODE] != fields[index][F_NODE]
                ]  # fmt: skip
                fields[index][RIVALS] = self._list(rivals)
                fields[index][RIVAL_COUNT] = len(rivals)

    def _is_map(self, name: str) -> bool:
        of = self._schema.messages.get(name)
        return of is not None and bool(of.proto.options.map_entry)

    def _entries(self, name: str, node: int) -> int:
        rows = [self.message(name, UNWANTED)]
        key = self._schema.messages[name].proto.field[0]
        if node != UNWANTED:
            rows += [rows[0]] * int(self._nodes[node, END] - node - 1)
            for below in self._wanted.below(node) if key.type == STRING else []:
                rows[below - node] = self.message(name, below)
        return self._list(rows)

    def _enum(self, name: str) -> tuple[int, int]:
        if name not in self._enums:
            of = self._schema.enums[name]
            numbers = sorted(of.symbols, key=lambda number: (number != of.first, number))
            entries = [
                entry for number in numbers for entry in (number, *self.texts.place(of.symbols[number]))
            ]  # fmt: skip
            self._enums[name] = self._list(entries), len(numbers)
        return self._enums[name]

    def _list(self, entries: list[int]) -> int:
        self.lists += entries
        return len(self.lists) - len(entries)


def _json_name(name: str) -> str:
    """The name of a field in JSON: user_id is userId."""
    first, *others = name.split("_")
    return first + "".join(part[:1].upper() + part[1:] for part in others)
