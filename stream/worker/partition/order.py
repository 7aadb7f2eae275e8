"""In which order the chunks of several event topics were taken, and taking them so again.

Within a topic the order is that of the offsets. Between topics it is the order of arrival, which a
replay after a crash would not repeat: a purchase and the mail before it could change places, and a
decision published a second time would not be the one published first. So before the decisions of
chunks that could change places are published, the changelog learns which topic is being taken, up to
which offset ("a run"); a worker that takes over follows the runs that it finds beyond the marker.
With one event topic none of this happens.

Pure: no Kafka, no clock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from stream.columns import RecordChunk, split

RUN_RECORDS = 32_768
"""How far ahead a run is announced: large enough to be rare, small enough to be waited for."""


class Run(NamedTuple):
    """Records of `topic` before offset `end` come before those of the next run."""

    topic: str
    end: int


class Turn(NamedTuple):
    """A chunk whose turn it is.

    Attributes:
        chunk: The chunk, or a part of one.
        message: What it came with; None when more of the same chunk is to come.
        planned: It belongs to a run that an earlier worker announced.
    """

    chunk: RecordChunk
    message: Any
    planned: bool


class Announcer:
    """The runs of one partition since its last checkpoint.

    Args:
        runs: What an earlier worker left.
    """

    def __init__(self, runs: Sequence[Run] = ()) -> None:
        self._runs = list(runs)

    def announce(self, topic: str, position: int, end: int) -> bool:
        """Registers that a chunk is taken now; True when its run is to be made durable first.

        Args:
            topic: Topic of the chunk.
            position: Offset up to which its topic was taken before.
            end: Offset after the chunk.
        """
        last = self._runs[-1] if self._runs else None
        if last and last.topic == topic:
            if end <= last.end:
                return False
            self._runs.pop()
        self._runs.append(Run(topic, max(end, position + RUN_RECORDS)))
        return True

    def close(self, positions: Mapping[str, int], topic: str) -> None:
        """A chunk of `topic` comes next: a last run of another topic has ended where that one is."""
        if self._runs and self._runs[-1].topic != topic:
            last = self._runs[-1].topic
            self._runs[-1] = Run(last, positions.get(last, 0))

    def beyond(self, covered: Mapping[str, int]) -> list[Run]:
        """The runs that reach past what is covered; the others are forgotten."""
        self._runs = [run for run in self._runs if run.end > covered.get(run.topic, 0)]
        return list(self._runs)


class Replay:
    """Holds chunks back until they come in the order of the runs.

    Args:
        runs: Runs beyond what is covered, in order.
        ends: Offset after the last record of each topic: a run never waits for more.
        position: Next offset of each topic, 0 when not given.
        limit: Offset that a topic may not pass for now, as `Rebuild.limit` tells. The last run, which
            was announced ahead, cannot have been taken beyond it; of the others the end is known.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        ends: Mapping[str, int],
        position: Mapping[str, int] | None = None,
        limit: Callable[[str, Mapping[str, int]], int | None] = lambda _topic, _position: None,
    ) -> None:
        self._runs = deque(Run(run.topic, min(run.end, ends.get(run.topic, 0))) for run in runs)
        self._limit = limit
        self._waiting: dict[str, deque[tuple[RecordChunk, Any]]] = {}
        self._position = dict(position or {})

    @property
    def done(self) -> bool:
        """Nothing is held back any more."""
        return not self._runs and not any(self._waiting.values())

    @property
    def awaited(self) -> list[str]:
        """The topic whose records the others wait for, if they do."""
        return [run.topic for run in self._runs][:1]

    def skip(self, topic: str, offset: int) -> None:
        """Nothing of a topic comes any more before an offset."""
        self._position[topic] = offset

    def offer(self, chunk: RecordChunk, message: Any) -> list[Turn]:
        """Takes the next chunk of a topic; gives the chunks whose turn it is.

        A chunk that reaches past the end of a run is cut in two.
        """
        self._waiting.setdefault(chunk.topic, deque()).append((chunk, message))
        ready: list[Turn] = []
        while self._runs:
            topic, end = self._next()
            queue = self._waiting.get(topic, deque())
            # Records may be missing at the end of a run: by retention, or as control records.
            if self._position.get(topic, 0) >= end or (queue and _first(queue[0][0]) >= end):
                self._runs.popleft()
            elif not queue:
                return ready
            else:
                ready.append(self._take(topic, end, queue))
        for queue in self._waiting.values():
            ready.extend(Turn(*waiting, planned=False) for waiting in queue)
            queue.clear()
        return ready

    def _next(self) -> Run:
        topic, end = self._runs[0]
        limit = self._limit(topic, self._position) if len(self._runs) == 1 else None
        return Run(topic, end if limit is None else min(end, limit))

    def _take(self, topic: str, end: int, queue: deque[tuple[RecordChunk, Any]]) -> Turn:
        chunk, message = queue.popleft()
        if len(chunk) and chunk.offset[-1] >= end:
            chunk, rest = split(chunk, end)
            queue.appendleft((rest, message))
            message = None
        self._position[topic] = chunk.next_offset
        return Turn(chunk, message, planned=True)


def _first(chunk: RecordChunk) -> int:
    """Offset of the first record; of a chunk without records the last one that it covers."""
    return int(chunk.offset[0]) if len(chunk) else chunk.next_offset - 1
