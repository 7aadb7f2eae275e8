"""The JSON of one record as an object, plainly: the slow counterpart of `stream.events.scan`."""

from __future__ import annotations

import json
from typing import Any, NoReturn

from stream.events.present import JsonNumber, Refused, shown
from stream.events.scan import DEPTH_MAX

FRAME_BYTES = 5
"""Bytes before the value in what a schema registry's serializers write."""
_TOO_DEEP = f"expected at most {DEPTH_MAX} objects and arrays inside each other, got more"


def json_object(value: bytes) -> dict[str, Any]:
    """The value as a JSON object; numbers stay as they were written.

    Raises:
        Refused: It is none.
    """
    if value[:1] == b"\0":
        raise Refused("bad_json", _framed_reason(value))
    try:
        root = _DECODER.decode(value.decode())
    except UnicodeDecodeError as exc:
        byte = value[exc.start]
        raise Refused(
            "bad_utf8", f"expected UTF-8, got {byte:#04x} at byte {exc.start}: {exc.reason}"
        ) from exc
    except ValueError as exc:
        raise Refused("bad_json", f"expected JSON, got a fault: {exc}") from exc
    except RecursionError as exc:
        raise Refused("bad_json", _TOO_DEEP) from exc
    if _is_too_deep(root):
        raise Refused("bad_json", _TOO_DEEP)
    if not isinstance(root, dict):
        raise Refused("not_object", f"expected a JSON object at the root, got {shown(root)}")
    return root


def json_value(text: bytes) -> Any:
    """Any value of sound JSON; numbers stay as they were written."""
    return _DECODER.decode(text.decode())


def _framed_reason(value: bytes) -> str:
    """JSON never begins with a zero byte; the values of a schema registry's serializers do."""
    if len(value) < FRAME_BYTES:
        return "expected JSON, got a zero byte at byte 0"
    schema_id = int.from_bytes(value[1:FRAME_BYTES])
    return (
        f"expected JSON, got the frame of a schema registry (a zero byte and schema id {schema_id}): "
        'set events.format = "avro" or "protobuf" and events.schema_registry, or events.framed = '
        "true where JSON stands behind it"
    )


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _is_too_deep(root: Any) -> bool:
    containers = [root] if isinstance(root, dict | list) else []
    for _ in range(DEPTH_MAX):
        if not containers:
            return False
        members = (m for c in containers for m in (c.values() if isinstance(c, dict) else c))
        containers = [member for member in members if isinstance(member, dict | list)]
    return bool(containers)


_DECODER = json.JSONDecoder(
    parse_float=JsonNumber, parse_int=JsonNumber, parse_constant=_refuse_constant
)
