"""A history in Avro is the history that the same events are in JSON."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import fastavro
import msgspec
import pytest

from stream.campaign.file import Campaign
from stream.columns import RecordChunk, Spans
from stream.features.plan import FeaturePlan
from tests.stream.schemas.registry_server import RegistryServer
from tests.trainer.replay.shards_harness import all_timelines, told
from tests.trainer.shop_history import DAY_MS, START_MS, Event, chunks, shards_of

SCHEMA: Any = {
    "type": "record", "name": "E", "fields": [
        {"name": "userId", "type": "string"}, {"name": "messageId", "type": ["null", "string"]},
        {"name": "event", "type": "string"}, {"name": "timestamp", "type": ["long", "string"]},
        {"name": "properties", "type": {"type": "map", "values": ["null", "long", "double", "string"]}},
    ],
}  # fmt: skip


@pytest.fixture
def server() -> Iterator[RegistryServer]:
    server = RegistryServer().start()
    server.by_id[7] = {"schema": json.dumps(SCHEMA)}
    yield server
    server.stop()


def in_avro(chunk: RecordChunk) -> RecordChunk:
    values = []
    for i in range(len(chunk)):
        out = io.BytesIO()
        event = {"messageId": None, "properties": {}, **json.loads(chunk.value[i] or b"")}
        fastavro.schemaless_writer(out, SCHEMA, event)
        values.append(b"\0\0\0\0\7" + out.getvalue())
    return replace(chunk, value=Spans.of(values))


def history(records: list[RecordChunk], campaign: Campaign, plan: FeaturePlan) -> Any:
    shards = shards_of(records, campaign, plan)
    assert shards.events == 30
    assert not shards.rejects
    return {shard: repr(told(one)) for shard, one in all_timelines(shards).items()}


def test_training_reads_what_the_worker_reads(
    campaign: Campaign, plan: FeaturePlan, server: RegistryServer
) -> None:
    events = [Event(n % 3, f"c{n % 2}", START_MS + n * DAY_MS) for n in range(30)]
    records = chunks(events)
    spec = msgspec.structs.replace(campaign.events, format="avro", schema_registry=server.url)
    avro = msgspec.structs.replace(campaign, events=spec)
    assert history([in_avro(chunk) for chunk in records], avro, plan) == history(
        records, campaign, plan
    )
    assert server.asked == ["/schemas/ids/7"], "once, for events and treatments"
