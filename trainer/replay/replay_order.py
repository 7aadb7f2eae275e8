"""The order of a replay, for who reads the events of several topics as they are needed.

Rules of this file
1. The order is that of `stream.record_order`, by which the worker catches up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from stream.columns import EventBatch, Int64s, Spans
from stream.compiled.linked import linked
from stream.features.kernel_events import NONE_EMPTIED
from stream.record_order import NOT_SEEN_MS, merged, passes

_ENDED = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Run:
    """Events of one topic that come one after the other.

    Attributes:
        topic: Index of the topic in the campaign.
        row: Row of the customer of each event. Shape (n,), int64.
        batch: The n events.
        seen_ms: Newest event time of the topic up to each event. Shape (n,), int64.
        emptied: Row that each empties, see `stream.state.emptied`. Shape (n,) or (0,), int64.
    """

    topic: int
    row: Int64s
    batch: EventBatch
    seen_ms: Int64s
    emptied: Int64s = field(default_factory=lambda: NONE_EMPTIED)

    def take(self, index: Int64s | slice) -> Run:
        """Some of the events."""
        emptied = self.emptied[index] if len(self.emptied) else self.emptied
        batch, seen_ms = self.batch.take(index), self.seen_ms[index]
        return Run(self.topic, self.row[index], batch, seen_ms, emptied)

    @property
    def empties(self) -> Int64s:
        """`emptied` of every event. Shape (n,), int64."""
        return self.emptied if len(self.emptied) else np.full(len(self.row), -1)


def in_order(streams: Sequence[Iterator[Run]]) -> Iterator[Run]:
    """The order, of topics that are read as they are needed; stream i is of topic i.

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
        self._seen_ms = np.empty(0, np.int64)  # of the events that wait
        self.reached_ms = NOT_SEEN_MS

    def pull(self) -> None:
        """Reads one more chunk."""
        run = next(self._stream, None)
        if run is None:
            self.reached_ms = _ENDED
        elif len(run.row):
            self._waiting = [_joined([*self._waiting, run])]
            self._seen_ms = self._waiting[0].seen_ms
            self.reached_ms = int(run.seen_ms[-1])

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
    together = linked(row[order], np.concatenate([run.empties for run in runs])[order])
    for one, index in passes(together, topic[order]):
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
    row, seen_ms = (
        np.concatenate([getattr(run, name) for run in runs]) for name in ("row", "seen_ms")
    )
    emptied = NONE_EMPTIED
    if any(len(run.emptied) for run in runs):
        emptied = np.concatenate([run.empties for run in runs])
    return Run(runs[0].topic, row, batch, seen_ms, emptied)
