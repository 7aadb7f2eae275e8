"""Logins beside the events of the id that they carry over, in the batch of one record."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import count

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.contract import Normalization
from stream.columns import RecordChunk, Spans
from stream.features import kernel
from stream.features.plan import Applied, compile_features
from stream.pipeline import Pipeline
from stream.state.table import CustomerTable
from tests.stream.worker.processor_harness import TWO_TOPICS

FIRST_MS = 1_767_225_600_000
CAMPAIGN = msgspec.structs.replace(
    TWO_TOPICS,
    events=msgspec.structs.replace(TWO_TOPICS.events, login="merge", batch="batch"),
)
PIPELINE = Pipeline(CAMPAIGN, compile_features(CAMPAIGN))
CONSTANTS = Normalization.identity(len(PIPELINE.plan.names))

Told = tuple[str, int, int]
"""Who, "ann<bob" for a login of ann who was bob; hours of its time; number of its id."""

told = st.tuples(st.sampled_from(["ann", "bob", "ann<bob"]), st.integers(0, 99), st.integers(0, 40))
batches = st.lists(st.lists(told, min_size=1, max_size=6), min_size=1, max_size=4)


def value_of(one: Told) -> dict[str, object]:
    user, _, previous = one[0].partition("<")
    return {
        "type": "identify" if previous else "Order Completed",
        "userId": user,
        "anonymousId": previous,
        "messageId": f"m{one[2]}",
        "timestamp": FIRST_MS + one[1] * 3_600_000,
    }


def chunk_of(values: Sequence[object], first: int = 0) -> RecordChunk:
    texts = [json.dumps(value).encode() for value in values]
    offset = first + np.arange(len(texts))
    at_ms = np.full(len(texts), FIRST_MS + 200 * 3_600_000)
    keys = Spans.of([b"any"] * len(texts))
    return RecordChunk("events", 0, offset, at_ms, keys, Spans.of(texts), first + len(texts))


def records_of(log: Sequence[Sequence[Told]], first: int = 0) -> RecordChunk:
    return chunk_of([{"batch": [value_of(one) for one in batch]} for batch in log], first)


def take(table: CustomerTable, chunk: RecordChunk) -> Applied:
    return PIPELINE.rebuild(chunk, table, CONSTANTS, FIRST_MS + 10**10)


def new_table() -> CustomerTable:
    """A table in which everybody has a row, in one order."""
    table = CustomerTable(PIPELINE.plan.row_words)
    table.rows_for(Spans.of([b"ann", b"bob"]))
    return table


@given(batches)
@settings(deadline=None)
def test_the_events_of_batches_are_what_they_are_in_records_of_their_own(
    log: list[list[Told]],
) -> None:
    together, alone = new_table(), new_table()
    got = take(together, records_of(log))
    expected = take(alone, chunk_of([value_of(one) for batch in log for one in batch]))
    assert got.applied.tolist() == expected.applied.tolist()
    assert got.features.tobytes() == expected.features.tobytes()
    assert got.counters.tolist() == expected.counters.tolist()
    for table in (together, alone):
        table.state[:, PIPELINE.plan.offset_words] = 0
    assert together.state.tobytes() == alone.state.tobytes()


@given(batches, st.data())
@settings(deadline=None)
def test_a_repetition_from_any_pair_of_durable_rows_ends_in_the_same_state(
    log: list[list[Told]], data: st.DataObject
) -> None:
    """Both rows of a login become durable at once, or that of the customer first.

    No login comes again here: of one that did a row cannot tell that it carried nothing over.
    """
    number = count(1_000)
    log = [
        [(who, at, next(number) if "<" in who else name) for who, at, name in told] for told in log
    ]
    start = data.draw(st.integers(0, len(log)))
    table = new_table()
    take(table, records_of(log[:start]))
    earlier = table.state.copy()
    take(table, records_of(log[start:], start))
    again = new_table()
    again.state[:] = table.state
    if data.draw(st.booleans()):
        again.state[1] = earlier[1]
        if data.draw(st.booleans()):
            again.state[0] = earlier[0]
    take(again, records_of(log[start:], start))
    assert again.state.tobytes() == table.state.tobytes()


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_login_carries_over_once_what_came_before_it_in_its_record(at: int) -> None:
    events: list[Told] = [("bob", 1, 1), ("bob", 2, 2)]
    record = records_of([[*events[:at], ("ann<bob", 3, 3), *events[at:]]])
    table = new_table()
    counters = take(table, record).counters
    assert counters[kernel.MERGED_ROWS] == (at > 0)
    assert counters[kernel.UNKNOWN_ROWS] == (at == 0)
    before = table.state.copy()
    counters = take(table, record).counters
    assert counters.tolist() == [0, 0, 3, 0, 0, 0, 0]
    assert table.state.tobytes() == before.tobytes()


def test_an_id_is_new_once_however_often_a_record_names_it() -> None:
    counters = take(new_table(), records_of([[("ann<bob", 3, 1), ("ann<bob", 4, 2)]])).counters
    assert counters[kernel.UNKNOWN_ROWS] == 1


def test_the_last_event_about_an_id_may_be_its_login() -> None:
    record = ["bob", "ann<bob", "bob", "ann<bob", "ann"]
    chunk = records_of([[(who, 1, i) for i, who in enumerate(record)], [("bob", 1, 9)]])
    batch = PIPELINE.decoder.decode(chunk, FIRST_MS + 10**10).batch
    assert batch.is_last.tolist() == [False, False, False, False, True, True]
    assert batch.previous_is_last is not None
    assert batch.previous_is_last[[1, 3]].tolist() == [False, True]
