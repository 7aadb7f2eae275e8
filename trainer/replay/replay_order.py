"""The order of a replay, for who has all events at once and for who reads them as they come.

Rules of this file
1. Within a topic the order of offsets stays, as the worker saw it. Topics are merged by event time: a
   late event counts with the newest event time that its topic has reached; at one time the topics
   come in the order of the campaign file.
2. Customers do not touch each other, so only the order of the events of each customer counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.columns import EventBatch, Int64s, Spans

_ENDED = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Run:
    """Events of one topic that come one after the other.

    Attributes:
        topic: Index of the topic in the campaign.
        row: Row of the customer of each event. Shape (n,), int64.
        batch: The n events.
    """

    topic: int
    row: Int64s
    batch: EventBatch

    def take(self, index: Int64s | slice) -> Run:
        """Some of the events."""
        return Run(self.topic, self.row[index], self.batch.take(index))


def merged(topic: npt.NDArray[np.integer], time_ms: Int64s) -> Int64s:
    """The order of replay of events that are all there.

    Args:
        topic: Topic of each event; those of one topic are in the order of their offsets.
            Shape (n,), integers.
        time_ms: Event times. Shape (n,), int64.
    """
    by_topic = np.argsort(topic, kind="stable")
    if len(topic) == 0 or topic[by_topic[0]] == topic[by_topic[-1]]:
        return by_topic
    starts = np.flatnonzero(np.diff(topic[by_topic])) + 1
    seen_ms = [np.maximum.accumulate(part) for part in np.split(time_ms[by_topic], starts)]
    return by_topic[np.argsort(np.concatenate(seen_ms), kind="stable")]


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


def in_order(streams: Sequence[Iterator[Run]]) -> Iterator[Run]:
    """The same order, of topics that are read as they are needed; stream i is of topic i.

    Events are held back only until it is known which comes next: memory holds a few chunks of topics
    that go on at one pace, and what one is ahead of the others.
    """
    if len(streams) == 1:
        yield from streams[0]
        return
    lanes = [_Lane(stream) for stream in streams]
    while going := [lane for lane in lanes if lane.reached_ms < _ENDED]:
        min(going, key=lambda lane: lane.reached_ms).pull()
        # What a lane has yet to read comes at the newest time it has reached or later. At one time a
        # topic before it in the campaign file goes first.
        ready = [
            lane.take(min(
                other.reached_ms + (i < j and other.reached_ms < _ENDED)
                for j, other in enumerate(lanes) if j != i
            ))
            for i, lane in enumerate(lanes)
        ]  # fmt: skip
        yield from _interleaved([(run, seen_ms) for run, seen_ms in ready if len(seen_ms)])


class _Lane:
    """Events of one topic that are read and not replayed.

    Attributes:
        reached_ms: Newest event time read; at the end of the topic no time is beyond it.
    """

    def __init__(self, stream: Iterator[Run]) -> None:
        self._stream = stream
        self._waiting: list[Run] = []
        self._seen_ms = np.empty(0, np.int64)  # newest time up to each event that waits
        self.reached_ms = int(np.iinfo(np.int64).min)

    def pull(self) -> None:
        """Reads one more chunk."""
        run = next(self._stream, None)
        if run is None:
            self.reached_ms = _ENDED
        elif len(run.row):
            seen_ms = np.maximum.accumulate(np.maximum(run.batch.time_ms, self.reached_ms))
            self._seen_ms = np.concatenate([self._seen_ms, seen_ms])
            self._waiting = [_joined([*self._waiting, run])]
            self.reached_ms = int(seen_ms[-1])

    def take(self, limit_ms: int) -> tuple[list[Run], Int64s]:
        """Hands over what was seen before a time, with these times."""
        ready = int(np.searchsorted(self._seen_ms, limit_ms))
        seen_ms, self._seen_ms = self._seen_ms[:ready], self._seen_ms[ready:]
        runs = [run.take(slice(0, ready)) for run in self._waiting]
        self._waiting = [run.take(slice(ready, None)) for run in self._waiting]
        return runs, seen_ms


def _interleaved(ready: Sequence[tuple[list[Run], Int64s]]) -> Iterator[Run]:
    """The events in order, as few runs as keep the order of each customer."""
    runs = [run for (run,), _ in ready]
    if len(runs) < 2:
        yield from runs
        return
    topic = np.concatenate([np.full(len(run.row), run.topic) for run in runs])
    row = np.concatenate([run.row for run in runs])
    at = np.concatenate([np.arange(len(run.row)) for run in runs])
    order = merged(topic, np.concatenate([seen_ms for _, seen_ms in ready]))
    by_topic = {run.topic: run for run in runs}
    for one, index in passes(row[order], topic[order]):
        yield by_topic[one].take(at[order[index]])


def _joined(runs: Sequence[Run]) -> Run:
    """Runs of one topic as one; what they are named after stays behind."""
    batches = [run.batch for run in runs]
    none = np.full(sum(map(len, batches)), -1, np.int64)
    nulls = Spans(np.empty(0, np.uint8), np.zeros_like(none), none)
    batch = EventBatch(
        record=none,
        offset=np.concatenate([batch.offset for batch in batches]),
        received_ms=np.concatenate([batch.received_ms for batch in batches]),
        time_ms=np.concatenate([batch.time_ms for batch in batches]),
        customer=nulls,
        event_id=nulls,
        event_hash=np.concatenate([batch.event_hash for batch in batches]),
        type_code=np.concatenate([batch.type_code for batch in batches]),
        number=np.concatenate([batch.number for batch in batches], axis=1),
        category=np.concatenate([batch.category for batch in batches], axis=1),
        consent=np.concatenate([batch.consent for batch in batches], axis=1),
        consent_only=np.concatenate([batch.consent_only for batch in batches]),
    )
    return Run(runs[0].topic, np.concatenate([run.row for run in runs]), batch)
