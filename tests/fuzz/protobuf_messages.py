"""Messages of Protobuf from a seed: their schemas, and values of them."""

from __future__ import annotations

import random
from typing import Any

from google.protobuf import descriptor_pb2 as pb
from google.protobuf import (
    descriptor_pool,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from tests.fuzz.framed import NAMES, NEEDED, calm_word, mutated

_F = pb.FieldDescriptorProto
_USUAL = {"c": _F.TYPE_STRING, "e": _F.TYPE_INT64, "t": _F.TYPE_STRING, "k": _F.TYPE_BOOL,
          "n": _F.TYPE_DOUBLE, "x": _F.TYPE_SINT32, "g": _F.TYPE_STRING}  # fmt: skip
_SCALARS = [
    _F.TYPE_DOUBLE, _F.TYPE_FLOAT, _F.TYPE_INT64, _F.TYPE_UINT64, _F.TYPE_INT32, _F.TYPE_FIXED64,
    _F.TYPE_FIXED32, _F.TYPE_BOOL, _F.TYPE_STRING, _F.TYPE_BYTES, _F.TYPE_UINT32, _F.TYPE_SFIXED32,
    _F.TYPE_SFIXED64, _F.TYPE_SINT32, _F.TYPE_SINT64,
]  # fmt: skip
_KNOWN = (
    "Timestamp",
    "Struct",
    "Value",
    "ListValue",
    "StringValue",
    "Int64Value",
    "DoubleValue",
    "BoolValue",
)


def file_of(rng: random.Random, syntax: str, *, calm: bool = False) -> pb.FileDescriptorProto:
    """A file with a message E at index 1, and others in it; a calm one has the fields of an event as they should be."""
    file = pb.FileDescriptorProto(name="e.proto", package="shop", syntax=syntax)
    for module in (timestamp_pb2, struct_pb2, wrappers_pb2):
        file.dependency.append(module.DESCRIPTOR.name)
    for name, numbers in (("Kind", (0, 1, 7, -1)), ("Far", (0, 2**31 - 1))):
        enum = file.enum_type.add(name=name)
        for number in numbers:
            enum.value.add(
                name=("view" if not number else f"V{number}".replace("-", "m"))
                + ("" if name == "Kind" else "f"),
                number=number,
            )
    file.message_type.add(name="Before")
    event = file.message_type.add(name="E")
    _fill(rng, event, ".shop.E", syntax, 3)
    if calm:
        _calm(rng, event)
    return file


def _calm(rng: random.Random, event: pb.DescriptorProto) -> None:
    """Makes the fields of an event what they should be, those without which there is none in any case."""
    free = [n for n in range(1, 20) if n not in {one.number for one in event.field}]
    there = {one.name for one in event.field}
    for name in NEEDED:
        if name not in there:
            event.field.add(name=name, number=free.pop())
    for one in event.field:
        kind = _F.TYPE_MESSAGE if one.name == "s" else _USUAL.get(one.name)
        if one.name in NEEDED or (kind is not None and rng.random() < 0.9):
            one.label, one.type = _F.LABEL_OPTIONAL, kind
            one.type_name = ".google.protobuf.Timestamp" if one.name == "s" else ""
            if not one.type_name:
                one.ClearField("type_name")


def _fill(
    rng: random.Random, message: pb.DescriptorProto, name: str, syntax: str, depth: int
) -> None:
    numbers = rng.sample([*range(1, 20), 63, 64, 500, 2**29 - 1], len(NAMES))
    one_of = rng.random() < 0.4
    optional = []
    if one_of:
        message.oneof_decl.add(name="choice")
    for called, number in zip(NAMES, numbers, strict=True):
        if rng.random() < 0.2:
            continue
        one = message.field.add(name=called, number=number, label=_F.LABEL_OPTIONAL)
        _type(rng, message, one, name, syntax, depth)
        if one.label == _F.LABEL_REPEATED:
            continue
        if one_of and rng.random() < 0.4:
            one.oneof_index = 0
        elif syntax == "proto3" and one.type != _F.TYPE_MESSAGE and rng.random() < 0.3:
            optional.append(one)
    if one_of and not any(one.HasField("oneof_index") for one in message.field):
        del message.oneof_decl[:]
    for one in optional:
        one.proto3_optional = True
        one.oneof_index = len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{one.name}")


def _type(
    rng: random.Random, message: pb.DescriptorProto, one: Any, name: str, syntax: str, depth: int
) -> None:
    one.type = rng.choice(_SCALARS)
    if one.name in _USUAL and rng.random() < 0.7:
        one.type = _USUAL[one.name]
        return
    if one.name == "s" and rng.random() < 0.7:
        one.type, one.type_name = _F.TYPE_MESSAGE, ".google.protobuf.Timestamp"
        return
    choice = rng.random()
    if (one.name == "m" or choice < 0.15) and depth > 0:
        inner = message.nested_type.add(name=f"M{one.name}")
        _fill(rng, inner, f"{name}.{inner.name}", syntax, depth - 1)
        one.type, one.type_name = _F.TYPE_MESSAGE, f"{name}.{inner.name}"
        if rng.random() < 0.15:
            _to_map(rng, message, one, name, one.type_name)
            return
    elif choice < 0.3:
        one.type, one.type_name = _F.TYPE_MESSAGE, f".google.protobuf.{rng.choice(_KNOWN)}"
    elif choice < 0.4:
        one.type, one.type_name = _F.TYPE_ENUM, rng.choice((".shop.Kind", ".shop.Far"))
    elif choice < 0.5:
        _to_map(rng, message, one, name, None)
        return
    elif choice < 0.55:
        one.type, one.type_name = _F.TYPE_MESSAGE, ".shop.E"
    if rng.random() < (0.5 if one.name in "uy" else 0.12):
        one.label = _F.LABEL_REPEATED


def _to_map(
    rng: random.Random, message: pb.DescriptorProto, one: Any, name: str, value: str | None
) -> None:
    entry = message.nested_type.add(name=one.name.capitalize() + "Entry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=_F.TYPE_STRING, label=_F.LABEL_OPTIONAL)
    kind = _F.TYPE_MESSAGE if value else rng.choice(_SCALARS)
    entry.field.add(name="value", number=2, type=kind, type_name=value, label=_F.LABEL_OPTIONAL)
    one.type, one.type_name, one.label = _F.TYPE_MESSAGE, f"{name}.{entry.name}", _F.LABEL_REPEATED


def class_of(file: pb.FileDescriptorProto, name: str) -> type[Message]:
    pool = descriptor_pool.DescriptorPool()
    for module in (timestamp_pb2, struct_pb2, wrappers_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(file.SerializeToString())
    found: type[Message] = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
    return found


def fill(rng: random.Random, message: Any, depth: int = 4) -> None:
    """Sets fields at random."""
    for one in message.DESCRIPTOR.fields:
        if rng.random() < 0.25 or (one.message_type is not None and depth == 0):
            continue
        if is_map(one):
            held = getattr(message, one.name)
            for key in rng.sample(NAMES, rng.randrange(4)):
                if one.message_type.fields_by_name["value"].message_type is not None:
                    fill(rng, held[key], depth - 1)
                else:
                    held[key] = _scalar(rng, one.message_type.fields_by_name["value"])
        elif one.message_type is not None:
            held = getattr(message, one.name)
            held = held.add() if one.is_repeated else held
            held.SetInParent() if not one.is_repeated else None
            fill(rng, held, depth - 1)
        elif one.is_repeated:
            getattr(message, one.name).extend(_scalar(rng, one) for _ in range(rng.randrange(3)))
        else:
            setattr(message, one.name, _scalar(rng, one))


_RANGES = {
    _F.TYPE_INT64: (-(2**63), 2**63 - 1), _F.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    _F.TYPE_SINT64: (-(2**63), 2**63 - 1), _F.TYPE_UINT64: (0, 2**64 - 1), _F.TYPE_FIXED64: (0, 2**64 - 1),
    _F.TYPE_UINT32: (0, 2**32 - 1), _F.TYPE_FIXED32: (0, 2**32 - 1),
}  # fmt: skip


def _scalar(rng: random.Random, one: FieldDescriptor) -> Any:
    if one.type == _F.TYPE_BOOL:
        return rng.random() < 0.5
    if one.type in (_F.TYPE_DOUBLE, _F.TYPE_FLOAT):
        return rng.choice((0.0, 1.5, 0.1, -3.0, 1.76e9, float("nan"), 1e30))
    if one.type == _F.TYPE_STRING:
        return rng.choice(
            ("view", "buy", "", "é", "12.5", "granted", "2026-01-01T00:00:00Z", "x" * 40)
        )
    if one.type == _F.TYPE_BYTES:
        return rng.choice((b"", b"buy", b"\xff\xfe"))
    if one.type == _F.TYPE_ENUM:
        return rng.choice([value.number for value in one.enum_type.values])
    low, high = _RANGES.get(one.type, (-(2**31), 2**31 - 1))
    if one.containing_type.full_name == "google.protobuf.Timestamp" and one.name == "nanos":
        low, high = 0, 999_999_999
    return rng.choice(
        [n for n in (0, 1, -1, 77, 1_760_000_000, 1_760_000_000_000, low, high) if low <= n <= high]
    )


def content_of(rng: random.Random, message: Any, *, calm: bool) -> bytes:
    """The bytes of a message that is filled at random, often broken; calm ones have what an event needs."""
    fill(rng, message)
    if not calm:
        return mutated(rng, message.SerializeToString())
    for name in NEEDED:
        setattr(message, name, calm_word(rng))
    content: bytes = message.SerializeToString()
    return mutated(rng, content) if rng.random() < 0.3 else content


def is_map(one: FieldDescriptor) -> bool:
    """Whether a field is a map, which is a repeated message to its descriptor."""
    return one.message_type is not None and bool(one.message_type.GetOptions().map_entry)
