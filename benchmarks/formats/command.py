"""`python -m benchmarks formats`: events a second of each format, beside its library in the same run."""

from __future__ import annotations

import base64
import io
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import fastavro
import numpy as np
from google.protobuf import descriptor_pb2 as pb
from google.protobuf import descriptor_pool, message_factory
from rich.console import Console
from rich.table import Table

from benchmarks.options import json_option, setting
from benchmarks.report import environment, write_json
from stream.campaign.file import EventMapping
from stream.columns import RecordChunk, Spans
from stream.events.cloudevents.envelopes import ValueFormat
from stream.events.decoder import EventDecoder
from stream.formats.avro.avro_language import AVRO
from stream.formats.port import SchemaKey, WriterSchema
from stream.formats.protobuf.protobuf_language import PROTOBUF
from stream.formats.reading import FramedFormat

_NOW_MS = 1_760_000_000_000
_NUMBERS = ("properties.value", "properties.quantity", "properties.price")
_CATEGORIES = ("properties.category", "properties.currency")
_INNER = (("value", "double"), ("quantity", "int"), ("price", "long"), ("category", "string"),
          ("currency", "string"))  # fmt: skip
_OUTER = (("userId", "string"), ("messageId", "string"), ("event", "string"), ("timestamp", "long"))
_TYPES = {
    "double": pb.FieldDescriptorProto.TYPE_DOUBLE, "int": pb.FieldDescriptorProto.TYPE_INT32,
    "long": pb.FieldDescriptorProto.TYPE_INT64, "string": pb.FieldDescriptorProto.TYPE_STRING,
}  # fmt: skip


@dataclass(frozen=True)
class Rate:
    """One format.

    Attributes:
        form: Its name.
        value_bytes: Mean length of a value.
        per_second: Events a second through the decoder, on one core.
        library_per_second: Values a second that the library makes an object of; no columns yet.
    """

    form: str
    value_bytes: float
    per_second: float
    library_per_second: float


class _Schemas:
    """A registry with one schema."""

    def __init__(self, schema: WriterSchema) -> None:
        self._schema = schema

    def schema(self, schema_id: SchemaKey) -> WriterSchema | None:
        return self._schema


def _events(count: int) -> list[dict[str, Any]]:
    rng = random.Random(1)
    return [
        {
            "userId": f"u-{rng.randrange(5_000)}", "messageId": f"m-{n}-abcdefgh",
            "event": "Product Added", "timestamp": _NOW_MS - n,
            "properties": {
                "value": round(rng.random() * 100, 2), "quantity": rng.randrange(1, 9),
                "price": rng.randrange(10_000), "category": rng.choice(("shoes", "hats")),
                "currency": "EUR",
            },
        }
        for n in range(count)
    ]  # fmt: skip


def _json(events: Sequence[dict[str, Any]]) -> Rate:
    values = [json.dumps(event).encode() for event in events]
    return _rate("JSON", values, None, json.loads)


def _avro(events: Sequence[dict[str, Any]]) -> Rate:
    inner = {"type": "record", "name": "P", "fields": [{"name": n, "type": t} for n, t in _INNER]}
    outer = [{"name": n, "type": t} for n, t in (*_OUTER, ("properties", inner))]
    text = {"type": "record", "name": "E", "fields": outer}
    schema = fastavro.parse_schema(text)
    values = []
    for event in events:
        out = io.BytesIO(b"\0\0\0\0\1")
        out.seek(5)
        fastavro.schemaless_writer(out, schema, event)
        values.append(out.getvalue())
    form = FramedFormat(AVRO, _Schemas(WriterSchema("AVRO", json.dumps(text))))
    return _rate(
        "Avro",
        values,
        form,
        lambda value: fastavro.schemaless_reader(io.BytesIO(value[5:]), schema),
    )


def _protobuf(events: Sequence[dict[str, Any]]) -> Rate:
    file = pb.FileDescriptorProto(name="e.proto", package="shop", syntax="proto3")
    outer = file.message_type.add(name="E")
    inner = file.message_type.add(name="P")
    for message, fields in ((outer, _OUTER), (inner, _INNER)):
        for number, (name, kind) in enumerate(fields, start=1):
            message.field.add(name=name, number=number, type=_TYPES[kind], label=1)
    outer.field.add(name="properties", number=5, type=11, type_name=".shop.P", label=1)
    content = file.SerializeToString()
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(content)
    kind = message_factory.GetMessageClass(pool.FindMessageTypeByName("shop.E"))
    values = [b"\0\0\0\0\1\0" + kind(**event).SerializeToString() for event in events]
    form = FramedFormat(
        PROTOBUF, _Schemas(WriterSchema("PROTOBUF", base64.b64encode(content).decode()))
    )

    def read(value: bytes) -> Any:
        one: Any = kind.FromString(value[6:])
        inside = one.properties
        return (
            one.userId, one.messageId, one.event, one.timestamp, inside.value, inside.quantity,
            inside.price, inside.category, inside.currency,
        )  # fmt: skip

    return _rate("Protobuf", values, form, read)


def _rate(
    form: str, values: list[bytes], value_format: ValueFormat | None, read: Callable[[bytes], Any]
) -> Rate:
    n = len(values)
    decoder = EventDecoder(
        EventMapping(), ("Product Added",), _NUMBERS, _CATEGORIES, value_format=value_format
    )
    spans = Spans.of(values)
    chunk = RecordChunk(
        "events", 0, np.arange(n), np.full(n, _NOW_MS), Spans.of([None] * n), spans, n
    )
    assert len(decoder.decode(chunk, _NOW_MS).batch) == n, "compiled, and every value is an event"
    best_s = min(_timed(lambda: decoder.decode(chunk, _NOW_MS)) for _ in range(20))
    library_s = min(_timed(lambda: [read(value) for value in values]) for _ in range(3))
    return Rate(form, float(spans.size.mean()), n / best_s, n / library_s)


def _timed(work: Callable[[], Any]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


@click.command()
@setting("--events", click.IntRange(100, 65_536), 4_096, "Events of a chunk.")
@json_option
def formats(events: int, json_file: Path | None) -> None:
    """Events a second from bytes to columns, by format, on one core; needs no Kafka."""
    made = _events(events)
    rates = [_json(made), _avro(made), _protobuf(made)]
    table = Table(
        "format", "bytes", "events/s", "library/s", "ratio", title="From bytes to columns"
    )
    for one in rates:
        ratio = one.per_second / one.library_per_second
        table.add_row(
            one.form, f"{one.value_bytes:.0f}", f"{one.per_second:,.0f}",
            f"{one.library_per_second:,.0f}", f"{ratio:.1f}",
        )  # fmt: skip
    Console().print(table)
    if json_file is not None:
        write_json(json_file, {"formats": [asdict(one) for one in rates], **environment()})
