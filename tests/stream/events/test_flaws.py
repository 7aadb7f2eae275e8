"""One bad field costs one value: what senders really write, and what is counted of it."""

from __future__ import annotations

import json
import math

import msgspec
import numpy as np
import pytest

from stream.campaign.file import EventMapping
from stream.columns import Int64s, RecordChunk
from stream.events.decoder import NEVER_MS, EventDecoder
from stream.events.flaws import Decoded, Flaws
from tests.stream.events.events_harness import CATEGORIES, NOW_MS, NUMBERS, TYPES, chunk_of

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
DECODER = EventDecoder(EventMapping(), TYPES, NUMBERS, CATEGORIES)
STRICT = EventDecoder(EventMapping(strict=True), TYPES, NUMBERS, CATEGORIES)
ISO_NOW = "2025-10-09T08:53:20Z"


def order(**fields: object) -> bytes:
    event = {"type": "track", "event": "Order Completed", "userId": "u-1", "timestamp": NOW_MS}
    return json.dumps(event | fields).encode()


@pytest.mark.parametrize("said", [[], {}, True, 1.5, "\ud800"])
def test_an_event_id_that_cannot_be_read_costs_the_id(said: object) -> None:
    mapping = EventMapping(event_id=("messageId", "id"))
    decoder = EventDecoder(mapping, TYPES, NUMBERS, CATEGORIES)
    own = {
        "userId": "u-1",
        "type": "view",
        "messageId": said,
        "traits": {"marketing_consent": False},
    }
    values = [json.dumps({**own, **more}).encode() for more in ({}, {"id": "second"})]
    decoded = decoder.decode(chunk_of(values, NOW_MS), NOW_MS)
    assert not decoded.rejects
    assert [decoded.batch.event_id[k] for k in range(2)] == [None, b"second"]
    assert decoded.batch.consent.tolist() == [[0, 0]]
    assert not decoded.batch.consent_only.any()
    assert decoded.flaws.by_path() == {"messageId": 2}
    assert "messageId" in decoded.flaws.examples["messageId"]


def decode(*values: bytes, received_ms: int = NOW_MS, now_ms: int = NOW_MS) -> Decoded:
    return DECODER.decode(chunk_of(values, received_ms), now_ms)


def unreadable(flaws: Flaws) -> dict[str, int]:
    return dict(flaws.by_path())


@pytest.mark.parametrize(
    ("revenue", "number"),
    [
        ("$1,299.00", math.nan), ("1.299,00", math.nan), ("N/A", math.nan),
        ({"amount": 1299}, math.nan), ([1299], math.nan), ("NaN", math.nan),
        ("Infinity", math.nan), ("1e999", math.nan), ("+-5", math.nan), ("+", math.nan),
        ("++5", math.nan), ("5 5", math.nan), ("0x10", math.nan), ("1_000", math.nan),
        (" ", math.nan), ("\ud83d", math.nan),
        ("+5", 5.0), (" 5 ", 5.0), ("\t+1.5e3\n", 1500.0), ("-5", -5.0),
        ("+123456789.123456789123456789", 123456789.123456789123456789),
    ],
)  # fmt: skip
def test_a_number_that_cannot_be_read_is_missing_and_the_order_stays(
    revenue: object, number: float
) -> None:
    decoded = decode(order(properties={"revenue": revenue, "category": "shoes"}))
    assert decoded.rejects == []
    assert decoded.batch.type_code.tolist() == [TYPES.index("Order Completed")]
    assert np.array_equal(decoded.batch.number[1], [number], equal_nan=True)
    assert decoded.batch.category[0] != 0
    expected = {"properties.revenue": 1} if math.isnan(number) else {}
    assert unreadable(decoded.flaws) == expected
    assert set(decoded.flaws.examples) == set(expected)


@pytest.mark.parametrize("category", [{"id": 1}, ["shoes"], "\ud83d"])
def test_a_category_that_cannot_be_read_is_missing(category: object) -> None:
    decoded = decode(order(properties={"category": category, "revenue": 7}))
    assert decoded.rejects == []
    assert (decoded.batch.category[0].tolist(), decoded.batch.number[1].tolist()) == ([0], [7.0])
    assert unreadable(decoded.flaws) == {"properties.category": 1}


def test_values_are_counted_by_path_over_the_chunk_with_one_short_example_each() -> None:
    values = [order(properties={"revenue": 1})]
    values += [order(properties={"revenue": f"N/A {k}", "value": [k]}) for k in range(3)]
    values += [order(properties={"revenue": "4111 " * 40, "category": "c"}, timestamp="never")]
    values += [b"no json", order(properties={"revenue": None, "value": ""})]
    decoded = decode(*values)
    flaws = decoded.flaws
    assert [reject.record for reject in decoded.rejects] == [5]
    assert unreadable(flaws) == {"properties.revenue": 4, "properties.value": 3, "timestamp": 1}
    present = dict(zip(flaws.paths, flaws.present.tolist(), strict=True))
    assert [present[path] for path in (*NUMBERS, *CATEGORIES)] == [3, 5, 1, 0]
    assert flaws.types[TYPES.index("Order Completed")] == flaws.types.sum() == 6
    assert flaws.examples["properties.revenue"] == (
        "expected a number at properties.revenue, got 'N/A 0'"
    )
    assert "ISO 8601" in flaws.examples["timestamp"]
    assert all(len(example) < 200 for example in flaws.examples.values())
    long = decode(values[4]).flaws.examples["properties.revenue"]
    assert long.endswith("...") and "4111 " * 20 not in long  # noqa: PT018


def test_a_strict_mapping_refuses_what_cannot_be_read() -> None:
    values = [
        order(properties={"revenue": "N/A"}), order(properties={"category": []}),
        order(timestamp="yesterday"), order(timestamp=0), order(timestamp=NOW_MS + HOUR_MS),
        order(properties={"revenue": "1e999"}), order(),
    ]  # fmt: skip
    decoded = STRICT.decode(chunk_of(values, NOW_MS), NOW_MS)
    assert [reject.code for reject in decoded.rejects] == [
        "bad_type", "bad_type", "bad_timestamp", "absurd_timestamp", "absurd_timestamp",
        "not_finite",
    ]  # fmt: skip
    assert decoded.batch.record.tolist() == [6]
    assert (unreadable(decoded.flaws), decoded.flaws.ahead, decoded.flaws.examples) == ({}, 0, {})


@pytest.mark.parametrize("bad", [0, "yesterday", True, {}, "1999-12-31T23:59:59Z", "0", -5, " "])
def test_a_time_that_cannot_be_read_gives_way_to_the_next_path(bad: object) -> None:
    good = decode(order(timestamp=bad, receivedAt=ISO_NOW), received_ms=NOW_MS + 5)
    assert (good.batch.time_ms.tolist(), unreadable(good.flaws)) == ([NOW_MS], {"timestamp": 1})
    none = decode(order(timestamp=bad, sentAt=bad), received_ms=NOW_MS + 5)
    assert none.batch.time_ms.tolist() == [NOW_MS + 5]
    assert unreadable(none.flaws) == {"timestamp": 1, "sentAt": 1}


def test_times_of_cloudevents_are_counted_by_what_was_declared() -> None:
    event = {
        "specversion": "1.0", "type": "view", "subject": "s", "time": "never", "timestamp": "soon",
        "data": {"timestamp": "once", "receivedAt": 0},
    }  # fmt: skip
    decoded = decode(json.dumps(event).encode(), received_ms=NOW_MS)
    assert decoded.batch.time_ms.tolist() == [NOW_MS]
    assert unreadable(decoded.flaws) == {"timestamp": 2, "receivedAt": 1, "time": 1}


def times_of(*values: bytes, received_ms: int = NOW_MS) -> tuple[Int64s, int]:
    decoded = decode(*values, received_ms=received_ms)
    assert decoded.rejects == []
    return decoded.batch.time_ms, decoded.flaws.ahead


def test_a_clock_ahead_is_corrected_by_what_the_sender_says_of_itself() -> None:
    ahead_ms = 14 * DAY_MS
    both = {"timestamp": NOW_MS + ahead_ms, "originalTimestamp": NOW_MS + ahead_ms}
    time_ms, ahead = times_of(order(**both, sentAt=NOW_MS), order(**both))
    assert (time_ms.tolist(), ahead) == ([NOW_MS] * 2, 2)
    # The whole clock is ahead: the event was 20 s before it was sent, and so it was.
    time_ms, ahead = times_of(order(**both, sentAt=NOW_MS + ahead_ms + 20_000))
    assert (time_ms.tolist(), ahead) == ([NOW_MS - 20_000], 1)
    # By ISO text too, and in a form that only the plain decoder reads.
    ahead_iso = {"timestamp": "2025-10-09T10:53:20Z", "sentAt": "2025-10-09T08:54:20Z"}
    plain_iso = {"timestamp": "2025-W41-4T10:53:20Z", "sentAt": "2025-W41-4T08:54:20Z"}
    time_ms, ahead = times_of(order(**ahead_iso), order(**plain_iso))
    assert (time_ms.tolist(), ahead) == ([NOW_MS] * 2, 2)
    # Corrected to before the earliest time: as old as its record.
    time_ms, _ = times_of(order(timestamp=NOW_MS + 1, sentAt="2090-01-01T00:00:00Z"))
    assert time_ms.tolist() == [NOW_MS]


def test_a_small_lead_is_taken_back_without_a_word() -> None:
    time_ms, ahead = times_of(order(timestamp=NOW_MS + 300_000), order(timestamp=NOW_MS + 300_001))
    assert (time_ms.tolist(), ahead) == ([NOW_MS] * 2, 1)
    mapping = EventMapping(timestamp_ahead_max="1s")
    chunk = chunk_of([order(timestamp=NOW_MS + 1_001), order(timestamp=NOW_MS + 1_000)], NOW_MS)
    assert EventDecoder(mapping, (), (), ()).decode(chunk, NOW_MS).flaws.ahead == 1


def test_an_event_has_the_same_time_whenever_it_is_read() -> None:
    values = [
        order(timestamp=NOW_MS + 20 * HOUR_MS), order(timestamp=None), order(timestamp="soon"),
        order(timestamp=NOW_MS + HOUR_MS, sentAt=NOW_MS + 2 * HOUR_MS), order(),
    ]  # fmt: skip
    ahead_of_worker_ms = NOW_MS + 3 * DAY_MS
    for received_ms in (NOW_MS, ahead_of_worker_ms, -1, 0, 10**15):
        chunk = chunk_of(values, received_ms)
        now, later = DECODER.decode(chunk, NOW_MS), DECODER.decode(chunk, NEVER_MS)
        assert [r.code for r in now.rejects] == [r.code for r in later.rejects]
        if received_ms in (NOW_MS, ahead_of_worker_ms):
            assert now.batch.time_ms.tolist() == later.batch.time_ms.tolist()
            assert (now.batch.time_ms <= received_ms).all()
        else:
            assert [r.code for r in now.rejects] == ["missing_timestamp"] * 2
            assert now.batch.time_ms.max() == NOW_MS


def test_an_example_is_asked_for_once_a_record_and_only_where_there_are_flaws(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bytes | None] = []
    decoder = EventDecoder(EventMapping(), TYPES, NUMBERS, CATEGORIES)
    bounded = decoder._judge.bounded

    def counted(value: bytes | None) -> bytes:
        asked.append(value)
        return bounded(value)

    monkeypatch.setattr(decoder._judge, "bounded", counted)
    bad = order(properties={"revenue": "x", "value": "y"}, timestamp=0)
    chunk: RecordChunk = chunk_of([order(), bad, bad, order()], NOW_MS)
    assert len(decoder.decode(chunk, NOW_MS).batch) == 4
    assert asked == [bad]


def test_the_new_settings_have_bounds_of_their_own() -> None:
    with pytest.raises(msgspec.ValidationError, match="timestamp_ahead_max"):
        msgspec.convert({"timestamp_ahead_max": "0"}, EventMapping)
    assert msgspec.convert({"sent_at": []}, EventMapping).sent_at == ()
