"""A window of several topics is what its records are one by one, in their order."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
from aiokafka.record import MemoryRecords
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.columns import Int64s, RecordChunk, Spans, split
from stream.features.plan import compile_features
from stream.kafka.records import RecordBatch
from stream.merged_step import steps_merged
from stream.pipeline import Pipeline, Step
from stream.record_order import NOT_SEEN_MS, merged, seen
from stream.state.table import CustomerTable
from tests.stream.worker.processor_harness import TWO_TOPICS, deployment

PLAN = compile_features(TWO_TOPICS)
NOW_MS = 1_770_000_000_000
FIRST_MS = 1_767_225_600_000
Record = tuple[int, str]
"""Seconds of its timestamp, and its customer; none for what is no event, "ann<bob" for a login of ann
who was bob, "!ann" for a tombstone."""

PEOPLE = ["ann", "bob", "cyd", ""]
EMPTYING = msgspec.structs.replace(
    TWO_TOPICS,
    events=msgspec.structs.replace(TWO_TOPICS.events, login="merge", tombstones="forget"),
)


def lists_of(people: Sequence[str]) -> st.SearchStrategy[list[Record]]:
    return st.lists(st.tuples(st.integers(0, 9), st.sampled_from(people)), max_size=25)


records = lists_of(PEOPLE)
logins = lists_of([*PEOPLE, "ann<bob", "bob<cyd", "cyd<ann", "!ann", "!bob"])


def chunk_of(topic: str, first: int, made: Sequence[Record]) -> RecordChunk:
    values = [
        None if customer[:1] == "!" else value_of(second, customer, f"m{first + i}")
        for i, (second, customer) in enumerate(made)
    ]
    keys = [customer.strip("!").encode() for _, customer in made]
    at_ms = FIRST_MS + 1000 * np.array([second for second, _ in made], np.int64)
    offset = first + np.arange(len(made))
    return RecordChunk(
        topic, 0, offset, at_ms, Spans.of(list(keys)), Spans.of(values), first + len(made)
    )


def value_of(second: int, customer: str, event_id: str) -> bytes:
    if not customer:
        return b"no event"
    user, _, previous = customer.partition("<")
    name = "identify" if previous else "Order Completed"
    return (
        f'{{"userId":"{user}","messageId":"{event_id}","type":"{name}",'
        f'"anonymousId":"{previous}","timestamp":"2026-01-01T00:00:{second:02d}Z"}}'
    ).encode()


def published(batches: Sequence[RecordBatch]) -> list[tuple[bytes, bytes, object]]:
    out: list[tuple[bytes, bytes, object]] = []
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
    check_window(Pipeline(TWO_TOPICS, PLAN), parts, seen_ms, silent_until)


@given(logins, logins)
@settings(deadline=None, max_examples=120)
def test_a_window_with_logins_and_tombstones_is_its_records_one_by_one(
    events: list[Record], mails: list[Record]
) -> None:
    parts = [chunk_of("events", 0, events), chunk_of("mails", 0, mails)]
    seen_ms = [seen(part.timestamp_ms, NOT_SEEN_MS) for part in parts]
    check_window(Pipeline(EMPTYING, compile_features(EMPTYING)), parts, seen_ms, {})


def check_window(
    pipeline: Pipeline, parts: Sequence[RecordChunk], seen_ms: Sequence[Int64s],
    silent_until: dict[str, int],
) -> None:  # fmt: skip
    whole = CustomerTable(pipeline.plan.row_words)
    got = steps_merged(
        pipeline, parts, seen_ms, whole, deployment(), silent_until=silent_until, now_ms=NOW_MS
    )

    single, steps = CustomerTable(pipeline.plan.row_words), list[Step]()
    which = np.repeat(np.arange(len(parts)), [len(one) for one in parts])
    place = np.concatenate([np.arange(len(one)) for one in parts])
    for i in merged(which, np.concatenate(seen_ms)):
        part, at = parts[which[i]], int(place[i])
        one = split(split(part, int(part.offset[at]) + 1)[0], int(part.offset[at]))[1]
        until = silent_until.get(part.topic, 0)
        steps.append(pipeline.step(one, single, deployment(), silent_until=until, now_ms=NOW_MS))
    assert rows(whole) == rows(single)
    expected = published([batch for step in steps for batch in step.decisions])
    assert by_customer(published([b for step in got for b in step.decisions])) == by_customer(
        expected
    )
    letters = [published([b for step in of for b in step.dead_letters]) for of in (got, steps)]
    assert sorted(letters[0], key=str) == sorted(letters[1], key=str)
    for name in ("decided", "silent", "events"):
        assert sum(getattr(one, name) for one in got) == sum(getattr(one, name) for one in steps)
    for i, step in enumerate(got):
        assert len(step.received_ms) == step.decided == step.strategies.sum()
        quiet = parts[i].offset < silent_until.get(parts[i].topic, 0)
        told = len(parts[i]) - sum(quiet) + sum(quiet & (parts[i].key.size > 0))
        assert len(step.rejects) + step.events == told
    counters = [np.sum([step.counters for step in of], axis=0) for of in (got, steps)]
    assert not steps or (counters[0] == counters[1]).all()


def test_a_row_that_a_window_has_seen_is_not_counted_again() -> None:
    """As after a crash in the middle of a checkpoint: of some customers the row got through."""
    made = [(second, "ann") for second in range(4)]
    parts = [chunk_of("events", 0, made), chunk_of("mails", 0, made)]
    seen_ms = [one.timestamp_ms for one in parts]
    pipeline, table = Pipeline(TWO_TOPICS, PLAN), CustomerTable(PLAN.row_words)
    decided = [
        steps_merged(pipeline, parts, seen_ms, table, deployment(), silent_until={}, now_ms=NOW_MS)
        for _ in range(2)
    ]
    assert [sum(one.decided for one in steps) for steps in decided] == [8, 0]
    later = chunk_of("events", 2, made)
    again = steps_merged(
        pipeline, [later, parts[1]], seen_ms, table, deployment(), silent_until={}, now_ms=NOW_MS
    )
    assert sum(one.decided for one in again) == 2
