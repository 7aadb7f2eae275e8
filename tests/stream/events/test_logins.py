"""Which events tell of a login and which id the customer had before; and what tombstones become."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from stream.campaign.file import EventMapping
from stream.columns import RecordChunk, Spans
from stream.events.decoder import EventDecoder
from tests.stream.events.events_harness import NOW_MS, chunk_of

TYPES = ("view", "identify", "alias", "merge")
MAPPING = EventMapping(login="merge")
DECODER = EventDecoder(MAPPING, TYPES, (), ())


def previous(text: bytes, decoder: EventDecoder = DECODER) -> bytes | None:
    """The id before a login, by the kernels; by the judge, for an escaped key, the same."""
    judged = text.replace(b'"type"', b'"\\u0074ype"')
    found = decoder.decode(chunk_of([text, judged], NOW_MS), NOW_MS)
    assert not found.rejects
    if found.batch.previous is None:
        return None
    one, other = (found.batch.previous[i] for i in range(2))
    assert one == other
    return one


def told(decoder: EventDecoder = DECODER, /, **fields: Any) -> bytes | None:
    return previous(json.dumps(fields).encode(), decoder)


def test_an_identify_has_the_anonymous_id() -> None:
    assert told(type="identify", userId="u-1", anonymousId="a-1") == b"a-1"


def test_an_alias_has_the_previous_id() -> None:
    said = {"userId": "u-1", "previousId": "a-0", "anonymousId": "a-1"}
    assert told(type="alias", **said) == b"a-0"
    assert told(type="alias", **{**said, "previousId": "null"}) == b"a-1"


def test_a_merge_of_two_profiles_has_paths_of_its_own() -> None:
    mapping = msgspec.structs.replace(
        MAPPING,
        customer_id=("userId", "mergeProperties[0].value"),
        previous_id=("mergeProperties[1].value",),
    )
    pair = [{"type": "email", "value": "a@b.c"}, {"type": "mobile", "value": "+49"}]
    text = json.dumps({"type": "merge", "userId": "u-1", "mergeProperties": pair}).encode()
    assert previous(text, EventDecoder(mapping, TYPES, (), ())) == b"+49"


@pytest.mark.parametrize(
    "fields",
    [
        {"type": "track", "event": "view", "userId": "u-1", "anonymousId": "a-1"},
        {"type": "group", "userId": "u-1", "anonymousId": "a-1"},
        {"type": "identify", "userId": "u-1"},
        {"type": "identify", "anonymousId": "a-1"},
        {"type": "identify", "userId": "undefined", "anonymousId": "a-1", "previousId": "u-1"},
        {"type": "identify", "userId": "u-1", "anonymousId": "undefined"},
        {"type": "identify", "userId": "u-1", "anonymousId": " "},
        {"type": "identify", "userId": "u-1", "anonymousId": "u-1"},
        {"type": "identify", "userId": "u-1", "anonymousId": "x" * 513},
        {"type": "identify", "userId": "u-1", "anonymousId": {"id": "a-1"}},
        {"type": "identify", "userId": "u-1", "anonymousId": True},
    ],
    ids=["track", "group", "none", "nobody", "fallback", "no_id", "blank", "same", "long", "object",
         "true"],
)  # fmt: skip
def test_what_is_no_login(fields: dict[str, Any]) -> None:
    assert told(**fields) is None


@pytest.mark.parametrize(("number", "text"), [(17, b"17"), (17.0, b"17"), ("a" * 512, b"a" * 512)])
def test_ids_are_read_as_customers_are(number: object, text: bytes) -> None:
    assert told(type="identify", userId="u-1", anonymousId=number) == text


def test_a_login_in_a_cloudevent() -> None:
    data = {"type": "identify", "userId": "u-1", "anonymousId": "a-1"}
    assert told(specversion="1.0", data=data) == b"a-1"


def test_rows_keep_their_own_ids_beside_others() -> None:
    values = [
        json.dumps(
            {"type": kind, "userId": f"u-{i}", "anonymousId": f"a-{i}", "messageId": f"m-{i}"}
        )
        for i, kind in enumerate(["view", "identify", "identify", "view"])
    ]
    values[2] = values[2].replace('"type"', r'"\u0074ype"')
    batch = DECODER.decode(chunk_of([v.encode() for v in values], NOW_MS), NOW_MS).batch
    assert batch.previous is not None
    assert [batch.previous[i] for i in range(4)] == [None, b"a-1", b"a-2", None]
    assert [batch.event_id[i] for i in range(4)] == [b"m-0", b"m-1", b"m-2", b"m-3"]
    assert [batch.logins[i] for i in range(2)] == [b"a-1", b"a-2"]
    some = batch.take(np.array([2]))
    assert some.previous is not None
    assert some.previous[0] == b"a-2"


def test_ids_are_separate_unless_told_otherwise() -> None:
    assert told(EventDecoder(EventMapping(), TYPES, (), ()), type="identify", userId="u-1",
                anonymousId="a-1") is None  # fmt: skip


KEYS: list[bytes | None] = [b"u-1", b'"u-2"', b"u-3", None, b"", b"null", b"\xff", b"x" * 513]
VIEW = b'{"type":"view","userId":"u-3"}'


def tombstones(how: str) -> tuple[EventDecoder, RecordChunk]:
    mapping = msgspec.structs.replace(EventMapping(), tombstones=how)
    values = [VIEW if key == b"u-3" else None for key in KEYS]
    chunk = RecordChunk(
        "events", 0, np.arange(len(KEYS)), np.full(len(KEYS), NOW_MS), Spans.of(KEYS),
        Spans.of(values), len(KEYS),
    )  # fmt: skip
    return EventDecoder(mapping, TYPES, (), ()), chunk


def test_tombstones_are_ignored_and_counted() -> None:
    decoder, chunk = tombstones("ignore")
    found = decoder.decode(chunk, NOW_MS)
    assert found.tombstones == 5
    assert [reject.record for reject in found.rejects] == [3, 4], "no key, no tombstone"
    assert found.batch.record.tolist() == [2]


def test_tombstones_are_letters() -> None:
    decoder, chunk = tombstones("letter")
    found = decoder.decode(chunk, NOW_MS)
    assert (found.tombstones, found.batch.record.tolist()) == (0, [2])
    assert [(r.record, r.code) for r in found.rejects] == [
        (i, "null_value") for i in (0, 1, 3, 4, 5, 6, 7)
    ]


def test_tombstones_forget_the_customer_that_their_key_names() -> None:
    decoder, chunk = tombstones("forget")
    found = decoder.decode(chunk, NOW_MS)
    batch = found.batch
    assert batch.forgets is not None
    assert batch.record.tolist() == [0, 1, 2]
    assert [batch.customer[i] for i in range(3)] == [b"u-1", b"u-2", b"u-3"]
    assert batch.forgets.tolist() == batch.consent_only.tolist() == [True, True, False]
    assert batch.time_ms.tolist() == [NOW_MS] * 3
    assert found.identified.tolist() == [False, False, True]
    assert found.tombstones == 2
    assert [reject.record for reject in found.rejects] == [3, 4, 5, 6, 7]
    assert "expected the customer as key" in found.rejects[2].reason
    assert len(batch.events()) == 1
    assert len(batch.history()) == 3
