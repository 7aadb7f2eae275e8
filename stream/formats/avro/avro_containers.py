"""Avro values that a kernel has passed, as Python objects: the plain counterpart of the kernel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from stream.events.present import EpochMs, JsonNumber
from stream.formats.avro.avro_program import DAY_MS, DAYS_MAX, TICKS_PER_MS
from stream.formats.avro.avro_schema import AvroType
from stream.formats.containers import Parts
from stream.formats.decimals import decimal_text


class AvroContainers:
    """Reads containers; as `stream.formats.containers.ContainerReader`.

    Args:
        types: The type of each row of a program.
    """

    def __init__(self, types: Sequence[AvroType]) -> None:
        self._types = types

    def read(self, parts: Parts) -> dict[str, Any] | list[Any]:
        """The container, whose bytes are one part."""
        ((row, content),) = parts
        found: dict[str, Any] | list[Any] = _Reader(content).value(self._types[row])
        return found


class _Reader:
    """Reads along sound bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content
        self._at = 0

    def value(self, of: AvroType) -> Any:
        """The value of a type that begins here."""
        return _READERS[of.kind](self, of)

    def take(self, size: int) -> bytes:
        """The next bytes."""
        self._at += size
        return self._content[self._at - size : self._at]

    def long(self) -> int:
        """The next zigzag varint."""
        value = shift = 0
        while True:
            byte = self._content[self._at]
            self._at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return (value >> 1) ^ -(value & 1)

    def blocks(self) -> int:
        """How many items the next block has; 0 is the end."""
        count = self.long()
        if count < 0:
            self.long()  # its size
        return abs(count)


def _long(reader: _Reader, of: AvroType) -> JsonNumber:
    value = reader.long()
    if of.kind == "int" and of.logical == "date":
        return EpochMs(str(min(max(value, -DAYS_MAX), DAYS_MAX) * DAY_MS))
    ticks = TICKS_PER_MS.get(of.logical) if of.kind == "long" else None
    return JsonNumber(str(value)) if ticks is None else EpochMs(str(value // ticks))


def _float(reader: _Reader, of: AvroType) -> JsonNumber:
    kind = np.dtype("<f4" if of.kind == "float" else "<f8")
    return JsonNumber(repr(float(np.frombuffer(reader.take(kind.itemsize), kind)[0])))


def _bytes(reader: _Reader, of: AvroType) -> Any:
    content = reader.take(of.size if of.kind == "fixed" else reader.long())
    if of.logical == "decimal":
        return JsonNumber(decimal_text(int.from_bytes(content, signed=True), of.scale))
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content


def _array(reader: _Reader, of: AvroType) -> list[Any]:
    found = []
    while count := reader.blocks():
        found += [reader.value(of.items[0]) for _ in range(count)]
    return found


def _map(reader: _Reader, of: AvroType) -> dict[str, Any]:
    found = {}
    while count := reader.blocks():
        for _ in range(count):
            key = reader.take(reader.long()).decode()
            found[key] = reader.value(of.items[0])
    return found


_READERS: dict[str, Callable[[_Reader, AvroType], Any]] = {
    "null": lambda _reader, _of: None,
    "boolean": lambda reader, _: bool(reader.take(1)[0]),
    "int": _long, "long": _long, "float": _float, "double": _float,
    "bytes": _bytes, "string": _bytes, "fixed": _bytes,
    "enum": lambda reader, of: of.symbols[reader.long()],
    "record": lambda reader, of: {names[0]: reader.value(one) for names, one in of.fields},
    "array": _array, "map": _map,
    "union": lambda reader, of: reader.value(of.items[reader.long()]),
}  # fmt: skip
