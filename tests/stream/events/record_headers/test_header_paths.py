"""Paths that name a record header: read as if it were a member of the value, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from stream.campaign.file import EventMapping, parse
from stream.columns import EventBatch
from stream.errors import CampaignError
from stream.events.cloudevents.envelopes import Envelopes
from stream.events.decoder import EventDecoder
from stream.events.record_headers.header_values import HeaderValues
from stream.formats.avro.avro_language import AVRO
from stream.formats.protobuf.protobuf_language import PROTOBUF
from stream.formats.reading import FramedFormat
from stream.formats.snowplow.snowplow_columns import COLUMNS
from stream.formats.snowplow.snowplow_format import SnowplowFormat
from stream.kafka.headers import Header
from tests.stream.events.cloudevents.test_envelopes import Record, chunk_of, outcomes
from tests.stream.events.consent.consent_events import PURPOSES
from tests.stream.events.events_harness import CATEGORIES, NOW_MS, NUMBERS, TYPES
from tests.stream.events.plain_reading import row
from tests.stream.events.test_event_oracle import payloads
from tests.stream.formats.formats_harness import (
    Schemas,
    avro,
    avro_value,
    file_of,
    protobuf,
    record,
)
from tests.stream.formats.test_protobuf import GOOD, event

NAMES = ("uid", "mid", "kind", "at", "yes", "sent", "n", "g", "Uid", "userId")
TEXTS = (
    "c1", "", " ", "null", "Müller", "12", "12.5", "view", "2025-10-09T08:53:20Z", "soon", "true", "false",
    '"', "\\", "1760000000000", "4102444800", "x" * 600,
)  # fmt: skip
CHOICES = st.lists(
    st.tuples(st.sampled_from(NAMES), st.none() | st.sampled_from(TEXTS)), max_size=7
)


def mapping_of(prefix: str, **more: object) -> EventMapping:
    mapping = EventMapping(
        customer_id=(f"{prefix}uid", "userId", "anonymousId"), event_id=("messageId", f"{prefix}mid"),
        type=(f"{prefix}kind", "event", "type"), timestamp=("timestamp", f"{prefix}at", "receivedAt"),
        consent=(f"{prefix}yes", "traits.marketing_consent"), sent_at=(f"{prefix}sent", "sentAt"),
        login="merge", previous_id=(f"{prefix}Uid", "anonymousId"),
    )  # fmt: skip
    return replace(mapping, **more)


def decoder_of(prefix: str, **more: object) -> EventDecoder:
    numbers, categories = (*NUMBERS, f"{prefix}n"), (*CATEGORIES, f"{prefix}g")
    return EventDecoder(mapping_of(prefix, **more), TYPES, numbers, categories, PURPOSES)


def inside(data: str, said: Sequence[tuple[str, str | None]]) -> Record:
    """The same with members of the value in place of headers."""
    last = {name: json.dumps(text) for name, text in said}
    members = ", ".join(f'"k_{name}": {text}' for name, text in last.items())
    begin = data.index("{") + 1
    comma = ", " if last and data[begin:].strip() != "}" else ""
    return f"{data[:begin]}{members}{comma}{data[begin:]}".encode(), []


def beside(data: str, said: Sequence[tuple[str, str | None]]) -> Record:
    return data.encode(), [(name, None if text is None else text.encode()) for name, text in said]


def previous(batch: EventBatch, k: int) -> bytes | None:
    return None if batch.previous is None else batch.previous[k]


def bodies() -> st.SearchStrategy[str]:
    """Objects of JSON: bare, in the data of a CloudEvent, and in batches."""
    plain = payloads().filter(lambda text: text.lstrip().startswith("{") and _is_json(text))
    in_data = plain.map(lambda text: f'{{"specversion": "1.0", "data": {text}}}')
    batch = st.lists(plain, max_size=3).map(lambda all_: f'{{"batch": [{", ".join(all_)}]}}')
    return st.one_of(plain, plain, in_data, batch)


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False


@given(
    st.lists(st.tuples(bodies(), CHOICES), min_size=1, max_size=5), st.booleans(), st.booleans(),
    st.sampled_from([None, "batch"]), st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=200)
def test_a_header_is_read_as_a_member_of_the_value(
    raw: list[tuple[str, list[tuple[str, str | None]]]], from_wire: bool, strict: bool,
    batch: str | None, cloudevents: bool,
) -> None:  # fmt: skip
    more = {"strict": strict, "batch": batch, "cloudevents": cloudevents}
    expected = decoder_of("k_", **more).decode(
        chunk_of([inside(*one) for one in raw], from_wire=from_wire), NOW_MS
    )
    found = decoder_of("header:", **more).decode(
        chunk_of([beside(*one) for one in raw], from_wire=from_wire), NOW_MS
    )
    assert len(found.batch) == len(expected.batch)
    for k in range(len(found.batch)):
        assert repr(row(found.batch, k)) == repr(row(expected.batch, k))
        assert previous(found.batch, k) == previous(expected.batch, k)
    for name in ("record", "element", "event_hash", "consent_only"):
        assert getattr(found.batch, name).tolist() == getattr(expected.batch, name).tolist()
    rejects = [(r.record, r.code, r.element and r.element.index) for r in expected.rejects]
    assert [(r.record, r.code, r.element and r.element.index) for r in found.rejects] == rejects
    assert found.identified.tolist() == expected.identified.tolist()
    counts = (found.flaws.present.tolist(), found.flaws.unreadable.tolist(), found.flaws.ahead)
    assert counts == (
        expected.flaws.present.tolist(), expected.flaws.unreadable.tolist(), expected.flaws.ahead
    )  # fmt: skip


@pytest.mark.parametrize("from_wire", [True, False])
@pytest.mark.parametrize(
    "value",
    [
        b'{"header:uid": "inside", "type": "view"}',
        b'{"\\udcffuid": "inside", "type": "view"}',
        b'{"uid": "inside", "type": "view"}',
        b'{"type": "vi\\u0065w", "header:uid": "inside"}',
    ],
)
def test_no_member_of_the_value_passes_for_a_header(value: bytes, from_wire: bool) -> None:
    records: list[Record] = [(value, []), (value, [("uid", b"u-1")]), (value, [("UID", b"u-2")])]
    missing, found, other = outcomes(decoder_of("header:"), chunk_of(records, from_wire=from_wire))
    assert missing.startswith("missing_customer")
    assert other.startswith("missing_customer")
    assert "b'u-1'" in found


def test_a_quoted_key_is_no_header() -> None:
    mapping = EventMapping(customer_id=('"header:uid"',))
    records: list[Record] = [(b'{"header:uid": "u-1", "type": "view"}', [("uid", b"u-2")])]
    (found,) = outcomes(
        EventDecoder(mapping, TYPES, NUMBERS, CATEGORIES, PURPOSES),
        chunk_of(records, from_wire=True),
    )
    assert "b'u-1'" in found


def test_bytes_are_no_text() -> None:
    bad: list[Record] = [
        (b'{"type": "view"}', [("uid", b"\xff")]),
        (b'{"type": "view"}', [("uid", b"u-1"), ("n", b"\0\0\0\x01\xff"), ("g", b"\xc3")]),
        (b'{"type": "view"}', [("uid", b"\xff"), ("uid", b"u-2")]),
    ]
    decoder = decoder_of("header:")
    decoded = decoder.decode(chunk_of(bad, from_wire=True), NOW_MS)
    assert [(one.record, one.code) for one in decoded.rejects] == [(0, "bad_type")]
    assert "header:uid" in decoded.rejects[0].reason
    assert [decoded.batch.customer[k] for k in range(2)] == [b"u-1", b"u-2"]
    assert decoded.flaws.by_path() == {"header:n": 1, "header:g": 1}


HEADERS: list[Header] = [("uid", b"h-1"), ("kind", b"page"), ("n", b"2.5"), ("g", b"shoes")]
PATHS = ("header:n",), ("header:g",)
MAPPING = EventMapping(customer_id=("header:uid", "userId"), type=("header:kind", "type"))


def test_headers_of_every_format() -> None:
    schema = record()
    file = file_of(event())
    snowplow = "\t".join("s-1" if name == "user_id" else "" for name in COLUMNS).encode()
    for form, value in (
        (FramedFormat(AVRO, Schemas(avro(schema))), avro_value(schema)),
        (FramedFormat(PROTOBUF, Schemas(protobuf(file))), GOOD),
        (SnowplowFormat(), snowplow),
        (None, b'{"userId": "u-1", "type": "view"}'),
    ):
        decoder = EventDecoder(MAPPING, TYPES, *PATHS, PURPOSES, form)
        for from_wire in (True, False):
            chunk = chunk_of([(value, HEADERS), (value, HEADERS[:2])], from_wire=from_wire)
            decoded = decoder.decode(chunk, NOW_MS)
            assert not decoded.rejects
            assert [decoded.batch.customer[k] for k in range(2)] == [b"h-1", b"h-1"]
            assert decoded.batch.type_code.tolist() == [TYPES.index("page")] * 2
            assert decoded.batch.number[0, 0] == 2.5
            assert decoded.batch.category[0].tolist()[1] == 0 != decoded.batch.category[0, 0]


def test_who_names_no_header_reads_none() -> None:
    assert isinstance(EventDecoder(EventMapping(), TYPES, NUMBERS, CATEGORIES)._format, Envelopes)
    assert isinstance(decoder_of("header:")._format, HeaderValues)


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ('[events]\ncustomer_id = ["header:"]', "the name of a record header"),
        ('[events]\nbatch = "header:batch"', "at events.batch: expected a path into the value"),
        ('[events]\nconsent_xdm = ["header:c"]', "at events.consent_xdm: expected a path into the value"),
        ('[events]\nconsent_denied_ids = ["header:c"]', 'got "header:c"'),
    ],
)  # fmt: skip
def test_where_no_header_can_be(section: str, said: str) -> None:
    with pytest.raises(CampaignError) as wrong:
        compiled(section)
    assert said in str(wrong.value)


def compiled(section: str) -> EventDecoder:
    text = (
        'app = "a"\n[topics]\nevents = ["e"]\n[[features]]\nop = "count"\nhalf_lives = ["1d"]\n'
        '[[strategies]]\nid = "s"\n'
    )
    return EventDecoder(parse(text + section).events, (), (), ())
