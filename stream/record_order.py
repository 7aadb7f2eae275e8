"""The one order between several event topics: that of their event times.

Rules of this file
1. Within a topic the order of offsets stays. Between topics the record comes first whose event is older;
   a record counts with the newest time that its topic has reached, since it cannot come before those in
   front of it. At one time the topics come in the order of the campaign file. The events of a batch stay
   together, at the time of the newest: before that their record cannot have been sent.
2. Record timestamps would say the same of a topic that is filled as things happen. A history that was
   loaded at once has those of the load, topic after topic, and says nothing by them.
3. Customers do not touch each other, so only the order of the events of each customer counts. Where a
   login carries one over to another, both are one customer here (`stream.compiled.linked`).

The worker goes by it when it catches up (`stream.worker.order.replay`), the trainer always
(`trainer.replay`), parity as both did. Pure: arrays in, arrays out.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from stream.columns import EventBatch, Int64s, RecordChunk

NOT_SEEN_MS = int(np.iinfo(np.int64).min)
"""Of a topic of which nothing has come: older than every time."""


ELEMENTS_MAX = 2**17 - 2
"""Largest index of an element that is told apart: more than `events.batch_events_max` can be."""
_OFFSET_MAX = 2**46 - 1


def seen(time_ms: Int64s, reached_ms: int) -> Int64s:
    """The newest time up to each record; one without an event, -1, goes with those before it.

    Args:
        time_ms: Of the events of the next records of a topic, by offset. Shape (n,), int64.
        reached_ms: The newest one before them, NOT_SEEN_MS for none.

    Returns:
        Epoch milliseconds. Shape (n,), int64.
    """
    return np.maximum.accumulate(np.maximum(time_ms, reached_ms))


def event_times(chunk: RecordChunk, batch: EventBatch) -> Int64s:
    """Time of the newest event of each record of a chunk, -1 where there is none. Shape (n,), int64."""
    time_ms = np.full(len(chunk), -1, np.int64)
    if len(batch):
        first = np.flatnonzero(np.diff(batch.record, prepend=-1))
        time_ms[batch.record[first]] = np.maximum.reduceat(batch.time_ms, first)
    return time_ms


def places(offset: Int64s, element: npt.NDArray[np.integer]) -> Int64s:
    """One number for each event of a partition, which rises with its record and with its element.

    Args:
        offset: Kafka offset, beyond any that there is counted as 2**46 - 1. Shape (n,), int64.
        element: Index in the batch, -1 for a record, at most ELEMENTS_MAX. Shape (n,), integers.
    """
    place: Int64s = np.minimum(offset, _OFFSET_MAX) * (ELEMENTS_MAX + 2) + element + 1
    return place


def places_before(offset: int) -> int:
    """A number that all places of events before an offset are below, and none of those from it on."""
    return min(offset, _OFFSET_MAX) * (ELEMENTS_MAX + 2)


def merged(topic: npt.NDArray[np.integer], seen_ms: Int64s) -> Int64s:
    """The order of records that are all there.

    Args:
        topic: Topic of each record, as its index in the campaign; those of one topic are in the order
            of their offsets. Shape (n,), integers.
        seen_ms: What `seen` says of each. Shape (n,), int64.
    """
    by_topic = np.argsort(topic, kind="stable")
    if len(topic) == 0 or topic[by_topic[0]] == topic[by_topic[-1]]:
        return by_topic
    return by_topic[np.argsort(seen_ms[by_topic], kind="stable")]


def passes(row: Int64s, topic: Int64s) -> Iterator[tuple[int, Int64s]]:
    """Cuts a timeline into as few runs of one topic as keep the order of each customer's events.

    `apply` takes events of one topic. Cut where the topic changes, a timeline gives almost as many
    runs as events; but pass k can hold what lies between the topic changes k and k + 1 of every
    customer, since only the order of one customer's events counts.

    Args:
        row: Customer of each event, in order. Shape (n,), int64.
        topic: Its topic. Shape (n,), int64.

    Yields:
        A topic, and the events of one run.
    """
    if len(row) == 0:
        return
    if topic.min() == topic.max():
        yield int(topic[0]), np.arange(len(row))
        return
    by_customer = np.argsort(row, kind="stable")
    customer, theirs = row[by_customer], topic[by_customer]
    first = np.concatenate([[True], customer[1:] != customer[:-1]])
    turn = np.cumsum(np.concatenate([[False], theirs[1:] != theirs[:-1]]))
    turn_of = np.empty_like(turn)
    turn_of[by_customer] = turn - np.repeat(turn[first], np.diff(np.flatnonzero([*first, True])))
    order = np.lexsort((topic, turn_of))  # stable: events of a run stay in order
    ends = np.flatnonzero((np.diff(turn_of[order]) != 0) | (np.diff(topic[order]) != 0)) + 1
    for run in np.split(order, ends):
        yield int(topic[run[0]]), run
