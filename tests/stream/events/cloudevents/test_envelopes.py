"""CloudEvents with attributes in headers or data in base64: the same events as in structured mode."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.campaign.file import EventMapping
from stream.columns import RecordChunk, Spans
from stream.events.cloudevents.base64_kernels import decode_base64
from stream.events.decoder import EventDecoder
from stream.events.present import Refused
from stream.events.scan import append_bytes
from stream.events.times.judged_times import Times
from stream.kafka.headers import Header, header_spans
from stream.kafka.records import RecordReader, build_batches
from tests.stream.events.consent.consent_events import PURPOSES
from tests.stream.events.events_harness import CATEGORIES, FLAT, NOW_MS, NUMBERS, TYPES
from tests.stream.events.plain_reading import AHEAD_MAX_MS, EARLIEST_MS, row
from tests.stream.events.test_event_oracle import payloads

SEGMENT = EventMapping()
EXTENDED = EventMapping(customer_id=("userId", "data.tenant", "shop.id", "tenant"), strict=True)
MAPPINGS = [SEGMENT, FLAT, EXTENDED]
TEXTS = ["c1", "", " ", "null", "Müller", "12", "view", "2025-10-09T08:53:20Z", "soon", "true", '"']
ATTRIBUTES = ["subject", "id", "time", "type", "tenant", "userId", "event", "consent", "sentAt"]
attributes = st.dictionaries(
    st.sampled_from(ATTRIBUTES), st.none() | st.sampled_from(TEXTS), max_size=4
)
Record = tuple[bytes, list[Header]]


def binary(data: str, said: Mapping[str, str | None]) -> Record:
    headers: list[Header] = [("ce_specversion", b"1.0"), ("content-type", b"application/json")]
    headers += [(f"ce_{k}", None if v is None else v.encode()) for k, v in said.items()]
    return data.encode(), headers


def structured(data: str, said: Mapping[str, str | None], key: str = "data") -> Record:
    root = "".join(f"{json.dumps(k)}: {json.dumps(v)}, " for k, v in said.items())
    return f'{{{root}"specversion": "1.0", "{key}": {data}}}'.encode(), []


def in_base64(data: str, said: Mapping[str, str | None]) -> Record:
    encoded = base64.b64encode(data.encode()).decode()
    return structured(json.dumps(encoded), said, "data_base64")


def chunk_of(records: Sequence[Record], *, from_wire: bool) -> RecordChunk:
    """The records as they come from Kafka, or with headers in a buffer of their own, as from an archive."""
    n = len(records)
    values, headers = [value for value, _ in records], [own for _, own in records]
    if from_wire:
        (batch,) = build_batches(
            Spans.of([b"k"] * n), Spans.of(values), NOW_MS, own_headers=headers
        )
        (chunk,) = RecordReader("events", 0, bytes(batch.seal(-1, -1, -1)), 0, n)
        return chunk
    offset = np.arange(n)
    keys = Spans.of([b"k"] * n)
    return RecordChunk(
        "events", 0, offset, np.full(n, NOW_MS), keys, Spans.of(values), n,
        headers=header_spans(headers),
    )  # fmt: skip


def decoder_of(mapping: EventMapping) -> EventDecoder:
    return EventDecoder(mapping, TYPES, NUMBERS, (*CATEGORIES, "tenant"), PURPOSES)


def outcomes(decoder: EventDecoder, chunk: RecordChunk) -> list[str]:
    """The event of each record as its repr, or the code of its reject and what it denies."""
    decoded = decoder.decode(chunk, NOW_MS)
    batch = decoded.batch
    of = {int(i): repr(row(batch, k)) for k, i in enumerate(batch.record)}
    for reject in decoded.rejects:
        denied = of.pop(reject.record, "")
        of[reject.record] = f"{reject.code} {denied}"
    return [of[i] for i in range(len(chunk))]


@given(
    st.lists(st.tuples(payloads(), attributes), min_size=1, max_size=6), st.sampled_from(MAPPINGS),
    st.booleans(),
)  # fmt: skip
@settings(deadline=None, max_examples=150)
def test_all_modes_say_the_same_event(
    raw: list[tuple[str, dict[str, str | None]]], mapping: EventMapping, from_wire: bool
) -> None:
    decoder = decoder_of(mapping)
    expected = outcomes(decoder, chunk_of([structured(*one) for one in raw], from_wire=from_wire))
    for mode in (binary, in_base64):
        found = outcomes(decoder, chunk_of([mode(*one) for one in raw], from_wire=from_wire))
        assert found == expected
    modes = [(binary, structured, in_base64)[i % 3] for i in range(len(raw))]
    mixed = [mode(*one) for mode, one in zip(modes, raw, strict=True)]
    assert outcomes(decoder, chunk_of(mixed, from_wire=from_wire)) == expected


contents = st.none() | st.sampled_from(TEXTS).map(str.encode) | st.binary(max_size=3)
names = st.sampled_from(
    [*(f"ce_{name}" for name in (*ATTRIBUTES, "specversion", "specversion", "data", "data_base64")),
     "content-type", "ce_", "userId"]
)  # fmt: skip
media_types = st.sampled_from(
    [b"application/json", b"Application/CloudEvents+json; charset=UTF-8", b"application/cloudevent",
     b"application/cloudevents-batch+json", b"\xff", None]
)  # fmt: skip


@st.composite
def dirty(draw: st.DrawFn) -> Record:
    """A record in any mode, with headers that contradict it and each other, and broken values."""
    data, said = draw(payloads()), draw(attributes)
    value, headers = draw(st.sampled_from([binary, structured, in_base64]))(data, said)
    headers += draw(st.lists(st.tuples(names, contents), max_size=4))
    if draw(st.booleans()):
        headers.append(("content-type", draw(media_types)))
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(value)))
        value = value[:at] + draw(st.binary(max_size=2)) + value[at + draw(st.integers(0, 9)) :]
    return value, draw(st.permutations(headers))


@given(st.lists(dirty(), min_size=1, max_size=6), st.sampled_from(MAPPINGS), st.booleans())
@settings(deadline=None, max_examples=300)
def test_the_kernels_and_the_judge_agree(
    records: list[Record], mapping: EventMapping, from_wire: bool
) -> None:
    decoder, chunk = decoder_of(mapping), chunk_of(records, from_wire=from_wire)
    found = outcomes(decoder, chunk)
    everyone = np.ones(len(chunk), np.bool_)
    values = decoder._format.read(chunk.value, everyone, decoder._reader.trie, chunk.headers)
    times = Times(NOW_MS, NOW_MS, EARLIEST_MS, AHEAD_MAX_MS)
    for i in range(len(chunk)):
        try:
            root = values.root(i, chunk.value[i] or b"")
            expected = repr(decoder._judge.judge_root(root, times).event)
        except Refused as exc:
            expected = f"{exc.code} {exc.denial or ''}"
        assert found[i] == expected, records[i]


def events(records: Sequence[Record], mapping: EventMapping = SEGMENT) -> list[str]:
    return outcomes(decoder_of(mapping), chunk_of(records, from_wire=True))


BATCH_REASON = (
    "expected one event in a record, got content-type application/cloudevents-batch+json: "
    "CloudEvents on Kafka have no batches, so send each in a record of its own"
)
DATA = '{"userId": "u1", "properties": {"value": 2}}'


def test_attributes_serve_where_the_data_says_nothing() -> None:
    said = {"subject": "s1", "id": "e1", "type": "view", "time": "2025-10-09T08:53:20Z"}
    (found, bare) = events([binary("{}", said), binary(DATA, said | {"tenant": "t1"})])
    assert "customer=b's1', event_id=b'e1', time_ms=1760000000000, type_code=0" in found
    assert "customer=b'u1', event_id=b'e1', time_ms=1760000000000, type_code=0" in bare
    (extension,) = events([binary("{}", said | {"tenant": "t1"})], EXTENDED)
    assert "customer=b't1'" in extension


def test_the_content_type_tells_the_modes_apart() -> None:
    value, headers = structured(DATA, {"type": "view"})
    other = binary("{}", {"type": "page", "subject": "wrong"})[1]
    for media_type, is_structured in (
        (b"application/cloudevents+json", True),
        (b"APPLICATION/CLOUDEVENTS+JSON; charset=UTF-8", True),
        (b"application/json", False),
        (None, False),
    ):
        (found,) = events([(value, [*other, ("content-type", media_type)])])
        assert ("customer=b'u1'" in found) == is_structured, media_type
    assert headers == []


@pytest.mark.parametrize("version", [None, b"\xff"])
def test_without_a_version_headers_say_nothing(version: bytes | None) -> None:
    value = b'{"type": "view", "userId": "u1"}'
    headers: list[Header] = [("ce_subject", b"s1"), ("ce_type", b"page")]
    (found,) = events([(value, [*headers, ("ce_specversion", version)])])
    assert "customer=b'u1', event_id=None" in found
    assert "type_code=0" in found


def test_the_last_of_equal_headers_counts() -> None:
    said: list[Header] = [("ce_specversion", b"1.0"), ("ce_type", b"view")]
    twice: list[Header] = [("ce_subject", b"first"), ("ce_subject", b"last")]
    assert "customer=b'last'" in events([(b"{}", said + twice)])[0]
    assert events([(b"{}", [*said, *twice, ("ce_subject", None)])])[0].startswith(
        "missing_customer"
    )


def test_what_is_called_like_the_data_is_no_attribute() -> None:
    said = {"userId": "outer", "type": "view", "data": "no", "data_base64": "e30="}
    (found,) = events([binary('{"userId": "inner"}', said)])
    assert "customer=b'inner'" in found


def test_data_that_is_null_gives_way_to_base64_and_other_data_does_not() -> None:
    said = {"type": "view", "userId": "outer"}
    for data, customer in (("null", "inner"), ('{"userId": "data"}', "data"), ("7", "outer")):
        root = structured(data, said)[0].removesuffix(b"}")
        encoded = base64.b64encode(b'{"userId": "inner"}')
        (found,) = events([(root + b', "data_base64": "%s"}' % encoded, [])])
        assert f"customer=b'{customer}'" in found


def test_without_cloudevents_headers_say_nothing() -> None:
    value, headers = binary('{"type": "view", "customer_id": "c"}', {"subject": "s1", "id": "e1"})
    mapping = EventMapping(customer_id=("customer_id",), cloudevents=False)
    assert "customer=b'c', event_id=None" in events([(value, headers)], mapping)[0]


def test_what_a_reason_says() -> None:
    batch: Record = (b"[]", [("content-type", b"application/cloudevents-batch+json")])
    cut: Record = structured('"eyJ1c2V"', {"type": "view"}, "data_base64")
    text: Record = structured('"IkhpIg=="', {"type": "view"}, "data_base64")
    empty: Record = structured('""', {"type": "view", "userId": "u1"}, "data_base64")
    chunk = chunk_of([batch, cut, text, (b"[]", []), binary("[]", {}), empty], from_wire=True)
    decoded = decoder_of(SEGMENT).decode(chunk, NOW_MS)
    assert [(r.code, r.reason) for r in decoded.rejects] == [
        ("not_object", BATCH_REASON),
        ("bad_json", "expected base64 at data_base64, got a fault: Incorrect padding"),
        ("not_object", "expected a JSON object at the root, got 'Hi', in what data_base64 stands for"),
        ("not_object", "expected a JSON object at the root, got an array"),
        ("not_object", "expected a JSON object at the root, got an array"),
    ]  # fmt: skip
    assert decoded.batch.customer[0] == b"u1"


def test_consent_is_heard_in_every_mode() -> None:
    data = '{"userId": "u1", "traits": {"marketing_consent": "perhaps"}}'
    records = [mode(data, {"type": "view"}) for mode in (binary, structured, in_base64)]
    chunk, decoder = chunk_of(records, from_wire=True), decoder_of(SEGMENT)
    batch = decoder.decode(chunk, NOW_MS).batch
    assert (batch.consent[0] == -2).all()
    assert decoder.unreadable(chunk, batch) == [("data.traits.marketing_consent", "perhaps")]


@given(
    st.lists(st.binary(max_size=20), max_size=4),
    st.text("Az09+/=-_ \n", max_size=3),
    st.integers(0, 30),
)
def test_the_kernel_decodes_what_is_canonical_as_python_does(
    pieces: list[bytes], noise: str, at: int
) -> None:
    texts = [base64.b64encode(piece) for piece in pieces]
    texts += [text[:at] + noise.encode() + text[at:] for text in texts]
    spans = Spans.of([b"x", *texts, b"y"])
    wanted = np.ones(len(spans), np.bool_)
    wanted[[0, -1]] = False
    found = decode_base64(append_bytes(spans.data, b""), spans.start, spans.size, wanted)
    assert found[0] is found[len(spans) - 1] is None
    for k, text in enumerate(texts, start=1):
        if found[k] is not None:
            assert found[k] == base64.b64decode(text, validate=True)
        elif k <= len(pieces):
            assert text == b""
