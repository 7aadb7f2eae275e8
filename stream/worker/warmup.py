"""One made-up chunk through everything, so that no customer waits for a compiler.

numba compiles a loop, or loads it from its cache, when it is first called: seconds that would
otherwise pass between joining the consumer group and the first decision.
"""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from stream.campaign.field_path import steps
from stream.campaign.file import Campaign
from stream.columns import RecordChunk, Spans
from stream.formats.warm import compile_kernels
from stream.kafka.records import RecordReader, build_batches
from stream.pipeline import Deployment, Pipeline
from stream.state import changelog
from stream.state.table import CustomerTable

_NOW_MS = 1_767_225_600_000
_TIME = "2026-01-01T00:00:00.000Z"


def warm_up(pipeline: Pipeline, deployment: Deployment) -> None:
    """Runs every compiled loop that the worker uses; changes nothing that lasts."""
    table = CustomerTable(pipeline.plan.row_words)
    compile_kernels(pipeline.campaign.events)
    json = _json_pipeline(pipeline)
    for topic in pipeline.topics:
        chunk = example_chunk(pipeline.campaign, topic)
        step = json.step(chunk, table, deployment, silent_until=0, now_ms=_NOW_MS)
        assert len(step.rejects) == 1, step.rejects
    rows = np.arange(table.rows, dtype=np.int64)
    marker = changelog.encode_marker(changelog.Progress({"t": 1}))
    for key, value in (
        changelog.encode_rows(table, rows),
        (Spans.of([changelog.MARKER_KEY]), Spans.of([marker])),
    ):
        chunk = _chunk("changelog", key, value)
        restored = CustomerTable(pipeline.plan.row_words)
        changelog.apply_chunk(chunk, restored, pipeline.plan.offset_words, changelog.Progress())
    table.find(b"nobody")


def _json_pipeline(pipeline: Pipeline) -> Pipeline:
    """The same with events in JSON: what stands behind the decoder does not know the format."""
    campaign = pipeline.campaign
    events = replace(campaign.events, format="json", framed=False, schema_registry="")
    return Pipeline(replace(campaign, events=events), pipeline.plan)


def example_chunk(campaign: Campaign, topic: str) -> RecordChunk:
    """One event of each declared mapping, and a record that is no event."""
    mapping = campaign.events
    event: dict[str, Any] = {}
    for path, value in (
        (mapping.customer_id[0], "someone"),
        (mapping.event_id[0], "an-event"),
        (mapping.type[0], "Anything"),
        (mapping.timestamp[0], _TIME),
        *((spec.property, 1) for spec in campaign.features if spec.property),
    ):
        _put(event, path, value)
    values = [msgspec.json.encode(event), b"no event"]
    return _chunk(topic, Spans.of([b"someone", b"someone"]), Spans.of(values))


def _put(event: dict[str, Any], path: str, value: object) -> None:
    """Puts a value where a path leads; the elements before that of an index are null."""
    here: Any = event
    way = steps(path)
    for step, below in zip(way, (*way[1:], None), strict=True):
        if isinstance(step, int):
            here.extend([None] * (step + 1 - len(here)))
        new = value if below is None else [] if isinstance(below, int) else {}
        if (here[step] if isinstance(step, int) else here.get(step)) is None:
            here[step] = new
        here = here[step]


def _chunk(topic: str, key: Spans, value: Spans) -> RecordChunk:
    (batch,) = build_batches(key, value, _NOW_MS)
    data = bytes(batch.seal(-1, -1, -1))
    (chunk,) = RecordReader(topic, 0, data, 0, len(key))
    return chunk
