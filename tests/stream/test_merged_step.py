"""A window of several topics is what its records are one by one, in their order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from aiokafka.record import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import RecordChunk, Spans, split
from stream.features.plan import compile_features
from stream.kafka.records import RecordBatch
from stream.merged_step import step_merged
from stream.pipeline import Pipeline, Step
from stream.record_order import NOT_SEEN_MS, merged, seen
from stream.state.table import CustomerTable
from tests.stream.worker.processor_harness import TWO_TOPICS, deployment

PLAN = compile_features(TWO_TOPICS)
NOW_MS = 1_770_000_000_000
FIRST_MS = 1_767_225_600_000
Record = tuple[int, str]
"""Seconds of its timestamp, and its customer; none for what is no event."""

records = st.lists(
    st.tuples(st.integers(0, 9), st.sampled_from(["ann", "bob", "cyd", ""])), max_size=25
)


def chunk_of(topic: str, first: int, made: Sequence[Record]) -> RecordChunk:
    values = [
        b'{"userId":"%s","messageId":"m%d","type":"track","event":"Order Completed",'
        b'"timestamp":"2026-01-01T00:00:%02dZ"}' % (customer.encode(), first + i, second)
        if customer
        else b"no event"
        for i, (second, customer) in enumerate(made)
    ]
    at_ms = FIRST_MS + 1000 * np.array([second for second, _ in made], np.int64)
    offset = first + np.arange(len(made))
    column = Spans.of(list(values))
    return RecordChunk(topic, 0, offset, at_ms, column, column, first + len(made))


def published(batches: Sequence[RecordBatch]) -> list[tuple[bytes, bytes, object]]:
    out = []
    for batch in batches:
        whole = MemoryRecords(bytes(batch.seal(-1, -1, -1)))
        while whole.has_next():
            out += [(one.key, one.value, tuple(one.headers)) for one in whole.next_batch()]
    return out


def by_customer(told: list[tuple[bytes, bytes, object]]) -> dict[bytes, list[object]]:
    found: dict[bytes, list[object]] = {}
    for key, *rest in told:
        found.setdefault(key, []).append(rest)
    return found


def rows(table: CustomerTable) -> dict[bytes, bytes]:
    return {table.key(row): table.state[row].tobytes() for row in range(table.rows)}


@given(records, records, records, st.integers(0, 12))
@settings(deadline=None, max_examples=120)
def test_a_window_is_its_records_one_by_one(
    first: list[Record], more: list[Record], mails: list[Record], silent: int
) -> None:
    parts = [
        chunk_of("events", 0, first),
        chunk_of("events", len(first), more),
        chunk_of("mails", 0, mails),
    ]
    events_ms = seen(np.concatenate([one.timestamp_ms for one in parts[:2]]), NOT_SEEN_MS)
    seen_ms = [
        events_ms[: len(first)], events_ms[len(first) :], seen(parts[2].timestamp_ms, NOT_SEEN_MS),
    ]  # fmt: skip
    silent_until = {"events": silent, "mails": silent}
    pipeline, whole = Pipeline(TWO_TOPICS, PLAN), CustomerTable(PLAN.row_words)
    got = step_merged(
        pipeline, parts, seen_ms, whole, deployment(), silent_until=silent_until, now_ms=NOW_MS
    )

    single, steps = CustomerTable(PLAN.row_words), list[Step]()
    which = np.repeat(np.arange(3), [len(one) for one in parts])
    place = np.concatenate([np.arange(len(one)) for one in parts])
    for i in merged(which, np.concatenate(seen_ms)):
        part, at = parts[which[i]], int(place[i])
        one = split(split(part, int(part.offset[at]) + 1)[0], int(part.offset[at]))[1]
        until = silent_until[part.topic]
        steps.append(pipeline.step(one, single, deployment(), silent_until=until, now_ms=NOW_MS))
    assert rows(whole) == rows(single)
    expected = published([batch for step in steps for batch in step.decisions])
    assert by_customer(published(got.decisions)) == by_customer(expected)
    letters = published([batch for step in steps for batch in step.dead_letters])
    assert sorted(published(got.dead_letters), key=str) == sorted(letters, key=str)
    assert (got.decided, got.silent) == (
        sum(step.decided for step in steps), sum(step.silent for step in steps),
    )  # fmt: skip
    assert len(got.received_ms) == got.decided == got.strategies.sum()
    assert (
        got.counters.tolist()
        == sum((step.counters for step in steps), np.zeros_like(got.counters)).tolist()
    )
    assert len(got.rejects) == sum(len(step.rejects) for step in steps)


def test_a_row_that_a_window_has_seen_is_not_counted_again() -> None:
    """As after a crash in the middle of a checkpoint: of some customers the row got through."""
    made = [(second, "ann") for second in range(4)]
    parts = [chunk_of("events", 0, made), chunk_of("mails", 0, made)]
    seen_ms = [one.timestamp_ms for one in parts]
    pipeline, table = Pipeline(TWO_TOPICS, PLAN), CustomerTable(PLAN.row_words)
    decided = [
        step_merged(pipeline, parts, seen_ms, table, deployment(), silent_until={}, now_ms=NOW_MS)
        for _ in range(2)
    ]
    assert [step.decided for step in decided] == [8, 0]
    later = replace(parts[0], offset=parts[0].offset + 2, next_offset=6)
    step = step_merged(
        pipeline, [later, parts[1]], seen_ms, table, deployment(), silent_until={}, now_ms=NOW_MS
    )
    assert step.decided == 2
