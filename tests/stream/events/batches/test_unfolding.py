"""Batches against plain records: an element reads like the record with the element laid over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.file import EventMapping
from stream.columns import EventBatch
from stream.events.consent.hearing import Hearing
from stream.events.consent.places import ConsentPlaces
from stream.events.consent.vocabulary import GRANTED, NOT_SAID, UNREADABLE, WITHDRAWN
from stream.events.decoder import EventDecoder
from stream.events.flaws import Decoded
from stream.events.json_object import json_object
from tests.stream.events.consent.consent_events import CONSENTS, PURPOSES, members
from tests.stream.events.events_harness import CATEGORIES, NOW_MS, NUMBERS, TYPES, chunk_of
from tests.stream.events.plain_reading import row
from tests.stream.events.test_event_oracle import PROPERTIES, TEXT, TIMES, TYPE_NAMES, VALUES

BATCHED, PLAIN = EventMapping(batch="batch"), EventMapping()
STRICT = EventMapping(batch="batch", strict=True, timestamp_ahead_max="1s")
STRICT_PLAIN = EventMapping(strict=True, timestamp_ahead_max="1s")
RANK = (NOT_SAID, GRANTED, UNREADABLE, WITHDRAWN)
CHOICES = {
    "userId": TEXT, "anonymousId": TEXT, "messageId": TEXT, "type": TYPE_NAMES, "event": TYPE_NAMES,
    "timestamp": TIMES, "sentAt": TIMES, "originalTimestamp": TIMES,
}  # fmt: skip
GOOD = {"userId": '"u1"', "type": '"view"'}
Texts = dict[str, str | dict[str, str]]
"""Members as JSON text; below a key those of an object."""


def decoder_of(mapping: EventMapping) -> EventDecoder:
    return EventDecoder(mapping, TYPES, NUMBERS, CATEGORIES, PURPOSES)


@st.composite
def bodies(draw: st.DrawFn) -> Texts:
    own: Texts = dict(GOOD) if draw(st.booleans()) else {}
    for key in draw(st.lists(st.sampled_from(sorted(CHOICES)), max_size=3)):
        own[key] = draw(st.sampled_from(CHOICES[key]))
    if draw(st.booleans()):
        keys = draw(st.lists(st.sampled_from(PROPERTIES), max_size=3))
        own["properties"] = {key: draw(st.sampled_from(VALUES)) for key in keys}
    if draw(st.integers(0, 3)) == 0:
        own["traits"] = {"marketing_consent": draw(st.sampled_from(CONSENTS))}
    if draw(st.integers(0, 3)) == 0:
        allowed = draw(st.sampled_from(['["marketing"]', "[]", '["other"]', "7"]))
        own["context"] = {"consentManagement": f'{{"allowedConsentIds":{allowed}}}'}
    return own


def text_of(body: Mapping[str, str | dict[str, str]], *more: tuple[str, str], escaped: bool) -> str:
    """The JSON of a body; `escaped` writes a wanted key in a way that the scan gives up on."""
    pairs = [(k, v if isinstance(v, str) else members(list(v.items()))) for k, v in body.items()]
    if escaped:
        pairs = [(r"us\u0065rId" if key == "userId" else key, value) for key, value in pairs]
        pairs.append((r"\u0074raits" if "traits" not in body else "x", "null"))
    return members([*pairs, *more])


def laid_over(own: Texts, around: Texts) -> Texts:
    """A body over another one, path by path; null and the empty string are nothing."""
    merged: Texts = {}
    for key in {**around, **own}:
        one, other = own.get(key), around.get(key) if key != "messageId" else None
        if isinstance(one, dict) or isinstance(other, dict):
            one, other = one or {}, other or {}
            assert isinstance(one, dict)
            assert isinstance(other, dict)
            merged[key] = {
                k: one[k] if one.get(k, "null") not in {"null", '""'} else other.get(k, "null")
                for k in {**other, **one}
            }
        else:
            merged[key] = one if one not in {None, "null", '""'} else other or "null"
    return merged


def outcomes(decoded: Decoded) -> dict[tuple[int, int], str]:
    """By record and element what came of each, without consent."""
    found = {}
    for reject in decoded.rejects:
        at = -1 if reject.element is None else reject.element.index
        found[reject.record, at] = reject.code
    batch = decoded.batch
    for k in np.flatnonzero(~batch.consent_only).tolist():
        found[int(batch.record[k]), int(batch.element[k])] = repr(_without_consent(batch, k))
    return found


def _without_consent(batch: EventBatch, k: int) -> object:
    event = row(batch, k)
    event.consent.clear()
    return event


@given(
    st.lists(st.tuples(bodies(), st.booleans()), min_size=1, max_size=4),
    st.tuples(bodies(), st.booleans()),
    st.booleans(),
    st.sampled_from([(BATCHED, PLAIN), (STRICT, STRICT_PLAIN)]),
    st.sampled_from([NOW_MS, -1]),
)
@settings(max_examples=300)
def test_an_element_reads_like_the_record_with_it_laid_over(
    elements: list[tuple[Texts, bool]],
    around: tuple[Texts, bool],
    is_cloudevent: bool,
    mappings: tuple[EventMapping, EventMapping],
    received_ms: int,
) -> None:
    texts = [text_of(body, escaped=escaped) for body, escaped in elements]
    record = text_of(around[0], ("batch", f"[ {' , '.join(texts)} ]"), escaped=around[1])
    plain = [text_of(laid_over(body, around[0]), escaped=False) for body, _ in elements]
    alone = text_of(around[0], escaped=False)
    if is_cloudevent:
        head = '{"specversion":"1.0","subject":"s","time":"2025-10-09T08:53:20Z","data":%s}'
        record, alone, *plain = (head % text for text in (record, alone, *plain))
    decoded = decoder_of(mappings[0]).decode(chunk_of([record.encode()], received_ms), NOW_MS)
    one_by_one = decoder_of(mappings[1]).decode(
        chunk_of([text.encode() for text in plain], received_ms), NOW_MS
    )
    expected = {(0, i): outcome for (i, _), outcome in outcomes(one_by_one).items()}
    assert outcomes(decoded) == expected
    ours, theirs = decoded.flaws, one_by_one.flaws
    assert ours.by_path() == theirs.by_path()
    assert (ours.ahead, ours.types.tolist()) == (theirs.ahead, theirs.types.tolist())
    hearing = Hearing(ConsentPlaces(mappings[0], PURPOSES))
    of_record = hearing.said(json_object(alone.encode()), is_envelope=is_cloudevent)
    for k, element in enumerate(decoded.batch.element.tolist()):
        own = hearing.said(json_object(texts[element].encode()), is_envelope=False)
        said = [max(pair, key=RANK.index) for pair in zip(own, of_record, strict=True)]
        if decoded.batch.consent_only[k]:
            said = [NOT_SAID if one == GRANTED else one for one in said]
        assert decoded.batch.consent[:, k].tolist() == said
    denied = set(one_by_one.batch.record[one_by_one.batch.consent_only].tolist())
    assert denied <= set(decoded.batch.element[decoded.batch.consent_only].tolist())


@given(st.lists(st.lists(st.tuples(bodies(), st.booleans()), max_size=3) | st.none(), max_size=5))
@settings(max_examples=100)
def test_records_do_not_touch_each_other(
    records: list[list[tuple[Texts, bool]] | None],
) -> None:
    values = [
        text_of(GOOD, escaped=False)
        if elements is None
        else members([
            ("userId", '"around"'), ("batch", f"[{','.join(text_of(b, escaped=e) for b, e in elements)}]"),
        ])
        for elements in records
    ]  # fmt: skip
    decoder = decoder_of(BATCHED)
    together = decoder.decode(chunk_of([v.encode() for v in values], NOW_MS), NOW_MS)
    found: dict[tuple[int, int], str] = {}
    lines, empty = 0, 0
    kinds: Counter[str] = Counter()
    for i, value in enumerate(values):
        alone = decoder.decode(chunk_of([value.encode()], NOW_MS), NOW_MS)
        found |= {(i, element): outcome for (_, element), outcome in outcomes(alone).items()}
        lines, empty = lines + alone.flaws.lines, empty + alone.flaws.empty_batches
        kinds += alone.flaws.by_path()
    assert outcomes(together) == found
    assert (together.flaws.lines, together.flaws.empty_batches) == (lines, empty)
    assert together.flaws.empty_batches == sum(elements == [] for elements in records)
    assert together.flaws.by_path() == kinds
    places = list(zip(together.batch.record.tolist(), together.batch.element.tolist(), strict=True))
    assert places == sorted(places)
    assert together.batch.offset.tolist() == [100 + record for record, _ in places]
    last = {(r, together.batch.customer[k]): k for k, (r, _) in enumerate(places)}
    assert np.flatnonzero(together.batch.is_last).tolist() == sorted(last.values())
