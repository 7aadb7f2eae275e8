"""Protobuf values that a kernel has passed, as Python objects: the plain counterpart of the kernel."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2 as pb

from stream.events.present import EpochMs, JsonNumber
from stream.formats.containers import Parts
from stream.formats.protobuf import protobuf_program as p
from stream.formats.protobuf.protobuf_schema import MessageType, ProtobufSchema, has_presence
from stream.formats.protobuf.protobuf_wire import (
    END_WIRE,
    FIXED32_WIRE,
    FIXED64_WIRE,
    GROUP_WIRE,
    LENGTH_WIRE,
    VARINT_WIRE,
)

_Raw: TypeAlias = int | bytes
"""A value of the wire: a varint, or the bytes of anything else."""

_SIZES = {FIXED64_WIRE: 8, FIXED32_WIRE: 4}
_FIXED = {
    p.DOUBLE: "<d", p.FLOAT: "<f", p.FIXED64: "<Q", p.SFIXED64: "<q", p.FIXED32: "<I", p.SFIXED32: "<i",
}  # fmt: skip
_WIRES = {
    kind: FIXED64_WIRE if struct.calcsize(form) == 8 else FIXED32_WIRE
    for kind, form in _FIXED.items()
}
_WIRES |= dict.fromkeys((p.STRING, p.BYTES, p.MESSAGE), LENGTH_WIRE)
_SECONDS_MAX = 9_000_000_000_000_000
_NOTHING = object()
"""Of a closed enum a number that it does not have: the field is as if it were not there."""


class ProtobufContainers:
    """Reads containers; as `stream.formats.containers.ContainerReader`.

    Args:
        schema: What its files declare.
        sources: By the SOURCE of parts the field.
    """

    def __init__(self, schema: ProtobufSchema, sources: Mapping[int, p.FieldSource]) -> None:
        self._schema = schema
        self._sources = sources

    def read(self, parts: Parts) -> Any:
        """The map, the items, or the message merged of its parts."""
        of, one = self._sources[parts[0][0]]
        kind = self._kind(of, one)
        if one.label != pb.FieldDescriptorProto.LABEL_REPEATED:
            return self._message(self._target(of, one), b"".join(raw for _, raw in parts))
        if kind == p.MESSAGE:
            return self._repeated(of, one, [raw for _, raw in parts])
        content = b"".join(raw for _, raw in parts)
        return self._repeated(of, one, list(_packed(content, _WIRES.get(kind, VARINT_WIRE))))

    def _repeated(self, of: MessageType, one: pb.FieldDescriptorProto, raw: list[_Raw]) -> Any:
        """The items of a field, or the map that they are."""
        target = self._target(of, one)
        if target is None or not target.proto.options.map_entry:
            items = (self._value(of, one, [value]) for value in raw)
            return [item for item in items if item is not _NOTHING]
        found = {}
        for content in raw:
            entry = _fields(content if isinstance(content, bytes) else b"")
            key, value = target.proto.field
            name = self._value(target, key, entry.get((1, self._wire(target, key)), []))
            held = self._value(target, value, entry.get((2, self._wire(target, value)), []))
            found[name.text if isinstance(name, JsonNumber) else str(name)] = (
                None if held is _NOTHING else held
            )
        return found

    def _message(self, of: MessageType | None, content: bytes) -> Any:
        """A message as what it means."""
        if of is None:
            return {}
        fields = _fields(content)
        if of.name == "google.protobuf.Timestamp":
            return _time(fields)
        members = {}
        for one in of.proto.field:
            raw = self._raw(of, one, fields)
            is_repeated = one.label == pb.FieldDescriptorProto.LABEL_REPEATED
            if raw or not (is_repeated or self._is_optional(of, one)):
                value = self._repeated(of, one, raw) if is_repeated else self._value(of, one, raw)
                if value is not _NOTHING:
                    members[one.name] = value
        if of.name in p.INSIDES:
            return next(iter(members.values()), {} if of.name == "google.protobuf.Struct" else [])
        if of.name == "google.protobuf.Value":
            return members[self._last(of, content)] if members else None
        if of.name in p.WRAPPERS:
            return members["value"]
        return self._without_rivals(of, content, members)

    def _without_rivals(self, of: MessageType, content: bytes, members: dict[str, Any]) -> Any:
        """Of each oneof only the member that came last."""
        for index in range(len(of.proto.oneof_decl)):
            names = [
                one.name for one in of.proto.field
                if one.HasField("oneof_index") and one.oneof_index == index and one.name in members
            ]  # fmt: skip
            if len(names) > 1:
                last = self._last(of, content, names)
                members = {k: v for k, v in members.items() if k == last or k not in names}
        return members

    def _last(self, of: MessageType, content: bytes, names: list[str] | None = None) -> str:
        """The field that came last, of some or of all."""
        by_tag: dict[tuple[int, int], str] = {
            (one.number, self._wire(of, one)): one.name
            for one in of.proto.field if names is None or one.name in names
        }  # fmt: skip
        came = [by_tag[tag] for tag, _ in _records(content) if tag in by_tag]
        return came[-1]

    def _raw(
        self, of: MessageType, one: pb.FieldDescriptorProto, fields: dict[tuple[int, int], list[_Raw]]
    ) -> list[_Raw]:  # fmt: skip
        """The values of a field, packed ones last."""
        wire = self._wire(of, one)
        raw = list(fields.get((one.number, wire), []))
        if one.label == pb.FieldDescriptorProto.LABEL_REPEATED and wire != LENGTH_WIRE:
            for packed in fields.get((one.number, LENGTH_WIRE), []):
                raw += _packed(packed if isinstance(packed, bytes) else b"", wire)
        return raw

    def _value(self, of: MessageType, one: pb.FieldDescriptorProto, raw: list[_Raw]) -> Any:
        """The value of a field that is not repeated, of all that came for it; its default for none."""
        kind = self._kind(of, one)
        if kind == p.MESSAGE:
            content = b"".join(part for part in raw if isinstance(part, bytes))
            return self._message(self._target(of, one), content)
        last = raw[-1] if raw else None
        if kind in _FIXED:
            content = last if isinstance(last, bytes) else bytes(8)
            number = struct.unpack_from(_FIXED[kind], content)[0]
            return JsonNumber(repr(number))
        if kind in (p.STRING, p.BYTES):
            return _text(last if isinstance(last, bytes) else b"")
        value = last if isinstance(last, int) else 0
        if kind == p.ENUM:
            return self._symbol(of, one, value if raw else None)
        return value != 0 if kind == p.BOOL else JsonNumber(str(_INTEGERS[kind](value)))

    def _symbol(self, of: MessageType, one: pb.FieldDescriptorProto, value: int | None) -> Any:
        name = self._schema.resolve(one.type_name, of.name)
        if name == "google.protobuf.NullValue":
            return None
        enum = self._schema.enums.get(name)
        number = _signed(value, 32) if value is not None else enum.first if enum else 0
        if enum is None or number in enum.symbols:
            return enum.symbols[number] if enum else JsonNumber(str(number))
        return _NOTHING if enum.is_closed else JsonNumber(str(number))

    def _kind(self, of: MessageType, one: pb.FieldDescriptorProto) -> int:
        if one.HasField("type"):
            is_known = one.type != p.MESSAGE or self._target(of, one) is not None
            return int(one.type) if is_known else p.BYTES
        is_enum = self._schema.resolve(one.type_name, of.name) in self._schema.enums
        return p.ENUM if is_enum else p.MESSAGE

    def _wire(self, of: MessageType, one: pb.FieldDescriptorProto) -> int:
        return _WIRES.get(self._kind(of, one), VARINT_WIRE)

    def _target(self, of: MessageType, one: pb.FieldDescriptorProto) -> MessageType | None:
        return self._schema.messages.get(self._schema.resolve(one.type_name, of.name))

    def _is_optional(self, of: MessageType, one: pb.FieldDescriptorProto) -> bool:
        return self._kind(of, one) in (p.MESSAGE, p.GROUP) or has_presence(of.file, one)


def _time(fields: dict[tuple[int, int], list[_Raw]]) -> EpochMs:
    (seconds, nanos) = (fields.get((number, VARINT_WIRE), [0])[-1] for number in (1, 2))
    bounded = min(max(_signed(seconds, 64), -_SECONDS_MAX), _SECONDS_MAX)
    return EpochMs(str(bounded * 1000 + _signed(nanos, 32) // 1_000_000))


def _text(content: bytes) -> str | bytes:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _signed(value: _Raw, bits: int) -> int:
    low = int(value) & ((1 << bits) - 1)
    return low - (low >> (bits - 1) << bits)


def _zigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)


_INTEGERS: dict[int, Callable[[int], int]] = {
    p.INT64: lambda value: _signed(value, 64), p.INT32: lambda value: _signed(value, 32),
    p.UINT64: lambda value: value, p.UINT32: lambda value: value & 0xFFFF_FFFF,
    p.SINT32: lambda value: _zigzag(value & 0xFFFF_FFFF), p.SINT64: _zigzag,
}  # fmt: skip


def _fields(content: bytes) -> dict[tuple[int, int], list[_Raw]]:
    """The values of a message by number and wire type, in the order in which they came."""
    found: dict[tuple[int, int], list[_Raw]] = {}
    for tag, raw in _records(content):
        found.setdefault(tag, []).append(raw)
    return found


def _records(content: bytes) -> Iterator[tuple[tuple[int, int], _Raw]]:
    """Number, wire type and value of each field of a message, without groups."""
    at = depth = 0
    while at < len(content):
        tag, at = _varint(content, at)
        wire = tag & 7
        if wire in (GROUP_WIRE, END_WIRE):
            depth += 1 if wire == GROUP_WIRE else -1
            continue
        raw, at = _one(content, at, wire)
        if not depth:
            yield (tag >> 3, wire), raw


def _packed(content: bytes, wire: int) -> Iterator[_Raw]:
    at = 0
    while at < len(content):
        raw, at = _one(content, at, wire)
        yield raw


def _one(content: bytes, at: int, wire: int) -> tuple[_Raw, int]:
    if wire == VARINT_WIRE:
        return _varint(content, at)
    size = _SIZES.get(wire, 0)
    if wire == LENGTH_WIRE:
        size, at = _varint(content, at)
    return content[at : at + size], at + size


def _varint(content: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
