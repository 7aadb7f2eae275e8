"""Holds chunks of several topics back until it is their turn.

Whose turn it is the steps say: runs that an earlier worker announced, and stretches in which topics are
merged by the times of their events (`order`). A stretch is taken in windows: what is known to come
next of all topics, taken in one go, since chunk by chunk it would be a chunk for every change of topic.

Rules of this file
1. What has been taken at any time is the beginning of the order: so it can be gone on with from there.
2. A topic is waited for as long as records before the end of its step are to come, and no longer: what is
   missing because of retention, or as control records, is stepped over.

Pure: no Kafka, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from stream import record_order
from stream.columns import Int64s, RecordChunk
from stream.state.marker import Stretch
from stream.worker.order.held import Held
from stream.worker.order.steps import Run, Step

WINDOW_RECORDS = 8_192
"""Most records of a window: a few chunks."""

WINDOW_EVENTS = 65_536
"""What the events of a window are bounded by, when records hold batches."""

HELD_RECORDS_MAX = 32_768
"""How many records of a topic may wait in memory: what comes beyond is read again later."""


class Turn(NamedTuple):
    """Chunks whose turn it is: one, or the window of a stretch.

    Attributes:
        chunks: Chunks, or parts of them; of a window by topic, in the order of the campaign.
        seen_ms: For each chunk of a window what `record_order.seen` says of its records. Shape (n,) each.
        messages: What was done with came with these; not those of which more is to come.
        planned: It belongs to a step that is announced.
    """

    chunks: Sequence[RecordChunk]
    seen_ms: Sequence[Int64s]
    messages: Sequence[Any]
    planned: bool

    @classmethod
    def of(cls, chunk: RecordChunk, message: Any) -> Turn:
        """A chunk that comes as it arrives."""
        return cls([chunk], [], [] if message is None else [message], planned=False)

    def parts(self, pieces: Callable[[RecordChunk], Iterator[RecordChunk]]) -> Iterator[Turn]:
        """A turn of one chunk in the pieces that this is cut into; a window is small already."""
        if len(self.chunks) > 1:
            yield self
            return
        (chunk,) = self.chunks
        for piece in pieces(chunk):
            is_last = piece.next_offset == chunk.next_offset
            yield Turn([piece], [], self.messages if is_last else [], self.planned)


class Replay:
    """Holds chunks back until they come in the order of the steps.

    Args:
        steps: Steps beyond what is covered, in order.
        ends: Offset after the last record of each topic: a step never waits for more.
        position: Next offset of each topic, 0 when not given.
        reached_ms: Newest event time before it.
        topics: The event topics, in the order of the campaign.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        ends: Mapping[str, int],
        position: Mapping[str, int] | None = None,
        reached_ms: Mapping[str, int] | None = None,
        topics: Sequence[str] = (),
    ) -> None:
        self._steps = deque(_bounded(step, ends) for step in steps)
        position, reached_ms = position or {}, reached_ms or {}
        named = {t for step in steps for t in ([step.topic] if isinstance(step, Run) else step.end)}
        self._held = {
            topic: Held(position.get(topic, 0), reached_ms.get(topic, record_order.NOT_SEEN_MS))
            for topic in dict.fromkeys([*topics, *sorted(named)])
        }

    @property
    def done(self) -> bool:
        """Nothing is held back any more."""
        return not self._steps and not any(held.records for held in self._held.values())

    @property
    def awaited(self) -> list[str]:
        """The topics whose records the others wait for, if they do."""
        step = self._steps[0] if self._steps else None
        if step is None:
            return []
        if isinstance(step, Run):
            return [step.topic]
        return [topic for topic in self._behind(step) if not self._held[topic].records]

    def is_full(self, topic: str) -> bool:
        """Whether so much of a topic waits that no more of it should be read."""
        return topic in self._held and self._held[topic].records >= HELD_RECORDS_MAX

    def has_room(self, topic: str) -> bool:
        """Whether so little of a topic waits that it is worth reading on."""
        return topic not in self._held or self._held[topic].records <= HELD_RECORDS_MAX // 2

    def skip(self, topic: str, offset: int) -> None:
        """Nothing of a topic comes any more before an offset, beyond what waits."""
        if self._steps and topic in self._held:
            self._held[topic].skip(offset)

    def offer(
        self, chunk: RecordChunk, message: Any, time_ms: Int64s, bound: Int64s | None = None
    ) -> None:
        """Takes the next chunk of a topic.

        Args:
            chunk: The chunk.
            message: What it came with.
            time_ms: Time of the event of each record, -1 for none. Shape (n,), int64.
            bound: How many events each record holds at most; None for one. Shape (n,), int64.
        """
        held = self._held.setdefault(chunk.topic, Held(0, record_order.NOT_SEEN_MS))
        held.put(chunk, message, time_ms, np.ones_like(time_ms) if bound is None else bound)

    def turns(self) -> Iterator[Turn]:
        """What may be taken now, in order: each before the next is asked for."""
        while self._steps:
            step = self._steps[0]
            turn = self._of_run(step) if isinstance(step, Run) else self._of_stretch(step)
            if turn is not None:
                yield turn
            elif self._is_over(step):
                self._steps.popleft()
            else:
                return
        for held in self._held.values():
            for chunk, _, _, message in held.take_all():
                yield Turn.of(chunk, message)

    def _is_over(self, step: Step) -> bool:
        if isinstance(step, Run):
            return step.topic not in self._held or self._held[step.topic].is_through(step.end)
        return all(self._held[topic].is_through(end) for topic, end in step.end.items())

    def _of_run(self, run: Run) -> Turn | None:
        held = self._held.get(run.topic)
        taken = None if held is None else held.take_chunk(run.end)
        if taken is None:
            return None
        chunk, _, _, message = taken
        return Turn.of(chunk, message)._replace(planned=True)

    def _of_stretch(self, step: Stretch) -> Turn | None:
        """What is known to come next, of all topics."""
        topics = [topic for topic in self._held if topic in step.end]
        behind = self._behind(step)
        ready = []
        for i, topic in enumerate(topics):
            # What a topic has yet to bring comes at the newest time it has reached, or later.
            limit_ms = min(
                (
                    self._held[other].reached_ms + (i < j)
                    for j, other in enumerate(topics)
                    if j != i and other in behind
                ),
                default=None,
            )
            ready.append(self._held[topic].seen_ms(step.end[topic], limit_ms))
        which = np.repeat(np.arange(len(topics)), [len(seen_ms) for seen_ms in ready])
        order = record_order.merged(which, np.concatenate(ready))[:WINDOW_RECORDS]
        bounds = [self._held[t].bounds(len(times)) for t, times in zip(topics, ready, strict=True)]
        events = np.cumsum(np.concatenate(bounds)[order])
        order = order[: max(int(np.searchsorted(events, WINDOW_EVENTS, side="right")), 1)]
        counts = np.bincount(which[order], minlength=len(topics)).tolist()
        parts = [
            part
            for topic, count in zip(topics, counts, strict=True)
            for part in self._held[topic].take(count, step.end[topic])
        ]
        if not parts:
            return None
        chunks, seen_ms, _, messages = zip(*parts, strict=True)
        owners = [message for message in messages if message is not None]
        return Turn(chunks, seen_ms, owners, planned=True)

    def _behind(self, step: Stretch) -> list[str]:
        """Topics of which records of a stretch have yet to come."""
        return [t for t in self._held if t in step.end and self._held[t].next_offset < step.end[t]]


def _bounded(step: Step, ends: Mapping[str, int]) -> Step:
    if isinstance(step, Run):
        return Run(step.topic, min(step.end, ends.get(step.topic, 0)))
    end = {topic: min(offset, ends.get(topic, 0)) for topic, offset in step.end.items()}
    return Stretch(step.start, end)
