"""Protobuf beside its own library: random messages, random values, and their bytes broken."""

from __future__ import annotations

import base64
import random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from stream.events.present import EpochMs, JsonNumber
from stream.formats.port import WriterSchema
from stream.formats.protobuf.protobuf_language import PROTOBUF
from tests.fuzz.framed import plain
from tests.fuzz.framed_check import NO_VALUE, Compared, compare, decode, judged
from tests.fuzz.protobuf_messages import class_of, content_of, file_of, is_map


def object_of(message: Any) -> Any:  # noqa: PLR0911  # one for each message that has a meaning
    """What the library has read, as the judge takes it."""
    name = message.DESCRIPTOR.full_name
    if name == "google.protobuf.Timestamp":
        seconds = min(max(message.seconds, -9 * 10**15), 9 * 10**15)
        return EpochMs(str(seconds * 1000 + message.nanos // 10**6))
    if name == "google.protobuf.Struct":
        return {key: object_of(one) for key, one in message.fields.items()}
    if name == "google.protobuf.ListValue":
        return [object_of(one) for one in message.values]
    if name == "google.protobuf.Value":
        which = message.WhichOneof("kind")
        if which is None or which == "null_value":
            return None
        held = getattr(message, which)
        return object_of(held) if isinstance(held, Message) else plain(held)
    if name.startswith("google.protobuf."):
        return plain(message.value)
    return {
        one.name: _value_of(message, one)
        for one in message.DESCRIPTOR.fields
        if not one.has_presence or message.HasField(one.name)
    }


def _value_of(message: Any, one: FieldDescriptor) -> Any:
    held = getattr(message, one.name)
    if is_map(one):
        return {
            key: object_of(x) if isinstance(x, Message) else plain(x) for key, x in held.items()
        } or None
    if one.is_repeated:
        return [_item_of(one, item) for item in held] or None
    return _item_of(one, held)


def _item_of(one: FieldDescriptor, held: Any) -> Any:
    if isinstance(held, Message):
        return object_of(held)
    if one.enum_type is not None:
        known = one.enum_type.values_by_number.get(held)
        return known.name if known is not None else JsonNumber(str(held))
    return plain(held)


def check_protobuf(rng: random.Random, values: int = 40) -> Compared:
    """One message, most often of events as they should be."""
    syntax = rng.choice(("proto2", "proto3", "proto3"))
    calm = rng.random() < 0.6
    file = file_of(rng, syntax, calm=calm)
    kind = class_of(file, "shop.E")
    contents = [content_of(rng, kind(), calm=calm) for _ in range(values)]
    writer = WriterSchema("PROTOBUF", base64.b64encode(file.SerializeToString()).decode())
    found, alone = decode(PROTOBUF, [writer], [b"\0\0\0\0\1\2\2" + content for content in contents])
    sound = [i for i in range(values) if not _lost_an_entry(kind, contents[i])]
    expected = [_judged(kind, contents[i]) for i in sound]
    compare([found[i] for i in sound], expected, "bad_protobuf", lambda _: False)
    return Compared(len(sound), len(alone.intersection(sound)))


def _lost_an_entry(kind: type[Message], content: bytes) -> bool:
    """The library keeps a map's entry with a field nobody knows as unknown, others read the rest.

    It also raises for text that is none in a field that proto2 does not check.
    """
    try:
        message = kind.FromString(content)
        object_of(message)
        return _has_unknown_entry(message)
    except DecodeError:
        return False
    except UnicodeDecodeError:
        return True


def _has_unknown_entry(message: Any) -> bool:
    numbers = {one.number for one in message.DESCRIPTOR.fields if is_map(one)}
    if numbers and any(one.field_number in numbers for one in UnknownFieldSet(message)):
        return True
    for one, held in message.ListFields():
        if one.message_type is None:
            continue
        inner = held.values() if is_map(one) else held if one.is_repeated else [held]
        if any(isinstance(x, Message) and _has_unknown_entry(x) for x in inner):
            return True
    return False


def _judged(kind: type[Message], content: bytes) -> Any:
    try:
        message = kind.FromString(content)
    except DecodeError:
        return NO_VALUE
    return judged(object_of(message))
