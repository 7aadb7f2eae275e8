"""Avro and Protobuf from a seed: schemas, values, their bytes, and what the libraries make of them.

The libraries are the oracles: fastavro and google.protobuf read the same bytes, their objects go
through the same judge, and the columns have to be the same. A mutated value may be refused by the
kernel only when it is not what the library would have written itself.
"""

from __future__ import annotations

import datetime as dt
import decimal
import io
import random
from collections.abc import Callable
from typing import Any

import fastavro

from stream.campaign.file import EventMapping
from stream.events.present import EpochMs, JsonNumber
from stream.formats.decimals import decimal_text

MAPPING = EventMapping(
    customer_id=("c", "m.c"), event_id=("e",), type=("t",), timestamp=("s",), consent=("k",),
    consent_names=("view", "granted", "m", "c", "12.5", "7"), consent_categories=("u", "m.u"),
    consent_allowed_ids=("y",), consent_denied_ids=("m.y", "m.m.y"),
    timestamp_earliest="0001-01-01", timestamp_ahead_max="999999999w",
)  # fmt: skip
TYPES = ("view", "buy")
NUMBERS = ("n", "m.n", "m.m.n", "x", "x[0]", "y[0].n", "u[1]", "m.y[2][0]", "u.m")
CATEGORIES = ("g", "m.g", "y", "y[1]", "m.y[0]", "m.u.c")
NAMES = ("c", "e", "t", "s", "k", "n", "m", "x", "g", "y", "u")
_PRECISIONS = (28, 60)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_WORDS = ("view", "buy", "", "é", "12.5", "granted", "no", "2026-01-01T00:00:00Z", "x" * 40, "7")
_LONGS = (0, 1, -1, 63, 64, -65, 2**31, -(2**31), 2**53 + 1, 2**63 - 1, -(2**63), 1_760_000_000_000)
_DOUBLES = (0.0, -0.0, 1.5, 0.1, 1e300, 5e-324, 3.0, float("nan"), float("inf"), 1.76e9)


NEEDED = ("c", "t")
"""What no event can be without."""
_USUAL_IF_CALM = ("c", "e", "t", "s", "k")


def avro_schema(rng: random.Random, *, calm: bool = False) -> dict[str, Any]:
    """A record with fields that are asked for, and others; a calm one has those of an event as they should be."""
    count = [0]
    schema = _record(rng, 3, count)
    if calm:
        others = [one for one in schema["fields"] if one["name"] not in _USUAL_IF_CALM]
        usual = [{"name": one, "type": _usual(one)} for one in _USUAL_IF_CALM]
        schema["fields"] = rng.sample(usual + others, len(usual) + len(others))
    return schema


def calm_word(rng: random.Random) -> str:
    """A customer or a type that is there."""
    return rng.choice([word for word in _WORDS if word])


def _record(rng: random.Random, depth: int, count: list[int]) -> dict[str, Any]:
    count[0] += 1
    name = f"R{count[0]}"
    chosen = [one for one in NAMES if rng.random() < (0.95 if one in NEEDED else 0.75)]
    rng.shuffle(chosen)
    fields = [{"name": one, "type": _type_for(rng, one, depth, count)} for one in chosen]
    return {"type": "record", "name": name, "fields": fields}


def _type_for(rng: random.Random, name: str, depth: int, count: list[int]) -> Any:
    """Mostly what a field of the name is, sometimes anything."""
    usual = _usual(name)
    if name in "uy" and rng.random() < 0.6:
        inside = rng.choice(("boolean", "string", "long", ["null", "boolean", "string"], "double"))
        usual = rng.choice(({"type": "map", "values": inside}, {"type": "array", "items": inside}))
    if name == "m" and depth > 0:
        usual = _record(rng, depth - 1, count)
    of = usual if usual is not None and rng.random() < 0.85 else _avro_type(rng, depth - 1, count)
    return ["null", of] if rng.random() < 0.3 and not isinstance(of, list) and of != "null" else of


def _usual(name: str) -> Any:
    return {
        "c": "string", "e": "long", "t": "string", "k": "boolean", "n": "double", "x": "int",
        "s": {"type": "long", "logicalType": "timestamp-millis"}, "g": "string",
    }.get(name)  # fmt: skip


def _avro_type(rng: random.Random, depth: int, count: list[int]) -> Any:
    count[0] += 1
    plain: list[Any] = [
        "null", "boolean", "int", "long", "float", "double", "bytes", "string",
        {"type": "long", "logicalType": "timestamp-micros"}, {"type": "int", "logicalType": "date"},
        {"type": "bytes", "logicalType": "decimal", "precision": 60, "scale": rng.choice((0, 2, 18, 30))},
        {"type": "fixed", "name": f"F{count[0]}", "size": rng.choice((0, 1, 4, 12, 16)),
         "logicalType": "decimal", "precision": 28, "scale": 3},
        {"type": "fixed", "name": f"G{count[0]}", "size": rng.choice((0, 3))},
        {"type": "enum", "name": f"E{count[0]}", "symbols": ["view", "buy", "granted"]},
    ]  # fmt: skip
    if plain[11]["size"] < 12:
        plain[11].pop("logicalType")
    choice = rng.randrange(len(plain) + (4 if depth > 0 else 0))
    if choice < len(plain):
        return plain[choice]
    if choice == len(plain):
        items = _avro_type(rng, depth - 1, count)  # fastavro makes as many nulls as a count says
        return {"type": "array", "items": items if _takes_bytes(items) else "long"}
    if choice == len(plain) + 1:
        return {"type": "map", "values": _avro_type(rng, depth - 1, count)}
    if choice == len(plain) + 2:
        return _record(rng, depth - 1, count)
    return ["null", "long", "string", {"type": "map", "values": "double"}]


def _takes_bytes(schema: Any) -> bool:
    if isinstance(schema, dict) and schema["type"] == "record":
        return any(_takes_bytes(one["type"]) for one in schema["fields"])
    is_empty = isinstance(schema, dict) and schema.get("size") == 0
    return schema != "null" and not is_empty


def avro_value(rng: random.Random, schema: Any) -> Any:  # noqa: PLR0911  # one for each kind
    """A value of a schema."""
    if isinstance(schema, list):
        return avro_value(rng, rng.choice(schema))
    kind = schema if isinstance(schema, str) else schema["type"]
    logical = "" if isinstance(schema, str) else schema.get("logicalType", "")
    if logical in _LOGICAL:
        return _LOGICAL[logical](rng, schema)
    if kind == "record":
        return {one["name"]: avro_value(rng, one["type"]) for one in schema["fields"]}
    if kind == "array":
        return [avro_value(rng, schema["items"]) for _ in range(rng.randrange(3))]
    if kind == "map":
        keys = rng.sample(NAMES, rng.randrange(4))
        return {key: avro_value(rng, schema["values"]) for key in keys}
    if kind == "enum":
        return rng.choice(schema["symbols"])
    if kind == "fixed":
        return rng.randbytes(schema["size"])
    return _PLAIN[kind](rng)


_PLAIN: dict[str, Callable[[random.Random], Any]] = {
    "null": lambda _: None,
    "boolean": lambda rng: rng.random() < 0.5,
    "int": lambda rng: rng.choice((0, 1, -1, 77, 2**31 - 1, -(2**31))),
    "long": lambda rng: rng.choice(_LONGS),
    "float": lambda rng: rng.choice((0.0, 0.1, 2.5, -1e10)),
    "double": lambda rng: rng.choice(_DOUBLES),
    "bytes": lambda rng: rng.choice((b"", b"buy", b"\xff\xfe", "é".encode())),
    "string": lambda rng: rng.choice(_WORDS),
}
_LOGICAL: dict[str, Callable[[random.Random, Any], Any]] = {
    "timestamp-millis": lambda rng, _: _EPOCH + dt.timedelta(milliseconds=_ms(rng)),
    "timestamp-micros": lambda rng, _: _EPOCH + dt.timedelta(microseconds=_ms(rng) * 1000 + 7),
    "date": lambda rng, _: dt.date(1970, 1, 1) + dt.timedelta(days=rng.randrange(30_000)),
    "decimal": lambda rng, schema: decimal.Decimal(
        rng.choice((0, 1, -1, 127, -128, 99_999, 2**62, -(2**63), 2**70))
        if schema["precision"] > 20 else rng.randrange(-9, 10)
    ).scaleb(-schema["scale"], decimal.Context(prec=90)),
}  # fmt: skip


def _ms(rng: random.Random) -> int:
    return rng.choice((0, 1, 999, 1_000_000_000, 1_700_000_000_123, -1, -86_400_000))


def avro_bytes(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value)
    return out.getvalue()


def plain(value: Any) -> Any:  # noqa: PLR0911  # one for each type
    """An object of Python as the judge takes it."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    if isinstance(value, dt.datetime):
        return EpochMs(str((value - _EPOCH) // dt.timedelta(milliseconds=1)))
    if isinstance(value, dt.date):
        return EpochMs(str((value - dt.date(1970, 1, 1)).days * 86_400_000))
    if isinstance(value, decimal.Decimal):
        if len(value.as_tuple().digits) in _PRECISIONS:
            raise ArithmeticError("it may have been rounded to what its schema says")
        scale = -int(value.as_tuple().exponent)
        digits = int("".join(map(str, value.as_tuple().digits)))
        return JsonNumber(decimal_text(-digits if value.is_signed() else digits, scale))
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value
    return JsonNumber(repr(value))


def mutated(rng: random.Random, content: bytes) -> bytes:
    """The same with some bytes changed, cut out or put in."""
    out = bytearray(content)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 3))):
        at = rng.randrange(len(out) + 1)
        how = rng.randrange(4)
        if how == 0 and at < len(out):
            out[at] = rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF, rng.randrange(256)))
        elif how == 1:
            del out[at : at + rng.choice((1, 2, 9))]
        elif how == 2:
            out[at:at] = rng.choice((b"\0", b"\xff" * 10, b"\xff" * 9 + b"\1", rng.randbytes(3)))
        else:
            del out[at:]
    return bytes(out)
