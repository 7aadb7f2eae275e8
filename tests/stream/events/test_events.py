"""Whole events, case by case: forms that are read, and each reason to refuse one."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import numpy as np
import pytest

from stream.campaign.file import EventMapping
from stream.columns import EventBatch, Reject
from stream.compiled.category_hash import category_hash
from stream.errors import CampaignError
from stream.events.decoder import EventDecoder
from stream.events.reasons import Judge
from tests.stream.events.events_harness import CATEGORIES, FLAT, NOW_MS, NUMBERS, TYPES, chunk_of

FLAT_DECODER = EventDecoder(FLAT, TYPES, NUMBERS, CATEGORIES)
STRICT_DECODER = EventDecoder(
    msgspec.structs.replace(FLAT, strict=True), TYPES, NUMBERS, CATEGORIES
)
SEGMENT_DECODER = EventDecoder(EventMapping(), TYPES, NUMBERS, CATEGORIES)
REFERENCE = (
    b'{"event_id":"0123456789abcdef","customer_id":"c00012244","type":"view",'
    b'"campaign":"spring","timestamp":1760000000123,"properties":{"value":12.5,'
    b'"category":"cat-3","channel":"web","currency":"EUR"},"consent":true}'
)


def decode(
    decoder: EventDecoder, *values: bytes | None, time_ms: int = NOW_MS
) -> tuple[EventBatch, list[Reject]]:
    decoded = decoder.decode(chunk_of(values, time_ms), NOW_MS)
    return decoded.batch, decoded.rejects


def row(batch: EventBatch, k: int = 0) -> dict[str, Any]:
    """Event k in plain Python; numbers by their repr, so that NaN and -0.0 compare."""
    return {
        "customer": batch.customer[k],
        "event_id": batch.event_id[k],
        "time_ms": int(batch.time_ms[k]),
        "type": int(batch.type_code[k]),
        "consent": int(batch.consent[0, k]),
        "numbers": [repr(float(value)) for value in batch.number[:, k]],
        "categories": [int(value) for value in batch.category[:, k]],
    }


def event(decoder: EventDecoder, value: object, **kwargs: int) -> dict[str, Any]:
    """The only event of a chunk with this value."""
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    batch, rejects = decode(decoder, text, **kwargs)
    assert not rejects
    return row(batch)


def code(decoder: EventDecoder, value: bytes | None, **kwargs: int) -> str:
    """The code of the only reject of a chunk with this value."""
    batch, rejects = decode(decoder, value, **kwargs)
    assert len(batch) == 0
    assert [reject.record for reject in rejects] == [0]
    return rejects[0].code


def test_reference_event() -> None:
    assert event(FLAT_DECODER, REFERENCE, time_ms=NOW_MS + 123) == {
        "customer": b"c00012244",
        "event_id": b"0123456789abcdef",
        "time_ms": 1_760_000_000_123,
        "type": 0,
        "consent": 1,
        "numbers": ["12.5", "nan"],
        "categories": [category_hash(b"cat-3"), category_hash(b"web")],
    }


def test_columns_have_their_types_and_share_the_buffer() -> None:
    chunk = chunk_of([REFERENCE, REFERENCE], NOW_MS + 5)
    decoded = FLAT_DECODER.decode(chunk, NOW_MS)
    batch = decoded.batch
    assert decoded.rejects == []
    assert np.shares_memory(batch.customer.data, chunk.value.data)
    assert batch.event_id.data is batch.customer.data
    assert batch.record.tolist() == [0, 1]
    assert batch.offset.tolist() == [100, 101]
    assert batch.received_ms.tolist() == [NOW_MS + 5] * 2
    columns: list[np.ndarray[Any, Any]] = [
        batch.record, batch.offset, batch.received_ms, batch.time_ms, batch.type_code,
        batch.number, batch.category, batch.consent, batch.customer.start, batch.customer.size,
    ]  # fmt: skip
    assert [str(column.dtype) for column in columns] == [
        "int64", "int64", "int64", "int64", "int16", "float64", "uint64", "int8", "int64", "int64",
    ]  # fmt: skip
    assert batch.number.shape == batch.category.shape == (2, 2)
    assert all(column.flags.c_contiguous for column in columns)


TRACK = {
    "type": "track", "event": "Order Completed", "userId": "u-7", "anonymousId": "a-1",
    "messageId": "m-1", "timestamp": "2025-10-09T08:53:20.250Z",
    "sentAt": "2025-10-09T08:59:59Z", "context": {"locale": "de-DE", "ip": "10.0.0.1"},
    "properties": {"revenue": 39.95, "currency": "EUR", "products": [{"sku": "1", "price": 2}]},
}  # fmt: skip


def test_segment_track() -> None:
    got = event(SEGMENT_DECODER, TRACK, time_ms=NOW_MS + 250)
    assert (got["customer"], got["event_id"], got["type"]) == (b"u-7", b"m-1", 1)
    assert got["time_ms"] == 1_760_000_000_250
    assert got["numbers"] == ["nan", "39.95"]
    assert got["consent"] == -1


def test_segment_identify_carries_consent() -> None:
    identify = {
        "type": "identify", "userId": 4711, "timestamp": None, "originalTimestamp": NOW_MS,
        "traits": {"email": "x@example.org", "marketing_consent": False},
        "context": {"consent": {"marketing": True}},
    }  # fmt: skip
    got = event(SEGMENT_DECODER, identify)
    assert (got["customer"], got["event_id"], got["type"]) == (b"4711", None, 2)
    assert (got["consent"], got["time_ms"]) == (0, NOW_MS)
    del identify["traits"]
    assert event(SEGMENT_DECODER, identify)["consent"] == 1


@pytest.mark.parametrize(("call", "type_code"), [("page", 3), ("screen", 4), ("group", -1)])
def test_segment_calls_without_event(call: str, type_code: int) -> None:
    got = event(SEGMENT_DECODER, {"type": call, "userId": "", "anonymousId": "a", "name": "Home"})
    assert (got["type"], got["customer"], got["time_ms"]) == (type_code, b"a", NOW_MS)


def test_cloudevent_is_unwrapped_and_fills_gaps() -> None:
    wrapper = {
        "specversion": "1.0", "id": "ce-1", "source": "/shop", "type": "page", "subject": "s-1",
        "time": "2025-10-09T08:53:20Z", "data": TRACK,
    }  # fmt: skip
    assert event(SEGMENT_DECODER, wrapper) == event(SEGMENT_DECODER, TRACK)
    bare = event(SEGMENT_DECODER, wrapper | {"data": {"properties": {"value": 3}}})
    assert bare == {
        "customer": b"s-1", "event_id": b"ce-1", "time_ms": NOW_MS, "type": 3, "consent": -1,
        "numbers": ["3.0", "nan"], "categories": [0, 0],
    }  # fmt: skip
    extension = wrapper | {"data": {}, "userId": "from the root"}
    assert event(SEGMENT_DECODER, extension)["customer"] == b"from the root"
    closed = EventDecoder(EventMapping(cloudevents=False), TYPES, NUMBERS, CATEGORIES)
    assert code(closed, json.dumps(wrapper).encode()) == "missing_customer"


def flat(**fields: object) -> bytes:
    return json.dumps({"customer_id": "c", "type": "view", "timestamp": NOW_MS} | fields).encode()


BAD: dict[str, list[bytes | None]] = {
    "null_value": [None],
    "oversize": [b'{"padding":"' + b"x" * (1 << 20) + b'"}'],
    "bad_utf8": [b'{"customer_id":"\xff"}', flat(customer_id="\ud800")],
    "bad_json": [b"", b"{", b'{"value":NaN}', b"[" * 100 + b"]" * 100, b'{"a":' + b"[" * 100_000],
    "not_object": [b"[]", b"17", b"null"],
    "missing_customer": [b'{"type":"view"}', flat(customer_id=None), flat(customer_id="")],
    "customer_too_long": [flat(customer_id="x" * 513), flat(customer_id="é" * 257)],
    "missing_type": [flat(type=None), flat(type="")],
    "bad_type": [
        flat(type=3), flat(customer_id=1.5), flat(customer_id=True), flat(event_id=[]),
        flat(timestamp=True),
        flat(properties={"value": "a lot"}), flat(properties={"value": {}}),
        flat(properties={"category": ["x"]}),
    ],
    "bad_timestamp": [flat(timestamp="soon"), flat(timestamp="2025-02-30T00:00:00Z")],
    "absurd_timestamp": [
        flat(timestamp=5), flat(timestamp=NOW_MS + 300_001), flat(timestamp="1e999"),
        flat(timestamp="1999-12-31T23:59:59.999Z"),
    ],
    "not_finite": [
        flat(properties={"value": "1e999"}), b'{"properties":{"value":-1e400},' + flat()[1:],
    ],
}  # fmt: skip


@pytest.mark.parametrize(("expected", "value"), [(c, v) for c, vs in BAD.items() for v in vs])
def test_reject_codes(expected: str, value: bytes | None) -> None:
    batch, rejects = decode(STRICT_DECODER, REFERENCE, value, REFERENCE)
    assert [(reject.record, reject.code) for reject in rejects] == [(1, expected)]
    assert re.fullmatch(r"expected .+, got .+", rejects[0].reason)
    assert len(rejects[0].reason) < 250
    assert batch.record.tolist() == [0, 2]
    assert batch.offset.tolist() == [100, 102]
    assert row(batch, 0) == row(batch, 1) == event(FLAT_DECODER, REFERENCE)


def test_missing_timestamp() -> None:
    value = flat(timestamp=None)
    assert event(FLAT_DECODER, value, time_ms=NOW_MS - 3)["time_ms"] == NOW_MS - 3
    assert code(FLAT_DECODER, value, time_ms=-1) == "missing_timestamp"
    assert code(FLAT_DECODER, value, time_ms=0) == "missing_timestamp"
    assert code(FLAT_DECODER, value, time_ms=10**15) == "missing_timestamp"


def test_a_reject_says_expected_got_and_where() -> None:
    secret = "4111" * 30
    _, [number, text] = decode(
        STRICT_DECODER, flat(properties={"value": secret + "x"}), flat(event_id={"note": secret})
    )
    assert number.reason.startswith("expected a number at properties.value, got '4111")
    assert secret not in number.reason
    assert text.reason.endswith(" at event_id, got an object")


@pytest.mark.parametrize("edge_ms", [946_684_800_000, NOW_MS])
def test_the_bounds_of_time_are_inside(edge_ms: int) -> None:
    assert event(FLAT_DECODER, flat(timestamp=edge_ms))["time_ms"] == edge_ms


@pytest.mark.parametrize(
    "timestamp",
    [
        1_760_000_000, 1_760_000_000.0, "1760000000", 1_760_000_000_000, 1_760_000_000_000_000,
        1_760_000_000_000_000_000, "2025-10-09T08:53:20Z", "2025-10-09 10:53:20.000+02:00",
        "2025-10-09T08:53:20", "20251009T085320Z", "2025-10-09T08:53:20.0009999Z",
    ],
)  # fmt: skip
def test_timestamp_forms(timestamp: float | str) -> None:
    assert event(FLAT_DECODER, flat(timestamp=timestamp))["time_ms"] == NOW_MS


def test_usual_events_never_reach_the_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(Judge, "judge_root")
    wrapper = {"specversion": "1.0", "id": "ce", "type": "page", "data": TRACK}
    for value in (TRACK, wrapper, TRACK | {"userId": 12, "timestamp": "1760000000"}):
        event(SEGMENT_DECODER, value)
    usual: dict[str, list[object]] = {
        "customer_id": ["x" * 512, "Müller", "tab\t", 'quo"te', 17],
        "event_id": [None, "", "é"],
        "timestamp": [1760000000, 1760000000.1234567, NOW_MS * 1000, "2025-10-09T08:53:20+00:00"],
        "consent": [True, False, None, "", "granted", "DENIED", "perhaps", 1, {"a": 1}],
        "properties": [
            {"value": 0.1 + 0.2, "revenue": "12.50"},
            {"value": 1e-300, "revenue": 2**60},
            {"value": None, "category": "größe \U0001f600", "channel": 5, "other": {"a": [[], {}]}},
        ],
    }
    for field, choices in usual.items():
        for choice in choices:
            event(FLAT_DECODER, flat(**{field: choice}))


def test_judged_events_stand_in_their_place() -> None:
    judged = rb'{"cust\u006fmer_id":"judged","event_id":"j","type":"view","timestamp":1760000000}'
    escaped = rb'{"customer_id":"tab\t","event_id":"\u00e9","type":"view","timestamp":1760000000}'
    again = judged.replace(b'"judged"', b'"again"').replace(b'"j"', b"null")
    batch, rejects = decode(FLAT_DECODER, judged, REFERENCE, b"broken", escaped, again)
    assert [reject.record for reject in rejects] == [2]
    assert [batch.customer[k] for k in range(4)] == [b"judged", b"c00012244", b"tab\t", b"again"]
    ids = [batch.event_id[k] for k in range(4)]
    assert ids == [b"j", b"0123456789abcdef", "é".encode(), None]
    assert batch.offset.tolist() == [100, 101, 103, 104]


@pytest.mark.parametrize("raw", [[], [None], [None, None]])
def test_chunks_without_events(raw: list[None]) -> None:
    batch, rejects = decode(FLAT_DECODER, *raw)
    assert len(batch) == len(batch.customer) == 0
    assert batch.number.shape == batch.category.shape == (2, 0)
    assert [reject.code for reject in rejects] == ["null_value"] * len(raw)


def test_no_properties_declared() -> None:
    batch, rejects = decode(EventDecoder(FLAT, (), (), ()), REFERENCE)
    assert batch.number.shape == batch.category.shape == (0, 1)
    assert (batch.type_code.tolist(), rejects) == ([-1], [])


def test_the_same_path_may_be_number_and_category() -> None:
    path = "properties.value"
    value = flat(properties={"value": 7})
    strict = msgspec.structs.replace(FLAT, strict=True)
    assert code(EventDecoder(strict, (), [path], ["properties"]), value) == "bad_type"
    got = event(EventDecoder(FLAT, (), [path, path], [path]), value)
    assert (got["numbers"], got["categories"]) == (["7.0", "7.0"], [category_hash(b"7")])


def test_the_earliest_time_of_the_mapping_is_checked() -> None:
    with pytest.raises(CampaignError, match=r"events\.timestamp_earliest: expected .* got 'once'"):
        EventDecoder(EventMapping(timestamp_earliest="once"), (), (), ())
