"""Snowplow's enriched events: columns by name, JSON inside, and what is refused."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.campaign.file import EventMapping
from stream.columns import RecordChunk, Spans
from stream.compiled.category_hash import category_hash
from stream.events.decoder import EventDecoder
from stream.events.flaws import Decoded
from stream.formats.snowplow.snowplow_columns import COLUMNS, mapping_of
from stream.formats.snowplow.snowplow_format import SnowplowFormat
from tests.fuzz.snowplow import check_snowplow

NOW_MS = 1_790_000_000_000
_NUMBERS = (
    "tr_total",
    "unstruct_event.data.data.price",
    "contexts.data[1].data.points",
    "br_cookies",
)
_CATEGORIES = ("se_category", "unstruct_event.data.data.sku", "contexts.data[0].schema")
_FIELDS = {
    "app_id": "shop", "collector_tstamp": "2026-02-03 04:05:06.789", "user_id": "u-1",
    "domain_userid": "d-1", "event_id": "7f1c", "event": "unstruct", "event_name": "add_to_cart",
    "derived_tstamp": "2026-02-03 04:05:06.123",
}  # fmt: skip


def value(**columns: Any) -> bytes:
    said = {**_FIELDS, **columns}
    texts = (said.get(name, "") for name in COLUMNS)
    return "\t".join(one if isinstance(one, str) else json.dumps(one) for one in texts).encode()


def decode(*values: bytes, **mapping: Any) -> Decoded:
    n = len(values)
    own = mapping_of(
        msgspec.structs.replace(EventMapping(format="snowplow"), **mapping), "snowplow"
    )
    decoder = EventDecoder(
        own, ("add_to_cart", "page_ping"), _NUMBERS, _CATEGORIES, value_format=SnowplowFormat()
    )
    chunk = RecordChunk(
        "events", 0, np.arange(n), np.full(n, NOW_MS), Spans.of([None] * n), Spans.of(values), n
    )
    return decoder.decode(chunk, NOW_MS)


def test_there_are_the_columns_of_the_format_in_their_order() -> None:
    assert len(COLUMNS) == len(set(COLUMNS)) == 131
    places = {3: "collector_tstamp", 6: "event_id", 12: "user_id", 15: "domain_userid", 52: "contexts",
              58: "unstruct_event", 61: "tr_total", 122: "derived_contexts", 124: "derived_tstamp",
              126: "event_name", 130: "true_tstamp"}  # fmt: skip
    assert {place: COLUMNS[place] for place in places} == places


def test_an_event_is_read_by_the_names_of_its_columns() -> None:
    batch = decode(value(tr_total="12.50", br_cookies="1", se_category="hats")).batch
    assert (batch.customer[0], batch.event_id[0]) == (b"u-1", b"7f1c")
    assert batch.time_ms.tolist() == [1_770_091_506_123]
    assert batch.type_code.tolist() == [0]
    assert batch.number[[0, 3], 0].tolist() == [12.5, 1.0]
    assert np.isnan(batch.number[[1, 2], 0]).all()
    assert batch.category[:, 0].tolist() == [category_hash(b"hats"), 0, 0]


def test_what_is_empty_gives_way_to_the_next_path() -> None:
    gone = value(user_id="", event_name="", event="page_ping", derived_tstamp="", event_id="")
    decoded = decode(gone, value())
    batch = decoded.batch
    assert (batch.customer[0], batch.event_id[0]) == (b"d-1", None)
    assert (batch.type_code[0], batch.time_ms[0]) == (1, 1_770_091_506_789)
    assert decoded.identified.tolist() == [False, True]


def test_paths_go_on_into_the_json_of_columns() -> None:
    unstruct = {"schema": "iglu:x", "data": {"schema": "y", "data": {"sku": 'a"b', "price": 3}}}
    contexts = {"schema": "s", "data": [{"schema": "first"}, {"data": {"points": 5}}]}
    plain = {"schema": "s", "data": {"data": {"sku": "c"}}}
    batch = decode(
        value(unstruct_event=unstruct, contexts=contexts), value(), value(unstruct_event=plain)
    ).batch
    assert batch.number[1:3].tolist()[0][0] == 3.0
    assert batch.number[2, 0] == 5.0
    assert batch.category[1].tolist() == [category_hash(b'a"b'), 0, category_hash(b"c")]
    assert batch.category[2].tolist() == [category_hash(b"first"), 0, 0]


def test_consent_inside_json_is_read_and_times_are_utc_whatever_the_campaign_says() -> None:
    said = {"data": {"data": {"consent": {"marketing": False}}}}
    batch = decode(
        value(unstruct_event=said), value(),
        consent_categories=("unstruct_event.data.data.consent",), time_zone="America/New_York",
    ).batch  # fmt: skip
    assert batch.consent[0].tolist() == [0, -1]
    assert batch.time_ms.tolist() == [1_770_091_506_123] * 2


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (b"\t".join([b"x"] * 130), "expected the 131 columns of Snowplow's enriched events, with tabs between them, got 130"),
        (value() + b"\t", "got 132"),
        (b"{}", "got 1"),
        (value(page_url="x").replace(b"shop", b"sh\xffp"), "in UTF-8"),
        (value(unstruct_event="{"), "in column unstruct_event: expected JSON"),
        (value(contexts="[1]"), "in column contexts: expected a JSON object"),
    ],
    ids=["few", "many", "json", "utf8", "bad_json", "no_object"],
)  # fmt: skip
def test_what_is_no_enriched_event_is_refused_and_its_neighbours_are_read(
    wrong: bytes, reason: str
) -> None:
    decoded = decode(value(), wrong, value())
    assert decoded.batch.record.tolist() == [0, 2]
    (reject,) = decoded.rejects
    assert reject.code == "bad_snowplow"
    assert reason in reject.reason


def test_json_that_nobody_looks_into_is_not_judged() -> None:
    assert len(decode(value(derived_contexts="{")).batch) == 1


def test_paths_of_the_campaign_file_stay_as_they_are() -> None:
    batch = decode(value(), customer_id=("network_userid", "domain_userid")).batch
    assert batch.customer[0] == b"d-1"


@given(seed=st.integers(0, 2**32))
def test_the_kernel_gives_what_the_judge_gives(seed: int) -> None:
    check_snowplow(random.Random(seed), values=10)


def test_columns_of_every_length_end_where_their_tabs_are() -> None:
    values: Sequence[bytes] = [value(page_url="é" * k, user_id="u" * k or "u") for k in range(40)]
    batch = decode(*values).batch
    assert [batch.customer[k] for k in range(40)] == [b"u" * max(k, 1) for k in range(40)]
