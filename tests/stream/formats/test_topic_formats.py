"""Event topics that are not in one format: each is read in its own, with the paths that hold there."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

import msgspec
import numpy as np
import pytest

from stream.campaign.file import Campaign, parse
from stream.codecs import TopicDecoder, compile_codecs, event_decoder
from stream.columns import RecordChunk, Spans
from stream.errors import CampaignError
from stream.events.decoder import EventDecoder
from stream.features.plan import compile_features
from stream.kafka.headers import header_spans
from stream.worker.schema_wait import SchemaWait
from tests.stream.formats.formats_harness import NOW_MS, Schemas, avro, avro_value, record
from tests.stream.formats.test_snowplow import value
from trainer.doctor.examine import Declared, refused_now
from trainer.doctor.sample import TopicSample

_FILE = """
app = "shop"
[topics]
events = ["web", "orders", "tracked"]
[events]
format = %s
[[features]]
op = "count"
half_lives = ["1d"]
[[strategies]]
id = "mail"
"""
_FORMATS = '{ web = "json", orders = "avro", tracked = "snowplow" }'


def _campaign(formats: str = _FORMATS, *, registry: bool = True) -> Campaign:
    address = '\nschema_registry = "http://registry:8081"' if registry else ""
    return parse(_FILE % (formats + address))


def _chunk(topic: str, *values: bytes) -> RecordChunk:
    n = len(values)
    return RecordChunk(
        topic, 0, np.arange(n), np.full(n, NOW_MS), Spans.of([None] * n), Spans.of(values), n
    )


def test_each_topic_is_read_in_its_format() -> None:
    campaign, schema = _campaign(), record()
    decoder = event_decoder(campaign, compile_features(campaign), Schemas(avro(schema)))
    chunks: Sequence[tuple[str, bytes, bytes]] = [
        ("web", b'{"userId":"j","type":"view","timestamp":"2025-01-01T00:00:00Z"}', b"j"),
        ("orders", avro_value(schema), b"u-1"),
        ("tracked", value(derived_tstamp="2025-01-02 00:00:00.000"), b"u-1"),
    ]
    for topic, content, customer in chunks:
        decoded = decoder.decode(_chunk(topic, content), NOW_MS)
        assert decoded.rejects == []
        assert decoded.batch.customer[0] == customer
        assert decoded.identified.tolist() == [True]
        others = [bytes_ for name, bytes_, _ in chunks if name != topic]
        assert len(decoder.decode(_chunk(topic, *others), NOW_MS).rejects) == 2
        assert decoder.unreadable(_chunk(topic, content), decoded.batch) == []


def test_one_format_for_all_topics_needs_one_decoder() -> None:
    campaign = _campaign('"avro"')
    assert isinstance(compile_codecs(campaign, compile_features(campaign)).decoder, EventDecoder)
    campaign = _campaign()
    assert isinstance(compile_codecs(campaign, compile_features(campaign)).decoder, TopicDecoder)


@pytest.mark.parametrize(
    ("formats", "error"),
    [
        ('{ web = "json", orders = "avro" }', "expected the format of each of web, orders, tracked, got web, orders"),
        ('{ web = "json", orders = "avro", track = "json" }', "got web, orders, track"),
        ("{}", "got none"),
        ('{ web = "xml", orders = "avro", tracked = "json" }', "events.format"),
        ('{ web = "json", orders = "json", tracked = "snowplow" }', "expected none with events.format"),
    ],
    ids=["one_missing", "another", "empty", "unknown", "no_registry"],
)  # fmt: skip
def test_a_table_of_formats_that_fits_no_topics_is_refused(formats: str, error: str) -> None:
    with pytest.raises(CampaignError, match=error):
        _campaign(formats)


def test_schemas_are_waited_for_only_in_topics_that_have_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[int] = []
    wait = SchemaWait(_campaign().events)

    async def load(schema_id: int) -> None:
        asked.append(schema_id)

    monkeypatch.setattr(wait, "_load", load)
    for topic in ("web", "tracked", "orders"):
        asyncio.run(wait.ready(_chunk(topic, avro_value(record()))))
    assert asked == [7]


def test_the_mapping_of_a_campaign_is_the_same_after_it_was_written() -> None:
    events = _campaign().events
    assert msgspec.convert(msgspec.to_builtins(events), type(events)) == events


def test_dead_letters_are_judged_in_the_format_of_the_topic_that_they_came_from() -> None:
    formats = '{ web = "json", orders = "json", tracked = "snowplow" }'
    campaign = _campaign(formats, registry=False)
    event = b'{"userId":"j","type":"view","timestamp":"2025-01-01T00:00:00Z"}'
    row = value(derived_tstamp="2025-01-02 00:00:00.000")
    origins = (b"tracked", b"web", b"web", b"gone")
    letters = dataclasses.replace(
        _chunk("dead-letters", row, event, row, event),
        headers=header_spans([[("topic", name)] for name in origins]),
    )
    declared = Declared(campaign, compile_features(campaign))
    sample = TopicSample("dead-letters", {}, {}, [letters])
    assert refused_now(declared, sample, NOW_MS) == {"": 2, "bad_json": 1}
