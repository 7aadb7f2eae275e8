"""What a validation error of msgspec leaves out: the value, and what would have been right."""

from __future__ import annotations

import re
from typing import Any

import msgspec
from msgspec import inspect

_VALUE_CHARACTERS_MAX = 200


def explain(schema: type, raw: dict[str, Any], message: str) -> str:
    """Completes an error message.

    Args:
        schema: The type that was expected.
        raw: What was validated.
        message: What msgspec says of it.

    Returns:
        "at PATH: expectation, got VALUE".
    """
    expectation, _, path = message.partition(" - at `$")
    # An entry of a table of any keys is "[...]": which one it is, msgspec does not say.
    keys = [name or int(index) for name, index in re.findall(r"\.(\w+)|\[(\d+)\]", path)]
    any_entry = path.endswith("[...]`")
    better = _expectation(inspect.type_info(schema), keys)
    if better and expectation.startswith(("Expected `str` matching", "Invalid enum value")):
        expectation = f"expected {better}"
    value = _value(raw, keys)
    if any_entry or not isinstance(value, dict):
        expectation += f", got {_shown(value)[:_VALUE_CHARACTERS_MAX]}"
    where = path.rstrip("`").lstrip(".").replace("[...]", ", one of its entries") or "the top level"
    return f"at {where}: {expectation}"


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return str(value)  # JSON has no nan and no inf
    return msgspec.json.encode(value, enc_hook=str).decode()


def _value(raw: Any, keys: list[str | int]) -> Any:
    for key in keys:
        raw = raw[key]
    return raw


def _expectation(found: inspect.Type, keys: list[str | int]) -> str:
    """What the schema says in words at a path: the description of a pattern, the list of choices."""
    for key in keys:
        if isinstance(found, inspect.UnionType):
            found = found.types[0]
        if isinstance(found, inspect.StructType):
            found = next(field.type for field in found.fields if field.encode_name == key)
        elif isinstance(found, inspect.VarTupleType):
            found = found.item_type
        elif isinstance(found, inspect.DictType):
            found = found.value_type
    if isinstance(found, inspect.UnionType):
        found = found.types[0]
    if isinstance(found, inspect.LiteralType):
        return "one of " + ", ".join(str(value) for value in found.values)
    if isinstance(found, inspect.Metadata):
        return str((found.extra_json_schema or {}).get("description", ""))
    return ""
