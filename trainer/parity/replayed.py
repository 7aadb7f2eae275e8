"""The events of one partition in the order of a replay, and the features right after each.

Rules of this file
1. Features come from `stream.features.apply_raw` alone, with a state that begins empty.
2. Within a topic the order is that of the offsets, as the worker's. Topics are merged by event time:
   a late event counts with the newest event time that its topic has reached.
3. Events are held back only until it is known which comes next: memory holds a few chunks of topics
   that go on at one pace, and what one is ahead of the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from stream.campaign import Campaign
from stream.columns import EventBatch, Float64s, Int64s, RecordChunk, Reject, Spans
from stream.events import EventDecoder
from stream.features import FeaturePlan, apply_raw
from stream.table import CustomerTable
from trainer.gaps import Gap
from trainer.parity.logged import Scope
from trainer.replay import merged, passes

_LATER_MS = 2**62
"""After all records: events are compared with the timestamps of theirs, not with a present."""
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
        batch = self.batch
        part = EventBatch(
            record=batch.record[index],
            offset=batch.offset[index],
            received_ms=batch.received_ms[index],
            time_ms=batch.time_ms[index],
            customer=batch.customer.take(index),
            event_id=batch.event_id.take(index),
            type_code=batch.type_code[index],
            number=batch.number[:, index],
            category=batch.category[:, index],
            consent=batch.consent[index],
        )
        return Run(self.topic, self.row[index], part)


class EventReader:
    """Decodes the chunks of one topic as the worker does.

    Args:
        campaign: The campaign file.
        plan: Its compiled features.
        scope: Whose events are wanted; those of all times, since all change the state.
        table: Finds the rows of customers; new ones are added.
    """

    def __init__(
        self, campaign: Campaign, plan: FeaturePlan, scope: Scope, table: CustomerTable
    ) -> None:
        self._decoder = EventDecoder(
            campaign.events, plan.event_types, plan.number_paths, plan.category_paths
        )
        self._scope = scope
        self._table = table

    def read(
        self,
        topic: int,
        chunks: Iterator[RecordChunk],
        on_reject: Callable[[int, int, Reject], None],
        on_gap: Callable[[], None],
    ) -> Iterator[Run]:
        """The events of the chunks.

        Args:
            topic: Index of the topic.
            chunks: Its chunks, in the order of offsets.
            on_reject: Told of topic and offset of a record that is no event, and why.
            on_gap: Told when records are missing.
        """
        for chunk in chunks:
            if isinstance(chunk, Gap):
                on_gap()
            if len(chunk) == 0:
                continue
            batch, rejects = self._decoder.decode(chunk, _LATER_MS)
            for reject in rejects:
                on_reject(topic, int(chunk.offset[reject.record]), reject)
            run = Run(topic, np.zeros(len(batch), np.int64), batch)
            sampled = run.take(np.flatnonzero(self._scope.has_customers(batch.customer)))
            yield replace(sampled, row=self._table.rows_for(sampled.batch.customer))


class Replay:
    """The state of one partition, from nothing.

    Args:
        plan: The features.
        table: The customers; its state is changed.
    """

    def __init__(self, plan: FeaturePlan, table: CustomerTable) -> None:
        self._plan = plan
        self._table = table

    def values(self, run: Run) -> Float64s:
        """Adds events; gives the features after each, neither transformed nor normalized.

        Returns:
            Shape (n, F), float64, NaN where missing.
        """
        out = np.empty((len(run.row), len(self._plan.names)))
        apply_raw(self._plan, self._table.state, run.row, run.batch, run.topic, out)
        return out


def in_order(streams: Sequence[Iterator[Run]]) -> Iterator[Run]:
    """The events of several topics in the order of their replay; stream i is of topic i."""
    if len(streams) == 1:
        yield from streams[0]
        return
    lanes = [_Lane(stream) for stream in streams]
    while going := [lane for lane in lanes if not lane.ended]:
        min(going, key=lambda lane: lane.reached_ms).pull()
        ready = [lane.take(_limit_ms(lanes, i)) for i, lane in enumerate(lanes)]
        yield from _merged([events for events in ready if len(events[1])])


class _Lane:
    """Events of one topic that are read and not replayed.

    Attributes:
        reached_ms: Newest event time read; at the end of the topic no time is beyond it.
    """

    def __init__(self, stream: Iterator[Run]) -> None:
        self._stream = stream
        self._waiting: list[Run] = []
        self._seen_ms: list[Int64s] = []
        self._newest_ms = int(np.iinfo(np.int64).min)
        self.ended = False

    @property
    def reached_ms(self) -> int:
        return _ENDED if self.ended else self._newest_ms

    def pull(self) -> None:
        """Reads one more chunk."""
        run = next(self._stream, None)
        if run is None:
            self.ended = True
        elif len(run.row):
            newest_ms = np.maximum(run.batch.time_ms, self._newest_ms)
            self._seen_ms.append(np.maximum.accumulate(newest_ms))
            self._newest_ms = int(self._seen_ms[-1][-1])
            self._waiting.append(run)

    def take(self, limit_ms: int) -> tuple[list[Run], Int64s]:
        """Hands over what was seen before a time, with these times."""
        runs, seen_ms = [], []
        while self._waiting:
            ready = int(np.searchsorted(self._seen_ms[0], limit_ms))
            if ready:
                runs.append(self._waiting[0].take(slice(0, ready)))
                seen_ms.append(self._seen_ms[0][:ready])
            if ready < len(self._seen_ms[0]):
                self._waiting[0] = self._waiting[0].take(slice(ready, None))
                self._seen_ms[0] = self._seen_ms[0][ready:]
                break
            del self._waiting[0], self._seen_ms[0]
        return runs, np.concatenate([np.empty(0, np.int64), *seen_ms])


def _limit_ms(lanes: Sequence[_Lane], i: int) -> int:
    """Events of lane i seen before this time come before all that others have yet to read.

    At one time the topics come in the order of the campaign file.
    """
    others = [
        lane.reached_ms + (i < j and not lane.ended) for j, lane in enumerate(lanes) if j != i
    ]
    return min(others)


def _merged(ready: Sequence[tuple[list[Run], Int64s]]) -> Iterator[Run]:
    """The events in order, as few runs as keep the order of each customer."""
    whole = [_joined(runs) for runs, _ in ready]
    if len(whole) < 2:
        yield from whole
        return
    topic = np.concatenate([np.full(len(run.row), run.topic) for run in whole])
    row = np.concatenate([run.row for run in whole])
    at = np.concatenate([np.arange(len(run.row)) for run in whole])
    order = merged(topic, np.concatenate([seen_ms for _, seen_ms in ready]))
    by_topic = {run.topic: run for run in whole}
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
        type_code=np.concatenate([batch.type_code for batch in batches]),
        number=np.concatenate([batch.number for batch in batches], axis=1),
        category=np.concatenate([batch.category for batch in batches], axis=1),
        consent=np.concatenate([batch.consent for batch in batches]),
    )
    return Run(runs[0].topic, np.concatenate([run.row for run in runs]), batch)
