"""A window of several topics through the flow of `pipeline`, each customer's events in their order.

Chunks are read one by one; their events are added to the rows in passes (`record_order.passes`), since
cut at every change of topic they would be as many chunks as events. What comes of it is decided chunk by
chunk, and published so that the decisions about one customer stand in the order of the events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace

import numpy as np

from stream.columns import EventBatch, Int64s, RecordChunk
from stream.compiled.linked import linked
from stream.contacts.contact_table import ContactTable
from stream.deciding import Customers, Decided, Question
from stream.decisions.published import Published
from stream.features.plan import Applied
from stream.kafka.records import RecordBatch
from stream.pipeline import NOTHING_PUBLISHED, Deployment, Pipeline, Step
from stream.policy.decision import DecisionBatch
from stream.record_order import merged, passes
from stream.state.emptied import carried_rows, emptied_rows
from stream.state.table import CustomerTable

_BY_PURPOSE = ("consent", "closed")  # columns with a row for each purpose or channel


def steps_merged(
    pipeline: Pipeline,
    chunks: Sequence[RecordChunk],
    seen_ms: Sequence[Int64s],
    table: CustomerTable,
    deployment: Deployment,
    *,
    silent_until: Mapping[str, int],
    now_ms: int,
    contacts: ContactTable | None = None,
    published: Mapping[str, Published] = NOTHING_PUBLISHED,
) -> list[Step]:
    """Takes chunks of several topics of one partition through the whole flow at once.

    Args:
        pipeline: The flow of one chunk.
        chunks: Chunks by topic, in the order of the campaign file, those of one in the order of offsets.
        seen_ms: For each what `record_order.seen` says of its records. Shape (n,) each, int64.
        table: State of the customers of the partition. Changed.
        deployment: The model in force.
        silent_until: By topic, offset before which events change the table and are not decided.
        now_ms: The time, epoch milliseconds.
        contacts: Contacts of the same customers, where rules remember them. Changed.
        published: See `Pipeline.step`.

    Returns:
        What came of each chunk. The decisions about all of them stand in the first, in their order.
    """
    until = [silent_until.get(chunk.topic, 0) for chunk in chunks]
    read = [
        pipeline.read(chunk, silent_until=offset, now_ms=now_ms)
        for chunk, offset in zip(chunks, until, strict=True)
    ]
    batches = [decoded.batch for decoded, _ in read]
    rows = [table.rows_for(batch.customer) for batch in batches]
    emptied = [emptied_rows(batch, of, table) for batch, of in zip(batches, rows, strict=True)]
    order = _Order(batches, rows, emptied, seen_ms)
    applied = _apply(pipeline, chunks, batches, rows, order, table, deployment)
    told = [published.get(chunk.topic) for chunk in chunks]
    customers = [
        Customers(of, contacts, now_ms, known, carried_rows(batch, of, table))
        for batch, of, known in zip(batches, rows, told, strict=True)
    ]
    questions = [
        pipeline.ask(deployment, chunk, one, gave, offset, of)
        for chunk, (one, _), gave, offset, of in zip(
            chunks, read, applied, until, customers, strict=True
        )
    ]
    decisions = _answers(pipeline, questions, order, deployment)
    decided, steps = list[Decided](), list[Step]()
    for i, (decoded, refused) in enumerate(read):
        one, step = pipeline.decided(
            chunks[i], decoded, applied[i], questions[i], decisions[i], until[i], refused
        )
        decided.append(one)
        steps.append(step)
    steps[0] = replace(steps[0], decisions=_encode(pipeline, decided, order, deployment, now_ms))
    return steps


class _Order:
    """The events of all chunks in the order of their records.

    Attributes:
        chunk: Chunk of each event. Shape (n,), int64, as are the others.
        event: Which of its events.
        row: Row of the customer.
        person: The same, and one for all whom logins link.
    """

    def __init__(
        self, batches: Sequence[EventBatch], rows: Sequence[Int64s], emptied: Sequence[Int64s],
        seen_ms: Sequence[Int64s],
    ) -> None:  # fmt: skip
        sizes = [len(batch) for batch in batches]
        chunk = np.repeat(np.arange(len(batches)), sizes)
        seen = [at[batch.record] for batch, at in zip(batches, seen_ms, strict=True)]
        order = merged(chunk, np.concatenate(seen))
        self.chunk = chunk[order]
        self.event = np.concatenate([np.arange(size) for size in sizes])[order]
        self.row = np.concatenate(rows)[order]
        empties = [
            of if len(of) else np.full(size, -1) for of, size in zip(emptied, sizes, strict=True)
        ]
        self.person = linked(self.row, np.concatenate(empties)[order])

    def keep(self, which: Sequence[Int64s]) -> tuple[Int64s, Int64s, Int64s]:
        """Some events of each chunk, in order: chunk, place in `which`, and row of each."""
        place = [np.full(int((self.chunk == i).sum()), -1) for i in range(len(which))]
        for at, index in zip(place, which, strict=True):
            at[index] = np.arange(len(index))
        starts = np.cumsum([0, *(len(at) for at in place)])[self.chunk]
        found = np.concatenate(place)[starts + self.event]
        kept = found >= 0
        return self.chunk[kept], found[kept], self.row[kept]


def _apply(
    pipeline: Pipeline,
    chunks: Sequence[RecordChunk],
    batches: Sequence[EventBatch],
    rows: Sequence[Int64s],
    order: _Order,
    table: CustomerTable,
    deployment: Deployment,
) -> list[Applied]:
    """What the events of each chunk gave."""
    nobody = np.zeros(0, np.int64)
    parts = [
        [pipeline.apply(chunk.topic, batch.take(nobody), nobody, table, deployment)]
        for chunk, batch in zip(chunks, batches, strict=True)
    ]
    index = [[nobody] for _ in chunks]
    for i, run in passes(order.person, order.chunk):
        event = order.event[run]
        batch, mine = batches[i].take(event), rows[i][event]
        parts[i].append(pipeline.apply(chunks[i].topic, batch, mine, table, deployment))
        index[i].append(event)
    return [
        _gathered(of_chunk, np.concatenate(which))
        for of_chunk, which in zip(parts, index, strict=True)
    ]


def _gathered(parts: Sequence[Applied], index: Int64s) -> Applied:
    """What several calls gave for the events of one chunk; `index` tells which of them each is about."""
    order = np.argsort(index)
    columns = {}
    for name in (column.name for column in fields(Applied) if column.name != "counters"):
        axis = 1 if name in _BY_PURPOSE else 0
        whole = np.concatenate([getattr(part, name) for part in parts], axis=axis)
        columns[name] = whole.take(order, axis=axis)
    return Applied(**columns, counters=np.sum([part.counters for part in parts], axis=0))


def _answers(
    pipeline: Pipeline, questions: Sequence[Question], order: _Order, deployment: Deployment
) -> list[DecisionBatch]:
    """The decisions about each chunk; where one depends on others, in the order of the events."""
    answer, policy = pipeline.deciding.answer, deployment.policy
    if not pipeline.deciding.has_contacts:
        return [answer(policy, question) for question in questions]
    nobody = np.zeros(0, np.int64)
    parts = [[answer(policy, question.part(nobody)[0])] for question in questions]
    places = [[nobody] for _ in questions]
    for i, run in passes(order.person, order.chunk):
        part, place = questions[i].part(order.event[run])
        parts[i].append(answer(policy, part))
        places[i].append(place)
    return [
        DecisionBatch.joined(of_chunk).take(np.argsort(np.concatenate(place)))
        for of_chunk, place in zip(parts, places, strict=True)
    ]


def _encode(
    pipeline: Pipeline,
    decided: Sequence[Decided],
    order: _Order,
    deployment: Deployment,
    now_ms: int,
) -> list[RecordBatch]:
    """The decisions, those about one customer in the order of the events."""
    chunk, place, row = order.keep([one.index for one in decided])
    return [
        batch
        for i, run in passes(row, chunk)
        for batch in pipeline.encode(deployment, decided[i].take(place[run]), now_ms)
    ]
