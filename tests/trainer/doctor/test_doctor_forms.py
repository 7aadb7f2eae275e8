"""The doctor on batches of events and on what stands in headers: recognised, advised, and looked into once configured."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from stream.campaign.file import parse
from stream.columns import RecordChunk, Spans
from stream.features.plan import compile_features
from stream.kafka.headers import Header, header_spans
from trainer.doctor.advice import findings_of
from trainer.doctor.diagnosis import Finding, TopicDiagnosis
from trainer.doctor.examine import Declared, examine
from trainer.doctor.forms import form_of
from trainer.doctor.sample import TopicSample
from trainer.history.topics import Extent

NOW_MS = 1_760_000_000_000
CAMPAIGN = """
app = "shop"
topics = { events = ["events"] }
[[features]]
op = "sum"
events = ["Order Completed"]
property = "properties.revenue"
half_lives = ["7d"]
[[features]]
op = "distinct"
events = ["Order Completed"]
property = "header:tenant"
window = "7d"
[[strategies]]
id = "mail"
[events]
"""
Record = tuple[Any, list[Header]]


def looked_at(records: Sequence[Record], mapping: str = "") -> tuple[TopicDiagnosis, list[Finding]]:
    campaign = parse(CAMPAIGN + mapping)
    plan = compile_features(campaign)
    n = len(records)
    values = [json.dumps(value).encode() for value, _ in records]
    keys = Spans.of([b"u-1"] * n)
    chunk = RecordChunk(
        "events", 0, np.arange(n), np.full(n, NOW_MS), keys, Spans.of(values), n,
        headers=header_spans([own for _, own in records]),
    )  # fmt: skip
    sample = TopicSample("events", {0: Extent(0, n)}, {}, [chunk])
    diagnosis = examine(Declared(campaign, plan), sample, NOW_MS)
    found = findings_of(campaign, plan, [diagnosis])
    return diagnosis, [one for one in found if "Strategy Sent" not in one.what]  # none was sent


def told(findings: Sequence[Finding]) -> str:
    return "\n".join(f"{one.what} -> {one.action}" for one in findings)


def order(n: int) -> dict[str, Any]:
    return {
        "type": "track", "event": "Order Completed", "userId": "u-1", "messageId": f"m-{n}",
        "timestamp": NOW_MS - 1000, "properties": {"revenue": 12.5},
    }  # fmt: skip


def batch(n: int, key: str = "batch") -> dict[str, Any]:
    """A record that would pass for one event, were nobody told."""
    return {"type": "batch", "userId": "u-1", key: [order(2 * n), order(2 * n + 1)]}


TENANT: list[Header] = [("tenant", b"shoes")]


@pytest.mark.parametrize("key", ["batch", "events"])
@pytest.mark.parametrize("around", [False, True])
def test_batches_are_recognised_and_looked_into(key: str, around: bool) -> None:
    values = [batch(n, key) for n in range(50)]
    if around:
        values = [{"specversion": "1.0", "type": "b", "id": "1", "data": one} for one in values]
    records: list[Record] = [(value, TENANT) for value in values]
    unread, findings = looked_at(records)
    assert unread.forms == {f"batch of events under `{key}`": 50}
    assert f"50 of 50 values look like batch of events under `{key}`" in told(findings)
    assert f'set events.batch = "{key}" in the campaign file' in told(findings)
    read, findings = looked_at(records, f'batch = "{key}"')
    assert (read.records, read.events, read.refused) == (50, 100, {})
    assert read.types == {"Order Completed": 100}
    assert {one.path: one.seen for one in read.paths if one.wanted in ("number", "category")} == {
        "properties.revenue": 100, "header:tenant": 100,
    }  # fmt: skip
    assert {one.path: one.seen for one in read.paths}["messageId"] == 100
    assert not findings, told(findings)


def test_what_a_batch_has_in_other_places_is_told_by_its_elements() -> None:
    values = [batch(n) for n in range(50)]
    for value in values:
        for element in value["batch"]:
            element["properties"] = {"revenues": 3}
    _, findings = looked_at([(value, TENANT) for value in values], 'batch = "batch"')
    assert "is properties.revenues meant?" in told(findings)


BINARY: list[Header] = [
    ("ce_specversion", b"1.0"), ("ce_type", b"Order Completed"), ("ce_subject", b"u-1"),
    ("content-type", b"application/json"), *TENANT,
]  # fmt: skip


def test_binary_mode_is_recognised_and_looked_into() -> None:
    records: list[Record] = [
        ({"properties": {"revenue": n}}, [("ce_id", b"%d" % n), *BINARY]) for n in range(50)
    ]
    read, findings = looked_at(records, 'timestamp = ["time"]')
    assert read.forms == {"CloudEvent in binary mode": 50}
    assert (read.events, read.refused, read.remedies) == (50, {}, {})
    assert {one.path: one.seen for one in read.paths if one.wanted in ("number", "category")} == {
        "properties.revenue": 50, "header:tenant": 50,
    }  # fmt: skip
    unread, findings = looked_at(records, "cloudevents = false")
    assert unread.events == 0
    assert "50 of 50 values look like CloudEvent in binary mode" in told(findings)
    assert "events.cloudevents = true" in told(findings)


def test_a_type_that_stands_in_an_attribute_is_a_type_that_came() -> None:
    records: list[Record] = [({"properties": {"revenue": n}}, BINARY) for n in range(50)]
    read, findings = looked_at(records)
    assert read.types == {"Order Completed": 50}
    assert not findings, told(findings)


def test_a_schema_in_a_header_is_recognised() -> None:
    form = form_of(b"\x02x", [("__value_schema_id", b"\0\0\0\0\7")])
    assert form.name == "value with its schema in the header __value_schema_id"
    assert "events.format" in form.remedy
    whole = form_of(
        b'{"specversion":"1.0"}',
        [("ce_specversion", b"1.0"), ("content-type", b"application/cloudevents+json")],
    )
    assert whole.name == "CloudEvent"
