"""Chunks of one topic that wait for their turn.

Pure: no Kafka, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from stream import record_order
from stream.columns import Int64s, RecordChunk, split


class Part(NamedTuple):
    """A chunk, or a part of one.

    Attributes:
        chunk: The records.
        seen_ms: What `record_order.seen` says of them. Shape (n,), int64.
        bound: How many events each holds at most. Shape (n,), int64.
        message: What it came with; None when more of the same chunk is to come.
    """

    chunk: RecordChunk
    seen_ms: Int64s
    bound: Int64s
    message: Any


class Held:
    """What waits of one topic, in the order of its offsets.

    Args:
        position: Next offset of the topic.
        reached_ms: Newest event time before it.

    Attributes:
        next_offset: Next offset that is to come.
        reached_ms: Newest event time of all that has come.
        records: How many wait.
    """

    def __init__(self, position: int, reached_ms: int) -> None:
        self.next_offset = position
        self.reached_ms = reached_ms
        self.records = 0
        self._waiting: deque[Part] = deque()

    def put(self, chunk: RecordChunk, message: Any, time_ms: Int64s, bound: Int64s) -> None:
        """Takes the next chunk, with the times of its events, -1 for none, and their bounds."""
        seen_ms = record_order.seen(time_ms, self.reached_ms)
        if len(seen_ms):
            self.reached_ms = int(seen_ms[-1])
        self.next_offset = chunk.next_offset
        self.records += len(chunk)
        self._waiting.append(Part(chunk, seen_ms, bound, message))

    def skip(self, offset: int) -> None:
        """Nothing comes any more before an offset, beyond what waits."""
        self.next_offset = max(self.next_offset, offset)
        if self._waiting:  # as a chunk without records: so it is known when what waits is taken
            last = self._waiting[-1].chunk
            nothing = replace(split(last, last.next_offset)[1], next_offset=self.next_offset)
            none = np.empty(0, np.int64)
            self._waiting.append(Part(nothing, none, none, None))

    def is_through(self, end: int) -> bool:
        """Whether nothing before an offset waits, or is to come."""
        if self._waiting:  # records may be missing at the end: by retention, or as control records
            return _first(self._waiting[0].chunk) >= end
        return self.next_offset >= end

    def seen_ms(self, end: int, limit_ms: int | None) -> Int64s:
        """What waits before an offset and was seen before a time, at the beginning. Shape (n,), int64."""
        parts = [np.empty(0, np.int64)]
        for chunk, seen_ms, _, _ in self._waiting:
            if _first(chunk) >= end:
                break
            ready = len(seen_ms)
            if ready and chunk.offset[-1] >= end:
                ready = int(np.searchsorted(chunk.offset, end))
            if limit_ms is not None and ready and seen_ms[ready - 1] >= limit_ms:
                parts.append(seen_ms[: int(np.searchsorted(seen_ms[:ready], limit_ms))])
                break
            parts.append(seen_ms[:ready])
        return np.concatenate(parts)

    def bounds(self, count: int) -> Int64s:
        """How many events each of the next records holds at most. Shape (count,), int64."""
        return np.concatenate([np.empty(0, np.int64), *(one.bound for one in self._waiting)])[
            :count
        ]

    def take(self, count: int, end: int) -> Iterator[Part]:
        """The next records, and chunks without any that stand between them; all before an offset."""
        while self._waiting and _first(self._waiting[0].chunk) < end:
            chunk = self._waiting[0].chunk
            if len(chunk) > count:
                if count:
                    yield self._cut(int(chunk.offset[count]))
                return
            count -= len(chunk)
            yield self._pop()

    def take_chunk(self, end: int) -> Part | None:
        """The next chunk, or what of it is before an offset; None for nothing."""
        if not self._waiting or _first(self._waiting[0].chunk) >= end:
            return None
        chunk = self._waiting[0].chunk
        return self._cut(end) if len(chunk) and chunk.offset[-1] >= end else self._pop()

    def take_all(self) -> Iterator[Part]:
        """Everything."""
        while self._waiting:
            yield self._pop()

    def _pop(self) -> Part:
        part = self._waiting.popleft()
        self.records -= len(part.chunk)
        return part

    def _cut(self, offset: int) -> Part:
        chunk, seen_ms, bound, message = self._waiting.popleft()
        before, after = split(chunk, offset)
        n = len(before)
        self._waiting.appendleft(Part(after, seen_ms[n:], bound[n:], message))
        self.records -= n
        return Part(before, seen_ms[:n], bound[:n], None)


def _first(chunk: RecordChunk) -> int:
    """Offset of the first record; of a chunk without records the last one that it covers."""
    return int(chunk.offset[0]) if len(chunk) else chunk.next_offset - 1
