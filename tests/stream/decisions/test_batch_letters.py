"""Letters about elements of batches: what they hold, and what becomes of them when they are sent again."""

from __future__ import annotations

import json

import numpy as np

from stream.campaign.file import EventMapping
from stream.columns import RecordChunk
from stream.decisions import dead_letter
from stream.events.decoder import EventDecoder
from tests.stream.events.events_harness import CATEGORIES, NOW_MS, NUMBERS, TYPES, chunk_of

REFUSING, MENDED = (
    EventMapping(batch="batch", type=("event",)), EventMapping(batch="batch", type=("event", "kind")),
)  # fmt: skip


def decoder_of(mapping: EventMapping) -> EventDecoder:
    return EventDecoder(mapping, TYPES, NUMBERS, CATEGORIES)


def letters_of(chunk: RecordChunk, mapping: EventMapping) -> dead_letter.DeadLetters:
    return dead_letter.encode(decoder_of(mapping).decode(chunk, NOW_MS).rejects, chunk)


def test_a_letter_has_the_record_with_none_but_the_refused_elements() -> None:
    record = (
        b'{"userId":"u", "batch" : [ {"event":"view"}, {"kind":"page","n":1.50} ,7,{"kind" : "page"},'
        b'{"event":"view"},"x"],"sentAt":1}'
    )
    chunk = chunk_of([b"{", record, b'{"userId":"u","event":"view"}', record], NOW_MS)
    letters = letters_of(chunk, REFUSING)
    assert [dict(own)["code"] for own in letters.headers] == [
        b"bad_json", b"missing_type", b"not_object", b"missing_type", b"not_object",
    ]  # fmt: skip
    assert [dict(own).get("elements") for own in letters.headers] == [
        None, b"1,3", b"2,5", b"1,3", b"2,5",
    ]  # fmt: skip
    assert [int(dict(own)["offset"]) for own in letters.headers] == [100, 101, 101, 103, 103]
    assert letters.value[0] == b"{"
    assert letters.value[1] == (
        b'{"userId":"u", "batch" : [{"kind":"page","n":1.50},{"kind" : "page"}],"sentAt":1}'
    )
    assert letters.value[2] == b'{"userId":"u", "batch" : [7,"x"],"sentAt":1}'
    assert b"batch[2]" in dict(letters.headers[2])["reason"]


def test_of_a_letter_that_is_sent_again_no_good_sibling_counts_twice() -> None:
    texts = [
        json.dumps({"userId": "u", "batch": [
            {"event": "view", "messageId": "a"}, {"kind": "page", "messageId": "b"}, {"event": "view"},
            {"kind": "größe", "messageId": "c", "userId": "w"},
        ]}).encode()
    ]  # fmt: skip
    texts.append(texts[0].replace(b"userId", b"user\\u0049d"))
    for text in texts:
        chunk = chunk_of([text], NOW_MS)
        letters = letters_of(chunk, REFUSING)
        again = chunk_of([letters.value[i] for i in range(len(letters))], NOW_MS)
        found = decoder_of(MENDED).decode(again, NOW_MS)
        assert found.rejects == []
        ids = [found.batch.event_id[k] for k in range(len(found.batch))]
        assert ids == [b"b", b"c"]
        assert [found.batch.customer[k] for k in range(2)] == [b"u", b"w"]


def test_a_letter_of_a_chunk_that_was_cut_is_the_same() -> None:
    record = json.dumps({"userId": "u", "batch": [{"event": "view"}, 7]}).encode()
    chunk = chunk_of([record] * 40, NOW_MS)
    decoder = decoder_of(REFUSING)
    parts = [chunk.take(np.arange(k, k + 1)) for k in range(40)]
    values = [dead_letter.encode(decoder.decode(p, NOW_MS).rejects, p).value[0] for p in parts]
    assert values == [b'{"userId": "u", "batch": [7]}'] * 40


def test_letters_do_not_grow_far_beyond_what_came() -> None:
    envelope = "x" * 10_000
    record = json.dumps({"padding": envelope, "batch": [k for k in range(1_000) if k % 3]})
    chunk = chunk_of([record.encode()], NOW_MS)
    letters = letters_of(chunk, REFUSING)
    assert len(letters) == 1
    assert int(letters.value.size.sum()) <= len(record)
    assert dict(letters.headers[0])["elements"] == b"0-665"
    odd = json.dumps(
        {"userId": "u", "batch": [7 if k % 2 else {"event": "view"} for k in range(999)]}
    )
    (own,) = letters_of(chunk_of([odd.encode()], NOW_MS), REFUSING).headers
    assert dict(own)["elements"].startswith(b"1,3,5,")
    assert dict(own)["elements"].endswith(b",127,...")


def test_a_letter_that_is_too_large_is_cut_as_any() -> None:
    record = json.dumps({"padding": "x" * 5_000, "userId": "u", "batch": [7]}).encode()
    small = json.dumps({"userId": "u", "batch": [7]}).encode()
    chunk = chunk_of([record, small, b"{"], NOW_MS)
    decoded = decoder_of(REFUSING).decode(chunk, NOW_MS)
    runs = dead_letter.fit(dead_letter.encode(decoded.rejects, chunk), 2_000)
    assert [len(run) for run in runs] == [1, 2]
    assert dict(runs[0].headers[0])["truncated"] == b"true"
    assert dead_letter.build(decoded.rejects, chunk, NOW_MS, 2_000, 2_000)
