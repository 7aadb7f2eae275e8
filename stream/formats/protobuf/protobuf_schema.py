"""Protobuf schemas: from the descriptors of files to messages and enums by full name."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from google.protobuf import descriptor_pb2 as pb
from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.message import DecodeError

from stream.formats.port import SchemaUnusable

Feature: TypeAlias = str
_WELL_KNOWN = (timestamp_pb2, wrappers_pb2, struct_pb2, duration_pb2)


@dataclass(eq=False, slots=True)
class MessageType:
    """A message.

    Attributes:
        name: Full name, without a dot before it.
        proto: Its descriptor.
        file: The file that it is in.
    """

    name: str
    proto: pb.DescriptorProto
    file: pb.FileDescriptorProto


@dataclass(eq=False, slots=True)
class EnumType:
    """An enum.

    Attributes:
        symbols: Name of each number; the first of several.
        first: Number of its first value, which is the one of a field that is not there.
        is_closed: Whether other numbers are none of its values.
    """

    symbols: dict[int, str]
    first: int
    is_closed: bool


@dataclass(slots=True)
class ProtobufSchema:
    """Everything that some files declare.

    Attributes:
        messages: Messages by full name.
        enums: Enums by full name.
    """

    messages: dict[str, MessageType] = field(default_factory=dict)
    enums: dict[str, EnumType] = field(default_factory=dict)

    def resolve(self, name: str, scope: str) -> str:
        """The full name of what a field of message `scope` calls by name; "" when nobody knows it.

        A name that begins with a dot is full; else the innermost scope that has it counts.
        """
        if name.startswith("."):
            return name[1:] if name[1:] in self else ""
        parts = scope.split(".") if scope else []
        for depth in range(len(parts), -1, -1):
            full = ".".join([*parts[:depth], name])
            if full in self:
                return full
        return ""

    def __contains__(self, name: str) -> bool:
        return name in self.messages or name in self.enums


def parse_protobuf(text: str, references: Sequence[str] = ()) -> tuple[ProtobufSchema, Any]:
    """What a schema and the files that it imports declare, and the descriptor of its file.

    Args:
        text: Base64 of a `FileDescriptorProto`, as a registry gives for `format=serialized`.
        references: The files that it imports, in the same form.

    Raises:
        SchemaUnusable: It is something else.
    """
    schema = ProtobufSchema()
    for module in _WELL_KNOWN:
        _declare(schema, pb.FileDescriptorProto.FromString(module.DESCRIPTOR.serialized_pb))
    for reference in references:
        _declare(schema, _file(reference))
    file = _file(text)
    _declare(schema, file)
    return schema, file


def message_at(schema: ProtobufSchema, file: Any, indexes: Sequence[int]) -> MessageType:
    """The message that indexes lead to: in the file, then in each parent.

    Raises:
        SchemaUnusable: There is none.
    """
    name, messages = file.package, file.message_type
    for index in indexes:
        if index >= len(messages):
            raise SchemaUnusable(
                f"expected message indexes of the file, got {list(indexes)}, and "
                f"{name or 'the file'} has {len(messages)} messages"
            )
        message = messages[index]
        name = f"{name}.{message.name}" if name else message.name
        messages = message.nested_type
    return schema.messages[name]


def _file(text: str) -> pb.FileDescriptorProto:
    try:
        return pb.FileDescriptorProto.FromString(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError, DecodeError) as exc:
        raise SchemaUnusable(
            "expected a serialized descriptor of a Protobuf file, which registries give for "
            f"?format=serialized, got {text[:40]!r}"
        ) from exc


def _declare(schema: ProtobufSchema, file: pb.FileDescriptorProto) -> None:
    for enum in file.enum_type:
        _declare_enum(schema, enum, file.package, file)
    for message in file.message_type:
        _declare_message(schema, message, file.package, file)


def _declare_message(
    schema: ProtobufSchema, message: pb.DescriptorProto, scope: str, file: pb.FileDescriptorProto
) -> None:
    name = f"{scope}.{message.name}" if scope else message.name
    schema.messages[name] = MessageType(name, message, file)
    for enum in message.enum_type:
        _declare_enum(schema, enum, name, file)
    for nested in message.nested_type:
        _declare_message(schema, nested, name, file)


def _declare_enum(
    schema: ProtobufSchema, enum: pb.EnumDescriptorProto, scope: str, file: pb.FileDescriptorProto
) -> None:
    symbols: dict[int, str] = {}
    for value in enum.value:
        symbols.setdefault(value.number, value.name)
    closed = pb.FeatureSet.CLOSED in (
        enum.options.features.enum_type, file.options.features.enum_type
    ) if file.syntax == "editions" else file.syntax != "proto3"  # fmt: skip
    first = enum.value[0].number if enum.value else 0
    schema.enums[f"{scope}.{enum.name}" if scope else enum.name] = EnumType(symbols, first, closed)


def has_presence(file: pb.FileDescriptorProto, one: pb.FieldDescriptorProto) -> bool:
    """Whether a field that is not there is told from one that holds its default."""
    if one.HasField("oneof_index") or one.proto3_optional:
        return True
    if file.syntax == "editions":
        own = one.options.features.field_presence
        said = own or file.options.features.field_presence
        return bool(said != pb.FeatureSet.IMPLICIT)
    return bool(file.syntax != "proto3")


def is_verified(file: pb.FileDescriptorProto, one: pb.FieldDescriptorProto) -> bool:
    """Whether a string field holds UTF-8 or the message is none."""
    if file.syntax == "editions":
        own = one.options.features.utf8_validation
        said = own or file.options.features.utf8_validation
        return bool(said != pb.FeatureSet.NONE)
    return bool(file.syntax == "proto3")
