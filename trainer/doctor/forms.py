"""Which form a record's value has, by its first bytes and the names in it.

Rules of this file
1. A guess, for people: nothing is read by it. What is certain is told first.
2. Each form that events do not come in as they are has its remedy here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from stream.events.cloudevents.attributes import is_binary_mode
from stream.formats.framing import HEADER as SCHEMA_HEADER
from stream.formats.snowplow.snowplow_columns import COLUMNS, JSON_COLUMNS
from stream.kafka.headers import Header

_FRAME_BYTES = 5
_TSV_TABS_MIN = 50
_CALLS = ("track", "identify", "page", "screen", "group", "alias")


class Form(NamedTuple):
    """What a record looks like.

    Attributes:
        name: In words.
        remedy: What to do so that it can be read, with who acts; empty for JSON objects.
    """

    name: str
    remedy: str = ""


_REGISTRY = (
    "Operator action: set events.format and events.schema_registry in the campaign file, or have a "
    "connector write JSON without a schema registry's frame"
)
_UNPACK = (
    "Operator action: have the producer compress the batches of the topic (compression.type) and not "
    "the values"
)
_CLOUDEVENTS = "Operator action: set events.cloudevents = true in the campaign file"
BATCH = "batch of events under "
"""How the names of forms begin that `events.batch` is for."""
_BATCHES: dict[str, str] = {
    "batch": 'Operator action: set events.batch = "batch" in the campaign file',
    "events": (
        'Operator action: set events.batch = "events" in the campaign file, and name the paths of its '
        "elements; docs/events.md has those of mParticle"
    ),
}
"""What to do about a batch, by the key of its array."""
_ONE_EACH = "Operator action: have each event sent, or copied, as a record of its own, keyed by its customer"

JSON_OBJECT = Form("JSON object")
_SHAPES: tuple[tuple[Form, Callable[[Mapping[str, Any]], bool]], ...] = (
    (Form("CloudEvent"), lambda v: isinstance(v.get("specversion"), str)),
    (
        Form("change event of Debezium", "Operator action: unwrap it (ExtractNewRecordState)"),
        lambda v: "op" in v and ("after" in v or "before" in v),
    ),
    (
        Form("JSON of Kafka Connect with its schema", "Operator action: set value.converter.schemas.enable=false"),
        lambda v: "schema" in v and "payload" in v,
    ),
    (
        Form("Adobe XDM", "Operator action: name its paths in [events], such as xdmEntity.timestamp"),
        lambda v: "xdmEntity" in v or "identityMap" in v or any(k.startswith("xdm:") for k in v),
    ),
    (
        Form("Snowplow JSON", "Operator action: name its paths in [events], such as collector_tstamp"),
        lambda v: "collector_tstamp" in v or str(v.get("schema", "")).startswith("iglu:"),
    ),
    (Form("RudderStack"), lambda v: v.get("type") in _CALLS and _library(v).startswith("rudder")),
    (Form("Segment"), lambda v: v.get("type") in _CALLS and "messageId" in v),
)  # fmt: skip


def form_of(value: bytes | None, headers: Sequence[Header] = ()) -> Form:
    """What a record looks like, by its value and its headers."""
    if value is None:
        return Form("null (a tombstone)")
    if any(name == SCHEMA_HEADER for name, _ in headers):
        return Form(f"value with its schema in the header {SCHEMA_HEADER}", _REGISTRY)
    root = parsed(value) if is_binary_mode(headers) else None
    if root is not None:
        return _batch_form(root) or Form("CloudEvent in binary mode", _CLOUDEVENTS)
    if not value.strip():
        return Form("empty", "Operator action: have the producer leave such records out")
    return _binary_form(value) or _text_form(value)


def parsed(value: bytes | None) -> dict[str, Any] | None:
    """The value as an object: JSON, framed or not, or the columns of Snowplow; None when it is none."""
    text = value or b""
    columns = text.split(b"\t")
    if len(columns) == len(COLUMNS) and text.lstrip()[:1] != b"{":
        return {
            name: (parsed(column) if name in JSON_COLUMNS else column.decode(errors="replace"))
            for name, column in zip(COLUMNS, columns, strict=True) if column
        }  # fmt: skip
    try:
        root = msgspec.json.decode(text[_FRAME_BYTES:] if text[:1] == b"\0" else text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return root if isinstance(root, dict) else None


def _batch_form(root: Mapping[str, Any]) -> Form | None:
    """The form of an object that holds a batch of events, also as the data of a CloudEvent."""
    data = root.get("data") if isinstance(root.get("specversion"), str) else None
    for body in (data, root) if isinstance(data, dict) else (root,):
        for key, remedy in _BATCHES.items():
            elements = body.get(key)
            if isinstance(elements, list) and (
                key == "batch" or any(isinstance(one, dict) for one in elements)
            ):
                return Form(f"{BATCH}`{key}`", remedy)
    return None


def _binary_form(value: bytes) -> Form | None:
    if value[0] == 0 and len(value) > _FRAME_BYTES:
        number = int.from_bytes(value[1:_FRAME_BYTES], "big")
        is_json = value[_FRAME_BYTES:].lstrip()[:1] == b"{"
        kind = "JSON" if is_json else "Avro or Protobuf"
        return Form(f"Confluent {kind} frame (magic 0, schema id {number})", _REGISTRY)
    if value[:1] == b"\x03" and value[1:2] in (b"\x00", b"\x05") and len(value) > 18:
        return Form("frame of the AWS Glue schema registry", _REGISTRY)
    if value[:2] == b"\x1f\x8b":
        return Form("gzip", _UNPACK)
    if value[:4] == b"\x28\xb5\x2f\xfd":
        return Form("zstd", _UNPACK)
    if value[:4] == b"Obj\x01":
        return Form("Avro file", _ONE_EACH)
    return None


def _text_form(value: bytes) -> Form:
    begin = value.lstrip()[:1]
    if begin == b"[":
        return Form("JSON array: a batch of events", _ONE_EACH)
    if begin == b"{":
        root = parsed(value)
        if root is None:
            return Form(
                "damaged JSON", "Operator action: look at the producer, and at the examples below"
            )
        shapes = (form for form, fits in _SHAPES if fits(root))
        return _batch_form(root) or next(shapes, JSON_OBJECT)
    if value.count(b"\t") >= _TSV_TABS_MIN:
        return Form(
            "Snowplow TSV", 'Operator action: set events.format = "snowplow" in the campaign file'
        )  # fmt: skip
    if begin == b'"':
        return Form(
            "JSON string", "Operator action: it may be JSON written twice: look at the producer"
        )
    return Form("text or bytes", "Operator action: have the producer send a JSON object")


def _library(root: Mapping[str, Any]) -> str:
    context = root.get("context")
    library = context.get("library") if isinstance(context, dict) else None
    name = str(library.get("name", "")) if isinstance(library, dict) else ""
    return "rudder" if "rudderId" in root or "rudder" in name.lower() else name
