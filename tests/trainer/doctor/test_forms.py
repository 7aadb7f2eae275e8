"""Forms by their first bytes and names, and kinds of values as a person would say them."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from stream.campaign.field_path import has_list
from trainer.doctor.forms import form_of, parsed
from trainer.doctor.paths import closest, count_path, epoch_kind, kind_of, paths_of
from trainer.doctor.roots import at


def text(**value: Any) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("value", "name", "remedied"),
    [
        (None, "null (a tombstone)", False),
        (b" ", "empty", True),
        (b"\0\0\0\0\7{}", "Confluent JSON frame (magic 0, schema id 7)", True),
        (b"\0\0\1\0\2\x02\x06ann", "Confluent Avro or Protobuf frame (magic 0, schema id 65538)", True),
        (b"\3\0" + bytes(16) + b"{}", "frame of the AWS Glue schema registry", True),
        (gzip.compress(b"{}", mtime=0), "gzip", True),
        (b"\x28\xb5\x2f\xfd", "zstd", True),
        (b"Obj\x01", "Avro file", True),
        (b"[{}]", "JSON array: a batch of events", True),
        (b'"{}"', "JSON string", True),
        (b"{", "damaged JSON", True),
        (b"a\tb" * 80, "Snowplow TSV", True),
        (b"hello", "text or bytes", True),
        (text(specversion="1.0", data={}), "CloudEvent", False),
        (text(batch=[], sentAt=""), "batch of events under `batch`", True),
        (text(op="c", after={}), "change event of Debezium", True),
        (text(schema={}, payload={}), "JSON of Kafka Connect with its schema", True),
        (text(xdmEntity={}), "Adobe XDM", True),
        (text(schema="iglu:com.acme/x", data={}), "Snowplow JSON", True),
        (text(type="track", messageId="1", context={"library": {"name": "RudderLabs"}}), "RudderStack", False),
        (text(type="track", messageId="1", rudderId="x"), "RudderStack", False),
        (text(type="page", messageId="1", context={"library": 3}), "Segment", False),
        (text(type=["page"]), "JSON object", False),
    ],
)  # fmt: skip
def test_forms(value: bytes | None, name: str, remedied: bool) -> None:
    form = form_of(value)
    assert form.name == name
    assert bool(form.remedy) is remedied


@given(st.binary(max_size=60))
def test_any_bytes_have_a_form(value: bytes) -> None:
    assert form_of(value).name
    root = parsed(value)
    assert root is None or isinstance(root, dict)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text(max_size=9), JSON, max_size=4))
@example({"": [], "a": {"b": [{"c": 1}]}})
def test_any_object_has_paths_and_values(root: dict[str, Any]) -> None:
    seen = paths_of([root])
    assert form_of(json.dumps(root).encode()).name
    for path in seen:
        counted = count_path(path, "number", [root], seen, personal=True)
        assert counted.seen == sum(counted.kinds.values())
        if not has_list(path) and (value := at(root, path)) is not None:
            assert counted.kinds == {kind_of(value): 1}
            assert epoch_kind(value)
    counted = count_path("a.b", "number", [root], seen, personal=True)
    assert counted.seen <= 1


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (12.5, "number"), ("12.5", "number as text"), ("+5", "number as text"), (True, "true or false"),
        ("$1,299.00", "text with a currency or grouped digits"), ("1.299,00", "text with a currency or grouped digits"),
        ("N/A", "text"), ({"amount": 1}, "object"), ([1], "list"), ("2026-11-24", "text"),
    ],
)  # fmt: skip
def test_kinds(value: object, kind: str) -> None:
    assert kind_of(value) == kind


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        (0, "a number too small for a time"), (1_760_000_000, "epoch seconds"),
        ("1760000000000", "epoch milliseconds"), (1.76e15, "epoch micro- or nanoseconds"),
        ("2026-11-24T00:00:00Z", "text"),
    ],
)  # fmt: skip
def test_units_of_times(value: object, unit: str) -> None:
    assert epoch_kind(value) == unit


def test_json_behind_a_frame_is_looked_into() -> None:
    assert parsed(b'\0\0\0\0\7{"a": 1}') == {"a": 1}
    assert parsed(b"\0\0\0\0\7\x02ann") is None


def test_paths_lead_into_the_data_of_cloud_events_first() -> None:
    envelope = {"specversion": "1.0", "id": "e", "data": {"id": "inner", "a": {"b": 1}}}
    assert (at(envelope, "id"), at(envelope, "a.b"), at(envelope, "a.c")) == ("inner", 1, None)
    assert at({"id": "", "data": {"id": "x"}}, "id") is None
    seen = paths_of([envelope])
    assert closest("a.bb", seen) == ("a.b",)
    assert closest("nothing.like.it", seen) == ()


def test_what_is_personal_is_told_by_its_shape() -> None:
    events: list[dict[str, Any]] = [{"userId": "ann"}, {"userId": 77}, {"userId": {"id": "ann"}}]
    counted = count_path("userId", "customer id", events, {}, personal=True)
    assert (counted.seen, counted.unreadable, counted.examples) == (3, 1, ("object of 1",))
    fine = count_path("userId", "customer id", events[:2], {}, personal=True)
    assert fine.examples == ("string of 3", "number of 2")
    shown = count_path("userId", "customer id", events[:1], {}, personal=False)
    assert shown.examples == ("ann",)
