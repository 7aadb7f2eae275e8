"""What becomes of Avro values: each type where it is asked for, and everything that can be wrong."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import pytest

from stream.compiled.category_hash import category_hash
from stream.formats.avro.avro_language import AVRO
from tests.stream.formats.formats_harness import (
    NOW_MS,
    avro,
    avro_value,
    decode_avro,
    decode_values,
    properties,
    record,
)

PLAIN = record()
GOOD = avro_value(PLAIN)


def code(schema: Any, value: bytes | None) -> str:
    (reject,) = decode_avro(schema, value).rejects
    return f"{reject.code}: {reject.reason}"


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        ("string", "shoes", "shoes"),
        ("long", -(2**63), "-9223372036854775808"),
        ("int", 0, "0"),
        ("double", 12.0, "12.0"),
        ("float", 0.1, "0.10000000149011612"),
        ("boolean", True, "true"),
        ("boolean", False, "false"),
        ("bytes", b"caf\xc3\xa9", "café"),
        ({"type": "enum", "name": "C", "symbols": ["a", "shoes"]}, "shoes", "shoes"),
        ({"type": "fixed", "name": "F", "size": 3}, b"abc", "abc"),
        ({"type": "string", "logicalType": "uuid"}, "0-1", "0-1"),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2},
            decimal.Decimal("-12.50"), "-12.50",
        ),
        (
            {"type": "bytes", "logicalType": "decimal", "precision": 40, "scale": 3},
            decimal.Decimal("123456789012345678901234567890.001"),
            "123456789012345678901234567890.001",
        ),
        (["null", "string"], "shoes", "shoes"),
        (
            {"type": "long", "logicalType": "timestamp-micros"},
            dt.datetime(1970, 1, 1, 0, 0, 7, 5, dt.UTC), "7000",
        ),
    ],
)  # fmt: skip
def test_a_category_has_the_text_that_json_would_have(kind: Any, value: Any, text: str) -> None:
    schema = record(properties(category=kind))
    decoded = decode_avro(schema, avro_value(schema, properties={"category": value}))
    assert decoded.rejects == []
    assert decoded.batch.category[0].tolist() == [category_hash(text.encode())]
    assert decoded.flaws.by_path() == {}


@pytest.mark.parametrize(
    ("kind", "value", "number"),
    [
        ("double", 0.1, 0.1), ("float", 0.5, 0.5), ("long", 2**53 + 1, float(2**53 + 1)),
        ("string", "12.5", 12.5), ("boolean", True, 1.0),
        ({"type": "fixed", "name": "F", "size": 16, "logicalType": "decimal", "precision": 30,
          "scale": 2}, decimal.Decimal("-99.99"), -99.99),
        (["null", "double"], 3.0, 3.0),
    ],
)  # fmt: skip
def test_a_number_is_that_of_the_json_number(kind: Any, value: Any, number: float) -> None:
    schema = record(properties(value=kind))
    decoded = decode_avro(schema, avro_value(schema, properties={"value": value}))
    assert decoded.batch.number[0].tolist() == [number]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("double", float("nan")), ("double", float("inf")), ("bytes", b"\xff"), ("string", "a lot"),
     ({"type": "array", "items": "long"}, [1])],
)  # fmt: skip
def test_what_is_no_number_is_missing_and_counted(kind: Any, value: Any) -> None:
    schema = record(properties(value=kind))
    decoded = decode_avro(schema, avro_value(schema, properties={"value": value}))
    assert str(decoded.batch.number[0, 0]) == "nan"
    assert decoded.flaws.by_path() == {"properties.value": 1}
    assert decoded.flaws.examples["properties.value"].startswith("expected a number at properties")


@pytest.mark.parametrize(
    ("logical", "value", "time_ms"),
    [
        ("timestamp-millis", NOW_MS, NOW_MS), ("timestamp-micros", NOW_MS * 1000 + 999, NOW_MS),
        ("timestamp-nanos", NOW_MS * 10**6 + 1, NOW_MS), ("local-timestamp-millis", NOW_MS, NOW_MS),
        # Plain epochs have the unit that their size tells; these have the one of the schema.
        ("timestamp-millis", 999_999_999_999, 999_999_999_999), ("", 1_700_000_000, 1_700_000_000_000),
    ],
)  # fmt: skip
def test_times_have_the_unit_of_their_schema(logical: str, value: int, time_ms: int) -> None:
    schema = record(("timestamp", {"type": "long", "logicalType": logical}))
    raw = record(("timestamp", "long"))
    (found,) = decode_avro(schema, avro_value(raw, timestamp=value)).batch.time_ms
    assert found == time_ms


def test_a_time_below_the_sizes_of_plain_epochs_is_still_its_own() -> None:
    schema = record(("timestamp", {"type": "long", "logicalType": "timestamp-millis"}))
    raw = record(("timestamp", "long"))
    decoded = decode_avro(schema, avro_value(raw, timestamp=1_700_000_000))
    assert decoded.batch.time_ms.tolist() == [NOW_MS], "of January 1970: before the earliest"
    assert decoded.flaws.by_path() == {"timestamp": 1}


def test_ids_are_whole_numbers_by_value() -> None:
    schema = {"type": "record", "name": "E", "fields": [
        {"name": "userId", "type": "long"}, {"name": "messageId", "type": "int"},
        {"name": "type", "type": "string"}]}  # fmt: skip
    decoded = decode_avro(schema, avro_value(schema, userId=2**63 - 1, messageId=-7))
    assert decoded.batch.customer[0] == b"9223372036854775807"
    assert decoded.batch.event_id[0] == b"-7"


def test_a_maps_keys_are_names_and_the_last_of_equal_ones_counts() -> None:
    schema = record(("properties", {"type": "map", "values": ["null", "double", "string"]}))
    value = avro_value(schema, properties={"other": 1.0, "value": 2.0, "category": "hats"})
    batch = decode_avro(schema, value).batch
    assert batch.number[0].tolist() == [2.0]
    assert batch.category[0].tolist() == [category_hash(b"hats")]
    twice = GOOD + b"\4" + b"\x0avalue\4\4x1" + b"\x0avalue\0" + b"\0"
    assert str(decode_avro(schema, twice).batch.number[0, 0]) == "nan"


def test_blocks_may_say_how_long_they_are_and_must_not_lie() -> None:
    schema = record(("properties", {"type": "map", "values": "double"}))
    entry = b"\x0avalue" + b"\0\0\0\0\0\0\xf8\x3f"
    good = GOOD + b"\1" + bytes([2 * len(entry)]) + entry + b"\0"
    assert decode_avro(schema, good).batch.number[0].tolist() == [1.5]
    wrong = GOOD + b"\1" + bytes([2 * len(entry) - 2]) + entry + b"\0"
    assert code(schema, wrong).startswith(
        "bad_avro: expected Avro by schema 7: a block of the size"
    )


@pytest.mark.parametrize(
    ("kind", "tail", "said"),
    [
        ("string", b"\x7e", "a length that stays inside"), ("string", b"\1", "a length that stays"),
        ("string", b"\2\xff", "a string in UTF-8"), ("long", b"\xff" * 10, "a varint of at most 10"),
        ("long", b"\xff" * 9 + b"\2", "a varint of at most 10"), ("long", b"\xff", "more bytes"),
        ("boolean", b"\2", "a boolean"), ("boolean", b"", "more bytes"), ("double", b"1234567", "more"),
        (["null", "long"], b"\4", "an index of one of the branches"),
        (["null", "long"], b"\1", "an index of one of the branches"),
        ({"type": "enum", "name": "C", "symbols": ["a"]}, b"\2", "an index of one of the symbols"),
        ({"type": "enum", "name": "C", "symbols": ["a"]}, b"\1", "an index of one of the symbols"),
        ("long", b"\2\0", "the end of the value"), ({"type": "fixed", "name": "F", "size": 9}, b"12345678", "a length"),
        ({"type": "array", "items": "null"}, b"\xfe" * 8 + b"\1\0", "a value whose items take bytes"),
        ({"type": "array", "items": "long"}, b"\xff" * 9 + b"\1\0\0", "a block of the size"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_value_are_refused_with_what_is_wrong(
    kind: Any, tail: bytes, said: str
) -> None:
    assert f"bad_avro: expected Avro by schema 7: {said}" in code(record(("x", kind)), GOOD + tail)


def test_a_schema_that_names_itself_is_read_to_a_depth_of_64() -> None:
    schema = record(("next", ["null", "E"]))
    link = GOOD[5:]
    values = [GOOD[:5] + (link + b"\2") * depth + link + b"\0" for depth in (63, 64)]
    decoded = decode_avro(schema, *values)
    assert decoded.batch.record.tolist() == [0]
    assert "at most 64 records" in decoded.rejects[0].reason


def test_names_of_other_schemas_are_those_of_its_references() -> None:
    name = {"type": "record", "name": "P", "namespace": "shop", "fields": [
        {"name": "value", "type": "double"}]}  # fmt: skip
    inline = record(("properties", name))
    value = avro_value(inline, properties={"value": 2.5})
    decoded = decode_values(AVRO, avro(record(("properties", "shop.P")), name), [value])
    assert decoded.batch.number[0].tolist() == [2.5]
    (reject,) = decode_values(AVRO, avro(record(("properties", "shop.P"))), [value]).rejects
    assert reject.code == "unknown_schema"
    assert "shop.P" in reject.reason


def test_an_alias_is_a_name() -> None:
    schema = {"type": "record", "name": "E", "fields": [
        {"name": "uid", "aliases": ["userId"], "type": "string"}, {"name": "type", "type": "string"}]}  # fmt: skip
    assert decode_avro(schema, GOOD).batch.customer[0] == b"u-1"


def test_records_without_a_frame_or_a_schema_and_tombstones_are_told_apart() -> None:
    values = [b'{"userId":"u-1"}', b"", None, b"\0\0\0\0\x08abc", GOOD, b"\0\0\0"]
    decoded = decode_avro(PLAIN, *values)
    assert [one.code for one in decoded.rejects] == [
        "not_framed", "not_framed", "null_value", "unknown_schema", "not_framed",
    ]  # fmt: skip
    assert "got id 8" in decoded.rejects[3].reason
    assert decoded.batch.record.tolist() == [4]


def test_a_value_that_is_no_record_is_no_object() -> None:
    assert code("long", b"\0\0\0\0\7\2").startswith("not_object")
