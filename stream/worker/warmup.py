"""One made-up chunk through everything, so that no customer waits for a compiler.

numba compiles a loop, or loads it from its cache, when it is first called: seconds that would
otherwise pass between joining the consumer group and the first decision.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np
from msgspec.structs import replace

from stream.campaign.field_path import Step, Steps, header_name, is_header, list_parts, steps
from stream.campaign.file import Campaign
from stream.columns import RecordChunk, Spans
from stream.compiled.linked import linked
from stream.contacts.contact_layout import lay_out_contacts
from stream.contacts.contact_table import ContactTable
from stream.features.plan import FeaturePlan
from stream.formats.warm import compile_kernels
from stream.kafka.records import RecordReader, build_batches
from stream.pipeline import Deployment, Pipeline
from stream.state import changelog
from stream.state.marker import MARKER_KEY, Progress, encode_marker
from stream.state.table import CustomerTable

_NOW_MS = 1_767_225_600_000
_TIME = "2026-01-01T00:00:00.000Z"


def warm_up(pipeline: Pipeline, deployment: Deployment) -> None:
    """Runs every compiled loop that the worker uses; changes nothing that lasts."""
    table = CustomerTable(pipeline.plan.row_words)
    compile_kernels(pipeline.campaign.events)
    contacts = ContactTable(lay_out_contacts(pipeline.campaign))
    json = _json_pipeline(pipeline)
    for topic in pipeline.topics:
        chunk = example_chunk(pipeline.campaign, pipeline.plan, topic)
        step = json.step(
            chunk, table, deployment, silent_until=0, now_ms=_NOW_MS, contacts=contacts
        )
        assert len(step.rejects) == 1, step.rejects
    rows = np.arange(table.rows, dtype=np.int64)
    linked(np.arange(2), np.array([1, -1]))
    marker = encode_marker(Progress({"t": 1}))
    for key, value in (
        changelog.encode_rows(table, rows),
        (Spans.of([MARKER_KEY]), Spans.of([marker])),
    ):
        chunk = _chunk("changelog", key, value)
        restored = CustomerTable(pipeline.plan.row_words)
        changelog.apply_chunk(chunk, restored, pipeline.plan.offset_words, Progress())
    table.find(b"nobody")


def _json_pipeline(pipeline: Pipeline) -> Pipeline:
    """The same with events in JSON: what stands behind the decoder does not know the format."""
    campaign = pipeline.campaign
    events = replace(campaign.events, format="json", framed=False, schema_registry="")
    return Pipeline(replace(campaign, events=events), pipeline.plan)


def example_chunk(campaign: Campaign, plan: FeaturePlan, topic: str) -> RecordChunk:
    """One event of each declared mapping, and a record that is no event."""
    mapping = campaign.events
    event: dict[str, Any] = {}
    named = (
        (mapping.customer_id, "someone"), (mapping.event_id, "an-event"), (mapping.type, "Anything"),
        (mapping.timestamp, _TIME),
    )  # fmt: skip
    fields = {path: value for paths, value in named for path in paths[:1]}
    for path, value in fields.items():
        _put(event, steps(path), value)
    ways = [
        (*steps(head), *_elements(tail)) for head, *tail in map(list_parts, plan.property_paths)
    ]
    headers = dict.fromkeys(filter(is_header, plan.property_paths), "1") | {
        path: value for path, value in fields.items() if is_header(path)
    }
    for way in sorted(ways, key=len, reverse=True):  # what is in an object before the object
        _put(event, way, 1)
    values = [msgspec.json.encode(event), b"no event"]
    said = [(header_name(path), value.encode()) for path, value in headers.items()]
    return _chunk(topic, Spans.of([b"someone", b"someone"]), Spans.of(values), said)


def _elements(tail: list[str]) -> Iterator[Step]:
    """The steps behind a list, into its first element and those of lists in it."""
    for part in tail:
        yield from (0, *(steps(part) if part else ()))


def _put(event: dict[str, Any], way: Steps, value: object) -> None:
    """Puts a value where steps lead, if nothing is there; the elements before that of an index are null."""
    here: Any = event
    for step, below in zip(way, (*way[1:], None), strict=True):
        new: Any = value if below is None else [] if isinstance(below, int) else {}
        if isinstance(step, int) and isinstance(here, list):
            here.extend([None] * (step + 1 - len(here)))
            here[step] = new if here[step] is None else here[step]
            here = here[step]
        elif isinstance(step, str) and isinstance(here, dict):
            here = here.setdefault(step, new)
        else:
            return  # other steps have put something else here


def _chunk(
    topic: str, key: Spans, value: Spans, headers: Sequence[tuple[str, bytes]] = ()
) -> RecordChunk:
    (batch,) = build_batches(key, value, _NOW_MS, headers=headers)
    data = bytes(batch.seal(-1, -1, -1))
    (chunk,) = RecordReader(topic, 0, data, 0, len(key))
    return chunk
