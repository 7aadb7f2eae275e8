"""Records as the worker gets them, and in the order in which it took them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np
from confluent_kafka import Message

from stream.columns import RecordChunk, Spans
from stream.pipeline import Pipeline
from stream.state.marker import MARKER_KEY, Marker
from tests.stream.worker.order.taken_order import stretches, taken_order


def chunk_of(topic: str, partition: int, messages: Sequence[Message]) -> RecordChunk:
    """The records as the worker gets them."""
    return RecordChunk(
        topic=topic,
        partition=partition,
        offset=np.array([message.offset() for message in messages], np.int64),
        timestamp_ms=np.array([message.timestamp()[1] for message in messages], np.int64),
        key=Spans.of([message.key() for message in messages]),
        value=Spans.of([message.value() for message in messages]),
        next_offset=int(messages[-1].offset() or 0) + 1,
    )


def in_order(
    pipeline: Pipeline,
    partition: int,
    events: Mapping[str, list[Message]],
    decisions: Sequence[Message],
    log: Sequence[Message],
) -> list[tuple[str, list[Message]]]:
    """Runs of records of one topic, in the order in which they were taken."""
    if len(events) == 1:
        return [(topic, messages) for topic, messages in events.items() if messages]
    about = [msgspec.json.decode(one.value() or b"")["data"]["event"] for one in decisions]
    decided = [(event["topic"], event["offset"]) for event in about]
    markers = [
        msgspec.json.decode(record.value() or b"", type=Marker)
        for record in log
        if record.key() == MARKER_KEY
    ]
    chunks = {t: chunk_of(t, partition, messages) for t, messages in events.items() if messages}
    at, runs = dict.fromkeys(events, 0), list[tuple[str, list[Message]]]()
    timed = {topic: (chunk, pipeline.event_times(chunk)) for topic, chunk in chunks.items()}
    for topic, end in taken_order(timed, decided, stretches(markers)):
        first = at[topic]
        at[topic] = max(first, int(np.searchsorted(chunks[topic].offset, end)))
        if at[topic] > first:
            if not runs or runs[-1][0] != topic:
                runs.append((topic, []))
            runs[-1][1].extend(events[topic][first : at[topic]])
    return runs
