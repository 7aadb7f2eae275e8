"""Avro schemas: from their JSON to types with all names resolved."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from stream.formats.port import SchemaUnusable

PRIMITIVES = ("null", "boolean", "int", "long", "float", "double", "bytes", "string")
SIZE_MAX = 1 << 24
"""Longest `fixed`: longer than any value that is read."""


@dataclass(eq=False, slots=True)
class AvroType:
    """One type of a schema; a named type is one object wherever it is named.

    Attributes:
        kind: One of `PRIMITIVES`, or "record", "enum", "fixed", "array", "map", "union".
        logical: Logical type, "" for none.
        scale: Digits after the point of a decimal.
        size: Bytes of a fixed.
        symbols: Of an enum.
        fields: Names (the own one, then aliases) and types of the fields of a record.
        items: Types of the branches of a union, or the one of an array's items or a map's values.
    """

    kind: str
    logical: str = ""
    scale: int = 0
    size: int = 0
    symbols: list[str] = field(default_factory=list)
    fields: list[tuple[list[str], AvroType]] = field(default_factory=list)
    items: list[AvroType] = field(default_factory=list)


def parse_avro(text: str, references: Sequence[str] = ()) -> AvroType:
    """The type that a schema describes.

    Args:
        text: The schema, as JSON.
        references: Schemas whose named types it uses, each behind those that it uses itself.

    Raises:
        SchemaUnusable: It is no Avro schema.
    """
    names: dict[str, AvroType] = {}
    try:
        for reference in references:
            _parse(json.loads(reference), "", names)
        return _parse(json.loads(text), "", names)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as exc:
        raise SchemaUnusable(f"expected an Avro schema, got a fault: {exc!r}") from exc


def _parse(schema: Any, namespace: str, names: dict[str, AvroType]) -> AvroType:  # noqa: PLR0911  # one for each kind of type
    if isinstance(schema, str):
        return _named(schema, namespace, names)
    if isinstance(schema, list):
        return AvroType("union", items=[_parse(branch, namespace, names) for branch in schema])
    kind = schema["type"]
    if not isinstance(kind, str):
        return _parse(kind, namespace, names)
    if kind in ("record", "error", "enum", "fixed"):
        return _parse_named(schema, kind, namespace, names)
    if kind == "array" or kind == "map":
        items = _parse(schema["items" if kind == "array" else "values"], namespace, names)
        return AvroType(kind, items=[items])
    if kind in PRIMITIVES:
        return AvroType(kind, **_logical(schema))
    return _named(kind, namespace, names)


def _named(name: str, namespace: str, names: dict[str, AvroType]) -> AvroType:
    if name in PRIMITIVES:
        return AvroType(name)
    full = name if "." in name or not namespace else f"{namespace}.{name}"
    if full not in names and name not in names:
        raise ValueError(f"nothing is called {full}")
    return names[full if full in names else name]


def _parse_named(
    schema: dict[str, Any], kind: str, namespace: str, names: dict[str, AvroType]
) -> AvroType:
    name = schema["name"]
    above = schema.get("namespace") or namespace
    namespace = name.rpartition(".")[0] if "." in name else above
    full = name if "." in name or not namespace else f"{namespace}.{name}"
    found = names[full] = AvroType("record" if kind == "error" else kind)
    if kind == "enum":
        found.symbols = [str(symbol) for symbol in schema["symbols"]]
    elif kind == "fixed":
        found.size = int(schema["size"])
        if not 0 <= found.size <= SIZE_MAX:
            raise ValueError(f"fixed {full} has size {found.size}")
        said = _logical(schema)
        found.logical, found.scale = said["logical"], said["scale"]
    else:
        for one in schema["fields"]:
            called = [one["name"], *one.get("aliases", [])]
            found.fields.append((called, _parse(one["type"], namespace, names)))
    return found


def _logical(schema: dict[str, Any]) -> dict[str, Any]:
    """A decimal whose scale makes no sense is none, as the specification says."""
    logical, scale = schema.get("logicalType", ""), schema.get("scale", 0)
    if not isinstance(logical, str):
        return {"logical": "", "scale": 0}
    if logical == "decimal" and not (isinstance(scale, int) and 0 <= scale <= 1000):
        return {"logical": "", "scale": 0}
    return {"logical": logical, "scale": scale if logical == "decimal" else 0}
