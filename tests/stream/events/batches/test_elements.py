"""What a record with a batch comes to: its elements, its consent, its faults; and how chunks are cut."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest

from stream.campaign.file import EventMapping, parse
from stream.columns import Spans
from stream.errors import CampaignError
from stream.events.decoder import EventDecoder
from stream.formats.framed_json import FramedJson
from stream.record_order import event_times, places
from tests.stream.events.batches.batches_harness import SEGMENT, decoded, decoder_of, who
from tests.stream.events.events_harness import CATEGORIES, NOW_MS, NUMBERS, TYPES, chunk_of

MPARTICLE = EventMapping(
    batch="events", customer_id=("user_identities.customer_id", "mpid"), event_id=("data.event_id",),
    type=("data.event_name", "event_type"), timestamp=("data.timestamp_unixtime_ms",),
)  # fmt: skip


def test_a_batch_of_segment() -> None:
    record = {
        "batch": [
            {"type": "identify", "userId": "u1", "messageId": "a", "timestamp": NOW_MS - 3},
            {"type": "track", "event": "view", "anonymousId": "x", "timestamp": NOW_MS - 2},
            {"type": "page", "userId": None, "anonymousId": "", "messageId": "c"},
        ],
        "sentAt": NOW_MS - 1, "userId": "u0", "context": {"consent": {"marketing": True}},
    }  # fmt: skip
    found = decoded(record)
    assert who(found) == [
        (0, 0, b"u1", b"a", NOW_MS - 3),
        (0, 1, b"u0", None, NOW_MS - 2),  # a path of the record comes before the next path
        (0, 2, b"u0", b"c", NOW_MS - 1),
    ]
    assert found.batch.type_code.tolist() == [2, 0, 3]
    assert found.batch.consent.tolist() == [[1, 1, 1]]
    assert found.batch.offset.tolist() == [100, 100, 100]
    assert found.batch.is_last.tolist() == [True, False, True]
    assert found.identified.tolist() == [True, True, True]
    assert found.rejects == []
    assert found.flaws.lines == 3


@pytest.mark.parametrize("escaped", ["messageId", r"message\u0049d"])
def test_the_id_of_a_record_is_that_of_none_of_its_events(escaped: str) -> None:
    batch = '"batch":[{"event":"view"},{"event":"view","messageId":"own"},{"event":"view"}]'
    record = f'{{"userId":"u","{escaped}":"all",{batch}}}'
    envelope = f'{{"specversion":"1.0","id":"all","data":{record}}}'
    for value in (record, envelope):
        found = decoded(value.encode(), {"userId": "u", "event": "view", "messageId": "m"})
        assert [one[3] for one in who(found)] == [None, b"own", None, b"m"]


def test_a_batch_of_mparticle() -> None:
    record = {
        "mpid": 7, "user_identities": {"customer_id": "c7"},
        "events": [
            {"event_type": "custom_event", "data": {"event_name": "view", "event_id": 1,
                                                    "timestamp_unixtime_ms": NOW_MS - 5}},
            {"event_type": "screen", "data": {"timestamp_unixtime_ms": NOW_MS - 4}},
        ],
    }  # fmt: skip
    found = decoded(record, mapping=MPARTICLE)
    assert who(found) == [(0, 0, b"c7", b"1", NOW_MS - 5), (0, 1, b"c7", None, NOW_MS - 4)]
    assert found.batch.type_code.tolist() == [0, 4]


def test_thousands_of_elements() -> None:
    elements = [{} if k % 2 else {"messageId": k} for k in range(9_999)]
    found = decoded({"userId": "u", "event": "view", "batch": elements}, {"batch": []})
    assert found.batch.element.tolist() == list(range(9_999))
    ids = [found.batch.event_id[k] for k in range(0, 9_999, 2)]
    assert ids == [b"%d" % k for k in range(0, 9_999, 2)]
    assert np.flatnonzero(found.batch.is_last).tolist() == [9_998]


@pytest.mark.parametrize("there", [None, {}, "x", 7, True])
def test_without_an_array_a_record_is_one_event(there: Any) -> None:
    found = decoded(
        {"userId": "u", "event": "view", "batch": there}, {"userId": "u", "event": "page"}
    )
    assert who(found) == [(0, -1, b"u", None, NOW_MS), (1, -1, b"u", None, NOW_MS)]


@pytest.mark.parametrize("key", ["batch", r"b\u0061tch"])
@pytest.mark.parametrize("escaped", ["userId", r"user\u0049d"])
def test_keys_may_be_escaped(key: str, escaped: str) -> None:
    elements = f'{{"event":"view"}} ,{{"event":"view","{escaped}":"w"}}'
    record = f'{{"{escaped}":"u","{key}" : [ {elements} ]}}'
    found = decoded(record.encode())
    assert [one[1:3] for one in who(found)] == [(0, b"u"), (1, b"w")]


@pytest.mark.parametrize(
    "empty", [b'{"userId":"u","batch":[]}', b'{"user\\u0049d":"u","batch":[ ]}']
)
def test_an_empty_batch_is_no_event_and_no_letter(empty: bytes) -> None:
    found = decoded(empty, {"userId": "w", "event": "view"}, empty)
    assert (found.flaws.empty_batches, found.rejects, len(found.batch), found.flaws.lines) == (
        2,
        [],
        1,
        3,
    )


@pytest.mark.parametrize("escaped", ["userId", r"user\u0049d"])
def test_what_an_empty_batch_denies_is_denied(escaped: str) -> None:
    record = '{"%s":"u","context":{"consent":{"marketing":%s}},"batch":[]}'
    for said, rows in (("false", 1), ('"who knows"', 1), ("true", 0)):
        found = decoded((record % (escaped, said)).encode())
        assert (found.flaws.empty_batches, len(found.batch), found.rejects) == (1, rows, [])
        assert found.batch.consent_only.all()


def test_one_bad_element_costs_that_element() -> None:
    deep = json.loads("[" * 50 + "]" * 50)
    elements = [
        {"event": "view"}, 5, None, [], {"event": 7}, {"event": "view", "x": deep}, {},
        {"event": "view", "userId": "x" * 600}, {"event": "page"},
    ]  # fmt: skip
    found = decoded({"userId": "u", "batch": elements})
    assert [one[1] for one in who(found)] == [0, 5, 8]
    assert [(r.element and r.element.index, r.code) for r in found.rejects] == [
        (1, "not_object"), (2, "not_object"), (3, "not_object"), (4, "bad_type"), (6, "missing_type"),
        (7, "customer_too_long"),
    ]  # fmt: skip
    assert found.rejects[0].reason == "expected a JSON object at batch[1], got 5"
    assert found.flaws.lines == len(elements)


def test_what_a_bad_element_or_its_record_denies_is_denied() -> None:
    no = {"consent": {"marketing": False}}
    found = decoded(
        {"userId": "u", "context": no, "batch": [7]},
        {"userId": "u", "batch": [{"event": 7, "context": no}, {"event": "view"}]},
    )
    assert found.batch.consent_only.tolist() == [True, True, False]
    assert found.batch.consent.tolist() == [[0, 0, -1]]


@pytest.mark.parametrize("consents", [("true", "false"), ("false", "true")])
def test_of_element_and_record_the_stricter_word_counts(consents: tuple[str, str]) -> None:
    own, around = (json.loads(one) for one in consents)
    element = {"event": "view", "traits": {"marketing_consent": own}}
    record = {"userId": "u", "traits": {"marketing_consent": around}, "batch": [element]}
    assert decoded(record).batch.consent.tolist() == [[0]]


@pytest.mark.parametrize("escaped", ["userId", r"user\u0049d"])
def test_too_many_elements_refuse_the_record(escaped: str) -> None:
    mapping = msgspec.structs.replace(SEGMENT, batch_events_max=3)
    texts = ",".join(['{"event":"view"}'] * 4)
    no = '"context":{"consent":{"marketing":false}}'
    found = decoded(
        f'{{"{escaped}":"u",{no},"batch":[{texts}]}}'.encode(),
        f'{{"{escaped}":"u","batch":[{texts[:50]}]}}'.encode(),
        mapping=mapping,
    )
    (reject,) = found.rejects
    assert (reject.record, reject.code, reject.element) == (0, "too_many_events", None)
    assert reject.reason == "expected at most 3 events at batch, got 4"
    assert found.batch.consent_only.tolist() == [True, False, False, False]


@pytest.mark.parametrize(
    "cut", [b'{"userId":"u","batch":[{"event":"view"}', b'{"userId":"u","batch":[', b'{"batch":[1,]}',
            b'{"userId":"u","batch":[{"event":"view"},', b'{"batch":[{]}', b'{"batch":[}', b"[[["]
)  # fmt: skip
def test_a_record_that_is_no_json_is_one_letter(cut: bytes) -> None:
    found = decoded(cut, {"userId": "u", "event": "view"})
    assert [(r.record, r.code, r.element) for r in found.rejects] == [(0, "bad_json", None)]
    assert len(found.batch) == 1


def test_behind_a_frame() -> None:
    mapping = msgspec.structs.replace(SEGMENT, framed=True, cloudevents=False)
    decoder = EventDecoder(mapping, TYPES, NUMBERS, CATEGORIES, value_format=FramedJson())
    values = [
        b"\0\0\0\0\x07" + text
        for text in (
            b'{"userId":"u","batch":[{"event":"view"},4]}',
            b'{"user\\u0049d":"w","batch":[{"event":"view"},4]}',
        )
    ]
    found = decoder.decode(chunk_of(values, NOW_MS), NOW_MS)
    assert [one[:3] for one in who(found)] == [(0, 0, b"u"), (1, 0, b"w")]
    for reject, value in zip(found.rejects, values, strict=True):
        assert reject.element is not None
        at = reject.element.start - (len(values[0]) if reject.record else 0)
        assert value[at : at + reject.element.size] == b"4"


def test_in_a_cloudevent() -> None:
    data = {"userId": "u", "batch": [{"event": "view"}, {"event": "page", "userId": "w"}]}
    envelope = {"specversion": "1.0", "subject": "s", "data": data}
    found = decoded(envelope)
    assert [one[1:3] for one in who(found)] == [(0, b"u"), (1, b"w")]
    binary = chunk_of([json.dumps(data).encode(), json.dumps(data).replace("userId", r"user\u0049d").encode()], NOW_MS)  # fmt: skip
    headers = b"\x02\x1cce_specversion\x061.0"
    binary = replace(binary, headers=Spans.of([headers, headers]))
    found = decoder_of().decode(binary, NOW_MS)
    assert [one[:3] for one in who(found)] == [
        (0, 0, b"u"), (0, 1, b"w"), (1, 0, b"u"), (1, 1, b"w"),
    ]  # fmt: skip
    encoded = {"specversion": "1.0", "subject": "s", "type": "page",
               "data_base64": "eyJiYXRjaCI6W3siZXZlbnQiOiJ2aWV3In1dfQ=="}  # fmt: skip
    assert [one[:3] for one in who(decoded(encoded))] == [(0, -1, b"s")]


def test_an_element_may_be_a_cloudevent() -> None:
    element = {"specversion": "1.0", "subject": "s", "data": {"event": "view"}}
    found = decoded({"batch": [element], "sentAt": NOW_MS - 9})
    assert who(found) == [(0, 0, b"s", None, NOW_MS - 9)]


def test_words_of_consent_that_nobody_knows_are_told_from_both() -> None:
    records = [
        {"userId": "u", "traits": {"marketing_consent": "hm"},
         "batch": [{"event": "view", "traits": {"marketing_consent": "hum"}}, {"event": "view"}]},
    ]  # fmt: skip
    decoder, values = decoder_of(), [json.dumps(one).encode() for one in records]
    chunk = chunk_of(values, NOW_MS)
    said = decoder.unreadable(chunk, decoder.decode(chunk, NOW_MS).batch)
    assert said == [("traits.marketing_consent", "hm"), ("traits.marketing_consent", "hum")]


def test_a_record_counts_with_its_newest_event() -> None:
    times = [NOW_MS - 5, NOW_MS - 1, NOW_MS - 9]
    record: dict[str, Any] = {"userId": "u"}
    record["batch"] = [{"event": "view", "timestamp": at} for at in times]
    records: list[dict[str, Any]] = [record, {"batch": []}, {**record, "event": "page"}]
    chunk = chunk_of([json.dumps(one).encode() for one in records], NOW_MS)
    found = decoder_of().decode(chunk, NOW_MS)
    assert event_times(chunk, found.batch).tolist() == [NOW_MS - 1, -1, NOW_MS - 1]
    rising = places(found.batch.offset, found.batch.element)
    assert (np.diff(rising) > 0).all()


def test_batches_of_avro_are_refused() -> None:
    text = """
    app = "a"
    topics = { events = ["e"] }
    events = { format = "avro", schema_registry = "http://r:1", batch = "batch" }
    features = [{ op = "count", half_lives = ["1d"] }]
    strategies = [{ id = "s" }]
    """
    with pytest.raises(
        CampaignError, match=r'events.batch: expected none with events.format = "avro"'
    ):
        parse(text)
