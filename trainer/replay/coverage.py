"""What of a history was read, and how far it goes: noted while chunks come in, asked for afterwards."""

from __future__ import annotations

from stream.columns import EventBatch, Int64s, RecordChunk
from trainer.history.gaps import SINCE, Extent, Gap, GapTracker, Missing, cold_ms, unread_ms
from trainer.history.lag import Lag, lag
from trainer.history.source import Bounds


class Coverage:
    """Which topics hold what, and what is missing of them.

    Args:
        bounds: Which events count.
        outcome: Type code of outcomes.
        window_ms: Attribution window.
    """

    def __init__(self, bounds: Bounds, outcome: int, window_ms: int) -> None:
        self._bounds, self._outcome, self._window_ms = bounds, outcome, window_ms
        self._gaps = GapTracker()
        self._outcome_topics: set[str] = set()
        self._treatment_topics: set[str] = set()

    def mark(self, gap: Gap) -> None:
        """Takes in a gap."""
        self._gaps.mark(gap)

    def holds_treatments(self, topic: str) -> None:
        """Notes that there are treatments in a topic."""
        self._treatment_topics.add(topic)

    def pass_by(self, chunk: RecordChunk, batch: EventBatch, reached_ms: Int64s) -> None:
        """Notes what says how far the history goes, whether or not it counts.

        Args:
            chunk: Records.
            batch: Their n events, n > 0.
            reached_ms: How far each brings the history. Shape (n,), int64.
        """
        self._gaps.pass_by(chunk.topic, chunk.partition, reached_ms)
        if (batch.type_code == self._outcome).any():
            self._outcome_topics.add(chunk.topic)
        since_ms = self._bounds.since_ms
        if since_ms is not None and (batch.time_ms < since_ms).any():
            self._gaps.leave_out(chunk.topic, chunk.partition, since_ms, SINCE)

    def missing(self, partitions: set[int]) -> list[Missing]:
        """What was not read of some partitions."""
        return [one for one in self._gaps.missing() if one.partition in partitions]

    def of_outcomes(self, missing: list[Missing]) -> list[Missing]:
        """Those of topics that hold outcomes."""
        return [one for one in missing if one.topic in self._outcome_topics]

    @property
    def lag(self) -> Lag:
        """How far outcomes are known."""
        newest_ms = {name: self._gaps.newest_ms(name) for name in self._outcome_topics}
        return lag(newest_ms, self._window_ms)

    def extent(self, partition: int, end_ms: int, warm_up_ms: int) -> Extent:
        """How far the history of a partition goes, and what it lacks.

        A partition of a topic that was read to its end of now goes as far as the newest event of all:
        had something happened there, it would have been read.

        Args:
            partition: Number of the partition.
            end_ms: Newest event of all.
            warm_up_ms: How long after a gap there are to be no examples.
        """
        missing = self.missing({partition})
        return Extent(
            end_ms,
            self.lag.known_ms,
            unread_ms(self.of_outcomes(missing)),
            unread_ms([one for one in missing if one.topic in self._treatment_topics]),
            cold_ms(missing, self._gaps.start_ms(partition), warm_up_ms),
        )
